//! The verdicts of a bounce: one for each recipient.

use std::sync::LazyLock;

use regex::bytes;

use crate::{
    message::{RecipientFields, Report},
    taxonomy::{Action, Status},
};

use super::{
    Envelope, Verdict, headings,
    judged::{Decided, Judged},
    kind::Nature,
    places::Places,
    prose::Prose,
    recipient::{self, Recipient},
    reply::Reply,
    said, subject,
    tables::{self, Scope},
    text::{Text, tidy},
    weigh::{self, Clue, Sources, Weighed},
};

/// The longest diagnostic that is kept, in characters.
const MAX_DIAGNOSTIC: usize = 1000;
/// The longest name of a host that is kept, in characters (RFC 1035: 255 octets).
const MAX_HOST: usize = 255;

/// "host mx.example.org [192.0.2.1]", as Postfix and Exim say it.
static HOST: LazyLock<Option<bytes::Regex>> = LazyLock::new(|| bytes::Regex::new(r"(?i-u)\bhost\s+([a-z0-9][a-z0-9.\-]{2,200})\s*\[").ok());

pub fn verdicts<'a>(report: &'a Report, envelope: &Envelope<'_>, prose: &'a Prose<'a>, nature: &Nature) -> Vec<Judged<'a>> {
    let recipients = recipient::recipients(report, prose);
    let names: Vec<Vec<&str>> = recipients.iter().map(names).collect();
    // Where each has a field that settles it, nothing above them counts.
    let settled = recipients.iter().all(|recipient| recipient.fields.is_some_and(RecipientFields::is_final));
    let headings = if settled { Vec::new() } else { headings::above(prose, &names) };
    let under = |heading: Option<Status>| Nature { notice: heading.filter(|status| *status != Status::GeneralBounce), ..nature.clone() };
    let natures: Vec<Nature> = headings.into_iter().map(under).collect();
    let judge_all = |whole: bool| -> Vec<Judged<'a>> {
        let one = |(at, recipient)| judge(report, envelope, prose, natures.get(at).unwrap_or(nature), recipient, whole);
        recipients.iter().enumerate().map(one).collect()
    };
    let alone = recipients.len() == 1;
    let mut judgments = judge_all(alone);
    // A notice may tell the cause once, before it names those for whom it is the same.
    if !alone && judgments.iter().all(|one| one.clues.is_empty()) {
        judgments = judge_all(true);
    }
    let mut all: Vec<Judged<'a>> = Vec::new();
    for judged in judgments {
        let twin = all.iter_mut().find(|known| known.verdict.address.is_some() && known.verdict.address == judged.verdict.address);
        match twin {
            Some(known) if super::gravity(judged.verdict.status) < super::gravity(known.verdict.status) => *known = judged,
            Some(_) => {}
            None => all.push(judged),
        }
    }
    all
}

fn names<'r>(recipient: &'r Recipient<'_>) -> Vec<&'r str> {
    recipient.address.iter().chain(&recipient.aliases).map(String::as_str).collect()
}

/// `whole`: the notice speaks of nobody else, or says the same of all.
fn judge<'a>(
    report: &'a Report,
    envelope: &Envelope<'_>,
    prose: &'a Prose<'a>,
    nature: &Nature,
    recipient: &Recipient<'a>,
    whole: bool,
) -> Judged<'a> {
    let fields = recipient.fields;
    let diagnostic = fields.and_then(|fields| fields.diagnostic.as_deref());
    let places = Places::of(diagnostic, prose, recipient.address.iter().chain(&recipient.aliases).cloned().collect(), whole);
    let mut known = places.names().to_vec();
    known.extend(report.header.to.iter().chain(&report.header.from).filter_map(|one| crate::address::normal(one)));
    let senders: Vec<String> = recipient::own(report).into_iter().filter(|one| !places.names().contains(one)).collect();
    // dma and home-made notices have the reply alone, in no paragraph of the recipient's.
    let quoted = || said::reply(prose.human()).filter(|_| whole);
    let text = places.diagnostic().or_else(|| places.section().filter(|text| !text.trim().is_empty())).or_else(quoted);
    let remote_mta = fields
        .and_then(|fields| fields.remote_mta.as_deref())
        .map(|host| tidy(host, MAX_HOST))
        .or_else(|| said_by(text?))
        .or_else(|| said_by(places.section_with(&HOST)?));
    let status = fields.and_then(|fields| fields.status.as_deref());
    let sources = Sources { places: &places, host: remote_mta.as_deref(), status, known: &known, senders: &senders };
    let mut weighed = weigh::weigh(&sources);
    if whole && weighed.clues.is_empty() {
        weighed.clues = of_subject(report, &sources);
    }
    let arrived = !whole && fields.is_none() && weighed.clues.is_empty() && places.section().is_some_and(arrived);
    let action = if arrived { Action::Delivered } else { action(recipient, nature, &weighed) };
    let has_address = recipient.address.is_some() || envelope.verp_address.is_some();
    let (clue, decided) = decide(recipient, nature, &weighed, action, has_address);
    let verdict = Verdict {
        address: recipient.address.clone(),
        reported_address: None,
        status: clue.status,
        action: Some(action),
        enhanced: weighed.enhanced,
        reply: weighed.reply,
        diagnostic: text.map(|text| tidy(text, MAX_DIAGNOSTIC)),
        remote_mta,
        reporting_mta: report.reporting_mta.as_deref().map(|host| tidy(host, MAX_HOST)),
        rule: clue.rule,
        evidence: clue.evidence,
        returns: None,
        new_address: clue.new_address,
    };
    Judged { verdict, decided, clues: weighed.clues, places }
}

/// What a mail system says in the subject alone.
fn of_subject(report: &Report, sources: &Sources<'_>) -> Vec<Clue> {
    let told = |subject| weigh::of_words(&Text::new(subject), sources, &Reply::default(), false);
    let mut clues = subject::own(report).map(told).unwrap_or_default();
    // sendmail's "Service unavailable" says nothing but that it failed.
    clues.retain(|clue| clue.weight > tables::EXACT);
    clues
}

/// Whether a recipient's paragraph says that the mail got there, in a word or by a reply of the class 2yz, and nothing else: so do lists that tell
/// each recipient's fate.
fn arrived(section: &str) -> bool {
    let mut lines = section.lines().map(|line| line.trim_matches(|c: char| !c.is_alphanumeric())).filter(|line| !line.is_empty());
    let Some(said) = lines.next().filter(|said| said.len() <= 60) else { return false };
    let digits = |code: &str| code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let reply = || said.starts_with('2') && said.split_once(' ').is_some_and(|(code, _)| digits(code));
    let word = || tables::find(&Text::new(said), Scope::Notice).iter().any(|hit| hit.rule.status == Status::Delivered);
    lines.next().is_none() && (reply() || word())
}

fn said_by(text: &str) -> Option<String> {
    let host = HOST.as_ref()?.captures(text.as_bytes())?.get(1)?;
    text.get(host.range()).map(str::to_lowercase)
}

/// The field, else what the notice as a whole says; words that it is over outweigh a delay (taxonomy rules 1 and 7).
fn action(recipient: &Recipient<'_>, nature: &Nature, weighed: &Weighed) -> Action {
    let field = recipient.fields.and_then(|fields| fields.action);
    let retried = recipient.fields.is_some_and(|fields| fields.will_retry_until.is_some());
    let noticed = match nature.notice {
        Some(Status::TransientBounce) => Action::Delayed,
        Some(Status::Delivered) => Action::Delivered,
        _ if retried => Action::Delayed,
        _ => Action::Failed,
    };
    // RFC 3463, section 3.5: X.4.7, delivery time expired. OpenSMTPD's last notice has it beside the words of its delay warning.
    let expired = weighed.enhanced.as_deref().is_some_and(|code| code.ends_with(".4.7"));
    match field.unwrap_or(noticed) {
        Action::Delayed if nature.over || weighed.over && (expired || nature.notice != Some(Status::TransientBounce)) => Action::Failed,
        action => action,
    }
}

fn decide(recipient: &Recipient<'_>, nature: &Nature, weighed: &Weighed, action: Action, has_address: bool) -> (Clue, Decided) {
    let by_field = recipient.fields.is_some_and(|fields| fields.action.is_some());
    let told = |status, rule: &str| Clue {
        status,
        weight: 100,
        rule: if by_field || nature.notice.is_none() { rule.to_owned() } else { nature.rule.clone() },
        evidence: if by_field { Some(format!("Action: {}", action.id())) } else { nature.evidence.clone() },
        new_address: None,
    };
    let outcome = if by_field { Decided::Action } else { Decided::Notice };
    match action {
        Action::Delayed => return (told(Status::TransientBounce, "action-delayed"), outcome),
        Action::Delivered => return (told(Status::Delivered, "action-delivered"), outcome),
        Action::Relayed => return (told(Status::Delivered, "action-relayed"), outcome),
        Action::Expanded => return (told(Status::Delivered, "action-expanded"), outcome),
        Action::Failed => {}
    }
    let unknown = || Clue { status: Status::GeneralBounce, weight: 0, rule: "no-cause".to_owned(), evidence: None, new_address: None };
    let mut clue = weighed.clues.first().cloned().or_else(|| weighed.by_class()).unwrap_or_else(unknown);
    if !has_address {
        clue.status = Status::BounceNoAddress;
    }
    let decided = if weighed.clues.is_empty() { Decided::Class } else { Decided::Weight };
    (clue, decided)
}
