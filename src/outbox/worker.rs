//! The worker: claims due jobs, hands them to [`Dispatch`], puts down how they ended.
//!
//! Each job is attempted at least once and under the same id each time. A dispatch that panics or outlives its deadline is an attempt that
//! failed. When the store can't be asked, nothing is lost and it is asked again soon; when an end can't be put down, the job comes again as
//! its lease is over. At the stop nothing more is claimed and what runs has [`Limits::drain`] to end; what is left is claimable at the next
//! start. A slow target takes no more than its share of the places, one that fails again and again is left alone for a while (see `breaker`),
//! and neither holds up the others.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use fail::fail_point;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Blame, Closed, Ended, Job, JobId, Jobs, Outcome, State, TargetNews, Targets,
    breaker::{Change, Sign},
    lane,
    lanes::{Lanes, Surplus},
    retry, targets,
};

/// Carries a job out: renders it and delivers.
pub trait Dispatch: Send + Sync + 'static {
    fn dispatch(&self, job: &Job) -> impl Future<Output = Outcome> + Send;
}

/// One that is swapped when the configuration is read again: what runs goes on with the old one.
impl<D: Dispatch> Dispatch for ArcSwap<D> {
    async fn dispatch(&self, job: &Job) -> Outcome {
        self.load_full().dispatch(job).await
    }
}

#[derive(Debug, Clone)]
pub struct Limits {
    /// Jobs that run at one time.
    pub places: usize,
    /// Of them, those of one lane that says nothing else.
    pub each: usize,
    /// Jobs of one lane that are claimed ahead, so that not every one costs a claim.
    pub ahead: usize,
    /// How long a claim holds: for what waits ahead and the attempt itself.
    pub lease: SignedDuration,
    /// An attempt that takes longer has failed; a delivery's own deadlines are shorter.
    pub deadline: Duration,
    /// What running jobs are given at the stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            places: 32,
            each: 4,
            ahead: 12,
            lease: SignedDuration::from_mins(30),
            deadline: Duration::from_secs(300),
            drain: Duration::from_secs(7),
        }
    }
}

/// What comes from outside.
#[derive(Clone)]
pub struct Hooks {
    /// UTC now.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Called with each job that dies, once that is durable.
    pub on_dead: Arc<dyn Fn(&Job) + Send + Sync>,
    /// Called when a target has been closed for a minute, and when one of those is well again.
    pub on_target: Arc<dyn Fn(TargetNews) + Send + Sync>,
}

/// The longest sleep: the clock may be set while we sleep.
const LOOK: Duration = Duration::from_secs(60);
/// How soon the store is asked again after an error.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The most jobs of one claim.
const CLAIM: usize = 256;

pub struct Worker<J, D> {
    shared: Arc<Shared<J, D>>,
    lanes: Lanes,
    targets: Arc<Targets>,
    /// The lanes' time counts from here.
    began: Instant,
    /// The store failed: nothing is asked of it before.
    pause: Instant,
    tasks: JoinSet<Ran>,
    running: BTreeMap<Id, (String, JobId)>,
}

/// What came of an attempt.
struct Ran {
    /// When the job is tried again.
    next: Option<Timestamp>,
    sign: Sign,
}

struct Shared<J, D> {
    jobs: Arc<J>,
    dispatch: Arc<D>,
    hooks: Hooks,
    limits: Limits,
}

impl<J: Jobs, D: Dispatch> Worker<J, D> {
    /// Closed targets are put down in `targets`.
    pub fn new(jobs: Arc<J>, dispatch: Arc<D>, hooks: Hooks, targets: Arc<Targets>, limits: Limits) -> Self {
        Worker {
            lanes: Lanes::new(limits.clone()),
            shared: Arc::new(Shared { jobs, dispatch, hooks, limits }),
            targets,
            began: Instant::now(),
            pause: Instant::now(),
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
        }
    }

    /// Works until `shutdown` returns.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        tokio::pin!(shutdown);
        let (jobs, targets) = (Arc::clone(&self.shared.jobs), Arc::clone(&self.targets));
        let mut wake = self.refill().await;
        loop {
            self.start();
            self.tell();
            let next = self.lanes.next(self.now());
            let act = next.act.map_or_else(|| Instant::now() + LOOK, |at| self.instant(at));
            let claim = next.claim.map_or(wake, |at| wake.min(self.instant(at))).max(self.pause);
            let refill = tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = self.tasks.join_next_with_id() => {
                    let (id, ran) = ended.unwrap_or_else(|error| (error.id(), Ran { next: None, sign: Sign::Nothing }));
                    if let Some(next) = ran.next {
                        wake = wake.min(Instant::now() + until((self.shared.hooks.clock)(), next));
                    }
                    self.ended(id, ran.sign)
                }
                () = jobs.changed() => true,
                () = targets.hurried() => {
                    self.lanes.hurry(self.now());
                    true
                }
                () = sleep_until(claim) => true,
                () = sleep_until(act) => false,
            };
            if refill {
                wake = self.refill().await;
            }
        }
        self.drain().await;
    }

    /// Claims what is due and there is room for; returns when to look again.
    async fn refill(&mut self) -> Instant {
        for name in self.lanes.tidy(self.now()) {
            self.targets.open(&name);
            metrics::gauge!("bounced_target_closed", "host" => targets::host(&name).to_owned()).set(0.0);
        }
        loop {
            let now = (self.shared.hooks.clock)();
            let lease = crate::stamp::later(now, self.shared.limits.lease);
            let want = self.lanes.want(CLAIM, self.now());
            let claimed = match self.shared.jobs.claim(now, lease, want).await {
                Ok(claimed) => claimed,
                Err(error) => return self.complain("jobs could not be claimed", &error),
            };
            let all = claimed.len() < CLAIM;
            let new = claimed.into_iter().map(|job| self.lanes.add(job)).filter(|new| *new).count();
            let more = self.lanes.claimed(self.now());
            // Together, since each waits until it is durable.
            let surplus = self.lanes.surplus(self.now(), now).into_iter();
            surplus.map(|one| Arc::clone(&self.shared).put_back(one, now)).collect::<JoinSet<()>>().join_all().await;
            if new > 0 && (!all || more) {
                continue;
            }
            if self.lanes.sweeping() {
                // Others go on in between.
                return Instant::now();
            }
            return match self.shared.jobs.next_due(now).await {
                Ok(next) => Instant::now() + next.map_or(LOOK, |next| until(now, next)),
                Err(error) => self.complain("the next job could not be told", &error),
            };
        }
    }

    fn start(&mut self) {
        while let Some((name, job)) = self.lanes.start(self.now()) {
            let id = job.id;
            let task = self.tasks.spawn(Arc::clone(&self.shared).attempt(job));
            self.running.insert(task.id(), (name, id));
        }
    }

    /// Whether to claim more.
    fn ended(&mut self, task: Id, sign: Sign) -> bool {
        let Some((name, id)) = self.running.remove(&task) else { return false };
        let (change, claim) = self.lanes.done(&name, id, sign, self.now());
        match change {
            Some(Change::Open { lasted, told }) => self.opened(&name, lasted, told),
            Some(Change::Closed | Change::StillClosed) => self.closed(&name),
            None => {}
        }
        claim
    }

    fn opened(&self, name: &str, lasted: Duration, told: bool) {
        let host = targets::host(name).to_owned();
        self.targets.open(name);
        metrics::gauge!("bounced_target_closed", "host" => host.clone()).set(0.0);
        tracing::info!(host, seconds = lasted.as_secs(), "the target is well again: its jobs go on");
        if told {
            let lasted = SignedDuration::try_from(lasted).unwrap_or(SignedDuration::MAX);
            (self.shared.hooks.on_target)(TargetNews::Well { host, lasted });
        }
    }

    fn closed(&self, name: &str) {
        let Some(closed) = self.stands(name) else { return };
        let (host, until, error) = (closed.host.clone(), closed.until, closed.error.clone());
        if self.targets.close(name, closed) {
            metrics::gauge!("bounced_target_closed", "host" => host.clone()).set(1.0);
            metrics::counter!("bounced_target_closings_total", "host" => host.clone()).increment(1);
            tracing::warn!(host, %until, error, "the target fails again and again: its jobs wait, one is tried now and then");
        } else {
            tracing::info!(host, %until, error, "the target still fails");
        }
    }

    fn tell(&mut self) {
        for closed in self.lanes.tell(self.now()).iter().filter_map(|name| self.stands(name)) {
            (self.shared.hooks.on_target)(TargetNews::Down(closed));
        }
    }

    /// A closed lane, its times by the clock.
    fn stands(&self, name: &str) -> Option<Closed> {
        let spell = self.lanes.spell(name)?;
        let (now, today) = (self.now(), (self.shared.hooks.clock)());
        let since = today.checked_sub(now.saturating_sub(spell.since)).unwrap_or(Timestamp::MIN);
        let until = today.checked_add(spell.until.saturating_sub(now)).unwrap_or(Timestamp::MAX);
        Some(Closed { host: targets::host(name).to_owned(), since, until, error: spell.error.clone() })
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn instant(&self, at: Duration) -> Instant {
        let far = Instant::now() + LOOK;
        self.began.checked_add(at).map_or(far, |at| at.min(far))
    }

    fn complain(&mut self, what: &str, error: &impl std::fmt::Display) -> Instant {
        tracing::error!(error = error.to_string(), "{what}; asking again in {} s", ASK_AGAIN.as_secs());
        self.pause = Instant::now() + ASK_AGAIN;
        self.pause
    }

    async fn drain(mut self) {
        let ended = timeout(self.shared.limits.drain, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(jobs = self.tasks.len(), "jobs were still running at the stop; they run again at the next start");
        }
    }
}

impl<J: Jobs, D: Dispatch> Shared<J, D> {
    async fn attempt(self: Arc<Self>, job: Job) -> Ran {
        let job = Arc::new(job);
        fail_point!("before-delivery", |_| std::process::abort());
        let outcome = self.dispatch_guarded(Arc::clone(&job)).await;
        fail_point!("after-delivery", |_| std::process::abort());
        let sign = Sign::of(&outcome);
        let now = (self.hooks.clock)();
        let ended = retry::decide(&job, outcome, now, (self.hooks.random)());
        metrics::counter!("bounced_job_attempts_total", "kind" => job.task.kind()).increment(1);
        Ran { next: self.finish(Arc::unwrap_or_clone(job), ended).await, sign }
    }

    /// A claimed job that was not attempted: it waits on, or its time is over.
    async fn put_back(self: Arc<Self>, surplus: Surplus, now: Timestamp) {
        let Surplus { job, over } = surplus;
        let ended = match over {
            Some(error) => Ended::Dead { at: now, error: format!("given up, since the target fails: {error}") },
            // Among those that wait it has the place of its age.
            None => Ended::Released { next: job.created },
        };
        self.finish(job, ended).await;
    }

    /// Puts down how it ended. Returns when it is to be tried again.
    async fn finish(&self, job: Job, ended: Ended) -> Option<Timestamp> {
        let kind = job.task.kind();
        if let Err(error) = self.jobs.finish(job.id, ended.clone()).await {
            tracing::error!(job = %job.id, kind, error = error.to_string(), "how a job ended could not be put down; it will run again");
            return None;
        }
        let target = told_target(&job);
        match ended {
            Ended::Done { .. } => {
                metrics::counter!("bounced_jobs_total", "kind" => kind, "outcome" => "done").increment(1);
                tracing::info!(job = %job.id, kind, target, attempts = job.attempts, "job done");
            }
            Ended::Waiting { next, error } => {
                tracing::warn!(job = %job.id, kind, target, attempts = job.attempts, %next, error, "job failed, will be tried again");
                return Some(next);
            }
            Ended::Dead { at, error } => {
                metrics::counter!("bounced_jobs_total", "kind" => kind, "outcome" => "dead").increment(1);
                tracing::error!(job = %job.id, kind, target, attempts = job.attempts, error, "job is dead");
                let dead = Job { state: State::Dead, next: at, last_error: Some(error), ..job };
                (self.hooks.on_dead)(&dead);
            }
            Ended::Released { .. } => {}
        }
        None
    }

    /// In a task of its own, so that a panic ends there.
    async fn dispatch_guarded(&self, job: Arc<Job>) -> Outcome {
        let (dispatch, deadline) = (Arc::clone(&self.dispatch), self.limits.deadline);
        let task = tokio::spawn(async move { timeout(deadline, dispatch.dispatch(&job)).await });
        let _guard = AbortOnDrop(task.abort_handle());
        let (error, blame) = match task.await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => (format!("no end after {} s", deadline.as_secs()), Blame::Target),
            Err(error) if error.is_panic() => {
                tracing::error!("an action panicked; this is a fault of the program");
                ("the action panicked".to_owned(), Blame::Us)
            }
            Err(_) => ("stopped".to_owned(), Blame::Us),
        };
        Outcome::Later { error, after: None, blame }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A URL may hold a token: of a post only its host is logged.
fn told_target(job: &Job) -> String {
    match &job.task {
        crate::action::Task::Post(_) => lane(&job.task).trim_start_matches("post ").to_owned(),
        other => other.target().to_owned(),
    }
}

fn until(now: Timestamp, next: Timestamp) -> Duration {
    Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO).min(LOOK)
}
