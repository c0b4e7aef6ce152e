//! Handmade reports, and what must be told of them.

use super::*;
use crate::{
    message::{Form, Header, RecipientFields},
    taxonomy::Action,
};

mod answers;
mod operator;
mod properties;
mod providers;
mod rules;
mod sorts;

fn header(from: &str, subject: &str) -> Header<'static> {
    Header {
        from: vec![from.to_owned()],
        subject: Some(subject.to_owned()),
        to: vec!["news@returns.example.com".into()],
        ..Header::default()
    }
}

fn daemon() -> Header<'static> {
    header("MAILER-DAEMON@mx.example.com", "Undelivered Mail Returned to Sender")
}

fn block(action: Option<Action>, status: &str, diagnostic: &str) -> RecipientFields {
    RecipientFields {
        final_recipient: Some("alice@example.org".into()),
        action,
        status: (!status.is_empty()).then(|| status.into()),
        diagnostic: (!diagnostic.is_empty()).then(|| diagnostic.into()),
        diagnostic_type: Some("smtp".into()),
        ..RecipientFields::default()
    }
}

fn dsn(blocks: Vec<RecipientFields>) -> Report<'static> {
    Report { header: daemon(), form: Form::Dsn, recipients: blocks, reporting_mta: Some("mx.example.com".into()), ..Report::default() }
}

fn bounce(prose: &str) -> Report<'static> {
    Report { header: daemon(), prose: prose.into(), ..Report::default() }
}

fn mail(from: &str, subject: &str, prose: &str) -> Report<'static> {
    Report { header: header(from, subject), prose: prose.into(), ..Report::default() }
}

fn told(report: &Report) -> Vec<Verdict> {
    tell(report, &Envelope::default()).verdicts
}

fn one(report: &Report) -> Verdict {
    let mut verdicts = told(report);
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    verdicts.remove(0)
}

fn failed(status: &str, diagnostic: &str) -> Status {
    one(&dsn(vec![block(Some(Action::Failed), status, diagnostic)])).status
}
