//! What the system says of a process: memory, processor time, sleeps (proc(5)).

use std::{fs, time::Duration};

/// A field of `/proc/PID/status` in KiB: VmRSS, VmHWM, RssAnon.
pub fn kib(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("the field");
    line.trim().trim_end_matches(" kB").parse().expect("kB")
}

/// How often its threads gave the processor up of themselves: wake-ups, that is.
pub fn sleeps(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let sleeps = tasks.filter_map(|task| {
        let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse::<u64>().ok()
    });
    sleeps.sum()
}

/// Whether all its threads stand still after SIGSTOP.
pub fn is_stopped(pid: u32) -> bool {
    let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    tasks.all(|task| fs::read_to_string(task.unwrap().path().join("status")).is_ok_and(|status| status.contains("State:\tT")))
}

/// Processor time of all its threads.
pub fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    tasks.filter_map(|task| on_cpu(&task.ok()?.path().join("schedstat").display().to_string())).sum()
}

/// Processor time of this thread.
pub fn my_cpu() -> Duration {
    on_cpu("/proc/thread-self/schedstat").expect("a kernel with schedstat")
}

fn on_cpu(path: &str) -> Option<Duration> {
    let text = fs::read_to_string(path).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
