//! The ledger against a plain model: the whole history kept as a list, every figure worked out anew from it for every event.
//!
//! Random histories of mails (statuses, campaigns, people, standings, time going on), resets by hand and changes of the rules.

#![allow(clippy::unwrap_used)]

#[path = "ledger_model/given.rs"]
mod given;
#[path = "ledger_model/model.rs"]
mod model;

use std::collections::BTreeMap;

use bounced::{
    ledger::{Changes, Comparator, Input, Known, MailInput, Per, Person, RECENT, Rules, Scope, Standing, TAGS, day_of, hour_of},
    taxonomy::Status,
};
use jiff::Timestamp;
use proptest::prelude::*;

use given::{Op, known, mail, moment, ops, rules};
use model::Model;

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
            ..Known::default()
        };
        self.next += 1;
        let status = mail.verdict.status;
        let changes = rules.judge(&mut known.clone(), &Input::Mail(mail), self.next, at);
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
                names = changes.event.mail().expect("a mail's event").fired.clone();
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
            let changes = set.judge(&mut known.clone(), &Input::Mail(mail(person, status, campaign, standing)), u64::MAX, at);
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
