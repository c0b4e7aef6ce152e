//! The daily digest: when it is due, and its text. Pure; zeros are told too, since silence is news.

use std::fmt::Write as _;

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};

use super::{ClosedTarget, DeadJob, Kind, trouble::mib};
use crate::{
    action::{clean, rfc3339},
    ledger::Counts,
    taxonomy::{Fault, Status},
};

/// The figures of one digest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Day {
    /// Events of the time the digest covers, those that triggers see.
    pub counts: Counts,
    /// Of the same time: unsigned and expired mail, which no trigger sees.
    pub apart: u64,
    /// Of the same time: mails of our own that came back.
    pub own_bounces: u64,
    /// Of the same time: triggers that fired and how often.
    pub fired: Vec<(String, u64)>,
    /// Of the same time: domains with the most bounces.
    pub domains: Vec<(String, u64)>,
    /// Jobs as they stand now, by state.
    pub jobs: Jobs,
    /// Some of the dead ones.
    pub dead: Vec<DeadJob>,
    /// Targets that are closed now.
    pub closed: Vec<ClosedTarget>,
    /// Domains that are guarded now.
    pub guarded: Vec<GuardedDomain>,
    /// Tasks that nobody has done yet.
    pub open_tasks: u64,
    /// Those of them whose time is past, the longest overdue first.
    pub overdue: Vec<OverdueTask>,
    /// Bytes left on the disk of `data_dir`.
    pub free_bytes: Option<u64>,
    /// `min_free`, bytes.
    pub min_free: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Jobs {
    pub waiting: u64,
    pub running: u64,
    pub done: u64,
    pub dead: u64,
}

/// A domain whose people wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedDomain {
    pub domain: String,
    pub since: Timestamp,
    pub hard_bounces: u64,
    /// Firings of triggers.
    pub waiting: u64,
}

/// A task whose time is past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueTask {
    pub id: String,
    /// May hold what strangers wrote.
    pub title: String,
    pub assignee: Option<String>,
    pub due: Timestamp,
}

/// How many domains, triggers and dead jobs a digest lists.
const LISTED: usize = 10;

/// How many overdue tasks it lists: they are there to be done.
const OVERDUE: usize = 50;

/// The local day whose digest is due: its instant is past, and the digest of that day or a later one has not gone out.
pub fn due(last: Option<Date>, now: Timestamp, zone: &TimeZone, at: Time) -> Option<Date> {
    let today = zone.to_datetime(now).date();
    // Before today's instant it is yesterday's digest that may still be missing: the daemon was off.
    let day = if instant(today, zone, at)? <= now { today } else { today.yesterday().ok()? };
    (last? < day).then_some(day)
}

/// The day to start from where no digest ever went out: the first one is due at the next instant.
pub fn start(now: Timestamp, zone: &TimeZone, at: Time) -> Date {
    let today = zone.to_datetime(now).date();
    match instant(today, zone, at) {
        Some(instant) if instant > now => today.yesterday().unwrap_or(today),
        _ => today,
    }
}

/// What a day's digest covers: from the instant of the day before to its own, 23 to 25 hours where the clocks change.
pub fn period(day: Date, zone: &TimeZone, at: Time) -> Option<(Timestamp, Timestamp)> {
    Some((instant(day.yesterday().ok()?, zone, at)?, instant(day, zone, at)?))
}

/// A time that a change of clocks leaves out comes later by as much; of one that comes twice, the first counts.
fn instant(day: Date, zone: &TimeZone, at: Time) -> Option<Timestamp> {
    Some(zone.to_ambiguous_zoned(day.to_datetime(at)).compatible().ok()?.timestamp())
}

/// Subject without prefix, and text. `Err` is why the figures can't be had: the digest goes out all the same.
pub fn compose(
    day: Result<&Day, &str>,
    (from, to): (Timestamp, Timestamp),
    zone: &TimeZone,
    held_back: &[(Kind, u64)],
) -> (String, String) {
    let local = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string();
    let head = format!("What came in from {} to {}\n\n", local(from), local(to));
    match day {
        Ok(day) => (subject(day, held_back), format!("{head}{}", text(day, zone, held_back))),
        Err(why) => {
            ("digest: the figures can't be read".to_owned(), format!("{head}The figures can't be read: {}\n", clean::cut(why, 500)))
        }
    }
}

fn subject(day: &Day, held_back: &[(Kind, u64)]) -> String {
    let of = |wanted: &dyn Fn(Status) -> bool| total(day.counts.iter().filter(|(status, _)| wanted(**status)).map(|(_, count)| *count));
    let bounces = of(&is_bounce);
    let complaints = of(&|status| status == Status::SpamComplaint);
    let mut troubles = Vec::new();
    if day.jobs.dead > 0 {
        troubles.push(format!("{} dead jobs", day.jobs.dead));
    }
    if !day.closed.is_empty() {
        troubles.push(format!("{} targets fail", day.closed.len()));
    }
    if !day.guarded.is_empty() {
        troubles.push(format!("{} domains guarded", day.guarded.len()));
    }
    if !day.overdue.is_empty() {
        troubles.push(format!("{} tasks overdue", day.overdue.len()));
    }
    if day.free_bytes.is_some_and(|free| free < day.min_free.saturating_mul(2)) {
        troubles.push("room is short".to_owned());
    }
    if day.own_bounces > 0 {
        troubles.push(format!("{} mails of our own bounced", day.own_bounces));
    }
    if !held_back.is_empty() {
        troubles.push(format!("{} alerts held back", total(held_back.iter().map(|(_, count)| *count))));
    }
    let state = if troubles.is_empty() { "all well".to_owned() } else { troubles.join(", ") };
    format!("digest: {bounces} bounces, {complaints} complaints, {state}")
}

/// What people call a bounce: neither a person's answer nor a complaint, nor a success, nor what can't be told.
fn is_bounce(status: Status) -> bool {
    !matches!(status.fault(), Fault::Person | Fault::None) && status != Status::Undetermined
}

fn text(day: &Day, zone: &TimeZone, held_back: &[(Kind, u64)]) -> String {
    let mut out = String::new();
    let mut rows = |title: &str, rows: Vec<(u64, String)>| {
        // Writing to a String can't fail.
        let _ = writeln!(out, "{title}");
        if rows.is_empty() {
            let _ = writeln!(out, "         –");
        }
        for (count, name) in rows {
            let _ = writeln!(out, "  {count:>8}  {name}");
        }
        out.push('\n');
    };
    let by_status = Status::ALL.into_iter().map(|status| (day.counts.get(&status).copied().unwrap_or(0), status.title().to_owned()));
    rows("By status", by_status.chain([(total(day.counts.values().copied()), "all together".to_owned())]).collect());
    rows(
        "Apart, seen by no trigger",
        vec![
            (day.apart, "unsigned, or signed too long ago".to_owned()),
            (day.own_bounces, "our own notifications that came back".to_owned()),
        ],
    );
    let listed = |names: &[(String, u64)]| names.iter().take(LISTED).map(|(name, count)| (*count, clean::cut(name, 100))).collect();
    rows("Triggers that fired", listed(&day.fired));
    rows("Domains with the most", listed(&day.domains));
    let states = [("waiting", day.jobs.waiting), ("running", day.jobs.running), ("done", day.jobs.done), ("dead", day.jobs.dead)];
    rows("Jobs as they stand now", states.map(|(state, count)| (count, state.to_owned())).into());
    if !day.dead.is_empty() {
        let _ = writeln!(out, "Dead jobs (bounced outbox retry ID, or drop ID)");
        for job in day.dead.iter().take(LISTED) {
            let _ = writeln!(out, "  {}", job.line());
        }
        let more = day.jobs.dead.saturating_sub(day.dead.len().min(LISTED) as u64);
        if more > 0 {
            let _ = writeln!(out, "  and {more} more: bounced outbox list");
        }
        out.push('\n');
    }
    if !day.closed.is_empty() {
        let _ = writeln!(out, "Targets that fail: their jobs wait");
        for target in day.closed.iter().take(LISTED) {
            let _ = writeln!(out, "  {}", target.line());
        }
        let more = day.closed.len().saturating_sub(LISTED);
        if more > 0 {
            let _ = writeln!(out, "  and {more} more");
        }
        out.push('\n');
    }
    guarded(&mut out, &day.guarded);
    tasks(&mut out, day, zone);
    if !held_back.is_empty() {
        let _ = writeln!(out, "Alerts held back in the last hour");
        for (kind, count) in held_back {
            let _ = writeln!(out, "  {count:>8}  {}", kind.id());
        }
        out.push('\n');
    }
    let free = day.free_bytes.map_or("unknown".to_owned(), mib);
    let _ = writeln!(out, "Room left: {free} (below {} mail is put off)", mib(day.min_free));
    out
}

fn guarded(out: &mut String, domains: &[GuardedDomain]) {
    if domains.is_empty() {
        return;
    }
    let _ = writeln!(out, "Guarded domains: what triggers do to their people waits (bounced guard release DOMAIN, or drop DOMAIN)");
    for domain in domains.iter().take(LISTED) {
        let GuardedDomain { domain, since, hard_bounces, waiting } = domain;
        let (domain, since) = (clean::cut(domain, 80), rfc3339(*since));
        let _ = writeln!(out, "  {domain}, since {since}: {hard_bounces} hard bounces, {waiting} firings wait");
    }
    let more = domains.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(out, "  and {more} more: bounced guard list");
    }
    out.push('\n');
}

fn tasks(out: &mut String, day: &Day, zone: &TimeZone) {
    let _ = writeln!(out, "Tasks\n  {:>8}  open", day.open_tasks);
    let _ = writeln!(out, "  {:>8}  of them overdue", day.overdue.len());
    for task in day.overdue.iter().take(OVERDUE) {
        let due = task.due.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M");
        let whose = task.assignee.as_deref().map_or("nobody's".to_owned(), |name| clean::cut(name, 80));
        let _ = writeln!(out, "            due {due}, {whose}: {}  (bounced tasks done {})", clean::cut(&task.title, 150), task.id);
    }
    let more = day.overdue.len().saturating_sub(OVERDUE);
    if more > 0 {
        let _ = writeln!(out, "            and {more} more: bounced tasks");
    }
    out.push('\n');
}

fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
