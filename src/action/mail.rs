//! The `mail` and `forward` tasks: frozen template and facts, or a raw mail, become a letter that goes out.
//!
//! What the relay refuses for good, and what can't be rendered, is dead at once with the reason; all else is tried again.

use std::sync::Arc;

use super::{
    Context, EnvelopeFrom, Mail, MailTask, ReportTask, clean,
    compose::{Attach, Draft, Letter, Unfit},
    digest::{self, Digest},
    render::{self, Kind},
    report::Finished,
    transport::{SendError, Transport},
};
use crate::outbox::{Blame, Job, Outcome};

/// A signed return address of our own for the mail of this name (a job's id), in the first of `smtp.domains`.
pub type OwnSender = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// `[mail]`, ready: how notifications and alerts leave.
pub struct Postman {
    from: String,
    envelope_from: EnvelopeFrom,
    hostname: String,
    own_sender: OwnSender,
    transport: Transport,
}

impl Postman {
    pub fn new(mail: &Mail, hostname: &str, own_sender: OwnSender) -> Postman {
        Postman {
            from: mail.from.clone(),
            envelope_from: mail.envelope_from.clone(),
            hostname: hostname.to_owned(),
            own_sender,
            transport: Transport::new(mail, hostname),
        }
    }

    /// Another transport than `[mail]` has.
    pub fn with_transport(self, transport: Transport) -> Postman {
        Postman { transport, ..self }
    }

    /// `[mail] from`.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// As it stands in Message-IDs.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// A draft with nothing in it but what all our mails share.
    pub fn draft<'a>(&'a self, id: &'a str, to: &'a str, subject: &'a str, date: jiff::Timestamp) -> Draft<'a> {
        Draft {
            from: &self.from,
            to,
            subject,
            text: String::new(),
            html: None,
            picture: None,
            file: None,
            attached: None,
            id,
            hostname: &self.hostname,
            date,
            envelope_from: match &self.envelope_from {
                EnvelopeFrom::Own => Some((self.own_sender)(id)),
                EnvelopeFrom::Null => None,
                EnvelopeFrom::Address(address) => Some(address.clone()),
            },
        }
    }

    /// Sends a draft; an attached 8-bit mail goes in base64 where the relay takes nothing else.
    pub async fn send(&self, draft: &Draft<'_>) -> Result<(), SendError> {
        match self.transport.send(&fit(draft.letter(Attach::Plain))?).await {
            Err(SendError::SevenBitOnly) => self.transport.send(&fit(draft.letter(Attach::Armoured))?).await,
            other => other,
        }
    }

    /// A report, rendered already.
    pub async fn report(&self, job: &Job, task: &ReportTask, report: &Finished) -> Outcome {
        let (id, to) = (job.id.to_string(), task.to.join(", "));
        let draft = self.draft(&id, &to, &report.subject, job.created);
        let (text, html) = (report.text.clone(), Some(report.html.clone()));
        let (picture, file) = (report.picture.as_ref(), Some(&report.sheet));
        outcome(self.send(&Draft { from: task.from.as_deref().unwrap_or(draft.from), text, html, picture, file, ..draft }).await)
    }

    /// A mail as it stands, under an envelope of its own; `letter.bytes` are complete.
    pub async fn pass(&self, letter: &Letter) -> Outcome {
        match self.transport.send(letter).await {
            Err(SendError::SevenBitOnly) => {
                dead("the mail has bytes beyond ASCII and the relay does not offer 8BITMIME; changing it would break its signatures")
            }
            sent => outcome(sent),
        }
    }

    /// The `mail` task.
    pub async fn notify(&self, job: &Job, task: &MailTask) -> Outcome {
        let id = job.id.to_string();
        if !job.others.is_empty() || job.beyond > 0 {
            return match digest::digest(job, task, &self.hostname) {
                Ok(Digest { to, subject, text, html }) => {
                    outcome(self.send(&Draft { text, html: Some(html), ..self.draft(&id, &to, &subject, job.created) }).await)
                }
                Err(error) => dead(&error),
            };
        }
        // A stranger must not be able to choose to whom we write: only a signature vouches for the names in an event.
        if task.to.contains('{') && !job.facts.event.origin.signed {
            return dead(UNSIGNED);
        }
        let context = Context::new(&job.facts, &id);
        let (to, subject, text, html) = match rendered(task, &context) {
            Ok(parts) => parts,
            Err(error) => return dead(&error),
        };
        outcome(self.send(&Draft { text, html, ..self.draft(&id, &to, &subject, job.created) }).await)
    }

    /// The `forward` task: a mail that a person should read, wrapped under our own From.
    pub async fn forward(&self, job: &Job, to: &str, raw: &[u8]) -> Outcome {
        let id = job.id.to_string();
        let origin = &job.facts.event.origin;
        let told = |text: Option<&str>| text.filter(|text| !text.is_empty()).map_or("(none)".to_owned(), |text| clean::cut(text, 200));
        let subject = format!("Fwd to {}: {}", clean::cut(&origin.rcpt, 80), told(origin.subject.as_deref()));
        let text = format!(
            "This mail came to {} and looks as if a person wrote it. It is attached as it came.\n\n\
             Subject:     {}\nReturn-Path: <{}>\nFrom client: {}\nReceived:    {}\nMessage-ID:  {}\n",
            clean::cut(&origin.rcpt, 200),
            told(origin.subject.as_deref()),
            clean::cut(origin.reverse_path.as_deref().unwrap_or_default(), 200),
            told(origin.client.as_deref()),
            super::rfc3339(job.facts.event.at),
            told(origin.message_id.as_deref()),
        );
        outcome(self.send(&Draft { text, attached: Some(raw), ..self.draft(&id, to, &subject, job.created) }).await)
    }
}

/// A stranger's event may not choose to whom we write.
pub(super) const UNSIGNED: &str = "the recipient comes from the event, and the event isn't signed";

/// Recipients, subject, text and HTML.
pub(super) fn rendered(task: &MailTask, context: &Context) -> Result<(String, String, String, Option<String>), String> {
    let template = &task.template;
    let rendered = render::render(Kind::Address, &task.to, context).and_then(|to| {
        let subject = render::render(Kind::Header, &template.subject, context)?;
        let text = render::render(Kind::Text, &template.body, context)?;
        let html = template.html.as_deref().map(|html| render::render(Kind::Html, html, context)).transpose()?;
        Ok((to, subject, text, html))
    });
    rendered.map_err(|error| format!("template '{}': {error}", template.name))
}

/// A From or a sender that is no address is the configuration's fault, which can be mended.
fn fit(letter: Result<Letter, Unfit>) -> Result<Letter, SendError> {
    letter.map_err(|error| match error {
        Unfit::From(_) => SendError::Later(error.to_string()),
        Unfit::To(_) | Unfit::Other(_) => SendError::Never(error.to_string()),
    })
}

fn outcome(sent: Result<(), SendError>) -> Outcome {
    match sent {
        Ok(()) => Outcome::Done,
        Err(SendError::Never(error)) => Outcome::Dead { error },
        Err(SendError::PutOff(error)) => Outcome::Later { error, after: None, blame: Blame::Job },
        Err(error) => Outcome::Later { error: error.to_string(), after: None, blame: Blame::Target },
    }
}

fn dead(error: &str) -> Outcome {
    Outcome::Dead { error: error.to_owned() }
}
