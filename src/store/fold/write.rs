//! What an input changed, into the batch: the event and its jobs into the segments, the person and what stands beside into rows.

use std::io;

use jiff::Timestamp;

use super::{
    super::{
        StoreError, gather, keys,
        outbox::{self, Made},
        people::{self, TaskRow},
        rows::{AddressRow, EventRecord, JobBody, Position, decode, encode},
        segments::{COMMIT, EVENT, JOB},
        timers,
    },
    Before, Fold,
};
use crate::{
    action::Task,
    ledger::{Changes, JobDraft, Person, RawRef},
    outbox::{JobId, lane},
    verp::PersonKey,
};

/// So many bytes of events lie at most between two that have a position row: what reading one event costs.
const POSITION_EVERY: u64 = 16 << 10;

/// So many persons an address stands for at most, in the index; further ones are not found by it.
const PERSONS_PER_ADDRESS: usize = 16;

impl Fold<'_> {
    /// The event and its jobs into the segments, the person and what stands beside into the batch.
    pub(super) fn write(
        &mut self,
        dedupe: [u8; keys::DEDUPE_OCTETS],
        changes: Changes,
        before: &Before,
        event: u64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let record = EventRecord { dedupe, event: changes.event }.to_bytes()?;
        let place = self.append(EVENT, &record)?;
        let far = self
            .state
            .position
            .is_none_or(|(segment, offset)| segment != place.segment || place.offset.saturating_sub(offset) >= POSITION_EVERY);
        if far {
            self.state.position = Some((place.segment, place.offset));
            self.rows.add(keys::position(event), encode(&Position { segment: place.segment, offset: place.offset })?);
        }
        for job in changes.jobs {
            self.job(job, changes.whom, event, at)?;
        }
        if let Some(change) = changes.guard {
            people::change_guard(&mut self.rows, &mut self.state, change, at)?;
        }
        if let Some((name, state)) = changes.report {
            people::put_report(&mut self.rows, &name, state)?;
        }
        for held in &changes.held {
            people::hold(&mut self.rows, event, held)?;
        }
        for change in changes.timers {
            timers::change(&mut self.rows, change)?;
        }
        let Some(key) = changes.whom else { return Ok(()) };
        for collected in changes.collected {
            people::collect(&mut self.rows, key, collected)?;
        }
        if let Some(person) = changes.person {
            self.index(key, before, &person)?;
            people::members(&mut self.rows, key, &before.sequences, &person)?;
            self.persons.insert(key, Some(person));
            self.persons_changed.insert(key);
        }
        Ok(())
    }

    /// Into the outbox at once, to others that it waits for, or to the tasks for people.
    fn job(&mut self, job: JobDraft, whom: Option<PersonKey>, event: u64, at: Timestamp) -> Result<(), StoreError> {
        let id = JobId { epoch: self.epoch, event, trigger: job.trigger, place: job.place };
        let (lane, waits) = (lane(&job.task), job.task.gather());
        let todo = match &job.task {
            Task::Todo(todo) => Some(todo.due_at(at)),
            _ => None,
        };
        let body = postcard::to_stdvec(&JobBody::V1 { id, task: job.task, facts: job.facts }).map_err(StoreError::read)?;
        let body = self.append(JOB, &body)?;
        if let Some(due) = todo {
            return self.rows.put(keys::task(id), encode(&TaskRow { person: whom, made: at, due, done: None, body })?);
        }
        self.jobs_changed = true;
        match waits {
            Some(gather) => gather::admit(&mut self.rows, &mut self.state, gather, id, at, body, &lane),
            None => outbox::create(
                &mut self.rows,
                &mut self.state,
                id,
                at,
                Made { body, lane: keys::lane(&lane), parts: Vec::new(), beyond: 0 },
            ),
        }
    }

    fn append(&mut self, kind: u8, bytes: &[u8]) -> Result<RawRef, StoreError> {
        if !self.appended {
            self.appended = true;
            self.events.append(COMMIT, &[], self.state.last_at).map_err(StoreError::read)?;
        }
        self.events.append(kind, &[bytes], self.state.last_at).map_err(|error: io::Error| StoreError::read(error))
    }

    /// Lets a person be found by an address that isn't their own key.
    fn index(&mut self, key: PersonKey, before: &Before, person: &Person) -> Result<(), StoreError> {
        let Some(address) = person.address.as_deref() else { return Ok(()) };
        if before.address.as_deref() == Some(address) || self.own_key.as_ref().is_some_and(|own_key| own_key(address) == key) {
            return Ok(());
        }
        let row = keys::address(address);
        let mut persons: AddressRow = match self.rows.get(&row)? {
            Some(bytes) => decode(&bytes, "an address")?,
            None => AddressRow::new(),
        };
        if persons.len() < PERSONS_PER_ADDRESS && persons.insert(key) {
            self.rows.put(row, encode(&persons)?)?;
        }
        Ok(())
    }
}
