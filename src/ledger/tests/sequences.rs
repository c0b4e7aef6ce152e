//! Places in sequences, and what their timers do.

use jiff::SpanFieldwise;

use super::*;

const WHOM: PersonKey = PersonKey([7; 10]);

fn step(name: &str, after: &str, steps: Vec<Step>) -> SequenceStep {
    SequenceStep { name: name.into(), after: SpanFieldwise(after.parse().unwrap()), days: Days::Any, at: None, steps }
}

fn with_sequence(steps: Vec<Step>, sequence: Vec<SequenceStep>) -> Rules {
    let mut rules = rules(&[Trigger { steps, ..trigger(&[HardBounce], Comparator::Every(1)) }]);
    rules.sequences.insert("s".into(), Sequence { name: "s".into(), steps: sequence });
    rules
}

fn tag(tag: &str) -> Step {
    Step::Tag(tag.into())
}

fn start() -> Step {
    Step::Start("s".into())
}

fn stop() -> Step {
    Step::Stop("s".into())
}

fn of_step() -> Timer {
    Timer::Step { person: WHOM, sequence: "s".into() }
}

/// The timers that stand after `changes`, as the store keeps them.
fn apply(timers: &mut Vec<TimerInput>, changes: &Changes) {
    for change in &changes.timers {
        let (TimerChange::Set { timer, due, .. } | TimerChange::Clear { timer, due }) = change;
        timers.retain(|set| (&set.timer, &set.due) != (timer, due));
        if let TimerChange::Set { timer, due, facts } = change {
            timers.push(TimerInput { timer: timer.clone(), due: *due, facts: facts.clone() });
        }
    }
}

impl World {
    /// A hard bounce; its timers are added.
    fn bounce(&mut self, rules: &Rules, timers: &mut Vec<TimerInput>) -> Changes {
        let changes = self.take(rules, mail(HardBounce, None, Standing::Full));
        apply(timers, &changes);
        changes
    }

    /// Runs all that is due, in its order; what each changed.
    fn run_due(&mut self, rules: &Rules, timers: &mut Vec<TimerInput>) -> Vec<Changes> {
        let mut all = Vec::new();
        loop {
            timers.sort_by_key(|timer| (timer.due, timer.timer.order()));
            let Some(at) = timers.iter().position(|timer| timer.due <= self.at) else { return all };
            let timer = timers.remove(at);
            self.id += 1;
            let changes = rules.judge(&mut self.known.clone(), &Input::Timer(timer), self.id, self.at);
            self.known.person.clone_from(&changes.person);
            apply(timers, &changes);
            all.push(changes);
        }
    }

    fn place(&self) -> Option<&Place> {
        self.known.person.as_ref().unwrap().sequences.get("s")
    }

    fn tags(&self) -> String {
        self.known.person.as_ref().unwrap().tags.iter().cloned().collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn who_is_in_it_is_not_started_twice() {
    let rules = with_sequence(vec![start()], vec![step("a", "2 days", vec![tag("a")])]);
    let (mut world, mut timers) = (World::new(), Vec::new());
    world.bounce(&rules, &mut timers);
    let first = world.place().cloned().unwrap();
    assert_eq!((first.run, first.due, first.step.as_str(), first.taken), (1, world.at + DAY * 2, "a", 0));
    world.at += DAY;
    assert_eq!(world.bounce(&rules, &mut timers).timers, []);
    assert_eq!((world.place(), timers.len()), (Some(&first), 1));
}

#[test]
fn stop_and_start_in_one_do_begin_anew() {
    let rules = with_sequence(vec![stop(), start()], vec![step("a", "2 days", vec![tag("a")]), step("b", "9 days", vec![tag("b")])]);
    let (mut world, mut timers) = (World::new(), Vec::new());
    world.bounce(&rules, &mut timers);
    world.at += DAY;
    let changes = world.bounce(&rules, &mut timers);
    let (old, new) = (world.at + DAY, world.at + DAY * 2);
    assert!(matches!(changes.timers.as_slice(),
        [TimerChange::Clear { due: cleared, .. }, TimerChange::Set { due: set, .. }] if (*cleared, *set) == (old, new)));
    assert_eq!((world.place().unwrap().run, timers.len()), (2, 1));
    world.at = old;
    assert_eq!(world.run_due(&rules, &mut timers), [], "what the first run had set is gone");
    world.at = new;
    world.run_due(&rules, &mut timers);
    assert_eq!((world.tags().as_str(), world.place().unwrap().step.as_str()), ("a", "b"));
    // In the middle of it, too: from its first step.
    world.bounce(&rules, &mut timers);
    assert_eq!((world.place().unwrap().step.as_str(), world.place().unwrap().taken), ("a", 0));
    // At the very moment at which a step is due, the timer of the new run is not taken away.
    let at_once = with_sequence(vec![stop(), start()], vec![step("a", "0 days", vec![])]);
    let (mut world, mut timers) = (World::new(), Vec::new());
    world.bounce(&at_once, &mut timers);
    world.bounce(&at_once, &mut timers);
    assert_eq!((timers.len(), world.place().unwrap().run), (1, 2));
}

#[test]
fn start_and_stop_in_one_do_leave_nothing() {
    let rules = with_sequence(vec![start(), stop()], vec![step("a", "2 days", vec![])]);
    let (mut world, mut timers) = (World::new(), Vec::new());
    world.bounce(&rules, &mut timers);
    assert_eq!((world.place(), timers.len()), (None, 0));
}

#[test]
fn a_step_may_stop_its_own_sequence() {
    let steps = vec![step("a", "1 day", vec![stop(), tag("a")]), step("b", "2 days", vec![tag("b")])];
    let rules = with_sequence(vec![start()], steps);
    let (mut world, mut timers) = (World::new(), Vec::new());
    world.bounce(&rules, &mut timers);
    world.at += DAY * 9;
    assert_eq!(world.run_due(&rules, &mut timers).len(), 1);
    assert_eq!((world.tags().as_str(), world.place(), timers.len()), ("a", None, 0), "all of that step, and no further one");
    world.bounce(&rules, &mut timers);
    assert_eq!(world.place().unwrap().step, "a", "it can begin again");
}

#[test]
fn all_that_fell_due_meanwhile_runs_in_its_order_and_once() {
    let told = |name: &str| vec![tag(name), Step::Job(Task::Forward { to: name.into() })];
    let steps = vec![step("a", "1 day", told("a")), step("b", "1 day", told("b")), step("c", "3 days", told("c"))];
    let rules = with_sequence(vec![start()], steps);
    let (mut world, mut timers) = (World::new(), Vec::new());
    world.bounce(&rules, &mut timers);
    world.at += DAY * 30;
    let jobs: Vec<JobDraft> = world.run_due(&rules, &mut timers).into_iter().flat_map(|changes| changes.jobs).collect();
    let told: Vec<_> = jobs.iter().map(|job| (job.task.target(), job.facts.tags.join(" "), job.facts.event.id)).collect();
    assert_eq!(
        told,
        [("a", "a".into(), 1), ("b", "a b".into(), 1), ("c", "a b c".into(), 1)],
        "tags of the moment, the event of the start"
    );
    assert!(jobs.iter().all(|job| job.facts.trigger == "s"));
    assert_eq!((world.place(), timers.len()), (None, 0));
}

#[test]
fn a_timer_whose_reason_has_gone_does_nothing() {
    let rules = with_sequence(vec![start()], vec![step("a", "1 day", vec![tag("a")])]);
    let (mut world, mut timers) = (World::new(), Vec::new());
    world.bounce(&rules, &mut timers);
    world.at += DAY * 2;
    let mut stale = vec![TimerInput { timer: of_step(), due: world.at, facts: None }];
    world.run_due(&rules, &mut stale);
    assert_eq!((world.tags().as_str(), stale.len()), ("", 0), "of another time");
    world.known.person = None;
    let nobody = rules.judge(&mut world.known.clone(), &Input::Timer(timers.remove(0)), 9, world.at);
    assert_eq!((nobody.person, nobody.timers.len()), (None, 0), "of somebody who was forgotten");
}

#[test]
fn a_sequence_that_is_gone_and_a_step_that_moved() {
    let rules = with_sequence(vec![start()], vec![step("a", "1 day", vec![tag("a")]), step("b", "2 days", vec![tag("b")])]);
    let (mut world, mut timers) = (World::new(), Vec::new());
    world.bounce(&rules, &mut timers);
    world.at += DAY;
    world.run_due(&Rules::default(), &mut timers);
    assert_eq!((world.tags().as_str(), timers[0].due), ("", world.at + SignedDuration::from_hours(1)), "looked at again");
    world.at += SignedDuration::from_hours(1);
    // It is back; a comes later than it did, and under its name it is found wherever it stands.
    let moved = with_sequence(vec![start()], vec![step("new", "0 days", vec![tag("new")]), step("a", "4 days", vec![tag("a")])]);
    world.run_due(&moved, &mut timers);
    assert_eq!((world.tags().as_str(), timers[0].due), ("", Timestamp::from_second(START).unwrap() + DAY * 4));
    world.at += DAY * 4;
    world.run_due(&moved, &mut timers);
    assert_eq!((world.tags().as_str(), world.place()), ("a", None));
    // One whose name is gone is the one at its place; one beyond the end is over.
    for (named, tags) in [(vec!["x", "y"], "x y"), (vec![], "")] {
        let (mut world, mut timers) = (World::new(), Vec::new());
        world.bounce(&rules, &mut timers);
        world.at += DAY * 9;
        let steps = named.iter().map(|name| step(name, "1 day", vec![tag(name)])).collect();
        world.run_due(&with_sequence(vec![], steps), &mut timers);
        assert_eq!((world.tags().as_str(), world.place()), (tags, None), "{named:?}");
    }
}
