//! The answers: a request → rows, from the store. The daemon gives them over the socket; with no daemon the command asks here itself.

use std::{fmt::Display, io, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::{By, EventFilter, OutboxRequest, Request, upkeep};
use crate::{
    action::{event_row, rfc3339},
    address,
    ledger::{Counts, Event, Person},
    outbox::{Job, JobId},
    store::{self, JobFilter, Store, StoreError, Which},
    taxonomy::Status,
    verp::PersonKey,
};

/// Events fetched from the store at a time.
const CHUNK: usize = 500;

/// Sends one alert and says how that went.
pub type AlertTest = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What answers are made of.
#[derive(Clone)]
pub struct Source {
    pub store: Arc<Store>,
    /// The key of a normal address.
    pub key: Arc<dyn Fn(&str) -> PersonKey + Send + Sync>,
    pub alert_test: AlertTest,
    /// Where the key that people are counted under lies, if the daemon made it itself.
    pub own_key: Option<PathBuf>,
    /// Where the store's changes are awaited; never called from inside it.
    pub runtime: Handle,
}

/// Answers one request, row by row. Blocks; not to be called on the runtime's own threads.
///
/// # Errors
/// One line that says what is wrong, or the sink's error.
pub fn answer(request: &Request, source: &Source, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    match request {
        Request::Show { address } => row(show(source, address)?)?,
        Request::Counts { by } => counts(source, *by, row)?,
        Request::Events(filter) => events(source, filter, row)?,
        Request::Event { id } => row(event(source, *id)?)?,
        Request::Outbox(request) => outbox(source, request, row)?,
        Request::Backup => upkeep::backup(source, row)?,
        Request::Forget { address } => upkeep::forget(source, address, row)?,
        Request::AlertTest => row(json!({ "sent": (source.alert_test)().map_err(AnswerError::Refused)? }))?,
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Output(#[from] io::Error),
}

pub(super) fn refused(why: impl Display) -> AnswerError {
    AnswerError::Refused(why.to_string())
}

/// The person whom an address names: by its own key, else by a sender's own id under which it was learned.
fn person_key(source: &Source, text: &str) -> Result<(String, PersonKey), AnswerError> {
    let normal = address::normal(text).ok_or_else(|| refused(format!("'{text}' is no mail address; write it as alice@example.org")))?;
    let own = (source.key)(&normal);
    if source.store.person(own)?.is_some() {
        return Ok((normal, own));
    }
    let other = source.store.persons_at(&normal)?.first().copied();
    Ok((normal, other.unwrap_or(own)))
}

fn show(source: &Source, text: &str) -> Result<Value, AnswerError> {
    let (address, key) = person_key(source, text)?;
    Ok(person_row(&address, &source.store.person(key)?.unwrap_or_default()))
}

fn person_row(address: &str, person: &Person) -> Value {
    let counts = |totals: &Counts| -> Map<String, Value> {
        totals.iter().filter(|(_, count)| **count > 0).map(|(status, count)| (status.id().to_owned(), json!(count))).collect()
    };
    let fired: Vec<Value> = person.fired.iter().map(|fired| json!({ "trigger": fired.trigger, "at": rfc3339(fired.at) })).collect();
    let mut row = json!({
        "address": address,
        "counts": counts(&person.counted.totals),
        "first_seen": person.first_seen.map(rfc3339),
        "last_seen": person.last_seen.map(rfc3339),
        "tags": person.tags,
        "fields": person.fields,
        "suppressed": person.suppressed,
        "sequences": [],
        "tasks": [],
        "fired": fired,
    });
    let apart = counts(&person.apart.totals);
    if let (Value::Object(row), false) = (&mut row, apart.is_empty()) {
        row.insert("unsigned_counts".to_owned(), Value::Object(apart));
    }
    row
}

fn counts(source: &Source, by: By, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    let by = match by {
        By::Status => return counts_by_status(source, row),
        By::Domain => store::By::Domain,
        By::Campaign => store::By::Campaign,
        By::Day => store::By::Day,
    };
    for (key, count) in source.store.counts(by)? {
        row(json!({ "key": key, "count": count }))?;
    }
    Ok(())
}

/// With what was counted apart beside it, where there is any.
fn counts_by_status(source: &Source, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    let counted = source.store.totals(Which::Counted)?;
    let (unsigned, expired) = (source.store.totals(Which::Unsigned)?, source.store.totals(Which::Expired)?);
    for status in Status::ALL {
        let of = |totals: &Counts| totals.get(&status).copied().unwrap_or_default();
        match (of(&counted), of(&unsigned).saturating_add(of(&expired))) {
            (0, 0) => {}
            (count, 0) => row(json!({ "key": status.id(), "count": count }))?,
            (count, apart) => row(json!({ "key": status.id(), "count": count, "apart": apart }))?,
        }
    }
    Ok(())
}

fn events(source: &Source, filter: &EventFilter, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    let status = filter.status.as_deref().map(str::parse::<Status>).transpose().map_err(refused)?;
    let person = filter.address.as_deref().map(|address| person_key(source, address)).transpose()?.map(|(_, key)| key);
    let (mut left, mut below) = (filter.limit, None);
    while left > 0 {
        let limit = left.min(CHUNK);
        let found = source.store.events(&store::EventFilter { status, person, since: filter.since, below, limit })?;
        for event in &found {
            let Event::MailV1(mail) = event;
            below = Some(mail.id);
            row(event_row(mail))?;
        }
        if found.len() < limit {
            break;
        }
        left -= limit;
    }
    Ok(())
}

fn event(source: &Source, id: u64) -> Result<Value, AnswerError> {
    let Some(Event::MailV1(mail)) = source.store.event(id)? else {
        return Err(refused(format!("no event {id}; it never was, or has expired; `bounced events` lists those that are kept")));
    };
    let raw = mail.raw.map(|at| source.store.raw(at)).transpose()?.flatten();
    Ok(json!({
        "event": event_row(&mail),
        "standing": mail.standing,
        "reverse_path": mail.origin.reverse_path,
        "raw": raw.map(|raw| data_encoding::BASE64.encode(&raw)),
    }))
}

fn outbox(source: &Source, request: &OutboxRequest, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    let store = &source.store;
    match request {
        OutboxRequest::List { all } => {
            for job in store.jobs(&JobFilter::default())? {
                if *all || job.state != crate::outbox::State::Done {
                    row(job_row(&job))?;
                }
            }
        }
        OutboxRequest::Retry { id } => {
            let id: JobId = id.parse().map_err(refused)?;
            if !source.runtime.block_on(store.retry(id))? {
                return Err(refused(format!("no waiting or dead job {id}; `bounced outbox list --all` lists them")));
            }
            store.job(id)?.iter().try_for_each(|job| row(job_row(job)))?;
        }
        OutboxRequest::Drop { id } => {
            let id: JobId = id.parse().map_err(refused)?;
            let job = store.job(id)?;
            if !source.runtime.block_on(store.drop_job(id))? {
                return Err(refused(format!("no job {id}; `bounced outbox list --all` lists them")));
            }
            job.iter().try_for_each(|job| row(job_row(job)))?;
        }
    }
    Ok(())
}

fn job_row(job: &Job) -> Value {
    json!({
        "id": job.id.to_string(),
        "kind": job.task.kind(),
        "target": job.task.target(),
        "state": job.state,
        "attempts": job.attempts,
        "next": rfc3339_or_null(job),
        "last_error": job.last_error,
        "trigger": Some(&job.facts.trigger).filter(|name| !name.is_empty()),
        "event": job.facts.event.id,
    })
}

/// A job that ended is not due any more.
fn rfc3339_or_null(job: &Job) -> Option<String> {
    let ended = matches!(job.state, crate::outbox::State::Done | crate::outbox::State::Dead);
    let at: Option<Timestamp> = (!ended).then_some(job.next);
    at.map(rfc3339)
}
