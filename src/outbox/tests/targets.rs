//! Targets that are slow by their own wish, and targets that fail.

use super::*;
use crate::action::{Rate, Task};

fn post(event: u64, url: &str, concurrency: Option<u16>, rate: Option<(u32, u64)>) -> Job {
    let mut job = job(event, url);
    if let Task::Post(post) = &mut job.task {
        post.concurrency = concurrency;
        post.rate = rate.map(|(count, seconds)| Rate { count, per: Duration::from_secs(seconds) });
    }
    job
}

async fn well(_: Job, _: usize) -> Outcome {
    sleep(Duration::from_millis(20)).await;
    Outcome::Done
}

/// Milliseconds after the start, of one host's attempts.
fn milliseconds<F>(target: &Target<F>, events: std::ops::Range<u64>) -> Vec<i64> {
    let attempts = target.attempts.lock().unwrap();
    attempts.iter().filter(|(id, _)| events.contains(&id.event)).map(|(_, at)| at.as_millisecond() - START * 1_000).collect()
}

#[tokio::test(start_paused = true)]
async fn concurrency_and_rate_of_one_target_hold_up_no_other() {
    let narrow = (0..50).map(|n| post(n, "http://narrow.example/", Some(2), None));
    let paced = (100..150).map(|n| post(n, "http://paced.example/", None, Some((10, 1))));
    let hourly = (200..203).map(|n| post(n, "http://hourly.example/", None, Some((1, 3_600))));
    let free = (300..500).map(|n| job(n, "http://free.example/"));
    let memory = Memory::with(narrow.chain(paced).chain(hourly).chain(free));
    let target = target(well);
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(memory.states(), BTreeMap::from([(State::Done, 50 + 50 + 1 + 200), (State::Waiting, 2)]));
    let waiting = memory.get(202);
    assert_eq!((waiting.attempts, waiting.last_error), (0, None), "put back without a trace");
    assert!(milliseconds(&target, 300..500).iter().all(|at| *at <= 1_100), "the free one took a second");
    let paced = milliseconds(&target, 100..150);
    assert!(paced.iter().enumerate().all(|(n, at)| paced[n..].iter().filter(|later| **later < at + 1_000).count() <= 10), "{paced:?}");
    assert!(paced.last().unwrap() <= &5_000, "and all ten of each second: {paced:?}");
    sleep(Duration::from_secs(2 * 3_600)).await;
    running.stop().await;
    assert_eq!(milliseconds(&target, 200..203).iter().map(|at| at / 1_000).collect::<Vec<_>>(), [0, 3_600, 7_200]);
    let most = target.most.lock().unwrap();
    assert_eq!((most["post narrow.example"], most["post free.example"]), (2, 4));
    let claims = memory.claims.load(Ordering::SeqCst);
    assert!(claims < 600, "no busy waiting: {claims}");
}

#[tokio::test(start_paused = true)]
async fn a_wider_target_has_more_places() {
    let memory = Memory::with((0..400).map(|n| post(n, "http://wide.example/", Some(12), None)));
    let target = target(well);
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(1)).await;
    running.stop().await;
    assert_eq!(memory.states(), BTreeMap::from([(State::Done, 400)]));
    assert_eq!(target.most.lock().unwrap()["all"], 12);
}

#[tokio::test(start_paused = true)]
async fn a_failing_target_is_left_alone_then_tried_by_one_then_all_go_on() {
    let memory = Memory::with((0..60).map(|n| job(n, "http://down.example/")).chain((100..160).map(|n| job(n, "http://up.example/"))));
    let now = clock();
    let target = target(move |job, _| {
        let down = job.id.event < 100 && now().as_second() - START < 300;
        async move { if down { later("connection refused") } else { Outcome::Done } }
    });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(20)).await;
    let attempted = milliseconds(&target, 0..100).len();
    assert!((5..=8).contains(&attempted), "those that ran as it was closed, no more: {attempted}");
    assert_eq!(milliseconds(&target, 100..200).len(), 60, "the others never noticed");
    let untried = memory.jobs.lock().unwrap().values().filter(|job| job.id.event < 100 && job.attempts == 0).count();
    assert_eq!(untried, 60 - attempted);
    assert_eq!(memory.states().get(&State::Running), None, "all wait");
    let closed = running.targets.closed();
    assert_eq!(
        closed.iter().map(|one| (one.host.as_str(), one.error.as_str())).collect::<Vec<_>>(),
        [("down.example", "connection refused")]
    );
    assert!(running.targets.of(&memory.get(59)).is_some() && running.targets.of(&memory.get(100)).is_none());

    sleep(Duration::from_secs(270)).await;
    let trials: Vec<i64> = milliseconds(&target, 0..100)[attempted..].iter().map(|at| at / 1_000).collect();
    assert_eq!(trials, [30, 90, 210], "one each, after growing pauses");
    sleep(Duration::from_secs(600)).await;
    let news = running.news.lock().unwrap().clone();
    running.stop().await;
    assert_eq!(memory.states(), BTreeMap::from([(State::Done, 120)]));
    let recovered: Vec<i64> = milliseconds(&target, 0..100)[attempted + 3..].iter().map(|at| at / 1_000).collect();
    assert_eq!(recovered[0], 450);
    assert!(recovered[1..50].iter().all(|at| *at == 450), "then all at once: {recovered:?}");
    let [(told, TargetNews::Down(down)), (well, TargetNews::Well { host, lasted })] = news.as_slice() else { panic!("{news:?}") };
    assert_eq!((*told, *well, down.host.as_str(), host.as_str(), lasted.as_secs()), (60, 450, "down.example", "down.example", 450));
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_target_that_stays_down_die_after_three_days() {
    let memory = Memory::with((0..200).map(|n| job(n, "http://down.example/")));
    let target = target(|_, _| async { later("connection refused") });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(3 * 86_400 - 60)).await;
    assert_eq!(memory.states(), BTreeMap::from([(State::Waiting, 200)]));
    let attempts = target.times().len();
    assert!((430..=450).contains(&attempts), "one in ten minutes: {attempts}");
    sleep(Duration::from_secs(4 * 3_600)).await;
    let news = running.news.lock().unwrap().len();
    let dead = running.stop().await;
    assert_eq!(memory.states(), BTreeMap::from([(State::Dead, 200)]));
    assert!(dead.len() == 200 && dead.iter().all(|job| job.last_error.as_deref().is_some_and(|error| error.ends_with("refused"))));
    assert_eq!(news, 1, "told once in all that time");
}

#[tokio::test(start_paused = true)]
async fn a_job_s_own_fault_closes_nothing() {
    let memory = Memory::with((0..40).map(|n| job(n, "http://a.example/")));
    let target = target(|job, _| async move {
        let blame = if job.id.event % 2 == 0 { Blame::Job } else { Blame::Us };
        Outcome::Later { error: "404".into(), after: None, blame }
    });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(2)).await;
    assert_eq!((target.times().len(), running.targets.closed()), (40, Vec::new()));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn hurried_it_is_tried_at_once() {
    let memory = Memory::with((0..20).map(|n| job(n, "http://a.example/")));
    let now = clock();
    let target = target(move |_, _| {
        let down = now().as_second() - START < 5;
        async move { if down { later("connection refused") } else { Outcome::Done } }
    });
    let running = Running::start(&memory, &target);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(running.targets.closed().len(), 1);
    running.targets.hurry();
    sleep(Duration::from_secs(10)).await;
    assert_eq!((memory.states().get(&State::Done), running.targets.closed().len()), (Some(&20), 0));
    assert_eq!(running.news.lock().unwrap().len(), 0, "too short to be told");
    running.stop().await;
}
