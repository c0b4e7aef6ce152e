//! `[guard]`: when a domain's hard bounces are so many that what concerns its people waits. On where nothing is said.

use std::time::Duration;

use jiff::SignedDuration;

use super::{reader::Table, units};
use crate::{action::Rate, ledger::GuardRule};

const HOUR: Duration = Duration::from_secs(3_600);
const DEFAULT: Rate = Rate { count: 200, per: HOUR };

/// `None`: turned off.
pub fn read(table: Option<Table<'_>>) -> Option<GuardRule> {
    let Some(table) = table else { return rule(DEFAULT, None) };
    let rate = table.or("hard_bounces_per_domain", Some(DEFAULT), rate);
    let release_after = table.or("release_after", None, units::duration_or_never);
    if rate.is_none() && release_after.is_some() {
        table.fail("release_after", "is of no use where hard_bounces_per_domain is \"never\"; take it out");
    }
    table.close();
    rule(rate?, release_after)
}

fn rule(rate: Rate, release_after: Option<Duration>) -> Option<GuardRule> {
    Some(GuardRule {
        hard_bounces: u64::from(rate.count),
        per: SignedDuration::try_from(rate.per).ok()?,
        release_after: release_after.and_then(|after| SignedDuration::try_from(after).ok()),
    })
}

/// Domains are counted by the hour.
fn rate(text: &str) -> Result<Option<Rate>, String> {
    match units::rate_or_never(text)? {
        Some(rate) if rate.per < HOUR => {
            Err(format!("'{text}' can't be told: domains are counted by the hour; write it per hour or per day"))
        }
        rate => Ok(rate),
    }
}
