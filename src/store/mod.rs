//! What is known, on the platter: one writer thread, one atomic batch a group commit, really synced before anyone hears of it.
//!
//! Speaks of the domain (`record`, `claim`, `finish`, queries), never of keys and trees, so that another engine can stand in its place.
//! Events and raw mails lie in append-only segments, the rest in sled. When a commit fails the process must not go on: see
//! [`StoreError::Fatal`].

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// sled's page cache, bytes.
    pub cache_bytes: u64,
    pub keep_events: Duration,
    pub keep_raw: Duration,
    /// UTC now. Handed in, so that tests can move it; the writer never lets it go back.
    pub clock: Clock,
}

pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One input's fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The event's id; of a mail that came before, the first one's.
    pub event: u64,
    /// The very mail was recorded before: nothing was counted.
    pub duplicate: bool,
    /// Names of the triggers that fired.
    pub fired: Vec<String>,
}
