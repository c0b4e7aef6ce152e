//! A store under rules as people write them, and everything that it says when it is asked.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use bounced::{
    action::{ReportTask, Task, Todo},
    ledger::{Comparator, Days, Per, ReportRule, Rules, Sequence, SequenceStep, Step},
    store::{By, EventFilter, JobFilter, Store, StoreError, Which},
};
use jiff::{SpanFieldwise, ToSpan};

use super::trigger;

pub const SEQUENCE: &str = "follow-up";
pub const REPORT: &str = "clean-up";

/// At the second bounce of a person a post, a tag, a task and a sequence: its first step at once, the next after an hour.
pub fn rules() -> Arc<Rules> {
    let mut second = trigger("second", Per::Address, Comparator::Exactly(2));
    second.steps.push(todo("look at {{ address }}"));
    second.steps.push(Step::Start(SEQUENCE.to_owned()));
    let step = |name: &str, after: SpanFieldwise, steps| SequenceStep { name: name.to_owned(), after, days: Days::Any, at: None, steps };
    let steps = vec![
        step("at once", SpanFieldwise(0.seconds()), vec![Step::Tag("begun".to_owned()), todo("begin with {{ address }}")]),
        step("later", SpanFieldwise(1.hour()), vec![Step::Tag("later".to_owned()), Step::Collect(REPORT.to_owned())]),
    ];
    let task = ReportTask {
        name: REPORT.to_owned(),
        delivery: 0,
        from: None,
        to: vec!["ops@example.com".to_owned()],
        subject: "clean up".to_owned(),
        body: None,
        html: None,
        fields: vec!["address".to_owned()],
    };
    Arc::new(Rules {
        triggers: vec![second, trigger("all", Per::All, Comparator::Every(10))],
        sequences: BTreeMap::from([(SEQUENCE.to_owned(), Sequence { name: SEQUENCE.to_owned(), steps })]),
        reports: BTreeMap::from([(REPORT.to_owned(), ReportRule { active: true, schedule: None, send_empty: false, task })]),
        ..Rules::default()
    })
}

fn todo(title: &str) -> Step {
    Step::Job(Task::Todo(Todo { title: title.to_owned(), assignee: None, due: None, mail: false }))
}

/// All that can be asked of a store, as text; the first thing that can't be read otherwise.
pub fn everything(store: &Store) -> Result<String, StoreError> {
    let mut said = String::new();
    let mut say = |what: &str, value: &dyn std::fmt::Debug| writeln!(said, "{what}: {value:?}").unwrap();
    for which in [Which::Counted, Which::Unsigned, Which::Expired, Which::Own] {
        say("totals", &store.totals(which)?);
    }
    for by in [By::Status, By::Domain, By::Campaign, By::Day] {
        say("counts", &store.counts(by)?);
    }
    let events = store.events(&EventFilter::default())?;
    for event in &events {
        say("event", event);
        if let Some(at) = event.raw {
            say("raw", &store.raw(at)?);
        }
    }
    let mut people = Vec::new();
    store.people(|key, person| {
        people.push((key, person));
        true
    })?;
    people.iter().for_each(|person| say("person", person));
    for job in store.jobs(&JobFilter::default())? {
        say("job", &job);
    }
    say("jobs", &store.job_counts()?);
    say("next", &store.next_due()?);
    store.tasks(true)?.iter().for_each(|task| say("task", task));
    store.members(SEQUENCE)?.iter().for_each(|member| say("member", member));
    let report = store.report(REPORT)?;
    say("report", &report);
    say("collected", &store.collected(REPORT, 1)?);
    say("guarded", &store.guarded()?);
    let mut from = 1;
    loop {
        let log = store.log(from)?;
        let Some(last) = log.last() else { break };
        from = last.id() + 1;
        log.iter().for_each(|event| say("log", event));
    }
    say("last", &store.last_event()?);
    Ok(said)
}
