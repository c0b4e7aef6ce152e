//! Jobs in memory, as a store keeps them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use super::{super::*, START};
use crate::{
    action::{PostBody, PostTask, Task},
    classify::Verdict,
    ledger::{Facts, MailEvent, Origin, Standing},
};

/// UTC by tokio's paused clock.
pub fn clock() -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    let began = Instant::now();
    Arc::new(move || Timestamp::from_second(START).unwrap() + began.elapsed())
}

pub fn job(event: u64, url: &str) -> Job {
    let at = Timestamp::from_second(START).unwrap();
    let event_row = MailEvent {
        id: event,
        at,
        person: None,
        campaign: None,
        standing: Standing::Full,
        verdict: Verdict::undetermined("test"),
        origin: Origin::default(),
        fired: Vec::new(),
        raw: None,
    };
    Job {
        id: JobId { epoch: 1, event, trigger: 9, place: 0 },
        task: Task::Post(PostTask {
            url: url.into(),
            body: PostBody::Event,
            headers: BTreeMap::new(),
            secret_file: None,
            batch: None,
            concurrency: None,
            rate: None,
        }),
        facts: Facts { event: event_row, trigger: "t".into(), count: 1, ..Facts::of_nothing(event, Timestamp::UNIX_EPOCH) },
        others: Vec::new(),
        beyond: 0,
        state: State::Waiting,
        attempts: 0,
        created: at,
        next: at,
        last_error: None,
    }
}

#[derive(Default)]
pub struct Memory {
    pub jobs: Mutex<BTreeMap<JobId, Job>>,
    changed: Notify,
    pub claims: AtomicUsize,
    /// Fails the next claim or finish.
    pub broken: AtomicBool,
}

impl Memory {
    pub fn with(jobs: impl IntoIterator<Item = Job>) -> Arc<Memory> {
        let memory = Memory::default();
        memory.jobs.lock().unwrap().extend(jobs.into_iter().map(|job| (job.id, job)));
        Arc::new(memory)
    }

    pub fn push(&self, job: Job) {
        self.jobs.lock().unwrap().insert(job.id, job);
        self.changed.notify_one();
    }

    pub fn states(&self) -> BTreeMap<State, usize> {
        let mut states = BTreeMap::new();
        self.jobs.lock().unwrap().values().for_each(|job| *states.entry(job.state).or_default() += 1);
        states
    }

    pub fn get(&self, event: u64) -> Job {
        self.jobs.lock().unwrap().values().find(|job| job.id.event == event).unwrap().clone()
    }

    /// What opening a store does.
    pub fn reopen(&self) {
        self.jobs
            .lock()
            .unwrap()
            .values_mut()
            .filter(|job| job.state == State::Running)
            .for_each(|job| (job.state, job.next) = (State::Waiting, job.created));
    }

    fn fails(&self) -> Result<(), String> {
        if self.broken.swap(false, Ordering::SeqCst) { Err("no room".into()) } else { Ok(()) }
    }
}

impl Jobs for Memory {
    type Error = String;

    async fn claim(&self, now: Timestamp, lease: Timestamp, mut want: Want) -> Result<Vec<Job>, String> {
        self.fails()?;
        self.claims.fetch_add(1, Ordering::SeqCst);
        let mut claimed = Vec::new();
        for job in self.jobs.lock().unwrap().values_mut() {
            let lane = lane(&job.task);
            let open = matches!(job.state, State::Waiting | State::Running);
            if open && job.next <= now && want.room(&lane) > 0 && claimed.len() < want.max {
                *want.held.entry(lane).or_default() += 1;
                (job.state, job.next, job.attempts) = (State::Running, lease, job.attempts + 1);
                claimed.push(job.clone());
            }
        }
        Ok(claimed)
    }

    async fn finish(&self, id: JobId, ended: Ended) -> Result<(), String> {
        self.fails()?;
        let mut jobs = self.jobs.lock().unwrap();
        let Some(job) = jobs.get_mut(&id) else { return Ok(()) };
        (job.state, job.next, job.last_error) = match ended {
            Ended::Done { at } => (State::Done, at, None),
            Ended::Waiting { next, error } => (State::Waiting, next, Some(error)),
            Ended::Dead { at, error } => (State::Dead, at, Some(error)),
            Ended::Released { next } => {
                job.attempts -= 1;
                (State::Waiting, next, job.last_error.take())
            }
        };
        Ok(())
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, String> {
        let jobs = self.jobs.lock().unwrap();
        Ok(jobs.values().filter(|job| matches!(job.state, State::Waiting | State::Running) && job.next > after).map(|job| job.next).min())
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}
