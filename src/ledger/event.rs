//! What comes into the ledger, and what is written down of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Field, Timer};
use crate::{classify::Verdict, taxonomy::Status, verp::PersonKey};

/// One input.
#[expect(clippy::large_enum_variant, reason = "nearly all are mails")]
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Mail(MailInput),
    Hand(HandInput),
    Timer(TimerInput),
}

/// One mail at one recipient: one event for at most one person.
#[derive(Debug, Clone, PartialEq)]
pub struct MailInput {
    /// `None` where nobody can be named.
    pub person: Option<PersonKey>,
    /// `verdict.address` is the person's address, where one is known.
    pub verdict: Verdict,
    pub campaign: Option<String>,
    pub standing: Standing,
    pub origin: Origin,
    /// The same for a mail that is sent again: see [`crate::intake`].
    pub dedupe: [u8; 16],
    /// Whether the raw mail is to be kept.
    pub keep_raw: bool,
    /// A mail to a person at postmaster@ or abuse@: whom to pass it to.
    pub forward: Option<String>,
    /// Whether it holds the bounced mail whole, so that this can be sent again.
    pub original_whole: bool,
    /// A mail of the past, brought in by `bounced import`.
    pub import: Option<Import>,
}

impl MailInput {
    /// When it came, where it is `now`: of a mail of the past, its own time.
    pub fn at(&self, now: Timestamp) -> Timestamp {
        self.import.map_or(now, |import| import.at.min(now))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// When it came, by its topmost Received.
    pub at: Timestamp,
    /// Whether it acts on the outside; else it counts and tags only.
    pub fire: bool,
}

/// A change by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct HandInput {
    /// Whom it concerns, where it concerns one.
    pub person: Option<PersonKey>,
    pub act: Hand,
}

/// What triggers do, done by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Hand {
    /// `address` makes the person known where nobody was.
    Set {
        address: Option<String>,
        fields: BTreeMap<String, Field>,
    },
    Suppress {
        address: Option<String>,
        suppressed: bool,
    },
    Tag {
        address: Option<String>,
        tag: String,
    },
    Untag(String),
    /// `None`: all statuses.
    Reset(Option<Vec<Status>>),
    /// Out of a sequence.
    Stop(String),
    /// The task of this id is done.
    TaskDone(String),
    /// What waits of a guarded domain is done (`true`), or thrown away.
    Guard {
        domain: String,
        release: bool,
    },
    /// A report's delivery now.
    Send(String),
}

/// A timer that fell due.
#[derive(Debug, Clone, PartialEq)]
pub struct TimerInput {
    pub timer: Timer,
    /// When it was to be; the writer may come to it later.
    pub due: Timestamp,
    /// What was frozen with it.
    pub facts: Option<Box<Facts>>,
}

/// Whether a mail may fire triggers, and if not, why. What may not counts apart, where triggers never see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    Full,
    /// No VERP signature vouches for it, and one is required.
    Unsigned,
    /// Genuine, but signed longer ago than `verp.max_age`.
    Expired,
    /// A mail of our own that came back.
    Own,
}

/// Where a mail came from, for the record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The envelope recipient as given.
    pub rcpt: String,
    /// MAIL FROM.
    pub reverse_path: Option<String>,
    /// The client's address, `192.0.2.1`.
    pub client: Option<String>,
    pub message_id: Option<String>,
    pub subject: Option<String>,
    pub original_message_id: Option<String>,
    pub envelope_id: Option<String>,
    /// Whether a VERP signature vouches for it (also one inside the mail, at a plain address).
    pub signed: bool,
}

/// An event as the log keeps it, for as long as `[keep] events` says. All old versions stay readable: add a variant, never change one.
#[expect(clippy::large_enum_variant, reason = "nearly all are mails")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    MailV1(MailEvent),
    HandV1(HandEvent),
    TimerV1(TimerEvent),
}

impl Event {
    pub fn id(&self) -> u64 {
        match self {
            Event::MailV1(event) => event.id,
            Event::HandV1(event) => event.id,
            Event::TimerV1(event) => event.id,
        }
    }

    /// UTC, as the writer stamped it; of an imported mail, when that came.
    pub fn at(&self) -> Timestamp {
        match self {
            Event::MailV1(event) => event.at,
            Event::HandV1(event) => event.at,
            Event::TimerV1(event) => event.at,
        }
    }

    pub fn person(&self) -> Option<PersonKey> {
        match self {
            Event::MailV1(event) => event.person,
            Event::HandV1(event) => event.person,
            Event::TimerV1(event) => event.timer.person(),
        }
    }

    pub fn mail(&self) -> Option<&MailEvent> {
        match self {
            Event::MailV1(event) => Some(event),
            Event::HandV1(_) | Event::TimerV1(_) => None,
        }
    }

    pub fn into_mail(self) -> Option<MailEvent> {
        match self {
            Event::MailV1(event) => Some(event),
            Event::HandV1(_) | Event::TimerV1(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandEvent {
    pub id: u64,
    #[serde(with = "crate::stamp")]
    pub at: Timestamp,
    pub person: Option<PersonKey>,
    pub act: Hand,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimerEvent {
    pub id: u64,
    #[serde(with = "crate::stamp")]
    pub at: Timestamp,
    #[serde(with = "crate::stamp")]
    pub due: Timestamp,
    pub timer: Timer,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MailEvent {
    pub id: u64,
    /// UTC, to the millisecond; never earlier than the event before.
    #[serde(with = "crate::stamp")]
    pub at: Timestamp,
    pub person: Option<PersonKey>,
    pub campaign: Option<String>,
    pub standing: Standing,
    pub verdict: Verdict,
    pub origin: Origin,
    /// Names of the triggers that it fired.
    pub fired: Vec<String>,
    pub raw: Option<RawRef>,
}

/// Where a raw mail lies in the store's segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawRef {
    pub segment: u32,
    pub offset: u64,
    pub length: u32,
}

/// What a job knows of the event that made it: everything a template may name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub event: MailEvent,
    /// The name of the trigger; empty where none made the job.
    pub trigger: String,
    /// What the trigger's count had come to.
    pub count: u64,
    /// The person's tags after the trigger's changes.
    pub tags: Vec<String>,
    /// The person's lifetime counts, this event included.
    pub counts: Vec<(Status, u64)>,
    /// The person's fields after the trigger's changes.
    pub fields: BTreeMap<String, Field>,
    pub suppressed: bool,
}
