//! The daemon dies between every two steps of what a sequence, a report, a digest and posts do, and starts again: nothing is missing, nothing
//! was done twice, and what went out twice bears the same id.
//!
//! It aborts at the n-th pass of one of its failpoints, as SIGKILL would end it: around the commit (`src/store/writer.rs`) and around a
//! delivery (`src/outbox/worker.rs`). BOUNCED_CRASH="after-commit 7" runs one alone.

#![allow(clippy::unwrap_used)]

#[path = "crash/seen.rs"]
mod seen;
mod support;

use std::{
    collections::BTreeSet,
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bounced::config::Config;
use seen::{Outside, look};
use support::{
    await_some,
    client::Client,
    daemon::{Daemon, Setup},
    http_catcher::HttpCatcher,
    mail_catcher::MailCatcher,
    mails::Bounce,
};

const COMMITS: [&str; 4] = ["before-segments", "before-rows", "before-flush", "after-commit"];
const DELIVERIES: [&str; 2] = ["before-delivery", "after-delivery"];

/// Their bounces alone are twice as many commits; with the first step of each, three times.
pub const PEOPLE: usize = 4;
/// Each commit up to here comes in any run.
const SURE_COMMITS: usize = PEOPLE * 3;
/// The first step's posts, a batch of three and one of the rest, a digest, a report.
const SURE_DELIVERIES: usize = PEOPLE + 4;
/// Beyond: timers, claims, ends of deliveries; how many depends on how they fall together.
const MORE_COMMITS: [usize; 8] = [14, 16, 18, 20, 23, 26, 30, 34];

pub fn person(n: usize) -> String {
    format!("person{n}@example.org")
}

fn setup(mail: &MailCatcher, http: &HttpCatcher) -> Setup {
    Setup::new(&mail.url()).with(&format!(
        r#"
        [[trigger]]
        name = "first"
        when = "hard-bounce"
        count = "exactly 1"
        do = [{{ tag = "once" }}, {{ mail = {{ to = "first@example.com", template = "first", digest = "1 s" }} }}]
        [[trigger]]
        name = "out"
        when = "hard-bounce"
        count = "exactly 2"
        do = [
          {{ untag = "once" }},
          {{ tag = "out" }},
          {{ start = "follow-up" }},
          {{ post = {{ url = "{batch}", json = {{ address = "{{{{ address }}}}" }}, batch = {{ max = 3, within = "1 s" }} }} }},
        ]
        [[sequence]]
        name = "follow-up"
        [[sequence.step]]
        name = "at once"
        after = "0 s"
        do = [
          {{ tag = "begun" }},
          {{ task = {{ title = "first step of {{{{ address }}}}" }} }},
          {{ post = {{ url = "{step}", json = {{ address = "{{{{ address }}}}", tags = "{{{{ tags | join(' ') }}}}" }} }} }},
        ]
        [[sequence.step]]
        name = "later"
        after = "1 s"
        do = [
          {{ untag = "begun" }},
          {{ tag = "done" }},
          {{ task = {{ title = "second step of {{{{ address }}}}" }} }},
          {{ report = "clean-up" }},
        ]
        [[report]]
        name = "clean-up"
        to = ["assistant@example.com"]
        [templates]
        first = {{ subject = "{{{{ address }}}} bounced", body = "{{{{ diagnostic }}}}" }}
        "#,
        batch = http.url("/batch"),
        step = http.url("/step"),
    ))
}

/// Two bounces of each, one after the other, each until it gets 250.
fn feed(daemon: &Mutex<Daemon>, done: &AtomicBool) {
    let (address, codec) = {
        let daemon = daemon.lock().unwrap();
        (daemon.smtp(), Config::load(&daemon.setup.config_path()).unwrap().verp.codec)
    };
    let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    let mut wire: Option<Client> = None;
    for serial in 0..PEOPLE * 2 {
        let person = person(serial % PEOPLE);
        let rcpt = codec.encode(&person, Some("crash"), None, today).unwrap();
        let mail = Bounce::unknown_user(serial as u64, &rcpt, &person).postfix();
        await_some("a 250", || {
            let mut open = match wire.take() {
                Some(open) => open,
                None => Client::try_greet(address).ok()?,
            };
            open.try_send("", &[&rcpt], &mail).ok()?.expect("250 2.");
            wire = Some(open);
            Some(())
        });
    }
    done.store(true, Ordering::SeqCst);
}

fn idle(daemon: &Daemon) -> bool {
    let listed = daemon.run(&["outbox", "list", "--json"]);
    listed.status.success() && listed.stdout.is_empty()
}

/// Whether it died.
fn run(point: &str, pass: usize) -> bool {
    let (mail, http) = (MailCatcher::start(), HttpCatcher::start());
    let mut daemon = setup(&mail, &http).asleep();
    daemon.failpoints = Some(format!("{point}={}*off->return", pass - 1));
    daemon.start();
    let (daemon, fed) = (Mutex::new(daemon), AtomicBool::new(false));
    let mut died = false;
    let outside = Outside { mail: &mail, http: &http };
    thread::scope(|scope| {
        scope.spawn(|| feed(&daemon, &fed));
        await_some("all that is to come of it", || {
            let mut daemon = daemon.lock().unwrap();
            if daemon.ended().is_some() {
                assert!(!died, "it dies once: {}", daemon.log());
                died = true;
                daemon.failpoints = None;
                daemon.start();
            }
            let quiet = fed.load(Ordering::SeqCst) && outside.has_all() && idle(&daemon);
            if !quiet {
                drop(daemon);
                thread::sleep(Duration::from_millis(20));
            }
            // It may have died as the last of it went out.
            quiet.then_some(())
        });
    });
    let mut daemon = daemon.into_inner().unwrap();
    if daemon.ended().is_some() {
        died = true;
        daemon.failpoints = None;
        daemon.start();
        daemon.await_idle();
    }
    look(&daemon, &outside);
    died
}

#[test]
fn nothing_is_missing_or_done_twice_wherever_it_dies() {
    let mut cases: Vec<(&str, usize)> = Vec::new();
    for pass in (1..=SURE_COMMITS).chain(MORE_COMMITS) {
        cases.extend(COMMITS.map(|point| (point, pass)));
    }
    for pass in 1..=SURE_DELIVERIES + 2 {
        cases.extend(DELIVERIES.map(|point| (point, pass)));
    }
    if let Ok(one) = env::var("BOUNCED_CRASH") {
        cases.retain(|(point, pass)| one == format!("{point} {pass}"));
    }
    let (next, died) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((point, pass)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // The test's own output is shown only when it fails: this names the case.
                    eprintln!("{point} {pass}");
                    if run(point, *pass) {
                        died.lock().unwrap().insert((*point, *pass));
                    }
                }
            });
        }
    });
    let died = died.into_inner().unwrap();
    eprintln!("{} runs, {} died", cases.len(), died.len());
    let sure = |(point, pass): &&(&str, usize)| *pass <= if COMMITS.contains(point) { SURE_COMMITS } else { SURE_DELIVERIES };
    let alive: Vec<_> = cases.iter().filter(sure).filter(|case| !died.contains(*case)).collect();
    assert!(alive.is_empty(), "these were to die and did not: {alive:?}");
}
