//! The plain model: all that ever counted, in one list.

use std::collections::{BTreeMap, BTreeSet};

use bounced::{
    ledger::{Comparator, Distinct, HOURS_REACH, Per, Rules, Standing, Step, Trigger},
    taxonomy::Status,
};
use jiff::SignedDuration;

use super::{given::mail, scope_names};

pub struct Past {
    at: i64,
    pub person: Option<u8>,
    scopes: Vec<String>,
    campaign: Option<u8>,
    status: Status,
    live: bool,
}

/// What a trigger is, whatever its `do` and `repeat`.
type Identity = (String, Vec<Status>, Comparator, Option<SignedDuration>, Option<Distinct>, Per);

#[derive(Default)]
pub struct Model {
    /// Events that count, since the beginning.
    pub past: Vec<Past>,
    /// For whom or what a trigger fired, and at which count.
    fired: BTreeMap<String, Vec<(Identity, u64)>>,
    pub tags: BTreeMap<u8, BTreeSet<String>>,
}

impl Model {
    pub fn reset(&mut self, person: u8, statuses: Option<&[Status]>) {
        let hit = |status: &Status| statuses.is_none_or(|some| some.contains(status));
        self.past.iter_mut().filter(|past| past.person == Some(person) && hit(&past.status)).for_each(|past| past.live = false);
        if let Some(fired) = self.fired.get_mut(&format!("person {person}")) {
            fired.retain(|(identity, _)| !identity.1.iter().any(hit));
        }
    }

    /// How many of the first `upto` events count for `trigger` at `now`.
    fn count(&self, trigger: &Trigger, whom: &str, now: i64, upto: usize) -> u64 {
        let past = &self.past[..upto];
        let of = |past: &&Past| past.scopes.iter().any(|scope| scope == whom);
        let person = trigger.per == Per::Address;
        let begin = trigger.within.map(|within| {
            let begin = now - within.as_secs();
            let width = if person {
                1
            } else if within <= HOURS_REACH {
                3_600
            } else {
                86_400
            };
            begin - begin.rem_euclid(width)
        });
        let matching = past
            .iter()
            .filter(of)
            .filter(|past| trigger.when.contains(&past.status) && begin.is_none_or(|begin| past.at >= begin) && (past.live || !person));
        match trigger.distinct {
            None => matching.count() as u64,
            Some(Distinct::Day) => matching.map(|past| past.at.div_euclid(86_400)).collect::<BTreeSet<_>>().len() as u64,
            Some(Distinct::Campaign) => matching.map(|past| past.campaign).collect::<BTreeSet<_>>().len() as u64,
        }
    }

    /// The names that an event must fire.
    pub fn take(&mut self, rules: &Rules, person: Option<u8>, status: Status, campaign: Option<u8>, now: i64) -> Vec<String> {
        if let Some(person) = person {
            let last = self.past.iter().rfind(|past| past.person == Some(person) && past.status != Status::Delivered);
            let lapsed = last.zip(rules.reset_after).is_some_and(|(last, after)| now - last.at >= after.as_secs());
            if lapsed || (rules.reset_on_delivered && status == Status::Delivered) {
                self.reset(person, None);
            }
        }
        let mut scopes: Vec<String> =
            scope_names(&mail(person, status, campaign, Standing::Full)).into_iter().filter_map(|(_, name)| name).collect();
        scopes.extend(person.map(|n| format!("person {n}")));
        self.past.push(Past { at: now, person, scopes: scopes.clone(), campaign, status, live: true });
        let mut names = Vec::new();
        for trigger in rules.triggers.iter().filter(|trigger| trigger.when.contains(&status)) {
            let kind = match trigger.per {
                Per::Address => "person ",
                Per::Domain => "domain ",
                Per::Campaign => "campaign ",
                Per::All => "all",
            };
            let Some(whom) = scopes.iter().find(|scope| scope.starts_with(kind)) else { continue };
            if self.fires(trigger, whom, now) {
                names.push(trigger.name.clone());
                let tags = person.map(|n| self.tags.entry(n).or_default());
                let Some(tags) = tags else { continue };
                for step in &trigger.steps {
                    match step {
                        Step::Tag(tag) => drop(tags.insert(tag.clone())),
                        Step::Untag(tag) => drop(tags.remove(tag)),
                        other => assert!(matches!(other, Step::Job(_)), "{other:?}"),
                    }
                }
            }
        }
        names
    }

    fn fires(&mut self, trigger: &Trigger, whom: &str, now: i64) -> bool {
        let all = self.past.len();
        let (before, count) = (self.count(trigger, whom, now, all - 1), self.count(trigger, whom, now, all));
        let identity: Identity = (trigger.name.clone(), trigger.when.clone(), trigger.count, trigger.within, trigger.distinct, trigger.per);
        let fired = self.fired.entry(whom.to_owned()).or_default();
        let earlier: Vec<u64> = fired.iter().filter(|(of, _)| *of == identity).map(|(_, count)| *count).collect();
        let fires = match trigger.count {
            Comparator::Exactly(n) => before + 1 == n && count == n && (trigger.repeat || earlier.is_empty()),
            Comparator::AtLeast(n) => count >= n && (earlier.is_empty() || trigger.repeat && count > before),
            Comparator::MoreThan(n) => count > n && (earlier.is_empty() || trigger.repeat && count > before),
            Comparator::Every(0) => false,
            Comparator::Every(n) => count > before && count % n == 0 && (trigger.repeat || earlier.last().is_none_or(|last| *last < count)),
        };
        if fires {
            fired.push((identity, count));
        }
        fires
    }

    pub fn totals(&self, person: u8) -> BTreeMap<Status, u64> {
        let mut totals = BTreeMap::new();
        self.past
            .iter()
            .filter(|past| past.person == Some(person) && past.live)
            .for_each(|past| *totals.entry(past.status).or_default() += 1);
        totals
    }
}
