//! The action `resend`.

use std::time::Duration;

use jiff::SignedDuration;

use super::{
    reader::{At, Table},
    step::Means,
    units,
};
use crate::{
    action::{ResendMessage, check_resend_source},
    ledger::ResendStep,
};

/// `sequence`: in whose step it stands, if in one.
pub fn read(at: &At<'_>, means: &Means<'_>, sequence: Option<&str>) -> Option<ResendStep> {
    let table = at.table()?;
    if sequence.is_some() {
        return at.fail("answers a mail that came in, so it stands in a trigger; take it out of the sequence");
    }
    if !means.has_mail {
        at.fail::<()>("needs a way out; write a [mail] section with relay and from");
    }
    let after = table.need("after", "\"1 day\"").and_then(|at| at.parsed(after));
    let attempts = u16::try_from(table.integer("attempts", 3, 1..=100)).unwrap_or(3);
    let message = table.get("message").map_or(Some(ResendMessage::Original), |at| message(&at, means));
    if let (Some(after), Some(ResendMessage::Original)) = (after, &message) {
        fits_keep(&table, after, attempts, means.keep.raw);
    }
    table.close();
    Some(ResendStep { after: SignedDuration::try_from(after?).ok()?, attempts, message: message? })
}

fn after(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        long if long > units::DAY * 365 => Err(format!("'{text}' is more than a year; write less")),
        length => Ok(length),
    }
}

/// The original lies in the bounce, and that isn't kept for ever.
fn fits_keep(table: &Table<'_>, after: Duration, attempts: u16, keep: Duration) {
    if after.saturating_mul(u32::from(attempts)) > keep {
        let days = keep.as_secs() / units::DAY.as_secs();
        table.fail(
            "after",
            format_args!("times attempts is longer than keep.raw ({days} days), which keeps the mail; shorten it, or keep raw longer"),
        );
    }
}

fn message(at: &At<'_>, means: &Means<'_>) -> Option<ResendMessage> {
    if at.text()? == "original" {
        return Some(ResendMessage::Original);
    }
    let text = means.files.text(at)?;
    at.ok(check_resend_source(&text))?;
    Some(ResendMessage::Given(text))
}
