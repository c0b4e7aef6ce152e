//! What the tests of the built binary share: the daemon with a configuration of its own on loopback, a plain SMTP client, mails as servers
//! write them, and the servers on the other side.
//!
//! Everything waits for events with a deadline that only a broken daemon reaches; nothing sleeps for a guessed time.

#![allow(dead_code, clippy::unwrap_used)]

pub mod client;
pub mod daemon;
pub mod deeds;
pub mod filesystem;
pub mod gate;
pub mod http_catcher;
pub mod journey;
pub mod mail_catcher;
pub mod mails;
pub mod mta;
pub mod ports;
pub mod random;
pub mod refuser;
pub mod senders;

use std::time::{Duration, Instant};

use http_catcher::{Asked, HttpCatcher};
use mail_catcher::{Caught, MailCatcher};

/// How long anything may take before it counts as broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `look` again and again until it gives something; panics with what it waited for otherwise.
pub fn await_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    await_within(PATIENCE, what, look)
}

/// [`await_some`] with a deadline of its own.
pub fn await_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {} s in vain for {what}", patience.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for a mail of this sort.
pub fn await_mail(catcher: &MailCatcher, sort: impl Fn(&Caught) -> bool) -> Caught {
    await_some("a mail", || catcher.mails().into_iter().find(&sort))
}

/// Waits for a request of this sort.
pub fn await_request(catcher: &HttpCatcher, sort: impl Fn(&Asked) -> bool) -> Asked {
    await_some("a request", || catcher.asked().into_iter().find(&sort))
}
