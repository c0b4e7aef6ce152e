use jiff::civil::{date, time};

use super::*;

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn utc(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Every minute of a span, restarting the daemon at each: when is a digest due?
fn fired(from: &str, to: &str, zone: &TimeZone, at: Time) -> Vec<String> {
    let (mut now, to) = (utc(from), utc(to));
    let mut last = Some(start(now, zone, at));
    let mut fired = Vec::new();
    while now < to {
        if let Some(day) = due(last, now, zone, at) {
            fired.push(now.strftime("%m-%dT%H:%M").to_string());
            last = Some(day);
        }
        now += jiff::SignedDuration::from_mins(1);
    }
    fired
}

#[test]
fn once_each_local_day_whatever_the_clocks_do() {
    // 2026-03-29 02:00 CET becomes 03:00 CEST; 2026-10-25 03:00 CEST becomes 02:00 CET.
    let spring = ("2026-03-27T12:00:00Z", "2026-03-31T12:00:00Z");
    let autumn = ("2026-10-23T12:00:00Z", "2026-10-27T12:00:00Z");
    let eight = time(8, 0, 0, 0);
    assert_eq!(fired(spring.0, spring.1, &berlin(), eight), ["03-28T07:00", "03-29T06:00", "03-30T06:00", "03-31T06:00"]);
    assert_eq!(fired(autumn.0, autumn.1, &berlin(), eight), ["10-24T06:00", "10-25T07:00", "10-26T07:00", "10-27T07:00"]);
    // Left out in spring, there twice in autumn.
    let half_past_two = time(2, 30, 0, 0);
    assert_eq!(fired(spring.0, spring.1, &berlin(), half_past_two), ["03-28T01:30", "03-29T01:30", "03-30T00:30", "03-31T00:30"]);
    assert_eq!(fired(autumn.0, autumn.1, &berlin(), half_past_two), ["10-24T00:30", "10-25T00:30", "10-26T01:30", "10-27T01:30"]);
}

#[test]
fn a_digest_that_was_missed_goes_out_late_and_once() {
    let (zone, at) = (TimeZone::UTC, time(8, 0, 0, 0));
    let last = Some(date(2026, 11, 20));
    assert_eq!(due(last, utc("2026-11-22T23:00:00Z"), &zone, at), Some(date(2026, 11, 22)));
    assert_eq!(due(last, utc("2026-11-22T07:00:00Z"), &zone, at), Some(date(2026, 11, 21)), "yesterday's is still missing");
    assert_eq!(due(Some(date(2026, 11, 21)), utc("2026-11-22T07:59:59Z"), &zone, at), None);
    assert_eq!(due(Some(date(2026, 11, 22)), utc("2026-11-22T08:00:00Z"), &zone, at), None);
    assert_eq!(due(Some(date(2026, 11, 25)), utc("2026-11-22T08:00:00Z"), &zone, at), None, "the clock was set back");
    assert_eq!(due(None, utc("2026-11-22T08:00:00Z"), &zone, at), None);
    // A first start waits for the next instant.
    assert_eq!(start(utc("2026-11-22T07:00:00Z"), &zone, at), date(2026, 11, 21));
    assert_eq!(start(utc("2026-11-22T09:00:00Z"), &zone, at), date(2026, 11, 22));
}

#[test]
fn a_period_has_as_many_hours_as_the_day() {
    let hours = |day| period(day, &berlin(), time(8, 0, 0, 0)).map(|(from, to)| to.duration_since(from).as_hours());
    assert_eq!([date(2026, 3, 29), date(2026, 10, 25), date(2026, 11, 1)].map(hours), [Some(23), Some(25), Some(24)]);
}

#[test]
fn zeros_are_told() {
    let span = (utc("2026-11-22T07:00:00Z"), utc("2026-11-23T07:00:00Z"));
    let (subject, text) = compose(Ok(&Day { free_bytes: Some(5 << 30), min_free: 256 << 20, ..Day::default() }), span, &berlin(), &[]);
    assert_eq!(subject, "digest: 0 bounces, 0 complaints, all well");
    assert!(text.starts_with("What came in from 2026-11-22 08:00 CET to 2026-11-23 08:00 CET\n"), "{text}");
    for status in Status::ALL {
        assert!(text.contains(&format!("         0  {}\n", status.title())), "{status}");
    }
    assert!(text.contains("Room left: 5120 MiB (below 256 MiB mail is put off)"), "{text}");
}

#[test]
fn trouble_stands_in_the_subject() {
    let text = str::to_owned;
    let dead = DeadJob { id: text("1-2-3-4"), kind: text("post"), target: text("https://x.example/"), error: text("HTTP 410\r\nGone") };
    let task = OverdueTask {
        id: text("1-2-3-5"),
        title: text("Call x\r\nBcc: y"),
        assignee: Some(text("ops@example.com")),
        due: utc("2026-11-22T21:00:00Z"),
    };
    let day = Day {
        counts: [(Status::HardBounce, 120), (Status::SoftBounceMailboxFull, 3), (Status::SpamComplaint, 4), (Status::AutoReply, 9)].into(),
        apart: 2,
        own_bounces: 1,
        fired: vec![(text("third strike"), 7)],
        domains: (0..50).map(|n| (format!("d{n}.example"), 50 - n)).collect(),
        jobs: Jobs { waiting: 1, running: 2, done: 3, dead: 30 },
        dead: vec![dead; 30],
        closed: vec![ClosedTarget { host: text("x.example:8080"), since: utc("2026-11-22T23:00:00Z"), error: text("HTTP 503\r\nBcc: x") }],
        guarded: vec![GuardedDomain { domain: text("d0.example"), since: utc("2026-11-22T22:00:00Z"), hard_bounces: 201, waiting: 7 }],
        open_tasks: 60,
        overdue: vec![task; 55],
        free_bytes: Some(1),
        min_free: 256 << 20,
    };
    let span = (utc("2026-11-22T07:00:00Z"), utc("2026-11-23T07:00:00Z"));
    let (subject, text) = compose(Ok(&day), span, &TimeZone::UTC, &[(Kind::JobsDied, 5)]);
    assert_eq!(
        subject,
        "digest: 123 bounces, 4 complaints, 30 dead jobs, 1 targets fail, 1 domains guarded, 55 tasks overdue, room is short, 1 mails of our own bounced, 5 alerts held back"
    );
    for row in [
        "       136  all together",
        "         7  third strike",
        "        50  d0.example",
        "  1-2-3-4  post to https://x.example/: HTTP 410 Gone",
        "  and 20 more",
        "  x.example:8080, since 2026-11-22T23:00:00Z: HTTP 503 Bcc: x\n",
        "  d0.example, since 2026-11-22T22:00:00Z: 201 hard bounces, 7 firings wait\n",
        "        60  open\n        55  of them overdue\n",
        "due 2026-11-22 21:00, ops@example.com: Call x Bcc: y  (bounced tasks done 1-2-3-5)\n",
        "            and 5 more: bounced tasks\n",
    ] {
        assert!(text.contains(row), "{row} in\n{text}");
    }
    assert!(!text.contains("d10.example"));
    let (subject, _) = compose(Err("no\r\nstore"), span, &TimeZone::UTC, &[]);
    assert_eq!(subject, "digest: the figures can't be read");
}
