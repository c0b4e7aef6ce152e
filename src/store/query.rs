//! Reading. Nothing here sees what is not durable; each function holds the gate for some rows at a time only, so that a long list never
//! stalls the writer.

use std::{collections::BTreeMap, ops::RangeInclusive};

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Store, StoreError,
    keys::{self, ScopeKind},
    outbox,
    overlay::read,
    person_row,
    rows::{AddressRow, DayRow, EventRecord, JobRow, Position, State, TotalsRow, decode},
    scopes::hour_number,
    segments::{EVENT, RAW, Records},
};
use crate::{
    ledger::{Counts, Event, MailEvent, Person, RawRef},
    outbox::{Job, JobId, State as JobState},
    taxonomy::Status,
    verp::PersonKey,
};

/// Which of the counts of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// What triggers see.
    Counted,
    /// Apart: no VERP signature vouches for it, and one is required.
    Unsigned,
    /// Apart: signed too long ago.
    Expired,
    /// Mail of our own that came back.
    Own,
}

/// What [`Store::counts`] sums by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Status,
    Domain,
    Campaign,
    Day,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub status: Option<Status>,
    /// Of a person those that their record still remembers are found: the last 256 counted and the last 256 apart.
    pub person: Option<PersonKey>,
    pub since: Option<Timestamp>,
    /// Only events with a smaller id, to go on where the last call ended.
    pub below: Option<u64>,
    /// The most to give; 0 is all.
    pub limit: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub state: Option<JobState>,
    /// The most to give; 0 is all.
    pub limit: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    pub waiting: u64,
    pub running: u64,
    pub done: u64,
    pub dead: u64,
}

impl Which {
    fn kind(self) -> ScopeKind {
        match self {
            Which::Counted => ScopeKind::All,
            Which::Unsigned => ScopeKind::Unsigned,
            Which::Expired => ScopeKind::Expired,
            Which::Own => ScopeKind::Own,
        }
    }
}

impl Store {
    pub fn person(&self, key: PersonKey) -> Result<Option<Person>, StoreError> {
        let _gate = self.shared.read()?;
        read(&self.shared.db, &keys::person(key))?.map(|row| person_row::from_row(&row)).transpose()
    }

    /// Persons known by this normal address under another key than its own, see [`super::Options::own_key`].
    pub fn persons_at(&self, address: &str) -> Result<Vec<PersonKey>, StoreError> {
        let _gate = self.shared.read()?;
        let row = read(&self.shared.db, &keys::address(address))?;
        let persons: AddressRow = row.map(|row| decode(&row, "an address")).transpose()?.unwrap_or_default();
        Ok(persons.into_iter().collect())
    }

    /// Lifetime totals per status.
    pub fn totals(&self, which: Which) -> Result<Counts, StoreError> {
        let _gate = self.shared.read()?;
        let row = read(&self.shared.db, &keys::totals(which.kind(), ""))?;
        Ok(row.map(|row| decode::<TotalsRow>(&row, "totals")).transpose()?.unwrap_or_default().totals)
    }

    /// Counts per status of each of these UTC days since 1970; days without any are left out.
    pub fn days(&self, which: Which, days: RangeInclusive<u32>) -> Result<BTreeMap<u32, Counts>, StoreError> {
        Ok(self.day_rows(which.kind(), days)?.into_iter().map(|(day, row)| (day, row.counts)).collect())
    }

    /// Counts per status of each of these hours since 1970; hours without any are left out.
    pub fn hours(&self, which: Which, hours: RangeInclusive<u32>) -> Result<BTreeMap<u32, Counts>, StoreError> {
        let rows = self.day_rows(which.kind(), hours.start() / 24..=hours.end() / 24)?;
        let all = rows.into_iter().flat_map(|(day, row)| row.hours.into_iter().map(move |(hour, counts)| (hour_number(day, hour), counts)));
        Ok(all.filter(|(hour, _)| hours.contains(hour)).collect())
    }

    fn day_rows(&self, kind: ScopeKind, days: RangeInclusive<u32>) -> Result<Vec<(u32, DayRow)>, StoreError> {
        let _gate = self.shared.read()?;
        let mut rows = Vec::new();
        // Nobody keeps more days than ten years have.
        for day in days.take(3_660) {
            if let Some(row) = read(&self.shared.db, &keys::day(day, kind, ""))? {
                rows.push((day, decode(&row, "a day's counts")?));
            }
        }
        Ok(rows)
    }

    /// What counted, `delivered` left out but for [`By::Status`]: statuses and days (`2026-11-23`) in their order, names by count.
    pub fn counts(&self, by: By) -> Result<Vec<(String, u64)>, StoreError> {
        let failures = |counts: &Counts| counts.iter().filter(|(status, _)| **status != Status::Delivered).map(|(_, count)| count).sum();
        let (prefix, named) = match by {
            By::Status => {
                let totals = self.totals(Which::Counted)?;
                return Ok(totals.into_iter().map(|(status, count)| (status.id().to_owned(), count)).collect());
            }
            By::Domain => ([keys::TOTALS, ScopeKind::Domain as u8], true),
            By::Campaign => ([keys::TOTALS, ScopeKind::Campaign as u8], true),
            By::Day => ([keys::DAY, 0], false),
        };
        let mut counts: Vec<(String, u64)> = Vec::new();
        if named {
            self.rows_from(&prefix, |key, row| {
                let name = String::from_utf8_lossy(key.get(2..).unwrap_or_default()).into_owned();
                counts.push((name, failures(&decode::<TotalsRow>(row, "totals")?.totals)));
                Ok(true)
            })?;
            counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        } else {
            for day in self.days_there()? {
                let rows = self.day_rows(ScopeKind::All, day..=day)?;
                counts.extend(rows.into_iter().map(|(day, row)| (date(day), failures(&row.counts))));
            }
        }
        Ok(counts.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    /// The days that have any row: from each the scan leaps to the next.
    fn days_there(&self) -> Result<Vec<u32>, StoreError> {
        let _gate = self.shared.read()?;
        let mut days: Vec<u32> = Vec::new();
        let mut from = vec![keys::DAY];
        while let Some(row) = self.shared.db.range(from..vec![keys::DAY + 1]).next() {
            let (key, _) = row?;
            let Some(day) = keys::day_of(&key).filter(|day| *day < u32::MAX) else { break };
            days.push(day);
            from = keys::first_of_day(day + 1);
        }
        Ok(days)
    }

    pub fn event(&self, id: u64) -> Result<Option<Event>, StoreError> {
        let chunk = self.events_below(id.saturating_add(1))?;
        Ok(chunk.and_then(|(_, events)| events.into_iter().find(|event| id_of(event) == id)))
    }

    /// The mails that came in, newest first.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<MailEvent>, StoreError> {
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
        let mut found = Vec::new();
        let mut take = |event: Event| {
            let Event::MailV1(mail) = event else { return true };
            if filter.since.is_some_and(|since| mail.at < since) {
                return false;
            }
            if filter.status.is_none_or(|status| mail.verdict.status == status) {
                found.push(mail);
            }
            found.len() < limit
        };
        if let Some(person) = filter.person {
            for id in self.events_of(person)?.into_iter().filter(|id| filter.below.is_none_or(|below| *id < below)) {
                if self.event(id)?.is_some_and(|event| !take(event)) {
                    break;
                }
            }
            return Ok(found);
        }
        let mut below = filter.below.unwrap_or(u64::MAX);
        'all: while let Some((first, events)) = self.events_below(below)? {
            for event in events {
                if !take(event) {
                    break 'all;
                }
            }
            below = first;
        }
        Ok(found)
    }

    fn events_of(&self, person: PersonKey) -> Result<Vec<u64>, StoreError> {
        let Some(person) = self.person(person)? else { return Ok(Vec::new()) };
        let mut ids: Vec<u64> = person.counted.recent.iter().chain(&person.apart.recent).map(|entry| entry.event).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// The last piece of the log in which ids below `below` lie, newest first, and the id with which the piece begins.
    fn events_below(&self, below: u64) -> Result<Option<(u64, Vec<Event>)>, StoreError> {
        let state = self.shared.read()?;
        let db = &self.shared.db;
        if below <= state.oldest_event.max(1) {
            return Ok(None);
        }
        let Some((key, row)) = db.last(&keys::position(0), &keys::position(below))? else { return Ok(None) };
        let first = keys::event_of_position(&key).ok_or_else(|| StoreError::damaged("a position row"))?;
        let at: Position = decode(&row, "a position row")?;
        let after = db.range(keys::position(first.saturating_add(1))..keys::position(u64::MAX)).next().transpose()?;
        let after: Option<Position> = after.map(|(_, row)| decode(&row, "a position row")).transpose()?;
        let end = after.filter(|after| after.segment == at.segment).map(|after| after.offset);
        let end = end.or_else(|| (at.segment == state.events.segment).then_some(state.events.length));
        let mut events = Vec::new();
        // A segment that is gone has expired.
        for record in Records::new(&self.shared.events.read(at.segment, at.offset, end)?.unwrap_or_default(), at.offset) {
            let record = record?;
            if record.kind == EVENT {
                events.push(EventRecord::from_bytes(record.payload)?.event);
            }
        }
        events.retain(|event| (state.oldest_event..below).contains(&id_of(event)));
        events.reverse();
        Ok(Some((first, events)))
    }

    /// `None`: it has expired.
    pub fn raw(&self, at: RawRef) -> Result<Option<Bytes>, StoreError> {
        let _gate = self.shared.read()?;
        Ok(self.shared.raw.get(at, RAW)?.map(Bytes::from))
    }

    pub fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let _gate = self.shared.read()?;
        let Some(row) = read(&self.shared.db, &keys::job(id))? else { return Ok(None) };
        outbox::job(&self.shared.events, id, &decode::<JobRow>(&row, "a job")?).map(Some)
    }

    /// Running, waiting, dead, done; of each the earliest due (or ended) first.
    pub fn jobs(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
        let mut ids = Vec::new();
        for state in [JobState::Running, JobState::Waiting, JobState::Dead, JobState::Done] {
            if filter.state.is_none_or(|wanted| wanted == state) {
                let mut found = Vec::new();
                self.rows_from(&[keys::DUE, keys::state_octet(state)], |key, _| {
                    found.extend(keys::of_due(key));
                    Ok(true)
                })?;
                found.sort_unstable();
                ids.extend(found.into_iter().map(|(_, id)| id));
            }
        }
        let jobs = ids.into_iter().filter_map(|id| self.job(id).transpose());
        jobs.take(limit).collect()
    }

    pub fn job_counts(&self) -> Result<JobCounts, StoreError> {
        let [waiting, running, done, dead] = self.shared.read()?.jobs;
        Ok(JobCounts { waiting, running, done, dead })
    }

    /// When the next waiting job is due or the next lease ends.
    pub fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.next_due_after(Timestamp::MIN)
    }

    /// The earliest such time after `time`.
    pub fn next_due_after(&self, time: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let _gate = self.shared.read()?;
        let first = |(first, last): (Vec<u8>, Vec<u8>)| self.shared.db.range(first..last).next().transpose();
        let at = |row: Option<(sled::IVec, sled::IVec)>| row.and_then(|(key, _)| keys::of_due(&key)).map(|(at, _)| at);
        let mut due = at(first(keys::due_after(JobState::Running, keys::NO_LANE, time))?);
        let mut from = Some(keys::NO_LANE);
        while let Some(start) = from {
            let Some((key, _)) = first(keys::waiting_from(start))? else { break };
            let Some(lane) = keys::lane_of_due(&key) else { break };
            let next = at(first(keys::due_after(JobState::Waiting, lane, time))?);
            due = due.into_iter().chain(next).min();
            from = lane.checked_add(1);
        }
        Ok(due)
    }

    pub fn last_arrival(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.shared.read()?.last_arrival())
    }

    /// The id of the last durable event, 0 for none.
    pub fn last_event(&self) -> Result<u64, StoreError> {
        let state: State = self.shared.read()?.clone();
        Ok(state.next_event.saturating_sub(1))
    }
}

fn id_of(event: &Event) -> u64 {
    event.id()
}

fn date(day: u32) -> String {
    let at = Timestamp::from_second(i64::from(day) * 86_400).unwrap_or(Timestamp::MAX);
    at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}
