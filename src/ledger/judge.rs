//! The judging of one input. Pure: what is known, the input, the rules and the time in; what changes out.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Changes, Event, Facts, Fired, GuardChange, HandEvent, Held, Input, Known, MailEvent, MailInput, Per, Person, Recent, Resending, Rules,
    ScopeFired, Standing, Step, Timer, TimerEvent, Trigger,
    act::{Act, Cause},
    count::Count,
    guard::waits,
    person,
    trigger::job_key_of,
};
use crate::{
    action::{ResendMessage, Task},
    address, stamp,
    taxonomy::Status,
};

/// The domain under which a mail counts: of the person's address.
pub fn domain_of<'a>(person: Option<&'a Person>, mail: &'a MailInput) -> Option<&'a str> {
    let known = || person.and_then(|person| person.address.as_deref());
    mail.verdict.address.as_deref().or_else(known).and_then(address::domain)
}

impl Rules {
    /// What `input` changes. `known` is as it was before, and its person is taken out where that becomes the changed one; `id` and `at` are the new event's, where it isn't one of the past: that bears its own
    /// time, and what it sets off begins at `at`. Time and memory are bounded by the number of triggers and what a person may hold.
    pub fn judge(&self, known: &mut Known, input: &Input, id: u64, at: Timestamp) -> Changes {
        match input {
            Input::Mail(mail) => self.mail(known, mail, id, at),
            Input::Hand(hand) => {
                let event = Event::HandV1(HandEvent { id, at, person: hand.person, act: hand.act.clone() });
                self.by_hand(known, hand, event)
            }
            Input::Timer(timer) => {
                let event = Event::TimerV1(TimerEvent { id, at, due: timer.due, timer: timer.timer.clone() });
                self.fell_due(known, timer, event)
            }
        }
    }

    fn mail(&self, known: &mut Known, mail: &MailInput, id: u64, now: Timestamp) -> Changes {
        let at = mail.at(now);
        let event = MailEvent {
            id,
            at,
            person: mail.person,
            campaign: mail.campaign.clone(),
            standing: mail.standing,
            verdict: mail.verdict.clone(),
            origin: mail.origin.clone(),
            fired: Vec::new(),
            raw: None,
        };
        let mut act = Act::new(self, Event::MailV1(event), mail.person, self.person_after(&mut known.person, mail, id, at));
        act.at = now;
        act.fire = mail.import.is_none_or(|import| import.fire);
        act.original_whole = mail.original_whole;
        act.changes.counted = mail.standing == Standing::Full;
        let mut judging = Judging { known, mail, act, guarded: known.guarded };
        if mail.standing == Standing::Full {
            judging.mind_guard();
            judging.go_on_resending();
            for trigger in self.triggers.iter().filter(|trigger| trigger.when.contains(&mail.verdict.status)) {
                judging.try_trigger(trigger);
            }
        }
        judging.forward();
        judging.act.finish()
    }

    /// The person with this mail counted.
    fn person_after(&self, before: &mut Option<Person>, mail: &MailInput, id: u64, at: Timestamp) -> Option<Person> {
        mail.person?;
        if mail.standing == Standing::Own {
            return None;
        }
        let status = mail.verdict.status;
        let mut person = before.take().unwrap_or_default();
        person.see(at);
        person.learn(mail.verdict.address.as_deref());
        let entry = Recent { at, status, campaign: mail.campaign.as_deref().map(Arc::from), event: id, cleared: false };
        if mail.standing != Standing::Full {
            person.apart.add(entry);
            return Some(person);
        }
        if person.lapsed(self.reset_after, at) || (self.reset_on_delivered && status == Status::Delivered) {
            person.reset(None);
        }
        person.counted.add(entry);
        Some(person)
    }

    /// Whether `domain` (as it was before a hard bounce) is so busy that its usual week must be known, see [`Known::usual`].
    pub fn asks_usual(&self, domain: &super::Scope, at: Timestamp) -> bool {
        self.guard.is_some_and(|guard| guard.lately(domain, at) > guard.hard_bounces)
    }

    /// Hard bounces in the domain's usual week, where there is a guard; `domain` must reach back [`super::HOURS_REACH`].
    pub fn usual(&self, domain: &super::Scope, at: Timestamp) -> Option<u64> {
        self.guard.map(|guard| guard.usual(domain, at))
    }
}

struct Judging<'a> {
    known: &'a Known,
    mail: &'a MailInput,
    act: Act<'a>,
    guarded: bool,
}

impl Judging<'_> {
    /// The event's own time, which of a mail of the past isn't now.
    fn at(&self) -> Timestamp {
        self.act.changes.event.at()
    }

    fn domain(&self) -> Option<String> {
        domain_of(self.act.changes.person.as_ref(), self.mail).map(str::to_owned)
    }

    /// A domain whose hard bounces surge is guarded from this very mail on.
    fn mind_guard(&mut self) {
        let (Some(guard), Status::HardBounce, true) = (self.act.rules.guard, self.mail.verdict.status, self.act.fire) else { return };
        let (false, Some(usual), Some(domain)) = (self.guarded, self.known.usual, self.domain()) else { return };
        let (now, lately) = (self.act.at, guard.lately(&self.known.domain, self.at()));
        if !guard.surges(lately, usual) {
            return;
        }
        self.guarded = true;
        if let Some(after) = guard.release_after {
            self.act.timer(Timer::Guard { domain: domain.clone() }, stamp::later(now, after), None);
        }
        self.act.changes.guard = Some(GuardChange::Hold { domain, hard_bounces: lately });
    }

    /// The mail that was sent again came back: once more, or it is over.
    fn go_on_resending(&mut self) {
        let (status, at) = (self.mail.verdict.status, self.act.at);
        let Some(resending) = self.act.person().and_then(|person| person.resending.take()) else { return };
        let back = resending.due.is_none() && resending.when.contains(&status);
        let tries = resending.made < resending.step.attempts;
        match (resending.due, back && tries) {
            (None, true) if resending.step.message == ResendMessage::Original && !self.mail.original_whole => {
                let facts = self.facts("", 0);
                self.act.ask_by_hand(job_key_of(resending.trigger), resending.place, &facts);
            }
            (None, true) => {
                let due = stamp::later(at, resending.step.after);
                self.keep_resending(Resending { due: Some(due), ..resending });
                let facts = self.facts("", 0);
                self.act.again(due, &facts);
            }
            (due, _) if !ends_resending(status) || (due.is_some() && resending.when.contains(&status)) => self.keep_resending(resending),
            (Some(due), _) => self.act.no_more(due),
            (None, _) => self.act.given_up = back,
        }
    }

    fn keep_resending(&mut self, resending: Resending) {
        if let Some(person) = self.act.person() {
            person.resending = Some(resending);
        }
    }

    fn try_trigger(&mut self, trigger: &Trigger) {
        let Some((count, marks)) = self.count(trigger) else { return };
        // A mark only keeps from firing, and keys cost a digest: most triggers are done with here.
        if !count.fires(trigger, None) {
            return;
        }
        let key = trigger.key();
        if !count.fires(trigger, marks.iter().find(|mark| mark.key == key)) {
            return;
        }
        let facts = self.facts(&trigger.name, count.now);
        if trigger.filter.as_ref().is_some_and(|filter| !filter.takes(&facts)) {
            return;
        }
        if let Event::MailV1(event) = &mut self.act.changes.event {
            event.fired.push(trigger.name.clone());
        }
        let fired = Fired { key, trigger: trigger.name.clone(), at: self.at(), count: count.now, when: trigger.when.clone() };
        match (trigger.per, self.act.person()) {
            (Per::Address, Some(person)) => person::mark(&mut person.fired, fired),
            (per, _) => self.act.changes.fired.push(ScopeFired { per, fired }),
        }
        self.carry_out(trigger, key, facts);
    }

    /// `None`: the mail has nothing of what the trigger counts per.
    fn count(&self, trigger: &Trigger) -> Option<(Count, &[Fired])> {
        let (known, at) = (self.known, self.at());
        let person = self.act.changes.person.as_ref();
        let scope = match trigger.per {
            Per::Address => {
                let person = person?;
                return Some((Count::of_person(&person.counted, trigger, at, &self.act.rules.timezone), &person.fired));
            }
            Per::Domain => domain_of(person, self.mail).map(|_| &known.domain)?,
            Per::Campaign => self.mail.campaign.as_ref().map(|_| &known.campaign)?,
            Per::All => &known.all,
        };
        Some((Count::of_scope(scope, trigger, at), &scope.fired))
    }

    /// Of a guarded domain, what concerns the person waits.
    fn carry_out(&mut self, trigger: &Trigger, key: u64, facts: Facts) {
        let cause = Cause { key, when: &trigger.when, instant: None };
        let placed = (0..=u16::MAX).zip(&trigger.steps);
        let guards = self.guarded && self.mail.verdict.status == Status::HardBounce;
        let (true, Some(whom), Some(domain)) = (guards, self.mail.person, self.domain()) else {
            return self.act.run(&cause, placed, facts);
        };
        let steps: Vec<(u16, Step)> = placed.clone().filter(|(_, step)| waits(step)).map(|(place, step)| (place, step.clone())).collect();
        self.act.run(&cause, placed.filter(|(_, step)| !waits(step)), facts.clone());
        if !steps.is_empty() {
            let when = trigger.when.clone();
            self.act.changes.held.push(Held { domain, person: whom, facts, steps, trigger: key, when });
        }
    }

    fn facts(&self, trigger: &str, count: u64) -> Facts {
        let mut facts = match self.act.changes.event.mail() {
            Some(event) => Facts::of(event.clone(), trigger, count),
            None => Facts::of_nothing(self.act.id, self.act.at),
        };
        self.act.refresh(&mut facts);
        facts
    }

    fn forward(&mut self) {
        if let Some(to) = &self.mail.forward {
            let facts = self.facts("", 0);
            self.act.job(0, 0, Task::Forward { to: to.clone() }, &facts);
        }
    }
}

/// What says that sending again is of no use, or was of use: all but what comes beside a delivery or before its end.
fn ends_resending(status: Status) -> bool {
    !matches!(
        status,
        Status::AutoReply | Status::TransientBounce | Status::ChallengeResponse | Status::SubscribeRequest | Status::Undetermined
    )
}
