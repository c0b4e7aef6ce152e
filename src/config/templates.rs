//! `[templates]`: the texts of mails, and whether a source can be rendered at all.

use std::collections::BTreeMap;

use minijinja::Environment;

use super::{
    files::Files,
    reader::{At, Table},
};
use crate::action::MailTemplate;

/// Where a source goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Header,
    Address,
    Text,
    Html,
    Value,
    Url,
    HttpHeader,
}

/// Every template, by name; one that has errors too, so that those who name it are not told that it's missing.
pub fn read(table: Option<Table<'_>>, files: &Files) -> BTreeMap<String, MailTemplate> {
    let Some(table) = table else { return BTreeMap::new() };
    let one = |(name, at): (&str, At<'_>)| {
        let template = at.table().map(|entry| template(name, entry, files));
        (name.to_owned(), template.unwrap_or_else(|| empty(name)))
    };
    table.all().into_iter().map(one).collect()
}

fn empty(name: &str) -> MailTemplate {
    MailTemplate { name: name.to_owned(), subject: String::new(), body: String::new(), html: None }
}

fn template(name: &str, entry: Table<'_>, files: &Files) -> MailTemplate {
    let subject = entry.need("subject", "\"{{ address }} bounced\"").and_then(|at| {
        let text = source(&at, Use::Header)?;
        if text.contains(['\r', '\n']) { at.fail("must be one line") } else { Some(text) }
    });
    let body = part(&entry, ("body", "body_file"), Use::Text, files);
    if entry.get("body").is_none() && entry.get("body_file").is_none() {
        entry.fail("body", "is missing; write the text here, or name a file in body_file");
    }
    let html = part(&entry, ("html", "html_file"), Use::Html, files);
    entry.close();
    MailTemplate { subject: subject.unwrap_or_default(), body: body.unwrap_or_default(), html, ..empty(name) }
}

/// A source written here, or in a file: not both.
fn part(entry: &Table<'_>, (here, file): (&'static str, &'static str), used: Use, files: &Files) -> Option<String> {
    match (entry.get(here), entry.get(file)) {
        (Some(_), Some(at)) => at.fail(format_args!("stands beside {here}; take one of them out")),
        (Some(at), None) => source(&at, used),
        (None, Some(at)) => {
            let text = files.text(&at)?;
            at.ok(check(used, &text))?;
            Some(text)
        }
        (None, None) => None,
    }
}

/// A text that is minijinja source.
pub fn source(at: &At<'_>, used: Use) -> Option<String> {
    let text = at.text()?;
    at.ok(check(used, text))?;
    Some(text.to_owned())
}

/// Whether a source can be rendered for where it goes.
pub fn check(used: Use, source: &str) -> Result<(), String> {
    if used == Use::Url {
        url(source)?;
    }
    let environment = Environment::new();
    let checked = environment.template_from_str(source).map(|_| ());
    checked.map_err(|error| format!("the template doesn't read: {}", error.detail().map_or_else(|| error.to_string(), str::to_owned)))
}

/// http or https, and a host that no mail can change.
fn url(source: &str) -> Result<(), String> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| source.strip_prefix(scheme));
    let rest = rest.ok_or_else(|| format!("'{source}' is no URL; it must begin with https:// or http://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') || host.contains(['{', '}', '@', ' ', '\\']) || source.chars().any(char::is_control) {
        return Err(format!("'{host}' can't be the host of a URL; write it plainly, without user name, password and template"));
    }
    Ok(())
}
