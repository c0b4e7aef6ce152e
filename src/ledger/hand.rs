//! Changes by hand. They act like triggers' steps, and like them they change one person in one commit.

use super::{
    Changes, Event, Facts, GuardChange, Hand, HandInput, Known, ReportState, Rules, Timer,
    act::Act,
    trigger::{job_key_of, key_of},
};
use crate::action::{ReportTask, Task};

impl Rules {
    pub(super) fn by_hand(&self, known: &mut Known, hand: &HandInput, event: Event) -> Changes {
        let mut act = Act::new(self, event, hand.person, hand.person.and(known.person.take()));
        match &hand.act {
            Hand::Set { address, fields } => {
                let person = act.known_as(address.as_deref());
                fields.iter().for_each(|(name, field)| person.set(name, field.clone()));
            }
            Hand::Suppress { address, suppressed } => act.known_as(address.as_deref()).suppressed = *suppressed,
            Hand::Tag { address, tag } => act.known_as(address.as_deref()).tag(tag),
            Hand::Untag(tag) => {
                if let Some(person) = act.person() {
                    person.tags.remove(tag);
                }
            }
            Hand::Reset(statuses) => {
                if let Some(person) = act.person() {
                    person.reset(statuses.as_deref());
                }
            }
            Hand::Stop(sequence) => act.stop(sequence),
            // The store's own row; the event is what stays of it.
            Hand::TaskDone(_) => {}
            Hand::Guard { domain, release } => act.end_guard(known, domain, *release),
            Hand::Send(report) => act.send(report, known.report.unwrap_or_default(), true),
        }
        act.finish()
    }
}

impl Act<'_> {
    /// The person, made known where nobody was.
    fn known_as(&mut self, address: Option<&str>) -> &mut super::Person {
        let person = self.changes.person.get_or_insert_default();
        person.learn(address);
        person
    }

    pub(super) fn end_guard(&mut self, known: &Known, domain: &str, release: bool) {
        if known.guard.is_some_and(|guard| guard.ending.is_none()) {
            self.changes.guard = Some(GuardChange::End { domain: domain.to_owned(), release });
            let at = self.at;
            self.timer(Timer::Guard { domain: domain.to_owned() }, at, None);
        }
    }

    /// Closes the delivery that is open and makes the job that sends it; `state` is how the report stood.
    pub(super) fn send(&mut self, name: &str, state: ReportState, by_hand: bool) {
        let Some(rule) = self.rules.reports.get(name) else { return };
        let nothing = state.people == 0 && !rule.send_empty && !by_hand;
        let waits = !rule.active && !by_hand;
        if nothing || waits {
            return;
        }
        let task = Task::Report(ReportTask { delivery: state.open, ..rule.task.clone() });
        let facts = Facts::of_nothing(self.id, self.at);
        self.job(job_key_of(key_of(&format!("report\n{name}\n"))), 0, task, &facts);
        let closed = ReportState { open: state.open.saturating_add(1), people: 0, last: Some(self.at), ..state };
        self.changes.report = Some((name.to_owned(), closed));
    }
}
