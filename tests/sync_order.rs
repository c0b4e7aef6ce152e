//! 250 means on the platter: the daemon's system calls are traced, and each mail's data was written, then the file synced, then its 250 sent.
//!
//! For every mail: a write to the journal that holds its event and its rows (and one to the raw mails where its raw mail is kept) has returned
//! before an fdatasync or fsync of that file began, and that had returned with success before the send of its 250 began.
//! A daemon that leaves out one of these syncs fails. It needs strace; without it the test says so on standard error and passes, unless
//! BOUNCED_REQUIRE_STRACE=1 forbids that. BOUNCED_MAILS says how many mails, BOUNCED_BINARY which build.

#![allow(clippy::unwrap_used)]

mod support;
#[path = "sync_order/trace.rs"]
mod trace;

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use bounced::config::Config;
use support::{
    client::Client,
    daemon::{BINARY, Setup, binary},
    mails::{Bounce, personal},
};
use trace::{Kept, Trace, await_end};

const MAILS: u64 = 2_000;
/// Enough to see that a sync is missing.
const FEW: u64 = 200;
const CLIENTS: u64 = 8;
/// One mail in so many makes no sense, so that its raw mail is kept.
const RAW: u64 = 8;

/// What can be missing before a 250, by the mails' serials.
type Missing = BTreeMap<Kept, Vec<u64>>;

fn strace() -> bool {
    let works = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null()).output();
    let why = match works {
        Ok(output) if output.status.success() => return true,
        Ok(output) => format!("strace can't trace here: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => format!("strace: {error}"),
    };
    assert!(env::var("BOUNCED_REQUIRE_STRACE").as_deref() != Ok("1"), "BOUNCED_REQUIRE_STRACE=1 and this test can't run: {why}");
    // Past the capture of a passing test's output.
    let _ = writeln!(io::stderr(), "LEFT OUT: the order of writes, syncs and replies: {why}");
    false
}

/// Sends so many mails, each for a person of its own, to a traced daemon, and gives those whose 250 came too early.
fn run(mails: u64, leave_out: Option<&str>) -> Missing {
    let setup = Setup::new("smtp://127.0.0.1:9").with(
        r#"
        [[trigger]]
        name = "first"
        when = "*"
        count = "exactly 1"
        do = [{ tag = "seen" }]
        [guard]
        hard_bounces_per_domain = "never"
        "#,
    );
    let file = setup.dir.path().join("trace");
    let mut daemon = setup.asleep();
    daemon.binary = if leave_out.is_some() { BINARY.into() } else { binary() };
    daemon.failpoints = leave_out.map(|ending| format!("leave-out-sync=return({ending})"));
    daemon.under = Some(Trace::command(&file));
    daemon.start();
    let (address, next) = (daemon.smtp(), AtomicU64::new(0));
    let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
    let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                loop {
                    let serial = next.fetch_add(1, Ordering::Relaxed);
                    if serial >= mails {
                        return;
                    }
                    let person = Trace::person(serial);
                    let rcpt = codec.encode(&person, Some("trace"), None, today).unwrap();
                    client.bounce(&rcpt, &mail(serial, &rcpt, &person));
                }
            });
        }
    });
    let events = daemon.events();
    assert!(daemon.stop().success());
    await_end(&file);
    let trace = Trace::read(&file);
    assert_eq!(events.len() as u64, mails);
    let mut missing = Missing::new();
    for event in events {
        let serial = Trace::serial(event["address"].as_str().unwrap());
        let early = trace.before_reply(event["id"].as_u64().unwrap(), serial, serial.is_multiple_of(RAW));
        early.into_iter().for_each(|kept| missing.entry(kept).or_default().push(serial));
    }
    eprintln!("{mails} mails, {leave_out:?} left out: {} syncs; before its 250 missing: {}", trace.syncs(), shown(&missing));
    missing
}

fn mail(serial: u64, rcpt: &str, person: &str) -> Vec<u8> {
    match serial.is_multiple_of(RAW) {
        true => personal(serial, person, rcpt, &format!("What is this about? {person}")),
        false => Bounce::unknown_user(serial, rcpt, person).postfix(),
    }
}

fn shown(missing: &Missing) -> String {
    let each: Vec<String> = missing.iter().map(|(kept, serials)| format!("{kept:?} of {}", serials.len())).collect();
    if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
}

#[test]
fn written_then_synced_then_answered() {
    if !strace() {
        return;
    }
    let mails = env::var("BOUNCED_MAILS").map_or(MAILS, |text| text.parse().unwrap());
    assert_eq!(run(mails, None), Missing::new());
}

#[test]
fn a_sync_left_out_is_seen() {
    if !strace() {
        return;
    }
    let (all, raw) = ((0..FEW).collect::<Vec<_>>(), (0..FEW).step_by(RAW as usize).collect::<Vec<_>>());
    for (ending, missing) in
        [("journal/00000000.seg", vec![(Kept::Event, all.clone()), (Kept::Rows, all)]), ("raw/00000000.seg", vec![(Kept::Raw, raw)])]
    {
        let mut found = run(FEW, Some(ending));
        found.values_mut().for_each(|serials| serials.sort_unstable());
        assert_eq!(found, missing.into_iter().collect::<Missing>(), "without the sync of {ending}");
    }
}
