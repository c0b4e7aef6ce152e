//! What is known, on the platter: one writer thread, one atomic batch a group commit, really synced before anyone hears of it.
//!
//! Speaks of the domain (`record`, `claim`, `finish`, queries), never of keys and trees, so that another engine can stand in its place.
//!
//! **A commit**: whatever waits is folded in order ([`fold`]); raw mails are appended to their segments and fdatasynced; events and jobs are
//! appended to theirs, and once more, with all rows that changed, to the journal as one record, and that is fdatasynced. Only then do readers
//! see them, and callers get their answers. The events' segments are synced before the journal begins anew.
//! When any of that fails nobody can say what is on the platter: every caller gets [`StoreError::Fatal`] from then on, the heartbeat stops, and
//! the process must end; the next open finds what was durable.
//!
//! **Layout**, all under one folder of mode 0700: `store.lock`, `store.marker` (see [`marker`]), `store/` (the rows, see [`table`]: sled, the
//! journal, runs), `events/` and `raw/` (see [`segments`]). What [`restore`] and [`compact`] build lies beside these under names of its own
//! until it is whole.
//!
//! **Cost** of ten million bounces of a million people while the oldest expire, see `cargo bench --bench growth`: some 260 octets an event in
//! segments and 100 to 170 in rows.
//!
//! **Opening** reads the journal, 32 MiB as a rule, and the last bits of each run: tenths of a second, also after a kill.

mod archive;
mod backup;
mod beside;
mod command;
mod compact;
mod concern;
mod erase;
mod error;
mod expire;
mod fold;
mod gather;
mod jobs;
mod keys;
mod marker;
mod open;
mod options;
mod outbox;
mod overlay;
mod people;
mod person_row;
mod query;
mod restore;
mod rows;
mod scopes;
mod segments;
mod shared;
mod sled_log;
mod sweep;
mod table;
mod timers;
mod writer;

use std::{
    collections::BTreeMap,
    future::Future,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};

pub use self::{
    archive::verify,
    backup::{BackedUp, BackupError},
    beside::TodoItem,
    erase::{ForgetError, Forgotten},
    error::{OpenError, StoreError},
    options::{Clock, Disk, KeyOf, Options, Platter},
    outbox::KEEP_DONE,
    query::{By, EventFilter, JobCounts, JobFilter, Which},
    restore::{RestoreError, Restored, restore},
    scopes::{NAMES, OTHER},
};
use self::{
    command::{Command, Reply},
    shared::Shared,
};
use crate::{
    ledger::{Changes, Input, Known, Per, Rules, Scope},
    outbox::{Job, JobId, Want},
};

/// One input's fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The event's id; of a mail that came before, the first one's.
    pub event: u64,
    /// The very mail was recorded before: nothing was counted.
    pub duplicate: bool,
    /// Names of the triggers that fired.
    pub fired: Vec<String>,
    /// From this input on a domain is guarded: which, and after how many hard bounces.
    pub guarded: Option<(String, u64)>,
}

/// What becomes of a job after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    Done,
    /// Due again at `at`.
    Later {
        at: Timestamp,
        error: String,
    },
    Dead {
        error: String,
    },
    /// Not attempted after all: due at `at`, and the claim doesn't count.
    Released {
        at: Timestamp,
    },
}

/// What the store asks of the ledger.
pub trait Judge: Send + Sync {
    /// See [`Rules::reach`].
    fn reach(&self, per: Per) -> Option<SignedDuration>;
    /// See [`Rules::asks_usual`].
    fn asks_usual(&self, _domain: &Scope, _at: Timestamp) -> bool {
        false
    }
    /// See [`Rules::usual`].
    fn usual(&self, _domain: &Scope, _at: Timestamp) -> Option<u64> {
        None
    }
    /// The next delivery of every report that has a schedule.
    fn plans(&self, _now: Timestamp) -> BTreeMap<String, Timestamp> {
        BTreeMap::new()
    }
    /// See [`Rules::judge`].
    fn judge(&self, known: &mut Known, input: &Input, id: u64, at: Timestamp) -> Changes;
}

impl Judge for Rules {
    fn reach(&self, per: Per) -> Option<SignedDuration> {
        Rules::reach(self, per)
    }

    fn asks_usual(&self, domain: &Scope, at: Timestamp) -> bool {
        Rules::asks_usual(self, domain, at)
    }

    fn usual(&self, domain: &Scope, at: Timestamp) -> Option<u64> {
        Rules::usual(self, domain, at)
    }

    fn plans(&self, now: Timestamp) -> BTreeMap<String, Timestamp> {
        Rules::plans(self, now)
    }

    fn judge(&self, known: &mut Known, input: &Input, id: u64, at: Timestamp) -> Changes {
        Rules::judge(self, known, input, id, at)
    }
}

/// An open store. Queries block for a disk read at most; call them from where blocking is allowed.
pub struct Store {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Up to which change of the jobs the outbox's worker has heard.
    heard: tokio::sync::Mutex<watch::Receiver<u64>>,
}

impl Store {
    /// Opens the store in `dir`, making both where there is nothing. Rules are none until [`Store::set_rules`], and no timer runs before.
    pub fn open(dir: &Path, options: Options) -> Result<Store, OpenError> {
        let (writer, shared) = open::open(dir, options)?;
        let (commands, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(&inbox));
        let thread = thread.map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let heard = tokio::sync::Mutex::new(shared.jobs_changed.subscribe());
        Ok(Store { shared, commands, writer: Mutex::new(Some(thread)), heard })
    }

    /// From the next batch on.
    pub fn set_rules(&self, rules: Arc<Rules>) {
        self.set_judge(rules);
    }

    pub fn set_judge(&self, judge: Arc<dyn Judge>) {
        self.shared.set_rules(judge);
    }

    /// `[keep]`: how long events and raw mails stay.
    pub fn set_keep(&self, events: Duration, raw: Duration) {
        self.shared.set_keep(events, raw);
    }

    /// Random, made with the store; a part of every job's id.
    pub fn epoch(&self) -> u32 {
        self.shared.identity.epoch
    }

    /// Records one mail at all of its recipients in one commit; `raw` is kept once if any input says so. Ready when it is durable.
    pub fn record(&self, inputs: Vec<Input>, raw: Bytes) -> impl Future<Output = Result<Vec<Recorded>, StoreError>> + Send + use<> {
        self.record_shared(inputs.into(), raw)
    }

    /// The same for inputs that the caller goes on to need.
    pub fn record_shared(
        &self,
        inputs: Arc<[Input]>,
        raw: Bytes,
    ) -> impl Future<Output = Result<Vec<Recorded>, StoreError>> + Send + use<> {
        self.ask(move |reply| Command::Record { inputs, raw, reply })
    }

    /// At most `most` jobs that are due at `now`, or whose lease is over, become running until `now + lease`; `attempts` counts this one too.
    pub fn claim(
        &self,
        now: Timestamp,
        lease: SignedDuration,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Job>, StoreError>> + Send + use<> {
        self.claim_of(now, crate::stamp::later(now, lease), Want { max: most, each: usize::MAX, held: BTreeMap::new() })
    }

    /// The same until `until`, and of no lane more than there is room for.
    pub fn claim_of(
        &self,
        now: Timestamp,
        until: Timestamp,
        want: Want,
    ) -> impl Future<Output = Result<Vec<Job>, StoreError>> + Send + use<> {
        self.ask(move |reply| Command::Claim { now, until, want, reply })
    }

    /// `false`: there is no such job, or it is done.
    pub fn finish(&self, id: JobId, decided: Decided) -> impl Future<Output = Result<bool, StoreError>> + Send + use<> {
        self.ask(move |reply| Command::Finish { id, decided, reply })
    }

    /// A waiting or dead job is due now, with its attempts counted from none. `false`: there is none.
    pub fn retry(&self, id: JobId) -> impl Future<Output = Result<bool, StoreError>> + Send + use<> {
        self.ask(move |reply| Command::Retry { id, reply })
    }

    /// Removes a job. `false`: there is none.
    pub fn drop_job(&self, id: JobId) -> impl Future<Output = Result<bool, StoreError>> + Send + use<> {
        self.ask(move |reply| Command::Drop { id, reply })
    }

    /// Expires all that `[keep]` says now; else that goes on in small steps by itself. Returns how many rows and segments went.
    pub fn expire(&self) -> impl Future<Output = Result<usize, StoreError>> + Send + use<> {
        self.ask(move |reply| Command::Expire { reply })
    }

    /// Runs all timers that are due now; else that happens by itself within seconds. Returns how many there were.
    pub fn tick(&self) -> impl Future<Output = Result<usize, StoreError>> + Send + use<> {
        self.ask(move |reply| Command::Tick { plan: false, reply })
    }

    /// To be called after [`Store::set_rules`]: sets the timers of the reports' schedules. One whose time came while nothing ran keeps it.
    pub fn plan(&self) -> impl Future<Output = Result<usize, StoreError>> + Send + use<> {
        self.ask(move |reply| Command::Tick { plan: true, reply })
    }

    /// Changes whenever jobs were added or changed.
    pub fn jobs_changed(&self) -> watch::Receiver<u64> {
        self.shared.jobs_changed.subscribe()
    }

    /// Holds an error once the store has failed: the process must end then.
    pub fn failure(&self) -> watch::Receiver<Option<StoreError>> {
        self.shared.failure.subscribe()
    }

    /// Asks the writer to show that it lives, as soon as it has done what it is at.
    pub fn nudge(&self) {
        // One that has ended shows nothing.
        let _ = self.commands.send(Command::Beat);
    }

    /// When the writer last showed that it lives. It does every five seconds at least, and when it is asked to ([`Store::nudge`]), unless it hangs,
    /// in a sync for instance, or failed.
    pub fn last_beat(&self) -> Instant {
        self.shared.last_beat()
    }

    /// Finishes what waits, syncs and renews the marker; nothing more is taken. Blocks. The files are let go when the store is dropped.
    pub fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = mpsc::channel();
        // A writer that has ended hears nothing; that it failed is told below.
        let _ = self.commands.send(Command::Close { reply });
        let closed = answer.recv();
        let thread = self.writer.lock().ok().and_then(|mut writer| writer.take());
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        closed.unwrap_or_else(|_| self.shared.alive())
    }

    fn ask<T, F>(&self, command: F) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(Reply<T>) -> Command,
    {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).is_ok();
        let shared = Arc::clone(&self.shared);
        async move {
            let answer = if sent { answer.await.ok() } else { None };
            answer.unwrap_or_else(|| Err(shared.alive().err().unwrap_or(StoreError::Closed)))
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let open = self.writer.get_mut().map_or(true, |writer| writer.is_some());
        if open {
            let (reply, _) = mpsc::channel();
            let _ = self.commands.send(Command::Close { reply });
            if let Some(thread) = self.writer.get_mut().ok().and_then(Option::take) {
                let _ = thread.join();
            }
        }
    }
}
