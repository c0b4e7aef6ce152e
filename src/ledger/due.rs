//! What a timer does as it falls due. One whose reason has gone does nothing; one whose time was changed by a new configuration is set anew.

use jiff::{SignedDuration, Timestamp};

use super::{
    Changes, Ending, Event, Facts, GuardChange, Held, Known, Place, ReportState, Rules, Timer, TimerChange, TimerInput,
    act::{Act, Cause},
    trigger::{job_key_of, key_of},
};
use crate::{action::Task, stamp, taxonomy::Status};

/// People in a sequence that is gone from the configuration keep their place; whether it is back is looked at so often.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// Who let a domain's people go means it for so long: else the next of the same bounces would have them wait again.
const LET_GO: SignedDuration = SignedDuration::from_hours(24);

impl Rules {
    pub(super) fn fell_due(&self, known: &mut Known, timer: &TimerInput, event: Event) -> Changes {
        let whom = timer.timer.person().or_else(|| known.held.as_ref().map(|held| held.person));
        let mut act = Act::new(self, event, whom, known.person.take());
        match &timer.timer {
            Timer::Step { sequence, .. } => act.step(sequence, timer),
            Timer::Resend { .. } => act.resend_now(timer),
            Timer::Report { name } => act.report_due(name, known.report.unwrap_or_default(), timer.due),
            Timer::Guard { domain } => act.guard_due(known, domain),
            Timer::Gather { .. } => {}
        }
        act.finish()
    }
}

impl Act<'_> {
    fn step(&mut self, name: &str, input: &TimerInput) {
        let (rules, at) = (self.rules, self.at);
        let Some(place) = self.person().and_then(|person| person.sequences.get(name)).filter(|place| place.due == input.due).cloned()
        else {
            return;
        };
        let mut facts = input.facts.as_deref().cloned().unwrap_or_else(|| Facts::of_nothing(self.id, at));
        let Some(sequence) = rules.sequences.get(name) else {
            let again = stamp::later(at, LOOK_AGAIN);
            return self.put_place(name, input, Place { due: again, ..place }, &facts);
        };
        let Some((number, step)) = sequence.step(&place.step, place.taken) else { return self.leave(name) };
        let due = step.due(place.started, &rules.timezone);
        if due > at {
            return self.put_place(name, input, Place { due, step: step.name.clone(), ..place }, &facts);
        }
        let key = key_of(&format!("sequence\n{name}\n{}", step.name));
        facts.trigger = name.to_owned();
        let cause = Cause { key, when: &[], instant: Some(input.due) };
        self.run(&cause, (0..=u16::MAX).zip(&step.steps), facts.clone());
        // A step can have stopped its own sequence.
        if self.person().is_none_or(|person| !person.sequences.contains_key(name)) {
            return;
        }
        let taken = u16::try_from(number.saturating_add(1)).unwrap_or(u16::MAX);
        match sequence.steps.get(number.saturating_add(1)) {
            Some(next) => {
                let due = next.due(place.started, &rules.timezone);
                self.put_place(name, input, Place { step: next.name.clone(), taken, due, ..place }, &facts);
            }
            None => self.leave(name),
        }
    }

    fn put_place(&mut self, name: &str, input: &TimerInput, place: Place, facts: &Facts) {
        self.timer(input.timer.clone(), place.due, Some(facts));
        if let Some(person) = self.person() {
            person.sequences.insert(name.to_owned(), place);
        }
    }

    fn leave(&mut self, name: &str) {
        if let Some(person) = self.person() {
            person.sequences.remove(name);
        }
    }

    fn resend_now(&mut self, input: &TimerInput) {
        let Some(facts) = input.facts.as_deref() else { return };
        let Some(person) = self.changes.person.as_mut() else { return };
        let suppressed = person.suppressed;
        let Some(resending) = person.resending.as_mut().filter(|resending| resending.due == Some(input.due)) else { return };
        if suppressed {
            person.resending = None;
            return;
        }
        (resending.due, resending.made) = (None, resending.made.saturating_add(1));
        let (trigger, place, message) = (job_key_of(resending.trigger), resending.place, resending.step.message.clone());
        let mut facts = facts.clone();
        self.refresh(&mut facts);
        self.job(trigger, place, Task::Resend(message), &facts);
    }

    pub(super) fn no_more(&mut self, due: Timestamp) {
        if let Some(person) = self.changes.whom {
            self.changes.timers.push(TimerChange::Clear { timer: Timer::Resend { person }, due });
        }
    }

    /// Its own schedule goes on; what a sequence's step asked for comes beside it.
    fn report_due(&mut self, name: &str, state: ReportState, due: Timestamp) {
        let Some(rule) = self.rules.reports.get(name) else { return };
        let mut state = state;
        if state.next == Some(due) {
            state.next = rule.schedule.as_ref().map(|schedule| schedule.next(self.at, &self.rules.timezone));
            if let Some(next) = state.next {
                self.timer(Timer::Report { name: name.to_owned() }, next, None);
            }
            self.changes.report = Some((name.to_owned(), state));
        }
        self.send(name, state, false);
    }

    fn guard_due(&mut self, known: &Known, domain: &str) {
        let Some(guard) = known.guard else { return };
        let past = |wait: SignedDuration| guard.since.saturating_add(wait).is_ok_and(|end| end <= self.at);
        match (guard.ending, &known.held) {
            // The timer of a guard before this one, or one that was set by another configuration, ends nothing.
            (None, _) => match self.rules.guard.and_then(|rule| rule.release_after) {
                Some(after) if past(after) => self.end_guard(known, domain, true),
                _ => {}
            },
            (Some(Ending::Release | Ending::LetGo), Some(held)) => self.release(held),
            (Some(Ending::Release), None) => {
                self.changes.guard = Some(GuardChange::LetGo { domain: domain.to_owned() });
                let until = stamp::later(self.at, LET_GO);
                self.timer(Timer::Guard { domain: domain.to_owned() }, until, None);
            }
            (Some(Ending::LetGo), None) if !past(LET_GO) => {}
            (Some(Ending::Drop), Some(_)) => {
                // It never was: the next bounce begins to count anew.
                if let Some(person) = self.person() {
                    person.reset(Some(&[Status::HardBounce]));
                }
            }
            (Some(_), None) => self.changes.guard = Some(GuardChange::Over { domain: domain.to_owned() }),
        }
    }

    fn release(&mut self, held: &Held) {
        let cause = Cause { key: held.trigger, when: &held.when, instant: None };
        // Whether the bounce held its original is not known any more; without its raw mail the attempt says so.
        self.original_whole = held.facts.event.raw.is_some();
        self.run(&cause, held.steps.iter().map(|(place, step)| (*place, step)), held.facts.clone());
    }
}
