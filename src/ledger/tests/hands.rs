//! Changes by hand, and reports.

use super::{made::report_rule, *};

const WHOM: PersonKey = PersonKey([7; 10]);

impl World {
    fn by_hand(&mut self, rules: &Rules, person: Option<PersonKey>, act: Hand) -> Changes {
        self.id += 1;
        let changes = rules.judge(&mut self.known.clone(), &Input::Hand(HandInput { person, act: act.clone() }), self.id, self.at);
        let Event::HandV1(event) = &changes.event else { panic!("{:?}", changes.event) };
        assert_eq!((event.id, event.at, event.person, &event.act), (self.id, self.at, person, &act));
        assert!(!changes.counted && changes.fired.is_empty());
        if person.is_some() {
            self.known.person.clone_from(&changes.person);
        }
        changes
    }
}

#[test]
fn nobody_is_made_known_by_what_names_no_address() {
    let address = Some("Bob@Example.org".to_owned());
    let fields = [("plan".to_owned(), Field::Integer(3))].into();
    for (act, known) in [
        (Hand::Set { address: address.clone(), fields }, true),
        (Hand::Suppress { address: address.clone(), suppressed: true }, true),
        (Hand::Tag { address: address.clone(), tag: "vip".into() }, true),
        (Hand::Untag("vip".into()), false),
        (Hand::Reset(None), false),
        (Hand::Stop("s".into()), false),
        (Hand::TaskDone("x".into()), false),
    ] {
        let mut world = World::new();
        let person = world.by_hand(&Rules::default(), Some(WHOM), act.clone()).person;
        assert_eq!(person.is_some(), known, "{act:?}");
        if let Some(person) = person {
            assert_eq!((person.address.as_deref(), person.first_seen, person.counted), (Some("bob@example.org"), None, Tally::default()));
        }
    }
}

#[test]
fn each_changes_what_it_says_and_nothing_else() {
    let steps = vec![Step::Start("s".into()), Step::Tag("old".into())];
    let mut rules = rules(&[Trigger { steps, ..trigger(&[HardBounce], Comparator::Exactly(1)) }]);
    let step =
        SequenceStep { name: "a".into(), after: jiff::SpanFieldwise("1 day".parse().unwrap()), days: Days::Any, at: None, steps: vec![] };
    rules.sequences.insert("s".into(), Sequence { name: "s".into(), steps: vec![step] });
    let mut world = World::new();
    world.play(&rules, "h s");
    let before = world.known.person.clone().unwrap();
    let due = before.sequences["s"].due;
    type Expected = fn(&mut Person);
    let acts: [(Hand, Expected); 8] = [
        (Hand::Tag { address: None, tag: "vip".into() }, |person| {
            person.tags.insert("vip".into());
        }),
        (Hand::Untag("old".into()), |person| {
            person.tags.remove("old");
        }),
        (Hand::Untag("never".into()), |_| {}),
        (Hand::Suppress { address: None, suppressed: true }, |person| person.suppressed = true),
        (Hand::Set { address: Some("mallory@example.com".into()), fields: [("a".to_owned(), Field::Bool(true))].into() }, |person| {
            person.fields.insert("a".into(), Field::Bool(true));
        }),
        (Hand::Reset(Some(vec![SoftBounceGeneral])), |person| {
            person.counted.totals.remove(&SoftBounceGeneral);
            person.counted.recent[1].cleared = true;
        }),
        (Hand::Reset(None), |person| {
            person.counted.totals.clear();
            person.counted.recent.iter_mut().for_each(|recent| recent.cleared = true);
            person.fired.clear();
        }),
        (Hand::Stop("s".into()), |person| person.sequences.clear()),
    ];
    for (act, expected) in acts {
        world.known.person = Some(before.clone());
        let changes = world.by_hand(&rules, Some(WHOM), act.clone());
        let mut after = before.clone();
        expected(&mut after);
        assert_eq!(changes.person, Some(after), "{act:?}");
        let cleared = TimerChange::Clear { timer: Timer::Step { person: WHOM, sequence: "s".into() }, due };
        assert_eq!(changes.timers, if matches!(act, Hand::Stop(_)) { vec![cleared] } else { vec![] });
        assert_eq!((changes.jobs.len(), changes.collected.len()), (0, 0));
    }
}

#[test]
fn a_guard_is_ended_once() {
    let mut world = World::new();
    let end = |release| Hand::Guard { domain: "example.org".into(), release };
    assert_eq!(world.by_hand(&Rules::default(), None, end(true)).guard, None, "nothing is guarded");
    let guard = GuardState { since: world.at, hard_bounces: 201, waiting: 3, ending: None };
    world.known.guard = Some(guard);
    for release in [true, false] {
        let changes = world.by_hand(&Rules::default(), None, end(release));
        assert_eq!(changes.guard, Some(GuardChange::End { domain: "example.org".into(), release }));
        assert!(matches!(changes.timers.as_slice(), [TimerChange::Set { timer: Timer::Guard { .. }, due, .. }] if *due == world.at));
    }
    world.known.guard = Some(GuardState { ending: Some(Ending::Release), ..guard });
    assert_eq!(world.by_hand(&Rules::default(), None, end(false)).guard, None, "it is on its way already");
}

/// Its timer falls due: what was decided goes on, and a timer of an earlier guard ends nothing.
#[test]
fn a_guard_ends_in_its_time() {
    let mut world = World::new();
    let day = SignedDuration::from_hours(24);
    let (domain, began) = (String::from("example.org"), world.at - day);
    let guard = GuardState { since: began, hard_bounces: 201, waiting: 3, ending: None };
    let rule = GuardRule { hard_bounces: 200, per: SignedDuration::from_hours(1), release_after: Some(day) };
    let rules = Rules { guard: Some(rule), ..Rules::default() };
    let mut due = |rules: &Rules, guard: Option<GuardState>| {
        world.known.guard = guard;
        let input = Input::Timer(TimerInput { timer: Timer::Guard { domain: domain.clone() }, due: world.at, facts: None });
        let changes = rules.judge(&mut world.known.clone(), &input, 1, world.at);
        (changes.guard, changes.timers.len())
    };
    let of = |since, ending| Some(GuardState { since, ending, ..guard });
    let at = began + day;
    let released = Some(GuardChange::End { domain: domain.clone(), release: true });
    assert_eq!(due(&rules, of(began, None)), (released, 1), "release_after is over");
    assert_eq!(due(&rules, of(began + day / 2, None)), (None, 0), "a later guard");
    assert_eq!(due(&Rules::default(), of(began, None)), (None, 0), "release_after was taken out");
    assert_eq!(due(&rules, of(began, Some(Ending::Drop))).0, Some(GuardChange::Over { domain: domain.clone() }));
    // Nothing waits any more: let go, and not guarded for a day.
    assert_eq!(due(&rules, of(began, Some(Ending::Release))), (Some(GuardChange::LetGo { domain: domain.clone() }), 1));
    assert_eq!(due(&rules, of(at - day / 2, Some(Ending::LetGo))), (None, 0));
    assert_eq!(due(&rules, of(began, Some(Ending::LetGo))).0, Some(GuardChange::Over { domain: domain.clone() }));
    assert_eq!(due(&rules, None), (None, 0));
}

#[test]
fn when_a_report_goes_out() {
    let mut world = World::new();
    let at = world.at;
    let timer = Timer::Report { name: "r".into() };
    // Active, empty ones too, people in it; whether it goes by its timer, and by hand.
    for (active, send_empty, people, by_timer, by_hand) in [
        (true, false, 2, true, true),
        (true, false, 0, false, true),
        (true, true, 0, true, true),
        (false, false, 2, false, true),
        (false, true, 0, false, true),
    ] {
        let mut rules = Rules::default();
        rules.reports.insert("r".into(), report_rule(active, send_empty));
        world.known.report = Some(ReportState { open: 4, people, next: None, last: None });
        let fell_due = Input::Timer(TimerInput { timer: timer.clone(), due: at, facts: None });
        let due = rules.judge(&mut world.known.clone(), &fell_due, 1, at);
        let hand = world.by_hand(&rules, None, Hand::Send("r".into()));
        for (changes, goes) in [(due, by_timer), (hand, by_hand)] {
            let sent = changes.jobs.iter().map(|job| match &job.task {
                Task::Report(task) => task.delivery,
                other => panic!("{other:?}"),
            });
            assert_eq!(
                sent.collect::<Vec<_>>(),
                if goes { vec![4] } else { vec![] },
                "active {active}, empty {send_empty}, people {people}"
            );
            let closed = ReportState { open: 5, people: 0, next: None, last: Some(at) };
            assert_eq!(changes.report, goes.then(|| ("r".to_owned(), closed)));
        }
    }
    assert_eq!(world.by_hand(&Rules::default(), None, Hand::Send("r".into())).jobs.len(), 0, "there is no such report");
}

#[test]
fn a_schedule_goes_on_whether_or_not_one_was_sent() {
    let schedule = Schedule { days: Days::Any, at: "13:00".parse().unwrap() };
    let mut world = World::new();
    world.at += SignedDuration::from_hours(1);
    for (people, due_by_it, sent) in [(1, true, 1), (0, true, 0), (1, false, 1)] {
        let mut rules = Rules::default();
        rules.reports.insert("r".into(), ReportRule { schedule: Some(schedule.clone()), ..report_rule(true, false) });
        let next = if due_by_it { world.at } else { world.at + DAY };
        world.known.report = Some(ReportState { open: 0, people, next: Some(next), last: None });
        let timer = TimerInput { timer: Timer::Report { name: "r".into() }, due: world.at, facts: None };
        let changes = rules.judge(&mut world.known.clone(), &Input::Timer(timer), 1, world.at);
        assert_eq!((changes.jobs.len(), changes.timers.len()), (sent, usize::from(due_by_it)));
        assert_eq!(changes.report.unwrap().1.next, Some(world.at + DAY), "a step's delivery leaves the schedule as it is");
    }
}
