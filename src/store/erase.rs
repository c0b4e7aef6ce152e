//! `forget`: a person erased for good.
//!
//! The tree's rows are searched, then all segments, by the caller's thread; the writer makes each step ([`Step`]) between two batches: it
//! commits what goes of the rows together with the list of places that are to be overwritten, then overwrites those in place and syncs. So
//! a crash leaves either nothing begun or a list ([`Row`]) by which the next open overwrites the same places again and goes on searching.
//! What was recorded after the beginning is left alone: a new bounce is a new person.
//!
//! A record that is the person's becomes one of kind [`ERASED`], of the same length; one that only mentions the address keeps all but that.
//! sled's file still holds what was removed, as every log does: it is written anew at the next open, see [`super::compact`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    sync::mpsc,
};

use serde::{Deserialize, Serialize};

use super::{
    Store, StoreError,
    command::Command,
    concern::{self, Concern, Finder, Mark, Spans, Wanted},
    keys, outbox,
    overlay::{Overlay, whole},
    person_row,
    rows::{Tail, decode, encode},
    segments::{ERASED, HEAD, Record, frame},
    shared::Shared,
    sweep,
    writer::Writer,
};
use crate::{ledger::RawRef, outbox::JobId, verp::PersonKey};

/// The key of [`Row`].
pub const INTENT: &[u8] = b"!f";

/// So many places are overwritten in one step.
pub const STEP: usize = 64;

/// What was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub persons: u64,
    pub events: u64,
    pub jobs: u64,
    pub raw: u64,
    /// Records and rows of others in which the address stood.
    pub mentions: u64,
    /// Segments of which a part can't be read: what lies there stays as it is.
    pub damaged: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    #[error("a backup is being made or an address forgotten just now; try again when that is done")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    Underway(Underway),
    /// All is done, but sled's file is to be written anew.
    Compact,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    pub wanted: Wanted,
    /// How far the search goes.
    pub events: Tail,
    pub raw: Tail,
    /// Perhaps overwritten, perhaps half.
    pub places: Vec<Place>,
}

/// A record to overwrite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub raw: bool,
    pub at: RawRef,
    pub with: With,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum With {
    Nothing(Option<Mark>),
    Blanks(Spans),
}

/// What the writer is asked to do.
pub enum Step {
    Begin { persons: Vec<PersonKey>, address: String },
    Found(Found),
    End,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    pub persons: Vec<PersonKey>,
    /// Keys of rows that mention an address.
    pub rows: Vec<Vec<u8>>,
    pub jobs: Vec<JobId>,
    pub places: Vec<Place>,
}

impl Store {
    /// Erases a normal address and the persons of these keys. `progress` hears of octets searched, and of how many there are. Blocks.
    ///
    /// # Errors
    /// See [`ForgetError`]. What was begun is finished at the next call or open.
    pub fn forget(&self, persons: &[PersonKey], address: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<Forgotten, ForgetError> {
        let _alone = self.shared.upkeep.alone().ok_or(ForgetError::Busy)?;
        let mut step = |step: Step| {
            let (reply, answer) = mpsc::channel();
            let sent = self.commands.send(Command::Erase { step, reply }).is_ok();
            let answer = if sent { answer.recv().ok() } else { None };
            answer.unwrap_or_else(|| Err(self.shared.alive().err().unwrap_or(StoreError::Closed)))
        };
        let begun = step(Step::Begin { persons: persons.to_vec(), address: address.to_owned() })?;
        Ok(sweep::sweep(&self.shared, begun, &mut step, progress)?)
    }
}

/// At open: finishes what a crash broke off. Returns whether sled's file is to be written anew.
pub fn resume(writer: &mut Writer) -> Result<bool, StoreError> {
    match row(&Overlay::new(&writer.shared.db))? {
        None => return Ok(false),
        Some(Row::Compact) => return Ok(true),
        Some(Row::Underway(underway)) => {
            tracing::info!("erasing what was to be forgotten when the last run ended");
            let shared = std::sync::Arc::clone(&writer.shared);
            overwrite_all(writer, &underway.places)?;
            sweep::sweep(&shared, (underway, 0), &mut |each| step(writer, each), &mut |_, _| {})?;
        }
    }
    Ok(true)
}

fn row(rows: &Overlay<'_>) -> Result<Option<Row>, StoreError> {
    rows.get(INTENT)?.map(|row| decode(&row, "what is to be forgotten")).transpose()
}

/// One step, in the writer; returns what is underway and how many persons went.
pub fn step(writer: &mut Writer, step: Step) -> Result<(Underway, u64), StoreError> {
    let shared = std::sync::Arc::clone(&writer.shared);
    let mut rows = Overlay::new(&shared.db);
    let mut state = writer.state.clone();
    let mut underway = match row(&rows)? {
        Some(Row::Underway(underway)) => underway,
        _ => Underway::default(),
    };
    let mut gone = 0;
    let mut remove = |rows: &mut Overlay<'_>, underway: &mut Underway, persons: Vec<PersonKey>| -> Result<(), StoreError> {
        for person in persons {
            gone += u64::from(concern::remove_person(rows, person)?);
            underway.wanted.persons.insert(person);
        }
        Ok(())
    };
    let mut ends = false;
    match step {
        Step::Begin { persons, address } => {
            // One that was broken off is gone through again with this one.
            overwrite_all(writer, &underway.places)?;
            underway.places.clear();
            remove(&mut rows, &mut underway, persons)?;
            underway.wanted.addresses.insert(address);
            (underway.events, underway.raw) = (state.events, state.raw);
        }
        Step::Found(found) => {
            remove(&mut rows, &mut underway, found.persons)?;
            for job in found.jobs {
                outbox::forget(&mut rows, &mut state, job)?;
            }
            blank_rows(&mut rows, &underway.wanted, found.rows)?;
            underway.places = found.places;
        }
        Step::End => ends = true,
    }
    let intent = if ends { Row::Compact } else { Row::Underway(underway.clone()) };
    rows.put(INTENT.to_vec(), encode(&intent)?)?;
    writer.commit(rows.into_rows(), state)?;
    shared.jobs_changed.send_modify(|generation| *generation = generation.wrapping_add(1));
    if !ends {
        overwrite_all(writer, &underway.places)?;
    }
    shared.beat();
    Ok((underway, gone))
}

fn blank_rows(rows: &mut Overlay<'_>, wanted: &Wanted, found: Vec<Vec<u8>>) -> Result<(), StoreError> {
    let finder = Finder::new(wanted)?;
    for key in found {
        let Some(row) = rows.get(&key)? else { continue };
        let mut row = row.to_vec();
        let spans = finder.mentions(&row);
        concern::blank(&mut row, &spans);
        rows.put(key, row)?;
    }
    Ok(())
}

/// Whose a row is that mentions an address: a person known by it under another key than was thought of, or somebody else's.
pub fn of_row(finder: &Finder<'_>, shared: &Shared, key: &[u8], first: sled::IVec, found: &mut Found) -> Result<(), StoreError> {
    if key == INTENT || key.first() == Some(&keys::PIECE) {
        return Ok(());
    }
    let value = whole(&shared.db, key, first)?;
    if finder.mentions(&value).is_empty() {
        return Ok(());
    }
    let person = key.split_first().filter(|(prefix, _)| **prefix == keys::PERSON).and_then(|(_, rest)| rest.try_into().ok()).map(PersonKey);
    if let Some(person) = person
        && finder.is_theirs(person_row::from_row(&value)?.address.as_deref())
    {
        // One of a key that is forgotten already came since.
        if !finder.wanted(person) {
            found.persons.push(person);
        }
        return Ok(());
    }
    found.rows.push(key.to_vec());
    Ok(())
}

/// What to do with a record of the events' segments, and with the raw mails of events, of which `mails` keeps the places.
pub fn of_event(finder: &Finder<'_>, segment: u32, record: &Record<'_>, found: &mut Found, mails: &mut BTreeSet<(u32, u64)>) -> Kind {
    let (with, kind) = match concern::of_record(finder, record) {
        Concern::None => return Kind::Nothing,
        Concern::Mentions(spans) => (With::Blanks(spans), Kind::Mention),
        Concern::Event { mark, raw } => {
            // Before the event: it is the only one that knows where they lie.
            if let Some(at) = raw.filter(|at| mails.insert((at.segment, at.offset))) {
                found.places.push(Place { raw: true, at, with: With::Nothing(None) });
            }
            (With::Nothing(Some(mark)), Kind::Event)
        }
        Concern::Job(id) => {
            found.jobs.push(id);
            (With::Nothing(None), Kind::Job)
        }
    };
    found.places.push(Place { raw: false, at: place(segment, record), with });
    kind
}

/// What to do with a raw mail that no erased event knew: whose the event was can't be told once it has expired.
pub fn of_raw(finder: &Finder<'_>, segment: u32, record: &Record<'_>, found: &mut Found) -> Kind {
    let spans = finder.in_mail(record.payload);
    if spans.is_empty() {
        return Kind::Nothing;
    }
    found.places.push(Place { raw: true, at: place(segment, record), with: With::Blanks(spans) });
    Kind::Mention
}

/// What was found, for the count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nothing,
    Mention,
    Event,
    Job,
}

fn place(segment: u32, record: &Record<'_>) -> RawRef {
    RawRef { segment, offset: record.offset, length: u32::try_from(record.payload.len()).unwrap_or(u32::MAX) }
}

fn overwrite_all(writer: &Writer, places: &[Place]) -> Result<(), StoreError> {
    let shared = &writer.shared;
    let mut files = BTreeMap::<_, Vec<&Place>>::new();
    for place in places {
        files.entry((place.raw, place.at.segment)).or_default().push(place);
    }
    for ((raw, segment), places) in files {
        let path = if raw { &shared.raw } else { &shared.events }.segment(segment);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // It has expired.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(StoreError::fatal)?,
        };
        for place in places {
            // Nobody reads half of it.
            let _gate = shared.write();
            overwrite(&file, place).map_err(StoreError::fatal)?;
        }
        writer.options.platter.sync(&file, &path).map_err(StoreError::fatal)?;
    }
    Ok(())
}

/// Overwrites one record, as often as need be.
fn overwrite(file: &File, place: &Place) -> io::Result<()> {
    let length = usize::try_from(place.at.length).map_err(io::Error::other)?;
    let mut old = vec![0; HEAD.saturating_add(length)];
    match file.read_exact_at(&mut old, place.at.offset) {
        // Damage: nothing was there that could be overwritten.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        read => read?,
    }
    let bytes = match &place.with {
        With::Nothing(mark) => frame(ERASED, &erased(length, mark.as_ref())),
        With::Blanks(spans) => {
            let mut payload = old.split_off(HEAD);
            concern::blank(&mut payload, spans);
            frame(old.last().copied().unwrap_or(ERASED), &payload)
        }
    };
    file.write_all_at(&bytes, place.at.offset)
}

/// The payload of an erased record: 1, dedupe key, time and id where it was an event and there is room, then zeros.
fn erased(length: usize, mark: Option<&Mark>) -> Vec<u8> {
    let mut payload = vec![0; length];
    if let Some(mark) = mark {
        let kept = [&[1][..], &mark.dedupe, &mark.at.to_le_bytes(), &mark.event.to_le_bytes()].concat();
        if let Some(start) = payload.get_mut(..kept.len()) {
            start.copy_from_slice(&kept);
        }
    }
    payload
}

/// What an erased record keeps of an event.
pub fn mark(payload: &[u8]) -> Option<Mark> {
    let (&1, rest) = payload.split_first()? else { return None };
    let (dedupe, rest) = rest.split_first_chunk()?;
    let (at, rest) = rest.split_first_chunk()?;
    let (event, _) = rest.split_first_chunk()?;
    Some(Mark { dedupe: *dedupe, at: i64::from_le_bytes(*at), event: u64::from_le_bytes(*event) })
}
