//! What a trigger's count comes to with the event at hand, and whether that fires it.
//!
//! **Granularity.** A person's window is exact, as far as the last [`RECENT`](super::RECENT) events reach. Domains, campaigns and all are
//! counted by the hour for windows up to [`HOURS_REACH`] and by the UTC day beyond: such a window begins with the hour or day in which its
//! start lies, so that it never misses an event and may hold those of up to one hour or day too many. A window ends with the event, or with its
//! hour or day: of a mail of the past that is brought in now, what came later is none of its window. Days that `distinct` tells apart are those
//! of the configured time zone.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{Comparator, Counts, Distinct, Fired, Recent, Scope, Tally, Trigger};
use crate::taxonomy::Status;

/// Longer windows of a domain, a campaign or all are counted by the day.
pub const HOURS_REACH: SignedDuration = SignedDuration::from_hours(8 * 24);

/// Hours since 1970, the key of [`Scope::hours`].
pub fn hour_of(at: Timestamp) -> u32 {
    bucket(at.as_second(), 3_600)
}

/// UTC days since 1970, the key of [`Scope::days`].
pub fn day_of(at: Timestamp) -> u32 {
    bucket(at.as_second(), 86_400)
}

fn bucket(second: i64, width: i64) -> u32 {
    u32::try_from(second.div_euclid(width)).unwrap_or(if second < 0 { 0 } else { u32::MAX })
}

/// A count with the event at hand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub now: u64,
    /// Whether the event added to it: under `distinct` a second one of the same day or campaign doesn't, nor does one that a trigger before
    /// has reset.
    pub grew: bool,
}

impl Count {
    /// `tally` has the event as its last entry. Days are those of `timezone`.
    pub fn of_person(tally: &Tally, trigger: &Trigger, at: Timestamp, timezone: &TimeZone) -> Count {
        let live = tally.recent.back().is_some_and(|event| !event.cleared);
        if trigger.within.is_none() && trigger.distinct.is_none() {
            let now = sum(&tally.totals, &trigger.when);
            // A sum at its limit grows no more.
            return Count { now, grew: live && now < u64::MAX };
        }
        let counts = |entry: &&Recent| {
            !entry.cleared
                && trigger.when.contains(&entry.status)
                && trigger.within.is_none_or(|within| entry.at <= at && at.duration_since(entry.at) <= within)
        };
        let mut entries = tally.recent.iter().rev().filter(counts);
        match trigger.distinct {
            None => Count { now: length(entries.count()), grew: live },
            Some(Distinct::Day) => distinct(entries.map(|entry| timezone.to_datetime(entry.at).date()), live),
            Some(Distinct::Campaign) => distinct(entries.by_ref().map(|entry| entry.campaign.as_deref()), live),
        }
    }

    /// `scope` is as it was before the event.
    pub fn of_scope(scope: &Scope, trigger: &Trigger, at: Timestamp) -> Count {
        let before = match trigger.within {
            None => sum(&scope.totals, &trigger.when),
            Some(within) => {
                let start = at.as_second().saturating_sub(within.as_secs());
                let (buckets, width) = if within <= HOURS_REACH { (&scope.hours, 3_600) } else { (&scope.days, 86_400) };
                let last = bucket(at.as_second(), width);
                buckets
                    .range(bucket(start, width).min(last)..=last)
                    .fold(0, |total: u64, (_, counts)| total.saturating_add(sum(counts, &trigger.when)))
            }
        };
        Count { now: before.saturating_add(1), grew: before < u64::MAX }
    }

    /// Whether it fires `trigger`, which last fired as `mark` says.
    pub fn fires(self, trigger: &Trigger, mark: Option<&Fired>) -> bool {
        match trigger.count {
            Comparator::Exactly(n) => self.grew && self.now == n && (trigger.repeat || mark.is_none()),
            Comparator::AtLeast(n) => self.past(n, trigger.repeat, mark),
            Comparator::MoreThan(n) => n < u64::MAX && self.past(n.saturating_add(1), trigger.repeat, mark),
            // A window slides: without `repeat` each multiple comes once.
            Comparator::Every(n) => {
                self.grew && n > 0 && self.now.is_multiple_of(n) && (trigger.repeat || mark.is_none_or(|mark| mark.count < self.now))
            }
        }
    }

    fn past(self, n: u64, repeat: bool, mark: Option<&Fired>) -> bool {
        self.now >= n && (mark.is_none() || (repeat && self.grew))
    }
}

fn sum(counts: &Counts, when: &[Status]) -> u64 {
    counts.iter().filter(|(status, _)| when.contains(status)).fold(0, |total, (_, count)| total.saturating_add(*count))
}

/// The first of `values` is the event at hand's, where that is `live`.
fn distinct<T: Ord>(mut values: impl Iterator<Item = T>, live: bool) -> Count {
    if !live {
        return Count { now: length(values.collect::<BTreeSet<T>>().len()), grew: false };
    }
    let Some(this) = values.next() else { return Count { now: 0, grew: false } };
    let others: BTreeSet<T> = values.collect();
    let grew = !others.contains(&this);
    Count { now: length(others.len()).saturating_add(u64::from(grew)), grew }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
