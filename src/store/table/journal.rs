//! The journal: the rows of each commit since the last time the memory's rows were written to their place, one record a commit, with what the
//! commit appended to the events. It is what makes a commit durable, and what fills the memory again at open.
//!
//! A record that is torn at the journal's end is one that never came to be: it is cut off. Anywhere else, and where a whole one follows, it is
//! damage: a commit is begun only when the one before is durable.

use std::{io, path::Path, sync::Arc};

use super::{
    super::{
        OpenError, Platter, StoreError, open,
        overlay::Rows,
        rows::Tail,
        segments::{Appended, EVENTS_AND_ROWS, Folder, ROWS, Record, Records, Stream},
    },
    run,
};

/// How far it was read.
pub struct Replayed {
    pub tail: Tail,
    pub commits: u64,
    pub octets: u64,
}

/// A commit as it stands in the journal.
#[derive(Clone, Copy)]
pub struct Commit<'a> {
    pub appended: Option<Appended<'a>>,
    rows: &'a [u8],
}

impl<'a> Commit<'a> {
    fn of(record: &Record<'a>) -> Option<Commit<'a>> {
        match record.kind {
            ROWS => Some(Commit { appended: None, rows: record.payload }),
            EVENTS_AND_ROWS => Appended::split(record.payload).map(|(appended, rows)| Commit { appended: Some(appended), rows }),
            _ => None,
        }
    }

    /// `None`: they make no sense.
    pub fn rows(&self) -> Option<Rows> {
        decode(self.rows)
    }
}

/// Reads the journal from a segment on. `each` says of a commit that makes no sense `None`.
pub fn replay(folder: &Folder, first: u32, mut each: impl FnMut(Commit<'_>) -> Option<()>) -> Result<Replayed, OpenError> {
    let path = folder.path();
    let there = match folder.segments() {
        Ok(all) => all,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(open::at(path)(error)),
    };
    let there: Vec<u32> = there.into_iter().filter(|number| *number >= first).collect();
    let last = there.last().copied().unwrap_or(first);
    let mut replayed = Replayed { tail: Tail { first, segment: last, length: 0, begun: 0 }, commits: 0, octets: 0 };
    for number in first..=last {
        let missing = || OpenError::Damaged(format!("{} is missing", folder.segment(number).display()));
        let bytes = folder.read(number, 0, None).map_err(open::damaged)?.ok_or_else(missing)?;
        let mut length = 0;
        for record in Records::new(&bytes, 0) {
            match record {
                Ok(record) => {
                    Commit::of(&record).and_then(&mut each).ok_or_else(|| open::damaged(folder.segment(number).display()))?;
                    length = record.end();
                    replayed.commits += 1;
                }
                Err(_) if number == last && !goes_on(&bytes, length) => break,
                Err(error) => return Err(open::damaged(error)),
            }
        }
        replayed.tail.length = length;
        replayed.octets = replayed.octets.saturating_add(length);
    }
    Ok(replayed)
}

/// Whether a whole record follows the one at `at`, if its length can be believed.
fn goes_on(bytes: &[u8], at: u64) -> bool {
    let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
    let Some((length, _)) = rest.and_then(|rest| rest.split_first_chunk::<4>()) else { return false };
    let next = at.saturating_add(u64::from(u32::from_le_bytes(*length))).saturating_add(9);
    let after = usize::try_from(next).ok().and_then(|next| bytes.get(next..)).unwrap_or_default();
    matches!(Records::new(after, next).next(), Some(Ok(_)))
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

    /// Where it ends.
    pub fn tail(&self) -> Tail {
        self.stream.tail()
    }

    /// A commit; it is durable with [`Journal::sync`].
    pub fn write(&mut self, appended: Option<Appended<'_>>, rows: &Rows) -> Result<(), StoreError> {
        let (before, rows) = (self.stream.tail().length, encode(rows));
        let written = match appended {
            Some(appended) => self.stream.append(EVENTS_AND_ROWS, &[&appended.head(), appended.octets, &rows], 0),
            None => self.stream.append(ROWS, &[&rows], 0),
        };
        written.map_err(StoreError::fatal)?;
        self.octets = self.octets.saturating_add(self.stream.tail().length.saturating_sub(before));
        self.stream.write().map_err(StoreError::fatal)
    }

    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.stream.sync().map_err(StoreError::fatal)
    }

    /// Takes back the room for more commits.
    pub fn close(&mut self) -> Result<(), StoreError> {
        self.stream.close().map_err(StoreError::fatal)
    }

    /// Begins a new segment and returns its number: what is committed from now on lies there.
    pub fn roll(&mut self) -> Result<u32, StoreError> {
        self.stream.roll().map_err(StoreError::fatal)?;
        self.octets = 0;
        Ok(self.stream.tail().segment)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::Disk;

    fn rows(n: u8) -> Rows {
        Rows::from([(vec![b'p', n], Some(vec![n; 50])), (vec![b'q', n], None)])
    }

    fn read(folder: &Folder) -> Result<(Vec<Rows>, Tail), OpenError> {
        let mut found = Vec::new();
        let replayed = replay(folder, 0, |commit| commit.rows().map(|rows| found.push(rows)))?;
        Ok((found, replayed.tail))
    }

    #[test]
    fn a_torn_end_is_cut_and_anything_else_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        assert!(matches!(read(&folder), Err(OpenError::Damaged(_))), "it is missing");
        fs::write(folder.segment(0), b"").unwrap();
        let replayed = replay(&folder, 0, |_| Some(())).unwrap();
        let mut journal = Journal::open(dir.path(), &replayed, Arc::new(Disk)).unwrap();
        for n in 0..6 {
            let octets = [n; 30];
            let appended = Appended { segment: 3, offset: 7, octets: &octets };
            journal.write((n != 1).then_some(appended), &rows(n)).unwrap();
            journal.sync().unwrap();
            if n == 2 {
                assert_eq!(journal.roll().unwrap(), 1);
            }
        }
        let all: Vec<Rows> = (0..6).map(rows).collect();
        let roomy = fs::metadata(folder.segment(1)).unwrap().len();
        assert_eq!(read(&folder).unwrap().0, all, "with room for more after them");
        journal.close().unwrap();
        assert!(fs::metadata(folder.segment(1)).unwrap().len() < roomy);
        assert_eq!(read(&folder).unwrap().0, all);
        let (path, good) = (folder.segment(1), fs::read(folder.segment(1)).unwrap());
        let each = good.len() / 3;
        for left in [1, each - 12, each - 1] {
            fs::write(&path, &good[..2 * each + left]).unwrap();
            let (found, tail) = read(&folder).unwrap();
            assert_eq!((found.len(), tail.segment, tail.length), (5, 1, 2 * each as u64), "the last was torn");
            // A record whose lost octet was a zero is whole again with the room's.
            if left == each - 1 {
                continue;
            }
            let room = vec![0; 1000];
            fs::write(&path, [&good[..2 * each + left], &room].concat()).unwrap();
            assert_eq!(read(&folder).unwrap().1, tail, "the last was torn and reached into the room");
        }
        let mut bytes = good.clone();
        bytes[each + 20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(read(&folder), Err(OpenError::Damaged(_))), "one that others follow");
        fs::write(&path, &good).unwrap();
        let earlier = fs::read(folder.segment(0)).unwrap();
        fs::write(folder.segment(0), &earlier[..earlier.len() - 1]).unwrap();
        assert!(matches!(read(&folder), Err(OpenError::Damaged(_))), "not the last segment");
    }
}
