//! The worker: claims due jobs, hands them to [`Dispatch`], puts down how they ended.
//!
//! Each job is attempted at least once and under the same id each time. A dispatch that panics or outlives its deadline is an attempt that
//! failed. When the store can't be asked, nothing is lost and it is asked again soon; when an end can't be put down, the job comes again as
//! its lease is over. At the stop nothing more is claimed and what runs has [`Limits::drain`] to end; what is left is claimable at the next
//! start. A slow target takes no more than [`Limits::each`] of the places.

use std::{collections::BTreeMap, collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use fail::fail_point;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use super::{Ended, Job, JobId, Jobs, Outcome, State, Want, lane, lanes::Lanes, retry};

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
    /// Of them, those of one lane.
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
    /// Lanes of which the last claim gave as many as it might.
    more: BTreeSet<String>,
    tasks: JoinSet<Option<Timestamp>>,
    running: BTreeMap<Id, (String, JobId)>,
}

struct Shared<J, D> {
    jobs: Arc<J>,
    dispatch: Arc<D>,
    hooks: Hooks,
    limits: Limits,
}

impl<J: Jobs, D: Dispatch> Worker<J, D> {
    pub fn new(jobs: Arc<J>, dispatch: Arc<D>, hooks: Hooks, limits: Limits) -> Self {
        Worker {
            shared: Arc::new(Shared { jobs, dispatch, hooks, limits }),
            lanes: Lanes::default(),
            more: BTreeSet::new(),
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
        }
    }

    /// Works until `shutdown` returns.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        tokio::pin!(shutdown);
        let jobs = Arc::clone(&self.shared.jobs);
        let mut wake = self.refill().await;
        loop {
            self.start();
            let refill = tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = self.tasks.join_next_with_id() => {
                    let (id, next) = ended.unwrap_or_else(|error| (error.id(), None));
                    if let Some(next) = next {
                        wake = wake.min(Instant::now() + until((self.shared.hooks.clock)(), next));
                    }
                    self.ended(id)
                }
                () = jobs.changed() => true,
                () = sleep_until(wake) => true,
            };
            if refill {
                wake = self.refill().await;
            }
        }
        self.drain().await;
    }

    /// Claims what is due and there is room for; returns when to look again.
    async fn refill(&mut self) -> Instant {
        let each = self.shared.limits.each.saturating_add(self.shared.limits.ahead);
        loop {
            let now = (self.shared.hooks.clock)();
            let lease = now.checked_add(self.shared.limits.lease).unwrap_or(Timestamp::MAX);
            let want = Want { max: CLAIM, each, held: self.lanes.held() };
            let claimed = match self.shared.jobs.claim(now, lease, want).await {
                Ok(claimed) => claimed,
                Err(error) => return complain("jobs could not be claimed", &error),
            };
            let all = claimed.len() < CLAIM;
            let new = claimed.into_iter().map(|job| self.lanes.add(job)).filter(|new| *new).count();
            self.more = self.lanes.names().filter(|name| self.lanes.is_full(name, each)).cloned().collect();
            if !all && new > 0 {
                continue;
            }
            return match self.shared.jobs.next_due(now).await {
                Ok(next) => Instant::now() + next.map_or(LOOK, |next| until(now, next)),
                Err(error) => complain("the next job could not be told", &error),
            };
        }
    }

    fn start(&mut self) {
        let (places, each) = (self.shared.limits.places, self.shared.limits.each);
        while let Some((name, job)) = self.lanes.start(places, each) {
            let id = job.id;
            let task = self.tasks.spawn(Arc::clone(&self.shared).attempt(job));
            self.running.insert(task.id(), (name, id));
        }
    }

    /// Whether to claim more: the lane had more than it might take, and nothing of it waits here any longer.
    fn ended(&mut self, task: Id) -> bool {
        let Some((name, id)) = self.running.remove(&task) else { return false };
        let held = self.lanes.done(&name, id);
        held <= self.shared.limits.each && self.more.contains(&name)
    }

    async fn drain(mut self) {
        let ended = timeout(self.shared.limits.drain, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(jobs = self.tasks.len(), "jobs were still running at the stop; they run again at the next start");
        }
    }
}

impl<J: Jobs, D: Dispatch> Shared<J, D> {
    /// Returns when it is to be tried again.
    async fn attempt(self: Arc<Self>, job: Job) -> Option<Timestamp> {
        let job = Arc::new(job);
        fail_point!("before-delivery", |_| std::process::abort());
        let outcome = self.dispatch_guarded(Arc::clone(&job)).await;
        fail_point!("after-delivery", |_| std::process::abort());
        let now = (self.hooks.clock)();
        let ended = retry::decide(&job, outcome, now, (self.hooks.random)());
        let kind = job.task.kind();
        metrics::counter!("bounced_job_attempts_total", "kind" => kind).increment(1);
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
                let dead = Job { state: State::Dead, next: at, last_error: Some(error), ..Arc::unwrap_or_clone(job) };
                (self.hooks.on_dead)(&dead);
            }
        }
        None
    }

    /// In a task of its own, so that a panic ends there.
    async fn dispatch_guarded(&self, job: Arc<Job>) -> Outcome {
        let (dispatch, deadline) = (Arc::clone(&self.dispatch), self.limits.deadline);
        let task = tokio::spawn(async move { timeout(deadline, dispatch.dispatch(&job)).await });
        let _guard = AbortOnDrop(task.abort_handle());
        let error = match task.await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => format!("no end after {} s", deadline.as_secs()),
            Err(error) if error.is_panic() => {
                tracing::error!("an action panicked; this is a fault of the program");
                "the action panicked".to_owned()
            }
            Err(_) => "stopped".to_owned(),
        };
        Outcome::Later { error, after: None }
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

fn complain(what: &str, error: &impl std::fmt::Display) -> Instant {
    tracing::error!(error = error.to_string(), "{what}; asking again in {} s", ASK_AGAIN.as_secs());
    Instant::now() + ASK_AGAIN
}
