//! A handler that knows a few addresses and keeps what it takes.

#![allow(clippy::unwrap_used)]

use std::{
    future::Future,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bounced::{
    intake::{Arrival, Door, Failure, Mailbox, Refusal},
    smtp::Handler,
};

/// Local parts at returns.test: `good…`, postmaster; `forged…` has a bad signature, all else is malformed. Other domains are not ours.
#[derive(Default)]
pub struct Fake {
    pub full: AtomicBool,
    pub failure: Mutex<Option<Failure>>,
    pub taken: Mutex<Vec<Arrival>>,
    next: AtomicU64,
}

impl Fake {
    /// What `take` does, at once.
    pub fn record(&self, arrival: Arrival) -> Result<Vec<u64>, Failure> {
        if let Some(why) = self.failure.lock().unwrap().clone() {
            return Err(why);
        }
        let ids = arrival.mailboxes.iter().map(|_| self.next.fetch_add(1, Ordering::Relaxed) + 1).collect();
        self.taken.lock().unwrap().push(arrival);
        Ok(ids)
    }
}

impl Handler for Fake {
    fn room(&self) -> bool {
        !self.full.load(Ordering::Relaxed)
    }

    fn recipient(&self, rcpt: &str) -> Result<Mailbox, Refusal> {
        let door = match rcpt.rsplit_once('@').unwrap_or((rcpt, "returns.test")) {
            (local, "returns.test") if local.eq_ignore_ascii_case("postmaster") => Door::Postmaster,
            (local, "returns.test") if local.starts_with("good") => Door::Plain,
            (local, "returns.test") if local.starts_with("forged") => return Err(Refusal::BadSignature),
            (local, "returns.test") if local.starts_with("panic") => panic!("asked for by the test"),
            (_, "returns.test") => return Err(Refusal::Malformed),
            _ => return Err(Refusal::NotOurs),
        };
        Ok(Mailbox { rcpt: rcpt.to_owned(), door })
    }

    fn take(&self, arrival: Arrival) -> impl Future<Output = Result<Vec<u64>, Failure>> + Send {
        std::future::ready(self.record(arrival))
    }
}
