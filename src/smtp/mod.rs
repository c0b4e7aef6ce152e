//! SMTP in: bytes → replies and finished mails.
//!
//! `framing`, `command`, `reply` and `session` are pure: verbs, order and limits, no socket, no clock. `server`, `connection`, `sockets`, `limits`,
//! `guesses` and `tls` are the shell round them: accept, deadlines, TLS, caps, back-pressure. Knows nothing of what a bounce is.

pub mod command;
mod connection;
pub mod framing;
pub mod guesses;
mod handler;
pub mod limits;
pub mod reply;
pub mod server;
pub mod session;
pub mod sockets;
pub mod telemetry;
pub mod tls;

use std::future::Future;

use crate::intake::{Arrival, Failure, Mailbox, Refusal};

pub use server::{Server, Settings};
pub use sockets::bind;
pub use telemetry::describe;

/// What the dialogue asks of the rest of the house.
pub trait Handler: Send + Sync + 'static {
    /// Whether there is room for one more mail on disk; without it MAIL gets 452.
    fn room(&self) -> bool;

    /// Judges a recipient at once, in memory.
    fn recipient(&self, rcpt: &str) -> Result<Mailbox, Refusal>;

    /// Records a mail. `Ok` (the ids of its events) means it is on the platter: only then may 250 go out.
    fn take(&self, arrival: Arrival) -> impl Future<Output = Result<Vec<u64>, Failure>> + Send;
}
