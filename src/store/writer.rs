//! The one writer: takes whatever waits, folds it, commits it, answers. See [`super`] for what a commit is.
//!
//! A failure is final. A panic (sled has some) is a failure.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use fail::fail_point;
use jiff::Timestamp;

use super::{
    Options, StoreError,
    command::{Answer, Command},
    erase, expire,
    fold::Fold,
    keys,
    marker::{self, Closed, Marker},
    overlay::Rows,
    rows::{State, Tail, encode},
    scopes,
    segments::Stream,
    shared::Shared,
    sled_log,
    table::Log,
    timers,
};
/// The most of a batch: more would make the first wait for the last.
const BATCH_COMMANDS: usize = 256;
const BATCH_BYTES: usize = 8 << 20;

/// The most timers of one turn: mail that waits comes in between.
const TIMERS: usize = 256;

/// How long an idle writer waits before it shows that it lives, unless it is asked to.
const BEAT: Duration = Duration::from_secs(5);

/// The same while there is more to expire.
const STEP_PAUSE: Duration = Duration::from_millis(20);

/// While mail comes in, one step of expiry comes after so many commits or so many events: fewer than a step removes, so that it keeps up.
const COMMITS_PER_STEP: u32 = 16;
const EVENTS_PER_STEP: u64 = 1_000;

/// With nothing to expire, the next look comes after so long.
const EXPIRE_PAUSE: Duration = Duration::from_secs(60);

/// The marker is renewed after so many events or so long.
const MARKER_EVENTS: u64 = 1_000;
const MARKER_PAUSE: Duration = Duration::from_secs(30);

pub struct Writer {
    pub dir: PathBuf,
    pub shared: Arc<Shared>,
    pub options: Options,
    pub log: Log,
    pub events: Stream,
    pub raw: Stream,
    pub state: State,
    pub marked: u64,
    pub marked_at: Instant,
    pub commits: u32,
    /// The next event's id when the last step of expiry came.
    pub stepped: u64,
    pub next_step: Instant,
    /// Whether the last step of expiry found something.
    pub more: bool,
    /// When the first timer falls due, as far as is known.
    pub next_timer: Option<Timestamp>,
}

impl Writer {
    pub fn run(mut self, inbox: &Receiver<Command>) {
        loop {
            self.shared.beat();
            let mut last = false;
            let turn = match inbox.recv_timeout(self.patience()) {
                Ok(first) => {
                    let work = gather(first, inbox);
                    last = work.iter().any(|command| matches!(command, Command::Close { .. }));
                    catch_unwind(AssertUnwindSafe(|| self.turn(work)))
                }
                Err(RecvTimeoutError::Timeout) => catch_unwind(AssertUnwindSafe(|| self.idle().map(|()| false))),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match turn.unwrap_or_else(|_| Err(StoreError::read("a panic in the writer; its message is in the log"))) {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => {
                    let error = self.shared.fail(error);
                    tracing::error!(%error, "nothing more is recorded");
                    if !last {
                        refuse(inbox, &error);
                    }
                    return;
                }
            }
        }
    }

    /// How long to wait for something to do.
    fn patience(&self) -> Duration {
        let usual = if self.more { STEP_PAUSE } else { BEAT };
        let timer = self.next_timer.filter(|_| self.shared.has_rules()).map(|due| due.duration_since((self.options.clock)()));
        timer.map_or(usual, |until| Duration::try_from(until).unwrap_or(Duration::ZERO).min(usual))
    }

    /// One batch. `Ok(true)`: that was the last.
    fn turn(&mut self, work: Vec<Command>) -> Result<bool, StoreError> {
        let mut answers: Vec<Answer> = Vec::new();
        let mut after = Vec::new();
        let done = self.batch(work, &mut answers, &mut after);
        let fatal = done.err().map(|error| self.shared.fail(error));
        for answer in answers {
            answer(fatal.as_ref());
        }
        let mut last = false;
        for command in after {
            match (command, &fatal) {
                (Command::Close { reply }, None) => {
                    last = true;
                    let _ = reply.send(self.close());
                }
                (Command::Expire { reply }, None) => {
                    let _ = reply.send(self.expire_all());
                }
                (Command::Tick { plan, reply }, None) => {
                    let _ = reply.send(self.tick(plan));
                }
                (Command::Erase { step, reply }, None) => {
                    let erased = erase::step(self, step).map_err(|error| self.shared.fail(error));
                    let _ = reply.send(erased);
                }
                (command, fatal) => command.refuse(&fatal.clone().unwrap_or(StoreError::Closed)),
            }
        }
        if let Some(error) = fatal {
            return Err(error);
        }
        self.shared.alive()?;
        if !last {
            self.run_timers()?;
        }
        self.commits = self.commits.wrapping_add(1);
        let many = self.state.next_event.saturating_sub(self.stepped) >= EVENTS_PER_STEP;
        if !last && (many || self.commits.is_multiple_of(COMMITS_PER_STEP)) {
            self.stepped = self.state.next_event;
            self.housekeep()?;
        }
        Ok(last)
    }

    fn batch(&mut self, work: Vec<Command>, answers: &mut Vec<Answer>, after: &mut Vec<Command>) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.options.clock);
        self.folded(|fold| {
            let mut failed = None;
            for command in work {
                match (command, &failed) {
                    (command @ (Command::Close { .. } | Command::Expire { .. } | Command::Tick { .. } | Command::Erase { .. }), _) => {
                        after.push(command)
                    }
                    (command, Some(error)) => command.refuse(error),
                    (command, None) => failed = command.fold(fold, clock(), answers).err().map(StoreError::into_fatal),
                }
            }
            failed.map_or(Ok(()), Err)
        })
    }

    /// Timers that are due, a turn's worth. Returns how many there were.
    fn run_timers(&mut self) -> Result<usize, StoreError> {
        let now = (self.options.clock)();
        if self.next_timer.is_none_or(|due| due > now) || !self.shared.has_rules() {
            return Ok(0);
        }
        self.folded(|fold| fold.run_timers(now, TIMERS).map_err(StoreError::into_fatal))
    }

    fn tick(&mut self, plan: bool) -> Result<usize, StoreError> {
        let mut ran = 0;
        if plan {
            let now = (self.options.clock)();
            self.folded(|fold| fold.plan(now).map_err(StoreError::into_fatal))?;
        }
        loop {
            match self.run_timers() {
                Ok(0) => return Ok(ran),
                Ok(some) => ran += some,
                Err(error) => return Err(self.shared.fail(error)),
            }
            self.shared.beat();
        }
    }

    /// A batch of whatever `work` does, committed.
    fn folded<T>(&mut self, work: impl FnOnce(&mut Fold<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut fold = Fold::new(
            &shared.db,
            self.state.clone(),
            (&mut self.events, &mut self.raw),
            shared.rules(),
            self.options.own_key.clone(),
            shared.identity.epoch,
            scopes::NAMES,
        );
        let done = work(&mut fold)?;
        let jobs_changed = fold.jobs_changed;
        let (rows, state) = fold.finish()?;
        let timers = rows.keys().any(|key| key.first() == Some(&keys::TIMER));
        self.commit(rows, state)?;
        if timers {
            self.next_timer = timers::next(&self.shared.db)?;
        }
        if jobs_changed {
            shared.jobs_changed.send_modify(|generation| *generation = generation.wrapping_add(1));
        }
        Ok(done)
    }

    /// Makes a batch durable, then visible. Without rows there is nothing to do.
    pub fn commit(&mut self, mut rows: Rows, state: State) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        rows.insert(keys::STATE.to_vec(), Some(encode(&state)?));
        fail_point!("before-segments", |_| std::process::abort());
        self.raw.sync().map_err(StoreError::fatal)?;
        let Writer { events, log, .. } = self;
        let written = events.write_with(|appended| {
            fail_point!("before-rows", |_| std::process::abort());
            log.write(appended, &rows)
        });
        written.map_err(StoreError::fatal)??;
        fail_point!("before-flush", |_| std::process::abort());
        self.log.sync()?;
        fail_point!("after-commit", |_| std::process::abort());
        let shared = Arc::clone(&self.shared);
        {
            let mut gate = shared.write();
            shared.upkeep.note(&rows);
            shared.db.apply(rows);
            shared.db.set_floor(&state);
            gate.clone_from(&state);
        }
        self.state = state;
        self.log.keep(&mut self.events, || shared.write(), || shared.beat())
    }

    fn idle(&mut self) -> Result<(), StoreError> {
        if self.state.next_event > self.marked && self.marked_at.elapsed() >= MARKER_PAUSE {
            self.renew_marker()?;
        }
        self.run_timers()?;
        if Instant::now() >= self.next_step { self.housekeep() } else { Ok(()) }
    }

    /// One small step of what keeps the store small.
    fn housekeep(&mut self) -> Result<(), StoreError> {
        if self.state.next_event.saturating_sub(self.marked) >= MARKER_EVENTS {
            self.renew_marker()?;
        }
        if Instant::now() >= self.next_step {
            self.more = match expire::step(self) {
                Ok(gone) => gone > 0,
                Err(error @ StoreError::Fatal(_)) => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "what has expired could not be removed");
                    false
                }
            };
            if !self.more {
                self.next_step = Instant::now() + EXPIRE_PAUSE;
            }
        }
        Ok(())
    }

    fn expire_all(&mut self) -> Result<usize, StoreError> {
        let mut gone = 0;
        loop {
            match expire::step(self) {
                Ok(0) => return Ok(gone),
                Ok(some) => gone += some,
                Err(error @ StoreError::Fatal(_)) => return Err(self.shared.fail(error)),
                Err(error) => return Err(error),
            }
            self.shared.beat();
        }
    }

    /// After the last commit.
    fn close(&mut self) -> Result<(), StoreError> {
        self.raw.close().map_err(StoreError::fatal)?;
        self.events.close().map_err(StoreError::fatal)?;
        // Nobody writes to sled from here on.
        let Tail { segment, length, .. } = self.log.close()?;
        let sled = sled_log::end(&self.dir.join("store")).map_err(StoreError::read)?;
        self.write_marker(Some(Closed { sled, segment, length }))
    }

    fn renew_marker(&mut self) -> Result<(), StoreError> {
        self.write_marker(None)
    }

    fn write_marker(&mut self, closed: Option<Closed>) -> Result<(), StoreError> {
        let marker = Marker { store: self.shared.identity.store, next_event: self.state.next_event, closed };
        marker::write(&self.dir, &marker, &*self.options.platter).map_err(StoreError::read)?;
        (self.marked, self.marked_at) = (marker.next_event, Instant::now());
        Ok(())
    }
}

/// What waits already, up to a batch's most.
fn gather(first: Command, inbox: &Receiver<Command>) -> Vec<Command> {
    let mut bytes = first.bytes();
    let mut work = vec![first];
    while work.len() < BATCH_COMMANDS && bytes < BATCH_BYTES {
        let Ok(command) = inbox.try_recv() else { break };
        bytes = bytes.saturating_add(command.bytes());
        work.push(command);
    }
    work
}

/// After a failure: everyone is told so, until nobody is left.
fn refuse(inbox: &Receiver<Command>, error: &StoreError) {
    while let Ok(command) = inbox.recv() {
        let last = matches!(command, Command::Close { .. });
        command.refuse(error);
        if last {
            return;
        }
    }
}
