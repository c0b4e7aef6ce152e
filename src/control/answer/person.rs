//! One person: what is known of them, and what is done to them by hand.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{AnswerError, Source, beside::task_row, refused};
use crate::{
    action::rfc3339,
    address,
    control::HandRequest,
    ledger::{Counts, Field, Hand, HandInput, Input, Person, is_tag},
    taxonomy::Status,
    verp::PersonKey,
};

/// The longest text of a field, octets.
const TEXT: usize = 10_000;

/// The person whom an address names: by its own key, else by a sender's own id under which it was learned.
pub(super) fn person_key(source: &Source, text: &str) -> Result<(String, PersonKey), AnswerError> {
    let normal = address::normal(text).ok_or_else(|| refused(format!("'{text}' is no mail address; write it as alice@example.org")))?;
    let own = (source.key)(&normal);
    if source.store.person(own)?.is_some() {
        return Ok((normal, own));
    }
    let other = source.store.persons_at(&normal)?.first().copied();
    Ok((normal, other.unwrap_or(own)))
}

pub(super) fn show(source: &Source, text: &str) -> Result<Value, AnswerError> {
    let (address, key) = person_key(source, text)?;
    row(source, &address, key)
}

/// The person as they are now, with their open tasks.
fn row(source: &Source, address: &str, key: PersonKey) -> Result<Value, AnswerError> {
    let mut row = person_row(address, &source.store.person(key)?.unwrap_or_default());
    let (tasks, now) = (source.store.tasks(false)?, Timestamp::now());
    let own = tasks.iter().filter(|task| task.facts.event.person == Some(key));
    row["tasks"] = own.map(|task| task_row(task, now)).collect();
    if let Some(domain) = crate::address::domain(address)
        && source.store.guarded()?.iter().any(|(name, state)| name == domain && state.ending.is_none())
    {
        row["guarded"] = Value::from(domain);
    }
    Ok(row)
}

pub(super) fn person_row(address: &str, person: &Person) -> Value {
    let counts = |totals: &Counts| -> Map<String, Value> {
        totals.iter().filter(|(_, count)| **count > 0).map(|(status, count)| (status.id().to_owned(), json!(count))).collect()
    };
    let fired: Vec<Value> = person.fired.iter().map(|fired| json!({ "trigger": fired.trigger, "at": rfc3339(fired.at) })).collect();
    let fields: Map<String, Value> = person.fields.iter().map(|(name, field)| (name.clone(), field.json())).collect();
    let sequences: Vec<Value> = person
        .sequences
        .iter()
        .map(|(name, place)| json!({ "name": name, "step": place.taken.saturating_add(1), "due": rfc3339(place.due) }))
        .collect();
    let mut row = json!({
        "address": address,
        "counts": counts(&person.counted.totals),
        "first_seen": person.first_seen.map(rfc3339),
        "last_seen": person.last_seen.map(rfc3339),
        "tags": person.tags,
        "fields": fields,
        "suppressed": person.suppressed,
        "sequences": sequences,
        "tasks": [],
        "fired": fired,
    });
    let apart = counts(&person.apart.totals);
    if let (Value::Object(row), false) = (&mut row, apart.is_empty()) {
        row.insert("unsigned_counts".to_owned(), Value::Object(apart));
    }
    row
}

/// Does it, and gives the person as they are then.
pub(super) fn by_hand(source: &Source, text: &str, request: &HandRequest) -> Result<Value, AnswerError> {
    let (address, key) = person_key(source, text)?;
    for act in acts(request, &address)? {
        record(source, Some(key), act)?;
    }
    row(source, &address, key)
}

/// One change by hand into the ledger.
pub(super) fn record(source: &Source, person: Option<PersonKey>, act: Hand) -> Result<(), AnswerError> {
    let input = Input::Hand(HandInput { person, act });
    source.runtime.block_on(source.store.record(vec![input], bytes::Bytes::new()))?;
    Ok(())
}

fn acts(request: &HandRequest, address: &str) -> Result<Vec<Hand>, AnswerError> {
    let address = Some(address.to_owned());
    Ok(match request {
        HandRequest::Set { fields } => {
            let mut acts = Vec::new();
            let mut plain = BTreeMap::new();
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("suppressed", Value::Bool(suppressed)) => {
                        acts.push(Hand::Suppress { address: address.clone(), suppressed: *suppressed });
                    }
                    ("suppressed", _) => return Err(refused("suppressed is true or false; write suppressed=true")),
                    (name, value) => drop(plain.insert(word(name, "field")?, field(value)?)),
                }
            }
            if !plain.is_empty() {
                acts.push(Hand::Set { address, fields: plain });
            }
            acts
        }
        HandRequest::Tag { tag } => vec![Hand::Tag { address, tag: word(tag, "tag")? }],
        HandRequest::Untag { tag } => vec![Hand::Untag(tag.clone())],
        HandRequest::Reset { status: None } => vec![Hand::Reset(None)],
        HandRequest::Reset { status: Some(text) } => vec![Hand::Reset(Some(statuses(text)?))],
    })
}

/// Fields are named as tags are.
fn word(text: &str, what: &str) -> Result<String, AnswerError> {
    if is_tag(text) { Ok(text.to_owned()) } else { Err(refused(format!("'{text}' is no {what}; write one word"))) }
}

fn field(value: &Value) -> Result<Field, AnswerError> {
    match value {
        Value::Bool(value) => Ok(Field::Bool(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Ok(Field::Integer(number)),
            (None, Some(number)) => Ok(Field::Float(number)),
            (None, None) => Err(refused(format!("{number} is a number that can't be kept"))),
        },
        Value::String(text) if text.len() <= TEXT => Ok(Field::Text(text.clone())),
        _ => Err(refused("a field is a text, a number or true or false")),
    }
}

fn statuses(text: &str) -> Result<Vec<Status>, AnswerError> {
    match text.strip_suffix('*') {
        Some(prefix) => {
            let some: Vec<Status> = Status::ALL.into_iter().filter(|status| status.id().starts_with(prefix)).collect();
            if some.is_empty() { Err(refused(format!("no status begins with '{prefix}'"))) } else { Ok(some) }
        }
        None => Ok(vec![text.parse().map_err(refused)?]),
    }
}
