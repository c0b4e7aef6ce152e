//! The rows: one map from keys to values, most of it not in sled.
//!
//! **Where a row lies.** What was committed last lies in memory and in the [`journal`], which made it durable; from time to time all of it is
//! written to its place by a thread ([`keeper`]), and a new journal begun. The place of what only grows with people and events (persons,
//! dedupe keys, counts; see [`super::keys::in_runs`]) are runs ([`run`]): files in key order that never change and are merged as they become
//! many. The place of all else (jobs, timers, what waits) is sled, which gets each row once however often it changed meanwhile, and is small.
//! A row is looked for in memory, then in its place, the newest run first.
//!
//! **Why.** All in sled 0.34.7, ten million bounces of a million people took over 600 octets each of its file for some 110 of rows, since a
//! leaf is written anew with every tenth change and half-empty segments stay; the rate fell as its cache did; and opening read all of the
//! log since the last opening. Here an open reads what memory held, 32 MiB of journal at most twice.
//!
//! **The floor**: dedupe keys of expired events and counts of expired days are never removed one by one. What lies below the floor isn't
//! there for any reader, and goes for good when runs are merged.
//!
//! Not durable is never visible: [`Log::write`] makes a commit durable, then [`Table::apply`] lets it be seen. The folder holds sled's files,
//! `journal/` and `runs/`; what lies there and isn't named by the manifest, a row in sled, is left of something broken off.

mod filter;
mod journal;
mod keeper;
mod load;
mod manifest;
mod patient;
mod range;
mod run;

use std::{
    collections::BTreeMap,
    fs,
    ops::{Bound, RangeBounds},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use sled::IVec;

use self::{
    journal::Commit,
    manifest::Manifest,
    range::{Merged, Source, Walk, borrowed, first_of, frozen, last_of},
    run::{Row, Run},
};
pub use self::{journal::Replayed, keeper::Log, load::Load, patient::patiently, range::Range};
use super::{
    OpenError, Platter, StoreError, keys, open,
    overlay::Rows,
    rows::State,
    segments::{self, Appended, Folder},
};

/// For one of [`super::Options::memory_rows`], memory holds so many octets; and one row that is gone for so many of them: a search for what is
/// due first passes each of these.
const OCTETS_PER_ROW: usize = 250;
const ROWS_PER_GONE: usize = 12;

/// What a row takes beside its octets, about.
const ROW_OCTETS: usize = 100;

/// Rows in memory. `None`: it is gone, and what older places hold is not to be seen.
#[derive(Default)]
pub struct Mem {
    rows: BTreeMap<IVec, Option<IVec>>,
    octets: usize,
    gone: usize,
}

#[derive(Default)]
struct Levels {
    active: Mem,
    /// Is being written to its place.
    frozen: Option<Arc<Mem>>,
    /// The newest first.
    runs: Vec<Arc<Run>>,
}

pub struct Table {
    dir: PathBuf,
    memory_rows: usize,
    sled: sled::Db,
    levels: RwLock<Levels>,
    manifest: Mutex<Manifest>,
    /// Events below have expired, days before too.
    event_floor: AtomicU64,
    day_floor: AtomicU32,
}

impl Mem {
    /// How many rows it is worth, see [`super::Options::memory_rows`].
    fn fill(&self) -> usize {
        self.rows.len().max(self.octets / OCTETS_PER_ROW).max(self.gone.saturating_mul(ROWS_PER_GONE))
    }

    fn insert(&mut self, key: IVec, value: Option<IVec>) {
        let size = |value: Option<&IVec>| value.map_or(0, |value| value.len());
        self.gone += usize::from(value.is_none());
        self.octets += size(value.as_ref()) + key.len() + ROW_OCTETS;
        let length = key.len();
        if let Some(old) = self.rows.insert(key, value) {
            self.gone -= usize::from(old.is_none());
            self.octets = self.octets.saturating_sub(size(old.as_ref()) + length + ROW_OCTETS);
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(old) = self.rows.remove(key) {
            self.gone -= usize::from(old.is_none());
            self.octets = self.octets.saturating_sub(old.map_or(0, |old| old.len()) + key.len() + ROW_OCTETS);
        }
    }
}

impl Table {
    /// Opens what is there, without the journal; without any rows it is a new one, see [`Table::found`]. Changes nothing but what sled tidies.
    pub fn open(dir: &Path, cache_bytes: u64, memory_rows: usize) -> Result<Table, OpenError> {
        let sled = open::open_sled(dir, cache_bytes)?;
        let manifest = Manifest::read(&sled)?;
        let runs = manifest.runs.iter().map(|run| Run::open(&run_path(dir, run.number)).map(Arc::new));
        let runs = runs.collect::<Result<Vec<_>, _>>().map_err(open::damaged)?;
        Ok(Table {
            dir: dir.to_owned(),
            memory_rows: memory_rows.max(1),
            sled,
            levels: RwLock::new(Levels { runs, ..Levels::default() }),
            manifest: Mutex::new(manifest),
            event_floor: AtomicU64::new(0),
            day_floor: AtomicU32::new(0),
        })
    }

    /// Fills memory from the journal.
    pub fn replay(&self) -> Result<Replayed, OpenError> {
        let first = self.manifest().journal;
        journal::replay(&Folder::new(journal_dir(&self.dir)), first, |commit| commit.rows().map(|rows| self.apply(rows)))
    }

    /// What the journal's commits appended to the events, in their order.
    pub fn appended(&self, mut each: impl FnMut(Appended<'_>)) -> Result<(), OpenError> {
        let first = self.manifest().journal;
        let each = |commit: Commit<'_>| {
            commit.appended.into_iter().for_each(&mut each);
            Some(())
        };
        journal::replay(&Folder::new(journal_dir(&self.dir)), first, each).map(drop)
    }

    /// Whether nothing was ever put here.
    pub fn is_new(&self) -> bool {
        self.sled.is_empty()
    }

    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn levels(&self) -> RwLockReadGuard<'_, Levels> {
        self.levels.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first rows of a new one, into sled; the caller syncs sled's files.
    pub fn found(&self, rows: Rows, platter: &dyn Platter) -> Result<(), OpenError> {
        self.found_folders(platter)?;
        let mut batch = sled::Batch::default();
        rows.into_iter().filter_map(|(key, value)| Some((key, value?))).for_each(|(key, value)| batch.insert(key, value));
        batch.insert(keys::MANIFEST, self.manifest().to_row().map_err(open::damaged)?);
        patiently(|| self.sled.apply_batch(batch).and_then(|()| self.sled.flush())).map(drop).map_err(open::damaged)
    }

    /// With an empty journal: from then on one that is missing is damage.
    fn found_folders(&self, platter: &dyn Platter) -> Result<(), OpenError> {
        let journal = Folder::new(journal_dir(&self.dir));
        for each in [journal.path(), &runs_dir(&self.dir)] {
            open::make_dir(each)?;
        }
        let path = journal.segment(0);
        let file = segments::create(&path).map_err(open::at(&path))?;
        platter.sync(&file, &path).map_err(open::at(&path))?;
        platter.sync_dir(journal.path()).map_err(open::at(journal.path()))
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        Ok(self.find(key)?.filter(|value| self.is_visible(key, value)))
    }

    fn find(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let levels = self.levels();
        if let Some(value) = levels.active.rows.get(key).or_else(|| levels.frozen.as_ref()?.rows.get(key)) {
            return Ok(value.clone());
        }
        if !keys::in_runs(key) {
            drop(levels);
            return Ok(self.sled.get(key)?);
        }
        let hash = filter::hash(key);
        for run in &levels.runs {
            if let Some(value) = run.get(key, hash)? {
                return Ok(value);
            }
        }
        Ok(None)
    }

    fn is_visible(&self, key: &[u8], value: &[u8]) -> bool {
        match key.first() {
            Some(&keys::DEDUPE) => keys::event_of_dedupe(value).is_none_or(|event| event >= self.event_floor.load(Ordering::Relaxed)),
            Some(&keys::DAY) => keys::day_of(key).is_none_or(|day| day >= self.day_floor.load(Ordering::Relaxed)),
            _ => true,
        }
    }

    /// From a commit on what has expired is gone.
    pub fn set_floor(&self, state: &State) {
        self.event_floor.store(state.oldest_event, Ordering::Relaxed);
        self.day_floor.store(state.oldest_day, Ordering::Relaxed);
    }

    /// In the order of the keys. Nothing may be applied until it is dropped.
    pub fn range<K: AsRef<[u8]>, R: RangeBounds<K>>(&self, range: R) -> Range<'_> {
        let own = |bound: Bound<&K>| bound.map(|key| IVec::from(key.as_ref()));
        let (mut from, to) = (own(range.start_bound()), own(range.end_bound()));
        // Not past every day that has expired.
        let floor = keys::first_of_day(self.day_floor.load(Ordering::Relaxed));
        if matches!(&from, Bound::Included(key) if key.first() == Some(&keys::DAY) && **key < *floor) {
            from = Bound::Included(floor.into());
        }
        let levels = self.levels();
        let active = move |from: Bound<&[u8]>| first_of(&self.levels().active, from);
        let mut sources: Vec<Source<'_>> = vec![Box::new(Walk::new(from.clone(), active))];
        sources.extend(levels.frozen.iter().map(|map| frozen(Arc::clone(map), from.clone())));
        if keys::runs_hold_some(borrowed(&from), borrowed(&to)) {
            let start = match &from {
                Bound::Included(key) | Bound::Excluded(key) => key.clone(),
                Bound::Unbounded => IVec::default(),
            };
            let after = matches!(from, Bound::Excluded(_)).then(|| start.clone());
            sources.extend(levels.runs.iter().map(|run| -> Source<'_> {
                let after = after.clone();
                Box::new(run.iter(&start).skip_while(move |row| matches!((row, &after), (Ok((key, _)), Some(after)) if key == after)))
            }));
        }
        drop(levels);
        let rows = self.sled.range::<&[u8], _>((borrowed(&from), Bound::Unbounded));
        let rows = rows.map(|row| row.map(|(key, value)| (key, Some(value))).map_err(StoreError::from));
        sources.push(Box::new(rows.filter(|row| row.as_ref().map_or(true, |(key, _)| &**key != keys::MANIFEST))));
        Range::new(self, Merged::new(sources), to)
    }

    /// The last row from one key to before another, of those whose place is sled.
    pub fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<(IVec, IVec)>, StoreError> {
        let levels = self.levels();
        let mut to = IVec::from(to);
        while from < &*to {
            let bound = Bound::Excluded(&*to);
            let mut rows: Vec<Row> = last_of(&levels.active, from, bound).into_iter().collect();
            rows.extend(levels.frozen.as_ref().and_then(|map| last_of(map, from, bound)));
            let sled = self.sled.range::<&[u8], _>((Bound::Included(from), bound)).next_back().transpose()?;
            rows.extend(sled.map(|(key, value)| (key, Some(value))));
            // Of one key the first is the newest; max_by_key gives the last.
            match rows.into_iter().rev().max_by(|a, b| a.0.cmp(&b.0)) {
                Some((key, Some(value))) => return Ok(Some((key, value))),
                Some((key, None)) => to = key,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Lets rows be seen.
    pub fn apply(&self, rows: Rows) {
        let mut levels = self.levels.write().unwrap_or_else(PoisonError::into_inner);
        let Levels { active, frozen, .. } = &mut *levels;
        for (key, value) in rows {
            let key = IVec::from(key);
            // A row that its place never held leaves nothing behind: what is due first would else be looked for among many that are gone.
            let hides = value.is_some()
                || keys::in_runs(&key)
                || frozen.as_ref().is_some_and(|map| map.rows.contains_key(&key))
                || self.sled.contains_key(&key).unwrap_or(true);
            match hides {
                true => active.insert(key, value.map(IVec::from)),
                false => active.remove(&key),
            }
        }
    }

    /// Of the folder's files.
    pub fn octets(&self) -> Result<u64, StoreError> {
        let runs: u64 = self.levels().runs.iter().map(|run| run.octets()).sum();
        let mut journal = 0;
        for entry in fs::read_dir(journal_dir(&self.dir)).map_err(StoreError::read)? {
            journal += entry.and_then(|entry| entry.metadata()).map_or(0, |metadata| metadata.len());
        }
        Ok(self.sled.size_on_disk()?.saturating_add(runs).saturating_add(journal))
    }
}

pub fn journal_dir(dir: &Path) -> PathBuf {
    dir.join("journal")
}

pub fn runs_dir(dir: &Path) -> PathBuf {
    dir.join("runs")
}

fn run_path(dir: &Path, number: u32) -> PathBuf {
    runs_dir(dir).join(format!("{number:08}.run"))
}
