//! sled keeps seven threads for as long as the process lives, each of which looks for work once a second although it is woken for any. The
//! kernel lets a thread's waits take longer by its timer slack, and a thread has that of the one that made it: so whatever may make sled's
//! threads is done [`patiently`], and an idle daemon sleeps. Waits that end by being woken take no longer by it.

use std::num::NonZeroU64;

use rustix::thread::{current_timer_slack, set_current_timer_slack};

/// How much later than it asked for a thread is woken by the clock alone, nanoseconds.
const SLACK: NonZeroU64 = NonZeroU64::new(120_000_000_000).unwrap();

/// Does what may make threads that look for work. It must not sleep by the clock itself.
pub fn patiently<T>(work: impl FnOnce() -> T) -> T {
    let before = current_timer_slack().ok().and_then(NonZeroU64::new);
    let _restore = before.map(|before| {
        // Where that is not to be had, the threads look for work more often.
        let _ = set_current_timer_slack(Some(SLACK));
        Restore(before)
    });
    work()
}

struct Restore(NonZeroU64);

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = set_current_timer_slack(Some(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of this thread, which rustix tells as the C library does: as an `int`.
    fn slack() -> u64 {
        let path = format!("/proc/{}/timerslack_ns", rustix::thread::gettid().as_raw_nonzero());
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn threads_made_meanwhile_are_patient_and_nothing_else_is() {
        let before = slack();
        let child = patiently(|| std::thread::spawn(slack));
        assert_eq!((child.join().unwrap(), slack()), (SLACK.get(), before));
        let panicked = std::panic::catch_unwind(|| patiently(|| panic!("sled has some")));
        assert!(panicked.is_err());
        assert_eq!(slack(), before);
    }
}
