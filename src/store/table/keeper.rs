//! Writing memory's rows to their place, and merging runs, beside the writer.
//!
//! **Memory full**: the writer begins a new segment of the journal and freezes what memory holds; a thread writes that to a run and to sled.
//! The one batch for sled holds the [`Manifest`] too: once it is synced, the runs it names count and the journal before the new segment is
//! removed. Broken off at any moment, the old manifest still holds, and with it the old journal.
//!
//! **Merging**: see [`super::manifest`]. Another thread does that, and writes the manifest as well.
//!
//! The writer waits for these threads only when it has filled its memory [`MOST`] times over meanwhile. What they fail at is told to the
//! writer, and is final as any failure.

use std::{
    fs::{self, File, OpenOptions},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use sled::IVec;

use super::{
    super::{
        OpenError, Platter, StoreError, keys, open,
        overlay::Rows,
        rows::Tail,
        segments::{Appended, Folder, Stream},
    },
    Mem, Table,
    journal::{Journal, Replayed},
    journal_dir,
    manifest::{Manifest, Named},
    patient::patiently,
    range::{Merged, Source},
    run::{Building, Run},
    run_path, runs_dir,
};

/// Memory may be filled so many times while the last filling is still being written.
const MOST: usize = 4;

/// The journal is begun anew at this size: an open reads it, and the one before where that isn't written to its place yet.
const JOURNAL_OCTETS: u64 = 32 << 20;

/// What the threads and the writer share.
pub struct Works<P> {
    pub table: Arc<Table>,
    platter: P,
    stop: AtomicBool,
    failed: Mutex<Option<StoreError>>,
}

/// The writer's end: makes commits durable.
pub struct Log {
    works: Arc<Works<Arc<dyn Platter>>>,
    journal: Journal,
    flush: Option<mpsc::Sender<u32>>,
    threads: Vec<JoinHandle<()>>,
}

impl Log {
    /// Cuts off what was torn, removes what was left behind, and starts the threads.
    pub fn open(table: Arc<Table>, replayed: &Replayed, platter: Arc<dyn Platter>) -> Result<Log, OpenError> {
        let (dir, runs) = (&table.dir, runs_dir(&table.dir));
        for each in [&journal_dir(dir), &runs] {
            open::make_dir(each)?;
        }
        let journal = Journal::open(&journal_dir(dir), replayed, Arc::clone(&platter))?;
        let wanted: Vec<_> = table.manifest().runs.iter().map(|run| run_path(dir, run.number)).collect();
        for entry in fs::read_dir(&runs).map_err(open::at(&runs))? {
            let path = entry.map_err(open::at(&runs))?.path();
            if !wanted.contains(&path) {
                fs::remove_file(&path).map_err(open::at(&path))?;
            }
        }
        platter.sync_dir(&runs).map_err(open::at(&runs))?;
        let works = Arc::new(Works::new(table, platter));
        let (flush, flushes) = mpsc::channel::<u32>();
        let (merge, merges) = mpsc::channel::<()>();
        let flusher = {
            let works = Arc::clone(&works);
            move || {
                for journal in flushes {
                    works.attempt(|works| works.flush(journal));
                    let _ = merge.send(());
                }
            }
        };
        let merger = {
            let works = Arc::clone(&works);
            move || {
                for () in merges {
                    works.attempt(|works| works.merge_all());
                }
            }
        };
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(open::at(&runs))
        };
        let threads = vec![spawn("store-flush", Box::new(flusher))?, spawn("store-merge", Box::new(merger))?];
        Ok(Log { works, journal, flush: Some(flush), threads })
    }

    /// A commit into the journal; it is durable with [`Log::sync`].
    pub fn write(&mut self, appended: Option<Appended<'_>>, rows: &Rows) -> Result<(), StoreError> {
        self.journal.write(appended, rows)
    }

    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.journal.sync()
    }

    /// After a commit was applied: sees to it that memory doesn't grow without bound. `gate` keeps readers out as long as what it returns lives;
    /// `beat` is called while this waits; what only the journal makes durable, `events` have synced when a new one begins.
    pub fn keep<G>(&mut self, events: &mut Stream, gate: impl FnOnce() -> G, beat: impl Fn()) -> Result<(), StoreError> {
        self.works.check()?;
        let full = self.works.table.memory_rows;
        loop {
            let (fill, underway) = {
                let levels = self.works.table.levels();
                (levels.active.fill(), levels.frozen.is_some())
            };
            if !underway {
                if fill < full && self.journal.octets() < JOURNAL_OCTETS {
                    return Ok(());
                }
                break;
            }
            if fill < full.saturating_mul(MOST) {
                return Ok(());
            }
            beat();
            std::thread::sleep(Duration::from_millis(1));
            self.works.check()?;
        }
        events.sync().map_err(StoreError::fatal)?;
        let segment = self.journal.roll()?;
        let guard = gate();
        self.works.table.freeze();
        drop(guard);
        match self.flush.as_ref().map(|flush| flush.send(segment)) {
            Some(Ok(())) => Ok(()),
            _ => Err(StoreError::fatal("the thread that writes rows to their place has ended")),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.end();
    }
}

impl Log {
    /// Ends the threads, then the journal; gives where that ends.
    pub fn close(&mut self) -> Result<Tail, StoreError> {
        self.end();
        self.journal.close()?;
        Ok(self.journal.tail())
    }

    /// Waits until rows are no longer written to their place, nor runs merged.
    fn end(&mut self) {
        self.works.stop.store(true, Ordering::Relaxed);
        self.flush = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Table {
    /// What memory holds is to be written to its place.
    pub fn freeze(&self) {
        let mut levels = self.levels.write().unwrap_or_else(PoisonError::into_inner);
        levels.frozen = Some(Arc::new(std::mem::take(&mut levels.active)));
    }
}

impl<P: Platter> Works<P> {
    pub fn new(table: Arc<Table>, platter: P) -> Works<P> {
        Works { table, platter, stop: AtomicBool::new(false), failed: Mutex::new(None) }
    }

    fn check(&self) -> Result<(), StoreError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// A panic (sled has some) is a failure as well.
    fn attempt(&self, work: impl FnOnce(&Works<P>) -> Result<(), StoreError>) {
        if self.check().is_err() {
            return;
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(self)));
        let done =
            done.unwrap_or_else(|_| Err(StoreError::read("a panic while rows were written to their place; its message is in the log")));
        if let Err(error) = done {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.into_fatal());
        }
    }

    /// What is frozen goes to its place; `journal` is the segment from which on the journal is still needed then.
    pub fn flush(&self, journal: u32) -> Result<(), StoreError> {
        let Some(frozen) = self.table.levels().frozen.clone() else { return Ok(()) };
        let run = self.write_run(&frozen)?;
        let mut batch = sled::Batch::default();
        for (key, value) in frozen.rows.iter().filter(|(key, _)| !keys::in_runs(key)) {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let mut manifest = self.table.manifest();
        let mut next = Manifest { journal, ..manifest.clone() };
        next.runs.splice(0..0, run.iter().map(|(named, _)| *named));
        next.next = run.as_ref().map_or(next.next, |(named, _)| named.number.saturating_add(1)).max(next.next);
        self.commit(batch, &mut manifest, next)?;
        {
            let mut levels = self.table.levels.write().unwrap_or_else(PoisonError::into_inner);
            levels.runs.splice(0..0, run.map(|(_, run)| run));
            levels.frozen = None;
        }
        drop(manifest);
        let folder = Folder::new(journal_dir(&self.table.dir));
        for old in folder.segments().map_err(StoreError::read)?.into_iter().filter(|number| *number < journal) {
            folder.unlink(old).map_err(StoreError::read)?;
        }
        Ok(())
    }

    /// A number that no other file has.
    fn number(&self) -> u32 {
        let mut manifest = self.table.manifest();
        manifest.next = manifest.next.saturating_add(1);
        manifest.next
    }

    fn write_run(&self, frozen: &Mem) -> Result<Option<(Named, Arc<Run>)>, StoreError> {
        let mut rows = frozen.rows.iter().filter(|(key, _)| keys::in_runs(key)).peekable();
        if rows.peek().is_none() {
            return Ok(None);
        }
        let number = self.number();
        let path = run_path(&self.table.dir, number);
        let mut building = Building::new(&path, u64::try_from(frozen.rows.len()).unwrap_or(0)).map_err(StoreError::fatal)?;
        rows.try_for_each(|(key, value)| building.push(key, value.as_deref())).map_err(StoreError::fatal)?;
        self.end(building, number, 0).map(Some)
    }

    fn end(&self, building: Building, number: u32, level: u8) -> Result<(Named, Arc<Run>), StoreError> {
        building.end(&self.platter).map_err(StoreError::fatal)?;
        self.platter.sync_dir(&runs_dir(&self.table.dir)).map_err(StoreError::fatal)?;
        let run = Run::open(&run_path(&self.table.dir, number))?;
        Ok((Named { number, level, octets: run.octets() }, Arc::new(run)))
    }

    /// Makes a manifest hold, with what goes to sled beside it.
    fn commit(&self, mut batch: sled::Batch, manifest: &mut Manifest, next: Manifest) -> Result<(), StoreError> {
        batch.insert(keys::MANIFEST, next.to_row()?);
        let (sled, path) = (&self.table.sled, self.table.dir.join("db"));
        patiently(|| sled.apply_batch(batch).and_then(|()| sled.flush()))?;
        let file: File = OpenOptions::new().write(true).open(&path).map_err(StoreError::fatal)?;
        // sled's flush makes nothing durable on Linux.
        self.platter.sync(&file, &path).map_err(StoreError::fatal)?;
        *manifest = next;
        Ok(())
    }

    /// Merges until nothing is due, or the store is closed.
    pub fn merge_all(&self) -> Result<(), StoreError> {
        while !self.stop.load(Ordering::Relaxed) {
            let due = self.table.manifest().due();
            match due {
                Some((place, count)) => self.merge(place, count)?,
                None => break,
            }
        }
        Ok(())
    }

    /// All into one.
    pub fn merge_whole(&self) -> Result<(), StoreError> {
        let count = self.table.levels().runs.len();
        if count > 1 { self.merge(0, count) } else { Ok(()) }
    }

    /// Runs that follow each other, the newest at `place`, become one. New ones may come before them meanwhile.
    fn merge(&self, place: usize, count: usize) -> Result<(), StoreError> {
        let (named, runs, whole) = {
            let manifest = self.table.manifest();
            let named: Vec<Named> = manifest.runs.iter().skip(place).take(count).copied().collect();
            let runs = self.table.levels().runs.iter().skip(place).take(count).cloned().collect::<Vec<_>>();
            (named, runs, place + count == manifest.runs.len())
        };
        let number = self.number();
        let path = run_path(&self.table.dir, number);
        let Some(building) = self.merged(&runs, whole, &path)? else {
            return Ok(());
        };
        let level = named.iter().map(|run| run.level).max().unwrap_or(0).saturating_add(1);
        let (one, run) = self.end(building, number, level)?;
        let mut manifest = self.table.manifest();
        let first = manifest.runs.iter().position(|each| Some(each) == named.first());
        let first = first.ok_or_else(|| StoreError::fatal("runs went away while they were merged"))?;
        let mut next = manifest.clone();
        next.runs.splice(first..first + count, [one]);
        self.commit(sled::Batch::default(), &mut manifest, next)?;
        self.table.levels.write().unwrap_or_else(PoisonError::into_inner).runs.splice(first..first + count, [run]);
        drop(manifest);
        for old in named {
            match fs::remove_file(run_path(&self.table.dir, old.number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError::fatal(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// `None`: the store is being closed.
    fn merged(&self, runs: &[Arc<Run>], whole: bool, path: &std::path::Path) -> Result<Option<Building>, StoreError> {
        let most = runs.iter().map(|run| run.rows()).sum();
        let mut building = Building::new(path, most).map_err(StoreError::fatal)?;
        let sources = runs.iter().map(|run| -> Source<'_> { Box::new(run.iter(&[])) }).collect();
        for row in Merged::new(sources) {
            let (key, value): (IVec, Option<IVec>) = row?;
            let wanted = match &value {
                Some(value) => self.table.is_visible(&key, value),
                // Where something older may lie, that it is gone has to be told.
                None => !whole,
            };
            if wanted {
                building.push(&key, value.as_deref()).map_err(StoreError::fatal)?;
            }
            if building.rows().is_multiple_of(1_024) && self.stop.load(Ordering::Relaxed) {
                drop(building);
                let _ = fs::remove_file(path);
                return Ok(None);
            }
        }
        Ok(Some(building))
    }
}
