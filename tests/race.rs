//! 64 sessions bring the threshold bounce at the same moment, a hundred times over: one crossing and one job of each trigger every time.
//!
//! All sessions wait before the dot that ends their mail, and send it together. In every other round all of them bring the very same mail, as
//! a sender's servers may after a 250 that got lost; in the others each brings one of its own.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Barrier,
    thread,
};

use bounced::config::Config;
use serde_json::{Value, json};
use support::{
    await_some,
    client::{Client, stuffed},
    daemon::Setup,
    http_catcher::HttpCatcher,
    mails::Bounce,
};

const SESSIONS: u64 = 64;
const ROUNDS: u64 = 100;

fn person(round: u64) -> String {
    format!("person{round}@example.org")
}

/// Whether all sessions bring the same mail.
fn same(round: u64) -> bool {
    round.is_multiple_of(2)
}

/// Everything but the dot.
fn all_but_the_end(client: &mut Client, rcpt: &str, mail: &[u8]) {
    let replies = client.pipeline(&["MAIL FROM:<>", &format!("RCPT TO:<{rcpt}>"), "DATA"]);
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [250, 250, 354], "{replies:?}");
    client.write(&stuffed(mail)).unwrap();
}

fn end(client: &mut Client) {
    client.write(b".\r\n").unwrap();
    client.reply().unwrap().expect("250 2.");
}

#[test]
fn one_job_however_many_bring_the_threshold() {
    let http = HttpCatcher::start();
    let post = |path: &str| format!("{{ post = {{ url = \"{}\", json = {{ address = \"{{{{ address }}}}\" }} }} }}", http.url(path));
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(&format!(
            r#"
            [[trigger]]
            name = "exactly"
            when = "hard-bounce"
            count = "exactly 3"
            do = [{{ tag = "third" }}, {exactly}]
            [[trigger]]
            name = "more"
            when = "hard-bounce"
            count = "more than 2"
            do = [{more}]
            [guard]
            hard_bounces_per_domain = "never"
            "#,
            exactly = post("/exactly"),
            more = post("/more"),
        ))
        .start();
    let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
    let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    let rcpts: Vec<String> = (0..ROUNDS).map(|round| codec.encode(&person(round), Some("race"), None, today).unwrap()).collect();
    let barrier = Barrier::new(usize::try_from(SESSIONS).unwrap());
    thread::scope(|scope| {
        for session in 0..SESSIONS {
            let (rcpts, barrier, smtp) = (&rcpts, &barrier, daemon.smtp());
            scope.spawn(move || {
                let mut client = Client::connect(smtp);
                for (round, rcpt) in (0..).zip(rcpts) {
                    let (address, first) = (person(round), round * (SESSIONS + 2));
                    if session == 0 {
                        for serial in [first, first + 1] {
                            client.bounce(rcpt, &Bounce::unknown_user(serial, rcpt, &address).postfix());
                        }
                    }
                    let serial = first + 2 + if same(round) { 0 } else { session };
                    // Nobody's third comes before the first two.
                    all_but_the_end(&mut client, rcpt, &Bounce::unknown_user(serial, rcpt, &address).postfix());
                    barrier.wait();
                    end(&mut client);
                }
            });
        }
    });

    let events = daemon.events();
    let mut fired: BTreeMap<(String, String), u64> = BTreeMap::new();
    for event in &events {
        for trigger in event["fired"].as_array().unwrap() {
            *fired.entry((event["address"].as_str().unwrap().to_owned(), trigger.as_str().unwrap().to_owned())).or_default() += 1;
        }
    }
    let expected: BTreeMap<_, _> =
        (0..ROUNDS).flat_map(|round| ["exactly", "more"].map(|trigger| ((person(round), trigger.to_owned()), 1))).collect();
    assert_eq!(fired, expected, "each crossing fired each trigger once");
    let per_round = |round| if same(round) { 3 } else { SESSIONS + 2 };
    assert_eq!(events.len() as u64, (0..ROUNDS).map(per_round).sum::<u64>());
    for round in [0, 1, ROUNDS - 1] {
        assert_eq!(daemon.show(&person(round))["counts"], json!({"hard-bounce": per_round(round)}));
    }

    let jobs = usize::try_from(ROUNDS * 2).unwrap();
    await_some("all posts", || (http.asked().len() >= jobs).then_some(()));
    assert!(daemon.await_idle().is_empty());
    assert_eq!(daemon.rows(&["outbox", "list", "--all"]).len(), jobs, "one job each");
    let asked = http.asked();
    let ids: BTreeSet<_> = asked.iter().map(|request| request.header("webhook-id").unwrap()).collect();
    let told: BTreeSet<_> = asked
        .iter()
        .map(|request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            (request.target.clone(), body["address"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!((asked.len(), ids.len(), told.len()), (jobs, jobs, jobs));
}
