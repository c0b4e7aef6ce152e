//! The guard: a provider that says "unknown user" to everyone must not cost a list its people.
//!
//! When a domain's hard bounces of late pass the configured rate and five times their usual, what triggers on hard bounces would do to its
//! people waits, until a hand or `release_after` decides. Counting and firing go on; mails to operators and tasks, too.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Facts, Scope, Step, hour_of, trigger::job_key_of};
use crate::{action::Task, taxonomy::Status, verp::PersonKey};

/// How many times its usual.
const TIMES_USUAL: u64 = 5;

/// What is usual is told from so many hours before: a week.
const USUAL_HOURS: u32 = 7 * 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardRule {
    pub hard_bounces: u64,
    pub per: SignedDuration,
    /// `None`: by hand only.
    pub release_after: Option<SignedDuration>,
}

/// Steps of a trigger that wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub domain: String,
    pub person: PersonKey,
    pub facts: Facts,
    /// With their places in `do`.
    pub steps: Vec<(u16, Step)>,
    /// [`super::Trigger::key`]
    pub trigger: u64,
    pub when: Vec<Status>,
}

impl Held {
    /// [`super::Trigger::job_key`]
    pub fn job_key(&self) -> u32 {
        job_key_of(self.trigger)
    }
}

/// Whether a step waits: everything that concerns the person.
pub fn waits(step: &Step) -> bool {
    match step {
        Step::Job(Task::Mail(_) | Task::Todo(_) | Task::Forward { .. } | Task::Report(_)) => false,
        Step::Job(Task::Post(_) | Task::Resend(_)) => true,
        Step::Tag(_) | Step::Untag(_) | Step::Set(_) | Step::Blank(_) | Step::Suppress(_) => true,
        Step::Collect(_) | Step::Start(_) | Step::Stop(_) | Step::Reset(_) | Step::Resend(_) => true,
    }
}

impl GuardRule {
    fn hours(&self) -> u32 {
        u32::try_from(self.per.as_hours()).unwrap_or(1).clamp(1, 24)
    }

    /// Hard bounces of the domain of late, this one included.
    pub fn lately(&self, domain: &Scope, at: Timestamp) -> u64 {
        let now = hour_of(at);
        // The hour that runs and those before it: a surge over the turn of an hour is seen, too.
        hard(domain, now.saturating_sub(self.hours())..=now).saturating_add(1)
    }

    /// Hard bounces in the week before that.
    pub fn usual(&self, domain: &Scope, at: Timestamp) -> u64 {
        let until = hour_of(at).saturating_sub(self.hours());
        hard(domain, until.saturating_sub(USUAL_HOURS)..=until.saturating_sub(1))
    }

    /// `usual`: of the whole week, see [`GuardRule::usual`].
    pub fn surges(&self, lately: u64, usual: u64) -> bool {
        let of_week = lately.saturating_mul(u64::from(USUAL_HOURS));
        lately > self.hard_bounces && of_week > usual.saturating_mul(u64::from(self.hours())).saturating_mul(TIMES_USUAL)
    }
}

fn hard(domain: &Scope, hours: std::ops::RangeInclusive<u32>) -> u64 {
    let counts = domain.hours.range(hours).map(|(_, counts)| counts.get(&Status::HardBounce).copied().unwrap_or_default());
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surge_is_much_and_unusual() {
        let rule = GuardRule { hard_bounces: 200, per: SignedDuration::from_hours(1), release_after: None };
        let mut domain = Scope::default();
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let now = hour_of(at);
        let put = |domain: &mut Scope, hour: u32, count: u64| drop(domain.hours.insert(hour, [(Status::HardBounce, count)].into()));
        put(&mut domain, now, 150);
        put(&mut domain, now - 1, 49);
        assert_eq!((rule.lately(&domain, at), rule.usual(&domain, at)), (200, 0));
        assert!(!rule.surges(200, 0));
        assert!(rule.surges(201, 0));
        for hour in 2..400 {
            put(&mut domain, now - hour, 50);
        }
        let usual = rule.usual(&domain, at);
        assert_eq!(usual, 168 * 50);
        assert!(!rule.surges(250, usual), "five times its usual is still usual");
        assert!(rule.surges(251, usual));
    }
}
