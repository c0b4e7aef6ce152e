//! Mails and posts that wait for others of their kind, and how they become one job. What is decided is [`Gathering`]'s; here are the rows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    StoreError, keys,
    outbox::{self, Made},
    overlay::Overlay,
    rows::{State, decode, encode},
    timers,
};
use crate::{
    action::Gather,
    ledger::{Admitted, Gathering, RawRef, Timer, TimerChange},
    outbox::JobId,
};

/// One mail or post holds so many at most; of what comes beyond, it tells the number.
const KEPT: u32 = 1_000;

#[derive(Default, Serialize, Deserialize)]
struct GatherRow {
    state: Gathering,
    /// [`keys::lane`]
    lane: u32,
}

#[derive(Serialize, Deserialize)]
struct PartRow {
    id: JobId,
    body: RawRef,
}

/// A job of this kind was made: it goes at once, or waits.
pub fn admit(
    rows: &mut Overlay<'_>,
    state: &mut State,
    gather: Gather,
    id: JobId,
    at: Timestamp,
    body: RawRef,
    lane: &str,
) -> Result<(), StoreError> {
    let key = keys::gathering(&gather.name);
    let mut row: GatherRow = match rows.get(&keys::gather(key))? {
        Some(bytes) => decode(&bytes, "what waits for others")?,
        None => GatherRow { lane: keys::lane(lane), ..GatherRow::default() },
    };
    let place = row.state.waiting;
    match row.state.admit(gather.pace, at) {
        Admitted::AtOnce => {
            outbox::create(rows, state, id, at, Made { body, lane: keys::lane(lane), parts: Vec::new(), beyond: 0 })?;
            rows.put(keys::gather(key), encode(&row)?)
        }
        Admitted::Waits { due, set } => {
            put_part(rows, key, &row, place, id, body)?;
            if set {
                timers::change(rows, TimerChange::Set { timer: Timer::Gather { key }, due, facts: None })?;
            }
            rows.put(keys::gather(key), encode(&row)?)
        }
        Admitted::Completes => {
            put_part(rows, key, &row, place, id, body)?;
            send(rows, state, key, row, at)
        }
    }
}

fn put_part(rows: &mut Overlay<'_>, key: u64, row: &GatherRow, place: u32, id: JobId, body: RawRef) -> Result<(), StoreError> {
    if place >= KEPT {
        return Ok(());
    }
    rows.put(keys::part(key, row.state.number, place), encode(&PartRow { id, body })?)
}

/// Its timer fell due.
pub fn due(rows: &mut Overlay<'_>, state: &mut State, key: u64, at: Timestamp) -> Result<(), StoreError> {
    let Some(bytes) = rows.get(&keys::gather(key))? else { return Ok(()) };
    send(rows, state, key, decode(&bytes, "what waits for others")?, at)
}

/// All that wait become one job, under the first one's id.
fn send(rows: &mut Overlay<'_>, state: &mut State, key: u64, mut row: GatherRow, at: Timestamp) -> Result<(), StoreError> {
    let (number, waiting) = (row.state.number, row.state.waiting);
    let mut parts = Vec::new();
    for place in 0..waiting.min(KEPT) {
        let part = keys::part(key, number, place);
        let Some(bytes) = rows.get(&part)? else { return Err(StoreError::damaged("one of several that go out as one")) };
        let PartRow { id, body } = decode(&bytes, "one of several that go out as one")?;
        parts.push((id, body));
        rows.remove(part)?;
    }
    if let Some(due) = row.state.end(at) {
        timers::change(rows, TimerChange::Clear { timer: Timer::Gather { key }, due })?;
    }
    rows.put(keys::gather(key), encode(&row)?)?;
    let mut parts = parts.into_iter();
    let Some((id, body)) = parts.next() else { return Ok(()) };
    let made = Made { body, lane: row.lane, parts: parts.collect(), beyond: u64::from(waiting.saturating_sub(KEPT)) };
    outbox::create(rows, state, id, at, made)
}
