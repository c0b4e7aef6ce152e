//! What the writer is asked to do, and how it answers.

use std::sync::{Arc, mpsc::Sender};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{Decided, Recorded, StoreError, erase, fold::Fold, outbox};
use crate::{
    ledger::Input,
    outbox::{Job, JobId, Want},
};

pub type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub enum Command {
    Record {
        inputs: Arc<[Input]>,
        raw: Bytes,
        reply: Reply<Vec<Recorded>>,
    },
    Claim {
        now: Timestamp,
        until: Timestamp,
        want: Want,
        reply: Reply<Vec<Job>>,
    },
    Finish {
        id: JobId,
        decided: Decided,
        reply: Reply<bool>,
    },
    Retry {
        id: JobId,
        reply: Reply<bool>,
    },
    Drop {
        id: JobId,
        reply: Reply<bool>,
    },
    Expire {
        reply: Reply<usize>,
    },
    /// Runs all timers that are due. With `plan`, the reports' schedules are looked at first.
    Tick {
        plan: bool,
        reply: Reply<usize>,
    },
    Erase {
        step: erase::Step,
        reply: Sender<Result<(erase::Underway, u64), StoreError>>,
    },
    /// Only to show that the writer lives.
    Beat,
    Close {
        reply: Sender<Result<(), StoreError>>,
    },
}

/// A command's answer, given when the batch is durable or can't be any more.
pub type Answer = Box<dyn FnOnce(Option<&StoreError>)>;

impl Command {
    pub fn bytes(&self) -> usize {
        match self {
            Command::Record { raw, .. } => raw.len(),
            _ => 0,
        }
    }

    /// Folds the command in; its answer waits for the commit.
    pub fn fold(self, fold: &mut Fold<'_>, now: Timestamp, answers: &mut Vec<Answer>) -> Result<(), StoreError> {
        match self {
            Command::Record { inputs, raw, reply } => {
                let recorded = fold.record(&inputs, &raw, now);
                later(recorded, reply, answers)
            }
            Command::Claim { now, until, want, reply } => {
                let claimed = outbox::claim(&mut fold.rows, &mut fold.state, fold.events.folder(), now, until, &want);
                later(claimed, reply, answers)
            }
            Command::Finish { id, decided, reply } => {
                fold.jobs_changed = true;
                later(outbox::finish(&mut fold.rows, &mut fold.state, now, id, decided), reply, answers)
            }
            Command::Retry { id, reply } => {
                fold.jobs_changed = true;
                later(outbox::retry(&mut fold.rows, &mut fold.state, now, id), reply, answers)
            }
            Command::Drop { id, reply } => {
                fold.jobs_changed = true;
                later(outbox::drop_job(&mut fold.rows, &mut fold.state, id), reply, answers)
            }
            Command::Expire { .. } | Command::Tick { .. } | Command::Erase { .. } | Command::Beat | Command::Close { .. } => Ok(()),
        }
    }

    pub fn refuse(self, error: &StoreError) {
        let error = error.clone();
        // Whoever asked may have gone away; then nobody has to be told.
        match self {
            Command::Record { reply, .. } => drop(reply.send(Err(error))),
            Command::Claim { reply, .. } => drop(reply.send(Err(error))),
            Command::Finish { reply, .. } | Command::Retry { reply, .. } | Command::Drop { reply, .. } => drop(reply.send(Err(error))),
            Command::Expire { reply } | Command::Tick { reply, .. } => drop(reply.send(Err(error))),
            Command::Erase { reply, .. } => drop(reply.send(Err(error))),
            Command::Beat => {}
            Command::Close { reply } => drop(reply.send(Err(error))),
        }
    }
}

/// Keeps an answer until the batch is durable. What went wrong in folding is wrong for the whole batch.
fn later<T: 'static>(result: Result<T, StoreError>, reply: Reply<T>, answers: &mut Vec<Answer>) -> Result<(), StoreError> {
    let (answer, result) = match result {
        Ok(value) => (Ok(value), Ok(())),
        Err(error) => (Err(error.clone().into_fatal()), Err(error)),
    };
    answers.push(Box::new(move |fatal| {
        let _ = reply.send(fatal.map_or(answer, |error| Err(error.clone())));
    }));
    result
}
