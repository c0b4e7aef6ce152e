//! What a template may name: the job's facts under fixed names. Pure.
//!
//! A fact that is absent is the empty text, so that `{% if diagnostic %}` and every filter work on it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use minijinja::{
    Value,
    value::{Enumerator, Object},
};

use crate::{address, ledger::Facts, taxonomy::Status};

/// Every name that a template may use.
pub const NAMES: [&str; 34] = [
    "action",
    "address",
    "at",
    "campaign",
    "client",
    "count",
    "counts",
    "diagnostic",
    "domain",
    "enhanced",
    "envelope_id",
    "event",
    "evidence",
    "fault",
    "fields",
    "fired",
    "job",
    "local",
    "message_id",
    "new_address",
    "original_message_id",
    "rcpt",
    "remote_mta",
    "reply",
    "reported_address",
    "reporting_mta",
    "returns",
    "rule",
    "status",
    "status_title",
    "subject",
    "suppressed",
    "tags",
    "trigger",
];

/// The values of [`NAMES`] for one job.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) values: Value,
}

/// A person's fields. What nobody set is the empty text like any fact that is absent: which fields there are is known to no configuration.
#[derive(Debug)]
struct Fields(BTreeMap<String, Value>);

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        Some(self.0.get(name).cloned().unwrap_or_else(|| Value::from("")))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|name| Value::from(name.as_str())).collect())
    }
}

impl Context {
    /// `job` is the job's id as text.
    pub fn new(facts: &Facts, job: &str) -> Context {
        let (event, verdict, origin) = (&facts.event, &facts.event.verdict, &facts.event.origin);
        let (local, domain) = verdict.address.as_deref().and_then(address::split).unzip();
        let counts: BTreeMap<&str, u64> = Status::ALL
            .into_iter()
            .map(|status| (status.id(), facts.counts.iter().find(|(of, _)| *of == status).map_or(0, |(_, count)| *count)))
            .collect();
        let texts = [
            ("action", verdict.action.map(|action| action.id())),
            ("address", verdict.address.as_deref()),
            ("campaign", event.campaign.as_deref()),
            ("client", origin.client.as_deref()),
            ("diagnostic", verdict.diagnostic.as_deref()),
            ("domain", domain),
            ("enhanced", verdict.enhanced.as_deref()),
            ("envelope_id", origin.envelope_id.as_deref()),
            ("evidence", verdict.evidence.as_deref()),
            ("fault", Some(verdict.status.fault().id())),
            ("job", Some(job)),
            ("local", local),
            ("message_id", origin.message_id.as_deref()),
            ("new_address", verdict.new_address.as_deref()),
            ("original_message_id", origin.original_message_id.as_deref()),
            ("rcpt", Some(origin.rcpt.as_str())),
            ("remote_mta", verdict.remote_mta.as_deref()),
            ("reply", verdict.reply.as_deref()),
            ("reported_address", verdict.reported_address.as_deref()),
            ("reporting_mta", verdict.reporting_mta.as_deref()),
            ("returns", verdict.returns.as_deref()),
            ("rule", Some(verdict.rule.as_str())),
            ("status", Some(verdict.status.id())),
            ("status_title", Some(verdict.status.title())),
            ("subject", origin.subject.as_deref()),
            ("trigger", Some(facts.trigger.as_str())),
        ];
        let mut values: BTreeMap<&str, Value> =
            texts.into_iter().map(|(name, text)| (name, Value::from(text.unwrap_or_default()))).collect();
        values.insert("at", Value::from(rfc3339(event.at)));
        values.insert("count", Value::from(facts.count));
        values.insert("counts", Value::from_serialize(&counts));
        values.insert("event", Value::from(event.id));
        values.insert("fired", Value::from_serialize(&event.fired));
        let fields = facts.fields.iter().map(|(name, field)| (name.clone(), field.value())).collect();
        values.insert("fields", Value::from_object(Fields(fields)));
        values.insert("suppressed", Value::from(facts.suppressed));
        values.insert("tags", Value::from_serialize(&facts.tags));
        Context { values: Value::from_serialize(&values) }
    }

    /// Invented facts, every one of them present, to try templates with.
    pub fn sample() -> Context {
        Context::new(&sample_facts(), "00000000-1-00000000-0")
    }

    /// Facts of a mail that told nothing.
    pub fn bare() -> Context {
        let mut facts = sample_facts();
        facts.event.verdict = crate::classify::Verdict::undetermined("none");
        facts.event.campaign = None;
        facts.event.origin = crate::ledger::Origin::default();
        (facts.tags, facts.counts, facts.event.fired) = (vec![], vec![], vec![]);
        (facts.fields, facts.suppressed) = (BTreeMap::new(), false);
        Context::new(&facts, "00000000-1-00000000-0")
    }
}

/// RFC 3339 in UTC, whole seconds.
pub fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Invented facts, every one of them present.
pub fn sample_facts() -> Facts {
    use crate::{
        classify::Verdict,
        ledger::{MailEvent, Origin, Standing},
        taxonomy::Action,
    };
    let some = |text: &str| Some(text.to_owned());
    Facts {
        event: MailEvent {
            id: 1,
            at: Timestamp::UNIX_EPOCH,
            person: None,
            campaign: some("news"),
            standing: Standing::Full,
            verdict: Verdict {
                address: some("alice@example.org"),
                reported_address: some("alice@example.net"),
                status: Status::HardBounce,
                action: Some(Action::Failed),
                enhanced: some("5.1.1"),
                reply: some("550"),
                diagnostic: some("550 5.1.1 <alice@example.org>: user unknown"),
                remote_mta: some("mx.example.org"),
                reporting_mta: some("mta.example.com"),
                rule: "user-unknown".to_owned(),
                evidence: some("user unknown"),
                returns: some("2026-01-01"),
                new_address: some("alice@example.com"),
            },
            origin: Origin {
                rcpt: "b+news+sig+alice=example.org@returns.example.com".to_owned(),
                reverse_path: some(""),
                client: some("192.0.2.1"),
                message_id: some("<1@mta.example.com>"),
                subject: some("Undelivered Mail Returned to Sender"),
                original_message_id: some("<2@example.com>"),
                envelope_id: some("envelope"),
                signed: true,
            },
            fired: vec!["sample".to_owned()],
            raw: None,
        },
        trigger: "sample".to_owned(),
        count: 3,
        tags: vec!["tag".to_owned()],
        counts: vec![(Status::HardBounce, 3)],
        fields: [("optout".to_owned(), crate::ledger::Field::Bool(true))].into(),
        suppressed: true,
    }
}

/// A job at its first attempt, to try what carries it out with.
#[cfg(test)]
pub(super) fn sample_job(
    id: crate::outbox::JobId,
    task: super::Task,
    facts: Facts,
    others: Vec<crate::outbox::Part>,
) -> crate::outbox::Job {
    crate::outbox::Job {
        id,
        task,
        facts,
        others,
        beyond: 0,
        state: crate::outbox::State::Running,
        attempts: 1,
        created: Timestamp::UNIX_EPOCH,
        next: Timestamp::UNIX_EPOCH,
        last_error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_value_and_no_other() {
        for context in [Context::sample(), Context::bare()] {
            let mut keys: Vec<String> = context.values.try_iter().unwrap().map(|key| key.to_string()).collect();
            keys.sort();
            assert_eq!(keys, NAMES);
        }
    }

    #[test]
    fn times_are_whole_seconds_utc() {
        assert_eq!(rfc3339("2026-11-23T04:41:00.987654321Z".parse().unwrap()), "2026-11-23T04:41:00Z");
    }
}
