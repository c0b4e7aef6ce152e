//! Random operations and rules, from a seed.

use std::{collections::BTreeMap, sync::Arc};

use bounced::{
    action::{ReportTask, Task},
    classify::Verdict,
    ledger::{
        Comparator, Days, Distinct, Field, Filter, Hand, Import, MailInput, Origin, Per, ReportRule, Rules, Sequence, SequenceStep,
        Standing, Step, Trigger,
    },
    taxonomy::Status,
};
use jiff::{SignedDuration, SpanFieldwise, Timestamp};

use crate::{random::Random, store_support::key};

pub const PEOPLE: u8 = 6;
pub const CAMPAIGNS: u64 = 3;
pub const SEQUENCE: &str = "s";
pub const REPORT: &str = "r";
const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

pub fn domain(person: u8) -> String {
    format!("d{}.test", person % 3)
}

pub fn address(person: u8) -> String {
    format!("person{person}@{}", domain(person))
}

#[derive(Debug, Clone)]
pub struct Mail {
    pub serial: u64,
    pub person: Option<u8>,
    pub status: Status,
    pub campaign: Option<u64>,
    pub standing: Standing,
    /// So many minutes ago, and whether it fires.
    pub past: Option<(i64, bool)>,
}

impl Mail {
    pub fn import(&self, now: Timestamp) -> Option<Import> {
        self.past.map(|(minutes, fire)| Import { at: now - SignedDuration::from_mins(minutes), fire })
    }

    pub fn input(&self, now: Timestamp) -> MailInput {
        let mut dedupe = [0; 16];
        dedupe[..8].copy_from_slice(&self.serial.to_be_bytes());
        let address = self.person.map(address);
        MailInput {
            person: address.as_deref().map(key),
            verdict: Verdict { address, status: self.status, ..Verdict::undetermined("model") },
            campaign: self.campaign.map(|campaign| format!("c{campaign}")),
            standing: self.standing,
            origin: Origin { signed: true, ..Origin::default() },
            dedupe,
            keep_raw: false,
            forward: None,
            original_whole: false,
            import: self.import(now),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Op {
    /// In one commit.
    Mails(Vec<Mail>),
    /// One of those before.
    Again(usize),
    Hand(Option<u8>, Hand),
    /// Minutes.
    Pass(i64),
    Rules(Arc<Rules>),
    Restart,
}

impl Op {
    /// Whom to look at after it.
    pub fn people(&self) -> Vec<u8> {
        match self {
            Op::Mails(mails) => mails.iter().filter_map(|mail| mail.person).collect(),
            Op::Hand(person, _) => person.iter().copied().collect(),
            Op::Pass(_) => (0..PEOPLE).collect(),
            Op::Again(_) | Op::Rules(_) | Op::Restart => Vec::new(),
        }
    }
}

impl Random {
    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn person(&mut self) -> u8 {
        self.below(u64::from(PEOPLE)) as u8
    }

    fn status(&mut self) -> Status {
        match self.below(10) {
            0..=4 => Status::HardBounce,
            5..=6 => Status::SoftBounceGeneral,
            7 => Status::Delivered,
            _ => self.of(&Status::ALL),
        }
    }

    fn mail(&mut self) -> Mail {
        let standing = match self.below(12) {
            0 => Standing::Unsigned,
            1 => Standing::Expired,
            2 => Standing::Own,
            _ => Standing::Full,
        };
        let minutes = [0, 30, 5 * HOUR, 3 * DAY, 12 * DAY, 40 * DAY];
        Mail {
            serial: self.below(u64::MAX),
            person: if self.one_in(12) { None } else { Some(self.person()) },
            status: self.status(),
            campaign: if self.one_in(3) { None } else { Some(self.below(CAMPAIGNS)) },
            standing,
            past: if self.one_in(10) { Some((self.of(&minutes), self.one_in(2))) } else { None },
        }
    }

    fn statuses(&mut self) -> Vec<Status> {
        let mut all = vec![self.status()];
        while self.one_in(2) {
            all.push(self.status());
        }
        all.sort();
        all.dedup();
        all
    }

    fn field(&mut self) -> BTreeMap<String, Field> {
        let value = match self.below(3) {
            0 => Field::Bool(true),
            1 => Field::Integer(self.below(3) as i64),
            _ => Field::Text("gold".to_owned()),
        };
        BTreeMap::from([(self.of(&["plan", "email"]).to_owned(), value)])
    }

    fn tag(&mut self) -> String {
        self.of(&["x", "y", "z"]).to_owned()
    }

    fn hand(&mut self) -> Op {
        let person = self.person();
        let known = Some(address(person));
        let act = match self.below(9) {
            0 => Hand::Set { address: known, fields: self.field() },
            1 => Hand::Suppress { address: known, suppressed: self.one_in(2) },
            2 => Hand::Tag { address: known, tag: self.tag() },
            3 => Hand::Untag(self.tag()),
            4..=5 => Hand::Reset(None),
            6 => Hand::Reset(Some(self.statuses())),
            7 => Hand::Stop(SEQUENCE.to_owned()),
            _ => return Op::Hand(None, Hand::Send(REPORT.to_owned())),
        };
        Op::Hand(Some(person), act)
    }

    pub fn op(&mut self, sets: &[Arc<Rules>]) -> Op {
        match self.below(100) {
            0..=64 => Op::Mails((0..=self.below(3)).map(|_| self.mail()).collect()),
            65..=68 => Op::Again(self.below(1 << 20) as usize),
            69..=76 => self.hand(),
            77..=94 => Op::Pass(self.of(&[1, 10, HOUR, 5 * HOUR, DAY, DAY, 36 * HOUR, 9 * DAY])),
            95..=97 => Op::Rules(self.of(sets)),
            _ => Op::Restart,
        }
    }

    fn step(&mut self, in_sequence: bool) -> Step {
        match self.below(if in_sequence { 9 } else { 11 }) {
            0..=1 => Step::Tag(self.tag()),
            2 => Step::Untag(self.tag()),
            3 => Step::Set(self.field()),
            4 => Step::Blank(vec!["email".to_owned()]),
            5 => Step::Suppress(self.one_in(2)),
            6 => Step::Job(Task::Forward { to: "ops@example.com".to_owned() }),
            7 => Step::Collect(REPORT.to_owned()),
            8 if in_sequence && !self.one_in(4) => Step::Tag(self.tag()),
            8 => Step::Stop(SEQUENCE.to_owned()),
            9 => Step::Start(SEQUENCE.to_owned()),
            _ => Step::Reset(self.statuses()),
        }
    }

    fn steps(&mut self, in_sequence: bool) -> Vec<Step> {
        (0..self.below(4)).map(|_| self.step(in_sequence)).collect()
    }

    fn filter(&mut self) -> Option<Filter> {
        let sources = [
            "'x' in tags",
            "not ('y' in tags)",
            "domain == 'd1.test'",
            "campaign",
            "fields.plan == 'gold'",
            "count > 2",
            "counts['hard-bounce'] >= 2",
            "not suppressed",
            "status == 'hard-bounce'",
        ];
        self.one_in(3).then(|| Filter::new(self.of(&sources)).unwrap())
    }

    fn trigger(&mut self, name: u64) -> Trigger {
        let n = self.below(5);
        let count = self.of(&[Comparator::Exactly(n), Comparator::AtLeast(n), Comparator::MoreThan(n), Comparator::Every(n)]);
        let per = self.of(&[Per::Address, Per::Address, Per::Address, Per::Domain, Per::Campaign, Per::All]);
        let within = self.one_in(2).then(|| SignedDuration::from_mins(self.of(&[HOUR, 36 * HOUR, 8 * DAY, 9 * DAY, 30 * DAY])));
        let distinct = (per == Per::Address && self.one_in(4)).then(|| self.of(&[Distinct::Day, Distinct::Campaign]));
        Trigger {
            name: format!("t{name}"),
            when: self.statuses(),
            count,
            within,
            distinct,
            per,
            repeat: self.one_in(2),
            filter: self.filter(),
            steps: self.steps(false),
        }
    }

    fn sequence(&mut self) -> Sequence {
        let mut minutes = 0;
        let steps = (0..=self.below(3)).map(|_| {
            minutes += self.of(&[0, 10, 5 * HOUR, 2 * DAY]);
            let name = self.of(&["a", "b", "c", "d"]).to_owned();
            let after = SpanFieldwise(jiff::Span::new().minutes(minutes));
            SequenceStep { name, after, days: Days::Any, at: None, steps: self.steps(true) }
        });
        let mut steps: Vec<SequenceStep> = steps.collect();
        steps.dedup_by(|a, b| a.name == b.name);
        let mut seen = std::collections::BTreeSet::new();
        steps.retain(|step| seen.insert(step.name.clone()));
        Sequence { name: SEQUENCE.to_owned(), steps }
    }
}

/// Some triggers stand in several of them, as they do in a file that is edited.
pub fn sets(random: &mut Random) -> Vec<Arc<Rules>> {
    let pool: Vec<Trigger> = (0..12).map(|n| random.trigger(n)).collect();
    let set = |random: &mut Random| {
        let mut triggers: Vec<Trigger> = pool.iter().filter(|_| random.one_in(2)).cloned().collect();
        // The same condition, another `do`: nothing is armed anew by it.
        if let Some(trigger) = triggers.first_mut() {
            trigger.steps = random.steps(false);
        }
        let task = ReportTask {
            name: REPORT.to_owned(),
            delivery: 0,
            from: None,
            to: vec!["ops@example.com".to_owned()],
            subject: "x".to_owned(),
            body: None,
            html: None,
            fields: vec!["address".to_owned()],
        };
        let report = ReportRule { active: !random.one_in(5), schedule: None, send_empty: random.one_in(5), task };
        let sequence = random.sequence();
        Arc::new(Rules {
            triggers,
            reset_after: random.one_in(5).then(|| SignedDuration::from_mins(random.of(&[DAY, 20 * DAY]))),
            reset_on_delivered: random.one_in(5),
            sequences: if random.one_in(6) { BTreeMap::new() } else { BTreeMap::from([(SEQUENCE.to_owned(), sequence)]) },
            reports: BTreeMap::from([(REPORT.to_owned(), report)]),
            ..Rules::default()
        })
    };
    (0..3).map(|_| set(random)).collect()
}
