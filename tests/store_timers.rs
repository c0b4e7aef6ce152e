//! What happens by itself or by hand: sequences, reports, digests, the guard, resends, tasks; each exactly once, whatever stops in between.

#![allow(clippy::unwrap_used)]

mod store_support;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bounced::{
    action::{Batch, MailTask, MailTemplate, PostBody, PostTask, Rate, ReportTask, ResendMessage, Task, Todo},
    ledger::{
        Comparator, Days, Field, GuardRule, Hand, HandInput, Import, Input, MailInput, Per, ReportRule, ResendStep, Rules, Schedule,
        Sequence, SequenceStep, Step, Trigger,
    },
    outbox::{Job, State},
    store::{JobFilter, Store},
    taxonomy::Status,
};
use bytes::Bytes;
use jiff::{SignedDuration, SpanFieldwise, Timestamp, civil::Weekday, tz::TimeZone};
use store_support::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn open(dir: &std::path::Path, clock: &Clock, rules: &Rules) -> Store {
    let store = Store::open(dir, clock.options()).unwrap();
    store.set_rules(Arc::new(rules.clone()));
    store
}

fn fires(name: &str, count: Comparator, steps: Vec<Step>) -> Trigger {
    Trigger { steps, ..trigger(name, Per::Address, count) }
}

fn rules_of(triggers: Vec<Trigger>) -> Rules {
    Rules { triggers, timezone: TimeZone::get("Europe/Berlin").unwrap(), ..Rules::default() }
}

fn step(name: &str, after: &str, steps: Vec<Step>) -> SequenceStep {
    SequenceStep { name: name.into(), after: SpanFieldwise(after.parse().unwrap()), days: Days::Any, at: None, steps }
}

fn sequence(rules: &mut Rules, name: &str, steps: Vec<SequenceStep>) {
    rules.sequences.insert(name.into(), Sequence { name: name.into(), steps });
}

fn report(rules: &mut Rules, name: &str, schedule: Option<Schedule>) {
    let task = ReportTask {
        name: name.into(),
        delivery: 0,
        from: None,
        to: vec!["ops@example.com".into()],
        subject: "x".into(),
        body: None,
        html: None,
        fields: vec!["address".into()],
    };
    rules.reports.insert(name.into(), ReportRule { active: true, schedule, send_empty: false, task });
}

fn notice(digest: Option<Duration>, at_most: Option<Rate>) -> Step {
    let template = MailTemplate { name: "hard".into(), subject: "{{ address }}".into(), body: "gone".into(), html: None };
    Step::Job(Task::Mail(MailTask { to: "ops@example.com".into(), template, digest, at_most }))
}

fn jobs(store: &Store) -> Vec<Job> {
    let mut jobs = store.jobs(&JobFilter { state: Some(State::Waiting), limit: 0 }).unwrap();
    jobs.sort_by_key(|job| job.id);
    jobs
}

/// Addresses of all that a job tells of.
fn addresses(job: &Job) -> Vec<String> {
    let all = std::iter::once(&job.facts).chain(job.others.iter().map(|part| &part.facts));
    all.map(|facts| facts.event.verdict.address.clone().unwrap_or_default()).collect()
}

async fn by_hand(store: &Store, address: Option<&str>, act: Hand) {
    let input = Input::Hand(HandInput { person: address.map(key), act });
    store.record(vec![input], Bytes::new()).await.unwrap();
}

fn of(mut mail: MailInput, status: Status) -> MailInput {
    mail.verdict.status = status;
    mail
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_a_sequence_run_once_each_in_their_time() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let mut rules = rules_of(vec![fires("third strike", Comparator::AtLeast(1), vec![Step::Start("follow-up".into())])]);
    let steps = vec![
        step("at once", "0 days", vec![Step::Tag("begun".into())]),
        step("next day", "1 day", vec![Step::Untag("begun".into()), Step::Tag("second".into()), notice(None, None)]),
        step("last", "2 days", vec![Step::Suppress(true), notice(None, None)]),
    ];
    sequence(&mut rules, "follow-up", steps);
    let store = open(dir.path(), &clock, &rules);
    record(&store, mail("alice@example.org", "1")).await;
    store.tick().await.unwrap();
    let alice = || store.person(key("alice@example.org")).unwrap().unwrap();
    assert_eq!(alice().tags.iter().collect::<Vec<_>>(), ["begun"]);
    assert_eq!(store.members("follow-up").unwrap().len(), 1);
    clock.go(HOUR);
    record(&store, mail("alice@example.org", "2")).await;
    assert_eq!(alice().sequences["follow-up"].step, "next day", "who is in it isn't started twice");
    clock.go_days(1);
    store.tick().await.unwrap();
    store.tick().await.unwrap();
    assert_eq!((alice().tags.iter().cloned().collect::<Vec<_>>(), jobs(&store).len()), (vec!["second".to_owned()], 1));
    store.close().unwrap();
    drop(store);

    // Down at the due time: the step runs at the next start.
    clock.go_days(7);
    let store = open(dir.path(), &clock, &rules);
    store.tick().await.unwrap();
    let person = store.person(key("alice@example.org")).unwrap().unwrap();
    assert!(person.suppressed && person.sequences.is_empty());
    assert_eq!((jobs(&store).len(), store.members("follow-up").unwrap().len()), (2, 0));
    clock.go_days(30);
    assert_eq!(store.tick().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_configuration_keeps_places() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let mut rules = rules_of(vec![fires("x", Comparator::AtLeast(1), vec![Step::Start("s".into())])]);
    let tag = |name: &str| vec![Step::Tag(name.into())];
    sequence(&mut rules, "s", vec![step("a", "1 hour", tag("a")), step("b", "2 hours", tag("b")), step("c", "3 hours", tag("c"))]);
    let store = open(dir.path(), &clock, &rules);
    record(&store, mail("alice@example.org", "1")).await;
    let tags = || store.person(key("alice@example.org")).unwrap().unwrap().tags.into_iter().collect::<Vec<_>>().join(" ");
    clock.go(HOUR);
    store.tick().await.unwrap();
    assert_eq!(tags(), "a");
    // b is later now, and new steps stand around it.
    sequence(
        &mut rules,
        "s",
        vec![
            step("new", "1 hour", tag("new")),
            step("a", "1 hour", tag("a")),
            step("b", "5 hours", tag("b")),
            step("d", "6 hours", tag("d")),
        ],
    );
    store.set_rules(Arc::new(rules.clone()));
    clock.go(HOUR);
    store.tick().await.unwrap();
    assert_eq!(tags(), "a", "not before its new time");
    clock.go(HOUR * 3);
    store.tick().await.unwrap();
    assert_eq!(tags(), "a b");
    // Gone from the file, and back.
    let gone = rules_of(rules.triggers.clone());
    store.set_rules(Arc::new(gone));
    clock.go(HOUR);
    store.tick().await.unwrap();
    assert_eq!(store.members("s").unwrap().len(), 1);
    store.set_rules(Arc::new(rules.clone()));
    clock.go(HOUR);
    store.tick().await.unwrap();
    assert_eq!((tags().as_str(), store.members("s").unwrap().len()), ("a b d", 0));
    // A second run; taken out by hand.
    by_hand(&store, Some("alice@example.org"), Hand::Reset(None)).await;
    record(&store, mail("alice@example.org", "2")).await;
    assert_eq!(store.members("s").unwrap().len(), 1);
    by_hand(&store, Some("alice@example.org"), Hand::Stop("s".into())).await;
    by_hand(&store, Some("alice@example.org"), Hand::Untag("new".into())).await;
    clock.go(HOUR * 9);
    store.tick().await.unwrap();
    assert_eq!((tags().as_str(), store.members("s").unwrap().len()), ("a b d", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_report_when_all_steps_of_an_instant_have_run() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let mut rules = rules_of(vec![fires("x", Comparator::AtLeast(1), vec![Step::Start("weekly".into())])]);
    let monday = SequenceStep {
        days: Days::On(vec![Weekday::Monday]),
        at: Some("09:00".parse().unwrap()),
        ..step("monday", "0 days", vec![Step::Collect("clean-up".into())])
    };
    sequence(&mut rules, "weekly", vec![monday]);
    report(&mut rules, "clean-up", None);
    let store = open(dir.path(), &clock, &rules);
    // More than one turn of timers takes.
    let people = 700;
    let inputs = (0..people).map(|n| Input::Mail(mail(&format!("p{n}@example.org"), "1"))).collect();
    store.record(inputs, Bytes::new()).await.unwrap();
    clock.go(HOUR * 3);
    assert_eq!(store.tick().await.unwrap(), 0, "05:41 in Berlin; nothing before nine: {}", clock.now());
    clock.go_days(1);
    store.tick().await.unwrap();
    let sent = jobs(&store);
    let Task::Report(task) = &sent[0].task else { panic!("{:?}", sent[0].task) };
    assert_eq!((sent.len(), task.delivery), (1, 0));
    assert_eq!(store.collected("clean-up", 0).unwrap().len(), people);
    assert_eq!(store.report("clean-up").unwrap().open, 1);
    assert_eq!(store.collected("clean-up", 1).unwrap().len(), 0, "a person is in one delivery once");
    clock.go_days(30);
    store.tick().await.unwrap();
    assert_eq!(jobs(&store).len(), 1);
    clock.go_days(8);
    store.expire().await.unwrap();
    assert_eq!(store.collected("clean-up", 0).unwrap().len(), 0, "long after the delivery nobody is kept for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_by_their_own_schedule_by_hand_and_asleep() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let collect = |name: &str| Step::Collect(name.into());
    let mut rules = rules_of(vec![fires("x", Comparator::Every(1), vec![collect("daily"), collect("asleep")])]);
    let nine = Schedule { days: Days::Any, at: "09:00".parse().unwrap() };
    report(&mut rules, "daily", Some(nine.clone()));
    report(&mut rules, "asleep", Some(nine));
    rules.reports.get_mut("asleep").unwrap().active = false;
    let store = open(dir.path(), &clock, &rules);
    store.plan().await.unwrap();
    store.plan().await.unwrap();
    let deliveries = |store: &Store| {
        let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for job in jobs(store) {
            let Task::Report(task) = job.task else { continue };
            seen.entry(task.name.clone()).or_default().push(store.collected(&task.name, task.delivery).unwrap().len());
        }
        seen
    };
    for day in 0..3 {
        record(&store, mail("alice@example.org", &day.to_string())).await;
        record(&store, mail("alice@example.org", &format!("{day} again"))).await;
        if day == 1 {
            record(&store, mail("bob@example.org", "1")).await;
        }
        clock.go_days(1);
        store.tick().await.unwrap();
    }
    assert_eq!(deliveries(&store), [("daily".to_owned(), vec![1, 2, 1])].into());
    clock.go_days(1);
    store.tick().await.unwrap();
    assert_eq!(deliveries(&store)["daily"].len(), 3, "an empty one is not sent");
    store.close().unwrap();
    drop(store);

    clock.go_days(10);
    let store = open(dir.path(), &clock, &rules);
    store.plan().await.unwrap();
    assert_eq!(store.report("asleep").unwrap().people, 2);
    by_hand(&store, None, Hand::Send("asleep".into())).await;
    assert_eq!(deliveries(&store)["asleep"], [2]);
    rules.reports.get_mut("daily").unwrap().schedule = None;
    store.set_rules(Arc::new(rules.clone()));
    store.plan().await.unwrap();
    record(&store, mail("carol@example.org", "1")).await;
    clock.go_days(3);
    store.tick().await.unwrap();
    assert_eq!(deliveries(&store)["daily"].len(), 3, "no schedule, no delivery");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_and_posts_that_wait_for_others() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let post = |batch| {
        let url = "https://app.example.com/b".to_owned();
        Step::Job(Task::Post(PostTask {
            url,
            body: PostBody::Event,
            headers: BTreeMap::new(),
            secret_file: None,
            batch,
            concurrency: None,
            rate: None,
        }))
    };
    let digest = notice(Some(Duration::from_secs(3600)), None);
    let batch = post(Some(Batch { max: 4, within: Duration::from_secs(10) }));
    let rules = rules_of(vec![fires("x", Comparator::Every(1), vec![digest, batch])]);
    let store = open(dir.path(), &clock, &rules);
    for n in 0..6 {
        record(&store, mail(&format!("p{n}@example.org"), "1")).await;
        clock.go(SignedDuration::from_secs(1));
    }
    let kinds = |store: &Store| jobs(store).iter().map(|job| (job.task.kind(), addresses(job).len())).collect::<Vec<_>>();
    assert_eq!(kinds(&store), [("post", 4)], "a full batch goes at once");
    store.close().unwrap();
    drop(store);

    clock.go(SignedDuration::from_secs(20));
    let store = open(dir.path(), &clock, &rules);
    store.tick().await.unwrap();
    assert_eq!(kinds(&store), [("post", 4), ("post", 2)]);
    clock.go(HOUR);
    store.tick().await.unwrap();
    let mails: Vec<Job> = jobs(&store).into_iter().filter(|job| job.task.kind() == "mail").collect();
    assert_eq!(mails.len(), 1);
    assert_eq!(addresses(&mails[0]), (0..6).map(|n| format!("p{n}@example.org")).collect::<Vec<_>>());
    assert_eq!(mails[0].id.event, 1, "it bears the first one's id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_morning_makes_few_mails() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let rate = Rate { count: 3, per: Duration::from_secs(3600) };
    let rules = rules_of(vec![fires("x", Comparator::Every(1), vec![notice(None, Some(rate))])]);
    let store = open(dir.path(), &clock, &rules);
    let inputs = (0..1_500).map(|n| Input::Mail(mail(&format!("p{n}@example.org"), "1"))).collect();
    store.record(inputs, Bytes::new()).await.unwrap();
    assert_eq!(jobs(&store).len(), 3);
    clock.go(HOUR);
    store.tick().await.unwrap();
    let all = jobs(&store);
    assert_eq!(all.len(), 4);
    assert_eq!((addresses(&all[3]).len(), all[3].beyond), (1_000, 497), "the rest in one, bounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_denies_everyone() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let steps = vec![Step::Tag("hard".into()), Step::Suppress(true), notice(None, None), Step::Blank(vec!["email".into()])];
    let mut rules = rules_of(vec![fires("first strike", Comparator::Exactly(1), steps)]);
    rules.guard = Some(GuardRule { hard_bounces: 10, per: HOUR, release_after: Some(HOUR * 24) });
    let store = open(dir.path(), &clock, &rules);
    for n in 0..30 {
        record(&store, mail(&format!("p{n}@big.example.org"), "1")).await;
        record(&store, of(mail(&format!("p{n}@small.example.org"), "1"), if n < 9 { Status::HardBounce } else { Status::AutoReply })).await;
    }
    let suppressed = |store: &Store, domain: &str| {
        let people = (0..30).filter_map(|n| store.person(key(&format!("p{n}@{domain}"))).unwrap());
        people.filter(|person| person.suppressed && person.tags.contains("hard") && person.fields.contains_key("email")).count()
    };
    assert_eq!((suppressed(&store, "big.example.org"), suppressed(&store, "small.example.org")), (10, 9));
    assert_eq!(jobs(&store).len(), 39, "mails to the operator go on");
    let (domain, state) = store.guarded().unwrap().remove(0);
    assert_eq!((domain.as_str(), state.waiting, state.hard_bounces), ("big.example.org", 20, 11));
    let people = store.held("big.example.org", 100).unwrap();
    assert_eq!((people.len(), people[0].steps.len()), (20, 3));
    store.close().unwrap();
    drop(store);

    let store = open(dir.path(), &clock, &rules);
    by_hand(&store, None, Hand::Guard { domain: "big.example.org".into(), release: true }).await;
    store.tick().await.unwrap();
    assert_eq!((suppressed(&store, "big.example.org"), store.guarded().unwrap().len(), jobs(&store).len()), (30, 0, 39));
    // Who lets them go means it: the next of the same surge don't wait, for a day.
    store.tick().await.unwrap();
    for n in 30..33 {
        record(&store, mail(&format!("p{n}@big.example.org"), "1")).await;
    }
    assert!(store.guarded().unwrap().is_empty());
    assert!(store.person(key("p32@big.example.org")).unwrap().unwrap().suppressed);
    clock.go(HOUR * 24);
    store.tick().await.unwrap();

    // Thrown away: as if it had never been; the next true bounce is the first.
    clock.go_days(20);
    for n in 0..30 {
        record(&store, mail(&format!("q{n}@big.example.org"), "1")).await;
    }
    assert_eq!(store.guarded().unwrap()[0].1.waiting, 20);
    by_hand(&store, None, Hand::Guard { domain: "big.example.org".into(), release: false }).await;
    store.tick().await.unwrap();
    let last = || store.person(key("q29@big.example.org")).unwrap().unwrap();
    assert!(!last().suppressed && last().tags.is_empty() && last().counted.totals.is_empty() && last().fired.is_empty());
    clock.go_days(20);
    record(&store, mail("q29@big.example.org", "2")).await;
    assert!(last().suppressed && last().tags.contains("hard"));

    // By itself, after a day.
    for n in 0..30 {
        record(&store, mail(&format!("r{n}@big.example.org"), "1")).await;
    }
    clock.go(HOUR * 25);
    store.tick().await.unwrap();
    assert!(store.guarded().unwrap().is_empty());
    assert!(store.person(key("r29@big.example.org")).unwrap().unwrap().suppressed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_sent_again_until_it_helps_or_does_not() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let resend = ResendStep { after: HOUR * 24, attempts: 2, message: ResendMessage::Original };
    let full = Trigger { when: vec![Status::SoftBounceMailboxFull], ..fires("full", Comparator::Every(1), vec![Step::Resend(resend)]) };
    let rules = rules_of(vec![full]);
    let store = open(dir.path(), &clock, &rules);
    let full = |address: &str, n: &str| MailInput { original_whole: true, ..of(mail(address, n), Status::SoftBounceMailboxFull) };
    let raw = || Bytes::from_static(b"Subject: full\r\n\r\nfull\r\n");
    let sent = |store: &Store, address: &str| jobs(store).iter().filter(|job| addresses(job) == [address]).count();
    let resending = |store: &Store, address: &str| store.person(key(address)).unwrap().unwrap().resending.is_some();
    for address in ["alice@example.org", "bob@example.org", "carol@example.org", "dave@example.org"] {
        record_raw(&store, full(address, "1"), raw()).await;
    }
    let mut unsigned = full("erin@example.org", "1");
    unsigned.origin.signed = false;
    record_raw(&store, unsigned, raw()).await;
    record_raw(&store, MailInput { original_whole: false, ..full("frank@example.org", "1") }, raw()).await;
    assert_eq!(jobs(&store).len(), 0);
    // dave's address turns out to be gone before it is sent again.
    record(&store, mail("dave@example.org", "2")).await;
    clock.go(HOUR * 25);
    store.tick().await.unwrap();
    assert_eq!(["alice", "bob", "carol", "dave", "erin"].map(|who| sent(&store, &format!("{who}@example.org"))), [1, 1, 1, 0, 0]);
    let tasks = store.tasks(false).unwrap();
    assert_eq!(tasks.iter().map(|task| task.facts.event.verdict.address.as_deref()).collect::<Vec<_>>(), [Some("frank@example.org")]);
    let job = jobs(&store).into_iter().find(|job| addresses(job) == ["alice@example.org"]).unwrap();
    assert_eq!(store.raw(job.facts.event.raw.unwrap()).unwrap().unwrap(), raw(), "the raw mail was kept for it");

    // alice's comes back full, and once more: that was it. bob's was delivered. carol's came back for another reason.
    record_raw(&store, full("alice@example.org", "2"), raw()).await;
    record(&store, of(mail("bob@example.org", "2"), Status::Delivered)).await;
    record(&store, mail("carol@example.org", "2")).await;
    clock.go(HOUR * 25);
    store.tick().await.unwrap();
    assert_eq!(["alice", "bob", "carol"].map(|who| sent(&store, &format!("{who}@example.org"))), [2, 1, 1]);
    assert!(resending(&store, "alice@example.org") && !resending(&store, "bob@example.org") && !resending(&store, "carol@example.org"));
    record_raw(&store, full("alice@example.org", "3"), raw()).await;
    clock.go(HOUR * 25);
    store.tick().await.unwrap();
    assert_eq!(sent(&store, "alice@example.org"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_and_changes_by_hand() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let todo = Todo {
        title: "Call {{ address }}".into(),
        assignee: Some("jo@example.com".into()),
        due: Some(Duration::from_secs(86_400)),
        mail: true,
    };
    let rules = rules_of(vec![fires("x", Comparator::Exactly(1), vec![Step::Job(Task::Todo(todo))])]);
    let store = open(dir.path(), &clock, &rules);
    record(&store, mail("alice@example.org", "1")).await;
    let tasks = store.tasks(false).unwrap();
    assert_eq!((tasks.len(), tasks[0].due, jobs(&store)[0].task.kind()), (1, Some(clock.now() + HOUR * 24), "mail"));
    assert_eq!(store.task_of(tasks[0].id).unwrap(), Some(Some(key("alice@example.org"))));
    by_hand(&store, Some("alice@example.org"), Hand::TaskDone(tasks[0].id.to_string())).await;
    assert_eq!((store.tasks(false).unwrap().len(), store.tasks(true).unwrap().len()), (0, 1));

    let address = Some("nobody@example.org".to_owned());
    let fields = [("optout".to_owned(), Field::Bool(true))].into();
    by_hand(&store, Some("nobody@example.org"), Hand::Set { address: address.clone(), fields }).await;
    by_hand(&store, Some("nobody@example.org"), Hand::Suppress { address, suppressed: true }).await;
    let nobody = store.person(key("nobody@example.org")).unwrap().unwrap();
    assert_eq!((nobody.address.as_deref(), &nobody.fields["optout"]), (Some("nobody@example.org"), &Field::Bool(true)));
    let mut suppressed = Vec::new();
    store
        .people(|_, person| {
            if person.suppressed {
                suppressed.push(person.address)
            };
            true
        })
        .unwrap();
    assert_eq!(suppressed, [Some("nobody@example.org".to_owned())]);
    let log: Vec<u64> = store.log(0).unwrap().iter().map(|event| event.id()).collect();
    assert_eq!(log, [1, 2, 3, 4], "every input is in the log");
    clock.go_days(31);
    store.expire().await.unwrap();
    assert_eq!(store.tasks(true).unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_counts_at_its_time_and_keeps_quiet() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
    let steps = vec![Step::Tag("hard".into()), notice(None, None), Step::Start("s".into()), Step::Collect("r".into())];
    let window = Trigger { within: Some(SignedDuration::from_hours(24 * 7)), ..fires("x", Comparator::Exactly(2), steps) };
    let mut rules = rules_of(vec![window]);
    sequence(&mut rules, "s", vec![step("a", "1 year", vec![])]);
    report(&mut rules, "r", None);
    let store = open(dir.path(), &clock, &rules);
    let past = |address: &str, days: i64, fire: bool| {
        let at: Timestamp = clock.now() - SignedDuration::from_hours(24 * days);
        MailInput { import: Some(Import { at, fire }), ..mail(address, &days.to_string()) }
    };
    for (days, fire) in [(90, false), (60, false), (58, false)] {
        record(&store, past("alice@example.org", days, fire)).await;
        record(&store, past("bob@example.org", days, true)).await;
    }
    assert!(record(&store, past("alice@example.org", 60, false)).await.duplicate);
    let person = |who: &str| store.person(key(who)).unwrap().unwrap();
    let alice = person("alice@example.org");
    assert_eq!((alice.counted.totals[&Status::HardBounce], alice.tags.len(), alice.sequences.len()), (3, 1, 0));
    assert_eq!(alice.first_seen, Some(clock.now() - SignedDuration::from_hours(24 * 90)));
    assert_eq!(person("bob@example.org").sequences.len(), 1);
    assert_eq!((jobs(&store).len(), store.report("r").unwrap().people), (1, 1), "only where it may fire");
}
