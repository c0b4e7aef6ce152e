//! How often the operator is told. Pure; the time is handed in.
//!
//! Each kind at most once an hour. What is held back is counted and told with the next one. A state that lasts is told when it begins and
//! once a day after that, not every hour.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Kind;

const APART: SignedDuration = SignedDuration::from_hours(1);
const REMIND: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limiter {
    kinds: BTreeMap<Kind, Row>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    /// When the last alert of this kind went out.
    last: Option<Timestamp>,
    /// A state that lasts was there at the last look.
    #[serde(default)]
    stands: bool,
    /// It began, and nobody was told yet.
    #[serde(default)]
    untold: bool,
    #[serde(default)]
    held_back: u64,
}

impl Row {
    /// A clock that was set back doesn't silence anything.
    fn past(&self, time: SignedDuration, now: Timestamp) -> bool {
        self.last.is_none_or(|last| now < last || now.duration_since(last) >= time)
    }

    fn tell(&mut self, now: Timestamp) -> u64 {
        (self.last, self.untold) = (Some(now), false);
        std::mem::take(&mut self.held_back)
    }
}

impl Limiter {
    /// Something happened so many times. `Some`: tell it now, and how many were held back before.
    pub fn happened(&mut self, kind: Kind, times: u64, now: Timestamp) -> Option<u64> {
        let row = self.kinds.entry(kind).or_default();
        if row.past(APART, now) {
            return Some(row.tell(now));
        }
        row.held_back = row.held_back.saturating_add(times);
        None
    }

    /// What was held back for an hour and that nothing came after: kinds and numbers, to be told now.
    pub fn overdue(&mut self, now: Timestamp) -> Vec<(Kind, u64)> {
        let due = |(kind, row): &(&Kind, &mut Row)| !kind.lasts() && row.held_back > 0 && row.past(APART, now);
        self.kinds.iter_mut().filter(due).map(|(kind, row)| (*kind, row.tell(now))).collect()
    }

    /// The lasting states there are now, all of them. Gives those to be told now, each with how many beginnings were held back.
    pub fn look(&mut self, now_there: &BTreeSet<Kind>, now: Timestamp) -> Vec<(Kind, u64)> {
        for (_, row) in self.kinds.iter_mut().filter(|(kind, _)| !now_there.contains(kind)) {
            // It came and went within the hour: the next alert tells of it.
            row.held_back = row.held_back.saturating_add(u64::from(row.untold));
            (row.stands, row.untold) = (false, false);
        }
        let mut told = Vec::new();
        for kind in now_there {
            let row = self.kinds.entry(*kind).or_default();
            row.untold |= !row.stands;
            row.stands = true;
            if row.past(if row.untold { APART } else { REMIND }, now) {
                told.push((*kind, row.tell(now)));
            }
        }
        told
    }

    /// What is held back now, for the digest.
    pub fn held_back(&self) -> Vec<(Kind, u64)> {
        let rows = self.kinds.iter().map(|(kind, row)| (*kind, row.held_back.saturating_add(u64::from(row.untold))));
        rows.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    #[test]
    fn an_event_goes_out_once_an_hour_and_none_is_forgotten() {
        let mut limiter = Limiter::default();
        assert_eq!(limiter.happened(Kind::JobsDied, 1, at(0)), Some(0));
        assert_eq!(limiter.happened(Kind::JobsDied, 2, at(1)), None);
        assert_eq!(limiter.happened(Kind::ReloadRefused, 1, at(1)), Some(0), "kinds don't hold each other back");
        assert_eq!(limiter.happened(Kind::JobsDied, 3, at(59)), None);
        assert_eq!(limiter.held_back(), [(Kind::JobsDied, 5)]);
        assert_eq!(limiter.overdue(at(59)), []);
        assert_eq!(limiter.overdue(at(60)), [(Kind::JobsDied, 5)]);
        assert_eq!(limiter.overdue(at(61)), []);
        assert_eq!(limiter.happened(Kind::JobsDied, 1, at(90)), None);
        assert_eq!(limiter.happened(Kind::JobsDied, 1, at(120)), Some(1));
        assert_eq!(limiter.held_back(), []);
    }

    #[test]
    fn a_state_is_told_when_it_begins_and_daily_after() {
        let mut limiter = Limiter::default();
        let there = BTreeSet::from([Kind::Room]);
        let none = BTreeSet::new();
        assert_eq!(limiter.look(&there, at(0)), [(Kind::Room, 0)]);
        let told: Vec<i64> = (1..3000).filter(|minute| !limiter.look(&there, at(*minute)).is_empty()).collect();
        assert_eq!(told, [1440, 2880]);
        // It goes and comes again: at most once an hour all the same.
        limiter.look(&none, at(3000));
        assert_eq!(limiter.look(&there, at(3001)), [(Kind::Room, 0)]);
        limiter.look(&none, at(3002));
        assert_eq!(limiter.look(&there, at(3003)), []);
        assert_eq!(limiter.held_back(), [(Kind::Room, 1)]);
        limiter.look(&none, at(3004));
        assert_eq!(limiter.look(&there, at(3060)), [], "an hour after the last, not before");
        assert_eq!(limiter.look(&there, at(3061)), [(Kind::Room, 1)]);
    }

    #[test]
    fn a_clock_set_back_silences_nothing() {
        let mut limiter = Limiter::default();
        assert_eq!(limiter.happened(Kind::Store, 1, at(100_000)), Some(0));
        assert_eq!(limiter.happened(Kind::Store, 1, at(0)), Some(0));
    }

    #[test]
    fn it_outlives_the_process() {
        let mut limiter = Limiter::default();
        limiter.happened(Kind::Store, 1, at(0));
        limiter.look(&BTreeSet::from([Kind::Silence]), at(0));
        let text = serde_json::to_string(&limiter).unwrap();
        let mut again: Limiter = serde_json::from_str(&text).unwrap();
        assert_eq!(again, limiter);
        assert_eq!(again.happened(Kind::Store, 1, at(30)), None, "a crash loop mails once an hour");
        assert_eq!(again.look(&BTreeSet::from([Kind::Silence]), at(90)), []);
    }
}
