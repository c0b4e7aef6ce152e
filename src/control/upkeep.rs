//! The answers to `backup` and `forget`: long work in the thread of whoever asked, with rows that tell how far it has come, so that nobody takes
//! it for dead.

use std::{
    cell::Cell,
    fs,
    io::{self, Write},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Source,
    answer::{AnswerError, refused},
};
use crate::{
    address,
    store::{BackupError, ForgetError},
};

/// Octets of a backup in one row.
const PART: usize = 256 << 10;

/// So often it is told how far a search has come.
const TELL: Duration = Duration::from_millis(200);

/// Rows `{part, done, total}`, the backup's octets in base64, then `{last_event, rows, octets}`.
pub fn backup(source: &Source, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    let key = match &source.own_key {
        Some(path) => Some(fs::read(path).map_err(|error| refused(format!("{}: {error}", path.display())))?),
        None => None,
    };
    let reached = Cell::new((0, 0));
    let mut parts = Parts { row, reached: &reached, bytes: Vec::with_capacity(PART) };
    let made = source.store.backup(key.as_deref(), &mut parts, &mut |done, total| reached.set((done, total)));
    let made = made.map_err(|error| match error {
        BackupError::Store(error) => AnswerError::Store(error),
        BackupError::Output(error) => AnswerError::Output(error),
        other => refused(other),
    })?;
    row(json!({ "last_event": made.last_event, "rows": made.rows, "octets": made.octets }))?;
    Ok(())
}

struct Parts<'a> {
    row: &'a mut dyn FnMut(Value) -> io::Result<()>,
    /// Octets done, and about how many there will be.
    reached: &'a Cell<(u64, u64)>,
    bytes: Vec<u8>,
}

impl Write for Parts<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= PART {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let (done, total) = self.reached.get();
        let part = data_encoding::BASE64.encode(&self.bytes);
        self.bytes.clear();
        (self.row)(json!({ "part": part, "done": done, "total": total }))
    }
}

/// Rows `{done, total}`, octets searched, then what was erased.
pub fn forget(source: &Source, text: &str, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    let normal = address::normal(text).ok_or_else(|| refused(format!("'{text}' is no mail address; write it as alice@example.org")))?;
    let mut persons = source.store.persons_at(&normal)?;
    persons.push((source.key)(&normal));
    let (mut told, mut gone_away) = (Instant::now(), None);
    let forgotten = source.store.forget(&persons, &normal, &mut |done, total| {
        if gone_away.is_none() && told.elapsed() >= TELL {
            told = Instant::now();
            gone_away = row(json!({ "done": done, "total": total })).err();
        }
    });
    let forgotten = forgotten.map_err(|error| match error {
        ForgetError::Store(error) => AnswerError::Store(error),
        other => refused(other),
    })?;
    // Whoever asked went away; what was asked for is done all the same.
    if let Some(error) = gone_away {
        return Err(error.into());
    }
    row(json!({
        "address": normal,
        "persons": forgotten.persons,
        "events": forgotten.events,
        "jobs": forgotten.jobs,
        "raw": forgotten.raw,
        "mentions": forgotten.mentions,
        "damaged": forgotten.damaged,
    }))?;
    Ok(())
}
