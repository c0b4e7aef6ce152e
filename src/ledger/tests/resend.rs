//! Sending a returned mail again.

use super::*;

#[test]
fn a_mail_is_sent_again_so_often_and_no_more() {
    let step = ResendStep { after: DAY, attempts: 2, message: crate::action::ResendMessage::Original };
    let trigger = Trigger { steps: vec![Step::Resend(step)], ..trigger(&[SoftBounceMailboxFull], Comparator::Every(1)) };
    let rules = rules(&[trigger]);
    let person = PersonKey([7; 10]);
    let mut world = World::new();
    let full = || MailInput {
        origin: Origin { signed: true, ..Origin::default() },
        original_whole: true,
        ..mail(SoftBounceMailboxFull, None, Standing::Full)
    };
    let set = |changes: &Changes| {
        changes.timers.iter().find_map(|change| match change {
            TimerChange::Set { timer: Timer::Resend { .. }, due, facts } => Some((*due, facts.clone())),
            _ => None,
        })
    };
    let mut changes = world.take(&rules, full());
    for attempt in 1..=2 {
        let (due, facts) = set(&changes).unwrap_or_else(|| panic!("attempt {attempt} is set"));
        assert_eq!(due, world.at + DAY);
        world.at = due;
        world.id += 1;
        let fell = Input::Timer(TimerInput { timer: Timer::Resend { person }, due, facts });
        let sent = rules.judge(&mut world.known.clone(), &fell, world.id, world.at);
        assert!(matches!(sent.jobs.as_slice(), [JobDraft { task: Task::Resend(_), .. }]), "{:?}", sent.jobs);
        world.known.person = sent.person;
        changes = world.take(&rules, full());
    }
    assert_eq!((set(&changes), &world.known.person.as_ref().unwrap().resending), (None, &None), "its own bounce doesn't begin it anew");
    assert!(set(&world.take(&rules, full())).is_some(), "another mail's does");
}
