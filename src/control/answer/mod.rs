//! The answers: a request → rows, from the store. The daemon gives them over the socket; with no daemon the command asks here itself.

mod beside;
mod outbox;
mod past;
mod person;

use std::{fmt::Display, io, sync::Arc};

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{By, EventFilter, Request};
use crate::{
    action::event_row,
    intake::Intake,
    ledger::{Counts, Event},
    outbox::Targets,
    store::{self, Store, StoreError, Which},
    taxonomy::Status,
    verp::PersonKey,
};

/// Events fetched from the store at a time.
const CHUNK: usize = 500;

/// Sends one alert and says how that went.
pub type AlertTest = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What the answers need of the configuration as it is now.
pub trait Plan: Send + Sync {
    fn reports(&self) -> Vec<ReportSeen>;
    /// The names of the sequences.
    fn sequences(&self) -> Vec<String>;
    /// `[keep] events`
    fn keep_events(&self) -> std::time::Duration;
    /// What the report would send now: `{subject, text, html, file}`.
    fn preview(&self, name: &str) -> Result<Value, String>;
}

/// A report as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSeen {
    pub name: String,
    pub active: bool,
    pub to: Vec<String>,
}

/// What answers are made of.
#[derive(Clone)]
pub struct Source {
    pub store: Arc<Store>,
    /// The key of a normal address.
    pub key: Arc<dyn Fn(&str) -> PersonKey + Send + Sync>,
    pub alert_test: AlertTest,
    /// Those that are closed; none where no daemon runs.
    pub targets: Arc<Targets>,
    pub plan: Arc<dyn Plan>,
    /// For mails of the past.
    pub intake: Arc<Intake>,
    /// Where the store's changes are awaited; never called from inside it.
    pub runtime: Handle,
}

/// Answers one request, row by row. Blocks; not to be called on the runtime's own threads.
///
/// # Errors
/// One line that says what is wrong, or the sink's error.
pub fn answer(request: &Request, source: &Source, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), AnswerError> {
    match request {
        Request::Show { address } => row(person::show(source, address)?)?,
        Request::Counts { by } => counts(source, *by, row)?,
        Request::Events(filter) => events(source, filter, row)?,
        Request::Event { id } => row(event(source, *id)?)?,
        Request::Outbox(request) => outbox::outbox(source, request, row)?,
        Request::Tasks(request) => beside::tasks(source, request, row)?,
        Request::Report(request) => beside::report(source, request, row)?,
        Request::Sequence(request) => beside::sequence(source, request, row)?,
        Request::Guard(request) => beside::guard(source, request, row)?,
        Request::Hand { address, act } => row(person::by_hand(source, address, act)?)?,
        Request::Import { rcpt, fire, mails } => past::import(source, rcpt.as_ref(), *fire, mails, row)?,
        Request::Log { from } => past::log(source, *from, row)?,
        Request::Export { filter } => beside::export(source, filter.as_deref(), row)?,
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

fn refused(why: impl Display) -> AnswerError {
    AnswerError::Refused(why.to_string())
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
    let person = filter.address.as_deref().map(|address| person::person_key(source, address)).transpose()?.map(|(_, key)| key);
    let (mut left, mut below) = (filter.limit, None);
    while left > 0 {
        let limit = left.min(CHUNK);
        let found = source.store.events(&store::EventFilter { status, person, since: filter.since, below, limit })?;
        for event in &found {
            below = Some(event.id);
            row(event_row(event))?;
        }
        if found.len() < limit {
            break;
        }
        left -= limit;
    }
    Ok(())
}

fn event(source: &Source, id: u64) -> Result<Value, AnswerError> {
    let Some(mail) = source.store.event(id)?.and_then(Event::into_mail) else {
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
