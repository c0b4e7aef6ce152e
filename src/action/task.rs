//! A task as configured, frozen into the job. Secrets are named by their file, never held.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::Rate;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Task {
    Mail(MailTask),
    Post(PostTask),
    /// A mail to postmaster@ or abuse@ that a person should read, wrapped as message/rfc822. The raw mail is in the store.
    Forward {
        to: String,
    },
}

/// `mail = { to, template }`. `to` and the template's parts are minijinja source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MailTask {
    pub to: String,
    pub template: MailTemplate,
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
    pub headers: BTreeMap<String, String>,
    pub secret_file: Option<PathBuf>,
    /// The most that run at once to its host.
    pub concurrency: Option<u16>,
    /// The most that are begun to its host.
    pub rate: Option<Rate>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PostBody {
    Form(BTreeMap<String, String>),
    /// JSON text; every string in it is minijinja source.
    Json(String),
    /// Neither given: the event's row, as `bounced events --json` prints it.
    Event,
}

impl Task {
    /// `mail`, `post` or `forward`, as `bounced outbox` shows it.
    pub fn kind(&self) -> &'static str {
        match self {
            Task::Mail(_) => "mail",
            Task::Post(_) => "post",
            Task::Forward { .. } => "forward",
        }
    }

    /// Where it goes, as configured.
    pub fn target(&self) -> &str {
        match self {
            Task::Mail(mail) => &mail.to,
            Task::Post(post) => &post.url,
            Task::Forward { to } => to,
        }
    }
}
