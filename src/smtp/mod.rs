//! SMTP in: bytes → replies and finished mails.
//!
//! `framing` and `session` are pure: verbs, order and limits, no socket, no clock. `server` is the shell round them: accept, deadlines, TLS,
//! caps, back-pressure. Knows nothing of what a bounce is.

use std::future::Future;

use crate::intake::{Arrival, Failure, Mailbox, Refusal};

/// What the dialogue asks of the rest of the house.
pub trait Handler: Send + Sync + 'static {
    /// Whether there is room for one more mail on disk; without it MAIL gets 452.
    fn room(&self) -> bool;

    /// Judges a recipient at once, in memory.
    fn recipient(&self, rcpt: &str) -> Result<Mailbox, Refusal>;

    /// Records a mail. `Ok` (the ids of its events) means it is on the platter: only then may 250 go out.
    fn take(&self, arrival: Arrival) -> impl Future<Output = Result<Vec<u64>, Failure>> + Send;
}
