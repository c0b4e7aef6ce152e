//! What the store knows before an input, and what the input changes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, Facts, Held, JobDraft, RawRef, ResendStep, TimerChange};
use crate::{taxonomy::Status, verp::PersonKey};

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
    /// Whether what concerns people of this domain waits, see [`super::GuardRule`].
    pub guarded: bool,
    /// The domain's hard bounces in its usual week, where [`super::Rules::asks_usual`] wanted to know.
    pub usual: Option<u64>,
    /// Of the report that a timer or a hand sends.
    pub report: Option<ReportState>,
    /// Of the domain whose timer fell due, or which a hand ends.
    pub guard: Option<GuardState>,
    /// The next that waits there; `person` is whom it concerns.
    pub held: Option<Held>,
}

/// How a guarded domain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardState {
    #[serde(with = "crate::stamp")]
    pub since: Timestamp,
    /// Hard bounces that set it off.
    pub hard_bounces: u64,
    /// How many firings wait.
    pub waiting: u64,
    /// How it ends, once that is decided.
    pub ending: Option<Ending>,
}

/// What becomes of a guarded domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// What waits is being thrown away.
    Drop,
    /// What waits is being done.
    Release,
    /// It was done: the provider meant it, and the domain is not guarded again before a day is over.
    LetGo,
}

/// How a report stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportState {
    /// The number of the delivery that collects now; each has its own.
    pub open: u32,
    /// People in it.
    pub people: u64,
    /// When the schedule sends it next.
    #[serde(with = "crate::stamp::option")]
    pub next: Option<Timestamp>,
    #[serde(with = "crate::stamp::option")]
    pub last: Option<Timestamp>,
}

/// A field's value, as the configuration or a hand wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Field {
    Text(String),
    Bool(bool),
    Integer(i64),
    Float(f64),
}

/// A person's place in a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The event that started it: a second start is another run.
    pub run: u64,
    #[serde(with = "crate::stamp")]
    pub started: Timestamp,
    /// The next step's name, which keeps the place when the file changes.
    pub step: String,
    /// How many steps were taken.
    pub taken: u16,
    #[serde(with = "crate::stamp")]
    pub due: Timestamp,
}

/// A mail that is to reach a person after all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resending {
    /// The trigger that began it, [`super::Trigger::key`], and the place in its `do`.
    pub trigger: u64,
    pub place: u16,
    /// A bounce of another status ends it.
    pub when: Vec<Status>,
    pub step: ResendStep,
    /// How often it was sent.
    pub made: u16,
    /// When it is sent next; `None` while it is on its way.
    #[serde(with = "crate::stamp::option")]
    pub due: Option<Timestamp>,
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
    pub fields: BTreeMap<String, Field>,
    pub suppressed: bool,
    pub fired: Vec<Fired>,
    pub sequences: BTreeMap<String, Place>,
    pub resending: Option<Resending>,
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
    /// Shared by the entries of one campaign.
    #[serde(with = "shared")]
    pub campaign: Option<Arc<str>>,
    /// The event's id.
    pub event: u64,
    /// A reset came after it: it is still listed, and counts no more.
    pub cleared: bool,
}

/// A text that many share, stored as a text.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(text: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
        text.as_deref().serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Arc<str>>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Arc::from))
    }
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

/// What one input changes. The store adds the event's id and place, bumps the scopes' totals, hour and day, and commits.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    pub event: Event,
    /// Whose record `person` is.
    pub whom: Option<PersonKey>,
    pub person: Option<Person>,
    /// Whether domain, campaign and all count it; else it counts under its standing only.
    pub counted: bool,
    pub fired: Vec<ScopeFired>,
    pub jobs: Vec<JobDraft>,
    pub timers: Vec<TimerChange>,
    /// Into the open delivery of a report, in the place of what it holds of this person.
    pub collected: Vec<Collected>,
    /// What waits from now on.
    pub held: Vec<Held>,
    pub guard: Option<GuardChange>,
    /// How a report stands from now on.
    pub report: Option<(String, ReportState)>,
    /// Raw mail is needed, whatever the input said.
    pub keep_raw: bool,
}

impl Changes {
    /// Where the raw mail of the event lies, for all that may need it later.
    pub fn set_raw(&mut self, raw: Option<RawRef>) {
        if let Event::MailV1(event) = &mut self.event {
            event.raw = raw;
        }
        let timers = self.timers.iter_mut().filter_map(|change| match change {
            TimerChange::Set { facts, .. } => facts.as_deref_mut(),
            TimerChange::Clear { .. } => None,
        });
        let jobs = self.jobs.iter_mut().map(|job| &mut job.facts);
        let held = self.held.iter_mut().map(|held| &mut held.facts);
        for facts in jobs.chain(held).chain(timers) {
            facts.event.raw = raw;
        }
    }

    pub fn new(event: Event) -> Changes {
        Changes {
            event,
            whom: None,
            person: None,
            counted: false,
            fired: Vec::new(),
            jobs: Vec::new(),
            timers: Vec::new(),
            collected: Vec::new(),
            held: Vec::new(),
            guard: None,
            report: None,
            keep_raw: false,
        }
    }
}

/// A person on the way into a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    pub report: String,
    pub entry: Entry,
}

/// One person in a report, frozen as they were collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub facts: Facts,
    #[serde(with = "crate::stamp::option")]
    pub first_seen: Option<Timestamp>,
    #[serde(with = "crate::stamp::option")]
    pub last_seen: Option<Timestamp>,
}

/// What becomes of a guarded domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardChange {
    /// From now on what concerns its people waits.
    Hold { domain: String, hard_bounces: u64 },
    /// What waits is done (`true`), or thrown away, piece by piece from now on.
    End { domain: String, release: bool },
    /// The last of what waited was done.
    LetGo { domain: String },
    /// The domain is like any other again.
    Over { domain: String },
}

/// A trigger that fired for a scope other than a person (a person's own are in [`Person::fired`]).
#[derive(Debug, Clone, PartialEq)]
pub struct ScopeFired {
    pub per: super::Per,
    pub fired: Fired,
}
