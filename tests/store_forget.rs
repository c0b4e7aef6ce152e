//! Whoever is forgotten is found nowhere in the store's files, whatever crash comes between; everybody else is as before.

#![allow(clippy::unwrap_used)]

mod store_support;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bounced::{
    ledger::{Comparator, Input, MailInput, Per, Standing},
    store::{By, Decided, Disk, EventFilter, ForgetError, Forgotten, JobFilter, Options, Platter, Store, StoreError, Which},
    verp::PersonKey,
};
use bytes::Bytes;
use jiff::SignedDuration;
use store_support::*;

const ALICE: &str = "alice@example.org";

/// Every way in which the address could stand in a file.
fn traces(dir: &Path) -> Vec<PathBuf> {
    let says = |bytes: &[u8], text: &str| {
        let lower = bytes.to_ascii_lowercase();
        let mut places = lower.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
        places.any(|(place, _)| {
            let another =
                lower[..place].ends_with(b"m") || lower[..place].ends_with(b"bob+") || lower[place + text.len()..].starts_with(b"anic.");
            !another
        })
    };
    let told = |path: &PathBuf| {
        // One that the store's threads have removed since it was listed holds nothing.
        let bytes = match fs::read(dir.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            bytes => bytes.unwrap(),
        };
        says(&bytes, ALICE) || says(&bytes, "alice=example.org") || bytes.windows(10).any(|window| window == key(ALICE).0)
    };
    files(dir).into_iter().filter(told).collect()
}

fn options(clock: &Clock) -> Options {
    Options { segment_bytes: 30_000, ..clock.options() }
}

fn raw(name: &str) -> Bytes {
    Bytes::from(format!("To: <Alice@Example.ORG>, <malice@example.org>\r\nSubject: {name}\r\n\r\n{}\r\n", "x".repeat(400)))
}

fn kept(mut mail: MailInput) -> MailInput {
    mail.keep_raw = true;
    mail
}

/// 400 events of which Alice has many, also under an id of the sender's own, and is mentioned in those of others.
async fn fill(store: &Store, clock: &Clock) {
    store.set_rules(rules(vec![trigger("any", Per::Address, Comparator::Every(5)), trigger("all", Per::All, Comparator::Every(50))]));
    let other_key = PersonKey([7; 10]);
    for n in 0..400_u32 {
        let name = n.to_string();
        let input = match n % 8 {
            0 => mail(ALICE, &name),
            1 => kept(mail(ALICE, &name)),
            2 => MailInput { person: Some(other_key), ..kept(mail(ALICE, &name)) },
            3 => MailInput { standing: Standing::Unsigned, person: None, ..kept(mail(ALICE, &name)) },
            4 => {
                let mut bob = kept(mail("bob@example.org", &name));
                bob.verdict.diagnostic = Some("550 <Alice@example.org>, <malice@example.org>: unknown".to_owned());
                bob
            }
            5 => mail("malice@example.org", &name),
            6 => mail("alice@example.organic.test", &name),
            _ => kept(mail("bob+alice@example.org", &name)),
        };
        record_raw(store, input, raw(&name)).await;
        clock.go(SignedDuration::from_secs(60));
    }
    // One of each of the others' jobs has an error that names her.
    for job in store.claim(clock.now(), SignedDuration::from_secs(60), 30).await.unwrap() {
        let error = format!("alice@example.org is not malice@example.org, for job {}", job.id);
        store.finish(job.id, Decided::Dead { error }).await.unwrap();
    }
}

fn forget(store: &Store) -> Result<Forgotten, ForgetError> {
    let persons: Vec<PersonKey> = store.persons_at(ALICE)?.into_iter().chain([key(ALICE)]).collect();
    tokio::task::block_in_place(|| store.forget(&persons, ALICE, &mut |_, _| {}))
}

/// What is left of the others.
#[derive(Debug, PartialEq)]
struct Others {
    totals: Vec<(String, u64)>,
    events: BTreeMap<u64, String>,
    raw: Vec<Bytes>,
    jobs: usize,
}

fn others(store: &Store) -> Others {
    let of_alice = [key(ALICE), PersonKey([7; 10])];
    let events: Vec<_> = store.events(&EventFilter::default()).unwrap().into_iter().collect();
    let is_hers =
        |event: &bounced::ledger::MailEvent| event.person.map_or(event.standing == Standing::Unsigned, |key| of_alice.contains(&key));
    let events: Vec<_> = events.into_iter().filter(|event| !is_hers(event)).collect();
    // In a VERP address nobody can tell whether `bob+` belongs to the local part.
    let blank = |text: String| {
        let spellings = ["Alice@Example.ORG", "Alice@example.org", "alice=example.org"];
        spellings.into_iter().fold(text, |text, spelling| text.replace(spelling, "xxxxxxxxxxxxxxxxx"))
    };
    let raw = |at| Bytes::from(blank(String::from_utf8(store.raw(at).unwrap().unwrap().to_vec()).unwrap()));
    let jobs = store.jobs(&JobFilter::default()).unwrap();
    assert_eq!(jobs.len() as u64, {
        let counts = store.job_counts().unwrap();
        counts.waiting + counts.running + counts.dead + counts.done
    });
    Others {
        totals: [By::Status, By::Domain, By::Campaign, By::Day].into_iter().flat_map(|by| store.counts(by).unwrap()).collect(),
        raw: events.iter().filter_map(|event| event.raw).map(raw).collect(),
        jobs: jobs.iter().filter(|job| !is_hers(&job.facts.event)).count(),
        events: events
            .iter()
            .map(|event| (event.id, blank(format!("{event:?}")).replace("mxxxxxxxxxxxxxxxxx", "malice=example.org")))
            .collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    fill(&store, &clock).await;
    assert!(!traces(dir.path()).is_empty());
    let before = others(&store);
    assert!(before.events.len() == 200 && before.raw.len() == 100 && before.jobs > 10, "{}", before.jobs);
    let forgotten = forget(&store).unwrap();
    assert_eq!((forgotten.persons, forgotten.events, forgotten.raw, forgotten.damaged), (2, 200, 150, 0));
    assert!(forgotten.jobs > 10 && forgotten.mentions > 50, "{forgotten:?}");
    assert!(others(&store) == before, "nobody else is changed");
    assert_eq!(store.events(&EventFilter::default()).unwrap().len(), 200);
    assert_eq!(store.person(key(ALICE)).unwrap(), None);
    assert!(store.persons_at(ALICE).unwrap().is_empty());
    assert!(traces(dir.path()).into_iter().all(|path| path.starts_with("store")), "the segments hold nothing at once");
    // A mail that came before is still known; a new one is of a new person.
    assert!(record(&store, mail(ALICE, "0")).await.duplicate);
    store.close().unwrap();
    drop(store);

    let store = Store::open(dir.path(), options(&clock)).unwrap();
    assert_eq!(traces(dir.path()), [""; 0].map(PathBuf::from));
    assert!(others(&store) == before, "nobody else is changed");
    assert!(record(&store, mail(ALICE, "0")).await.duplicate);
    assert_eq!(store.person(key(ALICE)).unwrap(), None);
    assert!(!record(&store, mail(ALICE, "new")).await.duplicate);
    assert_eq!(store.person(key(ALICE)).unwrap().unwrap().counted.recent.len(), 1);
    assert_eq!(forget(&store).unwrap().events, 1);

    // What was erased expires as what wasn't.
    clock.go_days(500);
    store.expire().await.unwrap();
    assert!(store.events(&EventFilter::default()).unwrap().is_empty());
    assert!(!record(&store, mail(ALICE, "0")).await.duplicate);
    assert_eq!(store.totals(Which::Counted).unwrap().values().sum::<u64>(), 352, "totals stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_forget() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    record(&store, mail("bob@example.org", "1")).await;
    assert_eq!(forget(&store).unwrap(), Forgotten::default());
    store.close().unwrap();
    drop(store);
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    assert_eq!(store.last_event().unwrap(), 1);
}

/// Lets the power go as the segment files are synced for the `left`th time: of what was written since then every other 16 octets are lost.
#[derive(Default)]
struct Torn {
    left: Mutex<Option<usize>>,
    before: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
}

impl Platter for Torn {
    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        let mut left = self.left.lock().unwrap();
        if let (Some(left), true) = (left.as_mut(), path.extension().is_some_and(|extension| extension == "seg")) {
            if *left == 0 {
                let (old, mut now) = (self.before.lock().unwrap().remove(path).unwrap(), fs::read(path).unwrap());
                for (now, old) in now.chunks_mut(16).zip(old.chunks(16)).step_by(2) {
                    let both = now.len().min(old.len());
                    now[..both].copy_from_slice(&old[..both]);
                }
                fs::write(path, now).unwrap();
                return Err(io::Error::other("the power went"));
            }
            *left -= 1;
            self.before.lock().unwrap().insert(path.to_owned(), fs::read(path).unwrap());
        }
        Disk.sync(file, path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Disk.sync_dir(path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_between_is_finished_at_open() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let whole = dir.path().join("whole");
    let store = Store::open(&whole, options(&clock)).unwrap();
    fill(&store, &clock).await;
    let before = others(&store);
    store.close().unwrap();
    drop(store);
    let mut crashes = 0;
    for round in 0.. {
        let there = dir.path().join(format!("round-{round}"));
        for file in files(&whole) {
            fs::create_dir_all(there.join(&file).parent().unwrap()).unwrap();
            fs::copy(whole.join(&file), there.join(&file)).unwrap();
        }
        let torn = Arc::new(Torn::default());
        let store = Store::open(&there, Options { platter: torn.clone(), ..options(&clock) }).unwrap();
        let segments = files(&there).into_iter().map(|file| there.join(file));
        *torn.before.lock().unwrap() = segments.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        *torn.left.lock().unwrap() = Some(round * 3);
        let ended = forget(&store);
        drop(store);
        if ended.is_err() {
            assert!(matches!(ended, Err(ForgetError::Store(StoreError::Fatal(_)))), "{ended:?}");
            assert!(!traces(&there).is_empty());
            crashes += 1;
        }
        let store = Store::open(&there, options(&clock)).unwrap();
        assert_eq!(traces(&there), [""; 0].map(PathBuf::from), "round {round}");
        assert!(others(&store) == before, "round {round}");
        assert_eq!(store.events(&EventFilter::default()).unwrap().len(), 200);
        drop(store);
        fs::remove_dir_all(&there).unwrap();
        if ended.is_ok() {
            break;
        }
    }
    assert!(crashes > 6, "{crashes} crashes");
}

/// While a person is forgotten mail goes on coming in, hers too.
#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_on() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = Store::open(dir.path(), options(&clock)).unwrap();
    fill(&store, &clock).await;
    let (store, done) = (Arc::new(store), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let recording = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            let mut n = 0_u64;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                n += 1;
                store.record(vec![Input::Mail(mail(ALICE, &format!("later {n}")))], Bytes::new()).await.unwrap();
            }
            n
        }
    });
    let forgotten = forget(&store).unwrap();
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let came = recording.await.unwrap();
    let person = store.person(key(ALICE)).unwrap();
    let left: u64 = person.map_or(0, |person| person.counted.totals.values().sum());
    assert!(left <= came && forgotten.events >= 200, "{left} of {came}");
    let events = store.events(&EventFilter::default()).unwrap().len() as u64;
    assert_eq!(events + forgotten.events, 400 + came, "nobody else lost anything");
    store.close().unwrap();
}
