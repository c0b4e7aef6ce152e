//! A task as configured, frozen into the job. Secrets are named by their file, never held.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Context, Rate,
    render::{Kind, render},
};
use crate::ledger::Facts;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Task {
    Mail(MailTask),
    Post(PostTask),
    /// A mail to postmaster@ or abuse@ that a person should read, wrapped as message/rfc822. The raw mail is in the store.
    Forward {
        to: String,
    },
    Report(ReportTask),
    Resend(ResendMessage),
    /// For an administrator: never carried out by the daemon, only listed and done by hand.
    Todo(Todo),
}

/// `mail = { to, template }`. `to` and the template's parts are minijinja source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MailTask {
    pub to: String,
    pub template: MailTemplate,
    /// `digest = "1 hour"`: all of so long in one mail.
    pub digest: Option<Duration>,
    /// `at_most = "20 per hour"`: the rest in a digest.
    pub at_most: Option<Rate>,
}

/// One mail with all that a report has collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportTask {
    pub name: String,
    /// Which of its deliveries.
    pub delivery: u32,
    /// `None`: `[mail] from`.
    pub from: Option<String>,
    pub to: Vec<String>,
    /// minijinja over `people`, `report` and `at`.
    pub subject: String,
    /// The text over the table, minijinja too.
    pub body: Option<String>,
    pub html: Option<String>,
    /// The columns.
    pub fields: Vec<String>,
}

impl Todo {
    /// When it is to be done, where it was made at `made`.
    pub fn due_at(&self, made: Timestamp) -> Option<Timestamp> {
        made.saturating_add(SignedDuration::try_from(self.due?).ok()?).ok()
    }
}

/// What a resend sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ResendMessage {
    /// The mail that the bounce holds.
    Original,
    /// The text of a file, a whole mail; minijinja over the facts.
    Given(String),
}

/// `task = { title, assignee, due, mail }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Todo {
    /// minijinja source.
    pub title: String,
    pub assignee: Option<String>,
    /// From when it was made.
    pub due: Option<Duration>,
    /// Whether the assignee hears of it by mail.
    pub mail: bool,
}

/// One of `[templates]`, its files read in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MailTemplate {
    pub name: String,
    pub subject: String,
    pub body: String,
    pub html: Option<String>,
}

/// `post = { url, form | json, headers, secret_file, concurrency, rate }`. The URL, the values and the headers' values are minijinja source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostTask {
    pub url: String,
    pub body: PostBody,
    pub headers: BTreeMap<String, PostHeader>,
    pub secret_file: Option<PathBuf>,
    pub batch: Option<Batch>,
    /// The most that run at once to its host.
    pub concurrency: Option<u16>,
    /// The most that are begun to its host.
    pub rate: Option<Rate>,
}

/// What a header of a post says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostHeader {
    /// minijinja source.
    Text(String),
    /// `prefix` and the first line of a file, read when the post goes out.
    Secret { prefix: String, file: PathBuf },
}

impl From<&str> for PostHeader {
    fn from(source: &str) -> PostHeader {
        PostHeader::Text(source.to_owned())
    }
}

/// `batch = { max, within }`: so many bodies in one JSON array, or those of so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub max: u32,
    pub within: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PostBody {
    Form(BTreeMap<String, String>),
    /// JSON text; every string in it is minijinja source.
    Json(String),
    /// Neither given: the event's row, as `bounced events --json` prints it.
    Event,
}

/// Jobs of one name that go out as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    pub name: String,
    pub pace: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All of them, so long after the first, or when there are so many.
    Within { within: Duration, max: Option<u32> },
    /// At once as long as the rate allows it; what comes beyond goes together when the rate's time is over.
    AtMost(Rate),
}

impl Todo {
    /// The title of the task `id`. Its template was tried as the configuration was read; should it fail all the same, its source says most.
    pub fn title_for(&self, facts: &Facts, id: &str) -> String {
        render(Kind::Header, &self.title, &Context::new(facts, id)).unwrap_or_else(|_| self.title.clone())
    }
}

impl Task {
    /// `mail`, `post`, `forward`, …, as `bounced outbox` shows it.
    pub fn kind(&self) -> &'static str {
        match self {
            Task::Mail(_) => "mail",
            Task::Post(_) => "post",
            Task::Forward { .. } => "forward",
            Task::Report(_) => "report",
            Task::Resend(_) => "resend",
            Task::Todo(_) => "task",
        }
    }

    /// Where it goes, as configured.
    pub fn target(&self) -> &str {
        match self {
            Task::Mail(mail) => &mail.to,
            Task::Post(post) => &post.url,
            Task::Forward { to } => to,
            Task::Report(report) => &report.name,
            Task::Resend(ResendMessage::Original) => "the returned original",
            Task::Resend(ResendMessage::Given(_)) => "a given mail",
            Task::Todo(todo) => &todo.title,
        }
    }

    /// How it waits for others of its kind, where it does.
    pub fn gather(&self) -> Option<Gather> {
        match self {
            Task::Mail(mail) => {
                let pace = match (mail.digest, mail.at_most) {
                    (Some(within), _) => Pace::Within { within, max: None },
                    (None, Some(rate)) => Pace::AtMost(rate),
                    (None, None) => return None,
                };
                Some(Gather { name: format!("mail {} {}", mail.template.name, mail.to), pace })
            }
            Task::Post(post) => {
                let batch = post.batch?;
                Some(Gather { name: format!("post {}", post.url), pace: Pace::Within { within: batch.within, max: Some(batch.max) } })
            }
            _ => None,
        }
    }
}
