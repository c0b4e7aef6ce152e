//! What comes into the ledger, and what is written down of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{classify::Verdict, verp::PersonKey};

/// One input. Later kinds (a change by hand, a timer that fell due) are added at the end.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Mail(MailInput),
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    MailV1(MailEvent),
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
    pub counts: Vec<(crate::taxonomy::Status, u64)>,
}
