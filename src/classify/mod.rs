//! What we make of a mail: [`Report`] + envelope → [`Telling`].
//!
//! Pure and total. Knowledge is data: a table of codes and a table of phrases, compiled once into a linear-time automaton. Every verdict
//! carries the rule that decided and the words it matched.
//!
//! The steps, each a file: what sort of mail it is ([`kind`]), whom it speaks of ([`recipient`], out of fields or [`prose`]), which SMTP
//! reply stands in it ([`reply`]), what that means ([`weigh`], by the [`tables`]); the operator's own rules ([`operator`]) come before all tables.
//! [`explain`] shows the same steps, taken by the same code.

mod addressed;
mod author;
mod automata;
mod bounce;
mod dates;
mod denied;
mod footer;
mod forms;
mod headings;
mod human;
mod judged;
mod kind;
mod letters;
mod meant;
mod moved;
mod operator;
mod person;
mod phrases;
mod places;
mod prose;
mod recipient;
mod reply;
mod returns;
mod said;
mod spaced;
mod subject;
mod tables;
mod text;
mod trace;
mod transcript;
mod verdict;
mod weigh;
mod words;

pub use judged::Decided;
pub use operator::{OperatorRule, OperatorRules};
pub use tables::note;
pub use trace::{Candidate, RecipientTrace, Trace};
pub use verdict::*;

use crate::{
    address,
    message::Report,
    taxonomy::{Kind, Status},
};

use judged::Judged;
use prose::Prose;

/// So many addresses are handed to whoever looks for the person behind a short VERP form.
const MAX_NAMED: usize = 50;

/// Tells what a mail means for each recipient that it speaks of, by the tables alone. There is always at least one verdict.
pub fn tell(report: &Report, envelope: &Envelope<'_>) -> Telling {
    tell_by(&OperatorRules::default(), report, envelope)
}

/// The same with the operator's rules tried first.
pub fn tell_by(rules: &OperatorRules, report: &Report, envelope: &Envelope<'_>) -> Telling {
    let prose = Prose::of(&report.prose);
    let nature = kind::nature(report, envelope, &prose);
    telling(judged::judge(rules, report, envelope, &prose, &nature), envelope)
}

/// The same with every step shown.
pub fn explain(rules: &OperatorRules, report: &Report, envelope: &Envelope<'_>) -> Trace {
    let prose = Prose::of(&report.prose);
    let nature = kind::nature(report, envelope, &prose);
    let judged = judged::judge(rules, report, envelope, &prose, &nature);
    let recipients = judged.iter().map(|one| trace::of(one, report, &prose)).collect();
    let telling = telling(judged, envelope);
    let signs = kind::signs(report, envelope, &prose);
    Trace { signs, rule: nature.rule, evidence: nature.evidence, recipients, telling }
}

fn telling(judged: Vec<Judged<'_>>, envelope: &Envelope<'_>) -> Telling {
    let mut verdicts = judged.into_iter().map(|one| one.verdict).collect();
    if let Some(verp) = envelope.verp_address.and_then(address::normal) {
        verdicts = fold(verdicts, &verp);
    }
    let kind = verdicts.iter().map(|verdict| verdict.status).min_by_key(|&status| gravity(status)).map_or(Kind::Other, kind_of);
    Telling { kind, verdicts }
}

/// All addresses that a report names as its recipient, in normal form, the most trusted first, at most 50.
pub fn named_addresses(report: &Report) -> Vec<String> {
    let mut named = recipient::named_addresses(report, &Prose::of(&report.prose));
    named.truncate(MAX_NAMED);
    named
}

/// Addresses inside the mail that may be VERP addresses of ours, as written and trimmed, each once, at most 50: the original's reverse-path
/// as ARF and the returned header give it, and whatever else of the original may bear one.
pub fn vouchers(report: &Report) -> Vec<String> {
    let feedback = report
        .feedback
        .iter()
        .flat_map(|feedback| feedback.original_mail_from.iter().chain(&feedback.original_rcpt_to))
        .map(String::as_str);
    let original = report.original.iter().flat_map(|original| {
        let other = original.other.iter().map(|(_, value)| &**value);
        let named = original.from.iter().chain(&original.to).map(String::as_str);
        original.return_path.as_deref().into_iter().chain(other).chain(named)
    });
    let found = feedback.chain(original).take(4 * MAX_NAMED).flat_map(|text| {
        let text = text::cut(text, 4096);
        let bare = text.trim().trim_start_matches('<').trim_end_matches('>');
        address::split(bare).map(|_| vec![bare.to_owned()]).unwrap_or_else(|| prose::addresses(text))
    });
    let mut found = prose::distinct(found.collect());
    found.truncate(MAX_NAMED);
    found
}

/// One mail at one VERP address is one event for one person: failed before delayed before delivered (taxonomy rules 4 and 6).
fn fold(verdicts: Vec<Verdict>, verp: &str) -> Vec<Verdict> {
    let theirs = |verdict: &Verdict| verdict.address.as_deref() != Some(verp);
    let Some(mut one) = verdicts.into_iter().min_by_key(|verdict| (gravity(verdict.status), theirs(verdict))) else { return Vec::new() };
    one.reported_address = one.address.take().filter(|named| named != verp);
    one.address = Some(verp.to_owned());
    vec![one]
}

/// Failed, delayed, what people and their software answer, delivered, nothing.
fn gravity(status: Status) -> u8 {
    match status {
        Status::TransientBounce => 1,
        Status::SpamComplaint | Status::UnsubscribeRequest => 2,
        Status::AutoReply | Status::SubscribeRequest | Status::ChallengeResponse => 3,
        Status::Delivered => 4,
        Status::Undetermined => 5,
        _ => 0,
    }
}

fn kind_of(status: Status) -> Kind {
    match status {
        Status::AutoReply => Kind::AutoReply,
        Status::SubscribeRequest | Status::UnsubscribeRequest => Kind::Request,
        Status::ChallengeResponse => Kind::Challenge,
        Status::SpamComplaint => Kind::Complaint,
        Status::Delivered => Kind::Delivered,
        Status::Undetermined => Kind::Other,
        _ => Kind::Bounce,
    }
}

#[cfg(test)]
mod tests;
