//! `[count]`, `[alerts]`, `[keep]` and `[metrics]`: the short sections.

use std::{net::SocketAddr, time::Duration};

use jiff::{SignedDuration, civil::Time};

use super::{Alerts, Keep, Smtp, names, reader::Table, smtp::outside, units};

const DAY: Duration = units::DAY;

/// `reset_after` and `reset_on_delivered`.
pub fn count(table: Option<Table<'_>>) -> (Option<SignedDuration>, bool) {
    let Some(table) = table else { return (None, false) };
    let after = table.or("reset_after", None, units::duration_or_never);
    let on_delivered = table.boolean("reset_on_delivered", false);
    table.close();
    (after.and_then(|after| SignedDuration::try_from(after).ok()), on_delivered)
}

pub fn alerts(table: Option<Table<'_>>, smtp: Option<&Smtp>, has_mail: bool) -> Alerts {
    let mut alerts =
        Alerts { to: Vec::new(), silence: Some(DAY), blocks: (0.2, 50), undetermined: 100, digest_at: Time::constant(8, 0, 0, 0) };
    let Some(table) = table else { return alerts };
    let domains = smtp.map(|smtp| smtp.domains.as_slice()).unwrap_or_default();
    alerts.to = table.list("to").iter().filter_map(|at| outside(at, domains)).collect();
    if !alerts.to.is_empty() && !has_mail {
        table.fail("to", "alerts go by mail; write a [mail] section with relay and from");
    }
    alerts.silence = table.or("silence", alerts.silence, units::duration_or_never);
    if let Some(blocks) = table.table("blocks") {
        if let Some(at) = blocks.get("share")
            && let Some(share) = at.float()
        {
            if share > 0.0 && share <= 1.0 {
                alerts.blocks.0 = share;
            } else {
                at.fail::<()>("must be a share between 0 and 1, such as 0.2");
            }
        }
        alerts.blocks.1 = blocks.integer("at_least", alerts.blocks.1, 1..=u64::from(u32::MAX));
        blocks.close();
    }
    alerts.undetermined = table.integer("undetermined", alerts.undetermined, 1..=u64::from(u32::MAX));
    alerts.digest_at = table.or("digest_at", alerts.digest_at, units::time);
    table.close();
    alerts
}

pub fn keep(table: Option<Table<'_>>) -> Keep {
    let keep = Keep { events: DAY * 400, raw: DAY * 30 };
    let Some(table) = table else { return keep };
    // Sequences, digests and the guard's usual week need some past.
    let events = table.or("events", keep.events, |text| between(text, 7, "a week", "7 days"));
    let raw = table.or("raw", keep.raw, |text| between(text, 1, "a day", "1 day"));
    let keep = Keep { events, raw };
    table.close();
    keep
}

fn between(text: &str, days: u32, told: &str, example: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        short if short < DAY * days => Err(format!("'{text}' is shorter than {told}; write \"{example}\" or more")),
        long if long > DAY * 36_500 => Err(format!("'{text}' is more than a hundred years; write less")),
        length => Ok(length),
    }
}

pub fn metrics(table: Option<Table<'_>>) -> Option<SocketAddr> {
    let table = table?;
    let listen = table.get("listen").and_then(|at| at.parsed(names::socket));
    table.close();
    listen
}
