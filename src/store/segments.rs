//! Append-only files of records: events (with the jobs they made), raw mails, and the journal of the rows of each commit.
//!
//! A record is its length, a CRC-32 over kind and payload, the kind and the payload. What a commit refers to was synced before it; what lies
//! beyond the length that the last commit named is the rest of one that never came to be, or room for the next (see [`ROOM`]), and is cut off
//! at open. Every read checks the CRC.
//! A failed write or sync is final: nobody can say what is on the platter then.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    OpenError, Platter, StoreError,
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

/// Octets that wait for [`Stream::sync`]; more are written before.
const HOLD: usize = 1 << 20;

/// Octets of zeros that are written ahead in the last segment. A commit that lands on blocks which the file has already changes nothing in
/// the filesystem's own records, so its sync has only the data to write: half the work, or less where those records have a journal.
pub const ROOM: u64 = 256 * 1024;

/// The writing end of a stream.
pub struct Stream {
    folder: Folder,
    platter: Arc<dyn Platter>,
    /// A segment longer than this is followed by the next.
    roll_bytes: u64,
    /// And one older than this, milliseconds, so that what is expired can go.
    roll_after: i64,
    tail: Tail,
    file: File,
    /// Not yet written; it belongs right after the `tail.length - pending.len()` bytes of the file.
    pending: Vec<u8>,
    /// Where the zeros written ahead end; the tail's length if there are none.
    room: u64,
    /// Nothing was written since the last sync.
    synced: bool,
}

impl Stream {
    /// Opens a stream at the place that the last commit named, and cuts off what lies beyond.
    pub fn open(folder: Folder, tail: Tail, roll: (u64, i64), platter: Arc<dyn Platter>) -> Result<Stream, OpenError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        let missing = |number: u32| OpenError::Damaged(format!("{} is missing or too short", folder.segment(number).display()));
        let there = folder.segments().map_err(io(folder.path()))?;
        for number in there.iter().copied().filter(|number| *number > tail.segment || *number < tail.first) {
            folder.unlink(number).map_err(io(&folder.segment(number)))?;
        }
        if let Some(lost) = (tail.first..tail.segment).find(|number| !there.contains(number)) {
            return Err(missing(lost));
        }
        let path = folder.segment(tail.segment);
        if !there.contains(&tail.segment) && tail.length > 0 {
            return Err(missing(tail.segment));
        }
        let file = create(&path).map_err(io(&path))?;
        let length = file.metadata().map_err(io(&path))?.len();
        if length < tail.length {
            return Err(missing(tail.segment));
        }
        if length > tail.length {
            file.set_len(tail.length).map_err(io(&path))?;
        }
        platter.sync(&file, &path).map_err(io(&path))?;
        platter.sync_dir(folder.path()).map_err(io(folder.path()))?;
        let (roll_bytes, roll_after) = roll;
        Ok(Stream { folder, platter, roll_bytes, roll_after, tail, file, pending: Vec::new(), room: tail.length, synced: true })
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Everything appended, durable or not.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// Everything before this segment is gone for good.
    pub fn forget_before(&mut self, segment: u32) {
        self.tail.first = segment.min(self.tail.segment);
    }

    /// Puts a record after the last one. It is neither durable nor readable before [`Stream::sync`].
    pub fn append(&mut self, kind: u8, parts: &[&[u8]], now: i64) -> io::Result<RawRef> {
        if self.tail.length >= self.roll_bytes || (self.tail.length > 0 && now.saturating_sub(self.tail.begun) >= self.roll_after) {
            self.roll()?;
        }
        if self.tail.length == 0 {
            self.tail.begun = now;
        }
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let length = u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let at = RawRef { segment: self.tail.segment, offset: self.tail.length, length };
        for part in [&head(kind, length, parts)[..]].iter().chain(parts) {
            self.put(part)?;
        }
        Ok(at)
    }

    /// What is large goes to the file at once: a group of large mails isn't copied whole.
    fn put(&mut self, part: &[u8]) -> io::Result<()> {
        if self.pending.len().saturating_add(part.len()) > HOLD {
            self.write()?;
        }
        if part.len() > HOLD {
            self.file.write_all_at(part, self.tail.length)?;
            self.synced = false;
        } else {
            self.pending.extend_from_slice(part);
        }
        self.tail.length = self.tail.length.saturating_add(u64::try_from(part.len()).unwrap_or(0));
        Ok(())
    }

    /// Writes what was appended; that is neither durable nor readable yet.
    pub fn write(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            let from = self.tail.length.saturating_sub(u64::try_from(self.pending.len()).unwrap_or(0));
            self.file.write_all_at(&self.pending, from)?;
            self.pending.clear();
            self.pending.shrink_to(HOLD);
            self.synced = false;
        }
        if self.tail.length > self.room {
            self.make_room()?;
        }
        Ok(())
    }

    /// Writes zeros ahead. Where the disk has no room for them it goes on without.
    fn make_room(&mut self) -> io::Result<()> {
        const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
        self.room = self.tail.length;
        let end = self.room.saturating_add(ROOM);
        while self.room < end {
            if self.file.write_all_at(&ZEROS, self.room).is_err() {
                return self.trim();
            }
            self.room = self.room.saturating_add(ZEROS.len() as u64);
        }
        Ok(())
    }

    /// Takes the room back: the segment ends with its last record.
    fn trim(&mut self) -> io::Result<()> {
        self.file.set_len(self.tail.length)?;
        (self.room, self.synced) = (self.tail.length, false);
        Ok(())
    }

    /// Leaves the last segment as long as what is in it, durably.
    pub fn close(&mut self) -> io::Result<()> {
        self.write()?;
        self.trim()?;
        self.sync()
    }

    /// Makes durable what was appended.
    pub fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        if !self.synced {
            self.platter.sync(&self.file, &self.folder.segment(self.tail.segment))?;
            self.synced = true;
        }
        Ok(())
    }

    /// Ends the last segment and begins the next.
    pub fn roll(&mut self) -> io::Result<()> {
        self.close()?;
        let number = self.tail.segment.checked_add(1).ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
        let path = self.folder.segment(number);
        self.file = create(&path)?;
        self.platter.sync(&self.file, &path)?;
        self.platter.sync_dir(self.folder.path())?;
        self.tail = Tail { first: self.tail.first, segment: number, length: 0, begun: 0 };
        self.room = 0;
        Ok(())
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

#[cfg(test)]
mod tests;
