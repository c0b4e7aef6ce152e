//! The store and the ledger together against a plain model: 100,000 random operations, the store closed and opened again among them.
//!
//! Mails of all statuses and standings, several in one commit, some for the second time, some of the past; changes by hand; other rules from
//! one moment to the next; time that goes on, over what falls due meanwhile. After each operation everything that the model says of the
//! people concerned, and how many jobs there are, is compared; now and then, and at the end of each world, all that there is.
//! BOUNCED_SEED repeats a run, BOUNCED_OPERATIONS makes it longer.

#![allow(clippy::unwrap_used)]

#[path = "store_model/given.rs"]
mod given;
#[path = "store_model/model.rs"]
mod model;
#[path = "store_model/past.rs"]
mod past;
#[path = "support/random.rs"]
mod random;
mod store_support;

use std::{collections::BTreeMap, env, sync::Arc, thread, time::Duration};

use bounced::{
    ledger::{HandInput, Input, Rules},
    store::{By, Options, Store, Which},
    taxonomy::Status,
};
use bytes::Bytes;
use given::{CAMPAIGNS, Mail, Op, PEOPLE, REPORT, SEQUENCE, address, domain, sets};
use jiff::SignedDuration;
use model::Model;
use random::Random;
use store_support::{Careless, Clock, key};
use tokio::runtime::Runtime;

/// Operations of one world: the model looks through all of its past for each event.
const WORLD: usize = 1_000;
const THREADS: u64 = 4;

struct World {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Option<Store>,
    rules: Arc<Rules>,
    model: Model,
    runtime: Runtime,
    /// What it was told so far, by the serials of mails.
    sent: Vec<Mail>,
}

impl World {
    fn new(rules: &Rules) -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::new());
        let mut world =
            World { dir, clock, store: None, rules: Arc::new(rules.clone()), model: Model::default(), runtime, sent: Vec::new() };
        world.open();
        world
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn open(&mut self) {
        let keep_events = Duration::from_secs(100 * 365 * 86_400);
        let options = Options { platter: Arc::new(Careless), keep_events, ..self.clock.options() };
        let store = Store::open(self.dir.path(), options).unwrap();
        store.set_rules(self.rules.clone());
        self.store = Some(store);
    }

    fn apply(&mut self, op: &Op) {
        let now = self.clock.now();
        match op {
            Op::Mails(mails) => {
                let inputs = mails.iter().map(|mail| Input::Mail(mail.input(now))).collect();
                let recorded = self.runtime.block_on(self.store().record(inputs, Bytes::new())).unwrap();
                for (mail, recorded) in mails.iter().zip(recorded) {
                    let expected = self.model.mail(&self.rules, mail, now);
                    assert_eq!((recorded.duplicate, recorded.fired), (false, expected), "{mail:?} at {now}\n{:#?}", self.rules.triggers);
                    self.sent.push(mail.clone());
                }
            }
            Op::Again(nth) => {
                let Some(mail) = self.sent.get(nth % self.sent.len().max(1)) else { return };
                let inputs = vec![Input::Mail(mail.input(now))];
                let recorded = self.runtime.block_on(self.store().record(inputs, Bytes::new())).unwrap();
                assert!(recorded[0].duplicate && recorded[0].fired.is_empty(), "{mail:?}");
            }
            Op::Hand(person, act) => {
                let input = Input::Hand(HandInput { person: person.map(|person| key(&address(person))), act: act.clone() });
                self.runtime.block_on(self.store().record(vec![input], Bytes::new())).unwrap();
                self.model.hand(&self.rules, *person, act, now);
            }
            Op::Pass(minutes) => self.clock.go(SignedDuration::from_mins(*minutes)),
            Op::Rules(rules) => {
                self.rules = Arc::clone(rules);
                self.store().set_rules(self.rules.clone());
            }
            Op::Restart => {
                self.store.take().unwrap().close().unwrap();
                self.open();
            }
        }
        self.runtime.block_on(self.store().tick()).unwrap();
        self.model.run_due(&self.rules, self.clock.now());
    }

    fn compare(&self, op: &Op) {
        for person in op.people() {
            self.compare_person(person);
        }
        assert_eq!(self.store().job_counts().unwrap().waiting, self.model.jobs, "jobs");
    }

    fn compare_person(&self, person: u8) {
        let kept = self.store().person(key(&address(person))).unwrap();
        let Some(model) = self.model.people.get(&person) else {
            assert_eq!(kept, None);
            return;
        };
        let kept = kept.unwrap_or_else(|| panic!("person {person} is known"));
        assert_eq!(kept.counted.totals, self.model.past.totals(person), "person {person}: counters are the events seen since a reset");
        assert_eq!(kept.apart.totals, model.apart);
        assert_eq!((kept.first_seen, kept.last_seen), (model.seen.map(|seen| seen.0), model.seen.map(|seen| seen.1)));
        assert_eq!((&kept.tags, &kept.fields, kept.suppressed), (&model.tags, &model.fields, model.suppressed), "person {person}");
        let fired: Vec<(String, u64)> = kept.fired.iter().map(|fired| (fired.trigger.clone(), fired.count)).collect();
        let expected: Vec<(String, u64)> = model.fired.iter().map(|fired| (fired.name.clone(), fired.count)).collect();
        assert_eq!(fired, expected, "person {person}: what fired");
        let places: Vec<_> = kept.sequences.iter().map(|(name, place)| (name.clone(), place.step.clone(), place.due)).collect();
        let expected = model.place.as_ref().map(|place| (SEQUENCE.to_owned(), place.step.clone(), place.due));
        assert_eq!(places, expected.into_iter().collect::<Vec<_>>(), "person {person}: the place in the sequence");
    }

    fn compare_all(&self) {
        (0..PEOPLE).for_each(|person| self.compare_person(person));
        let past = &self.model.past;
        let totals = |which| self.store().totals(which).unwrap();
        assert_eq!(totals(Which::Counted), past.all());
        let apart = [Which::Unsigned, Which::Expired, Which::Own].map(totals);
        assert_eq!(apart, self.model.apart);
        let by = |by| self.store().counts(by).unwrap().into_iter().collect::<BTreeMap<_, _>>();
        let sum =
            |name: String| past.of(&name).iter().filter(|(status, _)| **status != Status::Delivered).map(|(_, count)| count).sum::<u64>();
        let (domains, campaigns) = (by(By::Domain), by(By::Campaign));
        for (name, count) in (0..PEOPLE).map(domain).map(|name| (name.clone(), sum(format!("domain {name}")))) {
            assert_eq!(domains.get(&name).copied().unwrap_or_default(), count, "{name}");
        }
        for n in 0..CAMPAIGNS {
            assert_eq!(campaigns.get(&format!("c{n}")).copied().unwrap_or_default(), sum(format!("campaign c{n}")), "c{n}");
        }
        let report = self.store().report(REPORT).unwrap();
        assert_eq!((report.open as usize, report.people as usize), (self.model.deliveries.len(), self.model.collected.len()));
        // Who was in a delivery is known for 30 days.
        let kept = self.clock.now() - SignedDuration::from_hours(29 * 24);
        let closed = self.model.deliveries.iter().map(|delivery| (delivery.closed >= kept, &delivery.people));
        for (delivery, (known, people)) in (0..).zip(closed.chain([(true, &self.model.collected)])) {
            let entries = self.store().collected(REPORT, delivery).unwrap();
            let named: Vec<_> = entries.iter().map(|entry| entry.facts.event.verdict.address.clone().unwrap()).collect();
            assert!(!known || named == people.iter().map(|person| address(*person)).collect::<Vec<_>>(), "delivery {delivery}: {named:?}");
        }
        let members: Vec<_> = self.store().members(SEQUENCE).unwrap().into_iter().filter_map(|(_, address, _)| address).collect();
        assert_eq!(members.len(), self.model.people.values().filter(|person| person.place.is_some()).count());
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How often anything fired.
fn play(seed: u64, operations: usize) -> u64 {
    let mut random = Random(seed);
    let sets = sets(&mut random);
    let mut world = World::new(&sets[0]);
    for n in 0..operations {
        let op = random.op(&sets);
        world.apply(&op);
        world.compare(&op);
        if n % 250 == 0 {
            world.compare_all();
        }
    }
    world.compare_all();
    world.model.firings
}

#[test]
fn a_hundred_thousand_operations() {
    let seed = number("BOUNCED_SEED", 20_261_123);
    let operations = usize::try_from(number("BOUNCED_OPERATIONS", 100_000)).unwrap();
    let worlds = operations.div_ceil(WORLD) as u64;
    eprintln!("BOUNCED_SEED={seed}: {worlds} worlds of {WORLD} operations");
    let fired: u64 = thread::scope(|scope| {
        let play_some = |thread| {
            let each = (thread..worlds).step_by(THREADS as usize).map(|world| {
                eprintln!("BOUNCED_SEED={} BOUNCED_OPERATIONS={WORLD} plays this world alone", seed.wrapping_add(world));
                play(seed.wrapping_add(world), WORLD)
            });
            each.sum::<u64>()
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || play_some(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    eprintln!("{fired} firings");
    assert!(fired > operations as u64 / 20, "a run in which next to nothing fires shows nothing");
}
