//! `[[sequence]]` and its steps.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Span, SpanFieldwise, ToSpan};

use super::{
    days, names,
    reader::{At, Table},
    step::{self, Means},
    units,
};
use crate::ledger::{Sequence, SequenceStep, Step};

/// A person's place is counted in so many.
const STEPS_MAX: usize = 1000;

/// Names of all entries of a list, those with errors too, so that who refers to them is not told that they are missing.
pub fn names(items: &[At<'_>]) -> Vec<String> {
    items.iter().filter_map(|at| Some(at.table()?.get("name")?.text()?.to_owned())).collect()
}

/// All sequences, by name.
pub fn read(items: &[At<'_>], means: &Means<'_>) -> BTreeMap<String, Sequence> {
    let mut taken = Vec::new();
    let mut sequences = BTreeMap::new();
    for table in items.iter().filter_map(At::table) {
        let why = ("sequence", "\"remove-hard-bounces\"", "members keep their place by it");
        let name = names::own(&table, why, &taken).unwrap_or_default();
        taken.push(name.to_owned());
        sequences.insert(name.to_owned(), sequence(name, table, means));
    }
    for table in items.iter().filter_map(At::table) {
        let name = table.get("name").and_then(|at| at.text()).unwrap_or_default();
        if let Some(by) = returns(name, &sequences) {
            table.fail("name", format_args!("starts '{by}', which leads back to it: its members would go round for ever"));
        }
    }
    sequences
}

fn sequence(name: &str, table: Table<'_>, means: &Means<'_>) -> Sequence {
    let items = table.need("step", "[{ … }], or as sections [[sequence.step]]").and_then(|at| {
        let items = at.items()?;
        match items.len() {
            0 => at.fail("is empty; a sequence has at least one step"),
            1..=STEPS_MAX => Some(items),
            _ => at.fail(format_args!("has more than {STEPS_MAX} steps")),
        }
    });
    table.close();
    let mut taken = Vec::new();
    let mut before = 0.days();
    let mut steps = Vec::new();
    for table in items.unwrap_or_default().iter().filter_map(At::table) {
        let why = ("step", "\"weekly\"", "members keep their place by it");
        let own = names::own(&table, why, &taken).unwrap_or_default().to_owned();
        taken.push(own.clone());
        let step = one(own, table, name, &before, means);
        before = step.after.0;
        steps.push(step);
    }
    Sequence { name: name.to_owned(), steps }
}

fn one(name: String, table: Table<'_>, sequence: &str, before: &Span, means: &Means<'_>) -> SequenceStep {
    let after = table.get("after").map_or(Some(0.days()), |at| at.parsed(units::after));
    // What couldn't be read says nothing about its order.
    let after = after.unwrap_or(*before);
    if units::compare(&after, before).is_some_and(std::cmp::Ordering::is_lt) {
        table.fail("after", "is shorter than that of the step before; it counts from the start of the sequence, not from that step");
    }
    let step = SequenceStep {
        name,
        after: SpanFieldwise(after),
        days: days::read(&table),
        at: table.get("at").and_then(|at| at.parsed(units::time)),
        steps: table.need("do", "[{ report = \"clean-up\" }]").map(|at| step::read(&at, means, Some(sequence))).unwrap_or_default(),
    };
    table.close();
    step
}

/// By which other one a sequence leads back to itself; that it starts itself is told where it does.
fn returns<'s>(name: &str, sequences: &'s BTreeMap<String, Sequence>) -> Option<&'s str> {
    let others = sequences.get(name).into_iter().flat_map(started).filter(|other| *other != name);
    others.into_iter().find(|other| reaches(other, name, sequences))
}

fn reaches(from: &str, to: &str, sequences: &BTreeMap<String, Sequence>) -> bool {
    let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(next) = ahead.pop() {
        if next == to {
            return true;
        }
        if seen.insert(next) {
            ahead.extend(sequences.get(next).into_iter().flat_map(started));
        }
    }
    false
}

fn started(sequence: &Sequence) -> impl Iterator<Item = &str> {
    sequence.steps.iter().flat_map(|step| &step.steps).filter_map(|step| match step {
        Step::Start(name) => Some(name.as_str()),
        _ => None,
    })
}
