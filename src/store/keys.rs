//! The keys of the one table: a prefix octet, then fields of fixed length in big-endian order, so that ranges are in the order that is asked for.
//!
//! | prefix | then | row |
//! |---|---|---|
//! | `!s` | | [`super::rows::Identity`] |
//! | `!m` | | [`super::rows::State`], renewed by every commit |
//! | `!t` | | [`super::table`]'s manifest |
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
//! | `w` | time, order, SHA-256 of the timer cut to 12 octets | a timer |
//! | `m` | sequence, person key | nothing: who is in a sequence |
//! | `R` | name | [`crate::ledger::ReportState`] |
//! | `c` | report, delivery, person key | a person in a report |
//! | `x` | time, report, delivery | nothing: when a delivery was closed |
//! | `G` | domain | [`crate::ledger::GuardState`] |
//! | `h` | domain, event id, trigger | what waits of a guarded domain |
//! | `g` | name | [`crate::ledger::Gathering`]: what goes out as one |
//! | `f` | name, number, place | one of these |
//! | `k` | job id | a task for an administrator |
//! | `~` | another key, 0, piece | what didn't fit into that row |

use std::ops::Bound;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::{
    ledger::Timer,
    outbox::{JobId, State},
    verp::PersonKey,
};

pub const IDENTITY: &[u8] = b"!s";
pub const STATE: &[u8] = b"!m";
pub const MANIFEST: &[u8] = b"!t";

pub const PERSON: u8 = b'p';
pub const DEDUPE: u8 = b'd';
const ADDRESS: u8 = b'a';
pub const TOTALS: u8 = b't';
pub const DAY: u8 = b'y';
pub const POSITION: u8 = b'e';
pub const JOB: u8 = b'j';
pub const DUE: u8 = b'q';
pub const RAW_SEGMENT: u8 = b'r';
pub const TIMER: u8 = b'w';
pub const MEMBER: u8 = b'm';
pub const REPORT: u8 = b'R';
pub const COLLECTED: u8 = b'c';
pub const CLOSED: u8 = b'x';
pub const GUARD: u8 = b'G';
pub const HELD: u8 = b'h';
pub const GATHER: u8 = b'g';
pub const PART: u8 = b'f';
pub const TASK: u8 = b'k';
pub const PIECE: u8 = b'~';

/// The rows whose place are runs, see [`super::table`]: what grows with people and events, and is found by its key or read as a whole. All else
/// is little, or goes again soon.
const IN_RUNS: [u8; 7] = [PERSON, DEDUPE, ADDRESS, TOTALS, DAY, MEMBER, COLLECTED];

pub fn in_runs(key: &[u8]) -> bool {
    key.first().is_some_and(|prefix| IN_RUNS.contains(prefix))
}

/// Whether any such row may lie between these.
pub fn runs_hold_some(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    let prefix = |bound: Bound<&[u8]>, open: u8| match bound {
        Bound::Included(key) | Bound::Excluded(key) => key.first().copied().unwrap_or(open),
        Bound::Unbounded => open,
    };
    let (first, last) = (prefix(from, 0), prefix(to, u8::MAX));
    IN_RUNS.iter().any(|prefix| (first..=last).contains(prefix))
}

/// The first key after all that begin with `prefix`; empty where there is none.
pub fn past(prefix: &[u8]) -> Vec<u8> {
    let mut past = prefix.to_vec();
    while let Some(last) = past.pop() {
        if let Some(next) = last.checked_add(1) {
            past.push(next);
            break;
        }
    }
    past
}

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

/// What a [`dedupe`] row says.
pub fn event_of_dedupe(row: &[u8]) -> Option<u64> {
    super::rows::decode(row, "a dedupe key").ok()
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

pub fn day_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..5)?.try_into().ok()?))
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
    let at = u64::from_be_bytes(key.get(6..14)?.try_into().ok()?);
    Some((Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?, job_id(key.get(14..)?)?))
}

fn job_id(octets: &[u8]) -> Option<JobId> {
    Some(JobId {
        epoch: u32::from_be_bytes(octets.get(..4)?.try_into().ok()?),
        event: u64::from_be_bytes(octets.get(4..12)?.try_into().ok()?),
        trigger: u32::from_be_bytes(octets.get(12..16)?.try_into().ok()?),
        place: u16::from_be_bytes(octets.get(16..18)?.try_into().ok()?),
    })
}

fn sortable(at: Timestamp) -> [u8; 8] {
    u64::try_from(at.as_millisecond()).unwrap_or(0).to_be_bytes()
}

/// Eight octets for a name of any length. Names of the configuration and domains; two that met by chance would share their rows.
fn short(name: &str) -> [u8; 8] {
    Sha256::digest(name.as_bytes()).first_chunk().copied().unwrap_or_default()
}

pub fn timer(due: Timestamp, timer: &Timer) -> Vec<u8> {
    let digest = Sha256::digest(postcard::to_stdvec(timer).unwrap_or_default());
    key(TIMER, &[&sortable(due), &[timer.order()], digest.get(..12).unwrap_or(&digest)])
}

/// All up to and with `until`.
pub fn timers_until(until: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (key(TIMER, &[]), key(TIMER, &[&after(until)]))
}

pub fn due_of_timer(key: &[u8]) -> Option<Timestamp> {
    let at = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()
}

pub fn member(sequence: &str, person: PersonKey) -> Vec<u8> {
    key(MEMBER, &[&short(sequence), &person.0])
}

pub fn members(sequence: &str) -> Vec<u8> {
    key(MEMBER, &[&short(sequence)])
}

pub fn person_of_member(key: &[u8]) -> Option<PersonKey> {
    Some(PersonKey(key.get(9..)?.try_into().ok()?))
}

pub fn report(name: &str) -> Vec<u8> {
    key(REPORT, &[name.as_bytes()])
}

pub fn collected(report: &str, delivery: u32, person: PersonKey) -> Vec<u8> {
    key(COLLECTED, &[&short(report), &delivery.to_be_bytes(), &person.0])
}

pub fn closed(at: Timestamp, report: &str, delivery: u32) -> Vec<u8> {
    key(CLOSED, &[&sortable(at), &short(report), &delivery.to_be_bytes()])
}

/// The deliveries that were closed up to `until`.
pub fn closed_until(until: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (key(CLOSED, &[]), key(CLOSED, &[&after(until)]))
}

/// What was collected for the delivery of a [`closed`] key.
pub fn collected_of_closed(row: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let delivery = row.get(9..21)?;
    Some((key(COLLECTED, &[delivery]), key(COLLECTED, &[delivery, &[u8::MAX; 11]])))
}

/// Of one delivery.
pub fn all_collected(report: &str, delivery: u32) -> Vec<u8> {
    key(COLLECTED, &[&short(report), &delivery.to_be_bytes()])
}

pub fn guard(domain: &str) -> Vec<u8> {
    key(GUARD, &[domain.as_bytes()])
}

pub fn held(domain: &str, event: u64, trigger: u32) -> Vec<u8> {
    key(HELD, &[&short(domain), &event.to_be_bytes(), &trigger.to_be_bytes()])
}

pub fn held_of(domain: &str) -> (Vec<u8>, Vec<u8>) {
    (key(HELD, &[&short(domain)]), key(HELD, &[&short(domain), &[u8::MAX; 13]]))
}

/// Stands for a name in [`Timer::Gather`].
pub fn gathering(name: &str) -> u64 {
    u64::from_be_bytes(short(name))
}

pub fn gather(gathering: u64) -> Vec<u8> {
    key(GATHER, &[&gathering.to_be_bytes()])
}

pub fn part(gathering: u64, number: u32, place: u32) -> Vec<u8> {
    key(PART, &[&gathering.to_be_bytes(), &number.to_be_bytes(), &place.to_be_bytes()])
}

pub fn task(id: JobId) -> Vec<u8> {
    key(TASK, &[&job_octets(id)])
}

pub fn id_of_task(key: &[u8]) -> Option<JobId> {
    job_id(key.get(1..)?)
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
