//! `[[report]]`: what is collected, whom it goes to and when.

use std::collections::BTreeMap;

use super::{
    days, names, notify,
    reader::{At, Table, nearest},
    step::Means,
    templates, units,
};
use crate::{
    action::{
        ReportTask,
        render::{Kind, check_report_source},
        report::{DEFAULT_FIELDS, FIELDS},
    },
    ledger::{Days, ReportRule, Schedule},
};

const SUBJECT: &str = "{{ report }}: {{ people | length }} {% if people | length == 1 %}person{% else %}people{% endif %}";

/// All reports, by name.
pub fn read(items: &[At<'_>], means: &Means<'_>) -> BTreeMap<String, ReportRule> {
    let mut taken = Vec::new();
    let mut reports = BTreeMap::new();
    for table in items.iter().filter_map(At::table) {
        let why = ("report", "\"clean-up-bounced-messages\"", "people are collected under it");
        let name = names::own(&table, why, &taken).unwrap_or_default();
        taken.push(name.to_owned());
        reports.insert(name.to_owned(), report(name, table, means));
    }
    reports
}

fn report(name: &str, table: Table<'_>, means: &Means<'_>) -> ReportRule {
    let from = |at: At<'_>| at.parsed(|text| names::mailbox(text).map(|_| text.trim().to_owned()));
    let rule = ReportRule {
        active: table.boolean("active", true),
        schedule: schedule(&table),
        send_empty: table.boolean("send_empty", false),
        task: ReportTask {
            name: name.to_owned(),
            delivery: 0,
            from: table.get("from").and_then(from),
            to: table.need("to", "[\"assistant@example.com\"]").map(|at| recipients(&at, means)).unwrap_or_default(),
            subject: table.get("subject").and_then(|at| subject(&at)).unwrap_or_else(|| SUBJECT.to_owned()),
            body: templates::part(&table, ("body", "body_file"), Kind::Text, means.files, check_report_source),
            html: templates::part(&table, ("html", "html_file"), Kind::Html, means.files, check_report_source),
            fields: table.get("fields").map_or_else(|| DEFAULT_FIELDS.map(str::to_owned).to_vec(), |at| fields(&at)),
        },
    };
    if !means.has_mail {
        table.fail("to", "a report goes by mail; write a [mail] section with relay and from");
    }
    table.close();
    rule
}

fn recipients(at: &At<'_>, means: &Means<'_>) -> Vec<String> {
    let items = at.one_or_many();
    if items.is_empty() {
        at.fail::<()>("is empty; name an address");
    }
    items.iter().filter_map(|item| notify::mailbox(item, means)).collect()
}

fn subject(at: &At<'_>) -> Option<String> {
    let text = at.parsed(names::line)?;
    at.ok(check_report_source(Kind::Header, &text))?;
    Some(text)
}

fn fields(at: &At<'_>) -> Vec<String> {
    let items = at.items().unwrap_or_default();
    if items.is_empty() && at.is_list() {
        at.fail::<()>(format_args!("is empty; there are {}", FIELDS.join(", ")));
    }
    let mut found: Vec<String> = Vec::new();
    for item in &items {
        let Some(field) = item.parsed(field) else { continue };
        if found.contains(&field) {
            item.fail::<()>("stands twice; take one out");
        }
        found.push(field);
    }
    found
}

fn field(text: &str) -> Result<String, String> {
    if FIELDS.contains(&text) {
        return Ok(text.to_owned());
    }
    match nearest(text, FIELDS) {
        Some(near) => Err(format!("'{text}' is no column; did you mean '{near}'?")),
        None => Err(format!("'{text}' is no column; there are {}", FIELDS.join(", "))),
    }
}

/// A delivery of its own.
fn schedule(table: &Table<'_>) -> Option<Schedule> {
    let days = days::read(table);
    let at = table.get("at");
    if at.is_none() && days != Days::Any {
        table.fail("at", "is missing; a report with days of its own needs a time of day, as in at = \"09:00\"");
    }
    at.and_then(|at| at.parsed(units::time)).map(|at| Schedule { days, at })
}
