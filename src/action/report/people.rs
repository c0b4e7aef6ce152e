//! `people` in a report's templates: a list that counts all and gives the first [`SHOWN`] of them, so that no template runs out of bounds.

use std::sync::Arc;

use minijinja::{
    Value,
    value::{Enumerator, Object, ObjectRepr},
};

use super::{
    SHOWN,
    columns::{FIELDS, cell},
};
use crate::{action::clean, ledger::Entry};

/// So many characters of a fact reach a template; the attachment has all of it.
const FACT_CHARS: usize = 500;

#[derive(Debug)]
pub struct People(pub Arc<Vec<Entry>>);

#[derive(Debug)]
struct Person {
    people: Arc<Vec<Entry>>,
    at: usize,
}

impl Object for People {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = key.as_usize().filter(|at| *at < self.0.len().min(SHOWN))?;
        Some(Value::from_object(Person { people: self.0.clone(), at }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len().min(SHOWN))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

impl Object for Person {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let (entry, field) = (self.people.get(self.at)?, key.as_str()?);
        match field {
            "count" => Some(Value::from(entry.facts.count)),
            "tags" => Some(Value::from_iter(entry.facts.tags.iter().map(|tag| clean::cut(tag, FACT_CHARS)))),
            _ if FIELDS.contains(&field) => Some(Value::from(clean::cut(&cell(entry, field), FACT_CHARS))),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&FIELDS)
    }
}
