//! Jobs: waiting, failed and dead ones.

use std::io;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AnswerError, Source, refused};
use crate::{
    action::rfc3339,
    control::OutboxRequest,
    outbox::{Job, JobId, State, Targets},
    store::JobFilter,
};

pub(super) fn outbox(source: &Source, request: &OutboxRequest, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    let store = &source.store;
    match request {
        OutboxRequest::List { all } => {
            for job in store.jobs(&JobFilter::default())? {
                if *all || job.state != State::Done {
                    row(job_row(&job, &source.targets))?;
                }
            }
        }
        OutboxRequest::Retry { id } => {
            let id: JobId = id.parse().map_err(refused)?;
            if !source.runtime.block_on(store.retry(id))? {
                return Err(refused(format!("no waiting or dead job {id}; `bounced outbox list --all` lists them")));
            }
            // Whoever retries has mended something.
            source.targets.hurry();
            store.job(id)?.iter().try_for_each(|job| row(job_row(job, &source.targets)))?;
        }
        OutboxRequest::Drop { id } => {
            let id: JobId = id.parse().map_err(refused)?;
            let job = store.job(id)?;
            if !source.runtime.block_on(store.drop_job(id))? {
                return Err(refused(format!("no job {id}; `bounced outbox list --all` lists them")));
            }
            job.iter().try_for_each(|job| row(job_row(job, &source.targets)))?;
        }
    }
    Ok(())
}

fn job_row(job: &Job, targets: &Targets) -> Value {
    let closed = Some(job).filter(|job| job.state == State::Waiting).and_then(|job| targets.of(job));
    json!({
        "id": job.id.to_string(),
        "kind": job.task.kind(),
        "target": job.task.target(),
        "state": job.state,
        "attempts": job.attempts,
        "next": rfc3339_or_null(job),
        "last_error": job.last_error,
        "reason": closed.map(|closed| format!("the target fails; next attempt at {}: {}", rfc3339(closed.until), closed.error)),
        "trigger": Some(&job.facts.trigger).filter(|name| !name.is_empty()),
        "event": job.facts.event.id,
    })
}

/// A job that ended is not due any more.
fn rfc3339_or_null(job: &Job) -> Option<String> {
    let ended = matches!(job.state, State::Done | State::Dead);
    let at: Option<Timestamp> = (!ended).then_some(job.next);
    at.map(rfc3339)
}
