//! Jobs in the store: each has one row with its state and one that puts it in order of time; what it is about lies in the segments.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Decided, StoreError,
    keys::{self, state_octet},
    overlay::Overlay,
    rows::{JobBody, JobRow, State as StoreState, decode, encode},
    segments::{Folder, JOB},
};
use crate::{
    action::Task,
    ledger::{Facts, RawRef},
    outbox::{Job, JobId, Part, State, Want},
};

/// Finished jobs can be seen for so long.
pub const KEEP_DONE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An error's text is cut to so many characters.
const ERROR_CHARS: usize = 500;

/// What a new job is.
pub struct Made {
    pub body: RawRef,
    /// [`keys::lane`]
    pub lane: u32,
    pub parts: Vec<(JobId, RawRef)>,
    pub beyond: u64,
}

pub fn create(rows: &mut Overlay<'_>, state: &mut StoreState, id: JobId, at: Timestamp, made: Made) -> Result<(), StoreError> {
    let Made { body, lane, parts, beyond } = made;
    let row = JobRow { state: State::Waiting, attempts: 0, created: at, next: at, last_error: None, body, lane, parts, beyond };
    put(rows, state, id, None, row)
}

fn row(rows: &Overlay<'_>, id: JobId) -> Result<Option<JobRow>, StoreError> {
    rows.get(&keys::job(id))?.map(|row| decode(&row, "a job")).transpose()
}

fn put(rows: &mut Overlay<'_>, state: &mut StoreState, id: JobId, old: Option<&JobRow>, new: JobRow) -> Result<(), StoreError> {
    if let Some(old) = old {
        forget_due(rows, state, id, old)?;
    }
    rows.put(due(&new, id), Vec::new())?;
    tally(state, new.state, 1);
    rows.put(keys::job(id), encode(&new)?)
}

fn forget_due(rows: &mut Overlay<'_>, state: &mut StoreState, id: JobId, old: &JobRow) -> Result<(), StoreError> {
    tally(state, old.state, -1);
    rows.remove(due(old, id))
}

fn due(row: &JobRow, id: JobId) -> Vec<u8> {
    let lane = if row.state == State::Waiting { row.lane } else { keys::NO_LANE };
    keys::due(row.state, lane, row.next, id)
}

fn tally(state: &mut StoreState, of: State, change: i64) {
    if let Some(count) = state.jobs.get_mut(usize::from(state_octet(of))) {
        *count = count.saturating_add_signed(change);
    }
}

/// Due jobs become running, with a lease until `until`: those waiting first, then those whose lease ran out; of no lane more than there is
/// room for. A lane that has none costs two lookups, however many wait in it.
pub fn claim(
    rows: &mut Overlay<'_>,
    state: &mut StoreState,
    folder: &Folder,
    now: Timestamp,
    until: Timestamp,
    want: &Want,
) -> Result<Vec<Job>, StoreError> {
    let mut room = Room::new(want);
    let mut due = waiting(rows, now, want, &room)?;
    due.sort_unstable();
    let (first, last) = keys::due_until(State::Running, keys::NO_LANE, now);
    for (key, _) in rows.untouched(&first, &last, usize::MAX)? {
        due.push(keys::of_due(&key).ok_or_else(|| StoreError::damaged("a job's due row"))?);
    }
    let mut claimed = Vec::new();
    for (_, id) in due {
        if claimed.len() >= want.max {
            break;
        }
        let Some(old) = row(rows, id)? else { return Err(StoreError::damaged(format!("job {id}, which is due and isn't there"))) };
        if !room.take(old.lane) {
            continue;
        }
        let mut new = JobRow { state: State::Running, attempts: old.attempts.saturating_add(1), next: until, ..old.clone() };
        match job(folder, id, &new) {
            Ok(job) => claimed.push(job),
            Err(error @ StoreError::Read(_)) => {
                tracing::error!(%id, %error, "a job can't be read now");
                continue;
            }
            // A damaged job must not stand in the way of all others.
            Err(error) => new = JobRow { state: State::Dead, next: now, last_error: Some(error.to_string()), ..new },
        }
        put(rows, state, id, Some(&old), new)?;
    }
    Ok(claimed)
}

/// Of each lane, the first that are due and that there is room for.
fn waiting(rows: &Overlay<'_>, now: Timestamp, want: &Want, room: &Room) -> Result<Vec<(Timestamp, JobId)>, StoreError> {
    let damaged = || StoreError::damaged("a job's due row");
    let mut due = Vec::new();
    let mut from = Some(keys::NO_LANE);
    while let Some(start) = from {
        let (first, last) = keys::waiting_from(start);
        let found = rows.untouched(&first, &last, 1)?;
        let Some((key, _)) = found.first() else { break };
        let lane = keys::lane_of_due(key).ok_or_else(damaged)?;
        let (first, last) = keys::due_until(State::Waiting, lane, now);
        for (key, _) in rows.untouched(&first, &last, room.of(lane).min(want.max))? {
            due.push(keys::of_due(&key).ok_or_else(damaged)?);
        }
        from = lane.checked_add(1);
    }
    Ok(due)
}

/// How many jobs of each lane may still be handed out.
struct Room {
    each: usize,
    held: HashMap<u32, usize>,
}

impl Room {
    fn new(want: &Want) -> Room {
        Room { each: want.each, held: want.held.iter().map(|(name, held)| (keys::lane(name), *held)).collect() }
    }

    fn of(&self, lane: u32) -> usize {
        self.each.saturating_sub(self.held.get(&lane).copied().unwrap_or(0))
    }

    fn take(&mut self, lane: u32) -> bool {
        let held = self.held.entry(lane).or_default();
        let room = *held < self.each;
        *held = held.saturating_add(usize::from(room));
        room
    }
}

/// Returns whether there is such a job that isn't done.
pub fn finish(rows: &mut Overlay<'_>, state: &mut StoreState, now: Timestamp, id: JobId, decided: Decided) -> Result<bool, StoreError> {
    let Some(old) = row(rows, id)?.filter(|old| old.state != State::Done) else { return Ok(false) };
    let error = |error: String| Some(error.chars().take(ERROR_CHARS).collect());
    let new = match decided {
        Decided::Done => JobRow { state: State::Done, next: now, ..old.clone() },
        Decided::Later { at, error: why } => JobRow { state: State::Waiting, next: at, last_error: error(why), ..old.clone() },
        Decided::Dead { error: why } => JobRow { state: State::Dead, next: now, last_error: error(why), ..old.clone() },
        Decided::Released { at } => JobRow { state: State::Waiting, next: at, attempts: old.attempts.saturating_sub(1), ..old.clone() },
    };
    put(rows, state, id, Some(&old), new)?;
    Ok(true)
}

/// By hand: due now, its attempts and its time counted from none. A job that runs is left alone.
pub fn retry(rows: &mut Overlay<'_>, state: &mut StoreState, now: Timestamp, id: JobId) -> Result<bool, StoreError> {
    let Some(old) = row(rows, id)?.filter(|old| matches!(old.state, State::Waiting | State::Dead)) else { return Ok(false) };
    put(rows, state, id, Some(&old), JobRow { state: State::Waiting, attempts: 0, created: now, next: now, ..old.clone() })?;
    Ok(true)
}

pub fn drop_job(rows: &mut Overlay<'_>, state: &mut StoreState, id: JobId) -> Result<bool, StoreError> {
    let Some(old) = row(rows, id)? else { return Ok(false) };
    forget_due(rows, state, id, &old)?;
    rows.remove(keys::job(id))?;
    Ok(true)
}

/// Removes a job that is about one person; one that is about several stays without them, see [`job`].
pub fn forget(rows: &mut Overlay<'_>, state: &mut StoreState, id: JobId) -> Result<(), StoreError> {
    if row(rows, id)?.is_some_and(|row| row.parts.is_empty()) {
        drop_job(rows, state, id)?;
    }
    Ok(())
}

/// At open nobody works on anything: what ran is due at once. Returns how many there were.
pub fn rescue(rows: &mut Overlay<'_>, state: &mut StoreState, now: Timestamp) -> Result<usize, StoreError> {
    let (first, last) = keys::due_until(State::Running, keys::NO_LANE, Timestamp::MAX);
    let running = rows.untouched(&first, &last, usize::MAX)?;
    for (key, _) in &running {
        let Some((_, id)) = keys::of_due(key) else { continue };
        if let Some(old) = row(rows, id)? {
            put(rows, state, id, Some(&old), JobRow { state: State::Waiting, next: now, ..old.clone() })?;
        }
    }
    Ok(running.len())
}

/// A job with what it is about.
pub fn job(folder: &Folder, id: JobId, row: &JobRow) -> Result<Job, StoreError> {
    // Of several that go out as one, one that is gone was about somebody who is forgotten.
    let mut parts = Vec::new();
    for (id, at) in std::iter::once((id, row.body)).chain(row.parts.iter().copied()) {
        parts.extend(frozen(folder, id, at)?.map(|frozen| (id, frozen)));
    }
    let mut parts = parts.into_iter();
    let Some((_, (task, facts))) = parts.next() else { return Err(gone(id)) };
    let others = parts.map(|(id, (_, facts))| Part { id, facts }).collect();
    let JobRow { state, attempts, created, next, last_error, beyond, .. } = row.clone();
    Ok(Job { id, task, facts, others, beyond, state, attempts, created, next, last_error })
}

/// What a job or a task was frozen with.
pub fn body(folder: &Folder, id: JobId, at: RawRef) -> Result<(Task, Facts), StoreError> {
    frozen(folder, id, at)?.ok_or_else(|| gone(id))
}

fn frozen(folder: &Folder, id: JobId, at: RawRef) -> Result<Option<(Task, Facts)>, StoreError> {
    let Some(body) = folder.get(at, JOB)? else { return Ok(None) };
    let JobBody::V1 { task, facts, .. } =
        postcard::from_bytes(&body).map_err(|error| StoreError::damaged(format!("what job {id} is about: {error}")))?;
    Ok(Some((task, facts)))
}

fn gone(id: JobId) -> StoreError {
    StoreError::damaged(format!("what job {id} is about is gone"))
}
