//! `restore`: a store from a backup, into a folder that has none; all of it or nothing.
//!
//! It is built in `restore.part/`, synced, and that folder renamed to `restored/`: from then on it counts, and [`settle`] moves what is in it
//! to its place, now or at the next open. Before that nothing counts, and what an interrupted restore left is removed by the next.
//!
//! The epoch is new, so that the ids of jobs made from now on were never given before, though the numbers of events come again. Jobs that
//! were waiting keep their ids: a receiver that has seen one knows it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    OpenError, Platter, StoreError,
    archive::{Block, Head, Reading, Row, Which},
    keys,
    marker::{self, Marker},
    open,
    rows::{Identity, SCHEMA, State, Tail, decode, encode},
    segments::Folder,
    table::Load,
};

const PART: &str = "restore.part";
const DONE: &str = "restored";

/// The daemon's own key for people, as in `config::own_key`.
const KEY: &str = "verp.hash";

/// Why nothing was restored. The folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("this is no backup; give a file that `bounced backup` wrote")]
    NoBackup,
    #[error("the backup has format {found}, this bounced knows up to {known}; use the newer bounced that made it")]
    Format { found: u8, known: u8 },
    #[error("the backup holds a store of schema {found}, this bounced knows up to {known}; use the newer bounced that made it")]
    Newer { found: u8, known: u8 },
    #[error("the backup is cut short; use another")]
    Cut,
    #[error("the backup is damaged ({0}); use another")]
    Damaged(&'static str),
    #[error("the backup can't be read: {0}")]
    Input(io::Error),
    #[error("{0} is there: restore into an empty data_dir; stop the daemon and move the old store's files away first")]
    Occupied(PathBuf),
    #[error("{0} is another key than the backup's, and people are counted under that; move it away first")]
    OtherKey(PathBuf),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The last event in it, 0 for none.
    pub last_event: u64,
    pub rows: u64,
}

/// Reads a backup from `from` and makes the store in `dir`. `progress` hears of octets taken. Blocks.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(
    dir: &Path,
    from: impl Read,
    cache_bytes: u64,
    platter: &dyn Platter,
    progress: &mut dyn FnMut(u64),
) -> Result<Restored, RestoreError> {
    let mut reading = Reading::new(from)?;
    let head = head(&mut reading)?;
    open::make_dir(dir)?;
    let _lock = open::lock(dir)?;
    settle(dir, platter)?;
    vacant(dir)?;
    let part = dir.join(PART);
    clear(&part)?;
    let built = Building::new(dir, &part, cache_bytes, platter).and_then(|building| building.take(reading, &head, platter, progress));
    let restored = match built {
        Ok(restored) => restored,
        Err(error) => {
            // What is left of it the next restore removes.
            let _ = clear(&part);
            return Err(error);
        }
    };
    fs::rename(&part, dir.join(DONE)).map_err(at(&part))?;
    platter.sync_dir(dir).map_err(at(dir))?;
    settle(dir, platter)?;
    Ok(restored)
}

/// Moves a finished restore to its place, if there is one.
///
/// # Errors
/// A file can't be moved; the next call goes on.
pub fn settle(dir: &Path, platter: &dyn Platter) -> Result<(), OpenError> {
    let done = dir.join(DONE);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    if !done.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&done).map_err(io(&done))? {
        let entry = entry.map_err(io(&done))?;
        fs::rename(entry.path(), dir.join(entry.file_name())).map_err(io(&entry.path()))?;
    }
    platter.sync_dir(dir).map_err(io(dir))?;
    fs::remove_dir(&done).map_err(io(&done))?;
    platter.sync_dir(dir).map_err(io(dir))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |source| RestoreError::Io { path, source }
}

fn head(reading: &mut Reading<impl Read>) -> Result<Head, RestoreError> {
    match reading.next()? {
        Block::Head(head) if head.schema > SCHEMA => Err(RestoreError::Newer { found: head.schema, known: SCHEMA }),
        Block::Head(head) => Ok(head),
        _ => Err(RestoreError::Damaged("it has no head")),
    }
}

/// No store may be there, nor the rest of one.
fn vacant(dir: &Path) -> Result<(), RestoreError> {
    let marker = marker::path(dir);
    if marker.exists() {
        return Err(RestoreError::Occupied(marker));
    }
    for folder in ["store", "events", "raw"].map(|name| dir.join(name)) {
        match fs::read_dir(&folder).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return Err(RestoreError::Occupied(folder)),
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(RestoreError::Io { path: folder, source }),
            _ => {}
        }
    }
    Ok(())
}

fn clear(part: &Path) -> Result<(), RestoreError> {
    match fs::remove_dir_all(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(part)(error)),
        _ => Ok(()),
    }
}

struct Building<'a> {
    dir: &'a Path,
    part: &'a Path,
    load: Load<'a>,
    /// The segment that is written to.
    file: Option<(Which, u32, File, PathBuf)>,
    /// The segments there are, and how long each has become.
    segments: BTreeMap<(Which, u32), u64>,
    rows: u64,
}

impl<'a> Building<'a> {
    fn new(dir: &'a Path, part: &'a Path, cache_bytes: u64, platter: &'a dyn Platter) -> Result<Building<'a>, RestoreError> {
        for folder in [part.to_owned(), part.join("store"), part.join("events"), part.join("raw")] {
            open::make_dir(&folder)?;
        }
        let load = Load::new(&part.join("store"), cache_bytes, platter)?;
        Ok(Building { dir, part, load, file: None, segments: BTreeMap::new(), rows: 0 })
    }

    fn take(
        mut self,
        mut reading: Reading<impl Read>,
        head: &Head,
        platter: &dyn Platter,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Restored, RestoreError> {
        loop {
            match reading.next()? {
                Block::Head(_) => return Err(RestoreError::Damaged("its head is not where it belongs")),
                Block::Key(key) => self.key(&key, platter)?,
                Block::Rows(rows) => {
                    progress(rows.iter().map(|(key, value)| octets(key) + value.as_deref().map_or(0, octets)).sum());
                    self.rows(rows)?;
                }
                Block::Piece { which, segment, offset, bytes } => {
                    progress(octets(&bytes));
                    self.piece(which, segment, offset, &bytes, platter)?;
                }
                Block::End => return self.end(head, platter),
            }
        }
    }

    fn key(&self, key: &[u8], platter: &dyn Platter) -> Result<(), RestoreError> {
        let there = self.dir.join(KEY);
        match fs::read(&there) {
            Ok(other) if other.trim_ascii() != key.trim_ascii() => return Err(RestoreError::OtherKey(there)),
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(RestoreError::Io { path: there, source }),
            _ => {}
        }
        let path = self.part.join(KEY);
        let written = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(key)?;
            platter.sync(&file, &path)
        };
        written().map_err(at(&path))
    }

    fn rows(&mut self, rows: Vec<Row>) -> Result<(), RestoreError> {
        self.rows = self.rows.saturating_add(u64::try_from(rows.len()).unwrap_or(0));
        self.load.put(rows.into_iter().collect()).map_err(|error| table(self.part, error))
    }

    fn folder(&self, which: Which) -> Folder {
        Folder::new(self.part.join(match which {
            Which::Events => "events",
            Which::Raw => "raw",
        }))
    }

    fn piece(&mut self, which: Which, segment: u32, offset: u64, bytes: &[u8], platter: &dyn Platter) -> Result<(), RestoreError> {
        let reached = self.segments.entry((which, segment)).or_default();
        if *reached != offset {
            return Err(RestoreError::Damaged("a piece of a segment is missing"));
        }
        *reached = reached.saturating_add(octets(bytes));
        if self.file.as_ref().is_none_or(|(open, number, ..)| (*open, *number) != (which, segment)) {
            self.end_segment(platter)?;
            let path = self.folder(which).segment(segment);
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(at(&path))?;
            self.file = Some((which, segment, file, path));
        }
        match &self.file {
            Some((.., file, path)) => file.write_all_at(bytes, offset).map_err(at(path)),
            None => Ok(()),
        }
    }

    fn end_segment(&mut self, platter: &dyn Platter) -> Result<(), RestoreError> {
        match self.file.take() {
            Some((.., file, path)) => platter.sync(&file, &path).map_err(at(&path)),
            None => Ok(()),
        }
    }

    fn end(mut self, head: &Head, platter: &dyn Platter) -> Result<Restored, RestoreError> {
        self.end_segment(platter)?;
        let get = |key| {
            self.load.get(key).map_err(|error| table(self.part, error))?.ok_or(RestoreError::Damaged("the store's own rows are missing"))
        };
        let senseless = |_| RestoreError::Damaged("the store's own rows make no sense");
        let (identity, state) = (get(keys::IDENTITY)?, get(keys::STATE)?);
        let state: State = decode(&state, "the store's state").map_err(senseless)?;
        self.complete(Which::Events, state.events)?;
        self.complete(Which::Raw, state.raw)?;
        let row = match identity.split_first() {
            Some((schema, row)) if *schema == head.schema => row,
            _ => return Err(RestoreError::Damaged("its head names another schema")),
        };
        let old: Identity = decode(row, "the store's identity").map_err(senseless)?;
        let mut row = vec![head.schema];
        row.extend(encode(&Identity { epoch: other_epoch(old.epoch)?, ..old.clone() }).map_err(senseless)?);
        let Building { part, load, rows, .. } = self;
        let own = BTreeMap::from([(keys::IDENTITY.to_vec(), Some(row))]);
        load.put(own).and_then(|()| load.end()).map_err(|error| table(part, error))?;
        open::sync_all(&part.join("store"), platter)?;
        marker::write(part, &Marker { store: old.store, next_event: state.next_event, closed: None }, platter).map_err(at(part))?;
        for folder in ["events", "raw"].map(|name| part.join(name)) {
            platter.sync_dir(&folder).map_err(at(&folder))?;
        }
        platter.sync_dir(part).map_err(at(part))?;
        Ok(Restored { last_event: state.next_event.saturating_sub(1), rows })
    }

    /// All segments of a stream must be there, up to where the last commit says that it reaches.
    fn complete(&self, which: Which, tail: Tail) -> Result<(), RestoreError> {
        let length = |segment: u32| self.segments.get(&(which, segment)).copied();
        let whole = (tail.first..tail.segment).all(|segment| length(segment).is_some());
        if whole && length(tail.segment).unwrap_or(0) == tail.length {
            return Ok(());
        }
        Err(RestoreError::Damaged("a segment is missing or of another length"))
    }
}

fn table(part: &Path, error: StoreError) -> RestoreError {
    RestoreError::Io { path: part.join("store"), source: io::Error::other(error) }
}

fn other_epoch(old: u32) -> Result<u32, RestoreError> {
    loop {
        let epoch = getrandom::u32().map_err(|error| RestoreError::Input(io::Error::other(error)))?;
        if epoch != old {
            return Ok(epoch);
        }
    }
}

fn octets(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Disk, archive::Writing, table::Table};

    fn made(schema: u8, write: impl FnOnce(&mut Writing<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writing = Writing::new(&mut bytes, &Head { schema, store: [7; 16], begun: 0 }).unwrap();
        write(&mut writing);
        writing.end().unwrap();
        bytes
    }

    fn refused(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let error = restore(dir.path(), bytes, 1 << 20, &Disk, &mut |_| {}).unwrap_err();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "store.lock"), "{left:?}");
        error.to_string()
    }

    fn own(schema: u8, state: &State, writing: &mut Writing<'_>) {
        let identity = [&[schema][..], &encode(&Identity { store: [7; 16], epoch: 3 }).unwrap()].concat();
        writing.row(keys::IDENTITY, Some(&identity)).unwrap();
        writing.row(keys::STATE, Some(&encode(state).unwrap())).unwrap();
    }

    /// Sound files that hold no sound store.
    #[test]
    fn what_makes_no_store_is_refused() {
        let state = State { events: Tail { length: 5, ..Tail::default() }, ..State::default() };
        assert!(refused(&made(SCHEMA + 1, |writing| own(SCHEMA + 1, &state, writing))).contains("newer bounced"));
        assert!(refused(&made(SCHEMA, |_| {})).contains("own rows are missing"));
        assert!(refused(&made(SCHEMA, |writing| own(SCHEMA, &state, writing))).contains("a segment is missing"));
        let gap = made(SCHEMA, |writing| writing.piece(Which::Events, 0, 9, b"abc").unwrap());
        assert!(refused(&gap).contains("a piece of a segment is missing"));
    }

    #[test]
    fn a_row_that_went_is_gone_and_the_last_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = made(SCHEMA, |writing| {
            for (key, value) in [(b"zz", Some(&b"1"[..])), (b"zy", Some(b"1")), (b"zz", Some(b"2")), (b"zy", None)] {
                writing.row(key, value).unwrap();
            }
            own(SCHEMA, &State::default(), writing);
        });
        restore(dir.path(), &bytes[..], 1 << 20, &Disk, &mut |_| {}).unwrap();
        let table = Table::open(&dir.path().join("store"), 1 << 20, 100).unwrap();
        let get = |key: &str| table.get(key.as_bytes()).unwrap().map(|value| value.to_vec());
        assert_eq!((get("zz"), get("zy")), (Some(b"2".to_vec()), None));
        let identity = get("!s").unwrap();
        let identity: Identity = decode(&identity[1..], "identity").unwrap();
        assert!(identity.store == [7; 16] && identity.epoch != 3);
        assert_eq!(marker::read(dir.path()).unwrap(), Some(Marker { store: [7; 16], next_event: 0, closed: None }));
    }
}
