//! One input judged: the record it leaves, the triggers it fires, the jobs they make.
//!
//! Total: whatever is known and whatever comes in, there are changes. An event that may not fire ([`Standing`] other than `Full`) is
//! recorded and touches nothing that a trigger sees; one of our own mails come back changes nobody at all.

use jiff::Timestamp;

use super::{
    Changes, Event, Facts, Fired, Input, JobDraft, Known, MailEvent, MailInput, Per, Person, Recent, Rules, ScopeFired, Standing, Step,
    Trigger, count::Count, person,
};
use crate::{action::Task, address, taxonomy::Status};

/// The domain that an event counts for: that of the address it speaks of, else of the address that the person is known by.
pub fn domain_of<'a>(person: Option<&'a Person>, mail: &'a MailInput) -> Option<&'a str> {
    let known = || person.and_then(|person| person.address.as_deref());
    mail.verdict.address.as_deref().or_else(known).and_then(address::domain)
}

impl Rules {
    /// Judges one input. `id` and `at` are the event's, given by the writer; `known` is what was before it.
    pub fn judge(&self, known: &Known, input: &Input, id: u64, at: Timestamp) -> Changes {
        let Input::Mail(mail) = input;
        let mut judging = Judging::new(known, mail, id, at);
        judging.person = self.person_after(known, mail, id, at);
        if mail.standing == Standing::Full {
            for trigger in self.triggers.iter().filter(|trigger| trigger.when.contains(&mail.verdict.status)) {
                judging.try_trigger(trigger);
            }
        }
        judging.finish()
    }

    /// The person with the event in the record, before any trigger.
    fn person_after(&self, known: &Known, mail: &MailInput, id: u64, at: Timestamp) -> Option<Person> {
        mail.person?;
        if mail.standing == Standing::Own {
            return None;
        }
        let status = mail.verdict.status;
        let mut person = known.person.clone().unwrap_or_default();
        person.see(at);
        person.learn(mail.verdict.address.as_deref());
        let entry = Recent { at, status, campaign: mail.campaign.clone(), event: id, cleared: false };
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
}

struct Judging<'a> {
    known: &'a Known,
    mail: &'a MailInput,
    event: MailEvent,
    person: Option<Person>,
    scopes: Vec<ScopeFired>,
    jobs: Vec<JobDraft>,
}

impl<'a> Judging<'a> {
    fn new(known: &'a Known, mail: &'a MailInput, id: u64, at: Timestamp) -> Self {
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
        Judging { known, mail, event, person: None, scopes: Vec::new(), jobs: Vec::new() }
    }

    fn try_trigger(&mut self, trigger: &Trigger) {
        let Some((count, marks)) = self.count(trigger) else { return };
        let key = trigger.key();
        if !count.fires(trigger, marks.iter().find(|mark| mark.key == key)) {
            return;
        }
        self.event.fired.push(trigger.name.clone());
        let fired = Fired { key, trigger: trigger.name.clone(), at: self.event.at, count: count.now, when: trigger.when.clone() };
        match (trigger.per, &mut self.person) {
            (Per::Address, Some(person)) => person::mark(&mut person.fired, fired),
            (per, _) => self.scopes.push(ScopeFired { per, fired }),
        }
        self.act(trigger, count.now);
    }

    /// What the trigger counts, and the marks to look at; `None` where the event has no such person, domain or campaign.
    fn count(&self, trigger: &Trigger) -> Option<(Count, &[Fired])> {
        let (known, at) = (self.known, self.event.at);
        let scope = match trigger.per {
            Per::Address => {
                let person = self.person.as_ref()?;
                return Some((Count::of_person(&person.counted, trigger, at), &person.fired));
            }
            Per::Domain => domain_of(self.person.as_ref(), self.mail).map(|_| &known.domain)?,
            Per::Campaign => self.mail.campaign.as_ref().map(|_| &known.campaign)?,
            Per::All => &known.all,
        };
        Some((Count::of_scope(scope, trigger, at), &scope.fired))
    }

    fn act(&mut self, trigger: &Trigger, count: u64) {
        if let Some(person) = &mut self.person {
            for step in &trigger.steps {
                match step {
                    Step::Tag(tag) => person.tag(tag),
                    Step::Untag(tag) => drop(person.tags.remove(tag)),
                    Step::Job(_) => {}
                }
            }
        }
        let facts = self.facts(&trigger.name, count);
        let key = trigger.job_key();
        for (place, step) in (0..=u16::MAX).zip(&trigger.steps) {
            if let Step::Job(task) = step {
                self.jobs.push(JobDraft { trigger: key, place, task: task.clone(), facts: facts.clone() });
            }
        }
    }

    fn facts(&self, trigger: &str, count: u64) -> Facts {
        let person = self.person.as_ref();
        Facts {
            event: self.event.clone(),
            trigger: trigger.to_owned(),
            count,
            tags: person.map(|person| person.tags.iter().cloned().collect()).unwrap_or_default(),
            counts: person
                .map(|person| person.counted.totals.iter().map(|(status, count)| (*status, *count)).collect())
                .unwrap_or_default(),
        }
    }

    fn finish(mut self) -> Changes {
        if let Some(to) = &self.mail.forward {
            let facts = self.facts("", 0);
            self.jobs.push(JobDraft { trigger: 0, place: 0, task: Task::Forward { to: to.clone() }, facts });
        }
        // A job tells the event as the log will: with all that it fired, not only what came before.
        for job in &mut self.jobs {
            job.facts.event.fired.clone_from(&self.event.fired);
        }
        Changes {
            counted: self.mail.standing == Standing::Full,
            event: Event::MailV1(self.event),
            person: self.person,
            fired: self.scopes,
            jobs: self.jobs,
        }
    }
}
