use jiff::SignedDuration;
use proptest::prelude::*;

use super::{
    super::tests::{START, memory::job},
    *,
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn today() -> Timestamp {
    Timestamp::from_second(START).unwrap()
}

fn post(event: u64, url: &str, concurrency: Option<u16>, rate: Option<Rate>) -> Job {
    let mut job = job(event, url);
    if let Task::Post(post) = &mut job.task {
        (post.concurrency, post.rate) = (concurrency, rate);
    }
    job
}

fn rate(count: u32, seconds: u64) -> Option<Rate> {
    Some(Rate { count, per: at(seconds) })
}

fn lanes(jobs: impl IntoIterator<Item = Job>) -> Lanes {
    let mut lanes = Lanes::new(Limits::default());
    claim(&mut lanes, &mut jobs.into_iter().collect(), at(0));
    lanes
}

/// What a store would give of `waiting`; returns whether to claim again.
fn claim(lanes: &mut Lanes, waiting: &mut Vec<Job>, now: Duration) -> bool {
    let mut want = lanes.want(256, now);
    let mut given = Vec::new();
    waiting.retain(|job| {
        let name = lane(&job.task);
        let room = want.room(&name) > 0;
        if room {
            *want.held.entry(name).or_default() += 1;
            given.push(job.clone());
        }
        !room
    });
    for job in given {
        assert!(lanes.add(job));
    }
    lanes.claimed(now)
}

fn start_all(lanes: &mut Lanes, now: Duration) -> Vec<(String, JobId)> {
    std::iter::from_fn(|| lanes.start(now)).map(|(name, job)| (name, job.id)).collect()
}

fn failed() -> Sign {
    Sign::Failed { error: "connection refused".into(), after: Duration::ZERO }
}

/// One lane, just closed at time 0, with two jobs of it still waiting here.
fn closed(url: &str) -> Lanes {
    let mut lanes = lanes((0..7).map(|n| job(n, url)));
    for _ in 0..5 {
        let (name, job) = lanes.start(at(0)).unwrap();
        lanes.done(&name, job.id, failed(), at(0));
    }
    lanes
}

#[test]
fn concurrency_is_the_strictest_of_those_held() {
    let url = "http://a.example/";
    let mut lanes =
        lanes([post(1, url, Some(9), None), post(2, url, Some(2), None), post(3, url, None, None), post(4, url, Some(9), None)]);
    let begun = start_all(&mut lanes, at(0));
    assert_eq!(begun.len(), 2, "the second asks for two at most");
    lanes.done(&begun[0].0, begun[0].1, Sign::Well, at(0));
    assert_eq!(start_all(&mut lanes, at(0)).len(), 1);
    lanes.done(&begun[1].0, begun[1].1, Sign::Well, at(0));
    assert_eq!(start_all(&mut lanes, at(0)).len(), 1, "the strict one is gone, and no more are left");
}

#[test]
fn more_than_the_usual_share_while_half_is_free() {
    let wide = (0..40).map(|n| post(n, "http://wide.example/", Some(32), None));
    let others = (0..40).map(|n| job(100 + n, &format!("http://host{n}.example/")));
    let mut waiting: Vec<Job> = wide.collect();
    let mut lanes = Lanes::new(Limits::default());
    while claim(&mut lanes, &mut waiting, at(0)) {}
    assert_eq!(start_all(&mut lanes, at(0)).len(), 16, "half of all places");
    claim(&mut lanes, &mut others.collect(), at(0));
    assert_eq!(start_all(&mut lanes, at(0)).len(), 16, "the others have the rest");
}

#[test]
fn a_rate_holds_over_idle_times_and_holds_up_nobody_else() {
    let (slow, fast) = ("http://slow.example/", "http://fast.example/");
    let mut lanes = lanes([post(1, slow, None, rate(1, 60)), post(2, slow, None, rate(1, 60)), job(3, fast), job(4, fast)]);
    let begun = start_all(&mut lanes, at(0));
    assert_eq!(begun.len(), 3, "one of the slow ones, both fast ones");
    assert_eq!(lanes.next(at(0)), Next { act: Some(at(60)), claim: None });
    let back = lanes.surplus(at(0), today());
    assert_eq!(back.iter().map(|one| (one.job.id.event, one.over.clone())).collect::<Vec<_>>(), [(2, None)], "it waits in the store");
    for (name, id) in begun {
        lanes.done(&name, id, Sign::Well, at(1));
    }
    assert_eq!(lanes.next(at(1)), Next { act: None, claim: Some(at(55)) }, "claimed a little ahead");
    lanes.tidy(at(1));
    assert_eq!(lanes.want(9, at(1)).room("post slow.example"), 0, "remembered though nothing of it is held");
    assert!(!claim(&mut lanes, &mut vec![post(2, slow, None, rate(1, 60)), post(5, slow, None, rate(1, 60))], at(55)));
    assert_eq!(start_all(&mut lanes, at(55)).len(), 0);
    assert_eq!(lanes.next(at(55)).act, Some(at(60)));
    assert_eq!(start_all(&mut lanes, at(60)).len(), 1);
}

#[test]
fn a_closed_lane_gives_back_and_has_one_tried() {
    let name = "post a.example";
    let mut lanes = closed("http://a.example/");
    assert_eq!(start_all(&mut lanes, at(0)), []);
    assert_eq!(lanes.surplus(at(0), today()).len(), 2);
    // It looks once through what waits: nothing there is past its time, and all goes back.
    assert_eq!(lanes.want(99, at(0)).room(name), 0);
    assert!(!claim(&mut lanes, &mut vec![], at(0)));
    assert_eq!(lanes.next(at(0)), Next { act: Some(at(60)), claim: Some(at(30)) }, "to be told at 60, tried at 30");
    assert_eq!(lanes.want(99, at(29)).room(name), 0);
    let mut waiting: Vec<Job> = (10..30).map(|n| job(n, "http://a.example/")).collect();
    claim(&mut lanes, &mut waiting, at(30));
    let trial = start_all(&mut lanes, at(30));
    assert_eq!((trial.len(), waiting.len()), (1, 19), "one alone");
    let (change, more) = lanes.done(name, trial[0].1, Sign::Well, at(31));
    assert_eq!((change, more), (Some(Change::Open { lasted: at(31), told: false }), true));
    claim(&mut lanes, &mut waiting, at(31));
    assert_eq!(start_all(&mut lanes, at(31)).len(), 4);
}

#[test]
fn what_is_past_its_time_dies_though_its_lane_is_closed() {
    let mut lanes = closed("http://a.example/");
    let mut old = job(50, "http://a.example/");
    old.created = today().checked_sub(SignedDuration::from_hours(72)).unwrap();
    lanes.add(old);
    let over: Vec<_> = lanes.surplus(at(0), today()).into_iter().filter_map(|one| Some((one.job.id.event, one.over?))).collect();
    assert_eq!(over, [(50, "connection refused".to_owned())]);
    assert!(lanes.sweeping(), "there may be more");
    assert_eq!(lanes.want(99, at(0)).room("post a.example"), 16);
    assert!(lanes.surplus(at(0), today()).is_empty() && !lanes.sweeping());
}

#[test]
fn a_lane_is_told_of_once_and_forgotten_after_a_day() {
    let mut lanes = closed("http://a.example/");
    lanes.surplus(at(0), today());
    assert_eq!(lanes.tell(at(59)), Vec::<String>::new());
    assert_eq!(lanes.tell(at(60)), ["post a.example"]);
    assert_eq!(lanes.tell(at(61)), Vec::<String>::new());
    claim(&mut lanes, &mut vec![], at(100));
    assert_eq!(lanes.next(at(100)), Next::default(), "nothing waits for it: nothing to do");
    assert_eq!(lanes.tidy(at(86_400)), Vec::<String>::new());
    assert_eq!(lanes.tidy(at(100_000)), ["post a.example"]);
    assert!(lanes.spell("post a.example").is_none());
}

proptest! {
    /// Whatever comes and goes, all limits hold, no job is held twice, and there is always a next thing to wait for while something is held.
    #[test]
    fn limits_hold(steps in prop::collection::vec((0_u8..4, 0_u64..5, 0_u64..4_000), 1..300)) {
        let hosts = [
            ("http://a.example/", Some(2), None),
            ("http://b.example/", None, rate(3, 10)),
            ("http://c.example/", Some(20), rate(100, 1)),
            ("http://d.example/", None, None),
            ("http://e.example/", Some(1), rate(1, 60)),
        ];
        let (mut lanes, mut now, mut next_id) = (Lanes::new(Limits::default()), at(0), 0_u64);
        let mut waiting: Vec<Job> = Vec::new();
        let mut running: Vec<(String, JobId)> = Vec::new();
        let mut begun: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
        for (what, host, number) in steps {
            now += Duration::from_millis(number);
            match what {
                0 => for _ in 0..number % 30 {
                    let (url, concurrency, rate) = hosts[host as usize];
                    waiting.push(post(next_id, url, concurrency, rate));
                    next_id += 1;
                },
                1 => {
                    claim(&mut lanes, &mut waiting, now);
                    waiting.extend(lanes.surplus(now, today()).into_iter().map(|one| one.job));
                }
                2 if !running.is_empty() => {
                    let (name, id) = running.swap_remove(number as usize % running.len());
                    let sign = if host == 0 { failed() } else { Sign::Well };
                    lanes.done(&name, id, sign, now);
                }
                _ => {}
            }
            for (name, id) in start_all(&mut lanes, now) {
                begun.entry(name.clone()).or_default().push(now);
                running.push((name, id));
            }
            let of = |name: &str| running.iter().filter(|(of, _)| of == name).count();
            prop_assert!(running.len() <= 32);
            prop_assert!(of("post a.example") <= 2 && of("post b.example") <= 4 && of("post c.example") <= 20 && of("post e.example") <= 1);
            for (name, count, per) in [("post b.example", 3, 10), ("post c.example", 100, 1), ("post e.example", 1, 60)] {
                let times = begun.get(name).map(Vec::as_slice).unwrap_or_default();
                let within = times.iter().rev().take_while(|time| **time + at(per) > now).count();
                prop_assert!(within <= count, "{}: {} in {} s", name, within, per);
            }
            let held: usize = lanes.lanes.values().map(Lane::held).sum();
            prop_assert_eq!(held, lanes.ids.len());
            prop_assert_eq!(lanes.running, running.len());
            let next = lanes.next(now);
            prop_assert!(held == 0 || !running.is_empty() || next.act.is_some());
        }
    }
}
