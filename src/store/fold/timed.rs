//! What falls due by itself: timers, and the schedules that set them.

use jiff::Timestamp;

use super::{
    super::{
        StoreError, gather, keys, people,
        timers::{self, Due},
    },
    Fold,
};
use crate::ledger::{Input, ReportState, Timer, TimerChange, TimerInput};

/// Of a guarded domain that is let go, so many go in one turn.
const HELD: usize = 128;

impl Fold<'_> {
    /// Timers that are due, at most `most`. Returns how many there were.
    pub fn run_timers(&mut self, now: Timestamp, most: usize) -> Result<usize, StoreError> {
        let due = timers::due(&self.rows, self.tree, now, most)?;
        let count = due.len();
        for Due { key, input } in due {
            // One that ran before it in this batch can have taken it away.
            if self.rows.get(&key)?.is_none() {
                continue;
            }
            self.rows.remove(key)?;
            match &input.timer {
                Timer::Gather { key } => {
                    self.jobs_changed = true;
                    gather::due(&mut self.rows, &mut self.state, *key, now)?;
                }
                Timer::Guard { domain } => self.guard_due(&domain.clone(), input, now)?,
                _ => drop(self.judge_and_write(&Input::Timer(input), None, now)?),
            }
        }
        Ok(count)
    }

    /// The timers of the reports' schedules, as the configuration has them now.
    pub fn plan(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut plans = self.rules.plans(now);
        for (key, _) in self.rows.untouched(&[keys::REPORT], &[keys::REPORT + 1], usize::MAX)? {
            let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            plans.entry(name).or_insert(Timestamp::MAX);
        }
        for (name, next) in plans {
            let next = (next < Timestamp::MAX).then_some(next);
            let state = people::report(&self.rows, &name)?;
            // What fell due while nothing ran is still to be done.
            let overdue = next.is_some() && state.next.is_some_and(|due| due <= now);
            if overdue || state.next == next {
                continue;
            }
            let timer = Timer::Report { name: name.clone() };
            if let Some(due) = state.next {
                timers::change(&mut self.rows, TimerChange::Clear { timer: timer.clone(), due })?;
            }
            if let Some(due) = next {
                timers::change(&mut self.rows, TimerChange::Set { timer, due, facts: None })?;
            }
            people::put_report(&mut self.rows, &name, ReportState { next, ..state })?;
        }
        Ok(())
    }

    /// Some of what waits there, one after the other; the rest at the next turn.
    fn guard_due(&mut self, domain: &str, input: TimerInput, now: Timestamp) -> Result<(), StoreError> {
        let ending = people::guard(&self.rows, domain)?.is_some_and(|guard| guard.ending.is_some());
        let held = if ending { people::first_held(&self.rows, self.tree, domain, HELD)? } else { Vec::new() };
        if held.is_empty() {
            return self.judge_and_write(&Input::Timer(input), None, now).map(drop);
        }
        for (row, held) in held {
            self.rows.remove(row)?;
            self.judge_and_write(&Input::Timer(input.clone()), Some(held), now)?;
        }
        timers::change(&mut self.rows, TimerChange::Set { timer: input.timer, due: now, facts: None })
    }
}
