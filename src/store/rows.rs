//! The rows' stored forms: a version octet, then postcard. A version that isn't known is damage, never a guess.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{StoreError, keys::ScopeKind};
use crate::{
    action::Task,
    ledger::{Counts, Event, Facts, Fired, RawRef},
    outbox::{self, JobId},
};

/// The store's schema: the meaning of all rows and segments together. A newer one is refused.
pub const SCHEMA: u8 = 3;

const VERSION: u8 = 1;

pub fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    encode_long(row, 16)
}

/// The same for a row of some `octets`: one allocation.
pub fn encode_long<T: Serialize>(row: &T, octets: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(octets);
    bytes.push(VERSION);
    postcard::to_extend(row, bytes).map_err(StoreError::read)
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, row)) => postcard::from_bytes(row).map_err(|error| StoreError::damaged(format!("{what}: {error}"))),
        Some((version, _)) => Err(StoreError::damaged(format!("{what}: a row of version {version}"))),
        None => Err(StoreError::damaged(format!("{what}: an empty row"))),
    }
}

/// Which store this is. Written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub store: [u8; 16],
    /// Part of every job's id; renewed by a restore.
    pub epoch: u32,
}

impl Identity {
    /// The first octet is the schema, that every version of this row begins with.
    pub fn to_row(&self) -> Result<Vec<u8>, StoreError> {
        let mut row = vec![SCHEMA];
        row.extend(encode(self)?);
        Ok(row)
    }
}

/// How far a stream of segments reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The oldest segment that still matters.
    pub first: u32,
    pub segment: u32,
    /// Durable bytes of the last segment.
    pub length: u64,
    /// When the last segment was begun, milliseconds since 1970; 0 while it is empty.
    pub begun: i64,
}

/// What every commit renews.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The id of the next event; the first is 1.
    pub next_event: u64,
    /// When the last event came, milliseconds since 1970.
    pub last_at: i64,
    pub events: Tail,
    pub raw: Tail,
    /// Where the last position row points: segment and offset.
    pub position: Option<(u32, u64)>,
    /// Events below this have expired.
    pub oldest_event: u64,
    /// Counts of days before this have.
    pub oldest_day: u32,
    /// Where in the segments expiry goes on.
    pub expired: (u32, u64),
    /// Jobs waiting, running, done, dead.
    pub jobs: [u64; 4],
    /// How many names there are of domains and of campaigns.
    pub domains: u32,
    pub campaigns: u32,
    /// How many domains are guarded.
    pub guarded: u32,
}

impl State {
    pub fn last_arrival(&self) -> Option<Timestamp> {
        (self.next_event > 1).then(|| time(self.last_at))
    }

    pub fn names(&mut self, kind: ScopeKind) -> Option<&mut u32> {
        match kind {
            ScopeKind::Domain => Some(&mut self.domains),
            ScopeKind::Campaign => Some(&mut self.campaigns),
            _ => None,
        }
    }
}

/// Lifetime totals of a scope.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TotalsRow {
    pub totals: Counts,
    pub fired: Vec<Fired>,
}

/// A scope's day: the sum, and the hours (0 to 23) in which something came. The hours live as long as their day: they are the smaller
/// part of it, and a row that is never touched again costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DayRow {
    pub counts: Counts,
    pub hours: BTreeMap<u8, Counts>,
}

/// Where events lie in the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub segment: u32,
    pub offset: u64,
}

/// A job's state. What it is about is frozen in the events' segments, beside the event that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    pub state: outbox::State,
    pub attempts: u32,
    #[serde(with = "crate::stamp")]
    pub created: Timestamp,
    #[serde(with = "crate::stamp")]
    pub next: Timestamp,
    pub last_error: Option<String>,
    pub body: RawRef,
    /// [`super::keys::lane`].
    pub lane: u32,
    /// Others that go out with it.
    pub parts: Vec<(JobId, RawRef)>,
    /// How many more there were.
    pub beyond: u64,
}

/// A job as frozen when its trigger fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum JobBody {
    V1 { id: JobId, task: Task, facts: Facts },
}

/// As long an event is at most, mostly.
const EVENT_OCTETS: usize = 512;

/// An event as its segment holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    pub dedupe: [u8; super::keys::DEDUPE_OCTETS],
    pub event: Event,
}

impl EventRecord {
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::with_capacity(EVENT_OCTETS);
        bytes.extend_from_slice(&self.dedupe);
        postcard::to_extend(&self.event, bytes).map_err(StoreError::read)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<EventRecord, StoreError> {
        let (dedupe, event) = bytes.split_first_chunk().ok_or_else(|| StoreError::damaged("an event cut short"))?;
        let event = postcard::from_bytes(event).map_err(|error| StoreError::damaged(format!("an event: {error}")))?;
        Ok(EventRecord { dedupe: *dedupe, event })
    }
}

/// Milliseconds since 1970 as a time; what no clock shows becomes the nearest that one does.
pub fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(if milliseconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Adds one.
pub fn bump(counts: &mut Counts, status: crate::taxonomy::Status) {
    let count = counts.entry(status).or_default();
    *count = count.saturating_add(1);
}

/// The persons whom an address stands for, other than by its own key.
pub type AddressRow = BTreeSet<crate::verp::PersonKey>;
