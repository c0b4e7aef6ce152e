//! What strace wrote, read line by line: when each mail's data was written and synced, and when its 250 was sent.
//!
//! strace stops a thread at the beginning and at the end of a call and writes a line then: what happened because of another call stands below it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
};

use crate::support::await_some;

/// Where a part of a mail lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// store/journal/*.seg, where an event stands before the rows of its commit. In events/*.seg it is synced later.
    Event,
    /// raw/*.seg
    Raw,
    /// The same: the person's row, in one record with everything else of the commit.
    Rows,
}

#[derive(Default)]
pub struct Trace {
    /// The first line by which it was written and synced.
    synced: BTreeMap<(Kept, u64), usize>,
    /// The line where the send of the 250 began, by event.
    replied: BTreeMap<u64, usize>,
    syncs: usize,
}

/// While the lines are read.
#[derive(Default)]
struct Reading {
    trace: Trace,
    /// Calls that have begun, by thread: the call and what it is about.
    begun: BTreeMap<String, String>,
    /// Written and not yet synced, by path.
    dirty: BTreeMap<String, BTreeSet<(Kept, u64)>>,
    /// What a sync that has begun will cover, by thread.
    covers: BTreeMap<String, BTreeSet<(Kept, u64)>>,
}

const END: &str = "+++ exited with";

/// strace writes the last line when the process is gone.
pub fn await_end(file: &Path) {
    await_some("the end of the trace", || {
        let bytes = fs::read(file).ok()?;
        let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(500)..]).into_owned();
        tail.trim_end().lines().last().is_some_and(|line| line.contains(END)).then_some(())
    });
}

impl Trace {
    /// `-D` lets the daemon stay the child of the test. Strings as long as they are.
    pub fn command(file: &Path) -> Vec<String> {
        let calls = "trace=write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync";
        let words = ["strace", "-D", "-f", "--seccomp-bpf", "-q", "-yy", "-s", "2000000", "-e", calls, "-e", "signal=none", "-o"];
        words.iter().map(|word| (*word).to_owned()).chain([file.display().to_string()]).collect()
    }

    /// As long as each other, so that none is a part of another.
    pub fn person(serial: u64) -> String {
        format!("traced{serial:08}@example.org")
    }

    pub fn serial(person: &str) -> u64 {
        serials(person).first().copied().unwrap_or_else(|| panic!("{person} is nobody of this test"))
    }

    pub fn read(file: &Path) -> Trace {
        let mut reading = Reading::default();
        for (number, line) in BufReader::new(File::open(file).unwrap()).split(b'\n').enumerate() {
            reading.line(number, &String::from_utf8_lossy(&line.unwrap()));
        }
        reading.trace
    }

    pub fn syncs(&self) -> usize {
        self.syncs
    }

    /// Which parts of a mail were not synced when the send of its 250 began.
    pub fn before_reply(&self, event: u64, serial: u64, raw: bool) -> Vec<Kept> {
        let replied = *self.replied.get(&event).unwrap_or_else(|| panic!("no 250 for event {event} in the trace"));
        let parts = [Some(Kept::Event), Some(Kept::Rows), raw.then_some(Kept::Raw)];
        let late = |part: &Kept| self.synced.get(&(*part, serial)).is_none_or(|synced| *synced >= replied);
        parts.into_iter().flatten().filter(late).collect()
    }
}

impl Reading {
    fn line(&mut self, number: usize, line: &str) {
        let Some((thread, rest)) = line.split_once(' ') else { return };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            if let Some(call) = self.begun.remove(thread) {
                self.end(number, thread, &call, resumed);
            }
        } else if let Some(call) = rest.strip_suffix(" <unfinished ...>") {
            self.begin(number, thread, call);
            self.begun.insert(thread.to_owned(), call.to_owned());
        } else {
            self.begin(number, thread, rest);
            self.end(number, thread, rest, rest);
        }
    }

    fn begin(&mut self, number: usize, thread: &str, call: &str) {
        if is_sync(call) {
            let covers = path(call).and_then(|path| self.dirty.get(path)).cloned().unwrap_or_default();
            self.covers.insert(thread.to_owned(), covers);
        } else if let Some(event) = reply(call) {
            self.trace.replied.entry(event).or_insert(number);
        }
    }

    fn end(&mut self, number: usize, thread: &str, call: &str, rest: &str) {
        let result = rest.rsplit_once(" = ").map_or("", |(_, result)| result.split(' ').next().unwrap_or_default());
        if is_sync(call) {
            let covered = self.covers.remove(thread).unwrap_or_default();
            if result == "0" {
                self.trace.syncs += 1;
                let dirty = path(call).and_then(|path| self.dirty.get_mut(path));
                dirty.into_iter().for_each(|dirty| dirty.retain(|part| !covered.contains(part)));
                for part in covered {
                    self.trace.synced.entry(part).or_insert(number);
                }
            }
        } else if let Some(path) = path(call).filter(|_| result.parse::<u64>().is_ok()) {
            let new = parts(path, call).into_iter().filter(|part| !self.trace.synced.contains_key(part));
            self.dirty.entry(path.to_owned()).or_default().extend(new);
        }
    }
}

fn is_sync(call: &str) -> bool {
    call.starts_with("fdatasync(") || call.starts_with("fsync(")
}

/// `pwrite64(12</var/lib/bounced/events/00000000.seg>, …`
fn path(call: &str) -> Option<&str> {
    let (_, rest) = call.split_once('<')?;
    rest.split_once('>').map(|(path, _)| path).filter(|path| path.starts_with('/'))
}

/// What a write holds. An event and a person's row both have the address.
fn parts(path: &str, call: &str) -> Vec<(Kept, u64)> {
    let mut times = BTreeMap::<u64, usize>::new();
    serials(call).into_iter().for_each(|serial| *times.entry(serial).or_default() += 1);
    let segment = path.ends_with(".seg");
    let kept = |times: usize| match path {
        _ if segment && path.contains("/raw/") => vec![Kept::Raw],
        _ if segment && path.contains("/store/journal/") && times > 1 => vec![Kept::Event, Kept::Rows],
        _ if segment && path.contains("/store/journal/") => vec![Kept::Rows],
        _ => Vec::new(),
    };
    times.into_iter().flat_map(|(serial, times)| kept(times).into_iter().map(move |kept| (kept, serial))).collect()
}

fn serials(text: &str) -> Vec<u64> {
    let after = text.split("traced").skip(1);
    after.filter_map(|rest| rest.get(..8)?.parse().ok()).collect()
}

/// The event of `sendto(…, "250 2.0.0 recorded as 7\r\n", …`
fn reply(call: &str) -> Option<u64> {
    let sends = ["sendto(", "sendmsg(", "write(", "writev("].iter().any(|name| call.starts_with(name)) && call.contains("<TCP");
    let (_, rest) = call.split_once("recorded as ").filter(|_| sends)?;
    rest.split(|sign: char| !sign.is_ascii_digit()).next()?.parse().ok()
}
