//! When mails and posts wait for others of their kind: digests, `at_most`, batches. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{action::Pace, stamp};

/// What is known of the jobs of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    /// Grows with each that goes out as one.
    pub number: u32,
    /// How many wait.
    pub waiting: u32,
    /// When they go.
    #[serde(with = "crate::stamp::option")]
    pub due: Option<Timestamp>,
    /// When the rate's time began, and how many went at once since.
    #[serde(with = "crate::stamp::option")]
    pub since: Option<Timestamp>,
    pub passed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    AtOnce,
    /// Until `due`; `set` where the timer isn't there yet.
    Waits {
        due: Timestamp,
        set: bool,
    },
    /// With this one there are enough: all of them go now.
    Completes,
}

impl Gathering {
    pub fn admit(&mut self, pace: Pace, at: Timestamp) -> Admitted {
        let later = |length: std::time::Duration, from: Timestamp| {
            stamp::later(from, SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX))
        };
        match pace {
            Pace::Within { within, max } => {
                let admitted = self.wait(later(within, at));
                if max.is_some_and(|max| self.waiting >= max) { Admitted::Completes } else { admitted }
            }
            Pace::AtMost(rate) => {
                let over = self.since.is_none_or(|since| at >= later(rate.per, since));
                if over && self.waiting == 0 {
                    (self.since, self.passed) = (Some(at), 0);
                }
                if self.waiting == 0 && self.passed < rate.count {
                    self.passed = self.passed.saturating_add(1);
                    return Admitted::AtOnce;
                }
                self.wait(later(rate.per, self.since.unwrap_or(at)).max(at))
            }
        }
    }

    fn wait(&mut self, due: Timestamp) -> Admitted {
        self.waiting = self.waiting.saturating_add(1);
        let set = self.due.is_none();
        let due = *self.due.get_or_insert(due);
        Admitted::Waits { due, set }
    }

    /// They go. What goes counts as one of the rate's next time. Returns when they were due.
    pub fn end(&mut self, at: Timestamp) -> Option<Timestamp> {
        (self.number, self.waiting) = (self.number.saturating_add(1), 0);
        (self.since, self.passed) = (Some(at), 1);
        self.due.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::action::Rate;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_digest_waits_from_the_first() {
        let mut state = Gathering::default();
        let pace = Pace::Within { within: Duration::from_secs(60), max: None };
        assert_eq!(state.admit(pace, at(0)), Admitted::Waits { due: at(60), set: true });
        assert_eq!(state.admit(pace, at(59)), Admitted::Waits { due: at(60), set: false });
        assert_eq!(state.end(at(61)), Some(at(60)));
        assert_eq!(state.admit(pace, at(70)), Admitted::Waits { due: at(130), set: true });
        assert_eq!((state.number, state.waiting), (1, 1));
    }

    #[test]
    fn a_batch_is_full() {
        let mut state = Gathering::default();
        let pace = Pace::Within { within: Duration::from_secs(10), max: Some(3) };
        assert_eq!(state.admit(pace, at(0)), Admitted::Waits { due: at(10), set: true });
        assert_eq!(state.admit(pace, at(1)), Admitted::Waits { due: at(10), set: false });
        assert_eq!(state.admit(pace, at(2)), Admitted::Completes);
        assert_eq!(state.end(at(2)), Some(at(10)));
    }

    #[test]
    fn at_most_so_many_and_the_rest_together() {
        let mut state = Gathering::default();
        let pace = Pace::AtMost(Rate { count: 2, per: Duration::from_secs(3_600) });
        assert_eq!(state.admit(pace, at(0)), Admitted::AtOnce);
        assert_eq!(state.admit(pace, at(10)), Admitted::AtOnce);
        assert_eq!(state.admit(pace, at(20)), Admitted::Waits { due: at(3_600), set: true });
        assert_eq!(state.admit(pace, at(30)), Admitted::Waits { due: at(3_600), set: false });
        assert_eq!(state.end(at(3_600)), Some(at(3_600)));
        assert_eq!(state.admit(pace, at(3_601)), Admitted::AtOnce, "the digest was the first of this hour");
        assert_eq!(state.admit(pace, at(3_602)), Admitted::Waits { due: at(7_200), set: true });
        assert_eq!(state.end(at(7_200)), Some(at(7_200)));
        assert_eq!(state.admit(pace, at(20_000)), Admitted::AtOnce);
    }
}
