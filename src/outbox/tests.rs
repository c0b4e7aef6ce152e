//! The worker over jobs in memory, with time handed in: tokio's is paused and leaps to the next timer, so three days pass at once.

pub(super) mod memory;
mod targets;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::*;
use memory::{Memory, clock, job};

pub(super) const START: i64 = 1_795_435_200;

/// Notes each attempt and does as told.
struct Target<F> {
    attempts: Mutex<Vec<(JobId, Timestamp)>>,
    running: Mutex<BTreeMap<String, usize>>,
    most: Mutex<BTreeMap<String, usize>>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    act: F,
}

impl<F> Target<F> {
    fn ids(&self) -> Vec<JobId> {
        self.attempts.lock().unwrap().iter().map(|(id, _)| *id).collect()
    }

    /// Seconds after the start.
    fn times(&self) -> Vec<i64> {
        self.attempts.lock().unwrap().iter().map(|(_, at)| at.as_second() - START).collect()
    }
}

impl<F, W> Dispatch for Target<F>
where
    F: Fn(Job, usize) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + Send,
{
    async fn dispatch(&self, job: &Job) -> Outcome {
        let before = self.ids().iter().filter(|id| **id == job.id).count();
        self.attempts.lock().unwrap().push((job.id, (self.clock)()));
        let lane = lane(&job.task);
        for key in [lane.as_str(), "all"] {
            let mut running = self.running.lock().unwrap();
            let now = running.entry(key.into()).or_default();
            *now += 1;
            let mut most = self.most.lock().unwrap();
            let peak = most.entry(key.into()).or_default();
            *peak = (*peak).max(*now);
        }
        let outcome = (self.act)(job.clone(), before).await;
        for key in [lane.as_str(), "all"] {
            *self.running.lock().unwrap().get_mut(key).unwrap() -= 1;
        }
        outcome
    }
}

fn target<F, W>(act: F) -> Arc<Target<F>>
where
    F: Fn(Job, usize) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + Send,
{
    Arc::new(Target { attempts: Mutex::default(), running: Mutex::default(), most: Mutex::default(), clock: clock(), act })
}

struct Running {
    stop: oneshot::Sender<()>,
    worker: tokio::task::JoinHandle<()>,
    dead: Arc<Mutex<Vec<Job>>>,
    targets: Arc<Targets>,
    news: Arc<Mutex<Vec<(i64, TargetNews)>>>,
}

impl Running {
    /// Runs in a task of its own.
    fn start<D: Dispatch>(memory: &Arc<Memory>, target: &Arc<D>) -> Running {
        let dead = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&dead);
        let news = Arc::new(Mutex::new(Vec::new()));
        let (hearing, now) = (Arc::clone(&news), clock());
        let hooks = Hooks {
            clock: clock(),
            random: Arc::new(|| 0x9E37_79B9_7F4A_7C15),
            on_dead: Arc::new(move |job| heard.lock().unwrap().push(job.clone())),
            on_target: Arc::new(move |news| hearing.lock().unwrap().push((now().as_second() - START, news))),
        };
        let (stop, stopped) = oneshot::channel();
        let targets = Arc::new(Targets::default());
        let worker = Worker::new(Arc::clone(memory), Arc::clone(target), hooks, Arc::clone(&targets), Limits::default());
        let worker = tokio::spawn(worker.run(async move { drop(stopped.await) }));
        Running { stop, worker, dead, targets, news }
    }

    async fn stop(self) -> Vec<Job> {
        self.stop.send(()).unwrap();
        self.worker.await.unwrap();
        Arc::try_unwrap(self.dead).map_or_else(|dead| dead.lock().unwrap().clone(), |dead| dead.into_inner().unwrap())
    }
}

fn later(error: &str) -> Outcome {
    Outcome::Later { error: error.into(), after: None, blame: Blame::Target }
}

#[tokio::test(start_paused = true)]
async fn retried_for_three_days_under_one_id_then_dead() {
    let memory = Memory::with([job(1, "http://a.example/")]);
    let target = target(|_, _| async { later("connection refused") });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(5 * 86_400)).await;
    let dead = running.stop().await;
    let times = target.times();
    assert!(times[0] == 0 && (3..=7).contains(&times[1]), "{times:?}");
    assert_eq!(times.last(), Some(&(3 * 86_400)));
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 13_500), "{times:?}");
    assert!(target.ids().iter().all(|id| *id == job(1, "").id));
    let stands = memory.get(1);
    assert_eq!((stands.state, stands.attempts as usize), (State::Dead, times.len()));
    assert_eq!(stands.last_error.as_deref(), Some("connection refused"));
    assert_eq!(dead, [stands], "the alert hears of it once, as it stands");
}

#[tokio::test(start_paused = true)]
async fn outcomes() {
    let memory = Memory::with((1..=5).map(|n| job(n, "http://a.example/")));
    let target = target(|job, before| async move {
        match (job.id.event, before) {
            (1, _) => Outcome::Dead { error: "410 Gone".into() },
            (2, 0) => Outcome::Later { error: "503".into(), after: Some(3_600), blame: Blame::Target },
            (3, 0) => panic!("a fault"),
            (4, 0) => std::future::pending().await,
            _ => Outcome::Done,
        }
    });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(86_400)).await;
    let dead = running.stop().await;
    assert_eq!(dead.iter().map(|job| job.id.event).collect::<Vec<_>>(), [1], "gone for good is dead at once");
    assert_eq!(memory.states(), BTreeMap::from([(State::Done, 4), (State::Dead, 1)]));
    let second = |event| {
        let attempts = target.attempts.lock().unwrap();
        let mut of = attempts.iter().filter(|(id, _)| id.event == event).map(|(_, at)| at.as_second() - START);
        (of.next(), of.next(), of.next())
    };
    assert_eq!(second(1), (Some(0), None, None));
    assert_eq!(second(2), (Some(0), Some(3_600), None), "Retry-After");
    assert!(matches!(second(3), (Some(0), Some(3..=7), None)), "a panic is a failed attempt: {:?}", second(3));
    assert!(matches!(second(4), (Some(0), Some(303..=307), None)), "the deadline is: {:?}", second(4));
}

#[tokio::test(start_paused = true)]
async fn a_slow_target_holds_up_itself_only() {
    let slow = (0..500).map(|n| job(n, "http://slow.example/"));
    let dead = (500..1_000).map(|n| job(n, "http://dead.example/"));
    let fast = (1_000..1_200).map(|n| job(n, "http://fast.example/"));
    let memory = Memory::with(slow.chain(dead).chain(fast));
    let target = target(|job, _| async move {
        match lane(&job.task).as_str() {
            "post slow.example" => sleep(Duration::from_secs(200)).await,
            "post dead.example" => std::future::pending().await,
            _ => sleep(Duration::from_millis(20)).await,
        }
        Outcome::Done
    });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(3)).await;
    let fast_done =
        |memory: &Memory| memory.jobs.lock().unwrap().values().filter(|job| job.id.event >= 1_000 && job.state == State::Done).count();
    assert_eq!(fast_done(&memory), 200, "200 jobs of 20 ms at four places take a second");
    memory.push(job(2_000, "http://fast.example/"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fast_done(&memory), 201, "and one that comes later doesn't wait either");
    running.stop().await;
    assert!(target.most.lock().unwrap().values().all(|most| *most <= 12));
    assert_eq!(target.most.lock().unwrap()["post slow.example"], 4);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_jobs_each_exactly_once() {
    let memory = Memory::with((0..10_000).map(|n| job(n, &format!("http://host{}.example/", n % 23))));
    let target = target(|job, _| async move {
        sleep(Duration::from_millis(job.id.event % 7)).await;
        Outcome::Done
    });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(50)).await;
    running.stop().await;
    assert_eq!(memory.states(), BTreeMap::from([(State::Done, 10_000)]));
    let mut ids = target.ids();
    assert_eq!(ids.len(), 10_000);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 10_000);
    let most = target.most.lock().unwrap();
    assert_eq!(most["all"], 32);
    assert!(most.iter().all(|(lane, most)| lane == "all" || *most <= 4), "{most:?}");
    let claims = memory.claims.load(Ordering::SeqCst);
    assert!(claims <= 2_500, "a claim is for several jobs: {claims}");
}

#[tokio::test(start_paused = true)]
async fn the_stop_waits_a_little_and_the_next_start_takes_up_what_is_left() {
    let memory = Memory::with(
        [job(1, "http://a.example/"), job(2, "http://b.example/")].into_iter().chain((3..40).map(|n| job(n, "http://c.example/"))),
    );
    let first = target(|job, _| async move {
        sleep(Duration::from_secs(if job.id.event == 1 { 5 } else { 1_000 })).await;
        Outcome::Done
    });
    let running = Running::start(&memory, &first);
    sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    running.stop().await;
    assert_eq!(asked.elapsed(), Limits::default().drain, "the one of 5 s could end, the others were cut off");
    assert_eq!(memory.states(), BTreeMap::from([(State::Done, 1), (State::Running, 17), (State::Waiting, 21)]));
    memory.push(job(50, "http://d.example/"));
    sleep(Duration::from_secs(9)).await;
    assert_eq!(memory.get(50).state, State::Waiting, "nothing is claimed after the stop");

    memory.reopen();
    let again = target(|_, _| async { Outcome::Done });
    let running = Running::start(&memory, &again);
    sleep(Duration::from_secs(1)).await;
    running.stop().await;
    assert_eq!(memory.states(), BTreeMap::from([(State::Done, 40)]));
    assert!(!again.ids().contains(&job(1, "").id) && again.ids().contains(&job(2, "").id), "the same ids, but for what was done");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_over_is_claimed_again() {
    let mut lost = job(1, "http://a.example/");
    lost.state = State::Running;
    lost.next += SignedDuration::from_mins(10);
    let memory = Memory::with([lost]);
    let target = target(|_, _| async { Outcome::Done });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(900)).await;
    running.stop().await;
    assert_eq!((target.times(), memory.get(1).state), (vec![600], State::Done));
}

#[tokio::test(start_paused = true)]
async fn new_jobs_wake_it_and_errors_of_the_store_pass() {
    let memory = Memory::with([]);
    let target = target(|_, _| async { Outcome::Done });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(100)).await;
    memory.push(job(1, "http://a.example/"));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(memory.get(1).state, State::Done, "at once");
    memory.broken.store(true, Ordering::SeqCst);
    memory.push(job(2, "http://a.example/"));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(memory.get(2).state, State::Done, "asked again after 5 s");
    running.stop().await;
    assert_eq!(target.times(), [100, 105]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_could_not_be_put_down_runs_again() {
    let memory = Memory::with([job(1, "http://a.example/")]);
    let breaking = Arc::clone(&memory);
    let target = target(move |_, before| {
        breaking.broken.store(before == 0, Ordering::SeqCst);
        async { Outcome::Dead { error: "gone".into() } }
    });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(3_600)).await;
    let dead = running.stop().await;
    assert_eq!((target.times(), memory.get(1).state, dead.len()), (vec![0, 1_800], State::Dead, 1));
}
