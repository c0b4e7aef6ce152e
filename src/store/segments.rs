//! Append-only files of records: events (with the jobs they made), raw mails, and the journal of the rows of each commit.
//!
//! A record is its length, a CRC-32 over kind and payload, the kind and the payload. What a commit refers to was synced before it or lies in
//! the journal with it, see [`appended`]; what lies beyond the length that the last commit named is the rest of one that never came to be, or
//! room for the next, see [`stream`], and is cut off at open. Every read checks the CRC.
//! A failed write or sync is final: nobody can say what is on the platter then.

mod appended;
mod stream;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

pub use self::{appended::Appended, stream::Stream};
use super::{
    StoreError,
    rows::{EventRecord, Tail},
};
use crate::ledger::RawRef;

/// What a record holds. The octet is part of the stored form.
pub const EVENT: u8 = 1;
pub const JOB: u8 = 2;
pub const RAW: u8 = 3;
/// Stands before what one commit appends to the events.
pub const COMMIT: u8 = 4;
/// What was forgotten; see [`super::erase`].
pub const ERASED: u8 = 5;
/// A commit's rows, in the journal; see [`super::table`].
pub const ROWS: u8 = 6;
/// The same, behind what the commit appended to the events.
pub const EVENTS_AND_ROWS: u8 = 7;

/// Length, CRC, kind.
pub const HEAD: usize = 9;
const HEAD_OCTETS: u64 = 9;

/// A stream's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// A record as read: where it began, its kind and its payload.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: u64,
    pub kind: u8,
    pub payload: &'a [u8],
}

impl Record<'_> {
    pub fn end(&self) -> u64 {
        self.offset + HEAD_OCTETS + u64::try_from(self.payload.len()).unwrap_or(0)
    }
}

impl Folder {
    pub fn new(path: PathBuf) -> Folder {
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn segment(&self, number: u32) -> PathBuf {
        self.0.join(format!("{number:08}.seg"))
    }

    /// The numbers of the segments there are, in order.
    pub fn segments(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|number| number.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The bytes of a segment from `from` up to `to`, `None` for its end; no segment gives `None`.
    pub fn read(&self, segment: u32, from: u64, to: Option<u64>) -> Result<Option<Vec<u8>>, StoreError> {
        let file = match File::open(self.segment(segment)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::read(error)),
        };
        let to = match to {
            Some(to) => to,
            None => file.metadata().map_err(StoreError::read)?.len(),
        };
        let length = usize::try_from(to.saturating_sub(from)).map_err(StoreError::read)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, from).map_err(StoreError::read)?;
        Ok(Some(bytes))
    }

    /// A segment's length; `None` where there is none.
    pub fn length(&self, segment: u32) -> Result<Option<u64>, StoreError> {
        match fs::metadata(self.segment(segment)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::read(error)),
        }
    }

    /// One record's payload; `None` where it was erased.
    pub fn get(&self, at: RawRef, kind: u8) -> Result<Option<Vec<u8>>, StoreError> {
        let end = at.offset.saturating_add(u64::from(at.length)).saturating_add(HEAD_OCTETS);
        let Some(mut bytes) = self.read(at.segment, at.offset, Some(end))? else { return Ok(None) };
        match Records::new(&bytes, at.offset).next() {
            Some(Ok(record)) if record.kind == kind && record.payload.len() == bytes.len() - HEAD => {}
            Some(Ok(record)) if record.kind == ERASED => return Ok(None),
            _ => return Err(StoreError::damaged(format!("a record at {} of {}", at.offset, self.segment(at.segment).display()))),
        }
        Ok(Some(bytes.split_off(HEAD)))
    }

    /// How many commits lie beyond `tail`, and the last event among them; what is torn is passed over.
    pub fn beyond(&self, tail: Tail) -> Result<(usize, Option<u64>), StoreError> {
        let (mut commits, mut last) = (0, None);
        for number in self.segments().map_err(StoreError::read)?.into_iter().filter(|number| *number >= tail.segment) {
            let from = if number == tail.segment { tail.length } else { 0 };
            let bytes = match self.length(number)? {
                Some(length) if length > from => self.read(number, from, Some(length))?.unwrap_or_default(),
                _ => continue,
            };
            for record in Records::new(&bytes, from).map_while(Result::ok) {
                commits += usize::from(record.kind == COMMIT);
                if record.kind == EVENT {
                    last = last.max(Some(EventRecord::from_bytes(record.payload)?.event.id()));
                }
            }
        }
        Ok((commits, last))
    }

    /// Removes a segment; one that is gone is fine.
    pub fn unlink(&self, number: u32) -> io::Result<()> {
        match fs::remove_file(self.segment(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The records in a piece of a segment, in order. Ends at the first that isn't whole or sound, with an error unless the bytes end there.
pub struct Records<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Records<'a> {
    pub fn new(bytes: &'a [u8], offset: u64) -> Records<'a> {
        Records { rest: bytes, offset }
    }

    fn record(&self) -> Option<(Record<'a>, &'a [u8])> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let body = usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_add(1)?;
        let (body, rest) = rest.split_at_checked(body)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (kind, payload) = body.split_first()?;
        Some((Record { offset: self.offset, kind: *kind, payload }, rest))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.record();
        let Some((record, rest)) = taken else {
            self.rest = &[];
            return Some(Err(StoreError::damaged(format!("a segment's record at {}", self.offset))));
        };
        self.offset = record.end();
        self.rest = rest;
        Some(Ok(record))
    }
}

/// A record's octets, as they stand in a segment.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&head(kind, length, &[payload]), payload].concat()
}

fn head(kind: u8, length: u32, parts: &[&[u8]]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new_with_initial(crc32fast::hash(&[kind]));
    parts.iter().for_each(|part| crc.update(part));
    [&length.to_le_bytes()[..], &crc.finalize().to_le_bytes(), &[kind]].concat()
}

pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
