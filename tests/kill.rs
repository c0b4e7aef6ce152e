//! SIGKILL at random moments while clients send: what got 250 is there, nothing is there twice, and each crossing made its job once.
//!
//! A client sends a mail until it gets 250, as an MTA would. The daemon is killed some random microseconds after a random number of 250s, and
//! now and then once more while it starts again. BOUNCED_ROUNDS says how many times, BOUNCED_BINARY which build, BOUNCED_SEED repeats the choices.
//!
//!     cargo build --release --locked
//!     BOUNCED_BINARY=target/release/bounced BOUNCED_ROUNDS=200 cargo test --locked --test kill -- --nocapture

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, thread,
    time::Duration,
};

use serde_json::Value;
use support::{
    daemon::{Daemon, Setup, binary},
    http_catcher::HttpCatcher,
    random::Random,
    senders::{Senders, codec, lost_and_double, text},
};

const ROUNDS: u64 = 25;
const CLIENTS: u64 = 12;
/// Bounces for each address; the trigger fires at the third.
const PER_ADDRESS: u64 = 4;
/// The daemon is killed after so many 250s at most, and so many microseconds more.
const LONGEST_ROUND: u64 = 100;
const LONGEST_WAIT: u64 = 20_000;
/// One start in so many is killed as well, within so many microseconds.
const STARTS: u64 = 4;
const LONGEST_START: u64 = 200_000;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Kills the daemon, and now and then once more while it starts.
fn kill(daemon: &mut Daemon, random: &mut Random) -> u64 {
    thread::sleep(Duration::from_micros(random.below(LONGEST_WAIT)));
    daemon.kill();
    let mut kills = 1;
    while random.below(STARTS) == 0 {
        let mut child = daemon.spawn();
        thread::sleep(Duration::from_micros(random.below(LONGEST_START)));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself: {}", daemon.log());
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    daemon.start();
    kills
}

#[test]
fn nothing_is_lost_and_nothing_is_double() {
    let (seed, rounds) = (number("BOUNCED_SEED", 20_261_123), number("BOUNCED_ROUNDS", ROUNDS));
    eprintln!("BOUNCED_SEED={seed} BOUNCED_ROUNDS={rounds}, {}", binary().display());
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
    let mut daemon = setup.asleep();
    daemon.binary = binary();
    daemon.start();
    let senders = Senders::new(PER_ADDRESS);
    senders.at(CLIENTS, daemon.smtp(), codec(&daemon), || {
        let mut kills = 0;
        while kills < rounds {
            senders.await_more(1 + random.below(LONGEST_ROUND));
            kills += kill(&mut daemon, &mut random);
            eprintln!("{kills} kills: {} 250s", senders.count());
        }
    });

    let (sent, torn) = (senders.acknowledged(), senders.torn());
    // Recorded, killed before the 250 was heard, and sent again.
    let again = daemon.log().lines().filter(|line| line.contains("duplicate")).count();
    eprintln!("{} mails acknowledged, {torn} attempts torn by a kill, {again} sent again that were recorded already", sent.len());
    assert!(torn > 0, "no kill hit a client at work: this run shows nothing");

    let events = daemon.events();
    let (lost, double) = lost_and_double(&events, &sent);
    assert!(lost.is_empty() && double.is_empty(), "lost {lost:?}, double {double:?}");
    assert_eq!(events.len(), sent.len(), "every mail was sent until it got 250");
    assert_eq!(daemon.count("status", "hard-bounce"), sent.len() as u64);

    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for serial in &sent {
        *counts.entry(senders.person(*serial)).or_default() += 1;
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
