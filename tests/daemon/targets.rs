//! Targets that want to be asked gently, and one that fails and recovers.

use std::{collections::BTreeSet, fs, time::Duration};

use rustix::process::Signal;

use crate::operator::get;
use crate::support::{
    PATIENCE, await_mail, await_some, await_within,
    client::Client,
    daemon::{Daemon, Setup},
    gate::Gate,
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

/// Resident memory, MiB.
fn memory(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// The relay and the HTTP target take connections and never answer, while thousands of jobs gather: mail comes in as ever, the jobs are not
/// held in memory, and when the targets answer each is delivered.
#[test]
fn hanging_targets_hold_up_nothing() {
    const MAILS: u64 = 200;
    const POSTS: usize = 32;
    let (catcher, http) = (MailCatcher::start(), HttpCatcher::start());
    let address = |url: String| url.split("://").nth(1).unwrap().parse().unwrap();
    let (relay, target) = (Gate::before(address(catcher.url())), Gate::before(address(http.url(""))));
    let post = format!("{{ post = {{ url = \"http://{}/\", concurrency = 32 }} }}, ", target.address);
    let daemon = Setup::new(&format!("smtp://{}", relay.address))
        .with(&each_time(&format!("{} {{ mail = {{ to = \"crm@example.com\", template = \"t\" }} }}", post.repeat(POSTS))))
        .with("[templates]\nt = { subject = \"s\", body = \"b\" }\n[guard]\nhard_bounces_per_domain = \"never\"")
        .start();
    let jobs = |state: &str| -> usize {
        let page = get(daemon.setup.metrics, "/metrics");
        let row = page.lines().find_map(|line| line.strip_prefix(&format!("bounced_jobs{{state=\"{state}\"}} ")));
        row.map_or(0, |count| count.parse().unwrap())
    };
    bounces(&daemon, 0..MAILS / 5);
    let few = memory(&daemon);
    bounces(&daemon, MAILS / 5..MAILS);
    let all = MAILS as usize * (POSTS + 1);
    assert_eq!((jobs("waiting") + jobs("running"), jobs("done")), (all, 0));
    assert!(jobs("running") < 100, "{}", jobs("running"));
    let many = memory(&daemon);
    assert!(many < few + 16, "{few} MiB with {} jobs, {many} MiB with {all}", all / 5);

    relay.open();
    target.open();
    // Whoever mended something need not wait.
    daemon.signal(Signal::HUP);
    await_within(PATIENCE * 2, "all jobs done", || (jobs("done") == all).then_some(()));
    let posts: BTreeSet<_> = http.asked().iter().map(|asked| asked.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(posts.len(), MAILS as usize * POSTS);
    let mails = catcher.mails();
    let mails: BTreeSet<_> =
        mails.iter().filter(|mail| mail.to == ["crm@example.com"]).filter_map(|mail| mail.header("x-bounced-job")).collect();
    assert_eq!(mails.len(), MAILS as usize);
    assert_eq!(daemon.count("status", "hard-bounce"), MAILS);
}
