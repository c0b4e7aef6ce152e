//! What the ledger, the store and a report cost: `cargo bench -- ledger`.
//!
//! - events judged by 100 triggers: none of them reached, 20 reached with a `where` that says no, 20 that fire;
//! - a million addresses that bounced three times each: time, disk, memory, and opening the store again in a process of its own;
//! - a report over 100,000 people, from the store's rows to the finished mail.
//!
//! Each part runs in a process of its own, so that the most memory it had is its own. BOUNCED_BENCH_ADDRESSES and BOUNCED_BENCH_PEOPLE set the
//! numbers. Needs about 2 GB of room for temporary files.

#[path = "../store_support/mod.rs"]
mod store_support;

use std::{
    env, fs, io,
    io::Write,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bounced::{
    action::{ReportTask, Sources, compose::Attach, compose::Draft, report::DEFAULT_SUBJECT},
    ledger::{Comparator, Filter, Input, Known, Per, ReportRule, Rules, Step, Trigger},
    store::{Options, Store, Which},
    taxonomy::Status,
};
use bytes::Bytes;
use jiff::Timestamp;
use store_support::{files, key, mail};

const PART: &str = "BOUNCED_BENCH_PART";
const FOLDER: &str = "BOUNCED_BENCH_FOLDER";
const TRIGGERS: u64 = 100;
const REACHED: u64 = 20;
/// In one commit, as a busy writer has them.
const BATCH: usize = 100;
const ROUNDS: u64 = 3;

fn timed() -> bool {
    env::var_os("BOUNCED_BENCH_SMALL").is_none()
}

fn number(name: &str, default: u64, small: u64) -> u64 {
    let default = if timed() { default } else { small };
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// MiB
fn memory(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("this process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().expect("kB") / 1024.0
}

/// MB
fn room(dir: &Path) -> f64 {
    let all = files(dir).into_iter().map(|file| dir.join(file).metadata().expect("it is there").len());
    all.sum::<u64>() as f64 / 1e6
}

fn trigger(name: &str, per: Per, count: Comparator, steps: Vec<Step>) -> Trigger {
    Trigger { steps, ..store_support::trigger(name, per, count) }
}

/// What the event at hand does to [`REACHED`] of the triggers; the others look at it and are not reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Some20 {
    NotReached,
    /// They fire, each with a tag.
    Fire,
    /// The same, had they no `where`.
    Narrowed,
}

/// Of all sorts.
fn triggers(some: Some20) -> Rules {
    let sources = [
        "domain == 'd7.example.org'",
        "'vip' in tags and count > 3",
        "counts['hard-bounce'] > 1000 or fields.plan == 'gold'",
        "diagnostic is startingwith('551')",
    ];
    let one = |n: u64| {
        let far = [Comparator::Exactly(n + 20), Comparator::AtLeast(n + 20), Comparator::MoreThan(n + 20), Comparator::Every(n + 20)];
        let per = [Per::Address, Per::Address, Per::Domain, Per::All][(n / 4 % 4) as usize];
        let reached = some != Some20::NotReached && n.is_multiple_of(TRIGGERS / REACHED);
        let narrowed = reached && some == Some20::Narrowed;
        let filter = narrowed.then(|| Filter::new(sources[(n / 5 % 4) as usize]).expect("an expression"));
        let count = if reached { Comparator::Every(1) } else { far[(n % 4) as usize] };
        let within = n.is_multiple_of(3).then(|| jiff::SignedDuration::from_hours(24 * (n as i64 % 30 + 1)));
        Trigger { within, filter, ..trigger(&format!("t{n}"), per, count, vec![Step::Tag("told".into())]) }
    };
    Rules { triggers: (0..TRIGGERS).map(one).collect(), ..Rules::default() }
}

/// Events a second, of people who have bounced ten times before.
fn judged(rules: &Rules, time: Duration) -> f64 {
    let at = Timestamp::from_second(1_795_435_200).expect("a time");
    let input = |n: u64| Input::Mail(mail("alice@d3.example.org", &n.to_string()));
    let mut known = Known::default();
    for n in 0..10 {
        known.person = rules.judge(&mut known, &input(n), n + 1, at).person;
    }
    let mail = input(11);
    let (begun, mut rounds) = (Instant::now(), 0_u32);
    while rounds == 0 || begun.elapsed() < time {
        for _ in 0..100 {
            std::hint::black_box(rules.judge(&mut std::hint::black_box(known.clone()), &mail, 12, at));
        }
        rounds += 1;
    }
    f64::from(rounds) * 100.0 / begun.elapsed().as_secs_f64()
}

fn judging(out: &mut dyn Write) -> io::Result<()> {
    let time = Duration::from_secs(if timed() { 3 } else { 0 });
    writeln!(out, "judging on one core, {TRIGGERS} triggers on the event's status, a person with ten bounces:")?;
    let none = judged(&Rules::default(), time);
    writeln!(out, "  {:<38} {none:>9.0} events/s", "no triggers")?;
    for (name, some) in [
        ("100, none of them reached", Some20::NotReached),
        ("100, 20 reached, whose where says no", Some20::Narrowed),
        ("100, 20 reached, which fire", Some20::Fire),
    ] {
        let rate = judged(&triggers(some), time);
        writeln!(out, "  {name:<38} {rate:>9.0} events/s {:>11.0} triggers/s {:>9.1} µs an event", rate * TRIGGERS as f64, 1e6 / rate)?;
    }
    Ok(())
}

fn options() -> Options {
    Options { own_key: Some(Arc::new(key)), ..Options::new(Arc::new(Timestamp::now)) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime")
}

fn person(n: u64) -> String {
    format!("person{n}@d{}.example.org", n % 997)
}

/// Three strikes with their tags: what a record holds at the end.
fn strikes() -> Rules {
    let (tag, untag) = (|tag: &str| Step::Tag(tag.into()), |tag: &str| Step::Untag(tag.into()));
    let one = |name: &str, count, steps| trigger(name, Per::Address, count, steps);
    let triggers = vec![
        one("first strike", Comparator::Exactly(1), vec![tag("first-hard-bounce")]),
        one("second strike", Comparator::Exactly(2), vec![untag("first-hard-bounce"), tag("second-hard-bounce")]),
        one("third strike", Comparator::MoreThan(2), vec![untag("second-hard-bounce"), tag("third-strike")]),
    ];
    Rules { triggers, ..Rules::default() }
}

/// Every person of `people` bounces once, in this order; several batches wait at the writer, as sessions do.
fn fill(store: &Arc<Store>, people: std::ops::Range<u64>, round: u64) {
    const TASKS: u64 = 8;
    runtime().block_on(async {
        let each = (0..TASKS).map(|task| {
            let (store, people) = (store.clone(), people.clone());
            tokio::spawn(async move {
                let theirs: Vec<u64> = people.filter(|n| n % TASKS == task).collect();
                for batch in theirs.chunks(BATCH) {
                    let inputs = batch.iter().map(|n| Input::Mail(mail(&person(*n), &round.to_string()))).collect();
                    store.record(inputs, Bytes::new()).await.expect("recorded");
                }
            })
        });
        for task in each.collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
    });
}

fn addresses(out: &mut dyn Write, folder: &Path) -> io::Result<()> {
    let count = number("BOUNCED_BENCH_ADDRESSES", 1_000_000, 1_000);
    let store = Arc::new(Store::open(folder, options()).expect("a new store"));
    store.set_rules(Arc::new(strikes()));
    writeln!(out, "{count} addresses, {ROUNDS} bounces each, a page cache of 64 MiB, {BATCH} in a commit at least:")?;
    let mut all = Duration::ZERO;
    for round in 0..ROUNDS {
        let begun = Instant::now();
        fill(&store, 0..count, round);
        all += begun.elapsed();
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        writeln!(out, "  round {}: {rate:.0} events/s, {:.0} MiB resident", round + 1, memory("VmRSS"))?;
    }
    store.close().expect("closed");
    let parts = ["store", "events", "raw"].map(|part| (part, folder.join(part)));
    let sizes = parts.map(|(part, path)| (part, if path.exists() { room(&path) } else { 0.0 }));
    let each = |size: f64| size * 1e6 / count as f64;
    for (part, size) in sizes {
        writeln!(out, "  {part:<7} {size:>8.1} MB, {:>6.0} octets an address", each(size))?;
    }
    let total: f64 = sizes.iter().map(|(_, size)| size).sum();
    writeln!(out, "  all     {total:>8.1} MB, {:>6.0} octets an address", each(total))?;
    writeln!(out, "  memory: {:.0} MiB at most; {:.0} s in all", memory("VmHWM"), all.as_secs_f64())
}

fn again(out: &mut dyn Write, folder: &Path) -> io::Result<()> {
    let count = number("BOUNCED_BENCH_ADDRESSES", 1_000_000, 1_000);
    let before = memory("VmRSS");
    let begun = Instant::now();
    let store = Store::open(folder, options()).expect("the store");
    let took = begun.elapsed();
    let (open, most) = (memory("VmRSS"), memory("VmHWM"));
    let begun = Instant::now();
    for n in (0..count).step_by(usize::try_from(count / 1_000).unwrap_or(1).max(1)) {
        let known = store.person(key(&person(n))).expect("read").expect("known");
        assert_eq!(known.counted.totals.get(&Status::HardBounce), Some(&ROUNDS));
    }
    let looked = begun.elapsed().as_secs_f64() * 1e6 / 1_000.0;
    writeln!(
        out,
        "  opened again in {:.2} s: {before:.0} MiB before, {open:.0} MiB after ({most:.0} at most), {:.0} MiB after 1,000 people were looked up, {looked:.0} µs each",
        took.as_secs_f64(),
        memory("VmRSS")
    )
}

fn report_task() -> ReportTask {
    ReportTask {
        name: "clean-up".into(),
        delivery: 0,
        from: None,
        to: vec!["ops@example.com".into()],
        subject: DEFAULT_SUBJECT.into(),
        body: None,
        html: None,
        fields: ["address", "status", "count", "first_seen", "last_seen", "campaign", "diagnostic"].map(str::to_owned).into(),
    }
}

fn report(out: &mut dyn Write, folder: &Path) -> io::Result<()> {
    let people = number("BOUNCED_BENCH_PEOPLE", 100_000, 1_000);
    let collect = trigger("collect", Per::Address, Comparator::Exactly(1), vec![Step::Collect("clean-up".into())]);
    let rule = ReportRule { active: true, schedule: None, send_empty: false, task: report_task() };
    let rules = Rules { triggers: vec![collect], reports: [("clean-up".to_owned(), rule)].into(), ..Rules::default() };
    {
        let store = Arc::new(Store::open(folder, options()).expect("a new store"));
        store.set_rules(Arc::new(rules));
        fill(&store, 0..people, 0);
        store.close().expect("closed");
    }
    writeln!(out, "a report over {people} people:")?;
    out.flush()?;
    part("delivery", folder)
}

fn delivery(out: &mut dyn Write, folder: &Path) -> io::Result<()> {
    let store = Arc::new(Store::open(folder, options()).expect("the store"));
    let (people, days) = (store.clone(), store.clone());
    let sources = Sources {
        people: Some(Arc::new(move |report, delivery, each| {
            people.each_collected(report, delivery, each).map_err(|error| error.to_string())
        })),
        days: Some(Arc::new(move |first, last| days.days(Which::Counted, first..=last).map_err(|error| error.to_string()))),
        ..Sources::default()
    };
    let before = memory("VmRSS");
    let begun = Instant::now();
    let loaded = store.collected("clean-up", 0).expect("the people").len();
    let loading = begun.elapsed();
    let (task, now) = (report_task(), Timestamp::now());
    let begun = Instant::now();
    let finished = sources.report(&task, now, "00000000-1-00000000-0", "mx.example.com").expect("a report");
    let made = begun.elapsed();
    let peak = memory("VmHWM");
    let begun = Instant::now();
    let draft = Draft {
        from: "bounced@example.com",
        to: "ops@example.com",
        subject: &finished.subject,
        text: finished.text.clone(),
        html: Some(finished.html.clone()),
        picture: finished.picture.as_ref(),
        file: Some(&finished.sheet),
        attached: None,
        id: "00000000-1-00000000-0",
        hostname: "mx.example.com",
        date: now,
        envelope_from: None,
    };
    let letter = draft.letter(Attach::Plain).expect("a letter");
    let composed = begun.elapsed();
    let seconds = |time: Duration| time.as_secs_f64();
    writeln!(
        out,
        "  {loaded} people read from the store in {:.2} s; Sources::report, that reading in it, {:.2} s; the mail put together in {:.2} s",
        seconds(loading),
        seconds(made),
        seconds(composed)
    )?;
    writeln!(
        out,
        "  octets: text {}, HTML {}, {} {}, the whole mail {}",
        finished.text.len(),
        finished.html.len(),
        finished.sheet.name,
        finished.sheet.bytes.len(),
        letter.bytes.len()
    )?;
    writeln!(out, "  memory: {before:.0} MiB before, {peak:.0} MiB at most for the report, {:.0} MiB with the mail", memory("VmHWM"))
}

/// A part in a process of its own, which writes to the same output.
fn part(name: &str, folder: &Path) -> io::Result<()> {
    let status = Command::new(env::current_exe()?).env(PART, name).env(FOLDER, folder).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{name} ended with {status}"))) }
}

/// In a process that is to do one part: does it and returns `true`.
pub fn part_asked() -> io::Result<bool> {
    let mut out = io::stdout();
    let folder = env::var_os(FOLDER).map(std::path::PathBuf::from).unwrap_or_default();
    match env::var(PART).as_deref() {
        Ok("judging") => judging(&mut out)?,
        Ok("addresses") => addresses(&mut out, &folder)?,
        Ok("again") => again(&mut out, &folder)?,
        Ok("report") => report(&mut out, &folder)?,
        Ok("delivery") => delivery(&mut out, &folder)?,
        _ => return Ok(false),
    }
    Ok(true)
}

pub fn run(out: &mut dyn Write, timed: bool) -> io::Result<()> {
    if timed { all(out) } else { small() }
}

fn small() -> io::Result<()> {
    let status = Command::new(env::current_exe()?).args(["--bench", "ledger"]).env("BOUNCED_BENCH_SMALL", "1").status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("a small round ended with {status}"))) }
}

fn all(out: &mut dyn Write) -> io::Result<()> {
    part("judging", Path::new(""))?;
    let folder = tempfile::tempdir()?;
    part("addresses", folder.path())?;
    // sled reads the log that was written since it was last opened, and notes then how far it came.
    part("again", folder.path())?;
    part("again", folder.path())?;
    drop(folder);
    let folder = tempfile::tempdir()?;
    part("report", folder.path())?;
    out.flush()
}
