//! The outbox's view of the store.

use jiff::Timestamp;

use super::{Decided, Store, StoreError};
use crate::outbox::{Ended, Job, JobId, Jobs, Want};

impl Jobs for Store {
    type Error = StoreError;

    async fn claim(&self, now: Timestamp, lease: Timestamp, want: Want) -> Result<Vec<Job>, StoreError> {
        Store::claim(self, now, lease.duration_since(now), want.max).await
    }

    async fn finish(&self, id: JobId, ended: Ended) -> Result<(), StoreError> {
        let decided = match ended {
            Ended::Done { .. } => Decided::Done,
            Ended::Waiting { next, error } => Decided::Later { at: next, error },
            Ended::Dead { error, .. } => Decided::Dead { error },
        };
        Store::finish(self, id, decided).await.map(|_| ())
    }

    async fn next_due(&self, _after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Store::next_due(self)
    }

    async fn changed(&self) {
        let mut changed = self.jobs_changed();
        let _ = changed.changed().await;
    }
}
