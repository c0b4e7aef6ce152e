//! What was acknowledged is there after a power cut and after SIGKILL; what can't be vouched for is refused.
//!
//! A power cut is played by a [`Platter`] that keeps, beside the store, each file as it was at its last sync. The cut takes those, and of
//! what was written since it lets any blocks of 4 KiB come through: a disk may have written them.

#![allow(clippy::unwrap_used)]

mod store_support;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use bounced::{
    ledger::{Comparator, Input, Per},
    store::{Disk, OpenError, Options, Platter, Store, StoreError, Which},
};
use bytes::Bytes;
use store_support::*;

/// Keeps what a power cut would leave.
struct Shadow {
    real: PathBuf,
    shadow: PathBuf,
    /// Leaves out the syncs of files in this folder.
    careless: Mutex<Option<&'static str>>,
    busy: Mutex<()>,
}

impl Platter for Shadow {
    fn sync(&self, _: &File, path: &Path) -> io::Result<()> {
        let _busy = self.busy.lock().unwrap();
        if self.careless.lock().unwrap().is_some_and(|folder| lies_in(path, folder)) {
            return Ok(());
        }
        self.keep(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let _busy = self.busy.lock().unwrap();
        let marker = path.join("store.marker");
        if marker.exists() { self.keep(&marker) } else { Ok(()) }
    }
}

/// What makes a commit durable.
const JOURNAL: &str = "store/journal";

fn lies_in(path: &Path, folder: &str) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with(folder))
}

impl Shadow {
    fn new(dir: &Path) -> Arc<Shadow> {
        let (real, shadow) = (dir.join("real"), dir.join("shadow"));
        fs::create_dir_all(&shadow).unwrap();
        Arc::new(Shadow { real, shadow, careless: Mutex::default(), busy: Mutex::new(()) })
    }

    fn keep(&self, path: &Path) -> io::Result<()> {
        let to = self.shadow.join(path.strip_prefix(&self.real).unwrap());
        fs::create_dir_all(to.parent().unwrap())?;
        fs::copy(path, to).map(drop)
    }

    /// The store as it would be found after a power cut now. `luck` is a seed: which of the blocks that were not synced came through.
    fn cut(&self, to: &Path, luck: u64) {
        let _busy = self.busy.lock().unwrap();
        let mut state = luck;
        let mut lucky = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            luck != 0 && state >> 63 == 1
        };
        for file in files(&self.shadow) {
            let synced = fs::read(self.shadow.join(&file)).unwrap();
            let mut now = fs::read(self.real.join(&file)).unwrap_or_default();
            let length = if lucky() { now.len().max(synced.len()) } else { synced.len() };
            now.resize(length, 0);
            let mut left = synced;
            left.resize(length, 0);
            for (old, new) in left.chunks_mut(4096).zip(now.chunks(4096)) {
                if old != new && lucky() {
                    old.copy_from_slice(new);
                }
            }
            fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
            fs::write(to.join(&file), left).unwrap();
        }
    }
}

type Acked = Arc<Mutex<Vec<(String, u64)>>>;

/// Records from 8 tasks until told to stop; what was acknowledged stands in the list: mail and event.
fn recorders(store: &Arc<Store>) -> (Acked, Arc<AtomicBool>, Vec<tokio::task::JoinHandle<()>>) {
    let (acked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let tasks = (0..8).map(|task| {
        let (store, acked, stop) = (store.clone(), acked.clone(), stop.clone());
        tokio::spawn(async move {
            for n in 0.. {
                let name = format!("{task}-{n}");
                let mut input = mail(&address(&name), &name);
                input.keep_raw = n % 4 == 0;
                let Ok(recorded) = store.record(vec![Input::Mail(input)], raw(&name)).await else { return };
                acked.lock().unwrap().push((name, recorded[0].event));
                if stop.load(Ordering::SeqCst) {
                    return;
                }
            }
        })
    });
    let tasks = tasks.collect();
    (acked, stop, tasks)
}

fn address(name: &str) -> String {
    format!("p{}@d{}.example.org", name.len(), name.as_bytes()[0] % 3)
}

fn raw(name: &str) -> Bytes {
    Bytes::from(format!("Subject: {name}\r\n\r\n{}\r\n", "x".repeat(2_000)))
}

async fn until(acked: &Mutex<Vec<(String, u64)>>, count: usize) {
    while acked.lock().unwrap().len() < count {
        tokio::task::yield_now().await;
    }
}

/// How many of the acknowledged are not in the store; panics where the store contradicts itself.
async fn missing(store: &Store, acked: &[(String, u64)]) -> usize {
    let last = store.last_event().unwrap();
    assert_eq!(store.totals(Which::Counted).unwrap().values().sum::<u64>(), last);
    assert_eq!(store.events(&Default::default()).unwrap().len(), usize::try_from(last).unwrap());
    assert_eq!(store.job_counts().unwrap().waiting, last);
    let mut missing = 0;
    for (name, event) in acked {
        if let Some(found) = store.event(*event).unwrap().map(store_support::event) {
            let expected = mail(&address(name), name);
            assert_eq!((found.person, &found.origin), (expected.person, &expected.origin));
            let kept = name.split_once('-').unwrap().1.parse::<u32>().unwrap().is_multiple_of(4);
            assert_eq!(found.raw.map(|at| store.raw(at).unwrap().unwrap()), kept.then(|| raw(name)));
            let again = record(store, expected).await;
            assert_eq!((again.event, again.duplicate), (*event, true), "{name}");
        } else {
            missing += 1;
        }
    }
    missing
}

fn options(platter: Arc<dyn Platter>) -> Options {
    Options { segment_bytes: 200_000, platter, ..Clock::new().options() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let shadow = Shadow::new(dir.path());
    let each = || rules(vec![trigger("each", Per::All, Comparator::Every(1))]);
    let store = Arc::new(Store::open(&shadow.real, options(shadow.clone())).unwrap());
    store.set_rules(each());
    let (acked, stop, tasks) = recorders(&store);
    let mut cuts = Vec::new();
    let number = |name: &str, default: usize| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, between) = (number("BOUNCED_TEST_CUTS", 8), number("BOUNCED_TEST_CUT_EVERY", 60));
    for cut in 0..u64::try_from(count).unwrap() {
        until(&acked, between * (usize::try_from(cut).unwrap() + 1)).await;
        let known = acked.lock().unwrap().clone();
        let to = dir.path().join(format!("cut{cut}"));
        shadow.cut(&to, cut);
        cuts.push((to, known));
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    for (cut, known) in cuts {
        let store = Store::open(&cut, options(Arc::new(Disk))).unwrap_or_else(|error| panic!("{}: {error}", cut.display()));
        assert_eq!(missing(&store, &known).await, 0, "of {} acknowledged in {}", known.len(), cut.display());
        store.set_rules(each());
        assert!(!record(&store, mail("new@example.org", "new")).await.duplicate, "and it goes on");
        assert!(fs::read_dir(cut.join("store/blobs")).unwrap().next().is_none(), "sled never syncs its blobs: there must be none");
    }
}

/// The test above would notice a sync left out.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_sync_a_power_cut_loses_data() {
    let dir = tempfile::tempdir().unwrap();
    let shadow = Shadow::new(dir.path());
    // Nothing is written to its place, which has syncs of its own.
    let options = |platter| Options { memory_rows: 50_000, ..options(platter) };
    let store = Arc::new(Store::open(&shadow.real, options(shadow.clone())).unwrap());
    store.set_rules(rules(vec![trigger("each", Per::All, Comparator::Every(1))]));
    *shadow.careless.lock().unwrap() = Some(JOURNAL);
    let (acked, stop, tasks) = recorders(&store);
    until(&acked, 100).await;
    let known = acked.lock().unwrap().clone();
    let cut = dir.path().join("cut");
    shadow.cut(&cut, 0);
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    // Where the segments came through, as they mostly do in time, the loss is even noticed; where they are lost as well it is a loss all the same.
    fs::create_dir_all(cut.join("events")).unwrap();
    for segment in files(&shadow.real.join("events")) {
        fs::copy(shadow.real.join("events").join(&segment), cut.join("events").join(segment)).unwrap();
    }
    let known_last = known.iter().map(|(_, event)| *event).max().unwrap();
    let noticed = Store::open(&cut, options(Arc::new(Disk))).err().expect("the journal lost what the segments hold");
    assert!(matches!(noticed, OpenError::Behind { found: 0, recorded } if recorded >= known_last), "{noticed}");
    for segment in files(&cut.join("events")) {
        fs::remove_file(cut.join("events").join(segment)).unwrap();
    }
    let store = Store::open(&cut, options(Arc::new(Disk))).unwrap();
    assert_eq!(missing(&store, &known).await, known.len());
}

/// What the journal had of the events it has no longer when it began anew.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_synced_before_the_journal_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cut_with = async |careless: Option<&'static str>| {
        let dir = dir.path().join(careless.unwrap_or("nothing"));
        let shadow = Shadow::new(&dir);
        *shadow.careless.lock().unwrap() = careless;
        // Memory is full time and again, the segment never.
        let options = |platter| Options { memory_rows: 50, segment_bytes: 1 << 30, ..options(platter) };
        let store = Arc::new(Store::open(&shadow.real, options(shadow.clone())).unwrap());
        let (acked, stop, tasks) = recorders(&store);
        until(&acked, 300).await;
        while shadow.real.join(JOURNAL).join("00000000.seg").exists() {
            tokio::task::yield_now().await;
        }
        shadow.cut(&dir.join("cut"), 0);
        stop.store(true, Ordering::SeqCst);
        for task in tasks {
            task.await.unwrap();
        }
        Store::open(&dir.join("cut"), options(Arc::new(Disk))).err()
    };
    assert!(cut_with(None).await.is_none());
    let lost = cut_with(Some("events")).await.expect("what was in the segment is gone");
    assert!(matches!(lost, OpenError::Damaged(_)), "{lost}");
}

/// Lets syncs through one by one, or lets them fail.
struct Gate {
    enter: Mutex<mpsc::Sender<()>>,
    pass: Mutex<mpsc::Receiver<io::Result<()>>>,
    closed: AtomicBool,
}

impl Platter for Gate {
    fn sync(&self, _: &File, path: &Path) -> io::Result<()> {
        if !self.closed.load(Ordering::SeqCst) || !lies_in(path, JOURNAL) {
            return Ok(());
        }
        self.enter.lock().unwrap().send(()).unwrap();
        self.pass.lock().unwrap().recv().unwrap()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_seen_before_it_is_durable_and_a_failed_sync_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let ((enter, entered), (let_pass, pass)) = (mpsc::channel(), mpsc::channel());
    let gate = Arc::new(Gate { enter: Mutex::new(enter), pass: Mutex::new(pass), closed: AtomicBool::new(false) });
    let store = Arc::new(Store::open(dir.path(), options(gate.clone())).unwrap());
    record(&store, mail("alice@example.org", "1")).await;
    gate.closed.store(true, Ordering::SeqCst);

    let mut second = tokio::spawn(store.record(vec![Input::Mail(mail("alice@example.org", "2"))], Bytes::new()));
    entered.recv().unwrap();
    let seen = || store.person(key("alice@example.org")).unwrap().unwrap().counted.recent.len();
    let beat = store.last_beat();
    store.nudge();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!((seen(), store.last_event().unwrap()), (1, 1), "written, not yet synced; and a reader doesn't wait for it");
    assert!(futures_pending(&mut second).await);
    assert_eq!(store.last_beat(), beat, "a frozen store must stop the watchdog's ping");
    let_pass.send(Ok(())).unwrap();
    assert_eq!(second.await.unwrap().unwrap()[0].event, 2);
    assert_eq!(seen(), 2);

    let third = tokio::spawn(store.record(vec![Input::Mail(mail("alice@example.org", "3"))], Bytes::new()));
    entered.recv().unwrap();
    let_pass.send(Err(io::Error::other("the disk is gone"))).unwrap();
    let error = third.await.unwrap().unwrap_err();
    assert!(matches!(&error, StoreError::Fatal(why) if why.contains("the disk is gone")), "{error}");
    let after = store.record(vec![Input::Mail(mail("bob@example.org", "1"))], Bytes::new()).await;
    assert!(matches!(after, Err(StoreError::Fatal(_))), "{after:?}");
    assert!(matches!(store.person(key("alice@example.org")), Err(StoreError::Fatal(_))), "what may not be durable isn't shown");
    assert!(store.failure().borrow().is_some());
    assert!(matches!(store.close(), Err(StoreError::Fatal(_))));
}

/// Whoever stops the daemon must not wait for a writer that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_at_the_last_sync_ends_the_store_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let ((enter, _entered), (let_pass, pass)) = (mpsc::channel(), mpsc::channel());
    let gate = Arc::new(Gate { enter: Mutex::new(enter), pass: Mutex::new(pass), closed: AtomicBool::new(false) });
    let store = Store::open(dir.path(), options(gate.clone())).unwrap();
    record(&store, mail("alice@example.org", "1")).await;
    gate.closed.store(true, Ordering::SeqCst);
    drop(let_pass);
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let closed = store.close();
        drop(store);
        done.send(closed)
    });
    let closed = ended.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(matches!(closed, Err(StoreError::Fatal(_))), "{closed:?}");
}

async fn futures_pending<T>(task: &mut tokio::task::JoinHandle<T>) -> bool {
    tokio::time::timeout(Duration::ZERO, task).await.is_err()
}

const CHILD: &str = "BOUNCED_TEST_STORE_CHILD";

/// Not a test by itself: what the next one starts and kills.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_records() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = Arc::new(Store::open(Path::new(&dir), options(Arc::new(Disk))).unwrap());
    store.set_rules(rules(vec![trigger("each", Per::All, Comparator::Every(1))]));
    let (acked, ..) = recorders(&store);
    let mut told = 0;
    loop {
        let news: Vec<(String, u64)> = acked.lock().unwrap()[told..].to_vec();
        let mut out = io::stdout().lock();
        for (name, event) in &news {
            writeln!(out, "acked {name} {event}").unwrap();
        }
        out.flush().unwrap();
        drop(out);
        told += news.len();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_takes_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked: Vec<(String, u64)> = Vec::new();
    // The second and third child go on in the store that the one before left; what they record again is not counted again.
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child_that_records", "--nocapture"]).env(CHILD, dir.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        let mut news = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let mut words = line.split(' ').skip_while(|word| *word != "acked").skip(1);
            if let (Some(name), Some(Ok(event))) = (words.next(), words.next().map(str::parse)) {
                acked.push((name.to_owned(), event));
                news += 1;
                if news == 300 {
                    child.kill().unwrap();
                }
            }
        }
        assert!(news >= 300, "{news}");
        child.wait().unwrap();
    }
    let store = Store::open(dir.path(), options(Arc::new(Disk))).unwrap();
    assert_eq!(missing(&store, &acked).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_owners_and_opened_once() {
    let made = tempfile::tempdir().unwrap();
    let good = made.path().join("good");
    let clock = Clock::new();
    let _store = Store::open(&good, clock.options()).unwrap();
    let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777;
    assert_eq!([mode(&good), mode(&good.join("store")), mode(&good.join("store.marker"))], [0o700, 0o700, 0o600]);
    assert!(matches!(Store::open(&good, clock.options()), Err(OpenError::InUse(_))), "while another has it");
}
