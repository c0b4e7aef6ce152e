//! Envelope and bytes → recipients resolved, told in a bounded pool, handed to the writer.
//!
//! SMTP, import and demo come in here. A panic while telling is caught: the mail is then `undetermined` with its raw kept. When the store
//! can't record, the whole mail is refused for now and the sender keeps it.

mod dedupe;
mod gate;
mod import;
mod pool;
mod resolve;
mod room;
mod take;

use std::net::IpAddr;

use bytes::Bytes;

pub use gate::{Gate, Policy};
pub use import::{How, Imported};
pub use take::{Intake, Notice, Reply};

use crate::verp::Decoded;

/// A recipient that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// As given in RCPT, without brackets.
    pub rcpt: String,
    pub door: Door,
}

/// Through which door a mail comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A VERP address of a person.
    Verp(Decoded),
    /// The envelope sender of our own mail; the job's id, where it can be read.
    Own(Option<String>),
    /// One of `smtp.plain`.
    Plain,
    /// postmaster or abuse.
    Postmaster,
}

/// Why a recipient isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("relaying denied: that domain is not ours")]
    NotOurs,
    #[error("no such return address")]
    Malformed,
    #[error("return address not signed by us")]
    BadSignature,
}

/// A whole mail with its envelope.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub client: Option<IpAddr>,
    pub helo: Option<String>,
    /// MAIL FROM without brackets, empty for the null sender; `None` where it isn't known (a file).
    pub reverse_path: Option<String>,
    /// At least one.
    pub mailboxes: Vec<Mailbox>,
    /// The mail as it came, dot-stuffing removed, line ends untouched.
    pub raw: Bytes,
}

/// Why a whole mail isn't taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// More than 25 Received fields (RFC 5321, section 6.3).
    #[error("too many hops, this looks like a loop")]
    Loop,
    /// Nothing was recorded; the sender shall try again.
    #[error("temporarily unable to record mail")]
    Unavailable,
}
