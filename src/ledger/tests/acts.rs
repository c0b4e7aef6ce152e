//! The order within one `do`, what waits while a domain is guarded, and what an import leaves undone.

use super::{
    super::guard::waits,
    made::{mail_task, post_task},
    *,
};
use crate::action::{ResendMessage, Todo};

fn told(to: &str) -> Step {
    Step::Job(Task::Forward { to: to.into() })
}

fn todo() -> Task {
    Task::Todo(Todo { title: "x".into(), assignee: None, due: None, mail: false })
}

fn resend() -> Step {
    Step::Resend(ResendStep { after: DAY, attempts: 1, message: ResendMessage::Original })
}

fn all_sorts() -> Vec<Step> {
    vec![
        told("first"),
        Step::Reset(vec![HardBounce]),
        Step::Untag("old".into()),
        Step::Set([("plan".to_owned(), Field::Text("none".into())), ("email".to_owned(), Field::Text("x".into()))].into()),
        Step::Collect("r".into()),
        Step::Start("s".into()),
        Step::Tag("new".into()),
        Step::Blank(vec!["email".into()]),
        Step::Suppress(true),
        told("last"),
    ]
}

fn with_all_sorts(count: Comparator) -> Rules {
    let mut rules = rules(&[Trigger { steps: all_sorts(), ..trigger(&[HardBounce], count) }]);
    let step =
        SequenceStep { name: "a".into(), after: jiff::SpanFieldwise("1 day".parse().unwrap()), days: Days::Any, at: None, steps: vec![] };
    rules.sequences.insert("s".into(), Sequence { name: "s".into(), steps: vec![step] });
    rules
}

#[test]
fn facts_tell_the_person_after_the_changes_and_the_counts_before_the_reset() {
    let rules = with_all_sorts(Comparator::Exactly(2));
    let mut world = World::new();
    world.play(&rules, "s h");
    world.known.person.as_mut().unwrap().tags.insert("old".into());
    let changes = world.take(&rules, mail(HardBounce, None, Standing::Full));
    let entry = &changes.collected[0].entry;
    let timer = changes.timers.iter().find_map(|change| match change {
        TimerChange::Set { facts, .. } => facts.as_deref(),
        TimerChange::Clear { .. } => None,
    });
    assert_eq!(changes.jobs.iter().map(|job| (job.place, job.task.target())).collect::<Vec<_>>(), [(0, "first"), (9, "last")]);
    for facts in changes.jobs.iter().map(|job| &job.facts).chain([&entry.facts, timer.unwrap()]) {
        assert_eq!((facts.tags.as_slice(), facts.suppressed, facts.count), (["new".to_owned()].as_slice(), true, 2));
        assert_eq!(facts.counts, [(HardBounce, 2), (SoftBounceGeneral, 1)]);
        assert_eq!((&facts.fields["plan"], &facts.fields["email"]), (&Field::Text("none".into()), &Field::Text(String::new())));
    }
    let person = changes.person.unwrap();
    assert_eq!(person.counted.totals, Counts::from([(SoftBounceGeneral, 1)]));
    assert_eq!((person.fired.len(), person.tags.len(), person.suppressed, person.sequences.len()), (0, 1, true, 1));
    assert_eq!((entry.first_seen, entry.last_seen), (person.first_seen, person.last_seen));
    assert_eq!(world.play(&rules, "h h"), "01", "what it cleared counts anew, and fires anew");
}

#[test]
fn a_reset_shows_to_the_triggers_after_it() {
    let reset =
        Trigger { name: "reset".into(), steps: vec![Step::Reset(vec![HardBounce])], ..trigger(&[HardBounce], Comparator::Exactly(2)) };
    let after = Trigger { name: "after".into(), ..trigger(&[HardBounce], Comparator::AtLeast(2)) };
    let mut world = World::new();
    let rules = rules(&[reset, after]);
    assert_eq!(world.play(&rules, "h h h h h"), "01010", "the second trigger finds nothing to count");
    // None is no multiple of anything, however it is counted.
    let first = Trigger { steps: vec![Step::Reset(vec![HardBounce])], ..trigger(&[HardBounce], Comparator::Every(1)) };
    let every = || Trigger { name: "every".into(), ..trigger(&[HardBounce], Comparator::Every(2)) };
    for every in [
        every(),
        Trigger { within: Some(DAY), ..every() },
        Trigger { distinct: Some(Distinct::Day), ..every() },
        Trigger { distinct: Some(Distinct::Campaign), repeat: true, ..every() },
    ] {
        assert_eq!(World::new().play(&super::rules(&[first.clone(), every.clone()]), "h h h"), "111", "{every:?}");
    }
}

#[test]
fn what_concerns_the_person_waits() {
    let name = || "x".to_owned();
    for (step, expected) in [
        (Step::Tag(name()), true),
        (Step::Untag(name()), true),
        (Step::Set([(name(), Field::Bool(true))].into()), true),
        (Step::Blank(vec![name()]), true),
        (Step::Suppress(true), true),
        (Step::Collect(name()), true),
        (Step::Start(name()), true),
        (Step::Stop(name()), true),
        (Step::Reset(vec![HardBounce]), true),
        (resend(), true),
        (Step::Job(post_task()), true),
        (Step::Job(Task::Resend(ResendMessage::Original)), true),
        (Step::Job(mail_task()), false),
        (Step::Job(todo()), false),
        (told("x"), false),
    ] {
        assert_eq!(waits(&step), expected, "{step:?}");
    }
}

#[test]
fn of_a_guarded_domain_it_waits_and_the_rest_goes_on() {
    let rules = with_all_sorts(Comparator::Exactly(1));
    let mut world = World::new();
    world.known.guarded = true;
    let changes = world.take(&rules, mail(HardBounce, None, Standing::Full));
    let person = changes.person.as_ref().unwrap();
    assert_eq!((person.tags.len(), person.suppressed, person.fields.len(), person.sequences.len()), (0, false, 0, 0));
    assert_eq!((person.counted.totals[&HardBounce], person.fired.len()), (1, 1), "it counted and fired all the same");
    assert_eq!((changes.jobs.len(), changes.collected.len(), changes.timers.len()), (2, 0, 0));
    let held = &changes.held[0];
    assert_eq!((changes.held.len(), held.domain.as_str(), held.steps.len()), (1, "example.org", 8));
    assert_eq!(held.steps.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8], "with their places in `do`");
    // Let go, it is done as if the bounce had come now.
    world.known.held = Some(held.clone());
    world.known.guard = Some(GuardState { since: world.at, hard_bounces: 201, waiting: 1, ending: Some(Ending::Release) });
    let timer = TimerInput { timer: Timer::Guard { domain: "example.org".into() }, due: world.at, facts: None };
    let done = rules.judge(&mut world.known.clone(), &Input::Timer(timer), 2, world.at);
    let person = done.person.unwrap();
    assert_eq!((person.tags.len(), person.suppressed, person.counted.totals.len(), done.collected.len()), (1, true, 0, 1));
    // Only hard bounces are meant by it.
    let soft = Trigger { steps: vec![Step::Tag("soft".into())], ..trigger(&[SoftBounceGeneral], Comparator::Exactly(1)) };
    let changes = world.take(&super::rules(&[soft]), mail(SoftBounceGeneral, None, Standing::Full));
    assert_eq!((changes.held.len(), changes.person.unwrap().tags.len()), (0, 1));
}

#[test]
fn an_import_that_may_not_fire_counts_tags_and_keeps_quiet() {
    let rules = with_all_sorts(Comparator::AtLeast(2));
    for fire in [false, true] {
        let mut world = World::new();
        let past = |at| MailInput { import: Some(Import { at, fire }), ..mail(HardBounce, None, Standing::Full) };
        world.take(&rules, past(world.at));
        let changes = world.take(&rules, past(world.at));
        assert_eq!(changes.event.mail().unwrap().fired, ["t"]);
        let outside = usize::from(fire);
        assert_eq!((changes.jobs.len(), changes.collected.len(), changes.timers.len()), (2 * outside, outside, outside));
        let person = changes.person.unwrap();
        assert_eq!((person.tags.len(), person.suppressed, person.sequences.len()), (1, true, outside));
        assert_eq!(person.counted.totals, Counts::new(), "a reset is no act on the outside");
        assert!(changes.counted);
    }
}
