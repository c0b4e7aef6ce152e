//! A rate as configured: so many in so long. Pure.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// `count` in `per`; neither is zero where it comes from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    pub count: u32,
    pub per: Duration,
}

impl Rate {
    /// How long after one the next may come where they come evenly. A rate of none has no next: the longest duration there is.
    pub fn interval(self) -> Duration {
        self.per.checked_div(self.count).unwrap_or(Duration::MAX)
    }
}

/// As it is written in the configuration, for the units that are known there.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{} per second", self.count),
            60 => write!(f, "{} per minute", self.count),
            3_600 => write!(f, "{} per hour", self.count),
            86_400 => write!(f, "{} per day", self.count),
            seconds => write!(f, "{} per {seconds} s", self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_interval() {
        let rate = |count, seconds| Rate { count, per: Duration::from_secs(seconds) };
        assert_eq!(rate(10, 1).interval(), Duration::from_millis(100));
        assert_eq!(rate(20, 3_600).interval(), Duration::from_secs(180));
        assert_eq!(rate(0, 1).interval(), Duration::MAX);
        assert_eq!(rate(20, 3_600).to_string(), "20 per hour");
    }
}
