//! What is kept beside a person's record: members of sequences, people in reports, what a guarded domain holds back, tasks.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    StoreError, keys,
    overlay::{Overlay, whole},
    rows::{State, decode, encode},
    table::Table,
};
use crate::{
    ledger::{Collected, Ending, GuardChange, GuardState, Held, Person, RawRef, ReportState},
    outbox::JobId,
    verp::PersonKey,
};

/// Done tasks can be seen for so long.
pub const KEEP_TASKS: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Who was in a report's delivery is known for so long after it was closed: its job may be retried by hand.
pub const KEEP_SENT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A task for an administrator; what it is about lies in the segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    pub person: Option<PersonKey>,
    #[serde(with = "crate::stamp")]
    pub made: Timestamp,
    #[serde(with = "crate::stamp::option")]
    pub due: Option<Timestamp>,
    #[serde(with = "crate::stamp::option")]
    pub done: Option<Timestamp>,
    pub body: RawRef,
}

/// Members of sequences are found by the sequence.
pub fn members(rows: &mut Overlay<'_>, key: PersonKey, before: &[String], after: &Person) -> Result<(), StoreError> {
    for name in after.sequences.keys().filter(|name| !before.contains(name)) {
        rows.put(keys::member(name, key), encode(&())?)?;
    }
    for name in before.iter().filter(|name| !after.sequences.contains_key(*name)) {
        rows.remove(keys::member(name, key))?;
    }
    Ok(())
}

pub fn report(rows: &Overlay<'_>, name: &str) -> Result<ReportState, StoreError> {
    let row = rows.get(&keys::report(name))?;
    row.map(|row| decode(&row, "a report")).transpose().map(Option::unwrap_or_default)
}

pub fn put_report(rows: &mut Overlay<'_>, name: &str, state: ReportState) -> Result<(), StoreError> {
    let before = report(rows, name)?;
    if let (true, Some(at)) = (state.open > before.open, state.last) {
        rows.put(keys::closed(at, name, before.open), encode(&())?)?;
    }
    rows.put(keys::report(name), encode(&state)?)
}

/// Into the delivery that is open; whoever is in it already is told of by the newer.
pub fn collect(rows: &mut Overlay<'_>, key: PersonKey, collected: Collected) -> Result<(), StoreError> {
    let state = report(rows, &collected.report)?;
    let row = keys::collected(&collected.report, state.open, key);
    if rows.get(&row)?.is_none() {
        put_report(rows, &collected.report, ReportState { people: state.people.saturating_add(1), ..state })?;
    }
    rows.put(row, encode(&collected.entry)?)
}

pub fn guard(rows: &Overlay<'_>, domain: &str) -> Result<Option<GuardState>, StoreError> {
    rows.get(&keys::guard(domain))?.map(|row| decode(&row, "a guarded domain")).transpose()
}

fn put_guard(rows: &mut Overlay<'_>, domain: &str, state: GuardState) -> Result<(), StoreError> {
    rows.put(keys::guard(domain), encode(&state)?)
}

pub fn change_guard(rows: &mut Overlay<'_>, state: &mut State, change: GuardChange, at: Timestamp) -> Result<(), StoreError> {
    match change {
        GuardChange::Hold { domain, hard_bounces } => {
            state.guarded = state.guarded.saturating_add(1);
            put_guard(rows, &domain, GuardState { since: at, hard_bounces, waiting: 0, ending: None })
        }
        GuardChange::End { domain, release } => match guard(rows, &domain)? {
            Some(guard) => {
                let ending = Some(if release { Ending::Release } else { Ending::Drop });
                put_guard(rows, &domain, GuardState { ending, ..guard })
            }
            None => Ok(()),
        },
        GuardChange::LetGo { domain } => match guard(rows, &domain)? {
            Some(guard) => put_guard(rows, &domain, GuardState { since: at, waiting: 0, ending: Some(Ending::LetGo), ..guard }),
            None => Ok(()),
        },
        GuardChange::Over { domain } => {
            state.guarded = state.guarded.saturating_sub(1);
            rows.remove(keys::guard(&domain))
        }
    }
}

pub fn hold(rows: &mut Overlay<'_>, event: u64, held: &Held) -> Result<(), StoreError> {
    if let Some(guard) = guard(rows, &held.domain)? {
        put_guard(rows, &held.domain, GuardState { waiting: guard.waiting.saturating_add(1), ..guard })?;
    }
    rows.put(keys::held(&held.domain, event, held.job_key()), encode(held)?)
}

/// The first of a domain that wait, in the order of the events; what this batch put there comes in the next.
pub fn first_held(rows: &Overlay<'_>, tree: &Table, domain: &str, most: usize) -> Result<Vec<(Vec<u8>, Held)>, StoreError> {
    let (first, last) = keys::held_of(domain);
    let found = rows.untouched(&first, &last, most)?.into_iter();
    found.map(|(key, row)| Ok((key.to_vec(), decode(&whole(tree, &key, row)?, "what waits of a guarded domain")?))).collect()
}

/// What stands of a person in reports, guarded domains and tasks. All such rows are looked at: forgetting is rare.
pub fn forget(rows: &mut Overlay<'_>, person: PersonKey) -> Result<(), StoreError> {
    for prefix in [keys::COLLECTED, keys::HELD, keys::TASK] {
        for (key, _) in rows.untouched(&[prefix], &[prefix + 1], usize::MAX)? {
            let Some(row) = rows.get(&key)? else { continue };
            let theirs = match prefix {
                keys::COLLECTED => key.ends_with(&person.0),
                keys::HELD => decode::<Held>(&row, "what waits of a guarded domain")?.person == person,
                _ => decode::<TaskRow>(&row, "a task")?.person == Some(person),
            };
            if theirs {
                rows.remove(key.to_vec())?;
            }
        }
    }
    Ok(())
}

pub fn task_done(rows: &mut Overlay<'_>, id: JobId, at: Timestamp) -> Result<bool, StoreError> {
    let Some(bytes) = rows.get(&keys::task(id))? else { return Ok(false) };
    let task: TaskRow = decode(&bytes, "a task")?;
    if task.done.is_some() {
        return Ok(false);
    }
    rows.put(keys::task(id), encode(&TaskRow { done: Some(at), ..task })?)?;
    Ok(true)
}
