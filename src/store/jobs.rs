//! The store as the outbox's worker sees it.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};

use super::{Decided, Store, StoreError};
use crate::outbox::{Ended, Job, JobId, Jobs, Want};

/// The jobs of a store, for one worker: it remembers up to which change that worker has heard.
pub struct StoreJobs {
    store: Arc<Store>,
    heard: Mutex<watch::Receiver<u64>>,
}

impl StoreJobs {
    pub fn new(store: Arc<Store>) -> StoreJobs {
        let heard = Mutex::new(store.jobs_changed());
        StoreJobs { store, heard }
    }
}

impl Jobs for StoreJobs {
    type Error = StoreError;

    async fn claim(&self, now: Timestamp, lease: Timestamp, want: Want) -> Result<Vec<Job>, StoreError> {
        self.store.claim_of(now, lease, want).await
    }

    async fn finish(&self, id: JobId, ended: Ended) -> Result<(), StoreError> {
        let decided = match ended {
            Ended::Done { .. } => Decided::Done,
            Ended::Waiting { next, error } => Decided::Later { at: next, error },
            Ended::Dead { error, .. } => Decided::Dead { error },
        };
        self.store.finish(id, decided).await.map(drop)
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.next_due_after(after)).await.unwrap_or(Err(StoreError::Closed))
    }

    async fn changed(&self) {
        if self.heard.lock().await.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
