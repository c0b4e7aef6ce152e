//! `[templates]`: the texts of mails, and whether a source can be rendered at all.

use std::collections::BTreeMap;

use super::{
    files::Files,
    reader::{At, Table},
};
use crate::action::{
    MailTemplate,
    render::{Kind, check_source},
};

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
        let text = source(&at, Kind::Header)?;
        if text.contains(['\r', '\n']) { at.fail("must be one line") } else { Some(text) }
    });
    let body = part(&entry, ("body", "body_file"), Kind::Text, files, check_source);
    if entry.get("body").is_none() && entry.get("body_file").is_none() {
        entry.fail("body", "is missing; write the text here, or name a file in body_file");
    }
    let html = part(&entry, ("html", "html_file"), Kind::Html, files, check_source);
    entry.close();
    MailTemplate { subject: subject.unwrap_or_default(), body: body.unwrap_or_default(), html, ..empty(name) }
}

/// What says whether a source can be rendered.
type Check = fn(Kind, &str) -> Result<(), String>;

/// A source written here, or in a file: not both.
pub fn part(entry: &Table<'_>, (here, file): (&'static str, &'static str), kind: Kind, files: &Files, check: Check) -> Option<String> {
    let (at, text) = match (entry.get(here), entry.get(file)) {
        (Some(_), Some(at)) => return at.fail(format_args!("stands beside {here}; take one of them out")),
        (Some(at), None) => (at.clone(), at.text()?.to_owned()),
        (None, Some(at)) => (at.clone(), files.text(&at)?),
        (None, None) => return None,
    };
    at.ok(check(kind, &text))?;
    Some(text)
}

/// A text that is minijinja source.
pub fn source(at: &At<'_>, kind: Kind) -> Option<String> {
    let text = at.text()?;
    at.ok(check_source(kind, text))?;
    Some(text.to_owned())
}
