//! Whether the store stays as fast, as small and as quick to open as it grows: `cargo bench -- growth`.
//!
//! Bounces of a tenth as many people are recorded, in no order of people, while the clock goes through more days than events are kept, so that
//! the oldest expire meanwhile. Printed are, for each tenth, the rate, the processor time, the memory and the disk; then the time to open the
//! store after SIGKILL, and once more after that in which it was closed.
//!
//! BOUNCED_BENCH_EVENTS sets the number (1,000,000), BOUNCED_BENCH_FOLDER where it lies, else in a temporary folder. Ten million need 6 GB.

#[path = "../store_support/mod.rs"]
mod store_support;

use std::{
    env, fs, io,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bounced::{
    ledger::{Comparator, Input, Per, Rules, Step, Trigger},
    store::{Options, Store, Which},
};
use bytes::Bytes;
use jiff::Timestamp;
use store_support::{files, key, mail};

const PART: &str = "BOUNCED_BENCH_PART";
const STORE: &str = "BOUNCED_BENCH_STORE";

/// Sessions at once, and mails that each hands over in one piece, as an import does.
const TASKS: u64 = 8;
const BATCH: usize = 100;

const DAY: i64 = 86_400_000;
const KEEP_DAYS: i64 = 400;
/// The clock goes through so many.
const DAYS: i64 = 500;
/// 2025-01-01
const START: i64 = 1_735_689_600_000;

fn small() -> bool {
    env::var_os("BOUNCED_BENCH_SMALL").is_some()
}

fn events() -> u64 {
    let default = if small() { 5_000 } else { 1_000_000 };
    env::var("BOUNCED_BENCH_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// MiB
fn memory(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("this process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().expect("kB") / 1024.0
}

/// Seconds that this process took of the processors.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("this process lives");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: f64 = [11, 12].map(|place| fields[place].parse::<f64>().expect("ticks")).iter().sum();
    ticks / 100.0
}

/// MB. Files go meanwhile.
fn room(dir: &Path) -> f64 {
    let all = files(dir).into_iter().filter_map(|file| dir.join(file).metadata().ok()).map(|metadata| metadata.len());
    all.sum::<u64>() as f64 / 1e6
}

fn strikes() -> Rules {
    let (tag, untag) = (|tag: &str| Step::Tag(tag.into()), |tag: &str| Step::Untag(tag.into()));
    let one = |name: &str, count, steps| Trigger { steps, ..store_support::trigger(name, Per::Address, count) };
    let triggers = vec![
        one("first strike", Comparator::Exactly(1), vec![tag("first-hard-bounce")]),
        one("second strike", Comparator::Exactly(2), vec![untag("first-hard-bounce"), tag("second-hard-bounce")]),
        one("third strike", Comparator::MoreThan(2), vec![untag("second-hard-bounce"), tag("third-strike")]),
    ];
    Rules { triggers, ..Rules::default() }
}

fn options(now: &Arc<AtomicI64>) -> Options {
    let now = Arc::clone(now);
    let clock = Arc::new(move || Timestamp::from_millisecond(now.load(Ordering::Relaxed)).expect("a time"));
    Options { own_key: Some(Arc::new(key)), keep_events: Duration::from_secs(86_400 * KEEP_DAYS.unsigned_abs()), ..Options::new(clock) }
}

fn person(n: u64) -> String {
    let people = (events() / 10).max(1);
    // Of no order, and each about as often as any other.
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let person = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20;
    format!("person{}@d{}.example.org", person % people, person % people % 997)
}

fn record(store: &Arc<Store>, clock: &Arc<AtomicI64>, of: std::ops::Range<u64>) {
    let next = Arc::new(AtomicU64::new(of.start));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async {
        let each = (0..TASKS).map(|_| {
            let (store, clock, next, end) = (store.clone(), clock.clone(), next.clone(), of.end);
            tokio::spawn(async move {
                loop {
                    let first = next.fetch_add(BATCH as u64, Ordering::Relaxed);
                    if first >= end {
                        return;
                    }
                    clock.fetch_max(START + (first as f64 / events() as f64 * (DAYS * DAY) as f64) as i64, Ordering::Relaxed);
                    let batch = first..end.min(first + BATCH as u64);
                    let inputs = batch.map(|n| Input::Mail(mail(&person(n), &n.to_string()))).collect();
                    store.record(inputs, Bytes::new()).await.expect("recorded");
                }
            })
        });
        for task in each.collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
    });
}

fn grow(out: &mut dyn Write, folder: &Path) -> io::Result<()> {
    let count = events();
    let clock = Arc::new(AtomicI64::new(START));
    let store = Arc::new(Store::open(folder, options(&clock)).expect("a new store"));
    store.set_rules(Arc::new(strikes()));
    writeln!(out, "{count} bounces of {} people in {DAYS} days, {KEEP_DAYS} of which are kept:", count / 10)?;
    writeln!(out, "  tenth   events/s  µs of processor an event   MiB now, at most   events there   octets of disk for each: all, rows")?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for tenth in 0..10 {
        let (begun, used) = (Instant::now(), processor());
        let of = tenth * count / 10..(tenth + 1) * count / 10;
        let some = (of.end - of.start).max(1) as f64;
        record(&store, &clock, of);
        rates.push(some / begun.elapsed().as_secs_f64());
        costs.push((processor() - used) * 1e6 / some);
        let there = living(&store);
        let (rows, all) = (room(&folder.join("store")), room(folder));
        writeln!(
            out,
            "  {:>5} {:>10.0} {:>26.1} {:>9.0} {:>8.0} {:>14} {:>19.0}, {:.0}",
            tenth + 1,
            rates[rates.len() - 1],
            costs[costs.len() - 1],
            memory("VmRSS"),
            memory("VmHWM"),
            there,
            all * 1e6 / there as f64,
            rows * 1e6 / there as f64
        )?;
        out.flush()?;
    }
    let ratio = |of: &[f64]| of.last().zip(of.first()).map_or(1.0, |(last, first)| last / first);
    writeln!(out, "  the last tenth to the first: rate {:.2}, processor {:.2}", ratio(&rates), ratio(&costs))?;
    out.flush()?;
    // As SIGKILL would end it.
    std::process::abort()
}

/// Events that have not expired.
fn living(store: &Store) -> u64 {
    let first = store.log(0).expect("the log").first().map_or(0, |event| event.id());
    store.last_event().expect("the last event").saturating_add(1).saturating_sub(first)
}

fn open(out: &mut dyn Write, folder: &Path) -> io::Result<()> {
    let clock = Arc::new(AtomicI64::new(START + DAYS * DAY));
    let begun = Instant::now();
    let used = processor();
    let store = Store::open(folder, options(&clock)).expect("the store");
    let (took, used) = (begun.elapsed(), processor() - used);
    let most = memory("VmHWM");
    let last = store.last_event().expect("the last event");
    let counted: u64 = store.totals(Which::Counted).expect("the totals").values().sum();
    assert_eq!((last, counted), (events(), events()), "nothing is missing");
    let begun = Instant::now();
    for n in (0..events()).step_by(usize::try_from(events() / 1_000).unwrap_or(1).max(1)) {
        store.person(key(&person(n))).expect("read").expect("known");
    }
    let looked = begun.elapsed().as_secs_f64() * 1e6 / 1_000.0;
    writeln!(
        out,
        "  {:.2} s ({used:.2} of processor), {most:.0} MiB at most; a person looked up in {looked:.0} µs; {:.0} octets an event",
        took.as_secs_f64(),
        room(folder) * 1e6 / living(&store) as f64
    )?;
    store.close().expect("closed");
    Ok(())
}

/// In a process of its own, which writes to the same output.
fn part(name: &str, folder: &Path) -> io::Result<bool> {
    Ok(Command::new(env::current_exe()?).env(PART, name).env(STORE, folder).status()?.success())
}

fn all(out: &mut dyn Write) -> io::Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = env::var_os("BOUNCED_BENCH_FOLDER").map_or_else(|| temporary.path().to_owned(), PathBuf::from).join("growth");
    part("grow", &folder)?;
    for when in ["opened after it was killed:", "opened after it was closed:"] {
        writeln!(out, "{when}")?;
        out.flush()?;
        if !part("open", &folder)? {
            return Err(io::Error::other("the store could not be opened, or something is missing"));
        }
    }
    fs::remove_dir_all(folder)
}

fn main() -> io::Result<()> {
    // `cargo bench -- intake` asks for another one.
    let mut names = env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    if names.peek().is_some() && !names.any(|name| name == "growth") {
        return Ok(());
    }
    let mut out = io::stdout();
    let folder = env::var_os(STORE).map(PathBuf::from).unwrap_or_default();
    match env::var(PART).as_deref() {
        Ok("grow") => grow(&mut out, &folder),
        Ok("open") => open(&mut out, &folder),
        // `cargo test --benches` runs this too: a small round shows that it works.
        _ if env::args().any(|argument| argument == "--bench") => all(&mut out),
        _ => {
            let status = Command::new(env::current_exe()?).arg("--bench").env("BOUNCED_BENCH_SMALL", "1").status()?;
            if status.success() { Ok(()) } else { Err(io::Error::other(format!("a small round ended with {status}"))) }
        }
    }
}
