//! Reading what stands beside people's records: sequences, reports, tasks, guarded domains, what waits for others, and the log of all inputs.

use jiff::Timestamp;

use super::{
    Store, StoreError, keys, outbox,
    overlay::{read, whole},
    people::TaskRow,
    person_row,
    rows::{EventRecord, Position, decode},
    segments::{EVENT, Records},
};
use crate::{
    action::Todo,
    ledger::{Ending, Entry, Event, Facts, GuardState, Held, Person, Place, ReportState},
    outbox::JobId,
    verp::PersonKey,
};

/// Rows read while the gate is held.
const CHUNK: usize = 500;

/// Of the log, so much is read at a time, octets.
const PIECE: u64 = 1 << 20;

/// A task for an administrator.
#[derive(Debug, Clone, PartialEq)]
pub struct TodoItem {
    pub id: JobId,
    pub todo: Todo,
    pub facts: Facts,
    pub made: Timestamp,
    pub due: Option<Timestamp>,
    pub done: Option<Timestamp>,
}

impl Store {
    /// Every person, in no order that means anything; `each` returns `false` to end it.
    pub fn people(&self, mut each: impl FnMut(PersonKey, Person) -> bool) -> Result<(), StoreError> {
        self.rows_from(&[keys::PERSON], |key, row| {
            let Some(whom) = key.get(1..).and_then(|key| key.try_into().ok()) else { return Err(StoreError::damaged("a person's key")) };
            Ok(each(PersonKey(whom), person_row::from_row(row)?))
        })
    }

    /// Who is in a sequence, and where.
    pub fn members(&self, sequence: &str) -> Result<Vec<(PersonKey, Option<String>, Place)>, StoreError> {
        let mut members = Vec::new();
        self.rows_from(&keys::members(sequence), |key, _| {
            members.extend(keys::person_of_member(key));
            Ok(true)
        })?;
        let mut places = Vec::new();
        for key in members {
            if let Some(person) = self.person(key)?
                && let Some(place) = person.sequences.get(sequence)
            {
                places.push((key, person.address, place.clone()));
            }
        }
        Ok(places)
    }

    pub fn report(&self, name: &str) -> Result<ReportState, StoreError> {
        let _gate = self.shared.read()?;
        let row = read(&self.shared.db, &keys::report(name))?;
        row.map(|row| decode(&row, "a report")).transpose().map(Option::unwrap_or_default)
    }

    /// The people in one delivery of a report, by address.
    pub fn collected(&self, report: &str, delivery: u32) -> Result<Vec<Entry>, StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        self.each_collected(report, delivery, &mut |entry| entries.push(entry))?;
        entries.sort_by(|a, b| a.facts.event.verdict.address.cmp(&b.facts.event.verdict.address));
        Ok(entries)
    }

    /// The same one by one, in no order: a report may have very many.
    pub fn each_collected(&self, report: &str, delivery: u32, each: &mut dyn FnMut(Entry)) -> Result<(), StoreError> {
        self.rows_from(&keys::all_collected(report, delivery), |_, row| {
            each(decode(row, "a person in a report")?);
            Ok(true)
        })
    }

    /// Tasks, the oldest first; without the done ones unless `all`.
    pub fn tasks(&self, all: bool) -> Result<Vec<TodoItem>, StoreError> {
        let mut rows: Vec<(JobId, TaskRow)> = Vec::new();
        self.rows_from(&[keys::TASK], |key, row| {
            let id = keys::id_of_task(key).ok_or_else(|| StoreError::damaged("a task's key"))?;
            let task: TaskRow = decode(row, "a task")?;
            if all || task.done.is_none() {
                rows.push((id, task));
            }
            Ok(true)
        })?;
        rows.sort_by_key(|(id, task)| (task.made, *id));
        let mut tasks = Vec::new();
        for (id, row) in rows {
            let _gate = self.shared.read()?;
            let (task, facts) = outbox::body(&self.shared.events, id, row.body)?;
            if let crate::action::Task::Todo(todo) = task {
                tasks.push(TodoItem { id, todo, facts, made: row.made, due: row.due, done: row.done });
            }
        }
        Ok(tasks)
    }

    /// Whose task it is; `None`: there is none that is open.
    pub fn task_of(&self, id: JobId) -> Result<Option<Option<PersonKey>>, StoreError> {
        let _gate = self.shared.read()?;
        let row = read(&self.shared.db, &keys::task(id))?;
        let task: Option<TaskRow> = row.map(|row| decode(&row, "a task")).transpose()?;
        Ok(task.filter(|task| task.done.is_none()).map(|task| task.person))
    }

    /// Domains whose people wait.
    pub fn guarded(&self) -> Result<Vec<(String, GuardState)>, StoreError> {
        let mut domains = Vec::new();
        self.rows_from(&[keys::GUARD], |key, row| {
            let state: GuardState = decode(row, "a guarded domain")?;
            if state.ending != Some(Ending::LetGo) {
                domains.push((String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned(), state));
            }
            Ok(true)
        })?;
        Ok(domains)
    }

    /// What waits there, at most `most`.
    pub fn held(&self, domain: &str, most: usize) -> Result<Vec<Held>, StoreError> {
        let (first, _) = keys::held_of(domain);
        let mut held = Vec::new();
        self.rows_from(&first, |_, row| {
            held.push(decode(row, "what waits of a guarded domain")?);
            Ok(held.len() < most)
        })?;
        Ok(held)
    }

    /// All inputs of the ledger in their order, from the event `from` on, a piece at a time; empty at the end. The next piece begins after
    /// the last one's id.
    pub fn log(&self, from: u64) -> Result<Vec<Event>, StoreError> {
        let state = self.shared.read()?;
        let db = &self.shared.db;
        let from = from.max(state.oldest_event);
        let at = db.last(&keys::position(0), &keys::position(from.saturating_add(1)))?;
        let Some((_, row)) = at else { return Ok(Vec::new()) };
        let mut at: Position = decode(&row, "a position row")?;
        let mut length = PIECE;
        loop {
            let end = match at.segment == state.events.segment {
                true => state.events.length,
                false => self.shared.events.length(at.segment)?.unwrap_or(0),
            };
            let piece = end.min(at.offset.saturating_add(length));
            let bytes = self.shared.events.read(at.segment, at.offset, Some(piece))?.unwrap_or_default();
            let (mut events, mut read_to) = (Vec::new(), at.offset);
            for record in Records::new(&bytes, at.offset) {
                // The piece may end within a record.
                let Ok(record) = record else { break };
                read_to = record.end();
                if record.kind == EVENT {
                    let event = EventRecord::from_bytes(record.payload)?.event;
                    if event.id() >= from {
                        events.push(event);
                    }
                }
            }
            if !events.is_empty() {
                return Ok(events);
            }
            let all = u64::try_from(bytes.len()).unwrap_or(u64::MAX) < length;
            match read_to > at.offset {
                true => at.offset = read_to,
                // One record longer than a piece.
                false if !all => length = length.saturating_mul(2),
                false if !bytes.is_empty() => return Err(StoreError::damaged(format!("the log of events after {read_to}"))),
                false if at.segment < state.events.segment => at = Position { segment: at.segment.saturating_add(1), offset: 0 },
                false => return Ok(Vec::new()),
            }
        }
    }

    /// The rows of a prefix in their order; `each` returns `false` to end it. The gate is let go before `each` is called: a slow reader never
    /// stalls the writer.
    pub(super) fn rows_from(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let (mut from, to) = (prefix.to_vec(), keys::past(prefix));
        loop {
            let mut rows = Vec::new();
            {
                let _gate = self.shared.read()?;
                for row in self.shared.db.range(from.clone()..to.clone()).take(CHUNK) {
                    let (key, first) = row?;
                    let row = whole(&self.shared.db, &key, first)?;
                    rows.push((key, row));
                }
            }
            let last = rows.len() < CHUNK;
            for (key, row) in rows {
                if !each(&key, &row)? {
                    return Ok(());
                }
                from = [&key, &[0][..]].concat();
            }
            if last {
                return Ok(());
            }
        }
    }
}
