//! The ledger against a plain model: the whole history kept as a list, every figure worked out anew from it for every event.
//!
//! Random histories of mails (statuses, campaigns, people, standings, time going on), resets by hand and changes of the rules.

use std::collections::{BTreeMap, BTreeSet};

use bounced::{
    classify::Verdict,
    ledger::{
        Changes, Comparator, Distinct, Event, Fired, HOURS_REACH, Input, Known, MailInput, Origin, Per, Person, RECENT, Recent, Rules,
        Scope, Standing, Step, TAGS, Tally, Trigger, day_of, hour_of,
    },
    taxonomy::Status,
    verp::PersonKey,
};
use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*, sample::select};

const STATUSES: [Status; 4] = [Status::HardBounce, Status::SoftBounceGeneral, Status::AutoReply, Status::Delivered];

#[derive(Debug, Clone)]
enum Op {
    Mail { person: Option<u8>, status: Status, campaign: Option<u8>, standing: Standing },
    Pass(SignedDuration),
    Reset { person: u8, statuses: Option<Vec<Status>> },
    Rules(usize),
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let standing =
        prop_oneof![8 => Just(Standing::Full), 1 => Just(Standing::Unsigned), 1 => Just(Standing::Expired), 1 => Just(Standing::Own)];
    let mail = (option::weighted(0.9, 0..3_u8), select(&STATUSES[..]), option::of(0..3_u8), standing)
        .prop_map(|(person, status, campaign, standing)| Op::Mail { person, status, campaign, standing });
    let pass = select(vec![0, 1, 10, 60, 299, 1_440, 1_441, 14_400]).prop_map(|n| Op::Pass(minutes(n)));
    let reset = (0..3_u8, option::of(vec(select(&STATUSES[..]), 1..3))).prop_map(|(person, statuses)| Op::Reset { person, statuses });
    vec(prop_oneof![12 => mail, 5 => pass, 1 => reset, 1 => (0..2_usize).prop_map(Op::Rules)], 1..80)
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let count = prop_oneof![
        (0..5_u64).prop_map(Comparator::Exactly),
        (0..5_u64).prop_map(Comparator::AtLeast),
        (0..4_u64).prop_map(Comparator::MoreThan),
        (0..4_u64).prop_map(Comparator::Every),
    ];
    let within = option::of(select(vec![60, 2_160, 11_520, 12_960, 43_200]).prop_map(minutes));
    let distinct = option::of(select(vec![Distinct::Day, Distinct::Campaign]));
    let per = prop_oneof![3 => Just(Per::Address), 1 => Just(Per::Domain), 1 => Just(Per::Campaign), 1 => Just(Per::All)];
    let step =
        prop_oneof![select(vec!["x", "y"]).prop_map(|t| Step::Tag(t.into())), select(vec!["x", "y"]).prop_map(|t| Step::Untag(t.into()))];
    let when = proptest::sample::subsequence(&STATUSES[..], 1..=3);
    (when, count, within, distinct, per, any::<bool>(), vec(step, 0..3)).prop_map(|(when, count, within, distinct, per, repeat, steps)| {
        let distinct = distinct.filter(|_| per == Per::Address);
        Trigger { name: String::new(), when, count, within, distinct, per, repeat, steps }
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let reset_after = option::weighted(0.2, select(vec![1_440, 20_000]).prop_map(minutes));
    (vec(trigger(), 1..5), reset_after, proptest::bool::weighted(0.2)).prop_map(|(mut triggers, reset_after, reset_on_delivered)| {
        triggers.iter_mut().enumerate().for_each(|(place, trigger)| trigger.name = format!("t{place}"));
        Rules { triggers, reset_after, reset_on_delivered }
    })
}

fn mail(person: Option<u8>, status: Status, campaign: Option<u8>, standing: Standing) -> MailInput {
    // Two of the three people share a domain.
    let address = person.map(|n| format!("p{n}@d{}.example", n / 2));
    MailInput {
        person: person.map(|n| PersonKey([n; 10])),
        verdict: Verdict { address, status, ..Verdict::undetermined("model") },
        campaign: campaign.map(|n| format!("c{n}")),
        standing,
        origin: Origin::default(),
        dedupe: [0; 16],
        keep_raw: false,
        forward: None,
    }
}

/// What a store keeps, in maps.
#[derive(Default)]
struct Kept {
    persons: BTreeMap<u8, Person>,
    scopes: BTreeMap<String, Scope>,
    next: u64,
}

fn scope_names(mail: &MailInput) -> [(Per, Option<String>); 3] {
    let domain = mail.verdict.address.as_deref().and_then(|address| address.split_once('@')).map(|(_, domain)| format!("domain {domain}"));
    [(Per::Domain, domain), (Per::Campaign, mail.campaign.as_ref().map(|name| format!("campaign {name}"))), (Per::All, Some("all".into()))]
}

impl Kept {
    fn take(&mut self, rules: &Rules, person: Option<u8>, mail: MailInput, at: Timestamp) -> Changes {
        let names = scope_names(&mail);
        let scope = |name: &Option<String>| name.as_ref().and_then(|name| self.scopes.get(name)).cloned().unwrap_or_default();
        let known = Known {
            person: person.and_then(|n| self.persons.get(&n)).cloned(),
            domain: scope(&names[0].1),
            campaign: scope(&names[1].1),
            all: scope(&names[2].1),
        };
        self.next += 1;
        let status = mail.verdict.status;
        let changes = rules.judge(&known, &Input::Mail(mail), self.next, at);
        if let (Some(n), Some(person)) = (person, &changes.person) {
            self.persons.insert(n, person.clone());
        }
        for (per, name) in names.iter().filter_map(|(per, name)| Some((per, name.clone()?))) {
            let scope = self.scopes.entry(name).or_default();
            if changes.counted {
                *scope.totals.entry(status).or_default() += 1;
                *scope.hours.entry(hour_of(at)).or_default().entry(status).or_default() += 1;
                *scope.days.entry(day_of(at)).or_default().entry(status).or_default() += 1;
            }
            changes.fired.iter().filter(|fired| fired.per == *per).for_each(|fired| scope.mark(fired.fired.clone()));
        }
        changes
    }
}

struct Past {
    at: i64,
    person: Option<u8>,
    scopes: Vec<String>,
    campaign: Option<u8>,
    status: Status,
    live: bool,
}

/// What a trigger is, whatever its `do` and `repeat`.
type Identity = (String, Vec<Status>, Comparator, Option<SignedDuration>, Option<Distinct>, Per);

#[derive(Default)]
struct Model {
    /// Events that count, since the beginning.
    past: Vec<Past>,
    /// For whom or what a trigger fired, and at which count.
    fired: BTreeMap<String, Vec<(Identity, u64)>>,
    tags: BTreeMap<u8, BTreeSet<String>>,
}

impl Model {
    fn reset(&mut self, person: u8, statuses: Option<&[Status]>) {
        let hit = |status: &Status| statuses.is_none_or(|some| some.contains(status));
        self.past.iter_mut().filter(|past| past.person == Some(person) && hit(&past.status)).for_each(|past| past.live = false);
        if let Some(fired) = self.fired.get_mut(&format!("person {person}")) {
            fired.retain(|(identity, _)| !identity.1.iter().any(hit));
        }
    }

    /// How many of the first `upto` events count for `trigger` at `now`.
    fn count(&self, trigger: &Trigger, whom: &str, now: i64, upto: usize) -> u64 {
        let past = &self.past[..upto];
        let of = |past: &&Past| past.scopes.iter().any(|scope| scope == whom);
        let person = trigger.per == Per::Address;
        let begin = trigger.within.map(|within| {
            let begin = now - within.as_secs();
            let width = if person {
                1
            } else if within <= HOURS_REACH {
                3_600
            } else {
                86_400
            };
            begin - begin.rem_euclid(width)
        });
        let matching = past
            .iter()
            .filter(of)
            .filter(|past| trigger.when.contains(&past.status) && begin.is_none_or(|begin| past.at >= begin) && (past.live || !person));
        match trigger.distinct {
            None => matching.count() as u64,
            Some(Distinct::Day) => matching.map(|past| past.at.div_euclid(86_400)).collect::<BTreeSet<_>>().len() as u64,
            Some(Distinct::Campaign) => matching.map(|past| past.campaign).collect::<BTreeSet<_>>().len() as u64,
        }
    }

    /// The names that an event must fire.
    fn take(&mut self, rules: &Rules, person: Option<u8>, status: Status, campaign: Option<u8>, now: i64) -> Vec<String> {
        if let Some(person) = person {
            let last = self.past.iter().rfind(|past| past.person == Some(person) && past.status != Status::Delivered);
            let lapsed = last.zip(rules.reset_after).is_some_and(|(last, after)| now - last.at >= after.as_secs());
            if lapsed || (rules.reset_on_delivered && status == Status::Delivered) {
                self.reset(person, None);
            }
        }
        let mut scopes: Vec<String> =
            scope_names(&mail(person, status, campaign, Standing::Full)).into_iter().filter_map(|(_, name)| name).collect();
        scopes.extend(person.map(|n| format!("person {n}")));
        self.past.push(Past { at: now, person, scopes: scopes.clone(), campaign, status, live: true });
        let mut names = Vec::new();
        for trigger in rules.triggers.iter().filter(|trigger| trigger.when.contains(&status)) {
            let kind = match trigger.per {
                Per::Address => "person ",
                Per::Domain => "domain ",
                Per::Campaign => "campaign ",
                Per::All => "all",
            };
            let Some(whom) = scopes.iter().find(|scope| scope.starts_with(kind)) else { continue };
            if self.fires(trigger, whom, now) {
                names.push(trigger.name.clone());
                let tags = person.map(|n| self.tags.entry(n).or_default());
                let Some(tags) = tags else { continue };
                for step in &trigger.steps {
                    match step {
                        Step::Tag(tag) => drop(tags.insert(tag.clone())),
                        Step::Untag(tag) => drop(tags.remove(tag)),
                        Step::Job(_) => {}
                    }
                }
            }
        }
        names
    }

    fn fires(&mut self, trigger: &Trigger, whom: &str, now: i64) -> bool {
        let all = self.past.len();
        let (before, count) = (self.count(trigger, whom, now, all - 1), self.count(trigger, whom, now, all));
        let identity: Identity = (trigger.name.clone(), trigger.when.clone(), trigger.count, trigger.within, trigger.distinct, trigger.per);
        let fired = self.fired.entry(whom.to_owned()).or_default();
        let earlier: Vec<u64> = fired.iter().filter(|(of, _)| *of == identity).map(|(_, count)| *count).collect();
        let fires = match trigger.count {
            Comparator::Exactly(n) => before + 1 == n && count == n && (trigger.repeat || earlier.is_empty()),
            Comparator::AtLeast(n) => count >= n && (earlier.is_empty() || trigger.repeat && count > before),
            Comparator::MoreThan(n) => count > n && (earlier.is_empty() || trigger.repeat && count > before),
            Comparator::Every(0) => false,
            Comparator::Every(n) => count > before && count % n == 0 && (trigger.repeat || earlier.last().is_none_or(|last| *last < count)),
        };
        if fires {
            fired.push((identity, count));
        }
        fires
    }

    fn totals(&self, person: u8) -> BTreeMap<Status, u64> {
        let mut totals = BTreeMap::new();
        self.past
            .iter()
            .filter(|past| past.person == Some(person) && past.live)
            .for_each(|past| *totals.entry(past.status).or_default() += 1);
        totals
    }
}

/// Plays `ops`; each full event's fired names, and what is kept.
fn play(
    ops: &[Op],
    sets: &[Rules],
    apart: bool,
    mut check: impl FnMut(&Op, &Rules, &Kept, Timestamp, &[String]),
) -> (Vec<Vec<String>>, Kept) {
    let (mut kept, mut fired) = (Kept::default(), Vec::new());
    let mut at = Timestamp::from_second(1_795_435_200).unwrap();
    let mut rules = &sets[0];
    for op in ops {
        let mut names = Vec::new();
        match op {
            Op::Pass(time) => at += *time,
            Op::Rules(set) => rules = &sets[*set],
            Op::Reset { person, statuses } => {
                if let Some(person) = kept.persons.get_mut(person) {
                    person.reset(statuses.as_deref());
                }
            }
            Op::Mail { standing, .. } if *standing != Standing::Full && !apart => continue,
            Op::Mail { person, status, campaign, standing } => {
                let before = kept.persons.get(&person.unwrap_or(9)).cloned();
                let changes = kept.take(rules, *person, mail(*person, *status, *campaign, *standing), at);
                let Event::MailV1(event) = changes.event;
                names = event.fired;
                match standing {
                    Standing::Full => fired.push(names.clone()),
                    Standing::Own => assert_eq!(before.as_ref(), kept.persons.get(&person.unwrap_or(9))),
                    _ => assert!(names.is_empty() && changes.fired.is_empty() && changes.jobs.is_empty()),
                }
            }
        }
        check(op, rules, &kept, at, &names);
    }
    (fired, kept)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    /// Every event fires what the model says; counters are the events since the reset; tags follow.
    #[test]
    fn the_ledger_does_as_the_model(ops in ops(), sets in [rules(), rules()]) {
        let mut model = Model::default();
        play(&ops, &sets, true, |op, rules, kept, at, names| match op {
            Op::Mail { person, status, campaign, standing: Standing::Full } => {
                let expected = model.take(rules, *person, *status, *campaign, at.as_second());
                assert_eq!(names, expected, "{op:?} at {at}");
                if let Some(n) = person {
                    let person = &kept.persons[n];
                    assert_eq!(person.counted.totals, model.totals(*n));
                    assert_eq!(Some(&person.tags), Some(&*model.tags.entry(*n).or_default()));
                    assert_eq!(person.counted.recent.back().unwrap().event, kept.next);
                    assert_eq!(person.counted.recent.len(), model.past.iter().filter(|past| past.person == Some(*n)).count());
                }
            }
            Op::Reset { person, statuses } => model.reset(*person, statuses.as_deref()),
            _ => {}
        });
    }

    /// Without `repeat`, and with no reset between, a person's crossing fires once; `exactly` only at its very number.
    #[test]
    fn a_crossing_fires_once_and_exactly_never_late(ops in ops(), set in rules()) {
        let mut since: BTreeMap<(u8, String), u32> = BTreeMap::new();
        let mut seen: BTreeMap<u8, BTreeMap<Status, u64>> = BTreeMap::new();
        let set = Rules { reset_after: None, reset_on_delivered: false, ..set };
        play(&ops, &[set.clone(), set], true, |op, rules, _, _, names| match op {
            Op::Reset { person, .. } => {
                since.retain(|(of, _), _| of != person);
                seen.remove(person);
            }
            Op::Mail { person: Some(person), status, standing: Standing::Full, .. } => {
                *seen.entry(*person).or_default().entry(*status).or_default() += 1;
                for trigger in rules.triggers.iter().filter(|trigger| trigger.per == Per::Address && names.contains(&trigger.name)) {
                    let sum: u64 = trigger.when.iter().filter_map(|status| seen[person].get(status)).sum();
                    let times = since.entry((*person, trigger.name.clone())).or_default();
                    *times += 1;
                    match trigger.count {
                        Comparator::Exactly(n) if trigger.within.is_none() && trigger.distinct.is_none() => assert!(sum == n || ops_have_partial_reset(&ops)),
                        Comparator::Every(_) => continue,
                        _ => {}
                    }
                    assert!(trigger.repeat || *times == 1, "{trigger:?} fired {times} times");
                }
            }
            _ => {}
        });
    }

    /// Leaving out the mail that may not fire changes nothing of what fires, counts or is tagged.
    #[test]
    fn what_counts_apart_never_influences(ops in ops(), sets in [rules(), rules()]) {
        let (with, kept_with) = play(&ops, &sets, true, |_, _, _, _, _| {});
        let (without, kept_without) = play(&ops, &sets, false, |_, _, _, _, _| {});
        prop_assert_eq!(with, without);
        for (n, person) in &kept_without.persons {
            let other = &kept_with.persons[n];
            prop_assert_eq!(&person.counted.totals, &other.counted.totals);
            prop_assert_eq!(&person.tags, &other.tags);
            prop_assert_eq!(person.fired.len(), other.fired.len());
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever a store hands in, even what no ledger ever wrote: changes come out, and within bounds.
    #[test]
    fn nothing_known_makes_it_panic(known in known(), set in rules(), op in ops(), at in moment()) {
        for op in op {
            let Op::Mail { person, status, campaign, standing } = op else { continue };
            let changes = set.judge(&known, &Input::Mail(mail(person, status, campaign, standing)), u64::MAX, at);
            if let Some(person) = changes.person {
                prop_assert!(person.counted.recent.len() <= RECENT.max(known.person.as_ref().map_or(0, |person| person.counted.recent.len())));
                prop_assert!(standing != Standing::Full || person.counted.recent.len() <= RECENT);
                prop_assert!(person.tags.len() <= TAGS.max(known.person.as_ref().map_or(0, |person| person.tags.len())));
            }
        }
    }
}

/// A reset of some statuses only leaves the others' counts, which the plain sum of that check doesn't follow.
fn ops_have_partial_reset(ops: &[Op]) -> bool {
    ops.iter().any(|op| matches!(op, Op::Reset { statuses: Some(_), .. }))
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(Timestamp::MIN),
        Just(Timestamp::MAX),
        (-377_705_023_201_i64..=253_402_207_200).prop_map(|second| Timestamp::from_second(second).unwrap()),
        (1_700_000_000_i64..1_900_000_000).prop_map(|second| Timestamp::from_second(second).unwrap()),
    ]
}

fn counts() -> impl Strategy<Value = BTreeMap<Status, u64>> {
    proptest::collection::btree_map(select(&STATUSES[..]), prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), any::<u64>(), 0..5_u64], 0..4)
}

fn marks() -> impl Strategy<Value = Vec<Fired>> {
    let mark = (any::<u64>(), moment(), any::<u64>()).prop_map(|(key, at, count)| Fired {
        key,
        trigger: "t0".into(),
        at,
        count,
        when: STATUSES.to_vec(),
    });
    vec(mark, 0..6)
}

fn known() -> impl Strategy<Value = Known> {
    let recent = (moment(), select(&STATUSES[..]), option::of("c[0-9]"), any::<u64>(), any::<bool>())
        .prop_map(|(at, status, campaign, event, cleared)| Recent { at, status, campaign, event, cleared });
    let tally = (counts(), vec(recent, 0..400), option::of(moment()))
        .prop_map(|(totals, recent, last_bounce)| Tally { totals, recent: recent.into(), last_bounce })
        .boxed();
    let person =
        (option::of(".{0,9}"), option::of(moment()), tally.clone(), tally, marks()).prop_map(|(address, seen, counted, apart, fired)| {
            Person {
                address,
                first_seen: seen,
                last_seen: seen,
                counted,
                apart,
                tags: (0..300).map(|n: u16| n.to_string()).collect(),
                fields: BTreeMap::new(),
                suppressed: true,
                fired,
            }
        });
    let buckets =
        || proptest::collection::btree_map(prop_oneof![Just(0), Just(u32::MAX), any::<u32>(), 19_000..22_000_u32], counts(), 0..5);
    let scope =
        (counts(), buckets(), buckets(), marks()).prop_map(|(totals, hours, days, fired)| Scope { totals, hours, days, fired }).boxed();
    (option::of(person), scope.clone(), scope.clone(), scope).prop_map(|(person, domain, campaign, all)| Known {
        person,
        domain,
        campaign,
        all,
    })
}
