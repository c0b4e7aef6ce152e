//! An event of the store, and its mail where that is still kept.

use std::path::Path;

use serde_json::Value;

use super::{Explanation, explanation, rules};
use crate::{
    address,
    classify::Envelope,
    cli::{ask, ended::Failed},
    control::Request,
};

/// The stored event, and the steps where its raw mail is still kept.
pub fn explain(config: &Path, id: u64) -> Result<(Option<Value>, Option<Explanation>), Failed> {
    let mut answer = Value::Null;
    ask::ask(config, &Request::Event { id }, &mut |row| {
        answer = row;
        Ok(())
    })?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut event = answer["event"].take();
    let steps = match answer["raw"].as_str() {
        Some(raw) => {
            let raw = data_encoding::BASE64
                .decode(raw.as_bytes())
                .map_err(|error| Failed::Because(format!("the raw mail of event {id}: {error}")))?;
            let reverse_path = text(&answer["reverse_path"]);
            // A VERP address, the recipient or one inside that is signed, named the person; elsewhere only the mail did.
            let rcpt = event["rcpt"].as_str().unwrap_or_default();
            let verp = standing(&answer["standing"]) != "own" && (event["signed"] == true || is_verp(config, rcpt)?);
            let verp = text(&event["address"]).filter(|_| verp);
            let envelope = Envelope { reverse_path: reverse_path.as_deref(), verp_address: verp.as_deref() };
            Some(explanation(&format!("event {id}"), &raw, &envelope, rules(config, true)?.as_ref()))
        }
        None => None,
    };
    if let Value::Object(event) = &mut event {
        event.insert("standing".to_owned(), Value::String(standing(&answer["standing"]).to_owned()));
        event.insert("raw_kept".to_owned(), Value::Bool(steps.is_some()));
    }
    Ok((Some(event), steps))
}

/// Whether a recipient is a VERP address: neither a plain one nor the daemon's own.
fn is_verp(config: &Path, rcpt: &str) -> Result<bool, Failed> {
    let config = crate::config::Config::load(config).map_err(Failed::Config)?;
    let local = address::split(rcpt).map_or(rcpt, |(local, _)| local).to_lowercase();
    Ok(!config.smtp.plain.contains(&local) && !matches!(local.as_str(), "postmaster" | "abuse"))
}

fn standing(value: &Value) -> &'static str {
    match value.as_str().unwrap_or_default() {
        "Full" => "full",
        "Unsigned" => "unsigned",
        "Expired" => "expired",
        _ => "own",
    }
}
