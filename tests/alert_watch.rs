//! Alerts from trouble to the mail in the operator's server, without any store.

#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use bounced::{
    action::Now,
    alert::{Alerts, DeadJob, Pace, Setup, Snapshot, Trouble, Watched, digest::Day},
    config::{self, EnvelopeFrom, Mail, Relay, Security},
    ledger::Counts,
    taxonomy::Status,
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

#[path = "support/mail_catcher.rs"]
mod mail_catcher;

use mail_catcher::{Caught, MailCatcher};

const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that is set by hand and figures that a test can change.
#[derive(Clone)]
struct World {
    seconds: Arc<AtomicI64>,
    free: Arc<Mutex<Result<u64, String>>>,
    hangs: Arc<AtomicBool>,
    looks: Arc<AtomicI64>,
    asked: Arc<Mutex<Vec<(Timestamp, Timestamp)>>>,
}

impl World {
    fn new() -> World {
        let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        World {
            seconds: Arc::new(AtomicI64::new(start.as_second())),
            free: Arc::new(Mutex::new(Ok(100 << 30))),
            hangs: Arc::default(),
            looks: Arc::default(),
            asked: Arc::default(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds.load(Ordering::SeqCst)).unwrap()
    }

    fn pass(&self, time: SignedDuration) {
        self.seconds.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    fn clock(&self) -> Now {
        let world = self.clone();
        Arc::new(move || world.now())
    }
}

impl Watched for World {
    fn snapshot(&self) -> Result<Snapshot, String> {
        while self.hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
        let free = self.free.lock().unwrap().clone()?;
        let now = self.now();
        Ok(Snapshot {
            now,
            started: now,
            last_arrival: Some(now),
            free_bytes: Some(free),
            min_free: 1 << 30,
            hour: Counts::new(),
            day: Counts::new(),
            certificate_expires: None,
        })
    }

    fn day(&self, from: Timestamp, to: Timestamp) -> Result<Day, String> {
        self.asked.lock().unwrap().push((from, to));
        Ok(Day { counts: [(Status::HardBounce, 42)].into(), ..Day::default() })
    }
}

fn setup(catcher: Option<&MailCatcher>, to: &[&str]) -> Setup {
    let alerts = config::Alerts {
        to: to.iter().map(ToString::to_string).collect(),
        silence: None,
        blocks: (0.2, 50),
        undetermined: 100,
        digest_at: jiff::civil::time(8, 0, 0, 0),
    };
    let mail = catcher.map(|catcher| Mail {
        relay: Relay::Smtp { host: "127.0.0.1".to_owned(), port: catcher.port(), security: Security::None },
        from: "bounced@example.com".to_owned(),
        envelope_from: EnvelopeFrom::Own,
        username: None,
        password_file: None,
    });
    let own_sender = Arc::new(|id: &str| format!("own+{id}@returns.example.com"));
    Setup::of("mx.test", alerts, TimeZone::UTC, mail.as_ref(), own_sender)
}

fn pace() -> Pace {
    let ms = Duration::from_millis;
    Pace { look: ms(20), gather: ms(50), first_pause: ms(30), patience: ms(300) }
}

fn alerts(world: &World, catcher: &MailCatcher) -> Alerts {
    Alerts::new(setup(Some(catcher), &["ops@example.com", "Night <night@example.com>"]), world.clock())
}

fn start(world: &World, catcher: &MailCatcher, folder: &Path) -> (Alerts, tokio::task::JoinHandle<()>) {
    let alerts = alerts(world, catcher);
    let task = alerts.watch(Arc::new(world.clone()), folder.join("alert.json"), pace());
    (alerts, task)
}

async fn wait(catcher: &MailCatcher, count: usize) -> Vec<Caught> {
    let catcher = catcher.clone();
    tokio::task::spawn_blocking(move || catcher.wait(count, PATIENCE)).await.unwrap()
}

/// Until the file that remembers says so.
async fn remembered(folder: &Path, word: &str) {
    let path = folder.join("alert.json");
    tokio::time::timeout(PATIENCE, async {
        while !std::fs::read_to_string(&path).unwrap_or_default().contains(word) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{word} is not in {}", std::fs::read_to_string(&path).unwrap_or_default()));
}

fn died(id: &str) -> Trouble {
    let job =
        DeadJob { id: id.to_owned(), kind: "mail".into(), target: "x@example.com".into(), error: "550 no\r\nBcc: e@example.org".into() };
    Trouble::JobDied(job)
}

fn subjects(mails: &[Caught]) -> Vec<String> {
    mails.iter().map(|mail| mail.header("Subject").unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_jobs_become_one_mail_an_hour() {
    let (world, catcher, folder) = (World::new(), MailCatcher::start(), tempfile::tempdir().unwrap());
    let alerts = alerts(&world, &catcher);
    for id in ["1-1-1-1", "1-2-1-1", "1-3-1-1"] {
        alerts.raise(died(id));
    }
    let task = alerts.watch(Arc::new(world.clone()), folder.path().join("alert.json"), pace());
    let mails = wait(&catcher, 1).await;
    let mail = &mails[0];
    assert_eq!(subjects(&mails), ["[bounced mx.test] 3 jobs died"]);
    assert_eq!(mail.to, ["ops@example.com", "night@example.com"]);
    assert!(mail.from.starts_with("own+alert-"), "{}", mail.from);
    assert_eq!(mail.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    for id in ["1-1-1-1", "1-2-1-1", "1-3-1-1"] {
        assert!(mail.text().contains(id), "{id}");
    }
    assert_eq!(mail.header("Bcc"), None);
    remembered(folder.path(), "jobs-died").await;
    alerts.raise(died("1-4-1-1"));
    alerts.raise(died("1-5-1-1"));
    // Another kind isn't held up, and comes after those were looked at.
    alerts.raise(Trouble::ReloadRefused { why: "bounced.toml:3: smtp.listen: no\nsecond".to_owned() });
    let mails = wait(&catcher, 2).await;
    assert_eq!(subjects(&mails)[1], "[bounced mx.test] the new configuration was refused");
    assert!(mails[1].text().contains("bounced.toml:3: smtp.listen: no\r\nsecond\r\n"), "{}", mails[1].text());
    world.pass(SignedDuration::from_mins(61));
    let mails = wait(&catcher, 3).await;
    assert_eq!(subjects(&mails)[2], "[bounced mx.test] 2 jobs died");
    assert!(mails[2].text().contains("1-4-1-1") && mails[2].text().contains("1-5-1-1"));
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loop_mails_once() {
    let (world, catcher, folder) = (World::new(), MailCatcher::start(), tempfile::tempdir().unwrap());
    for _ in 0..5 {
        let (alerts, task) = start(&world, &catcher, folder.path());
        alerts.last_words(Trouble::Store { why: "no such file".to_owned() }, PATIENCE).await;
        task.abort();
        let _ = task.await;
    }
    assert_eq!(subjects(&catcher.mails()), ["[bounced mx.test] the store failed"]);
    world.pass(SignedDuration::from_hours(1));
    let (alerts, _task) = start(&world, &catcher, folder.path());
    alerts.last_words(Trouble::Store { why: "no such file".to_owned() }, PATIENCE).await;
    assert_eq!(catcher.mails().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_refuses_for_now_gets_the_same_mail_again() {
    let (world, catcher, folder) = (World::new(), MailCatcher::start(), tempfile::tempdir().unwrap());
    for _ in 0..3 {
        catcher.refuse_data(451, "4.3.0 later");
    }
    let (alerts, _task) = start(&world, &catcher, folder.path());
    alerts.raise(died("1-1-1-1"));
    let mails = wait(&catcher, 1).await;
    assert_eq!(catcher.sessions(), 4);
    let id = mails[0].header("Message-ID").unwrap();
    assert!(id.starts_with("<alert-") && id.ends_with("@mx.test>"), "{id}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_room_and_a_silent_store_are_told() {
    let (world, catcher, folder) = (World::new(), MailCatcher::start(), tempfile::tempdir().unwrap());
    *world.free.lock().unwrap() = Ok(100 << 20);
    let (_alerts, _task) = start(&world, &catcher, folder.path());
    let mails = wait(&catcher, 1).await;
    assert_eq!(subjects(&mails), ["[bounced mx.test] no room: mail is put off, 100 MiB left"]);
    world.hangs.store(true, Ordering::SeqCst);
    let mails = wait(&catcher, 2).await;
    assert_eq!(subjects(&mails)[1], "[bounced mx.test] the store doesn't answer");
    world.hangs.store(false, Ordering::SeqCst);
    // The one that hung, and one whose predecessor was judged.
    let seen = world.looks.load(Ordering::SeqCst);
    let both = async {
        while world.looks.load(Ordering::SeqCst) < seen + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("it is asked again");
    // The room is short all the while: it is told again a day later.
    world.pass(SignedDuration::from_hours(24));
    let mails = wait(&catcher, 4).await;
    let mut later = subjects(&mails)[2..].to_vec();
    later.sort();
    assert_eq!(
        later,
        ["[bounced mx.test] digest: 42 bounces, 0 complaints, all well", "[bounced mx.test] no room: mail is put off, 100 MiB left"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digest_goes_out_once_a_day_over_restarts() {
    let (world, catcher, folder) = (World::new(), MailCatcher::start(), tempfile::tempdir().unwrap());
    let (_alerts, task) = start(&world, &catcher, folder.path());
    remembered(folder.path(), "2026-11-23").await;
    task.abort();
    let _ = task.await;
    world.pass(SignedDuration::from_hours(21));
    for _ in 0..3 {
        let (_alerts, task) = start(&world, &catcher, folder.path());
        wait(&catcher, 1).await;
        remembered(folder.path(), "2026-11-24").await;
        task.abort();
        let _ = task.await;
    }
    let mails = catcher.mails();
    assert_eq!(subjects(&mails), ["[bounced mx.test] digest: 42 bounces, 0 complaints, all well"]);
    assert!(mails[0].text().contains("        42  Hard bounce"), "{}", mails[0].text());
    let day = ["2026-11-23T08:00:00Z", "2026-11-24T08:00:00Z"].map(|at| at.parse::<Timestamp>().unwrap());
    assert_eq!(*world.asked.lock().unwrap(), [(day[0], day[1])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_says_how_it_went() {
    let (world, catcher) = (World::new(), MailCatcher::start());
    let alerts = Alerts::new(setup(Some(&catcher), &["ops@example.com"]), world.clock());
    assert_eq!(alerts.test().await, Ok("sent to ops@example.com".to_owned()));
    assert_eq!(subjects(&catcher.mails()), ["[bounced mx.test] test: alerts arrive"]);
    catcher.refuse_rcpt(550, "5.1.1 no such user");
    assert!(alerts.test().await.unwrap_err().contains("550 5.1.1 no such user"));
    alerts.reload(setup(None, &["ops@example.com"]));
    assert!(alerts.test().await.unwrap_err().contains("[mail]"));
    alerts.reload(setup(Some(&catcher), &[]));
    assert!(alerts.test().await.unwrap_err().contains("[alerts] to"));
    assert_eq!(catcher.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_brings_alerts_to_another_server() {
    let (world, old, new, folder) = (World::new(), MailCatcher::start(), MailCatcher::start(), tempfile::tempdir().unwrap());
    let (alerts, _task) = start(&world, &old, folder.path());
    alerts.reload(setup(Some(&new), &["new@example.com"]));
    alerts.raise(died("1-1-1-1"));
    assert_eq!(wait(&new, 1).await[0].to, ["new@example.com"]);
    assert_eq!(old.mails().len(), 0);
}
