//! Whether jobs that wait slow intake: three daemons beside each other, one with 100,000 jobs for a relay and an HTTP target that take connections
//! and never answer, two with none. The same mails, which fire nothing, go to all in turns; what counts is the ratio of a turn's latencies, since the
//! machine is the same for both. `cargo bench -- targets`.
//!
//! BOUNCED_BENCH_JOBS sets how many wait (100,000), BOUNCED_BENCH_MESSAGES how many mails a turn has (4,000), BOUNCED_BENCH_TURNS how many turns
//! there are (7).

use std::{
    env,
    io::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::table::{self, Row};
use crate::support::{
    await_within,
    client::Client,
    daemon::{Daemon, Setup},
    deeds::Why,
    gate::Gate,
    ports,
};
use bounced::{config::Config, verp::Codec};

const SESSIONS: usize = 20;
/// Of one mail: all for the hanging targets.
const POSTS: usize = 95;
const LETTERS: usize = 5;

fn number(variable: &str, default: usize) -> usize {
    env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn daemon(relay: &Gate, target: &Gate) -> Daemon {
    let post = format!("{{ post = {{ url = \"http://{}/\" }} }}, ", target.address);
    let mail = "{ mail = { to = \"crm@example.com\", template = \"t\" } }, ";
    Setup::new(&format!("smtp://{}", relay.address))
        .with(&format!(
            "[[trigger]]\nname = \"each\"\nwhen = \"hard-bounce\"\ncount = \"every 1\"\ndo = [{}{}]\n\
             [templates]\nt = {{ subject = \"s\", body = \"b\" }}\n[guard]\nhard_bounces_per_domain = \"never\"",
            post.repeat(POSTS),
            mail.repeat(LETTERS)
        ))
        .start()
}

fn person(serial: usize) -> String {
    format!("person{}@example.org", serial / 2)
}

fn mails(codec: &Codec, serials: std::ops::Range<usize>, why: Why) -> Vec<(String, Vec<u8>)> {
    let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).expect("a day");
    serials
        .map(|serial| {
            let rcpt = codec.encode(&person(serial), Some("bench"), None, today).expect("an address");
            let mail = why.of(serial as u64, &rcpt, &person(serial)).postfix();
            (rcpt, mail)
        })
        .collect()
}

/// From the first byte of MAIL to the 250 at the end, microseconds, sorted.
fn latencies(daemon: &Daemon, mails: &[(String, Vec<u8>)]) -> Vec<u128> {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(mails.len())));
    thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                let (mut client, mut took) = (Client::connect(daemon.smtp()), Vec::new());
                while let Some((rcpt, mail)) = mails.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    client.bounce(rcpt, mail);
                    took.push(begun.elapsed().as_micros());
                }
                all.lock().expect("lock").append(&mut took);
            });
        }
    });
    let mut all = all.into_inner().expect("lock");
    all.sort_unstable();
    all
}

/// utime and stime of proc(5), in USER_HZ.
fn ticks(daemon: &Daemon) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("the process lives");
    let after_name = stat.rsplit_once(") ").expect("stat's form").1;
    after_name.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn run(out: &mut dyn Write, timed: bool) -> io::Result<()> {
    let (jobs, count, turns) = if timed { (100_000, 4_000, 7) } else { (1_000, 100, 1) };
    let (jobs, count, turns) =
        (number("BOUNCED_BENCH_JOBS", jobs), number("BOUNCED_BENCH_MESSAGES", count), number("BOUNCED_BENCH_TURNS", turns));
    // Nothing listens behind them, and they are never opened.
    let (relay, target) = (Gate::before(ports::free()), Gate::before(ports::free()));
    // The third has no jobs either: how far it is from the first is what chance makes of this machine.
    let daemons = [(); 3].map(|()| daemon(&relay, &target));
    let [free, laden, _] = &daemons;
    let codec = |daemon: &Daemon| Config::load(&daemon.setup.config_path()).expect("a good configuration").verp.codec;

    let begun = Instant::now();
    let firing = mails(&codec(laden), 0..jobs / (POSTS + LETTERS), Why::Hard);
    latencies(laden, &firing);
    writeln!(out, "{jobs} jobs in {:.1} s", begun.elapsed().as_secs_f64())?;
    if timed {
        // A round of attempts comes to its deadline before both are known to fail, and stay so for the rest.
        await_within(Duration::from_secs(300), "both targets closed", || {
            (laden.log().matches("the target fails again and again").count() >= 2).then_some(())
        });
    }
    let mut serial = jobs;
    let mut turned: [Turned; 3] = Default::default();
    let mut begun = [0.0; 3];
    writeln!(out, "{:>5} {:>12} {:>12} {:>12}   99th percentile", "turn", "free", "laden", "free too")?;
    for turn in 0..=turns {
        let pile = mails(&codec(free), serial..serial + count, Why::Full);
        serial += count;
        let mut p99 = [0.0; 3];
        // Who is first has the colder caches: they take turns.
        for place in 0..3 {
            let which = (turn + place) % 3;
            let sorted = latencies(&daemons[which], &pile);
            p99[which] = at(&sorted, 99);
            turned[which].add(at(&sorted, 50), p99[which]);
        }
        // The first turn warms up.
        if turn == 0 {
            turned = Default::default();
            begun = [0, 1, 2].map(|which| ticks(&daemons[which]));
            continue;
        }
        let [a, b, c] = p99;
        writeln!(out, "{turn:>5} {a:>9.2} ms {b:>9.2} ms {c:>9.2} ms")?;
    }
    let used = [0, 1, 2].map(|which| ticks(&daemons[which]) - begun[which]);
    for (name, which) in [("laden", 1), ("free too", 2)] {
        let (p50, p99) = (turned[which].median_over(&turned[0], 0), turned[which].median_over(&turned[0], 1));
        let cpu = used[which] / used[0].max(1.0);
        writeln!(out, "{name} over free: median {p50:.3}, 99th percentile {p99:.3} (median of {turns} turns), CPU {cpu:.3}")?;
        let goal = if which == 1 { "1.10" } else { "1, by chance" };
        table::add(Row {
            what: format!("99th percentile, {name}"),
            ours: format!("{:.2} ms", median(turned[which].0.iter().map(|turn| turn[1]).collect())),
            theirs: format!("{:.2} ms", median(turned[0].0.iter().map(|turn| turn[1]).collect())),
            ratio: Some(p99),
            goal,
        });
    }
    let waiting = laden.rows(&["counts"]).iter().filter_map(|row| row["count"].as_u64()).sum::<u64>();
    writeln!(out, "{waiting} mails counted")
}

/// Milliseconds.
fn at(sorted: &[u128], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)] as f64 / 1000.0
}

/// The median and the 99th percentile of each turn, milliseconds.
#[derive(Default)]
struct Turned(Vec<[f64; 2]>);

impl Turned {
    fn add(&mut self, p50: f64, p99: f64) {
        self.0.push([p50, p99]);
    }

    /// The median of the turns' ratios.
    fn median_over(&self, other: &Turned, which: usize) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours[which] / theirs[which]).collect())
    }
}
