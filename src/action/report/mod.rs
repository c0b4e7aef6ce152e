//! One mail with all the people that a report has collected. Pure.
//!
//! The tables in text and HTML show the first [`SHOWN`] people and say how many more there are; the attachment has all of them.

mod chart;
mod columns;
mod page;
mod people;
mod sheet;
mod table;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use minijinja::Value;

pub use chart::{Chart, DAYS};
pub use columns::{DEFAULT_FIELDS, FIELDS};
pub use page::{Finished, Picture, finish};
pub use sheet::Sheet;

use super::{Context, rfc3339, sample_facts};
use crate::{
    classify::Verdict,
    ledger::{Entry, Facts},
};

/// So many people stand in the mail itself, and are what `people` gives to a template one by one.
pub const SHOWN: usize = 1_000;

/// Every name that a report's subject, text and HTML may use. `people` counts all (`{{ people | length }}`) and gives the first
/// [`SHOWN`], each with the names in [`FIELDS`]; `beyond` is how many more there are; `at` is when the delivery was made.
pub const NAMES: [&str; 4] = ["at", "beyond", "people", "report"];

/// The subject of a report that has none of its own.
pub const DEFAULT_SUBJECT: &str = "{{ report }}: {{ people | length }} {% if people | length == 1 %}address{% else %}addresses{% endif %}";

/// The text over the table, likewise.
pub const DEFAULT_TEXT: &str = "{{ people | length }} {% if people | length == 1 %}address was{% else %}addresses were{% endif %} collected for the report \
\"{{ report }}\"{% if beyond %}; the first {{ people | length - beyond }} are listed here{% endif %}.\n";

fn context(report: &str, at: Timestamp, people: Arc<Vec<Entry>>) -> Context {
    let values: BTreeMap<&str, Value> = [
        ("at", Value::from(rfc3339(at))),
        ("beyond", Value::from(people.len().saturating_sub(SHOWN))),
        ("people", Value::from_object(people::People(people))),
        ("report", Value::from(report)),
    ]
    .into();
    Context { values: Value::from(values) }
}

/// Invented people, to try templates with.
pub fn sample() -> Context {
    let entry = Entry { facts: sample_facts(), first_seen: Some(Timestamp::UNIX_EPOCH), last_seen: Some(Timestamp::UNIX_EPOCH) };
    context("sample", Timestamp::UNIX_EPOCH, Arc::new(vec![entry; 3]))
}

/// One of whom nothing is known.
pub fn bare() -> Context {
    let mut facts = Facts::of_nothing(1, Timestamp::UNIX_EPOCH);
    facts.event.verdict = Verdict::undetermined("none");
    context("sample", Timestamp::UNIX_EPOCH, Arc::new(vec![Entry { facts, first_seen: None, last_seen: None }]))
}

#[cfg(test)]
mod tests;
