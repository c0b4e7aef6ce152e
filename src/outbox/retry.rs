//! When a job is tried again. Pure: the time and the randomness are handed in.
//!
//! About 5, 15, 45 seconds, 2 and 7 minutes, 20 minutes, an hour, then every three hours, each a quarter sooner or later by chance, so that
//! many jobs for one target that was down do not come back at one moment. The last attempt is made three days after [`Job::created`];
//! when that fails it is dead. A retry by hand sets `created` anew, and with it the three days. A target may ask for later (`Retry-After`), by a day at most, and is never asked sooner than it said.

use jiff::{SignedDuration, Timestamp};

use super::{Ended, Job, Outcome};

/// The wait after the first attempt, milliseconds; each further one is three times as long.
const FIRST: u64 = 5_000;
/// The longest wait, milliseconds: three hours.
const LONGEST: u64 = 3 * 3_600_000;
/// How long a job is tried in all.
pub const IN_ALL: SignedDuration = SignedDuration::from_hours(72);
/// The longest `Retry-After` that is taken at its word, seconds.
const LONGEST_ASKED: u64 = 86_400;
/// What is kept of an error, in octets.
const LONGEST_ERROR: usize = 500;

/// What an attempt's outcome makes of its job. `job.attempts` counts this one.
pub fn decide(job: &Job, outcome: Outcome, now: Timestamp, random: u64) -> Ended {
    match outcome {
        Outcome::Done => Ended::Done { at: now },
        Outcome::Dead { error } => Ended::Dead { at: now, error: cut(error) },
        Outcome::Later { error, after, .. } => match next(job.attempts, job.created, now, after, random) {
            Some(next) => Ended::Waiting { next, error: cut(error) },
            None => Ended::Dead { at: now, error: cut(error) },
        },
    }
}

/// Whether a job has been tried for as long as jobs are.
pub fn is_over(created: Timestamp, now: Timestamp) -> bool {
    now >= end(created)
}

fn end(created: Timestamp) -> Timestamp {
    crate::stamp::later(created, IN_ALL)
}

/// When to try again after `attempts` failed ones, the last of them at `now`; `None` where it was the last. `after` is what the target asked
/// for, seconds.
pub fn next(attempts: u32, created: Timestamp, now: Timestamp, after: Option<u64>, random: u64) -> Option<Timestamp> {
    if is_over(created, now) {
        return None;
    }
    let planned = later(now, wait(attempts, random)).min(end(created));
    let asked = after.map(|seconds| later(now, seconds.min(LONGEST_ASKED).saturating_mul(1_000)));
    Some(asked.map_or(planned, |asked| asked.max(planned)))
}

/// Milliseconds: from three to five quarters of the planned wait.
fn wait(attempts: u32, random: u64) -> u64 {
    let growth = 3_u64.saturating_pow(attempts.saturating_sub(1));
    let planned = FIRST.saturating_mul(growth).min(LONGEST);
    let half = planned / 2;
    planned.saturating_sub(half / 2).saturating_add(random % half.saturating_add(1))
}

fn later(now: Timestamp, milliseconds: u64) -> Timestamp {
    let wait = SignedDuration::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX));
    crate::stamp::later(now, wait)
}

fn cut(mut error: String) -> String {
    if error.len() > LONGEST_ERROR {
        let whole = (0..=LONGEST_ERROR).rev().find(|place| error.is_char_boundary(*place)).unwrap_or(0);
        error.truncate(whole);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: i64 = 1_795_435_200;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(CREATED + seconds).unwrap()
    }

    /// Random numbers that give the shortest and the longest wait.
    fn bounds(attempts: u32, now: Timestamp) -> (f64, f64) {
        let waits: Vec<f64> = (0..10_000_u64)
            .map(|step| step * 1_000)
            .chain([u64::MAX, u64::MAX / 2])
            .map(|random| next(attempts, at(0), now, None, random).unwrap().duration_since(now).as_secs_f64())
            .collect();
        (waits.iter().copied().fold(f64::MAX, f64::min), waits.iter().copied().fold(0.0, f64::max))
    }

    #[test]
    fn waits_grow_to_three_hours() {
        for (attempts, planned) in [
            (1, 5.0),
            (2, 15.0),
            (3, 45.0),
            (4, 135.0),
            (5, 405.0),
            (6, 1_215.0),
            (7, 3_645.0),
            (8, 10_800.0),
            (9, 10_800.0),
            (u32::MAX, 10_800.0),
        ] {
            let (shortest, longest) = bounds(attempts, at(0));
            assert!(shortest >= planned * 0.75 && shortest < planned * 0.8, "{attempts}: {shortest}");
            assert!(longest <= planned * 1.25 && longest > planned * 1.2, "{attempts}: {longest}");
        }
        assert_eq!(wait(0, 0), wait(1, 0), "no attempt yet is as one");
    }

    #[test]
    fn three_days_in_all() {
        let three_days = 3 * 86_400;
        assert_eq!(next(20, at(0), at(three_days - 1), None, 7), Some(at(three_days)), "the last attempt is made at the end");
        assert_eq!(next(20, at(0), at(three_days), None, 7), None);
        assert_eq!(next(1, at(0), at(three_days * 9), Some(5), 7), None);
        let (mut now, mut attempts) = (at(0), 0);
        while let Some(next) = next(attempts + 1, at(0), now, None, u64::from(attempts).wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
            assert!(next > now);
            (now, attempts) = (next, attempts + 1);
        }
        assert_eq!(now, at(three_days));
        assert!((25..=40).contains(&attempts), "{attempts}");
    }

    #[test]
    fn retry_after_is_honoured() {
        assert_eq!(next(1, at(0), at(0), Some(600), 9), Some(at(600)));
        assert!(next(9, at(0), at(0), Some(1), 9) > Some(at(8_000)), "sooner than planned is not asked for");
        assert_eq!(next(1, at(0), at(10), Some(u64::MAX), 9), Some(at(10 + 86_400)), "a day at most");
        let close = 3 * 86_400 - 60;
        assert_eq!(next(1, at(0), at(close), Some(3_600), 9), Some(at(close + 3_600)), "not before, though three days are over");
    }

    #[test]
    fn extreme_times_do_not_panic() {
        for now in [Timestamp::MIN, Timestamp::MAX, at(0)] {
            for created in [Timestamp::MIN, Timestamp::MAX, at(0)] {
                let _ = next(u32::MAX, created, now, Some(u64::MAX), u64::MAX);
            }
        }
        assert_eq!(cut("ä".repeat(400)).len(), LONGEST_ERROR);
    }
}
