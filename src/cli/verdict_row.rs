//! One told mail as a JSON object or as aligned lines for people.

use std::io::{self, Write};

use serde::Serialize;

use super::output::{json_line, printable};
use crate::{
    classify::{Telling, Verdict},
    message::Header,
};

/// The object of `classify --json`: every key is always there, an absent fact is null.
#[derive(Serialize)]
pub struct MailRow<'a> {
    source: &'a str,
    message_id: Option<&'a str>,
    kind: &'static str,
    return_path: Option<&'a str>,
    subject: Option<&'a str>,
    recipients: Vec<RecipientRow<'a>>,
}

/// One of `recipients`.
#[derive(Serialize)]
pub struct RecipientRow<'a> {
    address: Option<&'a str>,
    status: &'static str,
    fault: &'static str,
    action: Option<&'static str>,
    enhanced: Option<&'a str>,
    reply: Option<&'a str>,
    diagnostic: Option<&'a str>,
    remote_mta: Option<&'a str>,
    reporting_mta: Option<&'a str>,
    rule: &'a str,
    evidence: Option<&'a str>,
    reported_address: Option<&'a str>,
    returns: Option<&'a str>,
    new_address: Option<&'a str>,
}

impl<'a> MailRow<'a> {
    pub fn new(source: &'a str, header: &'a Header, telling: &'a Telling) -> MailRow<'a> {
        MailRow {
            source,
            message_id: header.message_id.as_deref(),
            kind: telling.kind.id(),
            return_path: header.return_path.as_deref(),
            subject: header.subject.as_deref(),
            recipients: telling.verdicts.iter().map(RecipientRow::new).collect(),
        }
    }

    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        json_line(out, self)
    }

    /// One line for each recipient under fixed columns, so that a million mails need no more memory than one.
    pub fn write_columns(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.recipients {
            let code = [row.reply, row.enhanced].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let address = printable(row.address.unwrap_or("-"));
            writeln!(out, "{:<30}  {address:<36}  {code:<10}  {:<24}  {}", row.status, row.rule, printable(self.source))?;
        }
        Ok(())
    }
}

/// The titles over [`MailRow::write_columns`].
pub fn write_titles(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<30}  {:<36}  {:<10}  {:<24}  SOURCE", "STATUS", "ADDRESS", "CODE", "RULE")
}

impl<'a> RecipientRow<'a> {
    pub fn new(verdict: &'a Verdict) -> RecipientRow<'a> {
        // Absent facts are null, never empty texts.
        let fact = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty());
        RecipientRow {
            address: fact(&verdict.address),
            status: verdict.status.id(),
            fault: verdict.status.fault().id(),
            action: verdict.action.map(|action| action.id()),
            enhanced: fact(&verdict.enhanced),
            reply: fact(&verdict.reply),
            diagnostic: fact(&verdict.diagnostic),
            remote_mta: fact(&verdict.remote_mta),
            reporting_mta: fact(&verdict.reporting_mta),
            rule: &verdict.rule,
            evidence: fact(&verdict.evidence),
            reported_address: fact(&verdict.reported_address),
            returns: fact(&verdict.returns),
            new_address: fact(&verdict.new_address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_every_key() {
        let header = Header { return_path: Some(String::new()), ..Header::default() };
        let telling = Telling { kind: crate::taxonomy::Kind::Other, verdicts: vec![Verdict::undetermined("nothing")] };
        let mut out = Vec::new();
        MailRow::new("in/1.eml", &header, &telling).write_json(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"source":"in/1.eml","message_id":null,"kind":"other","return_path":"","subject":null,"recipients":[{"address":null,"#,
                r#""status":"undetermined","fault":"unknown","action":null,"enhanced":null,"reply":null,"diagnostic":null,"remote_mta":null,"#,
                r#""reporting_mta":null,"rule":"nothing","evidence":null,"reported_address":null,"returns":null,"new_address":null}]}"#,
                "\n"
            )
        );
    }
}
