//! Several posts as one: a JSON array of what each would have had as its body. Pure.
//!
//! The array is one webhook message: one id (the first's), one signature, and the same array at each attempt. Its elements are told apart by
//! what they hold: an event's row by `id`, a body of the operator's by `{{ job }}` where it is named there.

use std::collections::BTreeMap;

use super::{
    Context, PostBody, event_row,
    render::{self, Error, Kind},
};
use crate::{ledger::Facts, outbox::Job};

/// The longest array, octets.
const MAX_ARRAY: usize = 32 * 1024 * 1024;

/// The array for a job with others; of one without, an array of one.
pub fn body(body: &PostBody, job: &Job) -> Result<String, Error> {
    let others = job.others.iter().map(|part| (part.id, &part.facts));
    let mut array = String::from("[");
    for (id, facts) in std::iter::once((job.id, &job.facts)).chain(others) {
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str(&element(body, facts, &id.to_string())?);
        if array.len() > MAX_ARRAY {
            return Err(Error("the batch is too long; make batch.max smaller".to_owned()));
        }
    }
    array.push(']');
    Ok(array)
}

fn element(body: &PostBody, facts: &Facts, id: &str) -> Result<String, Error> {
    match body {
        PostBody::Event => Ok(event_row(&facts.event).to_string()),
        PostBody::Json(source) => render::render_json(source, &Context::new(facts, id)),
        // Forms know no lists: in one, each is an object of its fields.
        PostBody::Form(fields) => {
            let context = Context::new(facts, id);
            let value = |source: &String| render::render(Kind::Value, source, &context);
            let object: BTreeMap<&String, String> =
                fields.iter().map(|(name, source)| Ok((name, value(source)?))).collect::<Result<_, Error>>()?;
            serde_json::to_string(&object).map_err(|error| Error(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::{
        action::{Task, context::sample_job, sample_facts},
        outbox::{JobId, Part},
    };

    fn job(addresses: &[&str]) -> Job {
        let mut parts = addresses.iter().zip(0..).map(|(address, place)| {
            let mut facts = sample_facts();
            facts.event.verdict.address = Some(address.to_string());
            facts.event.id = 7 + u64::from(place);
            Part { id: JobId { epoch: 42, event: 7, trigger: 1, place }, facts }
        });
        let first = parts.next().unwrap();
        sample_job(first.id, Task::Forward { to: String::new() }, first.facts, parts.collect())
    }

    fn array(kind: &PostBody, addresses: &[&str]) -> serde_json::Value {
        serde_json::from_str(&body(kind, &job(addresses)).unwrap()).unwrap()
    }

    #[test]
    fn each_body_is_an_element() {
        let addresses = ["a@example.org", "\"],{\"x\":\"@example.org"];
        let rows = array(&PostBody::Event, &addresses);
        assert_eq!((&rows[0]["id"], &rows[1]["id"], &rows[1]["address"]), (&7.into(), &8.into(), &addresses[1].into()));
        let json = PostBody::Json(r#"{"who": "{{ address }}", "job": "{{ job }}"}"#.to_owned());
        let expected = serde_json::json!([
            {"who": addresses[0], "job": "0000002a-7-00000001-0"}, {"who": addresses[1], "job": "0000002a-7-00000001-1"}
        ]);
        assert_eq!(array(&json, &addresses), expected);
        let form = PostBody::Form([("email".to_owned(), "{{ address }}".to_owned())].into());
        assert_eq!(array(&form, &addresses), serde_json::json!([{"email": addresses[0]}, {"email": addresses[1]}]));
        assert_eq!(array(&form, &addresses[..1]).as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn no_array_is_endless() {
        let json = PostBody::Json(format!("\"{}\"", "x".repeat(render::MAX_OUTPUT)));
        assert!(body(&json, &job(&["a@example.org"; 200])).unwrap_err().0.contains("batch.max"));
    }
}
