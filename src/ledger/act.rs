//! Carrying out what a trigger, a step of a sequence or a let-go guard says: in the person's record at once, and as jobs, timers and
//! entries of reports.
//!
//! Of one `do`, what changes the person comes first, so that every mail and post tells what the person is after all of it; resets come last,
//! so that they tell the counts that fired.

use jiff::Timestamp;

use super::{
    Changes, Collected, Entry, Event, Facts, Field, JobDraft, MailEvent, Origin, Person, Place, ResendStep, Resending, Rules, Standing,
    Step, Timer, TimerChange, trigger::job_key_of,
};
use crate::{
    action::{MailTask, MailTemplate, ResendMessage, Task, Todo},
    classify::Verdict,
    outbox::TOLD,
    stamp,
    taxonomy::Status,
    verp::PersonKey,
};

/// What is done in the name of.
pub(super) struct Cause<'a> {
    /// Of a trigger, its key; of a sequence's step, that of its names.
    pub key: u64,
    pub when: &'a [Status],
    /// The step's instant, where reports wait for its end.
    pub instant: Option<Timestamp>,
}

/// What one input changes, so far.
pub(super) struct Act<'a> {
    pub rules: &'a Rules,
    pub id: u64,
    /// From when what it sets off counts: now, also where the event is one of the past.
    pub at: Timestamp,
    pub changes: Changes,
    /// Whether it may act on the outside.
    pub fire: bool,
    pub original_whole: bool,
    /// The last attempt at sending again failed with this very mail: it begins no other.
    pub given_up: bool,
}

impl<'a> Act<'a> {
    pub fn new(rules: &'a Rules, event: Event, whom: Option<PersonKey>, person: Option<Person>) -> Act<'a> {
        let (id, at) = (event.id(), event.at());
        Act { rules, id, at, changes: Changes { whom, person, ..Changes::new(event) }, fire: true, original_whole: false, given_up: false }
    }

    pub fn person(&mut self) -> Option<&mut Person> {
        self.changes.person.as_mut()
    }

    /// All steps, with their places in `do`.
    pub fn run<'s>(&mut self, cause: &Cause<'_>, steps: impl Iterator<Item = (u16, &'s Step)> + Clone, mut facts: Facts) {
        for (_, step) in steps.clone() {
            self.change_person(step);
        }
        self.refresh(&mut facts);
        if self.fire {
            for (place, step) in steps.clone() {
                self.outside(cause, place, step, &facts);
            }
        }
        for (_, step) in steps {
            if let (Step::Reset(statuses), Some(person)) = (step, self.person()) {
                person.reset(Some(statuses));
            }
        }
    }

    fn change_person(&mut self, step: &Step) {
        let Some(person) = self.person() else { return };
        match step {
            Step::Tag(tag) => person.tag(tag),
            Step::Untag(tag) => drop(person.tags.remove(tag)),
            Step::Set(fields) => fields.iter().for_each(|(name, field)| person.set(name, field.clone())),
            Step::Blank(names) => names.iter().for_each(|name| person.set(name, Field::Text(String::new()))),
            Step::Suppress(suppressed) => person.suppressed = *suppressed,
            Step::Job(_) | Step::Collect(_) | Step::Start(_) | Step::Stop(_) | Step::Reset(_) | Step::Resend(_) => {}
        }
    }

    fn outside(&mut self, cause: &Cause<'_>, place: u16, step: &Step, facts: &Facts) {
        match step {
            Step::Job(task) => self.job(job_key_of(cause.key), place, task.clone(), facts),
            Step::Collect(report) => self.collect(report, cause.instant, facts),
            Step::Start(sequence) => self.start(sequence, facts),
            Step::Stop(sequence) => self.stop(sequence),
            Step::Resend(step) => self.resend(cause, place, step, facts),
            Step::Tag(_) | Step::Untag(_) | Step::Set(_) | Step::Blank(_) | Step::Suppress(_) | Step::Reset(_) => {}
        }
    }

    pub fn job(&mut self, trigger: u32, place: u16, task: Task, facts: &Facts) {
        if let Task::Todo(todo @ Todo { title, assignee: Some(assignee), mail: true, .. }) = &task {
            let due = todo.due_at(self.at).map(|due| due.to_zoned(self.rules.timezone.clone()).strftime("%F %H:%M %Z").to_string());
            let told = Task::Mail(MailTask { to: assignee.clone(), template: told(title, due), digest: None, at_most: None });
            self.changes.jobs.push(JobDraft { trigger, place: place | TOLD, task: told, facts: facts.clone() });
        }
        self.changes.jobs.push(JobDraft { trigger, place, task, facts: facts.clone() });
    }

    fn collect(&mut self, report: &str, send_at: Option<Timestamp>, facts: &Facts) {
        let Some(person) = &self.changes.person else { return };
        let entry = Entry { facts: facts.clone(), first_seen: person.first_seen, last_seen: person.last_seen };
        self.changes.collected.push(Collected { report: report.to_owned(), entry });
        if let Some(due) = send_at {
            self.timer(Timer::Report { name: report.to_owned() }, due, None);
        }
    }

    /// Nobody who is in it is started twice.
    fn start(&mut self, name: &str, facts: &Facts) {
        let (rules, id, at) = (self.rules, self.id, self.at);
        let Some(first) = rules.sequences.get(name).and_then(|sequence| sequence.steps.first()) else { return };
        let (Some(whom), Some(person)) = (self.changes.whom, self.person()) else { return };
        if person.sequences.contains_key(name) {
            return;
        }
        let due = first.due(at, &rules.timezone);
        person.sequences.insert(name.to_owned(), Place { run: id, started: at, step: first.name.clone(), taken: 0, due });
        self.timer(Timer::Step { person: whom, sequence: name.to_owned() }, due, Some(facts));
    }

    pub fn stop(&mut self, name: &str) {
        let Some(whom) = self.changes.whom else { return };
        let Some(place) = self.person().and_then(|person| person.sequences.remove(name)) else { return };
        let timer = Timer::Step { person: whom, sequence: name.to_owned() };
        self.changes.timers.push(TimerChange::Clear { timer, due: place.due });
    }

    /// One at a time, and only for a mail that is surely ours.
    fn resend(&mut self, cause: &Cause<'_>, place: u16, step: &ResendStep, facts: &Facts) {
        if self.given_up || !facts.event.origin.signed || facts.event.verdict.address.is_none() {
            return;
        }
        if step.message == ResendMessage::Original && !self.original_whole {
            return self.ask_by_hand(job_key_of(cause.key), place, facts);
        }
        let at = self.at;
        let Some(person) = self.person().filter(|person| person.resending.is_none()) else { return };
        let due = stamp::later(at, step.after);
        let resending = Resending { trigger: cause.key, place, when: cause.when.to_vec(), step: step.clone(), made: 0, due: Some(due) };
        person.resending = Some(resending);
        self.again(due, facts);
    }

    /// Somebody has to send it again who has it.
    pub fn ask_by_hand(&mut self, job_key: u32, place: u16, facts: &Facts) {
        self.job(job_key, place, Task::Todo(by_hand()), facts);
    }

    /// The returned mail will be sent at `due`: until then its raw form stays.
    pub fn again(&mut self, due: Timestamp, facts: &Facts) {
        let Some(whom) = self.changes.whom else { return };
        self.changes.keep_raw = true;
        self.timer(Timer::Resend { person: whom }, due, Some(facts));
    }

    pub fn timer(&mut self, timer: Timer, due: Timestamp, facts: Option<&Facts>) {
        self.changes.timers.push(TimerChange::Set { timer, due, facts: facts.map(|facts| Box::new(facts.clone())) });
    }

    /// What the person is now.
    pub fn refresh(&self, facts: &mut Facts) {
        let Some(person) = &self.changes.person else { return };
        facts.tags = person.tags.iter().cloned().collect();
        facts.counts = person.counted.totals.iter().map(|(status, count)| (*status, *count)).collect();
        facts.fields = person.fields.clone();
        facts.suppressed = person.suppressed;
    }

    pub fn finish(mut self) -> Changes {
        if let Event::MailV1(event) = &self.changes.event {
            // Jobs name all triggers that this mail fired, also those after theirs.
            for job in &mut self.changes.jobs {
                job.facts.event.fired.clone_from(&event.fired);
            }
        }
        self.changes
    }
}

impl Facts {
    /// Of something that no mail set off.
    pub fn of_nothing(id: u64, at: Timestamp) -> Facts {
        let event = MailEvent {
            id,
            at,
            person: None,
            campaign: None,
            standing: Standing::Full,
            verdict: Verdict::undetermined(""),
            origin: Origin::default(),
            fired: Vec::new(),
            raw: None,
        };
        Facts::of(event, "", 0)
    }

    /// Of an event alone; [`Act::refresh`] adds what is the person's.
    pub(super) fn of(event: MailEvent, trigger: &str, count: u64) -> Facts {
        Facts {
            event,
            trigger: trigger.to_owned(),
            count,
            tags: Vec::new(),
            counts: Vec::new(),
            fields: Default::default(),
            suppressed: false,
        }
    }
}

/// `title` is a template's source already.
fn told(title: &str, due: Option<String>) -> MailTemplate {
    let due = due.map(|due| format!("Due:        {due}\n")).unwrap_or_default();
    MailTemplate {
        name: "task".to_owned(),
        subject: format!("Task: {title}"),
        body: format!(
            "{title}\n\n{due}Address:    {{{{ address }}}}\nStatus:     {{{{ status_title }}}}\nDiagnostic: {{{{ diagnostic }}}}\nTrigger:    {{{{ trigger }}}}\n\n\
             When it is done:  bounced tasks done {{{{ job }}}}\n"
        ),
        html: None,
    }
}

fn by_hand() -> Todo {
    Todo {
        title: "Send the mail to {{ address }} again: the bounce does not hold it whole".to_owned(),
        assignee: None,
        due: None,
        mail: false,
    }
}
