//! The writing end of a stream of segments: appends, writes ahead, syncs, and ends one segment to begin the next.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use super::{Appended, Folder, create, head};
use crate::{
    ledger::RawRef,
    store::{OpenError, Platter, rows::Tail},
};

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
    written: Written,
}

/// What made durable all that was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Synced,
    /// The journal has what was written since the last sync, until it begins anew.
    WithJournal,
    /// Nothing did yet.
    Only,
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
        Ok(Stream { folder, platter, roll_bytes, roll_after, tail, file, pending: Vec::new(), room: tail.length, written: Written::Synced })
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
            self.written = Written::Only;
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
            self.written = Written::Only;
            if self.tail.length > self.room {
                self.make_room()?;
            }
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
        (self.room, self.written) = (self.tail.length, Written::Only);
        Ok(())
    }

    /// Leaves the last segment as long as what is in it, durably.
    pub fn close(&mut self) -> io::Result<()> {
        self.write()?;
        self.trim()?;
        self.sync()
    }

    /// Writes what was appended since the last commit and gives it to `journal`, which makes it durable. Where it was too much to be kept until
    /// now it is synced, and nothing given.
    pub fn write_with<T>(&mut self, journal: impl FnOnce(Option<Appended<'_>>) -> T) -> io::Result<T> {
        if self.written == Written::Only {
            self.sync()?;
        }
        let octets = std::mem::take(&mut self.pending);
        if octets.is_empty() {
            return Ok(journal(None));
        }
        let offset = self.tail.length.saturating_sub(u64::try_from(octets.len()).unwrap_or(0));
        self.file.write_all_at(&octets, offset)?;
        self.written = Written::WithJournal;
        Ok(journal(Some(Appended { segment: self.tail.segment, offset, octets: &octets })))
    }

    /// Makes durable what was appended.
    pub fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        if self.written != Written::Synced {
            self.platter.sync(&self.file, &self.folder.segment(self.tail.segment))?;
            self.written = Written::Synced;
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

#[cfg(test)]
mod tests;
