//! The `do` of a trigger: tag, untag, mail, post.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{
    Smtp,
    files::Files,
    names,
    reader::{At, Table, nearest},
    smtp::inside,
    templates::source,
};
use crate::{
    action::{
        MailTask, MailTemplate, PostBody, PostTask, Task,
        render::{Kind, check_source},
    },
    ledger::Step,
};

const LATER: [&str; 10] = ["set", "blank", "suppress", "task", "report", "start", "stop", "resend", "reset", "digest"];
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

/// What actions need of the other sections.
pub struct Means<'a> {
    pub files: &'a Files,
    pub templates: &'a BTreeMap<String, MailTemplate>,
    pub smtp: Option<&'a Smtp>,
    pub has_mail: bool,
}

pub fn read(at: &At<'_>, means: &Means<'_>) -> Vec<Step> {
    let items = at.items().unwrap_or_default();
    if items.is_empty() && at.is_list() {
        at.fail::<()>("does nothing; write an action, as in [{ tag = \"third-strike\" }]");
    }
    if items.len() > usize::from(u16::MAX) {
        at.fail::<()>("has too many actions");
    }
    items.iter().filter_map(|item| step(item, means)).collect()
}

fn step(item: &At<'_>, means: &Means<'_>) -> Option<Step> {
    let table = item.table()?;
    if table.all().len() != 1 {
        item.fail::<()>("an action stands alone in its braces, so that their order is told: { … }, { … }");
    }
    table.later(&LATER);
    let step = [
        table.get("tag").and_then(|at| at.parsed(tag)).map(Step::Tag),
        table.get("untag").and_then(|at| at.parsed(tag)).map(Step::Untag),
        table.table("mail").and_then(|entry| mail(entry, means)).map(|mail| Step::Job(Task::Mail(mail))),
        table.table("post").and_then(|entry| post(entry, means)).map(|post| Step::Job(Task::Post(post))),
    ];
    table.close();
    step.into_iter().flatten().next()
}

fn tag(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 100 && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',');
    if fits { Ok(text.to_owned()) } else { Err(format!("'{text}' is no tag; write one word, as in \"third-strike\"")) }
}

fn mail(entry: Table<'_>, means: &Means<'_>) -> Option<MailTask> {
    let to = entry.need("to", "\"ops@example.com\"").and_then(|at| mail_to(&at, means));
    let template = entry.need("template", "\"hard-bounce\"").and_then(|at| {
        let name = at.text()?;
        let hint = || match nearest(name, means.templates.keys().map(String::as_str)) {
            Some(known) => format!("there is no template '{name}'; did you mean '{known}'?"),
            None => format!("there is no template '{name}'; write it under [templates]"),
        };
        at.ok(means.templates.get(name).cloned().ok_or_else(hint))
    });
    entry.later(&["digest", "at_most"]);
    if !means.has_mail {
        entry.fail("to", "mail needs a way out; write a [mail] section with relay and from");
    }
    entry.close();
    Some(MailTask { to: to?, template: template?, digest: None, at_most: None })
}

fn mail_to(at: &At<'_>, means: &Means<'_>) -> Option<String> {
    let text = source(at, Kind::Address)?;
    if !names::is_template(&text) {
        let address = at.ok(names::mailbox(&text))?;
        let domains = means.smtp.map(|smtp| smtp.domains.as_slice()).unwrap_or_default();
        if inside(at, &address, domains).is_some() {
            return None;
        }
    }
    Some(text)
}

fn post(entry: Table<'_>, means: &Means<'_>) -> Option<PostTask> {
    let url = entry.need("url", "\"https://app.example.com/bounces\"").and_then(|at| source(&at, Kind::Url));
    let body = match (entry.get("form"), entry.get("json")) {
        (Some(_), Some(at)) => at.fail("stands beside form; take one of them out"),
        (Some(at), None) => Some(PostBody::Form(form(&at))),
        (None, Some(at)) => json(&at).map(|json| PostBody::Json(json.to_string())),
        (None, None) => Some(PostBody::Event),
    };
    let headers = entry.table("headers").map(|headers| headers.all().into_iter().filter_map(|(name, at)| header(name, &at)).collect());
    let secret_file = entry.get("secret_file").map(|at| {
        means.files.secrets(&at, 1)?;
        means.files.path(&at)
    });
    entry.later(&["batch", "concurrency", "rate"]);
    entry.close();
    Some(PostTask {
        url: url?,
        body: body?,
        headers: headers.unwrap_or_default(),
        secret_file: secret_file.unwrap_or_default(),
        batch: None,
    })
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

fn header(name: &str, at: &At<'_>) -> Option<(String, String)> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return at.fail(format_args!("'{name}' is no header name"));
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return at.fail(format_args!("{name} is set by bounced itself; take it out"));
    }
    let value = source(at, Kind::HttpHeader)?;
    if value.chars().any(char::is_control) {
        return at.fail("a header is one line without control characters");
    }
    Some((name.to_owned(), value))
}
