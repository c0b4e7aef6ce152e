//! Timers in the store: rows in the order in which they fall due. The one that runs is taken away in the commit that holds what it did.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    StoreError, keys,
    overlay::{Overlay, whole},
    rows::{decode, encode},
    table::Table,
};
use crate::ledger::{Facts, Timer, TimerChange, TimerInput};

#[derive(Serialize, Deserialize)]
struct TimerRow {
    timer: Timer,
    facts: Option<Box<Facts>>,
}

/// One that is due, with its key.
pub struct Due {
    pub key: Vec<u8>,
    pub input: TimerInput,
}

pub fn change(rows: &mut Overlay<'_>, change: TimerChange) -> Result<(), StoreError> {
    match change {
        TimerChange::Set { timer, due, facts } => rows.put(keys::timer(due, &timer), encode(&TimerRow { timer, facts })?),
        TimerChange::Clear { timer, due } => rows.remove(keys::timer(due, &timer)),
    }
}

/// At most `most` that are due at `now`, in their order.
pub fn due(rows: &Overlay<'_>, tree: &Table, now: Timestamp, most: usize) -> Result<Vec<Due>, StoreError> {
    let (first, last) = keys::timers_until(now);
    let found = rows.untouched(&first, &last, most)?;
    found
        .into_iter()
        .map(|(key, row)| {
            let due = keys::due_of_timer(&key).ok_or_else(|| StoreError::damaged("a timer's key"))?;
            let TimerRow { timer, facts } = decode(&whole(tree, &key, row)?, "a timer")?;
            Ok(Due { key: key.to_vec(), input: TimerInput { timer, due, facts } })
        })
        .collect()
}

/// When the first one falls due.
pub fn next(tree: &Table) -> Result<Option<Timestamp>, StoreError> {
    let (first, last) = keys::timers_until(Timestamp::MAX);
    let row = tree.range(first..last).next().transpose()?;
    Ok(row.and_then(|(key, _)| keys::due_of_timer(&key)))
}
