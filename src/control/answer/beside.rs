//! What stands beside the people: tasks, reports, sequences, guarded domains; and the people as a whole.

use std::io;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AnswerError, Source,
    person::{person_key, person_row, record},
    refused,
};
use crate::{
    action::rfc3339,
    control::{GuardRequest, ReportRequest, SequenceRequest, TasksRequest},
    ledger::{Ending, Filter, Hand},
    outbox::JobId,
    store::TodoItem,
    verp::PersonKey,
};

type Row<'a> = &'a mut dyn FnMut(Value) -> io::Result<()>;

pub(super) fn tasks(source: &Source, request: &TasksRequest, row: Row<'_>) -> Result<(), AnswerError> {
    match request {
        TasksRequest::List { all } => {
            let now = Timestamp::now();
            for task in source.store.tasks(*all)? {
                row(task_row(&task, now))?;
            }
        }
        TasksRequest::Done { id } => {
            let job: JobId = id.parse().map_err(|_| refused(format!("'{id}' is no task's id; `bounced tasks` lists them")))?;
            let Some(person) = source.store.task_of(job)? else {
                return Err(refused(format!("no open task {id}; `bounced tasks` lists them")));
            };
            record(source, person, Hand::TaskDone(job.to_string()))?;
            let now = Timestamp::now();
            source.store.tasks(true)?.iter().filter(|task| task.id == job).try_for_each(|task| row(task_row(task, now)))?;
        }
    }
    Ok(())
}

pub(super) fn task_row(task: &TodoItem, now: Timestamp) -> Value {
    let id = task.id.to_string();
    let state = match (task.done, task.due) {
        (Some(_), _) => "done",
        (None, Some(due)) if due < now => "overdue",
        (None, _) => "open",
    };
    json!({
        "id": id,
        "title": task.todo.title_for(&task.facts, &id),
        "address": task.facts.event.verdict.address,
        "assignee": task.todo.assignee,
        "due": task.due.map(rfc3339),
        "state": state,
        "made": rfc3339(task.made),
        "trigger": task.facts.trigger,
    })
}

pub(super) fn report(source: &Source, request: &ReportRequest, row: Row<'_>) -> Result<(), AnswerError> {
    let known = |name: &str| match source.plan.reports().into_iter().find(|report| report.name == name) {
        Some(report) => Ok(report),
        None => Err(refused(format!("there is no report '{name}'; `bounced report list` names them"))),
    };
    match request {
        ReportRequest::List => {
            for report in source.plan.reports() {
                let state = source.store.report(&report.name)?;
                row(json!({
                    "name": report.name,
                    "active": report.active,
                    "people": state.people,
                    "next": state.next.map(rfc3339),
                    "last": state.last.map(rfc3339),
                    "to": report.to,
                }))?;
            }
        }
        ReportRequest::Preview { name } => {
            known(name)?;
            row(source.plan.preview(name).map_err(AnswerError::Refused)?)?;
        }
        ReportRequest::Send { name } => {
            let report = known(name)?;
            let people = source.store.report(name)?.people;
            record(source, None, Hand::Send(name.clone()))?;
            row(json!({ "name": name, "people": people, "to": report.to }))?;
        }
    }
    Ok(())
}

pub(super) fn sequence(source: &Source, request: &SequenceRequest, row: Row<'_>) -> Result<(), AnswerError> {
    let known = |name: &str| match source.plan.sequences().iter().any(|sequence| sequence == name) {
        true => Ok(()),
        false => Err(refused(format!("there is no sequence '{name}'; `bounced sequence list` names them"))),
    };
    match request {
        SequenceRequest::List => {
            for name in source.plan.sequences() {
                let members = source.store.members(&name)?;
                let next = members.iter().map(|(_, _, place)| place.due).min();
                row(json!({ "name": name, "members": members.len(), "next": next.map(rfc3339) }))?;
            }
        }
        SequenceRequest::Members { name } => {
            known(name)?;
            for (key, address, place) in source.store.members(name)? {
                row(json!({
                    "address": address,
                    "person": key.to_string(),
                    "started": rfc3339(place.started),
                    "step": place.step,
                    "due": rfc3339(place.due),
                }))?;
            }
        }
        SequenceRequest::Stop { name, address } => {
            let (normal, key): (String, PersonKey) = person_key(source, address)?;
            let is_in = source.store.person(key)?.is_some_and(|person| person.sequences.contains_key(name));
            if !is_in {
                known(name)?;
                return Err(refused(format!("{normal} is not in the sequence '{name}'; `bounced sequence members {name}` lists who is")));
            }
            record(source, Some(key), Hand::Stop(name.clone()))?;
            row(json!({ "name": name, "address": normal, "stopped": true }))?;
        }
    }
    Ok(())
}

pub(super) fn guard(source: &Source, request: &GuardRequest, row: Row<'_>) -> Result<(), AnswerError> {
    let (domain, release) = match request {
        GuardRequest::List => {
            for (domain, state) in source.store.guarded()? {
                row(json!({
                    "domain": domain,
                    "since": rfc3339(state.since),
                    "hard_bounces": state.hard_bounces,
                    "waiting": state.waiting,
                    "state": match state.ending {
                        None => "guarded",
                        Some(Ending::Release | Ending::LetGo) => "being released",
                        Some(Ending::Drop) => "being dropped",
                    },
                }))?;
            }
            return Ok(());
        }
        GuardRequest::Release { domain } => (domain.to_lowercase(), true),
        GuardRequest::Drop { domain } => (domain.to_lowercase(), false),
    };
    let guarded = source.store.guarded()?.into_iter().find(|(name, state)| *name == domain && state.ending.is_none());
    let Some((_, state)) = guarded else { return Err(refused(format!("{domain} is not guarded; `bounced guard list` shows what is"))) };
    record(source, None, Hand::Guard { domain: domain.clone(), release })?;
    Ok(row(json!({ "domain": domain, "waiting": state.waiting, "released": release }))?)
}

pub(super) fn export(source: &Source, filter: Option<&str>, row: Row<'_>) -> Result<(), AnswerError> {
    let filter = filter.map(Filter::new).transpose().map_err(|error| refused(format!("--where: {error}")))?;
    let mut ended = Ok(());
    source.store.people(|_, person| {
        let wanted = filter.as_ref().map_or(person.suppressed, |filter| filter.takes_person(&person));
        if let (true, Some(address)) = (wanted, &person.address) {
            ended = row(person_row(address, &person));
        }
        ended.is_ok()
    })?;
    Ok(ended?)
}
