//! What the store keeps, counts, hands out and lets go.

#![allow(clippy::unwrap_used)]

mod store_support;

use std::time::Duration;

use bounced::{
    action::Task,
    ledger::{Comparator, Counts, Input, Per, Standing},
    outbox::State,
    store::{By, Decided, EventFilter, JobCounts, JobFilter, Store, Which},
    taxonomy::Status,
};
use bytes::Bytes;
use jiff::SignedDuration;
use store_support::*;

const LEASE: SignedDuration = SignedDuration::from_secs(60);

fn hard(count: u64) -> Counts {
    [(Status::HardBounce, count)].into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_comes_again_is_counted_once() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = Store::open(dir.path(), clock.options()).unwrap();
    // In one batch and in one mail, too.
    let (a, b) = (mail("alice@example.org", "1"), mail("bob@example.org", "1"));
    let twice = store.record(vec![Input::Mail(a.clone()), Input::Mail(b), Input::Mail(a.clone())], Bytes::new());
    let again = store.record(vec![Input::Mail(a.clone())], Bytes::new());
    let (twice, again) = (twice.await.unwrap(), again.await.unwrap());
    let fate: Vec<(u64, bool)> = twice.iter().chain(&again).map(|recorded| (recorded.event, recorded.duplicate)).collect();
    assert_eq!(fate, [(1, false), (2, false), (1, true), (1, true)]);
    store.close().unwrap();
    drop(store);

    let store = Store::open(dir.path(), clock.options()).unwrap();
    assert!(record(&store, a).await.duplicate);
    assert_eq!(store.person(key("alice@example.org")).unwrap().unwrap().counted.totals, hard(1));
    assert_eq!(store.totals(Which::Counted).unwrap(), hard(2));
    assert_eq!(store.last_event().unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_fire_exactly_one() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = std::sync::Arc::new(Store::open(dir.path(), clock.options()).unwrap());
    let (first, fortieth) = (Comparator::Exactly(1), Comparator::Exactly(40));
    store.set_rules(rules(vec![
        trigger("first", Per::Address, first),
        trigger("fortieth", Per::Domain, fortieth),
        trigger("all", Per::All, Comparator::AtLeast(64)),
    ]));
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { record(&store, mail("alice@example.org", &n.to_string())).await })
        })
        .collect();
    let mut fired = Vec::new();
    for task in tasks {
        fired.extend(task.await.unwrap().fired);
    }
    fired.sort();
    assert_eq!(fired, ["all", "first", "fortieth"]);
    let person = store.person(key("alice@example.org")).unwrap().unwrap();
    assert_eq!((person.counted.totals, person.counted.recent.len()), (hard(64), 64));
    assert!(person.tags.contains("told"));
    for by in [By::Status, By::Domain, By::Campaign, By::Day] {
        let expected = ["hard-bounce", "example.org", "news", "2026-11-23"][by as usize];
        assert_eq!(store.counts(by).unwrap(), [(expected.to_owned(), 64)], "{by:?}");
    }
    assert_eq!(store.job_counts().unwrap(), JobCounts { waiting: 3, ..JobCounts::default() });
    assert_eq!(store.jobs(&JobFilter::default()).unwrap().iter().map(|job| job.facts.count).collect::<Vec<_>>(), [1, 40, 64]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let raw = |n: u32| Bytes::from(format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(900)));
    // Small segments, so that there are several.
    let options = || bounced::store::Options { segment_bytes: 20_000, ..clock.options() };
    let store = Store::open(dir.path(), options()).unwrap();
    store.set_rules(rules(vec![trigger("tenth", Per::Campaign, Comparator::Exactly(10))]));
    for n in 0..300_u32 {
        let mut mail = mail(&format!("p{}@example.org", n % 7), &n.to_string());
        mail.keep_raw = n % 3 == 0;
        if n % 50 == 0 {
            mail.verdict.status = Status::AutoReply;
        }
        record_raw(&store, mail, raw(n)).await;
        clock.go(SignedDuration::from_secs(60));
    }
    let see = |store: &Store| {
        let everything = EventFilter::default();
        let person = store.person(key("p3@example.org")).unwrap().unwrap();
        let jobs = store.jobs(&JobFilter::default()).unwrap();
        let hours = store.hours(Which::Counted, 0..=u32::MAX).unwrap();
        (store.events(&everything).unwrap(), person, jobs, hours, store.counts(By::Domain).unwrap(), store.last_arrival().unwrap())
    };
    let before = see(&store);
    let epoch = store.epoch();
    store.close().unwrap();
    drop(store);
    assert!(files(&dir.path().join("events")).len() > 3 && files(&dir.path().join("raw")).len() > 3);

    let store = Store::open(dir.path(), options()).unwrap();
    assert_eq!(see(&store), before);
    assert_eq!(store.epoch(), epoch);
    let events: Vec<_> = before.0.into_iter().collect();
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), (1..=300).rev().collect::<Vec<_>>());
    for event in &events {
        let n = u32::try_from(event.id - 1).unwrap();
        assert_eq!(event.raw.map(|at| store.raw(at).unwrap().unwrap()), (n % 3 == 0).then(|| raw(n)));
        assert_eq!(store_support::event(store.event(event.id).unwrap().unwrap()), *event);
    }
    assert_eq!((store.event(0).unwrap(), store.event(301).unwrap()), (None, None));
    let ids = |filter: &EventFilter| store.events(filter).unwrap().into_iter().map(|each| each.id).collect::<Vec<_>>();
    assert_eq!(ids(&EventFilter { limit: 3, ..EventFilter::default() }), [300, 299, 298]);
    let replies = EventFilter { status: Some(Status::AutoReply), ..EventFilter::default() };
    assert_eq!(ids(&replies), [251, 201, 151, 101, 51, 1]);
    let since = Some(clock.now() - SignedDuration::from_secs(120));
    assert_eq!(ids(&EventFilter { since, ..EventFilter::default() }), [300, 299]);
    let person = Some(key("p3@example.org"));
    assert_eq!(ids(&EventFilter { person, limit: 2, ..EventFilter::default() }), [298, 291]);
    assert_eq!(ids(&EventFilter { person, ..EventFilter::default() }).len(), 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_fire_counts_apart() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = Store::open(dir.path(), clock.options()).unwrap();
    store.set_rules(rules(vec![trigger("any", Per::Address, Comparator::AtLeast(1))]));
    for (n, standing) in [Standing::Unsigned, Standing::Expired, Standing::Own, Standing::Unsigned].into_iter().enumerate() {
        let recorded = record(&store, bounced::ledger::MailInput { standing, ..mail("alice@example.org", &n.to_string()) }).await;
        assert_eq!(recorded.fired, [""; 0]);
    }
    let totals = [Which::Counted, Which::Unsigned, Which::Expired, Which::Own].map(|which| store.totals(which).unwrap());
    assert_eq!(totals, [Counts::new(), hard(2), hard(1), hard(1)]);
    assert_eq!(store.counts(By::Domain).unwrap(), []);
    let today = bounced::ledger::day_of(clock.now());
    assert_eq!(store.days(Which::Unsigned, today..=today).unwrap(), [(today, hard(2))].into());
    let hour = bounced::ledger::hour_of(clock.now());
    assert_eq!(store.hours(Which::Own, hour..=hour).unwrap(), [(hour, hard(1))].into());
    assert_eq!(store.hours(Which::Own, 0..=hour - 1).unwrap(), [].into());
    assert_eq!(store.person(key("alice@example.org")).unwrap().unwrap().apart.totals, hard(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn time_never_goes_back_and_odd_keys_are_found_by_address() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = Store::open(dir.path(), clock.options()).unwrap();
    record(&store, mail("alice@example.org", "1")).await;
    clock.go_days(-3);
    let subscriber = bounced::ledger::MailInput { person: Some(key("id 4711")), ..mail("alice@example.org", "2") };
    let second = record(&store, subscriber).await;
    let at = |id| event(store.event(id).unwrap().unwrap()).at;
    assert_eq!(at(second.event), at(1));
    assert_eq!(store.persons_at("alice@example.org").unwrap(), [key("id 4711")]);
    assert_eq!(store.persons_at("bob@example.org").unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_claimed_leased_finished_and_rescued() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let open = || Store::open(dir.path(), clock.options()).unwrap();
    let store = open();
    let mut changed = store.jobs_changed();
    store.set_rules(rules(vec![trigger("each", Per::Address, Comparator::AtLeast(1))]));
    assert_eq!(store.next_due().unwrap(), None);
    for n in 0..4 {
        record(&store, mail(&format!("p{n}@example.org"), "1")).await;
    }
    changed.changed().await.unwrap();
    assert_eq!(store.next_due().unwrap(), Some(clock.now()));

    let claimed = store.claim(clock.now(), LEASE, 3).await.unwrap();
    assert_eq!(
        claimed.iter().map(|job| (job.id.event, job.attempts, job.state)).collect::<Vec<_>>(),
        [1, 2, 3].map(|n| (n, 1, State::Running))
    );
    assert!(claimed.iter().all(|job| matches!(job.task, Task::Post(_)) && job.facts.trigger == "each" && job.id.epoch == store.epoch()));
    let [first, second, third] = [0, 1, 2].map(|n: usize| claimed[n].id);
    assert_eq!(store.claim(clock.now(), LEASE, 9).await.unwrap().len(), 1, "what runs isn't handed out twice");
    assert!(store.finish(first, Decided::Done).await.unwrap());
    assert!(!store.finish(first, Decided::Done).await.unwrap(), "done is done");
    let later = clock.now() + SignedDuration::from_secs(30);
    assert!(store.finish(second, Decided::Later { at: later, error: "451 ".repeat(400) }).await.unwrap());
    assert!(store.finish(third, Decided::Dead { error: "gone".to_owned() }).await.unwrap());
    assert_eq!(store.job_counts().unwrap(), JobCounts { waiting: 1, running: 1, done: 1, dead: 1 });
    assert_eq!(store.job(second).unwrap().unwrap().last_error.unwrap().len(), 500);
    assert_eq!(store.next_due().unwrap(), Some(later));
    assert_eq!(store.claim(clock.now(), LEASE, 9).await.unwrap(), []);

    clock.go(SignedDuration::from_secs(61));
    let again: Vec<(u64, u32)> = store.claim(clock.now(), LEASE, 9).await.unwrap().iter().map(|job| (job.id.event, job.attempts)).collect();
    assert_eq!(again, [(2, 2), (4, 2)], "its time came, and a lease ran out");
    store.close().unwrap();
    drop(store);

    let store = open();
    let rescued = store.claim(clock.now(), LEASE, 9).await.unwrap();
    assert_eq!(rescued.iter().map(|job| (job.id.event, job.attempts)).collect::<Vec<_>>(), [(2, 3), (4, 3)]);
    let error = store.job(second).unwrap().unwrap().last_error;
    assert!(store.finish(second, Decided::Released { at: rescued[0].created }).await.unwrap());
    let released = store.job(second).unwrap().unwrap();
    assert_eq!((released.state, released.attempts, released.last_error), (State::Waiting, 2, error), "as if never claimed");
    assert_eq!(store.claim(clock.now(), LEASE, 9).await.unwrap().iter().map(|job| job.attempts).collect::<Vec<_>>(), [3]);
    assert!(store.retry(third).await.unwrap() && !store.retry(second).await.unwrap(), "a running job is left alone");
    assert_eq!(store.claim(clock.now(), LEASE, 9).await.unwrap().iter().map(|job| job.id).collect::<Vec<_>>(), [third]);
    assert!(store.drop_job(third).await.unwrap() && !store.drop_job(third).await.unwrap());
    assert_eq!(store.job_counts().unwrap(), JobCounts { waiting: 0, running: 2, done: 1, dead: 0 });
    clock.go_days(8);
    store.expire().await.unwrap();
    assert_eq!(store.job(first).unwrap(), None, "a finished job can be seen for seven days");
    assert_eq!(store.job_counts().unwrap().done, 0);
    assert_eq!(store.jobs(&JobFilter { state: Some(State::Running), limit: 1 }).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_what_is_new_stays() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let day = Duration::from_secs(86_400);
    let options = || bounced::store::Options { segment_bytes: 50_000, keep_events: 40 * day, keep_raw: 10 * day, ..clock.options() };
    let store = Store::open(dir.path(), options()).unwrap();
    store.set_rules(rules(vec![trigger("each", Per::Address, Comparator::Exactly(1))]));
    let first_day = bounced::ledger::day_of(clock.now());
    for n in 0..600 {
        let mut mail = mail(&format!("p{n}@example.org"), "1");
        mail.keep_raw = true;
        if n % 2 == 1 {
            mail.standing = Standing::Unsigned;
        }
        record_raw(&store, mail, Bytes::from(vec![b'x'; 500])).await;
        if n % 10 == 9 {
            clock.go_days(1);
        }
    }
    assert_eq!(store.job_counts().unwrap().waiting, 300);
    let gone = store.expire().await.unwrap();
    assert!(gone > 200, "{gone}");
    assert_eq!(store.expire().await.unwrap(), 0);

    let events: Vec<_> = store.events(&EventFilter::default()).unwrap().into_iter().collect();
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), (201..=600).rev().collect::<Vec<_>>());
    assert_eq!((store.event(200).unwrap(), store.event(201).unwrap().is_some()), (None, true));
    let raws: Vec<bool> = events.iter().map(|event| store.raw(event.raw.unwrap()).unwrap().is_some()).collect();
    assert!(raws[..100].iter().all(|there| *there), "of the last ten days");
    assert!(!raws[130..].iter().any(|there| *there), "older ones than that and a segment's span");
    assert_eq!(store.job_counts().unwrap().waiting, 200, "jobs go with their events");
    assert_eq!(store.days(Which::Counted, first_day..=first_day + 60).unwrap().len(), 40);
    assert_eq!(store.totals(Which::Counted).unwrap(), hard(300), "totals stay");
    let person = |n: u32| store.person(key(&format!("p{n}@example.org"))).unwrap();
    assert!(person(0).is_some(), "a person whom a signed mail named stays");
    assert_eq!((person(1), person(301).is_some()), (None, true), "one of whom only unsigned mail spoke goes with it");
    assert!(!record(&store, mail("p0@example.org", "1")).await.duplicate, "a dedupe key lives as long as its event");
    assert!(record(&store, mail("p598@example.org", "1")).await.duplicate);

    let last = store.last_event().unwrap();
    store.close().unwrap();
    drop(store);
    let store = Store::open(dir.path(), options()).unwrap();
    assert_eq!(store.last_event().unwrap(), last);
    assert_eq!(store.events(&EventFilter::default()).unwrap().len(), 401);
    clock.go_days(100);
    store.expire().await.unwrap();
    assert_eq!(store.events(&EventFilter::default()).unwrap(), []);
    assert_eq!(store.job_counts().unwrap(), JobCounts::default());
    for stream in ["events", "raw"] {
        let dir = dir.path().join(stream);
        let left: u64 = files(&dir).iter().map(|file| dir.join(file).metadata().unwrap().len()).sum();
        assert_eq!(left, 0, "nothing is left in {stream}");
    }
    assert_eq!(record(&store, mail("p0@example.org", "9")).await.event, last + 1);
}
