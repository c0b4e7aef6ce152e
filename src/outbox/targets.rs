//! Which targets are closed now: put down by the worker, read by those who show how things stand. Forgotten with the process.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::{Job, lane};

/// A target whose jobs wait, since it failed again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The host, with its port where one is configured; `mail` for the relay.
    pub host: String,
    pub since: Timestamp,
    /// When one attempt may be made.
    pub until: Timestamp,
    /// The last failure. May hold what strangers wrote.
    pub error: String,
}

/// What the operator is to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetNews {
    /// It has been closed for a minute.
    Down(Closed),
    /// It was told to be down, and is well again.
    Well { host: String, lasted: SignedDuration },
}

#[derive(Debug, Default)]
pub struct Targets {
    /// By lane.
    closed: Mutex<BTreeMap<String, Closed>>,
    hurry: Notify,
}

impl Targets {
    pub fn closed(&self) -> Vec<Closed> {
        self.with(|closed| closed.values().cloned().collect())
    }

    /// What keeps a waiting job from being tried.
    pub fn of(&self, job: &Job) -> Option<Closed> {
        self.with(|closed| closed.get(&lane(&job.task)).cloned())
    }

    /// Each closed target gets its next attempt at once: something was mended.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    pub(super) async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// Returns whether it wasn't closed before.
    pub(super) fn close(&self, lane: &str, now: Closed) -> bool {
        self.with(|closed| closed.insert(lane.to_owned(), now).is_none())
    }

    pub(super) fn open(&self, lane: &str) {
        self.with(|closed| closed.remove(lane));
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Closed>) -> T) -> T {
        act(&mut self.closed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A lane's name as people and metrics see it.
pub(super) fn host(lane: &str) -> &str {
    lane.strip_prefix("post ").unwrap_or(lane)
}
