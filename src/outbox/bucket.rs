//! When the next attempt of a lane may begin: a token bucket. Pure: the time since some fixed moment is handed in.
//!
//! In no span as long as [`Rate::per`] do more begin than [`Rate::count`]: the bucket holds a twentieth of that number, so that what came
//! late by a little can catch up, and fills the more slowly. A rate that changes holds from the next question on.

use std::time::Duration;

use crate::action::Rate;

/// The bucket holds `count / BURST`, one at least.
const BURST: u32 = 20;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    /// When the bucket will be full again.
    full: Duration,
    /// When something began last.
    last: Option<Duration>,
}

impl Bucket {
    /// The first moment from which on something may begin.
    pub fn earliest(&self, rate: Rate) -> Duration {
        let (interval, burst) = fill(rate);
        self.full(interval, burst).saturating_sub(interval.saturating_mul(burst.saturating_sub(1)))
    }

    /// How many may begin from now on within so long.
    pub fn within(&self, rate: Rate, now: Duration, length: Duration) -> usize {
        let (interval, burst) = fill(rate);
        let earliest = self.full(interval, burst).max(now).saturating_sub(interval.saturating_mul(burst.saturating_sub(1)));
        let Some(left) = now.saturating_add(length).checked_sub(earliest) else { return 0 };
        let more = left.as_nanos().checked_div(interval.as_nanos()).unwrap_or(u128::MAX);
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Something begins.
    pub fn begin(&mut self, rate: Rate, now: Duration) {
        let (interval, burst) = fill(rate);
        self.full = self.full(interval, burst).max(now).saturating_add(interval);
        self.last = Some(now);
    }

    /// As good as new.
    pub fn is_full(&self, now: Duration) -> bool {
        self.full <= now
    }

    /// A slacker rate than the one that emptied the bucket doesn't wait for it.
    fn full(&self, interval: Duration, burst: u32) -> Duration {
        let latest = self.last.map_or(Duration::ZERO, |last| last.saturating_add(interval.saturating_mul(burst)));
        self.full.min(latest)
    }
}

/// How long one token takes, and how many there is room for.
fn fill(rate: Rate) -> (Duration, u32) {
    let burst = (rate.count / BURST).max(1);
    // Those in the bucket and those that come meanwhile are `count`.
    let filled = rate.count.saturating_add(1).saturating_sub(burst).max(1);
    let nanoseconds = rate.per.as_nanos().div_ceil(u128::from(filled));
    (u64::try_from(nanoseconds).map_or(Duration::MAX, Duration::from_nanos), burst)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(count: u32, seconds: u64) -> Rate {
        Rate { count, per: Duration::from_secs(seconds) }
    }

    /// When things begin that all want to at once, as far as `end`; whoever looks comes late by as much as `late` says.
    fn begun(rate: Rate, end: Duration, late: impl Fn(usize) -> Duration) -> Vec<Duration> {
        let (mut bucket, mut times, mut now) = (Bucket::default(), Vec::new(), Duration::ZERO);
        loop {
            now = now.max(bucket.earliest(rate));
            if bucket.earliest(rate) > Duration::ZERO && now == bucket.earliest(rate) {
                now += late(times.len());
            }
            if now >= end || times.len() > 20_000 {
                return times;
            }
            bucket.begin(rate, now);
            times.push(now);
        }
    }

    #[test]
    fn slow_rates_are_even() {
        let times = begun(rate(20, 3_600), Duration::from_secs(3_600), |_| Duration::ZERO);
        assert_eq!(times, (0..20).map(|n| Duration::from_secs(n * 180)).collect::<Vec<_>>());
    }

    #[test]
    fn lateness_is_caught_up() {
        let late = |_| Duration::from_millis(1);
        let times = begun(rate(1_000, 1), Duration::from_secs(10), late);
        assert!(times.len() > 9_400, "{}", times.len());
    }

    #[test]
    fn it_waits_for_its_own_past_only() {
        let mut bucket = Bucket::default();
        assert!(bucket.is_full(Duration::ZERO));
        let hourly = rate(1, 3_600);
        bucket.begin(hourly, Duration::from_secs(100));
        assert_eq!(bucket.earliest(hourly), Duration::from_secs(3_700));
        assert!(!bucket.is_full(Duration::from_secs(3_699)) && bucket.is_full(Duration::from_secs(3_700)));
        assert_eq!(bucket.earliest(rate(10, 1)), Duration::from_millis(100_100), "a slacker rate holds at once");
        assert_eq!(bucket.earliest(rate(1, 7_200)), Duration::from_secs(3_700), "a stricter one from the next beginning on");
    }

    #[test]
    fn what_may_begin_soon() {
        let (minutely, mut bucket) = (rate(1, 60), Bucket::default());
        let within = |bucket: &Bucket, rate, now| bucket.within(rate, Duration::from_secs(now), Duration::from_secs(5));
        assert_eq!(within(&bucket, minutely, 1_000), 1, "long idle is worth no more than one");
        bucket.begin(minutely, Duration::from_secs(1_000));
        assert_eq!([1_000, 1_054, 1_055, 1_060, 9_999].map(|now| within(&bucket, minutely, now)), [0, 0, 1, 1, 1]);
        assert_eq!(within(&Bucket::default(), rate(10, 1), 0), 51);
    }

    #[test]
    fn extremes_do_not_panic() {
        for extreme in [rate(0, 0), rate(0, u64::MAX), rate(u32::MAX, 0), rate(u32::MAX, u64::MAX), rate(1, u64::MAX)] {
            let mut bucket = Bucket::default();
            for now in [Duration::ZERO, Duration::MAX, Duration::ZERO] {
                bucket.begin(extreme, now);
                let _ = (bucket.earliest(extreme), bucket.is_full(now), bucket.within(extreme, now, Duration::MAX));
            }
        }
    }

    proptest! {
        #[test]
        fn no_span_has_more(count in 1_u32..300, seconds in 1_u64..100, late in prop::collection::vec(0_u64..400, 1..20)) {
            let rate = rate(count, seconds);
            let late_by = |n: usize| rate.interval() * u32::try_from(late[n % late.len()]).unwrap() / 100;
            let end = rate.per * 5;
            let times = begun(rate, end, late_by);
            for (place, from) in times.iter().enumerate() {
                let within = times[place..].iter().take_while(|at| **at < *from + rate.per).count();
                prop_assert!(within <= count as usize, "{} of {} from {:?}", within, count, from);
            }
            let prompt = begun(rate, end, |_| Duration::ZERO).len() as f64;
            prop_assert!(prompt >= f64::from(count) * 5.0 * 0.94, "{} of {}", prompt, count * 5);
        }
    }
}
