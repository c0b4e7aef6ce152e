//! The action `post`.

use std::{collections::BTreeMap, time::Duration};

use toml::de::DeValue;

use super::{
    names,
    reader::{At, Table},
    step::Means,
    templates::source,
    units,
};
use crate::action::{
    Batch, PostBody, PostHeader, PostTask,
    render::{Kind, check_source},
};

/// Set by us, or by what carries the post.
const OWN_HEADERS: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// Of one target; there are no more places in all.
const MOST_AT_ONCE: u64 = 32;

pub fn read(entry: Table<'_>, means: &Means<'_>) -> Option<PostTask> {
    let url = entry.need("url", "\"https://app.example.com/bounces\"").and_then(|at| source(&at, Kind::Url));
    let body = match (entry.get("form"), entry.get("json")) {
        (Some(_), Some(at)) => at.fail("stands beside form; take one of them out"),
        (Some(at), None) => Some(PostBody::Form(form(&at))),
        (None, Some(at)) => json(&at).map(|json| PostBody::Json(json.to_string())),
        (None, None) => Some(PostBody::Event),
    };
    let headers =
        entry.table("headers").map(|headers| headers.all().into_iter().filter_map(|(name, at)| header(name, &at, means)).collect());
    let secret_file = entry.get("secret_file").map(|at| {
        means.files.secrets(&at, 1)?;
        means.files.path(&at)
    });
    let batch = entry.table("batch").map(batch);
    let concurrency = entry.get("concurrency").and_then(|at| at.integer(1..=MOST_AT_ONCE)).and_then(|most| u16::try_from(most).ok());
    let rate = entry.get("rate").and_then(|at| at.parsed(units::rate));
    let task = url.zip(body).map(|(url, body)| PostTask {
        url,
        body,
        headers: headers.unwrap_or_default(),
        secret_file: secret_file.unwrap_or_default(),
        batch,
        concurrency,
        rate,
    });
    if let Some(task) = task.as_ref().filter(|task| task.batch.is_some()) {
        fits_batch(&entry, task);
    }
    entry.close();
    task
}

fn batch(table: Table<'_>) -> Batch {
    let max = u32::try_from(table.integer("max", 100, 1..=1000)).unwrap_or(100);
    let within = table.or("within", Duration::from_secs(10), |text| match units::duration(text)? {
        long if long > units::DAY => Err(format!("'{text}' is more than a day; write less")),
        within => Ok(within),
    });
    table.close();
    Batch { max, within }
}

/// What goes out as one has one URL and one set of headers, and can be taken apart again.
fn fits_batch(entry: &Table<'_>, task: &PostTask) {
    if matches!(task.body, PostBody::Form(_)) {
        entry.fail("batch", "goes with json or the event's row only: a form can't hold several; take one of them out");
    }
    if names::is_template(&task.url) {
        entry.fail("url", "with batch many go to one URL, so it can't depend on one of them; take the template out");
    }
    let depends = |header: &PostHeader| matches!(header, PostHeader::Text(source) if names::is_template(source));
    for name in task.headers.iter().filter(|(_, header)| depends(header)).map(|(name, _)| name) {
        entry.fail("headers", format_args!("with batch {name} can't depend on one of many; take the template out"));
    }
}

/// Values are texts; numbers and booleans are taken as written.
fn form(at: &At<'_>) -> BTreeMap<String, String> {
    let fields = at.table().map(|table| table.all()).unwrap_or_default();
    let value = |at: &At<'_>| match at.value() {
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => source(at, Kind::Value),
    };
    fields.iter().filter_map(|(name, at)| Some(((*name).to_owned(), value(at)?))).collect()
}

fn json(at: &At<'_>) -> Option<serde_json::Value> {
    use serde_json::Value;
    Some(match at.value() {
        DeValue::String(text) => {
            at.ok(check_source(Kind::Value, text))?;
            Value::from(text.as_ref())
        }
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            Value::from(at.ok(number.map_err(|_| "is too large a number; write it as a text"))?)
        }
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            Value::Number(at.ok(number.ok_or("is no number that JSON knows; write it as a text"))?)
        }
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Array(_) => Value::Array(at.items()?.iter().map(json).collect::<Option<_>>()?),
        DeValue::Table(_) => {
            let fields = at.table()?.all().into_iter().map(|(name, at)| Some((name.to_owned(), json(&at)?)));
            Value::Object(fields.collect::<Option<_>>()?)
        }
    })
}

/// A text, or `{ secret_file, prefix }`.
fn header(name: &str, at: &At<'_>, means: &Means<'_>) -> Option<(String, PostHeader)> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return at.fail(format_args!("'{name}' is no header name"));
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return at.fail(format_args!("{name} is set by bounced itself; take it out"));
    }
    let value = match at.value() {
        DeValue::Table(_) => secret(at.table()?, means)?,
        _ => PostHeader::Text(source(at, Kind::HttpHeader)?),
    };
    let (PostHeader::Text(text) | PostHeader::Secret { prefix: text, .. }) = &value;
    if text.chars().any(char::is_control) {
        return at.fail("a header is one line without control characters");
    }
    Some((name.to_owned(), value))
}

/// The file is looked at now, and read again for each post.
fn secret(table: Table<'_>, means: &Means<'_>) -> Option<PostHeader> {
    let file = table.need("secret_file", "\"/etc/bounced/crm.token\"").and_then(|at| {
        means.files.secrets(&at, 1)?;
        means.files.path(&at)
    });
    let prefix = table.get("prefix").map_or(Some(String::new()), |at| at.text().map(str::to_owned));
    table.close();
    Some(PostHeader::Secret { prefix: prefix?, file: file? })
}
