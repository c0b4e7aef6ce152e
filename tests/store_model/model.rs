//! What there must be after each operation, by the README's words. It has no batches, no rows and no keys.

use std::collections::{BTreeMap, BTreeSet};

use bounced::{
    ledger::{Comparator, Distinct, Field, Filter, Hand, Per, Rules, SequenceStep, Standing, Step, Trigger},
    taxonomy::Status,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    given::{Mail, REPORT, SEQUENCE, domain},
    past::{Event, Past},
};

type Counts = BTreeMap<Status, u64>;

/// What a trigger is, whatever its `do`, `where` and `repeat`.
type Identity = (String, Vec<Status>, Comparator, Option<SignedDuration>, Option<Distinct>, Per);

pub struct Mark {
    identity: Identity,
    pub name: String,
    pub count: u64,
}

#[derive(Clone)]
pub struct Place {
    started: Timestamp,
    pub step: String,
    taken: usize,
    pub due: Timestamp,
}

#[derive(Default)]
pub struct Person {
    pub apart: Counts,
    pub seen: Option<(Timestamp, Timestamp)>,
    pub tags: BTreeSet<String>,
    pub fields: BTreeMap<String, Field>,
    pub suppressed: bool,
    pub fired: Vec<Mark>,
    pub place: Option<Place>,
}

pub struct Delivery {
    pub closed: Timestamp,
    pub people: BTreeSet<u8>,
}

#[derive(Default)]
pub struct Model {
    pub people: BTreeMap<u8, Person>,
    pub past: Past,
    /// Of domains, campaigns and all.
    fired: BTreeMap<String, Vec<Mark>>,
    /// Unsigned, expired, own.
    pub apart: [Counts; 3],
    pub jobs: u64,
    pub collected: BTreeSet<u8>,
    pub deliveries: Vec<Delivery>,
    /// When steps asked for a delivery.
    asked: BTreeSet<Timestamp>,
    pub firings: u64,
}

/// In whose name something is done.
struct Doing {
    person: Option<u8>,
    /// Of a sequence's step.
    instant: Option<Timestamp>,
    outside: bool,
    now: Timestamp,
}

fn identity(trigger: &Trigger) -> Identity {
    (trigger.name.clone(), trigger.when.clone(), trigger.count, trigger.within, trigger.distinct, trigger.per)
}

fn due(step: &SequenceStep, started: Timestamp) -> Timestamp {
    started.checked_add(step.after.0).unwrap()
}

fn reset(fired: &mut Vec<Mark>, hit: impl Fn(&Status) -> bool) {
    fired.retain(|mark| !mark.identity.1.iter().any(&hit));
}

impl Person {
    fn see(&mut self, at: Timestamp) {
        let (first, last) = self.seen.unwrap_or((at, at));
        self.seen = Some((first.min(at), last.max(at)));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Tag(tag) => drop(self.tags.replace(tag.clone())),
            Step::Untag(tag) => drop(self.tags.take(tag)),
            Step::Set(fields) => self.fields.extend(fields.clone()),
            Step::Blank(names) => self.fields.extend(names.iter().map(|name| (name.clone(), Field::Text(String::new())))),
            Step::Suppress(suppressed) => self.suppressed = *suppressed,
            _ => {}
        }
    }
}

impl Model {
    /// The names of the triggers that it must fire.
    pub fn mail(&mut self, rules: &Rules, mail: &Mail, now: Timestamp) -> Vec<String> {
        let at = mail.import(now).map_or(now, |import| import.at);
        let apart = match mail.standing {
            Standing::Full => None,
            Standing::Unsigned => Some(0),
            Standing::Expired => Some(1),
            Standing::Own => Some(2),
        };
        if let Some(kind) = apart {
            *self.apart[kind].entry(mail.status).or_default() += 1;
            if let (Some(person), true) = (mail.person, mail.standing != Standing::Own) {
                let person = self.people.entry(person).or_default();
                person.see(at);
                *person.apart.entry(mail.status).or_default() += 1;
            }
            return Vec::new();
        }
        if let Some(person) = mail.person {
            self.people.entry(person).or_default().see(at);
            let last = self.past.last_bounce(person);
            let lapsed = last.zip(rules.reset_after).is_some_and(|(last, after)| at.as_millisecond() - last >= after.as_millis() as i64);
            if lapsed || (rules.reset_on_delivered && mail.status == Status::Delivered) {
                self.reset(person, |_| true);
            }
        }
        let domain = mail.person.map(|person| format!("domain {}", domain(person)));
        let scopes = domain.into_iter().chain(mail.campaign.map(|campaign| format!("campaign c{campaign}"))).collect();
        let (person, campaign, status) = (mail.person, mail.campaign, mail.status);
        self.past.0.push(Event { at: at.as_millisecond(), person, scopes, campaign, status, live: true });
        let doing = Doing { person, instant: None, outside: mail.past.is_none_or(|(_, fire)| fire), now };
        let triggers = rules.triggers.iter().filter(|trigger| trigger.when.contains(&status));
        let fired = triggers.filter(|trigger| self.try_trigger(rules, trigger, mail, &doing));
        fired.map(|trigger| trigger.name.clone()).collect()
    }

    fn try_trigger(&mut self, rules: &Rules, trigger: &Trigger, mail: &Mail, doing: &Doing) -> bool {
        let Some((count, before)) = self.past.count(trigger) else { return false };
        let marks = self.marks(trigger, mail);
        let mark = marks.iter().find(|mark| mark.identity == identity(trigger)).map(|mark| mark.count);
        let again = mark.is_none() || (trigger.repeat && count > before);
        let fires = match trigger.count {
            Comparator::Exactly(n) => count == n && before < count && (trigger.repeat || mark.is_none()),
            Comparator::AtLeast(n) => count >= n && again,
            Comparator::MoreThan(n) => count > n && again,
            Comparator::Every(n) => n > 0 && before < count && count % n == 0 && (trigger.repeat || mark.is_none_or(|mark| mark < count)),
        };
        if !fires || !trigger.filter.as_ref().is_none_or(|filter| self.lets_through(filter, mail, count)) {
            return false;
        }
        let marks = self.marks(trigger, mail);
        marks.retain(|mark| mark.identity != identity(trigger));
        marks.push(Mark { identity: identity(trigger), name: trigger.name.clone(), count });
        self.firings += 1;
        self.act(rules, &trigger.steps, doing);
        true
    }

    /// What fired for whom or what the trigger counts.
    fn marks(&mut self, trigger: &Trigger, mail: &Mail) -> &mut Vec<Mark> {
        let whom = match trigger.per {
            Per::Address => return &mut self.people.get_mut(&mail.person.unwrap()).unwrap().fired,
            Per::Domain => domain(mail.person.unwrap()),
            Per::Campaign => format!("c{}", mail.campaign.unwrap()),
            Per::All => "all".to_owned(),
        };
        self.fired.entry(whom).or_default()
    }

    fn lets_through(&self, filter: &Filter, mail: &Mail, count: u64) -> bool {
        let (nobody, no_counts) = (Person::default(), Counts::new());
        let person = mail.person.and_then(|person| self.people.get(&person)).unwrap_or(&nobody);
        let counts = mail.person.map_or(no_counts, |person| self.past.totals(person));
        match filter.source() {
            "'x' in tags" => person.tags.contains("x"),
            "not ('y' in tags)" => !person.tags.contains("y"),
            "domain == 'd1.test'" => mail.person.map(domain).as_deref() == Some("d1.test"),
            "campaign" => mail.campaign.is_some(),
            "fields.plan == 'gold'" => person.fields.get("plan") == Some(&Field::Text("gold".to_owned())),
            "count > 2" => count > 2,
            "counts['hard-bounce'] >= 2" => counts.get(&Status::HardBounce).is_some_and(|count| *count >= 2),
            "not suppressed" => !person.suppressed,
            "status == 'hard-bounce'" => mail.status == Status::HardBounce,
            other => panic!("the model knows nothing of {other}"),
        }
    }

    /// What changes the person, then what goes to the outside, then what is reset.
    fn act(&mut self, rules: &Rules, steps: &[Step], doing: &Doing) {
        if let Some(person) = doing.person.and_then(|person| self.people.get_mut(&person)) {
            steps.iter().for_each(|step| person.step(step));
        }
        for step in steps.iter().filter(|_| doing.outside) {
            match step {
                Step::Job(_) => self.jobs += 1,
                Step::Collect(_) => {
                    self.collected.extend(doing.person);
                    self.asked.extend(doing.person.and(doing.instant));
                }
                Step::Start(name) => self.start(rules, name, doing),
                Step::Stop(_) => self.stop(doing.person),
                _ => {}
            }
        }
        for step in steps {
            if let (Step::Reset(statuses), Some(person)) = (step, doing.person) {
                self.reset(person, |status| statuses.contains(status));
            }
        }
    }

    fn start(&mut self, rules: &Rules, name: &str, doing: &Doing) {
        let first = rules.sequences.get(name).and_then(|sequence| sequence.steps.first());
        let person = doing.person.and_then(|person| self.people.get_mut(&person));
        if let (Some(first), Some(person)) = (first, person) {
            let started = doing.now;
            person.place.get_or_insert_with(|| Place { started, step: first.name.clone(), taken: 0, due: due(first, started) });
        }
    }

    fn stop(&mut self, person: Option<u8>) {
        if let Some(person) = person.and_then(|person| self.people.get_mut(&person)) {
            person.place = None;
        }
    }

    fn reset(&mut self, person: u8, hit: impl Fn(&Status) -> bool) {
        self.past.reset(person, |status| hit(&status));
        if let Some(person) = self.people.get_mut(&person) {
            reset(&mut person.fired, hit);
        }
    }

    pub fn hand(&mut self, rules: &Rules, person: Option<u8>, act: &Hand, now: Timestamp) {
        let Some(person) = person else { return self.send(rules, true, now) };
        match act {
            Hand::Set { fields, .. } => self.people.entry(person).or_default().fields.extend(fields.clone()),
            Hand::Suppress { suppressed, .. } => self.people.entry(person).or_default().suppressed = *suppressed,
            Hand::Tag { tag, .. } => self.people.entry(person).or_default().step(&Step::Tag(tag.clone())),
            Hand::Untag(tag) => {
                if let Some(person) = self.people.get_mut(&person) {
                    person.tags.remove(tag);
                }
            }
            Hand::Reset(statuses) => self.reset(person, |status| statuses.as_ref().is_none_or(|some| some.contains(status))),
            Hand::Stop(_) => self.stop(Some(person)),
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, rules: &Rules, by_hand: bool, now: Timestamp) {
        let Some(rule) = rules.reports.get(REPORT) else { return };
        if by_hand || (rule.active && (rule.send_empty || !self.collected.is_empty())) {
            self.jobs += 1;
            self.deliveries.push(Delivery { closed: now, people: std::mem::take(&mut self.collected) });
        }
    }

    /// What is due now, then what that made due: all steps of one look before the deliveries that they ask for.
    pub fn run_due(&mut self, rules: &Rules, now: Timestamp) {
        loop {
            let places = self.people.iter().filter_map(|(person, known)| Some((known.place.as_ref()?.due, Some(*person))));
            let mut look: Vec<(Timestamp, Option<u8>)> = places.chain(self.asked.iter().map(|asked| (*asked, None))).collect();
            look.retain(|(due, _)| *due <= now);
            // Those of people first.
            look.sort_by_key(|(due, person)| (*due, person.is_none(), *person));
            if look.is_empty() {
                return;
            }
            for (due, person) in look {
                match person {
                    Some(person) => self.step(rules, person, due, now),
                    None => {
                        self.asked.remove(&due);
                        self.send(rules, false, now);
                    }
                }
            }
        }
    }

    fn step(&mut self, rules: &Rules, whom: u8, instant: Timestamp, now: Timestamp) {
        let Some(place) = self.people.get_mut(&whom).and_then(|person| person.place.as_mut()) else { return };
        let Some(sequence) = rules.sequences.get(SEQUENCE) else {
            place.due = now + SignedDuration::from_hours(1);
            return;
        };
        let named = sequence.steps.iter().position(|step| step.name == place.step);
        let Some(number) = named.or_else(|| (place.taken < sequence.steps.len()).then_some(place.taken)) else {
            return self.stop(Some(whom));
        };
        let (step, started) = (&sequence.steps[number], place.started);
        if due(step, started) > now {
            (place.step, place.due) = (step.name.clone(), due(step, started));
            return;
        }
        self.act(rules, &step.steps, &Doing { person: Some(whom), instant: Some(instant), outside: true, now });
        let Some(person) = self.people.get_mut(&whom).filter(|person| person.place.is_some()) else { return };
        let next = sequence.steps.get(number + 1);
        person.place = next.map(|next| Place { started, step: next.name.clone(), taken: number + 1, due: due(next, started) });
    }
}
