//! What it costs to do nothing, looked at from outside: memory and wake-ups of a daemon that nobody asks, and memory of connections that say nothing.
//!
//! BOUNCED_BENCH_CONNECTIONS sets how many at most are held (10,000; fewer where the system allows fewer open files), BOUNCED_BENCH_SECONDS how long
//! the daemon is watched (30).

use std::{
    collections::HashMap,
    env, fs,
    io::{self, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    process,
    support::{client::Client, daemon::Setup},
    table::{self, Row},
};

/// Of a process's open files, those that are no idle connections.
const OTHERS: u64 = 500;

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

/// How often each of a process's threads gave the processor up of itself: wake-ups, that is.
fn sleeps(pid: u32) -> HashMap<PathBuf, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let sleeps = tasks.filter_map(|task| {
        let task = task.ok()?.path();
        let status = fs::read_to_string(task.join("status")).ok()?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()?;
        Some((task, count))
    });
    sleeps.collect()
}

/// Those since then; what a thread did that has ended meanwhile isn't known.
fn since(before: &HashMap<PathBuf, u64>, now: HashMap<PathBuf, u64>) -> u64 {
    now.into_iter().map(|(task, count)| count - before.get(&task).copied().unwrap_or_default()).sum()
}

/// How many connections this process, and the daemon that it starts, may hold.
fn allowed(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Where it can't be raised it stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.map_or(wanted, |most| wanted.min(most.saturating_sub(OTHERS)))
}

fn row(what: &str, ours: String, goal: &'static str) {
    table::add(Row { what: what.to_owned(), ours, theirs: String::new(), ratio: None, goal });
}

pub fn run(out: &mut dyn Write, timed: bool) -> io::Result<()> {
    let seconds = number("BOUNCED_BENCH_SECONDS", if timed { 30 } else { 1 });
    let count = allowed(number("BOUNCED_BENCH_CONNECTIONS", if timed { 10_000 } else { 100 }));
    let caps = format!("[smtp]\nmax_connections = {}\nmax_connections_per_ip = {}\n", count + 10, count + 10);
    let daemon = process::daemon(Setup::new("smtp://127.0.0.1:9").with(&caps));
    let pid = daemon.pid();
    if timed {
        // What a start leaves to be done is done.
        thread::sleep(Duration::from_secs(10));
    }
    let (woken, cpu) = (sleeps(pid), process::tree_cpu(pid));
    thread::sleep(Duration::from_secs(seconds));
    let woken = since(&woken, sleeps(pid)) as f64 / seconds as f64;
    let cpu = (process::tree_cpu(pid) - cpu) * 1000.0 / seconds as f64;
    let (all, own) = (process::memory(pid, "VmRSS"), process::memory(pid, "RssAnon"));
    writeln!(
        out,
        "idle for {seconds} s: {all:.1} MiB, {own:.1} of them its own; {woken:.2} wake-ups and {cpu:.2} ms of processor a second"
    )?;
    row("idle: memory, MiB", format!("{all:.1}"), "20");
    row("idle: wake-ups a second", format!("{woken:.2}"), "near 0");

    let connections = (0..count).map(|_| Client::try_greet(daemon.smtp())).collect::<io::Result<Vec<_>>>()?;
    let each = (process::memory(pid, "RssAnon") - own) * 1024.0 / count as f64;
    writeln!(out, "{count} idle connections: {each:.1} KiB each")?;
    row("idle: connections held", count.to_string(), "10,000 where allowed");
    row("idle: memory a connection, KiB", format!("{each:.1}"), "16");
    drop(connections);
    Ok(())
}
