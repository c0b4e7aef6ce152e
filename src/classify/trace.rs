//! The steps that led to a telling, for people to read.

use std::collections::HashSet;

use crate::{message::Report, taxonomy::Status};

use super::{
    Decided, Telling, Verdict,
    judged::Judged,
    places::Texts,
    prose::{Prose, address_in},
    reply::{self, Stage},
    said, tables,
    text::{Text, tidy},
    weigh::Clue,
};

/// How one mail was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What speaks for one sort of mail or another.
    pub signs: Vec<String>,
    /// The rule that told what sort of mail it is, and the words it matched.
    pub rule: String,
    pub evidence: Option<String>,
    /// One for each recipient that the mail speaks of, before a VERP address makes one verdict of them.
    pub recipients: Vec<RecipientTrace>,
    pub telling: Telling,
}

/// How one verdict came about.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientTrace {
    pub verdict: Verdict,
    pub decided: Decided,
    /// Where the mail names the recipient, the most trusted place first.
    pub named_in: Vec<&'static str>,
    /// The command that was refused, where the text says so.
    pub stage: Option<&'static str>,
    /// Reply codes and enhanced status codes, as they stand in the diagnostic or the recipient's paragraph, else in the text.
    pub codes: Vec<String>,
    /// The reply that the text quotes, where no field gives a diagnostic: it is weighed before the text round it.
    pub quoted: Option<String>,
    /// All that spoke for a status, best first; where weight decided, the first one won.
    pub candidates: Vec<Candidate>,
    /// Whether a field gave the diagnostic; else it is the recipient's paragraph.
    pub by_field: bool,
}

/// Words or a code that spoke for a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub status: Status,
    /// 0 to 100, see phrases.toml.
    pub weight: u8,
    pub rule: String,
    pub evidence: Option<String>,
    pub note: Option<&'static str>,
    pub won: bool,
    /// Why it lost; empty for the winner.
    pub lost: String,
}

pub(super) fn of(judged: &Judged<'_>, report: &Report, prose: &Prose) -> RecipientTrace {
    let Texts { diagnostic, section, human } = judged.places.texts();
    let quoted = human.or(section).filter(|_| diagnostic.is_none()).and_then(said::reply);
    let human = human.filter(|_| diagnostic.is_none() && section.is_none());
    let said = |strict: bool, text: Option<&str>| text.map(|text| reply::codes(text, strict)).unwrap_or_default();
    let mut codes: Vec<String> = Vec::new();
    for reply in [said(false, diagnostic), said(true, section), said(true, human)] {
        codes.extend(reply.codes.into_iter().chain(reply.enhanced).filter(|code| !codes.contains(code)).collect::<Vec<_>>());
    }
    let stage = [diagnostic, section].into_iter().flatten().find_map(|text| reply::stage(&Text::new(text)));
    RecipientTrace {
        verdict: judged.verdict.clone(),
        decided: judged.decided,
        named_in: judged.verdict.address.as_deref().map(|address| named_in(address, report, prose)).unwrap_or_default(),
        stage: stage.map(|stage| match stage {
            Stage::BeforeRecipient => "before the recipient was named (greeting or MAIL FROM)",
            Stage::Recipient => "RCPT TO",
            Stage::Content => "the message's content",
        }),
        codes,
        quoted: quoted.map(|reply| tidy(reply, 1000)),
        candidates: candidates(judged),
        by_field: diagnostic.is_some(),
    }
}

fn candidates(judged: &Judged<'_>) -> Vec<Candidate> {
    let best = judged.clues.first();
    let each = |(place, clue): (usize, &Clue)| {
        let won = place == 0 && judged.decided == Decided::Weight;
        let lost = match judged.decided {
            _ if won => String::new(),
            Decided::Operator => "the operator's rules come first".to_owned(),
            Decided::Action => "the Action field stands before codes and words".to_owned(),
            Decided::Notice => "the notice as a whole says what became of the mail".to_owned(),
            Decided::Sort => "the mail is no bounce".to_owned(),
            Decided::Weight | Decided::Class => best.map(|best| why_lost(best, clue)).unwrap_or_default(),
        };
        Candidate {
            status: clue.status,
            weight: clue.weight,
            rule: clue.rule.clone(),
            evidence: clue.evidence.clone(),
            note: tables::note(&clue.rule),
            won,
            lost,
        }
    };
    // The field and the diagnostic often bear the same code.
    let mut seen = HashSet::new();
    judged.clues.iter().enumerate().filter(|(_, clue)| seen.insert((&clue.rule, &clue.evidence))).map(each).collect()
}

/// See the weights in phrases.toml.
fn why_lost(best: &Clue, clue: &Clue) -> String {
    if best.weight == clue.weight {
        return format!("weighs {} as well; {} matched more", clue.weight, best.rule);
    }
    let against = format!("{} against {}", clue.weight, best.weight);
    if clue.status == best.status {
        return format!("{against}, and says the same");
    }
    let sort = if best.rule.starts_with("reply-") {
        "a reply code"
    } else if best.rule.starts_with("code-") {
        if best.weight >= tables::EXACT { "an exact code, which outweighs vague words" } else { "a vague code" }
    } else if best.weight > tables::EXACT {
        "plain words, which outweigh any code"
    } else if best.weight > tables::VAGUE {
        "words, which outweigh a vague code"
    } else {
        "words that yield to any code that says something"
    };
    format!("{against}: {} is {sort}", best.rule)
}

/// The places that name an address, in the order in which they are trusted (taxonomy rule 4).
fn named_in(address: &str, report: &Report, prose: &Prose) -> Vec<&'static str> {
    let is = |text: &String| address_in(text).as_deref() == Some(address);
    let any = |list: &[String]| list.iter().any(|one| one == address);
    let fields = &report.recipients;
    let feedback = report.feedback.as_ref();
    let disposition = report.disposition.as_ref();
    let original = report.original.as_ref();
    let places = [
        ("Original-Recipient", fields.iter().any(|one| one.original_recipient.iter().any(is))),
        ("Final-Recipient", fields.iter().any(|one| one.final_recipient.iter().any(is))),
        ("X-Actual-Recipient", fields.iter().any(|one| one.actual_recipient.iter().any(is))),
        ("Original-Rcpt-To of the feedback report", feedback.is_some_and(|one| one.original_rcpt_to.iter().any(is))),
        ("Removal-Recipient of the feedback report", feedback.is_some_and(|one| one.removal_recipient.iter().any(is))),
        ("the disposition notification", disposition.is_some_and(|one| one.original_recipient.iter().chain(&one.final_recipient).any(is))),
        ("X-Failed-Recipients", report.header.failed_recipients.iter().any(is)),
        ("the head of a paragraph", prose.sections().iter().any(|one| one.address == address)),
        ("RCPT TO in the text", any(&prose.named().commanded)),
        ("a sentence of the text", any(&prose.named().introduced)),
        ("the text", any(&prose.named().mentioned)),
        ("From", report.header.from.iter().any(is)),
        ("Reply-To", report.header.reply_to.iter().any(is)),
        ("To of the returned original", original.is_some_and(|one| one.to.iter().any(is))),
    ];
    places.into_iter().filter(|(_, names)| *names).map(|(place, _)| place).collect()
}
