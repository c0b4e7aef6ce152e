//! The outbox's view of the store.

use jiff::Timestamp;

use super::{Decided, Store, StoreError};
use crate::outbox::{Ended, Job, JobId, Jobs, Want};

impl Jobs for Store {
    type Error = StoreError;

    async fn claim(&self, now: Timestamp, lease: Timestamp, want: Want) -> Result<Vec<Job>, StoreError> {
        self.claim_of(now, lease, want).await
    }

    async fn finish(&self, id: JobId, ended: Ended) -> Result<(), StoreError> {
        let decided = match ended {
            Ended::Done { .. } => Decided::Done,
            Ended::Waiting { next, error } => Decided::Later { at: next, error },
            Ended::Dead { error, .. } => Decided::Dead { error },
            Ended::Released { next } => Decided::Released { at: next },
        };
        Store::finish(self, id, decided).await.map(drop)
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.next_due_after(after)
    }

    async fn changed(&self) {
        // What changed between two calls is heard by the second: the receiver stays.
        if self.heard.lock().await.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
