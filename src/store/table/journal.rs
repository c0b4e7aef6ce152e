//! The journal: the rows of each commit since the last time the memory's rows were written to their place, one record a commit. It is what
//! makes a commit durable, and what fills the memory again at open.
//!
//! A record that is torn at the journal's end is one that never came to be: it is cut off. Anywhere else it is damage.

use std::{path::Path, sync::Arc};

use super::{
    super::{
        OpenError, Platter, StoreError, open,
        overlay::Rows,
        rows::Tail,
        segments::{Folder, ROWS, Records, Stream},
    },
    run,
};

/// How far it was read.
pub struct Replayed {
    pub tail: Tail,
    pub commits: u64,
    pub octets: u64,
}

/// Reads the journal from a segment on.
pub fn replay(folder: &Folder, first: u32, mut each: impl FnMut(Rows)) -> Result<Replayed, OpenError> {
    let path = folder.path();
    let there: Vec<u32> = folder.segments().map_err(open::at(path))?.into_iter().filter(|number| *number >= first).collect();
    let last = there.last().copied().unwrap_or(first);
    let mut replayed = Replayed { tail: Tail { first, segment: last, length: 0, begun: 0 }, commits: 0, octets: 0 };
    for number in first..=last {
        let missing = || OpenError::Damaged(format!("{} is missing", folder.segment(number).display()));
        let bytes = folder.read(number, 0, None).map_err(open::damaged)?.ok_or_else(missing)?;
        let mut length = 0;
        for record in Records::new(&bytes, 0) {
            match record {
                Ok(record) if record.kind == ROWS => {
                    each(decode(record.payload).ok_or_else(|| open::damaged(folder.segment(number).display()))?);
                    length = record.end();
                    replayed.commits += 1;
                }
                Ok(_) => return Err(open::damaged(folder.segment(number).display())),
                Err(_) if number == last => break,
                Err(error) => return Err(open::damaged(error)),
            }
        }
        replayed.tail.length = length;
        replayed.octets = replayed.octets.saturating_add(length);
    }
    Ok(replayed)
}

pub fn decode(mut rest: &[u8]) -> Option<Rows> {
    let mut rows = Rows::new();
    while !rest.is_empty() {
        let (key, value, after) = run::row(rest)?;
        rows.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        rest = after;
    }
    Some(rows)
}

pub fn encode(rows: &Rows) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len) + 6).sum());
    rows.iter().for_each(|(key, value)| run::push_row(&mut bytes, key, value.as_deref()));
    bytes
}

/// The writing end.
pub struct Journal {
    stream: Stream,
    /// Written since the last [`Journal::roll`].
    octets: u64,
}

impl Journal {
    /// Goes on where the last whole record ends.
    pub fn open(path: &Path, replayed: &Replayed, platter: Arc<dyn Platter>) -> Result<Journal, OpenError> {
        // It is ended by hand only.
        let never = (u64::MAX, i64::MAX);
        let stream = Stream::open(Folder::new(path.to_owned()), replayed.tail, never, platter)?;
        Ok(Journal { stream, octets: replayed.octets })
    }

    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// A commit; it is durable with [`Journal::sync`].
    pub fn write(&mut self, rows: &Rows) -> Result<(), StoreError> {
        let before = self.stream.tail().length;
        self.stream.append(ROWS, &[&encode(rows)], 0).map_err(StoreError::fatal)?;
        self.octets = self.octets.saturating_add(self.stream.tail().length.saturating_sub(before));
        self.stream.write().map_err(StoreError::fatal)
    }

    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.stream.sync().map_err(StoreError::fatal)
    }

    /// Begins a new segment and returns its number: what is committed from now on lies there.
    pub fn roll(&mut self) -> Result<u32, StoreError> {
        self.stream.roll().map_err(StoreError::fatal)?;
        self.octets = 0;
        Ok(self.stream.tail().segment)
    }
}
