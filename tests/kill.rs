//! SIGKILL at random moments while clients send: what got 250 is there, nothing is there twice, and each crossing made its job once.
//!
//! A client sends a mail until it gets 250, as an MTA would; the daemon is killed after a random number of 250s. BOUNCED_SEED repeats a run.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use serde_json::Value;
use support::{
    await_some,
    client::Client,
    daemon::{Daemon, Setup},
    http_catcher::HttpCatcher,
    mails::Bounce,
    random::Random,
};

const ROUNDS: u64 = 10;
const CLIENTS: u64 = 8;
/// Bounces for each address; the trigger fires at the third.
const PER_ADDRESS: u64 = 4;
const ADDRESSES: u64 = 4_000;
/// The daemon is killed after so many 250s at most.
const LONGEST_ROUND: u64 = 200;

fn person(serial: u64) -> String {
    format!("person{}@example.org", serial / PER_ADDRESS)
}

struct Work {
    next: AtomicU64,
    done: AtomicBool,
    acknowledged: Mutex<BTreeSet<u64>>,
    /// Attempts that ended without a reply.
    torn: AtomicU64,
}

/// Sends one mail after the other, each until it gets 250.
fn client(work: &Work, daemon: &Mutex<Daemon>) {
    let (address, mut wire) = (daemon.lock().unwrap().smtp(), None);
    let codec = bounced::config::Config::load(&daemon.lock().unwrap().setup.config_path()).unwrap().verp.codec;
    let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    while !work.done.load(Ordering::Relaxed) {
        let serial = work.next.fetch_add(1, Ordering::Relaxed);
        assert!(serial < ADDRESSES * PER_ADDRESS, "all mails are used up; the rounds are too long");
        let person = person(serial);
        let rcpt = codec.encode(&person, Some("kill"), None, today).unwrap();
        let mail = Bounce::unknown_user(serial, &rcpt, &person).postfix();
        await_some("a 250", || {
            let mut open = match wire.take() {
                Some(open) => open,
                None => Client::try_greet(address).ok()?,
            };
            match open.try_send("", &[&rcpt], &mail) {
                Ok(reply) => {
                    reply.expect("250 2.");
                    wire = Some(open);
                    Some(())
                }
                Err(_) => {
                    work.torn.fetch_add(1, Ordering::Relaxed);
                    None
                }
            }
        });
        work.acknowledged.lock().unwrap().insert(serial);
    }
}

#[test]
fn nothing_is_lost_and_nothing_is_double() {
    let seed = env::var("BOUNCED_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_123);
    eprintln!("BOUNCED_SEED={seed}");
    let mut random = Random(seed);
    let http = HttpCatcher::start();
    let setup = Setup::new("smtp://127.0.0.1:9").with(&format!(
        r#"
        [[trigger]]
        name = "third"
        when = "hard-bounce"
        count = "exactly 3"
        do = [{{ post = {{ url = "{}", json = {{ address = "{{{{ address }}}}" }} }} }}]
        [guard]
        hard_bounces_per_domain = "never"
        "#,
        http.url("/")
    ));
    let daemon = Mutex::new(setup.start());
    let work = Work { next: AtomicU64::new(0), done: AtomicBool::new(false), acknowledged: Mutex::default(), torn: AtomicU64::new(0) };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| client(&work, &daemon));
        }
        for round in 0..ROUNDS {
            let so_far = work.acknowledged.lock().unwrap().len() as u64;
            let goal = so_far + 1 + random.below(LONGEST_ROUND);
            await_some("250s", || (work.acknowledged.lock().unwrap().len() as u64 >= goal).then_some(()));
            let mut daemon = daemon.lock().unwrap();
            daemon.kill();
            daemon.start();
            eprintln!("round {round}: killed after {} 250s", work.acknowledged.lock().unwrap().len());
        }
        work.done.store(true, Ordering::Relaxed);
    });

    let (daemon, sent) = (daemon.into_inner().unwrap(), work.acknowledged.into_inner().unwrap());
    let torn = work.torn.load(Ordering::Relaxed);
    eprintln!("{} mails acknowledged, {torn} attempts torn by a kill", sent.len());
    assert!(torn > 0, "no kill hit a client at work: this run shows nothing");

    let events = daemon.events();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for event in &events {
        *seen.entry(text(event, "message_id").trim_matches(['<', '>']).to_owned()).or_default() += 1;
    }
    let lost: Vec<_> = sent.iter().filter(|serial| !seen.contains_key(&message_id(**serial))).collect();
    let double: Vec<_> = seen.iter().filter(|(_, times)| **times != 1).collect();
    assert!(lost.is_empty() && double.is_empty(), "lost {lost:?}, double {double:?}");
    assert_eq!(seen.len(), sent.len(), "every mail was sent until it got 250");
    assert_eq!(daemon.count("status", "hard-bounce"), sent.len() as u64);

    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for serial in &sent {
        *counts.entry(person(*serial)).or_default() += 1;
    }
    let crossed: BTreeSet<&str> = counts.iter().filter(|(_, count)| **count >= 3).map(|(person, _)| person.as_str()).collect();
    let fired: Vec<&str> =
        events.iter().filter(|event| event["fired"] != serde_json::json!([])).map(|event| text(event, "address")).collect();
    assert_eq!(fired.iter().copied().collect::<BTreeSet<_>>(), crossed, "who crossed fired");
    assert_eq!(fired.len(), crossed.len(), "and fired once");

    assert!(daemon.await_idle().is_empty());
    let mut posts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for request in http.asked() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        posts.entry(text(&body, "address").to_owned()).or_default().insert(request.header("webhook-id").unwrap().to_owned());
    }
    eprintln!("{} crossings, {} posts came in", crossed.len(), http.asked().len());
    assert_eq!(posts.keys().map(String::as_str).collect::<BTreeSet<_>>(), crossed, "every crossing was posted, and nothing else");
    assert!(posts.values().all(|ids| ids.len() == 1), "a job keeps its id over kills: {posts:?}");
    let ids: BTreeSet<_> = posts.values().flatten().collect();
    assert_eq!(ids.len(), crossed.len(), "and no id names two jobs");
}

fn message_id(serial: u64) -> String {
    Bounce::unknown_user(serial, "", "").message_id()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}
