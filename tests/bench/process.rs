//! What processes cost, from proc(5).

use std::{collections::BTreeMap, env, fs};

use super::support::daemon::{Daemon, Setup};

/// As on Linux everywhere: USER_HZ.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process's parent and its utime, stime, cutime and cstime: with the last two, children that have ended are in it.
struct Stat {
    parent: u32,
    ticks: f64,
    own_ticks: f64,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let sum =
        |places: std::ops::Range<usize>| fields.get(places).map(|some| some.iter().filter_map(|field| field.parse::<f64>().ok()).sum());
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks: sum(11..15)?, own_ticks: sum(11..13)? })
}

/// CPU seconds of a process and all that come from it, those that ended among them.
pub fn tree_cpu(pid: u32) -> f64 {
    let all: BTreeMap<u32, Stat> = fs::read_dir("/proc")
        .expect("procfs")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    let within = |mut one: u32| {
        while one != pid {
            match all.get(&one) {
                Some(stat) => one = stat.parent,
                None => return false,
            }
        }
        true
    };
    all.iter().filter(|(one, _)| within(**one)).map(|(_, stat)| stat.ticks).sum::<f64>() / TICKS_PER_SECOND
}

/// CPU seconds of this process without its children.
pub fn own_cpu() -> f64 {
    stat(std::process::id()).map_or(f64::NAN, |stat| stat.own_ticks / TICKS_PER_SECOND)
}

/// MiB
pub fn memory(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}

/// The daemon to be measured: BOUNCED_BENCH_BINARY names another build, to compare with.
pub fn daemon(setup: Setup) -> Daemon {
    let mut daemon = setup.asleep();
    if let Some(other) = env::var_os("BOUNCED_BENCH_BINARY") {
        daemon.binary = other.into();
    }
    daemon.start();
    daemon
}
