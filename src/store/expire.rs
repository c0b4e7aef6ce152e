//! What `[keep]` lets go: events with their dedupe keys and jobs, days' counts, raw mails, finished jobs. One step is at most some hundred
//! rows and is a commit like any other; dedupe keys and counts go with the floor ([`super::table`]), all at once; a segment is unlinked once the commit that gives it up is durable. What can't be read stays, and is
//! tried again later; a commit that fails is fatal here as anywhere.
//!
//! Persons and totals stay, but for persons whom only unsigned or expired mail ever named: else strangers could fill the disk for good.

use jiff::Timestamp;

use super::{
    StoreError, concern, erase, keys, outbox,
    overlay::Overlay,
    people, person_row,
    rows::{EventRecord, JobBody, State, decode, encode, time},
    segments::{ERASED, EVENT, Folder, JOB, Record, Records},
    writer::Writer,
};
use crate::{
    ledger::{Event, MailEvent, Standing, day_of},
    outbox::State as JobState,
};

/// Rows of each kind in one step; of events more, since most cost none.
const ROWS: usize = 200;
const EVENTS: usize = 2_000;

/// How much of a segment is read in one step.
const BYTES: u64 = 768 << 10;

struct Step<'a> {
    rows: Overlay<'a>,
    state: State,
    gone: usize,
}

/// One small step; returns how many rows and segments it removed, 0 when there is nothing to expire.
pub fn step(writer: &mut Writer) -> Result<usize, StoreError> {
    let shared = std::sync::Arc::clone(&writer.shared);
    if shared.upkeep.backing_up() {
        return Ok(0);
    }
    let now = (writer.options.clock)();
    let (keep_events, keep_raw) = shared.keep();
    let before = |keep| now.checked_sub::<std::time::Duration>(keep).unwrap_or(Timestamp::MIN);
    let mut step = Step { rows: Overlay::new(&shared.db), state: writer.state.clone(), gone: 0 };

    let passed = step.events(&shared.events, before(keep_events))?;
    step.positions()?;
    step.days(day_of(before(keep_events)))?;
    step.done_jobs(now)?;
    step.done_tasks(now)?;
    step.sent(now)?;
    let raw = step.raw_segments(before(keep_raw))?;

    // Nothing in the segment that is written to is wanted any more: it can go before it is full.
    let tail = writer.events.tail();
    if tail.length > 0 && step.state.expired == (tail.segment, tail.length) {
        writer.events.roll().map_err(StoreError::fatal)?;
        step.gone += 1;
    }
    if step.gone == 0 {
        return Ok(0);
    }
    if raw.last() == Some(&writer.raw.tail().segment) {
        writer.raw.roll().map_err(StoreError::fatal)?;
    }
    if let Some(last) = raw.last() {
        writer.raw.forget_before(last.saturating_add(1));
    }
    if let Some(passed) = passed {
        writer.events.forget_before(passed.saturating_add(1));
    }
    (step.state.events, step.state.raw) = (writer.events.tail(), writer.raw.tail());
    let (mut rows, state, gone) = (step.rows.into_rows(), step.state, step.gone);
    rows.insert(keys::STATE.to_vec(), Some(encode(&state)?));
    writer.commit(rows, state)?;
    // A segment that stays behind is removed at the next open.
    let unlinked = passed.iter().map(|number| shared.events.unlink(*number)).chain(raw.iter().map(|number| shared.raw.unlink(*number)));
    for error in unlinked.filter_map(Result::err) {
        tracing::warn!(%error, "an expired segment could not be removed");
    }
    Ok(gone)
}

impl Step<'_> {
    /// Goes on in the events' segments where the last step ended; returns the segment that was passed to its end.
    fn events(&mut self, folder: &Folder, cutoff: Timestamp) -> Result<Option<u32>, StoreError> {
        let (segment, offset) = self.state.expired;
        let open = segment == self.state.events.segment;
        let Some((bytes, end)) = self.piece(folder, segment, offset, open)? else { return Ok(None) };
        let mut reached = offset;
        for record in Records::new(&bytes, offset).map_while(Result::ok).take(EVENTS) {
            if !self.record(&record, cutoff)? {
                break;
            }
            reached = record.end();
        }
        self.state.expired.1 = reached;
        if open || reached < end {
            if reached == offset && !bytes.is_empty() && Records::new(&bytes, offset).next().is_some_and(|first| first.is_err()) {
                tracing::error!(segment, offset, "an event can't be read; what came after it stays");
            }
            return Ok(None);
        }
        self.state.expired = (segment.saturating_add(1), 0);
        self.gone += 1;
        Ok(Some(segment))
    }

    /// Some records' bytes, and where the segment ends.
    fn piece(&self, folder: &Folder, segment: u32, offset: u64, open: bool) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
        let end = if open { Some(self.state.events.length) } else { folder.length(segment)? };
        let Some(end) = end.filter(|end| !open || offset < *end) else { return Ok(None) };
        let read = |to: u64| Ok::<_, StoreError>(folder.read(segment, offset, Some(to))?.unwrap_or_default());
        let some = read(end.min(offset.saturating_add(BYTES)))?;
        let whole = Records::new(&some, offset).next().is_none_or(|first| first.is_ok());
        Ok(Some((if whole { some } else { read(end)? }, end)))
    }

    /// `false`: it has not expired.
    fn record(&mut self, record: &Record<'_>, cutoff: Timestamp) -> Result<bool, StoreError> {
        match record.kind {
            EVENT => {
                let EventRecord { event, .. } = EventRecord::from_bytes(record.payload)?;
                if event.at() >= cutoff {
                    return Ok(false);
                }
                self.state.oldest_event = event.id().saturating_add(1);
                if let Event::MailV1(event) = &event {
                    self.stranger(event)?;
                }
                self.gone += 1;
            }
            JOB => {
                let JobBody::V1 { id, .. } = postcard::from_bytes(record.payload).map_err(StoreError::read)?;
                self.gone += usize::from(outbox::drop_job(&mut self.rows, &mut self.state, id)?);
                self.rows.remove(keys::task(id))?;
            }
            ERASED => {
                let Some(mark) = erase::mark(record.payload) else { return Ok(true) };
                if time(mark.at) >= cutoff {
                    return Ok(false);
                }
                self.state.oldest_event = mark.event.saturating_add(1);
                self.gone += 1;
            }
            _ => {}
        }
        Ok(true)
    }

    /// Forgets a person of whom only mail that counts apart ever spoke, with the last such mail.
    fn stranger(&mut self, event: &MailEvent) -> Result<(), StoreError> {
        let (Standing::Unsigned | Standing::Expired, Some(key)) = (event.standing, event.person) else { return Ok(()) };
        let row = keys::person(key);
        let Some(person) = self.rows.get(&row)?.map(|bytes| person_row::from_row(&bytes)).transpose()? else { return Ok(()) };
        let untouched = person.sequences.is_empty()
            && person.tags.is_empty()
            && person.fields.is_empty()
            && person.fired.is_empty()
            && !person.suppressed;
        let last = person.last_seen.is_none_or(|seen| seen <= event.at);
        if untouched && last && person.counted.totals.is_empty() && person.counted.recent.is_empty() {
            self.rows.remove(row)?;
            if let Some(address) = &person.address {
                concern::unindex(&mut self.rows, address, key)?;
            }
            self.gone += 1;
        }
        Ok(())
    }

    /// Position rows below the one that leads to the oldest event.
    fn positions(&mut self) -> Result<(), StoreError> {
        let upto = keys::position(self.state.oldest_event.saturating_add(1));
        let mut old = self.rows.untouched(&keys::position(0), &upto, ROWS)?;
        old.pop();
        self.drop_rows(old)
    }

    /// Days go with the floor, see [`super::table`].
    fn days(&mut self, cutoff: u32) -> Result<(), StoreError> {
        if !self.rows.untouched(&[keys::DAY], &keys::first_of_day(cutoff), 1)?.is_empty() {
            self.state.oldest_day = self.state.oldest_day.max(cutoff);
            self.gone += 1;
        }
        Ok(())
    }

    fn drop_rows(&mut self, rows: Vec<(sled::IVec, sled::IVec)>) -> Result<(), StoreError> {
        for (key, _) in rows {
            self.rows.remove(key.to_vec())?;
            self.gone += 1;
        }
        Ok(())
    }

    fn done_jobs(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let (first, last) = keys::due_until(JobState::Done, keys::NO_LANE, now.saturating_sub(outbox::KEEP_DONE).unwrap_or(Timestamp::MIN));
        for (key, _) in self.rows.untouched(&first, &last, ROWS)? {
            let Some((_, id)) = keys::of_due(&key) else { return Err(StoreError::damaged("a job's due row")) };
            self.gone += usize::from(outbox::drop_job(&mut self.rows, &mut self.state, id)?);
        }
        Ok(())
    }

    /// Who was in deliveries that were closed long ago.
    fn sent(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let (first, last) = keys::closed_until(now.saturating_sub(people::KEEP_SENT).unwrap_or(Timestamp::MIN));
        let Some((key, _)) = self.rows.untouched(&first, &last, 1)?.into_iter().next() else { return Ok(()) };
        let (first, last) = keys::collected_of_closed(&key).ok_or_else(|| StoreError::damaged("a delivery's key"))?;
        let people = self.rows.untouched(&first, &last, ROWS)?;
        if people.is_empty() {
            self.rows.remove(key.to_vec())?;
            self.gone += 1;
        }
        self.drop_rows(people)
    }

    /// Tasks that were done long ago. They are few: all are looked at.
    fn done_tasks(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let before = now.saturating_sub(people::KEEP_TASKS).unwrap_or(Timestamp::MIN);
        for (key, row) in self.rows.untouched(&[keys::TASK], &[keys::TASK + 1], usize::MAX)? {
            let task: people::TaskRow = decode(&row, "a task")?;
            if task.done.is_some_and(|done| done < before) {
                self.rows.remove(key.to_vec())?;
                self.gone += 1;
            }
        }
        Ok(())
    }

    /// Segments of raw mails of which the last has expired.
    fn raw_segments(&mut self, cutoff: Timestamp) -> Result<Vec<u32>, StoreError> {
        let mut passed = Vec::new();
        for (key, row) in self.rows.untouched(&[keys::RAW_SEGMENT], &[keys::RAW_SEGMENT + 1], 8)? {
            let last: i64 = decode(&row, "a segment of raw mails")?;
            if time(last) >= cutoff {
                break;
            }
            passed.extend(keys::segment_of_raw(&key));
            self.rows.remove(key.to_vec())?;
            self.gone += 1;
        }
        Ok(passed)
    }
}
