//! Whether jobs that wait slow intake: two daemons beside each other, one with 100,000 jobs for a relay and an HTTP target that take connections
//! and never answer, one with none. The same mails, which fire nothing, go to both in turns; what counts is the ratio of a turn's latencies, since the
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
    let (free, laden) = (daemon(&relay, &target), daemon(&relay, &target));
    let codec = |daemon: &Daemon| Config::load(&daemon.setup.config_path()).expect("a good configuration").verp.codec;

    let begun = Instant::now();
    let firing = mails(&codec(&laden), 0..jobs / (POSTS + LETTERS), Why::Hard);
    latencies(&laden, &firing);
    writeln!(out, "{jobs} jobs in {:.1} s", begun.elapsed().as_secs_f64())?;
    if timed {
        // A round of attempts comes to its deadline before both are known to fail, and stay so for the rest.
        await_within(Duration::from_secs(300), "both targets closed", || {
            (laden.log().matches("the target fails again and again").count() >= 2).then_some(())
        });
    }
    let mut serial = jobs;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let mut begun = (0.0, 0.0);
    writeln!(out, "{:>5} {:>12} {:>12} {:>12} {:>12} {:>8}", "turn", "free p50", "laden p50", "free p99", "laden p99", "ratio")?;
    for turn in 0..=turns {
        let pile = mails(&codec(&free), serial..serial + count, Why::Full);
        serial += count;
        // Who is first has the colder caches: they take turns.
        let (a, b) = if turn % 2 == 0 {
            let a = latencies(&free, &pile);
            (a, latencies(&laden, &pile))
        } else {
            let b = latencies(&laden, &pile);
            (latencies(&free, &pile), b)
        };
        // The first turn warms up.
        if turn == 0 {
            begun = (ticks(&free), ticks(&laden));
            continue;
        }
        let at = |sorted: &[u128], percent: usize| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)] as f64 / 1000.0;
        let ratio = at(&b, 99) / at(&a, 99);
        p50.push(at(&b, 50) / at(&a, 50));
        p99.push(ratio);
        writeln!(
            out,
            "{turn:>5} {:>9.2} ms {:>9.2} ms {:>9.2} ms {:>9.2} ms {ratio:>8.3}",
            at(&a, 50),
            at(&b, 50),
            at(&a, 99),
            at(&b, 99)
        )?;
    }
    let cpu = (ticks(&laden) - begun.1) / (ticks(&free) - begun.0).max(1.0);
    let waiting = laden.rows(&["counts"]).iter().filter_map(|row| row["count"].as_u64()).sum::<u64>();
    writeln!(
        out,
        "laden over free: median {:.3}, 99th percentile {:.3} (median of {turns} turns), CPU {cpu:.3}; {waiting} mails counted",
        median(p50),
        median(p99)
    )
}
