//! The power fails: what got 250 before it, and what went out before it, is in what the disk holds.
//!
//! The store lies on an ext4 of its own, on a disk that forgets what it wasn't told to flush. While clients send, the daemon is stopped at random
//! moments and the disk copied as a power cut would leave it. The copy is mounted, which plays back its journal, and opened by another daemon,
//! which must go on where the first one was: every acknowledged mail there once, counted once, everybody who crossed tagged, with a task, in the
//! sequence at the right step, and posted under one id, whether that post went out before the cut or after. Then the first one goes on.
//!
//! BOUNCED_CUTS says how many cuts, BOUNCED_SEED repeats the choices, BOUNCED_BINARY says which build. Where no filesystem can be mounted the
//! test says so and passes (see support/filesystem.rs); tests/store_durability.rs plays power cuts anywhere, with recorded writes.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    ops::Range,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{
    await_some,
    daemon::{BINARY, Daemon, Setup, binary},
    filesystem::Disk,
    http_catcher::{Asked, HttpCatcher},
    random::Random,
    senders::{Senders, codec, lost_and_double, text},
};
use tempfile::TempDir;

const CUTS: u64 = 8;
/// Mails of one client before the one whose 250 is the last thing that happens.
const FEW: u64 = 20;
const CLIENTS: u64 = 8;
/// The second crosses.
const PER_ADDRESS: u64 = 3;
/// A cut comes after so many 250s at most, and so many microseconds more.
const LONGEST_ROUND: u64 = 120;
const LONGEST_WAIT: u64 = 30_000;
const MEBIBYTES: u64 = 96;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn setup(http: &HttpCatcher, data: &Path) -> Setup {
    let post = |name: &str| format!("{{ post = {{ url = \"{}\", json = {{ address = \"{{{{ address }}}}\" }} }} }}", http.url(name));
    Setup::new("smtp://127.0.0.1:9").with(&format!(
        r#"
        data_dir = "{data}"
        [[trigger]]
        name = "second"
        when = "hard-bounce"
        count = "exactly 2"
        do = [{{ tag = "out" }}, {{ task = {{ title = "look at {{{{ address }}}}" }} }}, {{ start = "follow-up" }}, {crossed}]
        [[sequence]]
        name = "follow-up"
        [[sequence.step]]
        name = "at once"
        after = "0 s"
        do = [{{ tag = "begun" }}, {begun}]
        [[sequence.step]]
        name = "later"
        after = "1 day"
        do = [{{ tag = "later" }}]
        [guard]
        hard_bounces_per_domain = "never"
        "#,
        data = data.display(),
        crossed = post("/crossed"),
        begun = post("/begun"),
    ))
}

/// Stops all of its threads; a sync that one is in comes to its end.
fn stop(daemon: &Daemon) {
    daemon.signal(Signal::STOP);
    await_some("the daemon to stand still", || {
        let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let state = |stat: String| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('T'));
        threads.flatten().all(|thread| fs::read_to_string(thread.path().join("stat")).ok().and_then(state) == Some(true)).then_some(())
    });
}

/// What the disk held when the power failed, and what is wrong with it.
struct Copy {
    daemon: Daemon,
    /// Addresses whose second bounce is there.
    crossed: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Copy {
    /// Says what is wrong, at most the first few words of it.
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what().chars().take(300).collect());
        }
    }

    /// As the store is, before anything goes on. `false`: there is no going on.
    fn at_rest(&mut self, known: &BTreeSet<u64>) -> bool {
        let output = self.daemon.run(&["events", "--limit", "1000000", "--json"]);
        if !output.status.success() {
            self.wrong.push(format!("it doesn't open: {}", String::from_utf8_lossy(&output.stderr).trim()));
            return false;
        }
        let events = self.daemon.events();
        let (lost, double) = lost_and_double(&events, known);
        self.expect(lost.is_empty(), || format!("{} of {} acknowledged are lost", lost.len(), known.len()));
        self.expect(double.is_empty(), || format!("double: {double:?}"));
        let counted = self.daemon.count("status", "hard-bounce");
        self.expect(counted == events.len() as u64, || format!("{counted} counted of {} events", events.len()));
        let mut times: BTreeMap<&str, u64> = BTreeMap::new();
        events.iter().for_each(|event| *times.entry(text(event, "address")).or_default() += 1);
        self.crossed = times.into_iter().filter(|(_, times)| *times > 1).map(|(address, _)| address.to_owned()).collect();
        let fired: Vec<&str> =
            events.iter().filter(|event| event["fired"] == json!(["second"])).map(|event| text(event, "address")).collect();
        let (once, crossed) = (sorted(fired), sorted(self.crossed.iter().map(String::as_str)));
        self.expect(once == crossed, || format!("{once:?} fired, {crossed:?} crossed"));
        true
    }

    /// The daemon starts and does what is left to do.
    fn goes_on(&mut self, before: &[Asked], http: &HttpCatcher) {
        let first = http.asked().len();
        self.daemon.start();
        let crossed = sorted(self.crossed.iter().map(String::as_str));
        // The first step is a timer's: it may not have run before the cut.
        let daemon = &self.daemon;
        await_some("everybody's first step", || {
            let members = daemon.rows(&["sequence", "members", "follow-up"]);
            members.iter().all(|member| member["step"] == "later").then_some(())
        });
        let dead = self.daemon.await_idle();
        self.expect(dead.is_empty(), || format!("dead jobs: {dead:?}"));
        let members = self.daemon.rows(&["sequence", "members", "follow-up"]);
        let members = sorted(members.iter().map(|member| text(member, "address")));
        self.expect(members == crossed, || format!("{members:?} are in the sequence, {crossed:?} crossed"));
        let tasks = self.daemon.rows(&["tasks"]);
        let tasks = sorted(tasks.iter().map(|task| text(task, "address")));
        self.expect(tasks == crossed, || format!("tasks for {tasks:?}, {crossed:?} crossed"));
        for address in self.crossed.iter().step_by(7).cloned().collect::<Vec<_>>() {
            let shown = self.daemon.show(&address);
            self.expect(shown["tags"] == json!(["begun", "out"]), || format!("{address}: {shown}"));
        }
        let mut posts: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for asked in before.iter().chain(&http.asked()[first..]) {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            let what = (asked.target.clone(), text(&body, "address").to_owned());
            posts.entry(what).or_default().insert(asked.header("webhook-id").unwrap().to_owned());
        }
        let twice: Vec<_> = posts.iter().filter(|(_, ids)| ids.len() != 1).collect();
        self.expect(twice.is_empty(), || format!("posted under several ids: {twice:?}"));
        for target in ["/crossed", "/begun"] {
            let posted = sorted(posts.keys().filter(|(path, _)| path == target).map(|(_, address)| address.as_str()));
            self.expect(posted == crossed, || format!("{target}: {posted:?} were posted, {crossed:?} crossed"));
        }
    }
}

fn sorted<'a>(all: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    all.sort();
    all
}

struct Power {
    disk: Disk,
    /// After the disk: it must be unmounted when this is removed.
    dir: TempDir,
    http: HttpCatcher,
    /// Which requests daemons on copies made.
    others: Vec<Range<usize>>,
}

impl Power {
    /// `None` where nothing can be mounted.
    fn new() -> Option<Power> {
        let dir = TempDir::with_prefix("bounced-power-").unwrap();
        let disk = Disk::new(dir.path(), &dir.path().join("data"), MEBIBYTES)?;
        Some(Power { dir, disk, http: HttpCatcher::start(), others: Vec::new() })
    }

    fn daemon(&self, binary: PathBuf) -> Daemon {
        let mut daemon = setup(&self.http, &self.dir.path().join("data")).asleep();
        daemon.binary = binary;
        daemon
    }

    /// The power fails, a copy of the daemon is started, and the first one goes on. Gives what was wrong.
    fn cut(&mut self, daemon: &Daemon, senders: &Senders) -> Vec<String> {
        stop(daemon);
        let data = self.dir.path().join("copy-data");
        let disk = self.disk.after_power_loss(&self.dir.path().join("copy"), &data);
        let (known, asked) = (senders.acknowledged(), self.http.asked());
        let ours = asked.iter().enumerate().filter(|(place, _)| !self.others.iter().any(|range| range.contains(place)));
        let before: Vec<Asked> = ours.map(|(_, asked)| asked.clone()).collect();
        let mut other = setup(&self.http, &data).asleep();
        other.binary = daemon.binary.clone();
        let mut copy = Copy { daemon: other, crossed: BTreeSet::new(), wrong: Vec::new() };
        if copy.at_rest(&known) && copy.wrong.is_empty() {
            copy.goes_on(&before, &self.http);
        }
        let Copy { crossed, wrong, .. } = copy;
        drop(disk);
        self.others.push(asked.len()..self.http.asked().len());
        daemon.signal(Signal::CONT);
        eprintln!("{} acknowledged, {} posts out, {} crossed: {wrong:?}", known.len(), before.len(), crossed.len());
        wrong
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_power_cut() {
    let (cuts, seed) = (number("BOUNCED_CUTS", CUTS), number("BOUNCED_SEED", 20_261_123));
    let Some(mut power) = Power::new() else { return };
    let (senders, mut random) = (Senders::new(PER_ADDRESS), Random(seed));
    let mut daemon = power.daemon(binary());
    daemon.start();
    eprintln!("BOUNCED_SEED={seed}, {cuts} cuts, {}", daemon.binary.display());
    let wrong: Vec<Vec<String>> = senders.during(CLIENTS, &daemon, || {
        let cut = |_| {
            senders.await_more(1 + random.below(LONGEST_ROUND));
            thread::sleep(Duration::from_micros(random.below(LONGEST_WAIT)));
            power.cut(&daemon, &senders)
        };
        (0..cuts).map(cut).collect()
    });
    assert!(wrong.iter().all(Vec::is_empty), "{wrong:#?}");
}

/// What is wrong when the power fails right after a 250, and these files' syncs were left out.
fn after_the_last(leave_out: Option<&str>) -> Option<Vec<String>> {
    let mut power = Power::new()?;
    // Nobody crosses, so that nothing comes after the 250.
    let (senders, mut wire) = (Senders::new(1), None);
    let mut daemon = power.daemon(BINARY.into());
    daemon.failpoints = leave_out.map(|ending| format!("leave-out-sync=return({ending})"));
    daemon.start();
    let codec = codec(&daemon);
    for _ in 0..=FEW {
        senders.one(&mut wire, daemon.smtp(), &codec);
    }
    eprintln!("left out: {leave_out:?}");
    Some(power.cut(&daemon, &senders))
}

#[test]
fn without_our_syncs_it_is_not() {
    // The events' own sync isn't due before the journal begins anew; tests/store_durability.rs sees what is missing without it then.
    for ending in [None, Some("events/00000000.seg")] {
        let Some(wrong) = after_the_last(ending) else { return };
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    for ending in ["journal/00000000.seg", ""] {
        let Some(wrong) = after_the_last(Some(ending)) else { return };
        assert!(!wrong.is_empty(), "without the sync of '{ending}' nothing was missing after a cut");
    }
}
