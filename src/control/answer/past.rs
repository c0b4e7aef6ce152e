//! The past: mails brought in, and the log of all inputs given out.

use std::io;

use bytes::Bytes;
use data_encoding::BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AnswerError, Source, refused};
use crate::intake::{How, Imported};

type Row<'a> = &'a mut dyn FnMut(Value) -> io::Result<()>;

pub(super) fn import(source: &Source, rcpt: Option<&String>, fire: bool, mails: &[String], row: Row<'_>) -> Result<(), AnswerError> {
    let decode = |text: &String| BASE64.decode(text.as_bytes()).map(Bytes::from).map_err(|_| refused("a mail that isn't in base64"));
    let mails: Vec<Bytes> = mails.iter().map(decode).collect::<Result<_, _>>()?;
    let kept = Timestamp::now().saturating_sub(source.plan.keep_events()).unwrap_or(Timestamp::MIN);
    let how = How { rcpt: rcpt.cloned(), fire, not_before: kept };
    for imported in source.runtime.block_on(source.intake.import(mails, &how))? {
        row(match imported {
            Imported::Counted { status, fired } => json!({ "outcome": "counted", "status": status, "fired": fired }),
            Imported::Known => json!({ "outcome": "known" }),
            Imported::TooOld => json!({ "outcome": "too-old" }),
            Imported::NotOurs(why) => json!({ "outcome": "not-ours", "why": why }),
        })?;
    }
    Ok(())
}

pub(super) fn log(source: &Source, from: u64, row: Row<'_>) -> Result<(), AnswerError> {
    let events = source.store.log(from)?;
    if events.is_empty() {
        return Ok(());
    }
    let bytes = postcard::to_stdvec(&events).map_err(refused)?;
    Ok(row(Value::from(BASE64.encode(&bytes)))?)
}
