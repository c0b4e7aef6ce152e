//! What the store knows before an input, and what the input changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, JobDraft};
use crate::taxonomy::Status;

/// Events per status.
pub type Counts = BTreeMap<Status, u64>;

/// How many events of a person are remembered one by one.
pub const RECENT: usize = 256;

/// Everything known that one input may need.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// `None`: never seen, or the input names nobody.
    pub person: Option<Person>,
    pub domain: Scope,
    pub campaign: Scope,
    pub all: Scope,
}

/// A person's record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// Learned from the VERP address or from a bounce that fits the hash.
    pub address: Option<String>,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
    /// What triggers see.
    pub counted: Tally,
    /// Unsigned and expired mail: triggers never see it.
    pub apart: Tally,
    pub tags: BTreeSet<String>,
    pub fields: BTreeMap<String, String>,
    pub suppressed: bool,
    pub fired: Vec<Fired>,
}

/// A person's counts since the last reset and the last [`RECENT`] events, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub totals: Counts,
    pub recent: VecDeque<Recent>,
    /// When the last event other than `delivered` came; a reset leaves it.
    pub last_bounce: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    pub at: Timestamp,
    pub status: Status,
    pub campaign: Option<String>,
    /// The event's id.
    pub event: u64,
    /// A reset came after it: it is still listed, and counts no more.
    pub cleared: bool,
}

/// That a trigger fired. `key` is [`super::Trigger::key`], so that an edited `do` doesn't arm it anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    pub key: u64,
    pub trigger: String,
    /// The last time.
    #[serde(with = "crate::stamp")]
    pub at: Timestamp,
    /// What the count had come to then.
    pub count: u64,
    /// The trigger's statuses, so that a reset of some of them knows what it arms anew.
    pub when: Vec<Status>,
}

/// A domain, a campaign, or all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    pub totals: Counts,
    /// Per hour and per day since 1970, as far back as the rules' windows reach; see [`super::Rules::reach`].
    pub hours: BTreeMap<u32, Counts>,
    pub days: BTreeMap<u32, Counts>,
    pub fired: Vec<Fired>,
}

/// What one input changes. The store adds the event's id and place, bumps the scopes' totals, hour and day for `count_in`, and commits.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    pub event: Event,
    pub person: Option<Person>,
    /// Whether domain, campaign and all count it; else it counts under its standing only.
    pub counted: bool,
    pub fired: Vec<ScopeFired>,
    pub jobs: Vec<JobDraft>,
}

/// A trigger that fired for a scope other than a person (a person's own are in [`Person::fired`]).
#[derive(Debug, Clone, PartialEq)]
pub struct ScopeFired {
    pub per: super::Per,
    pub fired: Fired,
}
