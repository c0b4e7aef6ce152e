//! The worker over a real store: lanes, stop and restart.
#![allow(clippy::unwrap_used)]

mod store_support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bounced::{
    action::Task,
    ledger::{Comparator, Input, Per, Step},
    outbox::{Dispatch, Hooks, Job, JobId, Jobs, Limits, Outcome, Want, Worker, lane},
    store::{JobCounts, Store},
};
use bytes::Bytes;
use jiff::SignedDuration;
use store_support::*;
use tokio::sync::{mpsc, oneshot};

/// Each person's bounce makes one job for each of two hosts.
async fn filled(dir: &std::path::Path, clock: &Clock, persons: usize) -> Arc<Store> {
    let store = Store::open(dir, clock.options()).unwrap();
    let to = |name: &str| {
        let mut trigger = trigger(name, Per::Address, Comparator::Exactly(1));
        for step in &mut trigger.steps {
            if let Step::Job(Task::Post(post)) = step {
                post.url = format!("https://{name}.example/bounces");
            }
        }
        trigger
    };
    store.set_rules(rules(vec![to("slow"), to("fast")]));
    let inputs = (0..persons).map(|n| Input::Mail(mail(&format!("p{n}@example.org"), "1"))).collect();
    store.record(inputs, Bytes::new()).await.unwrap();
    Arc::new(store)
}

fn lanes(jobs: &[Job]) -> BTreeMap<String, usize> {
    let mut lanes = BTreeMap::new();
    jobs.iter().for_each(|job| *lanes.entry(lane(&job.task)).or_default() += 1);
    lanes
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_of_a_lane_than_there_is_room_for() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let jobs = filled(dir.path(), &clock, 50).await;
    let lease = clock.now() + SignedDuration::from_mins(5);
    let want = |max, slow: usize, fast: usize| Want {
        max,
        each: 6,
        held: BTreeMap::from([("post slow.example".to_owned(), slow), ("post fast.example".to_owned(), fast)]),
    };
    let both = |slow, fast| BTreeMap::from([("post slow.example".to_owned(), slow), ("post fast.example".to_owned(), fast)]);
    assert_eq!(lanes(&Jobs::claim(&*jobs, clock.now(), lease, want(100, 2, 0)).await.unwrap()), both(4, 6));
    assert_eq!(
        lanes(&Jobs::claim(&*jobs, clock.now(), lease, want(100, 6, 1)).await.unwrap()),
        BTreeMap::from([("post fast.example".to_owned(), 5)])
    );
    assert_eq!(Jobs::claim(&*jobs, clock.now(), lease, want(100, 9, 6)).await.unwrap(), []);
    assert_eq!(Jobs::claim(&*jobs, clock.now(), lease, want(3, 0, 0)).await.unwrap().len(), 3);
    assert_eq!(Jobs::next_due(&*jobs, clock.now()).await.unwrap(), Some(lease), "what is due now and has no room wakes nobody");
    clock.go(SignedDuration::from_mins(6));
    let again = Jobs::claim(&*jobs, clock.now(), clock.now() + SignedDuration::from_mins(5), want(100, 6, 0)).await.unwrap();
    assert_eq!(lanes(&again), BTreeMap::from([("post fast.example".to_owned(), 6)]), "leases that are over heed the room too");
}

/// Tells which jobs it was given; those for the slow host never end while `hangs`.
struct Target {
    told: mpsc::UnboundedSender<JobId>,
    hangs: bool,
}

impl Dispatch for Target {
    async fn dispatch(&self, job: &Job) -> Outcome {
        if self.hangs && lane(&job.task) == "post slow.example" {
            std::future::pending::<()>().await;
        }
        self.told.send(job.id).unwrap();
        Outcome::Done
    }
}

/// Runs a worker until it has told of `count` jobs.
async fn work(store: &Arc<Store>, clock: &Clock, hangs: bool, count: usize) -> Vec<JobId> {
    let (told, mut heard) = mpsc::unbounded_channel();
    let (clock, dead) = (clock.clone(), Arc::new(Mutex::new(0)));
    let died = Arc::clone(&dead);
    let hooks = Hooks {
        clock: Arc::new(move || clock.now()),
        random: Arc::new(|| 1),
        on_dead: Arc::new(move |_| *died.lock().unwrap() += 1),
        on_target: Arc::new(|news| panic!("{news:?}")),
    };
    let limits = Limits { drain: Duration::from_millis(200), ..Limits::default() };
    let worker = Worker::new(Arc::clone(store), Arc::new(Target { told, hangs }), hooks, Arc::default(), limits);
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run(async move { drop(stopped.await) }));
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.push(heard.recv().await.unwrap());
    }
    stop.send(()).unwrap();
    worker.await.unwrap();
    while let Ok(id) = heard.try_recv() {
        ids.push(id);
    }
    assert_eq!(*dead.lock().unwrap(), 0);
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_holds_up_itself_only_and_its_jobs_come_again() {
    const PERSONS: usize = 1_000;
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = filled(dir.path(), &clock, PERSONS).await;
    let first = work(&store, &clock, true, PERSONS).await;
    let held = Limits::default().each as u64;
    let counts = store.job_counts().unwrap();
    assert_eq!((counts.done, counts.dead), (PERSONS as u64, 0), "all that were told of have ended before the stop");
    assert!(counts.running >= held && counts.running + counts.waiting == PERSONS as u64, "{counts:?}");
    store.close().unwrap();
    drop(store);

    let store = Arc::new(Store::open(dir.path(), clock.options()).unwrap());
    let second = work(&store, &clock, false, PERSONS).await;
    assert_eq!(store.job_counts().unwrap(), JobCounts { done: 2 * PERSONS as u64, ..JobCounts::default() });
    let mut ids = [first, second].concat();
    assert_eq!(ids.len(), 2 * PERSONS);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * PERSONS, "each exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_heard_though_nobody_listened_as_it_came() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = filled(dir.path(), &clock, 1).await;
    Jobs::changed(&*store).await;
    record(&store, mail("later@example.org", "1")).await;
    // Would wait for ever if a call heard only of what comes after it.
    Jobs::changed(&*store).await;
    let none = tokio::time::timeout(Duration::from_millis(50), Jobs::changed(&*store)).await;
    assert!(none.is_err(), "and once only");
}
