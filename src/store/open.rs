//! Opening: makes what isn't there, takes the lock, and refuses what it can't vouch for. Before all checks have passed we change nothing of
//! an existing store; sled itself tidies its log as it opens it.
//!
//! sled opens a log of which it can't read a part, or anything, as a shorter or an empty one, without an error, and a journal that lost its end
//! looks like one whose last commit was torn: hence the marker, the events in the segments beyond what the state knows of, and [`sled_log`].

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    OpenError, Options, Platter, StoreError, compact, erase, keys,
    marker::{self, Closed, Marker},
    outbox,
    overlay::Overlay,
    restore,
    rows::{Identity, SCHEMA, State, decode, encode},
    segments::{Folder, Stream},
    shared::Shared,
    sled_log,
    table::{Log, Table, patiently},
    timers,
    writer::Writer,
};

/// A process that ended a moment ago, or a store just dropped in this one, may hold sled's own lock for so long.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Segments are ended at this age too: what is in them goes as a whole.
const EVENTS_ROLL: i64 = 7 * 86_400_000;
const RAW_ROLL: i64 = 86_400_000;

pub fn open(dir: &Path, options: Options) -> Result<(Writer, Arc<Shared>), OpenError> {
    let (mut writer, shared) = open_once(dir, options.clone())?;
    if !erase::resume(&mut writer).map_err(damaged)? {
        return Ok((writer, shared));
    }
    drop((writer, shared));
    compact::compact(dir, &options)?;
    open_once(dir, options)
}

fn open_once(dir: &Path, options: Options) -> Result<(Writer, Arc<Shared>), OpenError> {
    let sled_dir = dir.join("store");
    let (events_dir, raw_dir) = (dir.join("events"), dir.join("raw"));
    make_dir(dir)?;
    let lock = lock(dir)?;
    restore::settle(dir, &*options.platter)?;
    compact::settle(dir, &*options.platter)?;
    let marker = marker::read(dir).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => OpenError::Damaged(format!("{} can't be read", marker::path(dir).display())),
        _ => OpenError::Io { path: marker::path(dir), source },
    })?;
    if let Some(marker) = marker
        && fs::metadata(sled_dir.join("db")).map_or(true, |db| db.len() == 0)
    {
        return Err(emptied(dir, marker));
    }
    for each in [&sled_dir, &events_dir, &raw_dir] {
        make_dir(each)?;
    }
    let folders = (Folder::new(events_dir), Folder::new(raw_dir));
    let closed = marker.and_then(|marker| marker.closed);
    if let Some(closed) = closed {
        sled_log::check(&sled_dir, closed.sled)?;
    }
    let platter = Arc::clone(&options.platter);
    let db = Arc::new(Table::open(&sled_dir, options.cache_bytes, options.memory_rows)?);
    let fresh = match db.get(keys::IDENTITY).map_err(damaged)? {
        Some(_) => None,
        None => Some(create(dir, &db, marker, &folders, &*platter)?),
    };
    let identity = identity(&db)?;
    let replayed = db.replay()?;
    if let Some(closed) = closed.filter(|closed| (closed.segment, closed.length) != (replayed.tail.segment, replayed.tail.length)) {
        let Closed { segment, length, .. } = closed;
        return Err(damaged(format_args!("the journal's segment {segment} makes no sense before octet {length}")));
    }
    let state = state(&db)?;
    check(dir, marker, &identity, &state)?;
    check_segments(&folders.0, &state)?;
    db.set_floor(&state);
    if closed.is_none() {
        mend(&db, &folders.0, &state)?;
    }

    let events = Stream::open(folders.0.clone(), state.events, (options.segment_bytes, EVENTS_ROLL), Arc::clone(&platter))?;
    let raw = Stream::open(folders.1.clone(), state.raw, (options.segment_bytes, RAW_ROLL), Arc::clone(&platter))?;
    let mut log = Log::open(Arc::clone(&db), &replayed, Arc::clone(&platter))?;
    let state = rescue(&db, &mut log, state, &options)?;
    sync_all(&sled_dir, &*platter)?;
    platter.sync_dir(dir).map_err(at(dir))?;
    if marker.is_none() && fresh.is_none() {
        tracing::warn!(path = %marker::path(dir).display(), "the store's marker is missing and made anew; was a file lost?");
    }
    let renewed = Marker { store: identity.store, next_event: state.next_event, closed: None };
    marker::write(dir, &renewed, &*platter).map_err(at(&marker::path(dir)))?;

    let shared = Arc::new(Shared::new(db, identity, state.clone(), folders, &options, lock));
    let now = Instant::now();
    let writer = Writer {
        dir: dir.to_owned(),
        shared: Arc::clone(&shared),
        options,
        log,
        events,
        raw,
        marked: state.next_event,
        marked_at: now,
        state,
        commits: 0,
        stepped: 0,
        next_step: now,
        more: false,
        next_timer: timers::next(&shared.db).map_err(damaged)?,
    };
    Ok((writer, shared))
}

pub fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

pub fn damaged(error: impl std::fmt::Display) -> OpenError {
    OpenError::Damaged(error.to_string())
}

fn emptied(dir: &Path, marker: Marker) -> OpenError {
    OpenError::Emptied { marker: marker::path(dir), sequence: marker.next_event.saturating_sub(1) }
}

/// Mode 0700, its name synced.
pub fn make_dir(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(at(parent))
}

pub fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("store.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(at(&path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(dir.to_owned())),
        Err(errno) => Err(OpenError::Io { path, source: errno.into() }),
    }
}

pub fn open_sled(dir: &Path, cache_bytes: u64) -> Result<sled::Db, OpenError> {
    remove_unfinished(dir)?;
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        // sled panics on some damage.
        let opened = patiently(|| catch_unwind(AssertUnwindSafe(|| config.open())));
        match opened.map_err(|_| OpenError::Damaged(format!("sled can't read {}", dir.display())))? {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                if Instant::now() >= patience {
                    return Err(OpenError::InUse(dir.to_owned()));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(sled::Error::Io(source)) => return Err(OpenError::Io { path: dir.to_owned(), source }),
            Err(error) => return Err(damaged(error)),
        }
    }
}

/// An opening that was killed or met a full disk leaves the beginning of a snapshot, and sled's next opening takes that for a snapshot.
fn remove_unfinished(dir: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy());
        if name.is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating")) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// A new store, unless something says that there was one.
fn create(dir: &Path, db: &Table, marker: Option<Marker>, folders: &(Folder, Folder), platter: &dyn Platter) -> Result<(), OpenError> {
    if let Some(marker) = marker {
        return Err(emptied(dir, marker));
    }
    if !db.is_new() {
        return Err(OpenError::Damaged("rows without a schema".to_owned()));
    }
    for folder in [&folders.0, &folders.1] {
        let path = folder.path();
        for segment in folder.segments().map_err(at(path))? {
            let path: PathBuf = folder.segment(segment);
            if fs::metadata(&path).map_err(at(&path))?.len() > 0 {
                return Err(OpenError::Damaged(format!("{} holds data, but the store is empty", path.display())));
            }
        }
    }
    let mut random = [0; 20];
    getrandom::fill(&mut random).map_err(damaged)?;
    let (store, epoch) = random.split_first_chunk::<16>().map(|(store, epoch)| (*store, epoch)).unwrap_or_default();
    let epoch = epoch.iter().fold(0, |epoch: u32, octet| epoch << 8 | u32::from(*octet));
    let state = State { next_event: 1, oldest_event: 1, ..State::default() };
    let rows = BTreeMap::from([
        (keys::IDENTITY.to_vec(), Some(Identity { store, epoch }.to_row().map_err(damaged)?)),
        (keys::STATE.to_vec(), Some(encode(&state).map_err(damaged)?)),
    ]);
    db.found(rows, platter)
}

fn own_row(db: &Table, key: &[u8]) -> Result<sled::IVec, OpenError> {
    db.get(key).map_err(damaged)?.ok_or_else(|| damaged("the store's own rows are missing"))
}

fn identity(db: &Table) -> Result<Identity, OpenError> {
    match own_row(db, keys::IDENTITY)?.split_first() {
        Some((&SCHEMA, row)) => decode(row, "the store's identity").map_err(damaged),
        Some((&found, _)) if found > SCHEMA => Err(OpenError::Newer { found, known: SCHEMA }),
        Some((&found, _)) if found > 0 => Err(OpenError::Older { found }),
        _ => Err(damaged("no schema")),
    }
}

fn state(db: &Table) -> Result<State, OpenError> {
    decode(&own_row(db, keys::STATE)?, "the store's state").map_err(damaged)
}

fn check(dir: &Path, marker: Option<Marker>, identity: &Identity, state: &State) -> Result<(), OpenError> {
    let Some(marker) = marker else { return Ok(()) };
    if marker.store != identity.store {
        return Err(OpenError::Foreign { marker: marker::path(dir) });
    }
    if marker.next_event > state.next_event {
        return Err(OpenError::Behind { found: state.next_event.saturating_sub(1), recorded: marker.next_event.saturating_sub(1) });
    }
    Ok(())
}

/// Beyond the last durable commit lies at most one that was being made. Where a second follows it, the first was acknowledged, and sled
/// lost it.
fn check_segments(events: &Folder, state: &State) -> Result<(), OpenError> {
    let found = state.next_event.saturating_sub(1);
    match events.beyond(state.events).map_err(damaged)? {
        (0 | 1, _) => Ok(()),
        (_, last) => Err(OpenError::Behind { found, recorded: last.unwrap_or(found) }),
    }
}

/// What a crash may have left of the events' last segment; those before it were synced as they ended.
fn mend(db: &Table, events: &Folder, state: &State) -> Result<(), OpenError> {
    let mut mended = Ok(());
    db.appended(|appended| {
        if mended.is_ok() && appended.segment == state.events.segment {
            mended = appended.mend(events);
        }
    })?;
    let path = events.segment(state.events.segment);
    mended.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => damaged(format_args!("{} is missing or too short", path.display())),
        _ => at(&path)(error),
    })
}

/// Jobs that ran when the process ended are due at once.
fn rescue(db: &Table, log: &mut Log, mut state: State, options: &Options) -> Result<State, OpenError> {
    let mut rows = Overlay::new(db);
    let rescued = outbox::rescue(&mut rows, &mut state, (options.clock)()).map_err(|error: StoreError| damaged(error))?;
    if rescued > 0 {
        tracing::info!(jobs = rescued, "jobs that were being delivered when the last run ended are due again");
        let mut rows = rows.into_rows();
        rows.insert(keys::STATE.to_vec(), Some(encode(&state).map_err(damaged)?));
        log.write(None, &rows).and_then(|()| log.sync()).map_err(damaged)?;
        db.apply(rows);
    }
    Ok(state)
}

/// sled's own files: the log, its settings, which sled never syncs, and what it wrote at this open.
pub fn sync_all(dir: &Path, platter: &dyn Platter) -> Result<(), OpenError> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        if path.is_file() {
            let file = File::open(&path).map_err(at(&path))?;
            platter.sync(&file, &path).map_err(at(&path))?;
        }
    }
    platter.sync_dir(dir).map_err(at(dir))
}
