//! What triggers do to the outside: the frozen description of a task, its rendering (pure, escaped for where it goes) and its delivery.
//!
//! Knows neither counters nor the engine. A delivery never panics and never outlives its deadline; what went wrong is in its
//! [`crate::outbox::Outcome`].

mod again;
mod batch;
pub mod clean;
pub mod compose;
mod context;
mod digest;
mod errands;
#[cfg(test)]
mod hostile;
mod mail;
mod post;
mod rate;
mod relay;
pub mod render;
pub mod report;
mod resend;
mod row;
mod task;
pub mod transport;
mod url;
pub mod webhook;
mod wrapped;

use std::{sync::Arc, time::Duration};

pub use context::{Context, NAMES, rfc3339, sample_facts};
pub use errands::{DaysLoader, OriginalFinder, PeopleLoader, Sources, VerpSender};
pub use mail::{OwnSender, Postman};
pub use post::{Now, Poster, system_now};
pub use rate::Rate;
pub use relay::{EnvelopeFrom, Mail, Relay, Security};
pub use resend::check_resend_source;
pub use row::{EventRow, event_row};
pub use task::*;

use crate::{
    ledger::MailEvent,
    outbox::{Blame, Dispatch, Job, Outcome},
};

/// Reads an event's raw mail from the store; `Ok(None)` where it isn't kept any more. May block.
pub type RawLoader = Arc<dyn Fn(&MailEvent) -> Result<Option<Vec<u8>>, String> + Send + Sync>;

/// Beyond any delivery's own deadline: what hangs all the same is broken off here.
const DEADLINE: Duration = Duration::from_secs(150);

/// Delivers jobs by one configuration; made anew when that is read again.
pub struct Dispatcher {
    postman: Option<Postman>,
    poster: Poster,
    raw: RawLoader,
    sources: Sources,
}

impl Dispatcher {
    /// `mail` is `[mail]`; without it mails wait until there is one.
    pub fn new(mail: Option<&Mail>, hostname: &str, own_sender: OwnSender, raw: RawLoader) -> Result<Dispatcher, String> {
        let postman = mail.map(|mail| Postman::new(mail, hostname, own_sender));
        Ok(Dispatcher { postman, poster: Poster::new(post::DEADLINE, system_now())?, raw, sources: Sources::default() })
    }

    /// With what reports and resends need; without it they wait.
    pub fn with_sources(self, sources: Sources) -> Dispatcher {
        Dispatcher { sources, ..self }
    }

    /// One attempt at one job, over within 150 s.
    pub async fn dispatch(&self, job: &Job) -> Outcome {
        let attempt = async {
            match (&job.task, &self.postman) {
                (Task::Post(task), _) => self.poster.post(job, task).await,
                (Task::Mail(task), Some(postman)) => postman.notify(job, task).await,
                (Task::Forward { to }, Some(postman)) => match self.load_raw(job).await {
                    Ok(raw) => postman.forward(job, to, &raw).await,
                    Err(outcome) => outcome,
                },
                (Task::Report(task), Some(postman)) => self.report(postman, job, task).await,
                (Task::Resend(message), Some(postman)) => self.resend(postman, job, message).await,
                (Task::Todo(_), _) => Outcome::Dead { error: "a task is for a person to do".to_owned() },
                (_, None) => later("no way to send mail is configured: [mail] is missing", Blame::Us),
            }
        };
        tokio::time::timeout(DEADLINE, attempt).await.unwrap_or_else(|_| later("the attempt took too long", Blame::Target))
    }

    async fn load_raw(&self, job: &Job) -> Result<Vec<u8>, Outcome> {
        let (raw, event) = (self.raw.clone(), job.facts.event.clone());
        match tokio::task::spawn_blocking(move || raw(&event)).await {
            Ok(Ok(Some(raw))) => Ok(raw),
            Ok(Ok(None)) => Err(Outcome::Dead { error: "the mail isn't kept any more".to_owned() }),
            Ok(Err(error)) => Err(later(&format!("the mail can't be read: {error}"), Blame::Us)),
            Err(_) => Err(later("the mail can't be read", Blame::Us)),
        }
    }
}

impl Dispatch for Dispatcher {
    async fn dispatch(&self, job: &Job) -> Outcome {
        Dispatcher::dispatch(self, job).await
    }
}

fn later(error: &str, blame: Blame) -> Outcome {
    Outcome::Later { error: error.to_owned(), after: None, blame }
}
