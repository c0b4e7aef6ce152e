//! A report put together: subject, text, HTML, picture and attachment. Pure.
//!
//! A template of the operator's that fails over these people must not hold the report back: the default stands in its place, and a line says
//! what was wrong.

use std::collections::BTreeMap;

use jiff::Timestamp;
use minijinja::{HtmlEscape, Value};

use super::{
    Chart, DEFAULT_SUBJECT, DEFAULT_TEXT, Gathered,
    chart::{BLOCK, HARD, SOFT, grouped},
    context,
    gathered::Sorted,
    sheet::{Sheet, sheet},
    table,
};
use crate::action::{
    Context, ReportTask,
    render::{Error, Kind, render_page, render_report},
    rfc3339,
};

const PAGE: &str = concat!(include_str!("../head.html"), include_str!("page.html"));

/// A picture in the HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Without angle brackets.
    pub cid: String,
    pub png: Vec<u8>,
}

/// Everything of a report's mail but its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub subject: String,
    pub text: String,
    pub html: String,
    pub picture: Option<Picture>,
    pub sheet: Sheet,
}

/// `at` is when the delivery was made, `id` names the mail. Fails only where the attachment can't be written.
pub fn finish(
    task: &ReportTask,
    people: Gathered,
    chart: Option<&Chart>,
    at: Timestamp,
    id: &str,
    hostname: &str,
) -> Result<Finished, String> {
    let Sorted { fields, people, csv } = people.sort()?;
    let values = context(&task.name, at, people.clone());
    let sheet = sheet(&task.name, csv)?;
    let (intro, wrong) = intro(task, &values);
    let subject = render_report(Kind::Header, &task.subject, &values).or_else(|_| render_report(Kind::Header, DEFAULT_SUBJECT, &values));
    let subject = subject.unwrap_or_else(|_| task.name.clone());
    let picture = chart.and_then(Chart::png).map(|png| Picture { cid: format!("chart.{id}@{hostname}"), png });

    let shown = table::text(&fields, &people.first);
    let more = |shown: usize| people.total.saturating_sub(shown);
    let mut text = format!("{}\n\n{}", intro.trim_end(), shown.table);
    if more(shown.people) > 0 {
        text.push_str(&format!("\nAnd {} more in the attached {}.\n", more(shown.people), sheet.name));
    }
    if let Some(chart) = chart {
        text.push_str(&format!("\n{}\n", chart.words()));
    }
    text.push_str(&format!("\n-- \nEverybody is in the attached {}. Sent by bounced on {hostname}, {}.\n", sheet.name, rfc3339(at)));

    let over = html_intro(task, &values, &intro, wrong.is_some());
    let shown = table::html(&fields, &people.first);
    let page: BTreeMap<&str, Value> = [
        ("title", Value::from(task.name.as_str())),
        ("intro", Value::from_safe_string(over)),
        ("chart", chart.map_or(Value::from(()), |chart| drawn(chart, picture.as_ref()))),
        ("table", Value::from_safe_string(shown.table)),
        ("beyond", Value::from(more(shown.people))),
        ("file", Value::from(sheet.name.as_str())),
        ("hostname", Value::from(hostname)),
        ("at", Value::from(rfc3339(at))),
    ]
    .into();
    let html = render_page(PAGE, &Context { values: Value::from(page) }).map_err(|Error(error)| error)?;
    Ok(Finished { subject, text, html, picture, sheet })
}

/// The text over the table, and what was wrong with the operator's own.
fn intro(task: &ReportTask, values: &Context) -> (String, Option<Error>) {
    let default = || render_report(Kind::Text, DEFAULT_TEXT, values).unwrap_or_default();
    match task.body.as_deref().map(|body| render_report(Kind::Text, body, values)) {
        None => (default(), None),
        Some(Ok(text)) => (text, None),
        Some(Err(error)) => (format!("{}\nThis report's own text could not be made: {error}\n", default()), Some(error)),
    }
}

fn html_intro(task: &ReportTask, values: &Context, text: &str, wrong: bool) -> String {
    let plain = |text: &str| format!("<div style=\"white-space:pre-wrap\">{}</div>", HtmlEscape(text.trim_end()));
    match task.html.as_deref().map(|html| render_report(Kind::Html, html, values)) {
        Some(Ok(html)) if !wrong => html,
        Some(Err(error)) if !wrong => plain(&format!("{text}\nThis report's own HTML could not be made: {error}\n")),
        _ => plain(text),
    }
}

fn drawn(chart: &Chart, picture: Option<&Picture>) -> Value {
    let colour = |[red, green, blue]: [u8; 3]| format!("#{red:02X}{green:02X}{blue:02X}");
    let legend = [("Hard", HARD), ("Soft", SOFT), ("Blocks", BLOCK)].map(|(name, rgb)| {
        let entry: BTreeMap<&str, Value> = [("name", Value::from(name)), ("colour", Value::from(colour(rgb)))].into();
        Value::from(entry)
    });
    let values: BTreeMap<&str, Value> = [
        ("highest", Value::from(grouped(chart.highest()))),
        ("first", Value::from(chart.first_day())),
        ("last", Value::from(chart.last_day())),
        ("words", Value::from(chart.words())),
        ("trend", Value::from(chart.trend())),
        ("cid", picture.map_or(Value::from(()), |picture| Value::from(picture.cid.as_str()))),
        ("legend", Value::from(legend.to_vec())),
    ]
    .into();
    Value::from(values)
}
