//! The breaker of one lane: closes it when its target fails again and again, then has one attempt made alone, now and then. Pure: the time
//! since some fixed moment is handed in.
//!
//! ```text
//!   flowing ──five failures in a row──► closed ──30 s, then twice as long each time, 10 min at most──► on trial
//!      ▲                                   ▲                                                             │
//!      │                                   └────────────the one attempt failed, or told nothing──────────┤
//!      └────────────────────────────any attempt that the target answered─────────────────────────────────┘
//! ```
//! An attempt that never came to the target tells nothing: of those on trial, the next is tried at once. What still ran as the lane was
//! closed can open it and not close it further.

use std::time::Duration;

use super::Outcome;

/// So many failures in a row close a lane.
pub const IN_A_ROW: u32 = 5;
const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(600);
/// A lane that has been closed for so long is told of.
pub const TELL: Duration = Duration::from_secs(60);
/// A closed lane that nothing came for: longer than any job waits for its next attempt.
const FORGET: Duration = Duration::from_secs(25 * 3_600);

/// Who is to blame for a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The target failed: no connection, no answer in time, or it says that it can't do its work now. Others would fare no better.
    Target,
    /// The target answered, and doesn't take this job.
    Job,
    /// The target was never asked.
    Us,
}

/// What an attempt tells of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    Well,
    /// With how long the target wants to be left alone, if it said so.
    Failed {
        error: String,
        after: Duration,
    },
    Nothing,
}

impl Sign {
    pub fn of(outcome: &Outcome) -> Sign {
        match outcome {
            Outcome::Done | Outcome::Later { blame: Blame::Job, .. } => Sign::Well,
            Outcome::Later { blame: Blame::Target, error, after } => {
                Sign::Failed { error: error.clone(), after: Duration::from_secs(after.unwrap_or(0)) }
            }
            Outcome::Later { blame: Blame::Us, .. } | Outcome::Dead { .. } => Sign::Nothing,
        }
    }
}

/// The time from a lane's closing to the next success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spell {
    pub since: Duration,
    /// The last failure.
    pub error: String,
    /// When one attempt may be made.
    pub until: Duration,
    pause: Duration,
    on_trial: bool,
    told: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    in_a_row: u32,
    last: Duration,
    spell: Option<Spell>,
}

/// What became of the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Closed,
    /// The trial failed.
    StillClosed,
    /// It was closed for so long; whether that was told.
    Open {
        lasted: Duration,
        told: bool,
    },
}

impl Breaker {
    /// Whether an attempt may begin while so many of the lane run.
    pub fn allows(&self, now: Duration, running: usize) -> bool {
        self.spell.as_ref().is_none_or(|spell| running == 0 && !spell.on_trial && now >= spell.until)
    }

    pub fn begin(&mut self) {
        if let Some(spell) = &mut self.spell {
            spell.on_trial = true;
        }
    }

    pub fn end(&mut self, sign: Sign, now: Duration) -> Option<Change> {
        self.last = now;
        match (sign, &mut self.spell) {
            (Sign::Well, spell) => {
                self.in_a_row = 0;
                spell.take().map(|spell| Change::Open { lasted: now.saturating_sub(spell.since), told: spell.told })
            }
            (Sign::Failed { error, after }, Some(spell)) => {
                spell.error = error;
                if !std::mem::take(&mut spell.on_trial) {
                    return None;
                }
                spell.pause = spell.pause.saturating_mul(2).min(LONGEST);
                spell.until = until(now, spell.pause, after);
                Some(Change::StillClosed)
            }
            (Sign::Failed { error, after }, None) => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                if self.in_a_row < IN_A_ROW {
                    return None;
                }
                let until = until(now, FIRST, after);
                self.spell = Some(Spell { since: now, error, until, pause: FIRST, on_trial: false, told: false });
                Some(Change::Closed)
            }
            (Sign::Nothing, Some(spell)) => {
                spell.on_trial = false;
                None
            }
            (Sign::Nothing, None) => None,
        }
    }

    pub fn spell(&self) -> Option<&Spell> {
        self.spell.as_ref()
    }

    /// Whether the lane has been closed for so long that it is to be told of; so once in a spell.
    pub fn tell(&mut self, now: Duration) -> Option<&Spell> {
        let due = self.tell_at().is_some_and(|at| at <= now);
        let spell = self.spell.as_mut().filter(|_| due)?;
        spell.told = true;
        Some(spell)
    }

    /// When [`Breaker::tell`] has something to say.
    pub fn tell_at(&self) -> Option<Duration> {
        self.spell.as_ref().filter(|spell| !spell.told).map(|spell| spell.since.saturating_add(TELL))
    }

    /// The next attempt may begin now.
    pub fn hurry(&mut self, now: Duration) {
        if let Some(spell) = &mut self.spell {
            spell.until = spell.until.min(now);
        }
    }

    /// Nothing to remember: all is well, or nothing was heard of the target for longer than jobs wait.
    pub fn is_forgettable(&self, now: Duration) -> bool {
        self.in_a_row == 0 || now.saturating_sub(self.last) > FORGET
    }
}

fn until(now: Duration, pause: Duration, after: Duration) -> Duration {
    now.saturating_add(pause.max(after.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failed() -> Sign {
        Sign::Failed { error: "connection refused".into(), after: Duration::ZERO }
    }

    fn closed(now: Duration) -> Breaker {
        let mut breaker = Breaker::default();
        let changes: Vec<_> = (0..5).filter_map(|_| breaker.end(failed(), now)).collect();
        assert_eq!(changes, [Change::Closed]);
        breaker
    }

    #[test]
    fn five_in_a_row_close_it() {
        let mut breaker = Breaker::default();
        for sign in [failed(), failed(), Sign::Nothing, failed(), failed(), Sign::Well, failed(), failed(), failed(), failed()] {
            assert_eq!(breaker.end(sign, at(0)), None);
            assert!(breaker.allows(at(0), 99));
        }
        assert_eq!(breaker.end(failed(), at(0)), Some(Change::Closed));
        assert!(!breaker.allows(at(0), 0));
    }

    #[test]
    fn pauses_double_to_ten_minutes() {
        let (mut breaker, mut now, mut pauses) = (closed(at(7)), at(7), Vec::new());
        for _ in 0..8 {
            let until = breaker.spell().unwrap().until;
            assert!(!breaker.allows(until - at(1), 0) && breaker.allows(until, 0));
            pauses.push((until - now).as_secs());
            now = until;
            breaker.begin();
            assert!(!breaker.allows(now, 0), "one alone");
            assert_eq!(breaker.end(failed(), now), Some(Change::StillClosed));
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600, 600]);
        breaker.begin();
        assert_eq!(breaker.end(Sign::Well, now), Some(Change::Open { lasted: now - at(7), told: false }));
        assert!(breaker.allows(now, 3));
        assert_eq!(breaker, Breaker { last: now, ..Breaker::default() });
    }

    #[test]
    fn left_alone_for_as_long_as_it_asked() {
        let asked = |seconds| Sign::Failed { error: "HTTP 429".into(), after: at(seconds) };
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.end(asked(120), at(0));
        }
        assert_eq!(breaker.spell().unwrap().until, at(120));
        breaker.begin();
        breaker.end(asked(86_400), at(120));
        assert_eq!(breaker.spell().unwrap().until, at(720), "ten minutes at most");
        breaker.begin();
        breaker.end(asked(1), at(720));
        assert_eq!(breaker.spell().unwrap().until, at(840), "the pause that would have come anyway");
    }

    #[test]
    fn a_trial_is_alone_and_may_tell_nothing() {
        let mut breaker = closed(at(0));
        assert!(!breaker.allows(at(30), 1), "what still runs from before must end first");
        assert_eq!(breaker.end(failed(), at(40)), None, "and closes it no further");
        assert!(breaker.allows(at(40), 0));
        breaker.begin();
        assert_eq!(breaker.end(Sign::Nothing, at(41)), None);
        assert!(breaker.allows(at(41), 0), "the next one at once");
    }

    #[test]
    fn a_straggler_that_succeeds_opens_it() {
        assert_eq!(closed(at(0)).end(Sign::Well, at(3)), Some(Change::Open { lasted: at(3), told: false }));
    }

    #[test]
    fn told_once_in_a_spell_and_after_a_minute() {
        let mut breaker = closed(at(0));
        assert_eq!((breaker.tell_at(), breaker.tell(at(59)).is_some()), (Some(at(60)), false));
        assert_eq!(breaker.tell(at(60)).map(|spell| spell.error.as_str()), Some("connection refused"));
        assert_eq!((breaker.tell_at(), breaker.tell(at(999)).is_some()), (None, false));
        breaker.begin();
        assert_eq!(breaker.end(Sign::Well, at(100)), Some(Change::Open { lasted: at(100), told: true }));
    }

    #[test]
    fn a_target_that_nothing_goes_to_any_more_is_forgotten() {
        let breaker = closed(at(0));
        assert!(!breaker.is_forgettable(at(24 * 3_600)) && breaker.is_forgettable(at(26 * 3_600)));
        assert!(Breaker::default().is_forgettable(at(0)));
    }

    #[test]
    fn hurried() {
        let mut breaker = closed(at(0));
        breaker.hurry(at(5));
        assert!(breaker.allows(at(5), 0));
    }

    proptest! {
        /// Whatever happens: a closed lane has at most one attempt at a time, never sooner than its time, and one success opens it.
        #[test]
        fn closed_is_closed(steps in prop::collection::vec((0_u64..200, 0_u8..4), 1..200)) {
            let (mut breaker, mut now, mut running) = (Breaker::default(), Duration::ZERO, 0_usize);
            for (seconds, what) in steps {
                now += at(seconds);
                let was_closed = breaker.spell().cloned();
                match what {
                    0 if breaker.allows(now, running) => {
                        if let Some(spell) = &was_closed {
                            prop_assert!(running == 0 && now >= spell.until);
                        }
                        breaker.begin();
                        running += 1;
                    }
                    0 => prop_assert!(was_closed.is_some()),
                    _ if running > 0 => {
                        running -= 1;
                        let sign = [failed(), Sign::Well, Sign::Nothing][usize::from(what) - 1].clone();
                        let well = sign == Sign::Well;
                        let change = breaker.end(sign, now);
                        prop_assert_eq!(matches!(change, Some(Change::Open { .. })), well && was_closed.is_some());
                        prop_assert!(!well || breaker.allows(now, 9));
                        if let (Some(before), Some(after)) = (&was_closed, breaker.spell()) {
                            prop_assert!(after.since == before.since && after.until >= before.until && after.pause <= LONGEST);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
