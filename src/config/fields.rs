//! The actions `set` and `blank`: a person's fields.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{names, reader::At};
use crate::ledger::Field;

/// The longest text of a field, bytes.
const TEXT_MAX: usize = 1000;

/// `set = { field = value }`
pub fn set(at: &At<'_>) -> Option<BTreeMap<String, Field>> {
    let all = at.table()?.all();
    if all.is_empty() {
        return at.fail("sets nothing; write a field and its value, as in { optout = true }");
    }
    let one = |(written, at): (&str, At<'_>)| {
        let field = value(&at);
        Some((at.ok(name(written))?, field?))
    };
    Some(all.into_iter().filter_map(one).collect())
}

/// `blank = ["field"]`
pub fn blank(at: &At<'_>) -> Option<Vec<String>> {
    let items = at.one_or_many();
    if items.is_empty() {
        return at.fail("is empty; name a field, as in [\"email\"]");
    }
    Some(items.iter().filter_map(|item| item.parsed(name)).collect())
}

/// A name that `bounced set ADDRESS FIELD=VALUE` can say, too.
fn name(text: &str) -> Result<String, String> {
    let fits = (1..=100).contains(&text.len()) && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=');
    if fits { Ok(text.to_owned()) } else { Err(format!("'{text}' is no field; write one word, as in \"optout\"")) }
}

fn value(at: &At<'_>) -> Option<Field> {
    match at.value() {
        DeValue::String(text) if names::is_template(text) => at.fail("is set as it is written, so a template is of no use here"),
        DeValue::String(text) if text.len() > TEXT_MAX => at.fail(format_args!("has more than {TEXT_MAX} bytes; write less")),
        DeValue::String(text) => Some(Field::Text(text.to_string())),
        DeValue::Boolean(value) => Some(Field::Bool(*value)),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            at.ok(read.map(Field::Integer).map_err(|_| "is too large a number; write it as a text"))
        }
        DeValue::Float(number) => {
            let read = number.as_str().parse().ok().filter(|number: &f64| number.is_finite());
            at.ok(read.map(Field::Float).ok_or("is no number that can be kept; write it as a text"))
        }
        _ => at.fail("must be a text, a number, true or false"),
    }
}
