//! Triggers as the ledger sees them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, tz::TimeZone};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Facts, Field, Filter, GuardRule, ReportRule, Sequence};
use crate::{
    action::{ResendMessage, Task},
    taxonomy::Status,
};

/// All that the ledger needs of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Judged in this order, the file's.
    pub triggers: Vec<Trigger>,
    /// `[count] reset_after`: so long without a bounce clears a person's counts and what fired. `None` is never.
    pub reset_after: Option<SignedDuration>,
    /// `[count] reset_on_delivered`.
    pub reset_on_delivered: bool,
    /// By name.
    pub sequences: BTreeMap<String, Sequence>,
    /// By name.
    pub reports: BTreeMap<String, ReportRule>,
    pub guard: Option<GuardRule>,
    /// In which sequences, reports and [`Distinct::Day`] tell days and times.
    pub timezone: TimeZone,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            triggers: Vec::new(),
            reset_after: None,
            reset_on_delivered: false,
            sequences: BTreeMap::new(),
            reports: BTreeMap::new(),
            guard: None,
            timezone: TimeZone::UTC,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    pub name: String,
    /// The statuses whose sum counts; an event of another status doesn't concern it.
    pub when: Vec<Status>,
    pub count: Comparator,
    pub within: Option<SignedDuration>,
    /// For [`Per::Address`] only: domains, campaigns and all keep no single events, there it is passed over.
    pub distinct: Option<Distinct>,
    pub per: Per,
    pub repeat: bool,
    /// `where`: narrows the firing, never the counting.
    pub filter: Option<Filter>,
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
    /// Of [`Rules::timezone`].
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    Tag(String),
    Untag(String),
    /// Work for the outbox, or a task for a person; what it is, is not the ledger's business.
    Job(Task),
    Set(BTreeMap<String, Field>),
    /// Fields that become the empty text.
    Blank(Vec<String>),
    Suppress(bool),
    /// Into a report.
    Collect(String),
    Start(String),
    Stop(String),
    Reset(Vec<Status>),
    Resend(ResendStep),
}

/// `resend = { after, message, attempts }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResendStep {
    pub after: SignedDuration,
    pub attempts: u16,
    pub message: ResendMessage,
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
    /// Its identity: the name and the condition, so that editing `do`, `repeat` or a template never arms it anew.
    ///
    /// The first 8 octets of a SHA-256 over a text that must stay as it is for good: stored marks and jobs bear it.
    pub fn key(&self) -> u64 {
        key_of(&self.identity())
    }

    /// [`Trigger::key`] cut for a job's id, see [`job_key_of`].
    pub fn job_key(&self) -> u32 {
        job_key_of(self.key())
    }

    fn identity(&self) -> String {
        let mut when: Vec<&str> = self.when.iter().map(|status| status.id()).collect();
        when.sort_unstable();
        when.dedup();
        let count = match self.count {
            Comparator::Exactly(n) => format!("exactly {n}"),
            Comparator::AtLeast(n) => format!("at least {n}"),
            Comparator::MoreThan(n) => format!("more than {n}"),
            Comparator::Every(n) => format!("every {n}"),
        };
        let within = self.within.map_or_else(|| "ever".to_owned(), |within| format!("{} s", within.as_secs()));
        let per = match self.per {
            Per::Address => "address",
            Per::Domain => "domain",
            Per::Campaign => "campaign",
            Per::All => "all",
        };
        let distinct = match self.distinct {
            None => "each",
            Some(Distinct::Day) => "day",
            Some(Distinct::Campaign) => "campaign",
        };
        // The name comes last: it alone can hold a line end.
        format!("when {}\ncount {count}\nwithin {within}\nper {per}\ndistinct {distinct}\nname {}", when.join(","), self.name)
    }
}

/// What makes jobs, named by a text that must stay as it is for good.
pub(super) fn key_of(identity: &str) -> u64 {
    Sha256::digest(identity.as_bytes()).first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// A key cut to 32 bits for a job's id; never 0, which stands for no cause.
pub(super) fn job_key_of(key: u64) -> u32 {
    u32::try_from(key & u64::from(u32::MAX)).unwrap_or(1).max(1)
}

impl Rules {
    /// How far back windows of triggers `per` a scope look.
    pub fn reach(&self, per: Per) -> Option<SignedDuration> {
        let windows = self.triggers.iter().filter(|trigger| trigger.per == per).filter_map(|trigger| trigger.within).max();
        let guard = self.guard.filter(|_| per == Per::Domain).map(|guard| guard.per.saturating_add(SignedDuration::from_hours(1)));
        windows.max(guard)
    }

    /// Two triggers whose jobs would bear one id: the same name and condition twice, or 32 bits that met by chance. To be refused.
    pub fn clash(&self) -> Option<(&Trigger, &Trigger)> {
        let mut seen = BTreeMap::new();
        self.triggers.iter().find_map(|trigger| seen.insert(trigger.job_key(), trigger).map(|earlier| (earlier, trigger)))
    }
}
