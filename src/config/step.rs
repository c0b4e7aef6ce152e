//! The `do` of a trigger or of a sequence's step.

use std::{cell::RefCell, collections::BTreeMap};

use super::{Keep, Smtp, fields, files::Files, names, notify, post, reader::At, resend, status};
use crate::{
    action::{MailTemplate, Task},
    ledger::{Step, is_tag},
};

/// What actions need of the other sections.
pub struct Means<'a> {
    pub files: &'a Files,
    pub templates: &'a BTreeMap<String, MailTemplate>,
    pub smtp: Option<&'a Smtp>,
    pub has_mail: bool,
    /// People are named by the sender's own ids, so that nothing but the bounce tells their address.
    pub by_id: bool,
    pub keep: &'a Keep,
    /// Names.
    pub sequences: &'a [String],
    pub reports: &'a [String],
    /// The first of those that go out as one, by the name under which they gather.
    pub gathered: RefCell<BTreeMap<String, Task>>,
}

/// `sequence`: in whose step it stands, if in one.
pub fn read(at: &At<'_>, means: &Means<'_>, sequence: Option<&str>) -> Vec<Step> {
    let items = at.items().unwrap_or_default();
    if items.is_empty() && at.is_list() {
        at.fail::<()>("does nothing; write an action, as in [{ tag = \"third-strike\" }]");
    }
    if items.len() > usize::from(u16::MAX) {
        at.fail::<()>("has too many actions");
    }
    items.iter().filter_map(|item| step(item, means, sequence)).collect()
}

fn step(item: &At<'_>, means: &Means<'_>, sequence: Option<&str>) -> Option<Step> {
    let table = item.table()?;
    if table.all().len() != 1 {
        item.fail::<()>("an action stands alone in its braces, so that their order is told: { … }, { … }");
    }
    let report = |at: At<'_>| names::known(&at, means.reports, "report", "[[report]]").map(str::to_owned);
    let other = |at: At<'_>| names::known(&at, means.sequences, "sequence", "[[sequence]]").map(str::to_owned);
    let step = [
        table.get("tag").and_then(|at| at.parsed(tag)).map(Step::Tag),
        table.get("untag").and_then(|at| at.parsed(tag)).map(Step::Untag),
        table.get("set").and_then(|at| fields::set(&at)).map(Step::Set),
        table.get("blank").and_then(|at| fields::blank(&at)).map(Step::Blank),
        table.get("suppress").and_then(|at| at.boolean()).map(Step::Suppress),
        table.table("task").and_then(|entry| notify::task(entry, means)).map(|task| Step::Job(Task::Todo(task))),
        table.table("mail").and_then(|entry| notify::mail(entry, means)).map(|mail| Step::Job(Task::Mail(mail))),
        table.table("post").and_then(|entry| post::read(entry, means)).map(|post| Step::Job(Task::Post(post))),
        table.get("report").and_then(report).map(Step::Collect),
        table.get("start").and_then(|at| start(&at, other(at.clone())?, sequence)).map(Step::Start),
        table.get("stop").and_then(other).map(Step::Stop),
        table.get("resend").and_then(|at| resend::read(&at, means, sequence)).map(Step::Resend),
        table.get("reset").map(|at| status::set(&at)).map(Step::Reset),
    ];
    table.close();
    let step = step.into_iter().flatten().next();
    if let Some(Step::Job(task)) = &step {
        alike(item, task, means);
    }
    step
}

fn tag(text: &str) -> Result<String, String> {
    if is_tag(text) { Ok(text.to_owned()) } else { Err(format!("'{text}' is no tag; write one word, as in \"third-strike\"")) }
}

fn start(at: &At<'_>, name: String, within: Option<&str>) -> Option<String> {
    if within == Some(name.as_str()) { at.fail("is the sequence itself; its members would go round for ever") } else { Some(name) }
}

/// What goes out as one is written alike everywhere.
fn alike(item: &At<'_>, task: &Task, means: &Means<'_>) {
    let Some(gather) = task.gather() else { return };
    let mut gathered = means.gathered.borrow_mut();
    let same = match (gathered.get(&gather.name), task) {
        (Some(Task::Post(other)), Task::Post(post)) => {
            (&other.headers, &other.secret_file, other.batch) == (&post.headers, &post.secret_file, post.batch)
        }
        (Some(other), _) => other.gather() == Some(gather.clone()),
        (None, _) => {
            gathered.insert(gather.name, task.clone());
            true
        }
    };
    if !same {
        let what = match task {
            Task::Post(_) => {
                "posts in batches to a URL that another action posts to, and they go out as one; write headers, secret_file and batch alike"
            }
            _ => "gathers what another action of the same template gathers for the same addresses; write digest or at_most alike",
        };
        item.fail::<()>(what);
    }
}
