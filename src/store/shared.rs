//! What the writer and the readers share. Readers hold the gate while they read a few rows, so that they see whole commits; the writer holds it
//! while it applies one, which is durable by then.

use std::{
    fs::File,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Judge, Options, StoreError,
    backup::Upkeep,
    rows::{Identity, State},
    segments::Folder,
    table::Table,
};
use crate::ledger::Rules;

pub struct Shared {
    pub db: Arc<Table>,
    pub identity: Identity,
    pub events: Folder,
    pub raw: Folder,
    pub jobs_changed: watch::Sender<u64>,
    pub failure: watch::Sender<Option<StoreError>>,
    pub upkeep: Upkeep,
    /// The durable state.
    gate: RwLock<State>,
    /// `None` until the configuration's are there: no timer runs before, or it would find its sequence or report gone.
    rules: Mutex<Option<Arc<dyn Judge>>>,
    keep: Mutex<(Duration, Duration)>,
    started: Instant,
    /// Milliseconds since `started`.
    beat: AtomicU64,
    /// Locked; the last to be let go.
    _lock: File,
}

impl Shared {
    pub fn new(db: Arc<Table>, identity: Identity, state: State, folders: (Folder, Folder), options: &Options, lock: File) -> Shared {
        Shared {
            db,
            identity,
            events: folders.0,
            raw: folders.1,
            jobs_changed: watch::Sender::new(0),
            failure: watch::Sender::new(None),
            upkeep: Upkeep::default(),
            gate: RwLock::new(state),
            rules: Mutex::new(None),
            keep: Mutex::new((options.keep_events, options.keep_raw)),
            started: Instant::now(),
            beat: AtomicU64::new(0),
            _lock: lock,
        }
    }

    /// To read by: the durable state, while nothing else can become visible.
    pub fn read(&self) -> Result<RwLockReadGuard<'_, State>, StoreError> {
        let state = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.alive()?;
        Ok(state)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn alive(&self) -> Result<(), StoreError> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }

    pub fn fail(&self, error: StoreError) -> StoreError {
        let error = error.into_fatal();
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| error.clone());
            first
        });
        error
    }

    pub fn rules(&self) -> Arc<dyn Judge> {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        rules.unwrap_or_else(|| Arc::new(Rules::default()))
    }

    pub fn has_rules(&self) -> bool {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub fn set_rules(&self, rules: Arc<dyn Judge>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
    }

    /// For events, for raw mails.
    pub fn keep(&self) -> (Duration, Duration) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_keep(&self, events: Duration, raw: Duration) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = (events, raw);
    }

    pub fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(now, Ordering::Relaxed);
    }

    pub fn last_beat(&self) -> Instant {
        self.started + Duration::from_millis(self.beat.load(Ordering::Relaxed))
    }
}
