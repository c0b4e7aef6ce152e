//! All that ever counted, in one list; every figure is worked out anew from it.

use std::collections::{BTreeMap, BTreeSet};

use bounced::{
    ledger::{Distinct, HOURS_REACH, Per, RECENT, Trigger},
    taxonomy::Status,
};

pub struct Event {
    /// Milliseconds.
    pub at: i64,
    pub person: Option<u8>,
    /// `domain d0.test`, `campaign c1`.
    pub scopes: Vec<String>,
    pub campaign: Option<u64>,
    pub status: Status,
    /// No reset came after it.
    pub live: bool,
}

#[derive(Default)]
pub struct Past(pub Vec<Event>);

type Counts = BTreeMap<Status, u64>;

fn sum<'a>(events: impl Iterator<Item = &'a Event>) -> Counts {
    let mut counts = Counts::new();
    events.for_each(|event| *counts.entry(event.status).or_default() += 1);
    counts
}

impl Past {
    pub fn totals(&self, person: u8) -> Counts {
        sum(self.0.iter().filter(|event| event.person == Some(person) && event.live))
    }

    pub fn of(&self, scope: &str) -> Counts {
        sum(self.0.iter().filter(|event| event.scopes.iter().any(|name| name == scope)))
    }

    pub fn all(&self) -> Counts {
        sum(self.0.iter())
    }

    pub fn last_bounce(&self, person: u8) -> Option<i64> {
        self.0.iter().filter(|event| event.person == Some(person) && event.status != Status::Delivered).map(|event| event.at).max()
    }

    pub fn reset(&mut self, person: u8, hit: impl Fn(Status) -> bool) {
        self.0.iter_mut().filter(|event| event.person == Some(person) && hit(event.status)).for_each(|event| event.live = false);
    }

    /// The count of the last event, and that without it. `None`: it has nothing that the trigger counts per.
    pub fn count(&self, trigger: &Trigger) -> Option<(u64, u64)> {
        let last = self.0.last()?;
        let begin = trigger.within.map(|within| last.at - i64::try_from(within.as_millis()).unwrap());
        if trigger.per == Per::Address {
            last.person?;
            let theirs: Vec<&Event> = self.0.iter().filter(|event| event.person == last.person).collect();
            let windowed = trigger.within.is_some() || trigger.distinct.is_some();
            let known = if windowed { theirs.len().min(RECENT) } else { theirs.len() };
            let counting: Vec<&Event> = theirs[theirs.len() - known..]
                .iter()
                .copied()
                .filter(|event| event.live && trigger.when.contains(&event.status))
                .filter(|event| begin.is_none_or(|begin| (begin..=last.at).contains(&event.at)))
                .collect();
            // A trigger before this one may have reset the event itself.
            let others = &counting[..counting.len() - usize::from(last.live)];
            return Some((distinct(&counting, trigger.distinct), distinct(others, trigger.distinct)));
        }
        let name = match trigger.per {
            Per::Domain => last.scopes.iter().find(|name| name.starts_with("domain"))?,
            Per::Campaign => last.scopes.iter().find(|name| name.starts_with("campaign"))?,
            _ => "",
        };
        let width = if trigger.within.is_some_and(|within| within <= HOURS_REACH) { 3_600_000 } else { 86_400_000 };
        let bucket = |at: i64| at.div_euclid(width);
        let counting = self.0.iter().filter(|event| name.is_empty() || event.scopes.iter().any(|scope| scope == name));
        let counting = counting.filter(|event| trigger.when.contains(&event.status));
        let within = |event: &&Event| begin.is_none_or(|begin| (bucket(begin)..=bucket(last.at)).contains(&bucket(event.at)));
        let count = counting.filter(within).count() as u64;
        Some((count, count - 1))
    }
}

fn distinct(events: &[&Event], distinct: Option<Distinct>) -> u64 {
    match distinct {
        None => events.len() as u64,
        Some(Distinct::Day) => events.iter().map(|event| event.at.div_euclid(86_400_000)).collect::<BTreeSet<_>>().len() as u64,
        Some(Distinct::Campaign) => events.iter().map(|event| event.campaign).collect::<BTreeSet<_>>().len() as u64,
    }
}
