//! The actions that tell people: `mail` and `task`.

use std::time::Duration;

use super::{
    names,
    reader::{At, Table},
    smtp::inside,
    step::Means,
    templates::source,
    units,
};
use crate::action::{
    MailTask, Todo,
    render::{self, Kind, check_source},
};

const DIGEST_MAX: Duration = Duration::from_secs(7 * 86_400);

const NEEDS_MAIL: &str = "needs a way out; write a [mail] section with relay and from";

pub fn mail(entry: Table<'_>, means: &Means<'_>) -> Option<MailTask> {
    let to = entry.need("to", "\"ops@example.com\"").and_then(|at| recipients(&at, means));
    let template = entry
        .need("template", "\"hard-bounce\"")
        .and_then(|at| names::known(&at, means.templates.keys(), "template", "[templates]"))
        .and_then(|name| means.templates.get(name).cloned());
    let digest = entry.get("digest").and_then(|at| at.parsed(digest));
    let at_most = entry.get("at_most").and_then(|at| at.parsed(units::rate));
    for key in [digest.map(|_| "digest"), at_most.map(|_| "at_most")].into_iter().flatten() {
        if to.as_deref().is_some_and(names::is_template) {
            entry.fail(key, "goes with fixed addresses only: it makes one mail of many; take the template out of to");
        }
    }
    if digest.is_some() && at_most.is_some() {
        entry.fail("at_most", "stands beside digest, which sends one mail in so long anyway; take one of them out");
    }
    if !means.has_mail {
        entry.fail("to", format_args!("mail {NEEDS_MAIL}"));
    }
    entry.close();
    Some(MailTask { to: to?, template: template?, digest, at_most })
}

/// One or several, written as a list; apart by commas where they are used.
fn recipients(at: &At<'_>, means: &Means<'_>) -> Option<String> {
    let items = at.one_or_many();
    if items.is_empty() {
        return at.fail("is empty; name an address");
    }
    let found: Vec<String> = items.iter().filter_map(|item| recipient(item, means)).collect();
    (found.len() == items.len()).then(|| found.join(", "))
}

fn recipient(at: &At<'_>, means: &Means<'_>) -> Option<String> {
    let text = source(at, Kind::Address)?;
    if !names::is_template(&text) {
        return mailbox(at, means);
    }
    // A bounce that could choose to whom we write would make us write to strangers.
    let person = ["address", "local", "domain"];
    let vouched = |name: &str| ["fields", "campaign"].contains(&name) || (!means.by_id && person.contains(&name));
    match render::names(&text).into_iter().find(|name| !vouched(name)) {
        Some(name) if person.contains(&name.as_str()) => at.fail(format_args!(
            "'{name}' is what the bounce says where verp.pattern names people by {{id}}, and it may not choose to whom we write; name a fixed address"
        )),
        Some(name) => at.fail(format_args!(
            "'{name}' is what the bounce says, and it may not choose to whom we write; write address, or name a fixed address"
        )),
        None => Some(text),
    }
}

/// A mailbox that is none of ours.
pub fn mailbox(at: &At<'_>, means: &Means<'_>) -> Option<String> {
    let text = at.text()?.trim();
    let address = at.ok(names::mailbox(text))?;
    let domains = means.smtp.map(|smtp| smtp.domains.as_slice()).unwrap_or_default();
    inside(at, &address, domains).map_or(Some(text.to_owned()), |()| None)
}

fn digest(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        long if long > DIGEST_MAX => Err(format!("'{text}' is longer than a week; write less")),
        length => Ok(length),
    }
}

pub fn task(entry: Table<'_>, means: &Means<'_>) -> Option<Todo> {
    let title = entry.need("title", "\"Call {{ address }}\"").and_then(|at| title(&at));
    let mail = entry.boolean("mail", false);
    let assignee = entry.get("assignee");
    if mail && assignee.is_none() {
        entry.fail("mail", "goes to the assignee; name one, as in assignee = \"ops@example.com\"");
    }
    if mail && !means.has_mail {
        entry.fail("mail", NEEDS_MAIL);
    }
    let assignee = assignee.map(|at| if mail { fixed(&at, means) } else { at.parsed(names::name) });
    let due = entry.get("due").map(|at| at.parsed(units::duration));
    entry.close();
    Some(Todo { title: title?, assignee: assignee.unwrap_or_default(), due: due.unwrap_or_default(), mail })
}

/// It stands in a mail's subject, and in its text.
fn title(at: &At<'_>) -> Option<String> {
    let text = source(at, Kind::Header)?;
    at.ok(check_source(Kind::Text, &text))?;
    at.ok(names::line(&text))
}

fn fixed(at: &At<'_>, means: &Means<'_>) -> Option<String> {
    if names::is_template(at.text()?) {
        return at.fail("is a template, and tasks are mailed to fixed addresses only");
    }
    mailbox(at, means)
}
