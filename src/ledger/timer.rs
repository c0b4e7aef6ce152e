//! What falls due by itself: the steps of sequences, reports, resends, the end of a guard, and mails and posts that wait for others.
//!
//! A timer lies in the store under its due time and is taken away in the commit in which it is carried out: so it runs exactly once, and one
//! that fell due while the daemon was down runs at its next start.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::verp::PersonKey;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timer {
    Step {
        person: PersonKey,
        sequence: String,
    },
    Resend {
        person: PersonKey,
    },
    /// A guarded domain is let go, by `release_after` or, once a hand has ended it, piece by piece.
    Guard {
        domain: String,
    },
    /// Mails or posts that waited for others go out as one. The store's own: the ledger has nothing to say to it.
    Gather {
        key: u64,
    },
    /// Comes after all others of its instant, so that the steps of that instant have collected.
    Report {
        name: String,
    },
}

impl Timer {
    pub fn person(&self) -> Option<PersonKey> {
        match self {
            Timer::Step { person, .. } | Timer::Resend { person } => Some(*person),
            Timer::Guard { .. } | Timer::Gather { .. } | Timer::Report { .. } => None,
        }
    }

    /// Those of one instant run in this order.
    pub fn order(&self) -> u8 {
        match self {
            Timer::Step { .. } => 0,
            Timer::Resend { .. } => 1,
            Timer::Guard { .. } => 2,
            Timer::Gather { .. } => 3,
            Timer::Report { .. } => 4,
        }
    }
}

/// What an input does to the timers.
#[derive(Debug, Clone, PartialEq)]
pub enum TimerChange {
    /// One of the same name and time takes the other's place.
    Set {
        timer: Timer,
        due: Timestamp,
        facts: Option<Box<Facts>>,
    },
    Clear {
        timer: Timer,
        due: Timestamp,
    },
}
