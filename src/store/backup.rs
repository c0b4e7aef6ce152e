//! `backup`: the whole store as one stream, while it is written to. What comes out is the store as it was at one commit near the end.
//!
//! Segments only grow, so they are copied as they are. The tree is walked in pieces while the writer goes on; from the walk's beginning the
//! writer notes the keys that it changes ([`Notes`]), and those rows are copied again, round after round, until few are left. These are read
//! while no commit can come between, with the state that says how far the segments reach: the writer waits for that read and for nothing
//! else, however slowly the stream is taken.
//!
//! Nothing expires meanwhile. Only one backup or one [`super::Store::forget`] runs at a time: a copy must not hold half of what is overwritten.

use std::{
    collections::HashSet,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
};

use super::{
    Store, StoreError,
    archive::{Head, Which, Writing},
    erase,
    overlay::Rows,
    rows::{State, Tail},
    segments::Folder,
};

/// Rows read while the gate is held.
const CHUNK: usize = 500;

/// Octets of a segment in one piece.
const PIECE: u64 = 512 << 10;

/// So few changed rows are read while the writer waits, unless [`ROUNDS`] have passed.
const FEW: usize = 2_000;
const ROUNDS: usize = 16;

/// So many changed keys are noted at most, some 100 octets each.
const MOST: usize = 500_000;

/// What was backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// The last event in it, 0 for none.
    pub last_event: u64,
    pub rows: u64,
    pub octets: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("a backup is being made or an address forgotten just now; try again when that is done")]
    Busy,
    #[error("more was recorded meanwhile than can be noted, since the backup is taken too slowly; write it to a faster disk")]
    TooSlow,
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever takes the stream failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// What the writer and whoever backs up or forgets share.
#[derive(Default)]
pub struct Upkeep {
    alone: Mutex<()>,
    notes: Mutex<Weak<Notes>>,
}

/// The keys that the writer changed where the walk has been already.
pub struct Notes(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// The walk has come to here; `None`: it is over.
    walked: Option<Vec<u8>>,
    keys: HashSet<Vec<u8>>,
    too_many: bool,
}

impl Upkeep {
    /// `None` while another holds it.
    pub fn alone(&self) -> Option<MutexGuard<'_, ()>> {
        match self.alone.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Whether a backup runs: nothing may expire then.
    pub fn backing_up(&self) -> bool {
        self.notes().is_some()
    }

    /// The writer's rows, just before they are applied; the gate is held.
    pub fn note(&self, rows: &Rows) {
        if let Some(notes) = self.notes() {
            notes.note(rows);
        }
    }

    fn notes(&self) -> Option<Arc<Notes>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// They end with the last handle to them.
    fn begin(&self) -> Arc<Notes> {
        let notes = Arc::new(Notes(Mutex::new(Noted { walked: Some(Vec::new()), ..Noted::default() })));
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&notes);
        notes
    }
}

impl Notes {
    fn inner(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, rows: &Rows) {
        let mut noted = self.inner();
        let Noted { walked, keys, too_many } = &mut *noted;
        // What the walk has yet to come to it will find as it is then.
        let passed = rows.keys().filter(|key| walked.as_ref().is_none_or(|walked| *key <= walked));
        for key in passed {
            if keys.len() >= MOST {
                *too_many = true;
                return;
            }
            if !keys.contains(key) {
                keys.insert(key.clone());
            }
        }
    }

    fn walked(&self, to: Option<Vec<u8>>) {
        self.inner().walked = to;
    }

    fn take(&self) -> Result<Vec<Vec<u8>>, BackupError> {
        let mut noted = self.inner();
        if noted.too_many {
            return Err(BackupError::TooSlow);
        }
        Ok(std::mem::take(&mut noted.keys).into_iter().collect())
    }
}

impl Store {
    /// Writes the whole store to `out`, with `key` (the daemon's own, see `config::own_key`) where there is one. `progress` hears of the octets
    /// done and about how many there will be. Blocks; callers of [`Store::record`] go on meanwhile.
    ///
    /// # Errors
    /// See [`BackupError`]; what was written is no backup then.
    pub fn backup(&self, key: Option<&[u8]>, out: &mut dyn Write, progress: &mut dyn FnMut(u64, u64)) -> Result<BackedUp, BackupError> {
        let _alone = self.shared.upkeep.alone().ok_or(BackupError::Busy)?;
        let notes = self.shared.upkeep.begin();
        let begun = self.shared.read()?.clone();
        let identity = self.shared.db.get(super::keys::IDENTITY)?;
        let schema = identity.as_deref().and_then(<[u8]>::first).copied().unwrap_or(super::rows::SCHEMA);
        let head = Head { schema, store: self.shared.identity.store, begun: begun.last_at };
        let total = self.size(&begun)?;
        let writing = Writing::new(out, &head)?;
        let mut copy = Copy { store: self, notes, writing, events: start(begun.events), raw: start(begun.raw), progress, total };
        if let Some(key) = key {
            copy.writing.key(key)?;
        }
        copy.segments(&begun)?;
        copy.walk()?;
        let end = copy.catch_up()?;
        copy.segments(&end)?;
        let (rows, octets) = copy.writing.end()?;
        Ok(BackedUp { last_event: end.next_event.saturating_sub(1), rows, octets })
    }

    /// About how large the backup will be: some rows lie there more than once.
    fn size(&self, state: &State) -> Result<u64, StoreError> {
        let mut total = self.shared.db.octets()?;
        for (folder, tail) in [(&self.shared.events, state.events), (&self.shared.raw, state.raw)] {
            for segment in tail.first..=tail.segment {
                total = total.saturating_add(folder.length(segment)?.unwrap_or(0));
            }
        }
        Ok(total)
    }
}

fn start(tail: Tail) -> (u32, u64) {
    (tail.first, 0)
}

struct Copy<'a> {
    store: &'a Store,
    notes: Arc<Notes>,
    writing: Writing<'a>,
    /// Up to where each stream is copied: segment and offset.
    events: (u32, u64),
    raw: (u32, u64),
    progress: &'a mut dyn FnMut(u64, u64),
    total: u64,
}

impl Copy<'_> {
    /// Goes on with the segments up to where `state` says that they reach.
    fn segments(&mut self, state: &State) -> Result<(), BackupError> {
        let store = self.store;
        let shared = &store.shared;
        self.events = self.stream(Which::Events, &shared.events, self.events, state.events)?;
        self.raw = self.stream(Which::Raw, &shared.raw, self.raw, state.raw)?;
        Ok(())
    }

    fn stream(&mut self, which: Which, folder: &Folder, from: (u32, u64), tail: Tail) -> Result<(u32, u64), BackupError> {
        let (mut segment, mut offset) = from;
        loop {
            let open = segment >= tail.segment;
            let end = if open { Some(tail.length) } else { folder.length(segment)? };
            let Some(end) = end else {
                // A step of expiry that was under way as we began; [`super::restore`] sees that no other is missing.
                (segment, offset) = (segment.saturating_add(1), 0);
                continue;
            };
            while offset < end {
                let to = end.min(offset.saturating_add(PIECE));
                let Some(bytes) = folder.read(segment, offset, Some(to))? else { break };
                self.writing.piece(which, segment, offset, &bytes)?;
                offset = to;
                self.tell();
            }
            if open {
                return Ok((segment, offset));
            }
            if end == 0 {
                self.writing.piece(which, segment, 0, &[])?;
            }
            (segment, offset) = (segment.saturating_add(1), 0);
        }
    }

    /// All rows as each is when the walk comes by.
    fn walk(&mut self) -> Result<(), BackupError> {
        let shared = &self.store.shared;
        let mut from = Vec::new();
        loop {
            let gate = shared.read()?;
            let chunk: Vec<_> = shared.db.range(from..).take(CHUNK).collect::<Result<_, _>>()?;
            let last = chunk.last().map(|(key, _)| key.to_vec());
            self.notes.walked(last.clone().filter(|_| chunk.len() == CHUNK));
            drop(gate);
            for (key, value) in &chunk {
                self.row(key, Some(value))?;
            }
            self.tell();
            match last {
                Some(last) if chunk.len() == CHUNK => from = [&last, &[0][..]].concat(),
                _ => return Ok(()),
            }
        }
    }

    /// Copies what changed since, until nothing is missing; returns the state that goes with it.
    fn catch_up(&mut self) -> Result<State, BackupError> {
        let store = self.store;
        let shared = &store.shared;
        for round in 1.. {
            // Held, so that what is noted has been applied.
            let gate = shared.read()?;
            let keys = self.notes.take()?;
            if keys.len() <= FEW || round >= ROUNDS {
                let rows = keys.iter().map(|key| shared.db.get(key)).collect::<Result<Vec<_>, _>>()?;
                let state = gate.clone();
                drop(gate);
                keys.iter().zip(rows).try_for_each(|(key, row)| self.row(key, row.as_deref()))?;
                return Ok(state);
            }
            let state = gate.clone();
            drop(gate);
            for key in keys {
                let row = shared.db.get(&key)?;
                self.row(&key, row.as_deref())?;
            }
            self.segments(&state)?;
        }
        Err(BackupError::TooSlow)
    }

    fn row(&mut self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        // That remains of whom was forgotten lie in sled's own file, which isn't copied.
        if key == erase::INTENT { Ok(()) } else { self.writing.row(key, value) }
    }

    fn tell(&mut self) {
        let done = self.writing.octets();
        (self.progress)(done, self.total.max(done));
    }
}
