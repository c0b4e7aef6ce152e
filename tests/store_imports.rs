//! Mails of the past among those of now, in any order: they count at their own time, and what they set off begins now.

#![allow(clippy::unwrap_used)]

mod store_support;

use std::sync::Arc;

use bounced::{
    ledger::{Comparator, Days, Import, Input, MailInput, Per, Rules, Sequence, SequenceStep, Step, Trigger},
    outbox::State,
    store::{JobFilter, Store, Which},
    taxonomy::Status,
};
use bytes::Bytes;
use jiff::{SignedDuration, SpanFieldwise};
use store_support::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn open(dir: &std::path::Path, clock: &Clock, rules: Rules) -> Store {
    let store = Store::open(dir, clock.options()).unwrap();
    store.set_rules(Arc::new(rules));
    store
}

fn past(clock: &Clock, days: i32, fire: bool) -> MailInput {
    let at = clock.now() - DAY * days;
    MailInput { import: Some(Import { at, fire }), ..mail("alice@example.org", &format!("{at}")) }
}

fn twice_in(window: SignedDuration, per: Per) -> Rules {
    let twice = Trigger { within: Some(window), repeat: true, ..trigger("twice", per, Comparator::Exactly(2)) };
    Rules { triggers: vec![twice], ..Rules::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_ends_with_the_event_however_the_mails_come_in() {
    for per in [Per::Address, Per::Domain, Per::All] {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
        let store = open(dir.path(), &clock, twice_in(DAY * 7, per));
        // Alone, and all in one commit: it must not matter.
        let mut fired = Vec::new();
        for days in [1, 58, 90, 30] {
            fired.push(record(&store, past(&clock, days, false)).await.fired.len());
        }
        let batch = [200, 150, 300, 152, 198].map(|days| Input::Mail(past(&clock, days, false)));
        let recorded = store.record(batch.into(), Bytes::new()).await.unwrap();
        fired.extend(recorded.into_iter().map(|recorded| recorded.fired.len()));
        assert_eq!(fired, [0, 0, 0, 0, 0, 0, 0, 0, 1], "{per:?}: 198 days ago was two days after 200");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_of_a_day_that_a_window_reached_over_stay() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = open(dir.path(), &clock, twice_in(DAY * 30, Per::All));
    record(&store, past(&clock, 20, false)).await;
    clock.go(SignedDuration::from_hours(1));
    let both = vec![Input::Mail(mail("bob@example.org", "now")), Input::Mail(past(&clock, 20, false))];
    store.record(both, Bytes::new()).await.unwrap();
    let hour = bounced::ledger::hour_of(clock.now() - DAY * 20);
    let hours = store.hours(Which::Counted, hour - 1..=hour).unwrap();
    let one = [(Status::HardBounce, 1)].into();
    assert_eq!(hours, [(hour - 1, one), (hour, [(Status::HardBounce, 1)].into())].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_bounce_brought_in_late_lets_no_counts_lapse() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let store = open(dir.path(), &clock, Rules { reset_after: Some(DAY * 30), ..Rules::default() });
    record(&store, mail("alice@example.org", "1")).await;
    record(&store, past(&clock, 90, false)).await;
    clock.go_days(1);
    record(&store, mail("alice@example.org", "2")).await;
    let alice = store.person(key("alice@example.org")).unwrap().unwrap();
    assert_eq!(alice.counted.totals[&Status::HardBounce], 3, "the last bounce was yesterday");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_import_sets_off_begins_now() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let steps = vec![Step::Start("s".into()), trigger("x", Per::Address, Comparator::Exactly(1)).steps.remove(1)];
    let rule = Trigger { steps, ..trigger("x", Per::Address, Comparator::Exactly(1)) };
    let step = SequenceStep {
        name: "a".into(),
        after: SpanFieldwise("1 day".parse().unwrap()),
        days: Days::Any,
        at: None,
        steps: vec![Step::Tag("a".into())],
    };
    let sequences = [("s".to_owned(), Sequence { name: "s".into(), steps: vec![step] })].into();
    let store = open(dir.path(), &clock, Rules { triggers: vec![rule], sequences, ..Rules::default() });
    record(&store, past(&clock, 90, true)).await;
    let jobs = store.jobs(&JobFilter { state: Some(State::Waiting), limit: 0 }).unwrap();
    // Its three days of attempts are not long over.
    assert_eq!((jobs.len(), jobs[0].created, jobs[0].facts.event.at), (1, clock.now(), clock.now() - DAY * 90));
    store.tick().await.unwrap();
    let alice = || store.person(key("alice@example.org")).unwrap().unwrap();
    assert_eq!((alice().tags.len(), alice().sequences["s"].due), (0, clock.now() + DAY));
    assert_eq!(alice().first_seen, Some(clock.now() - DAY * 90));
    clock.go_days(1);
    store.tick().await.unwrap();
    assert_eq!(alice().tags.len(), 1);
}
