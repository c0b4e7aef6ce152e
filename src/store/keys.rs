//! The keys of the one tree: a prefix octet, then fields of fixed length in big-endian order, so that ranges are in the order that is asked for.
//!
//! | prefix | then | row |
//! |---|---|---|
//! | `!s` | | [`super::rows::Identity`] |
//! | `!m` | | [`super::rows::State`], renewed by every commit |
//! | `!f` | | [`super::erase::Row`], while something is left to erase |
//! | `p` | person key, 10 octets | a person |
//! | `d` | dedupe key cut to 12 octets | the event's id |
//! | `a` | SHA-256 of a normal address cut to 12 octets | person keys |
//! | `t` | scope, name | lifetime totals and marks of what fired |
//! | `y` | day, scope, name | the day's counts and those of its hours |
//! | `e` | event id | where in the segments events from this one on lie |
//! | `j` | job id | a job's state |
//! | `q` | job state, lane, time, job id | nothing: jobs in the order in which they are due |
//! | `r` | segment | when the last raw mail in it came |
//! | `~` | another key, 0, piece | what didn't fit into that row |

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::{
    outbox::{JobId, State},
    verp::PersonKey,
};

pub const IDENTITY: &[u8] = b"!s";
pub const STATE: &[u8] = b"!m";

pub const PERSON: u8 = b'p';
pub const DEDUPE: u8 = b'd';
const ADDRESS: u8 = b'a';
pub const TOTALS: u8 = b't';
pub const DAY: u8 = b'y';
pub const POSITION: u8 = b'e';
pub const JOB: u8 = b'j';
pub const DUE: u8 = b'q';
pub const RAW_SEGMENT: u8 = b'r';
pub const PIECE: u8 = b'~';

/// What counts are kept of. The octet is part of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeKind {
    All = 0,
    Domain = 1,
    Campaign = 2,
    Unsigned = 3,
    Expired = 4,
    Own = 5,
}

fn key(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(prefix);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub fn person(person: PersonKey) -> Vec<u8> {
    key(PERSON, &[&person.0])
}

/// How much of a dedupe key is kept: 96 bits, of which two meet by chance once in some 10^14 mails.
pub const DEDUPE_OCTETS: usize = 12;

pub fn dedupe(digest: &[u8]) -> Vec<u8> {
    key(DEDUPE, &[digest.get(..DEDUPE_OCTETS).unwrap_or(digest)])
}

pub fn address(normal: &str) -> Vec<u8> {
    let digest = Sha256::digest(normal.as_bytes());
    key(ADDRESS, &[digest.get(..12).unwrap_or(&digest)])
}

pub fn totals(kind: ScopeKind, name: &str) -> Vec<u8> {
    key(TOTALS, &[&[kind as u8], name.as_bytes()])
}

pub fn day(day: u32, kind: ScopeKind, name: &str) -> Vec<u8> {
    key(DAY, &[&day.to_be_bytes(), &[kind as u8], name.as_bytes()])
}

/// Before all rows of that day.
pub fn first_of_day(day: u32) -> Vec<u8> {
    key(DAY, &[&day.to_be_bytes()])
}

pub fn position(event: u64) -> Vec<u8> {
    key(POSITION, &[&event.to_be_bytes()])
}

pub fn event_of_position(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?))
}

fn job_octets(id: JobId) -> Vec<u8> {
    [&id.epoch.to_be_bytes()[..], &id.event.to_be_bytes(), &id.trigger.to_be_bytes(), &id.place.to_be_bytes()].concat()
}

pub fn job(id: JobId) -> Vec<u8> {
    key(JOB, &[&job_octets(id)])
}

/// The octet of a job's state in [`due`], and its place in [`super::rows::State::jobs`].
pub fn state_octet(state: State) -> u8 {
    match state {
        State::Waiting => 0,
        State::Running => 1,
        State::Done => 2,
        State::Dead => 3,
    }
}

/// The lane of all jobs but waiting ones.
pub const NO_LANE: u32 = 0;

/// A lane's name in keys, see [`crate::outbox::lane`]. Two that met by chance would share their places.
pub fn lane(name: &str) -> u32 {
    let digest = Sha256::digest(name.as_bytes());
    digest.first_chunk().map_or(1, |octets| u32::from_be_bytes(*octets).max(1))
}

pub fn due(state: State, lane: u32, at: Timestamp, id: JobId) -> Vec<u8> {
    key(DUE, &[&[state_octet(state)], &lane.to_be_bytes(), &sortable(at), &job_octets(id)])
}

/// All rows of a state and lane up to and with `until`: from the first key to just before the second.
pub fn due_until(state: State, lane: u32, until: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let (state, lane) = ([state_octet(state)], lane.to_be_bytes());
    (key(DUE, &[&state, &lane]), key(DUE, &[&state, &lane, &after(until)]))
}

/// All rows of a state and lane later than `time`.
pub fn due_after(state: State, lane: u32, time: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let (state, lane) = ([state_octet(state)], lane.to_be_bytes());
    (key(DUE, &[&state, &lane, &after(time)]), key(DUE, &[&state, &lane, &[u8::MAX; 9]]))
}

/// All waiting rows of the lanes from `lane` on.
pub fn waiting_from(lane: u32) -> (Vec<u8>, Vec<u8>) {
    let state = [state_octet(State::Waiting)];
    (key(DUE, &[&state, &lane.to_be_bytes()]), key(DUE, &[&state, &[u8::MAX; 5]]))
}

fn after(time: Timestamp) -> [u8; 8] {
    u64::from_be_bytes(sortable(time)).saturating_add(1).to_be_bytes()
}

pub fn lane_of_due(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(2..6)?.try_into().ok()?))
}

/// Time and id of a [`due`] key.
pub fn of_due(key: &[u8]) -> Option<(Timestamp, JobId)> {
    let field = |from: usize, to: usize| key.get(from..to);
    let at = u64::from_be_bytes(field(6, 14)?.try_into().ok()?);
    let id = JobId {
        epoch: u32::from_be_bytes(field(14, 18)?.try_into().ok()?),
        event: u64::from_be_bytes(field(18, 26)?.try_into().ok()?),
        trigger: u32::from_be_bytes(field(26, 30)?.try_into().ok()?),
        place: u16::from_be_bytes(field(30, 32)?.try_into().ok()?),
    };
    Some((Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?, id))
}

fn sortable(at: Timestamp) -> [u8; 8] {
    u64::try_from(at.as_millisecond()).unwrap_or(0).to_be_bytes()
}

pub fn raw_segment(segment: u32) -> Vec<u8> {
    key(RAW_SEGMENT, &[&segment.to_be_bytes()])
}

pub fn segment_of_raw(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..5)?.try_into().ok()?))
}

pub fn piece(of: &[u8], number: u16) -> Vec<u8> {
    key(PIECE, &[of, &[0], &number.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_rows_are_in_order_and_read_back() {
        let id = JobId { epoch: 7, event: 1 << 40, trigger: 9, place: 3 };
        let at = Timestamp::from_millisecond(1_000_000_000_123).unwrap();
        let key = due(State::Waiting, 5, at, id);
        assert_eq!((of_due(&key), lane_of_due(&key)), (Some((at, id)), Some(5)));
        let (from, to) = due_until(State::Waiting, 5, at);
        assert!(from <= key && key < to);
        let later = due(State::Waiting, 5, Timestamp::from_millisecond(1_000_000_000_124).unwrap(), id);
        assert!(later >= to, "later is out of the range");
        assert!(due(State::Running, NO_LANE, at, id) >= to, "so is another state");
        assert_eq!(of_due(&key[..20]), None);
    }
}
