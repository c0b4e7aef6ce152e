//! A job: the facts and the action frozen at the moment the trigger fired; secrets by reference; rendered when sent.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Blame;
use crate::{action::Task, ledger::Facts};

/// Names a job for good: the event, the trigger and the place in its `do`. The text form is preceded by the store's epoch, so that an id
/// never comes again after a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    pub epoch: u32,
    pub event: u64,
    /// [`crate::ledger::Trigger::key`], cut to 32 bits; 0 where no trigger made it.
    pub trigger: u32,
    pub place: u16,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}-{:08x}-{}", self.epoch, self.event, self.trigger, self.place)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no job id; `bounced outbox` lists them")]
pub struct BadJobId(String);

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        let bad = || BadJobId(text.to_owned());
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or_else(bad);
        let (epoch, event, trigger, place) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(JobId {
            epoch: u32::from_str_radix(epoch, 16).map_err(|_| bad())?,
            event: event.parse().map_err(|_| bad())?,
            trigger: u32::from_str_radix(trigger, 16).map_err(|_| bad())?,
            place: place.parse().map_err(|_| bad())?,
        })
    }
}

/// A job as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub task: Task,
    pub facts: Facts,
    /// Where several go out as one: the others, in the order in which they came.
    pub others: Vec<Part>,
    /// How many more came than are kept.
    pub beyond: u64,
    pub state: State,
    /// Begun ones; a retry by hand counts anew.
    pub attempts: u32,
    /// Since when it is tried: when the trigger fired, or the retry by hand.
    pub created: Timestamp,
    /// When it is due next; of a running job, when its lease ends; of a finished one, when it ended.
    pub next: Timestamp,
    pub last_error: Option<String>,
}

/// One of several that go out as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub id: JobId,
    pub facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Waiting,
    Running,
    Done,
    Dead,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Try again; not before so many seconds where the target asked for that.
    Later {
        error: String,
        after: Option<u64>,
        blame: Blame,
    },
    /// No attempt can ever succeed.
    Dead {
        error: String,
    },
}
