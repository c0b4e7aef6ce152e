//! A backup made while mail flows is the store as it was at one commit; what isn't whole is refused.

#![allow(clippy::unwrap_used)]

#[path = "support/random.rs"]
mod random;
mod store_support;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bounced::{
    ledger::{Comparator, Input, Per},
    store::{BackupError, Decided, Disk, EventFilter, JobFilter, Options, RestoreError, Store, Which, restore, verify},
    taxonomy::Status,
};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use random::Random;
use store_support::*;

const ROUNDS: usize = 24;
const CACHE: u64 = 8 << 20;

fn raw(name: &str) -> Bytes {
    Bytes::from(format!("Subject: {name}\r\n\r\n{}\r\n", "x".repeat(300)))
}

fn input(name: &str, n: u64) -> bounced::ledger::MailInput {
    let mut input = mail(&format!("p{}@d{}.example.org", n % 200, n % 3), name);
    input.keep_raw = n.is_multiple_of(4);
    input
}

fn options(clock: &Clock) -> Options {
    Options { segment_bytes: 50_000, ..clock.options() }
}

/// What was acknowledged: name, number and event.
#[derive(Default)]
struct Flow {
    acked: Mutex<Vec<(String, u64, u64)>>,
    more: Condvar,
    stop: AtomicBool,
}

impl Flow {
    fn await_more(&self, more: usize) {
        let acked = self.acked.lock().unwrap();
        let until = acked.len() + more;
        let (_acked, waited) = self.more.wait_timeout_while(acked, Duration::from_secs(60), |acked| acked.len() < until).unwrap();
        assert!(!waited.timed_out(), "nothing is recorded any more");
    }
}

async fn record_on(store: Arc<Store>, flow: Arc<Flow>, task: u64, now: Timestamp) {
    for n in 0.. {
        if flow.stop.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("{task}-{n}");
        let recorded = store.record(vec![Input::Mail(input(&name, n))], raw(&name)).await.unwrap();
        flow.acked.lock().unwrap().push((name, n, recorded[0].event));
        flow.more.notify_all();
        if n.is_multiple_of(16) {
            for job in store.claim(now, SignedDuration::from_secs(1), 1).await.unwrap() {
                store.finish(job.id, Decided::Done).await.unwrap();
            }
        }
    }
}

/// Takes what it is given no faster than mail comes in, now and then.
struct Slow<'a> {
    bytes: Vec<u8>,
    flow: &'a Flow,
    random: Random,
}

impl Write for Slow<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.random.below(12) == 0 {
            self.flow.await_more(8);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_mail_flows() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = Arc::new(Store::open(&dir.path().join("live"), options(&clock)).unwrap());
    store.set_rules(rules(vec![
        trigger("third", Per::Address, Comparator::Exactly(3)),
        trigger("each", Per::Domain, Comparator::Every(40)),
    ]));
    let flow = Arc::new(Flow::default());
    let tasks: Vec<_> = (0..8).map(|task| tokio::spawn(record_on(store.clone(), flow.clone(), task, clock.now()))).collect();
    let seed = std::env::var("BOUNCED_SEED").map_or_else(|_| getrandom::u64().unwrap(), |seed| seed.parse().unwrap());
    println!("BOUNCED_SEED={seed}");
    let mut random = Random(seed);
    for round in 0..ROUNDS {
        flow.await_more(usize::try_from(random.below(150)).unwrap());
        let before: Vec<u64> = flow.acked.lock().unwrap().iter().map(|(.., event)| *event).collect();
        let mut slow = Slow { bytes: Vec::new(), flow: &flow, random };
        let made = tokio::task::block_in_place(|| store.backup(None, &mut slow, &mut |_, _| {})).unwrap();
        assert_eq!(made.octets, slow.bytes.len() as u64);
        assert!(before.iter().all(|event| *event <= made.last_event), "what was confirmed before is in it");
        let there = dir.path().join(format!("copy-{round}"));
        let restored = tokio::task::block_in_place(|| restore(&there, &slow.bytes[..], CACHE, &Disk, &mut |_| {})).unwrap();
        assert_eq!(restored.last_event, made.last_event);
        whole(&there, &clock, &store, &flow, made.last_event).await;
        fs::remove_dir_all(&there).unwrap();
    }
    flow.stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    store.close().unwrap();
}

/// The restored store holds the events up to `last`, each once, counted once.
async fn whole(there: &Path, clock: &Clock, live: &Store, flow: &Flow, last: u64) {
    let copy = Store::open(there, options(clock)).unwrap();
    let events: Vec<_> = copy.events(&EventFilter::default()).unwrap().into_iter().collect();
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), (1..=last).rev().collect::<Vec<_>>());
    assert_eq!(copy.totals(Which::Counted).unwrap(), [(Status::HardBounce, last)].into());
    let mut counts = std::collections::BTreeMap::<_, u64>::new();
    for event in &events {
        *counts.entry(event.person.unwrap()).or_default() += 1;
        if let Some(at) = event.raw {
            assert!(copy.raw(at).unwrap().unwrap().ends_with(b"x\r\n"));
        }
    }
    for (person, count) in counts {
        let person = copy.person(person).unwrap().unwrap();
        assert_eq!(person.counted.totals, [(Status::HardBounce, count)].into());
        // The trigger of the domain tags, too.
        assert!(count < 3 || person.tags.contains("told"));
    }
    // Every job's body is there, and each state's count fits.
    let jobs = copy.jobs(&JobFilter::default()).unwrap();
    let known = copy.job_counts().unwrap();
    assert_eq!(jobs.len() as u64, known.waiting + known.running + known.done + known.dead);
    assert!(jobs.iter().all(|job| job.id.epoch == live.epoch()), "jobs keep their ids");
    assert_ne!(copy.epoch(), live.epoch(), "and new ones get others");
    let acked = flow.acked.lock().unwrap().clone();
    for (name, n, event) in acked.iter().rev().take(60) {
        let again = record_raw(&copy, input(name, *n), raw(name)).await;
        assert_eq!(again.duplicate, *event <= last, "{name} was event {event} of {last}");
    }
    copy.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    record(&store, mail("alice@example.org", "1")).await;
    struct Nested<'a>(&'a Store, bool);
    impl Write for Nested<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.1 {
                self.1 = true;
                assert!(matches!(self.0.backup(None, &mut io::sink(), &mut |_, _| {}), Err(BackupError::Busy)));
                assert!(self.0.forget(&[], "bob@example.org", &mut |_, _| {}).is_err());
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    store.backup(None, &mut Nested(&store, false), &mut |_, _| {}).unwrap();
    store.backup(None, &mut io::sink(), &mut |_, _| {}).unwrap();
    // One that broke off holds nothing up either.
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    assert!(matches!(store.backup(None, &mut Full, &mut |_, _| {}), Err(BackupError::Output(_))));
    clock.go_days(500);
    assert!(store.expire().await.unwrap() > 0);
    store.backup(None, &mut io::sink(), &mut |_, _| {}).unwrap();
}

async fn small(dir: &Path, clock: &Clock) -> Vec<u8> {
    let store = Store::open(dir, options(clock)).unwrap();
    store.set_rules(rules(vec![trigger("any", Per::Address, Comparator::AtLeast(1))]));
    for n in 0..4 {
        record_raw(&store, input(&n.to_string(), n), raw("small")).await;
    }
    let mut bytes = Vec::new();
    store.backup(Some(b"a key of the daemon's own, in base32 it would be\n"), &mut bytes, &mut |_, _| {}).unwrap();
    store.close().unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_anywhere_is_refused() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let bytes = small(&dir.path().join("live"), &clock).await;
    verify(&bytes[..], &mut |_| {}).unwrap();
    let there = dir.path().join("there");
    println!("{} octets", bytes.len());
    for place in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[place] ^= 1 << (place % 8);
        assert!(verify(&bad[..], &mut |_| {}).is_err(), "octet {place} of {}", bytes.len());
        assert!(verify(&bytes[..place], &mut |_| {}).is_err(), "cut at {place}");
        if place % 97 == 0 {
            restore(&there, &bad[..], CACHE, &Disk, &mut |_| {}).unwrap_err();
            restore(&there, &bytes[..place], CACHE, &Disk, &mut |_| {}).unwrap_err();
            let left = if there.exists() { files(&there) } else { Vec::new() };
            assert!(left.iter().all(|file| file.ends_with("store.lock")), "{left:?}");
        }
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert!(matches!(restore(&there, &longer[..], CACHE, &Disk, &mut |_| {}), Err(RestoreError::Damaged(_))));
    assert!(matches!(verify(&b"From MAILER-DAEMON"[..], &mut |_| {}), Err(RestoreError::NoBackup)));
    assert!(matches!(verify(&b""[..], &mut |_| {}), Err(RestoreError::NoBackup)));
    let mut newer = bytes.clone();
    newer[15] += 1;
    assert!(matches!(verify(&newer[..], &mut |_| {}), Err(RestoreError::Format { found: 2, known: 1 })));
    assert!(matches!(verify(&bytes[..bytes.len() - 1], &mut |_| {}), Err(RestoreError::Cut)));
    // After all these the place is still free.
    restore(&there, &bytes[..], CACHE, &Disk, &mut |_| {}).unwrap();
    assert!(fs::read(there.join("verp.hash")).unwrap().starts_with(b"a key of the daemon's own"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_where_no_store_is() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let live = dir.path().join("live");
    let bytes = small(&live, &clock).await;
    let before = files(&live);
    let refused = restore(&live, &bytes[..], CACHE, &Disk, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, RestoreError::Occupied(_)), "{refused}");
    assert_eq!(files(&live), before);
    let open = Store::open(&live, options(&clock)).unwrap();
    assert!(matches!(restore(&live, &bytes[..], CACHE, &Disk, &mut |_| {}), Err(RestoreError::Open(_))));
    drop(open);

    let there = dir.path().join("there");
    fs::create_dir(&there).unwrap();
    fs::write(there.join("verp.hash"), "another").unwrap();
    assert!(matches!(restore(&there, &bytes[..], CACHE, &Disk, &mut |_| {}), Err(RestoreError::OtherKey(_))));
    fs::remove_file(there.join("verp.hash")).unwrap();
    restore(&there, &bytes[..], CACHE, &Disk, &mut |_| {}).unwrap();
    let copy = Store::open(&there, options(&clock)).unwrap();
    assert_eq!(copy.last_event().unwrap(), 4);
    // A backup of it is as good as the first.
    let mut again = Vec::new();
    copy.backup(None, &mut again, &mut |_, _| {}).unwrap();
    verify(&again[..], &mut |_| {}).unwrap();
}

/// A crash after a restore was whole and before its files were in their place.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_off_restore_is_finished_at_open() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let bytes = small(&dir.path().join("live"), &clock).await;
    let there = dir.path().join("there");
    restore(&there, &bytes[..], CACHE, &Disk, &mut |_| {}).unwrap();
    let done = there.join("restored");
    fs::create_dir(&done).unwrap();
    for name in ["store", "store.marker", "raw"] {
        fs::rename(there.join(name), done.join(name)).unwrap();
    }
    let copy = Store::open(&there, options(&clock)).unwrap();
    assert_eq!(copy.events(&EventFilter::default()).unwrap().len(), 4);
    assert!(!done.exists());
}
