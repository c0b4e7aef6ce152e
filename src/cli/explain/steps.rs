//! The steps as rows: what `explain --json` prints and the text is made of.

use serde::{Serialize, Serializer};

use super::mark::{First, Mail, Marked};
use crate::{
    classify::{Decided, RecipientTrace, Trace, Verdict, note},
    cli::verdict_row::RecipientRow,
    message::{Form, Original, PartSeen, Report, Taken},
};

#[derive(Debug, Serialize)]
pub struct Explanation {
    pub source: String,
    pub octets: usize,
    pub form: &'static str,
    pub parts: Vec<PartRow>,
    /// What is known of the original; nothing in it counts.
    pub original: Option<OriginalRow>,
    pub signs: Vec<String>,
    pub kind: &'static str,
    pub kind_rule: String,
    pub kind_evidence: Option<String>,
    pub kind_lines: Vec<Marked>,
    pub steps: Vec<Step>,
    /// Whom the envelope names: then one verdict is made of all.
    pub verp_address: Option<String>,
    /// As `classify --json` has them.
    #[serde(rename = "recipients", serialize_with = "rows")]
    pub verdicts: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
pub struct PartRow {
    pub mime: String,
    pub charset: Option<String>,
    pub encoding: String,
    pub octets: usize,
    pub taken: String,
}

#[derive(Debug, Serialize)]
pub struct OriginalRow {
    /// Whether it came back as a part of the mail's structure.
    pub own_part: bool,
    pub message_id: Option<String>,
    pub subject: Option<String>,
    pub to: Vec<String>,
}

/// How the verdict of one recipient came about.
#[derive(Debug, Serialize)]
pub struct Step {
    pub address: Option<String>,
    pub named_in: Vec<&'static str>,
    pub action: Option<&'static str>,
    pub codes: Vec<String>,
    pub stage: Option<&'static str>,
    pub diagnostic: Option<String>,
    /// The reply that the text quotes.
    pub quoted: Option<String>,
    pub decided: &'static str,
    pub status: &'static str,
    pub rule: String,
    pub note: Option<&'static str>,
    pub evidence: Option<String>,
    pub lines: Vec<Marked>,
    pub candidates: Vec<CandidateRow>,
}

#[derive(Debug, Serialize)]
pub struct CandidateRow {
    pub status: &'static str,
    pub weight: u8,
    pub rule: String,
    pub note: Option<&'static str>,
    pub evidence: Option<String>,
    pub won: bool,
    pub lost: Option<String>,
}

impl Explanation {
    pub fn new(source: &str, raw: &[u8], report: &Report, parts: &[PartSeen], trace: Trace, verp: Option<&str>) -> Explanation {
        let mail = Mail::new(raw, report, parts);
        let kind_lines = trace.evidence.as_deref().map(|words| mail.find(words, First::Text(None))).unwrap_or_default();
        Explanation {
            source: source.to_owned(),
            octets: raw.len(),
            form: form(report.form),
            parts: parts.iter().map(PartRow::new).collect(),
            original: report.original.as_ref().map(|original| OriginalRow::new(original, parts)),
            signs: trace.signs,
            kind: trace.telling.kind.id(),
            kind_rule: trace.rule,
            kind_evidence: trace.evidence,
            kind_lines,
            steps: trace.recipients.iter().map(|one| Step::new(one, &mail)).collect(),
            verp_address: verp.map(str::to_owned),
            verdicts: trace.telling.verdicts,
        }
    }
}

fn rows<S: Serializer>(verdicts: &[Verdict], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(verdicts.iter().map(RecipientRow::new))
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Dsn => "delivery status notification (RFC 3464)",
        Form::Arf => "feedback report (RFC 5965)",
        Form::Mdn => "disposition notification (RFC 8098)",
        Form::Calendar => "calendar mail (RFC 6047)",
        Form::Aggregate => "aggregate report on a domain (DMARC or SMTP TLS)",
        Form::Prose => "no standard report: told by header and words",
    }
}

impl PartRow {
    fn new(part: &PartSeen) -> PartRow {
        let taken = match part.taken {
            Taken::Status(recipients) => format!("delivery status, recipients: {recipients}"),
            Taken::Feedback => "feedback report".to_owned(),
            Taken::Disposition => "disposition notification".to_owned(),
            Taken::Original => "the returned original, set apart: nothing in it counts".to_owned(),
            Taken::Text => "words for people".to_owned(),
            Taken::Nothing => "not needed".to_owned(),
        };
        PartRow { mime: part.mime.clone(), charset: part.charset.clone(), encoding: part.encoding.clone(), octets: part.range.len(), taken }
    }
}

impl OriginalRow {
    fn new(original: &Original, parts: &[PartSeen]) -> OriginalRow {
        let own_part = parts.iter().any(|part| part.taken == Taken::Original);
        OriginalRow { own_part, message_id: original.message_id.clone(), subject: original.subject.clone(), to: original.to.clone() }
    }
}

impl Step {
    fn new(one: &RecipientTrace, mail: &Mail<'_>) -> Step {
        let verdict = &one.verdict;
        let address = verdict.address.as_deref();
        let first = if one.by_field { First::Status(address) } else { First::Text(address) };
        Step {
            address: verdict.address.clone(),
            named_in: one.named_in.clone(),
            action: verdict.action.map(|action| action.id()),
            codes: one.codes.clone(),
            stage: one.stage,
            diagnostic: verdict.diagnostic.clone(),
            quoted: one.quoted.clone().filter(|_| one.decided != Decided::Sort),
            decided: decided(one.decided),
            status: verdict.status.id(),
            rule: verdict.rule.clone(),
            note: note(&verdict.rule).filter(|_| one.decided != Decided::Operator),
            evidence: verdict.evidence.clone(),
            lines: verdict.evidence.as_deref().map(|words| mail.find(words, first)).unwrap_or_default(),
            candidates: one.candidates.iter().map(CandidateRow::new).collect(),
        }
    }
}

fn decided(by: Decided) -> &'static str {
    match by {
        Decided::Operator => "a rule of the operator's own, tried before all tables",
        Decided::Action => "the Action field, honoured before codes and words",
        Decided::Notice => "what the notice says as a whole",
        Decided::Weight => "the heaviest words or code",
        Decided::Class => "no words and no code that the tables know: the reply's class, if any",
        Decided::Sort => "the sort of mail it is",
    }
}

impl CandidateRow {
    fn new(candidate: &crate::classify::Candidate) -> CandidateRow {
        CandidateRow {
            status: candidate.status.id(),
            weight: candidate.weight,
            rule: candidate.rule.clone(),
            note: candidate.note,
            evidence: candidate.evidence.clone(),
            won: candidate.won,
            lost: (!candidate.lost.is_empty()).then(|| candidate.lost.clone()),
        }
    }
}
