//! One recipient's verdict and how it came about; and where the operator's rules come in.

use crate::{
    address,
    message::Report,
    taxonomy::{Action, Status},
};

use super::{
    Envelope, OperatorRules, Verdict, bounce, gravity,
    kind::Nature,
    operator::Matched,
    person,
    places::{Places, Texts},
    prose::Prose,
    weigh::Clue,
};

/// What decided a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// One of the operator's rules, tried before all else.
    Operator,
    /// The `Action` field (taxonomy rule 1).
    Action,
    /// That the notice as a whole speaks of a delay or of success.
    Notice,
    /// The heaviest of the words and codes.
    Weight,
    /// Only the class of the reply, or nothing at all.
    Class,
    /// What sort of mail it is.
    Sort,
}

/// A verdict, and what was weighed for it.
pub struct Judged<'a> {
    pub verdict: Verdict,
    pub decided: Decided,
    /// Best first.
    pub clues: Vec<Clue>,
    /// Where words about the recipient may stand.
    pub places: Places<'a>,
}

/// The verdicts of a mail, before a VERP address makes one of them.
pub fn judge<'a>(
    rules: &OperatorRules,
    report: &'a Report,
    envelope: &Envelope<'_>,
    prose: &'a Prose<'a>,
    nature: &Nature,
) -> Vec<Judged<'a>> {
    let mut judged = match nature.status {
        None => bounce::verdicts(report, envelope, prose, nature),
        Some(status) => of_person(report, prose, nature, status),
    };
    if rules.is_empty() {
        return judged;
    }
    let matched: Vec<Option<Matched<'_>>> = judged.iter().map(|one| one.matched(rules, envelope)).collect();
    // A rule may say that it is another sort of mail: then other places name the recipient.
    let other = matched.iter().flatten().find(|matched| !suits(nature, matched.status));
    if let Some(matched) = other {
        judged = if is_bounce(matched.status) {
            bounce::verdicts(report, envelope, prose, &Nature { status: None, notice: None, over: false, ..nature.clone() })
        } else {
            of_person(report, prose, nature, matched.status)
        };
        judged.iter_mut().for_each(|one| one.decide(matched));
        return judged;
    }
    for (one, matched) in judged.iter_mut().zip(&matched) {
        matched.iter().for_each(|matched| one.decide(matched));
    }
    judged
}

fn of_person<'a>(report: &Report, prose: &'a Prose<'a>, nature: &Nature, status: Status) -> Vec<Judged<'a>> {
    let judged = |verdict| Judged { verdict, decided: Decided::Sort, clues: Vec::new(), places: Places::all(prose) };
    person::verdicts(report, prose, nature, status).into_iter().map(judged).collect()
}

/// What is told by way of a bounce.
fn is_bounce(status: Status) -> bool {
    gravity(status) < 2 || status == Status::Delivered
}

/// Whether a verdict of this status can stand on a mail of this sort.
fn suits(nature: &Nature, status: Status) -> bool {
    match nature.status {
        None => is_bounce(status) || status == Status::Undetermined,
        Some(_) => !is_bounce(status) || status == Status::AddressChange,
    }
}

impl Judged<'_> {
    /// The operator's rule that speaks of this recipient. A field that says it is delayed or delivered stands (taxonomy rule 1).
    fn matched<'r>(&self, rules: &'r OperatorRules, envelope: &Envelope<'_>) -> Option<Matched<'r>> {
        let verdict = &self.verdict;
        if self.decided == Decided::Action {
            return None;
        }
        let Texts { diagnostic, section, human } = self.places.texts();
        let texts: Vec<&str> = [diagnostic, section, human].into_iter().flatten().collect();
        let addresses = [envelope.verp_address, verdict.address.as_deref()];
        let mut hosts: Vec<&str> = addresses.into_iter().flatten().filter_map(address::domain).collect();
        hosts.extend(verdict.remote_mta.as_deref());
        rules.find(&texts, &hosts)
    }

    fn decide(&mut self, matched: &Matched<'_>) {
        self.decided = Decided::Operator;
        self.verdict.status = matched.status;
        self.verdict.rule = matched.name.to_owned();
        self.verdict.evidence = Some(matched.evidence.clone());
        if matched.status != Status::AddressChange {
            self.verdict.new_address = None;
        }
        self.verdict.action = match matched.status {
            Status::TransientBounce => Some(Action::Delayed),
            Status::Delivered => Some(Action::Delivered),
            status if is_bounce(status) => Some(Action::Failed),
            _ => None,
        };
    }
}
