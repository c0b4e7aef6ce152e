//! Triggers as the ledger sees them.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::{Changes, Facts, Input, Known};
use crate::{action::Task, taxonomy::Status};

/// All that the ledger needs of the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Judged in this order, the file's.
    pub triggers: Vec<Trigger>,
    /// `[count] reset_after`: so long without a bounce clears counts and what fired. `None` is never.
    pub reset_after: Option<SignedDuration>,
    /// `[count] reset_on_delivered`.
    pub reset_on_delivered: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    pub name: String,
    /// The statuses whose sum counts; an event of another status doesn't concern it.
    pub when: Vec<Status>,
    pub count: Comparator,
    pub within: Option<SignedDuration>,
    pub distinct: Option<Distinct>,
    pub per: Per,
    pub repeat: bool,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparator {
    Exactly(u64),
    AtLeast(u64),
    MoreThan(u64),
    Every(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distinct {
    Day,
    Campaign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    Address,
    Domain,
    Campaign,
    All,
}

/// One entry of `do`.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Tag(String),
    Untag(String),
    /// Work for the outbox; what it is, is not the ledger's business.
    Job(Task),
}

/// A job that a trigger made; the store gives it its id.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDraft {
    /// The trigger's key cut to 32 bits; 0 where no trigger made it.
    pub trigger: u32,
    pub place: u16,
    pub task: Task,
    pub facts: Facts,
}

impl Trigger {
    /// Its identity: the name and the condition, so that editing `do` or a template never arms it anew.
    pub fn key(&self) -> u64 {
        let text = format!("{}\u{0}{:?}", self.name, (&self.when, self.count, self.within, self.per, self.distinct));
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
    }
}

impl Rules {
    /// How far back windows of triggers `per` a scope look.
    pub fn reach(&self, per: Per) -> Option<SignedDuration> {
        self.triggers.iter().filter(|trigger| trigger.per == per).filter_map(|trigger| trigger.within).max()
    }

    /// Judges one input. `id` and `at` are the event's, given by the writer.
    pub fn judge(&self, _known: &Known, input: &Input, _id: u64, _at: Timestamp) -> Changes {
        let _ = input;
        unreachable!()
    }
}
