//! Targets that want to be asked gently, and one that fails and recovers.

use std::time::Duration;

use rustix::process::Signal;

use crate::operator::get;
use crate::support::{
    PATIENCE, await_mail, await_some, await_within,
    client::Client,
    daemon::{Daemon, Setup},
    http_catcher::{Answer, HttpCatcher},
    mail_catcher::MailCatcher,
    mails::Bounce,
};

/// So many bounces of one address: each fires a trigger that says `every 1`.
fn bounces(daemon: &Daemon, serials: std::ops::Range<u64>) {
    let rcpt = daemon.verp("alice@example.org", None);
    let mut client = Client::connect(daemon.smtp());
    for serial in serials {
        client.bounce(&rcpt, &Bounce::unknown_user(serial, &rcpt, "alice@example.org").postfix());
    }
}

fn each_time(posts: &str) -> String {
    format!("[[trigger]]\nname = \"each\"\nwhen = \"hard-bounce\"\ncount = \"every 1\"\ndo = [{posts}]")
}

#[test]
fn no_more_at_once_and_no_faster_than_configured() {
    let (narrow, paced) = (HttpCatcher::start(), HttpCatcher::start());
    narrow.otherwise(Answer::status(200).after(Duration::from_millis(200)));
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(&each_time(&format!(
            "{{ post = {{ url = \"{}\", concurrency = 2 }} }}, {{ post = {{ url = \"{}\", rate = \"2 per second\" }} }}",
            narrow.url("/"),
            paced.url("/")
        )))
        .start();
    bounces(&daemon, 0..8);
    assert!(daemon.await_idle().is_empty());
    assert_eq!((narrow.asked().len(), narrow.most()), (8, 2));
    let times: Vec<_> = paced.asked().iter().map(|asked| asked.at).collect();
    assert_eq!(times.len(), 8);
    // Seven intervals of half a second; what the first one took to arrive may be missing.
    let took = times[7].duration_since(times[0]).unwrap();
    assert!(took >= Duration::from_millis(2_500), "{took:?}");
    assert!(daemon.rows(&["outbox", "list", "--all"]).iter().all(|job| job["attempts"] == 1), "waiting for one's turn is no attempt");
}

/// Takes a little over a minute: so long a target must fail before the operator hears of it.
#[test]
fn a_target_that_fails_is_left_alone_and_told_of_until_it_recovers() {
    let (catcher, failing) = (MailCatcher::start(), HttpCatcher::start());
    failing.otherwise(Answer::status(503).body(b"down\r\nfor maintenance"));
    let daemon = Setup::new(&catcher.url()).with(&each_time(&format!("{{ post = {{ url = \"{}\" }} }}", failing.url("/")))).start();
    let host = failing.url("").trim_start_matches("http://").to_owned();
    bounces(&daemon, 0..30);
    let closed = |job: &serde_json::Value| job["reason"].as_str().is_some_and(|reason| reason.contains("503"));
    let jobs = await_some("a closed target", || Some(daemon.rows(&["outbox", "list"])).filter(|jobs| jobs.iter().all(closed)));
    assert_eq!(jobs.len(), 30);
    assert!(jobs.iter().all(|job| job["state"] == "waiting"), "{jobs:?}");
    let tried = failing.asked().len();
    assert!((5..=8).contains(&tried), "those that ran as it was closed: {tried}");
    assert_eq!(jobs.iter().map(|job| job["attempts"].as_u64().unwrap()).sum::<u64>(), tried as u64);
    assert!(daemon.text(&["outbox"]).contains("the target fails; next attempt at"));
    assert_eq!(daemon.log().matches("job failed, will be tried again").count(), tried);
    assert_eq!(daemon.log().matches("its jobs wait").count(), 1);
    let figures = || get(daemon.setup.metrics, "/metrics");
    assert!(figures().contains(&format!("bounced_target_closed{{host=\"{host}\"}} 1")), "{}", figures());
    assert!(figures().contains(&format!("bounced_target_closings_total{{host=\"{host}\"}} 1")), "{}", figures());

    let subject = format!("a target fails: {host}");
    let alert = await_within(PATIENCE * 3, "the alert", || {
        catcher.mails().into_iter().find(|mail| mail.header("subject").is_some_and(|told| told.ends_with(&subject)))
    });
    assert!(alert.text().contains("HTTP 503 Service Unavailable"), "{}", alert.text());
    let tried = failing.asked().len();
    assert!((6..=10).contains(&tried), "one now and then: {tried}");

    failing.otherwise(Answer::status(200));
    // Whoever mended something need not wait.
    daemon.signal(Signal::HUP);
    assert!(daemon.await_idle().is_empty());
    let asked = failing.asked().len();
    assert!((tried + 30..=tried + 31).contains(&asked), "each once, but for one that was tried before the reload: {asked}");
    await_mail(&catcher, |mail| mail.header("subject").is_some_and(|told| told.contains("well again after") && told.ends_with(&host)));
    assert!(figures().contains(&format!("bounced_target_closed{{host=\"{host}\"}} 0")), "{}", figures());
    assert_eq!(catcher.mails().len(), 2, "each told once");
}

/// The relay, too: alerts about it can't go out by it, and nothing goes round in circles.
#[test]
fn a_relay_that_refuses_connections_is_left_alone() {
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(&each_time("{ mail = { to = \"ops@example.com\", template = \"t\" } }"))
        .with("[templates]\nt = { subject = \"s\", body = \"b\" }")
        .start();
    bounces(&daemon, 0..12);
    let closed = |job: &serde_json::Value| job["reason"].is_string();
    let jobs = await_some("a closed relay", || Some(daemon.rows(&["outbox", "list"])).filter(|jobs| jobs.iter().all(closed)));
    assert_eq!(jobs.len(), 12);
    assert!(daemon.log().contains("host=\"mail\""), "{}", daemon.log());
    daemon.text(&["outbox", "retry", jobs[0]["id"].as_str().unwrap()]);
    await_some("one more attempt, and no more", || daemon.log().contains("the target still fails").then_some(()));
}
