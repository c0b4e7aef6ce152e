//! `where`: a minijinja expression over what is known of an event and its person. Narrows what fires, or which people are listed.
//!
//! What it meets at run time (a name that isn't there, a comparison that makes no sense) is false, never an error that reaches the daemon:
//! the expression was tried when the configuration was read.

use std::{collections::BTreeMap, fmt, sync::Arc};

use minijinja::{Environment, Value};

use super::{Facts, Field, Person};
use crate::{address, taxonomy::Status};

/// minijinja's instructions that one look may take.
const FUEL: u64 = 20_000;

const NAME: &str = "where";

/// The names that it may use.
pub const NAMES: [&str; 14] = [
    "address",
    "campaign",
    "count",
    "counts",
    "diagnostic",
    "domain",
    "enhanced",
    "fault",
    "fields",
    "remote_mta",
    "reply",
    "status",
    "suppressed",
    "tags",
];

#[derive(Clone)]
pub struct Filter {
    source: String,
    /// Those of [`NAMES`] that stand in it.
    names: Vec<&'static str>,
    compiled: Arc<Environment<'static>>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.source).finish()
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.source == other.source
    }
}

impl Filter {
    /// # Errors
    /// What is wrong with the expression, in one line.
    pub fn new(source: &str) -> Result<Filter, String> {
        let mut environment = Environment::empty();
        minijinja_basics(&mut environment);
        let told = |error: minijinja::Error| error.detail().unwrap_or("it is no expression").to_owned();
        let expression = environment.compile_expression(source).map_err(told)?;
        let used = expression.undeclared_variables(false);
        let names: Vec<&str> = NAMES.into_iter().filter(|name| used.contains(*name)).collect();
        let mut unknown: Vec<String> = used.into_iter().filter(|name| !NAMES.contains(&name.as_str())).collect();
        unknown.sort();
        if let Some(name) = unknown.first() {
            let near = NAMES.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
            return Err(format!("'{name}' is not known here; did you mean '{}'?", near.copied().unwrap_or_default()));
        }
        expression.eval(values(&Default::default(), &names)).map_err(told)?;
        // An expression that compiles alone can't close the block it stands in.
        environment.add_template_owned(NAME, format!("{{% if ({source}) %}}1{{% endif %}}")).map_err(told)?;
        Ok(Filter { source: source.to_owned(), names, compiled: Arc::new(environment) })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Of an event and the person as they are before the trigger's own steps.
    pub(super) fn takes(&self, facts: &Facts) -> bool {
        let (event, verdict) = (&facts.event, &facts.event.verdict);
        let tags: Vec<&str> = facts.tags.iter().map(String::as_str).collect();
        self.eval(&Subject {
            address: verdict.address.as_deref(),
            campaign: event.campaign.as_deref(),
            status: Some(verdict.status),
            enhanced: verdict.enhanced.as_deref(),
            reply: verdict.reply.as_deref(),
            diagnostic: verdict.diagnostic.as_deref(),
            remote_mta: verdict.remote_mta.as_deref(),
            count: facts.count,
            counts: facts.counts.iter().copied().collect(),
            tags,
            fields: Some(&facts.fields),
            suppressed: facts.suppressed,
        })
    }

    /// Of a person alone: what belongs to one event is empty.
    pub fn takes_person(&self, person: &Person) -> bool {
        self.eval(&Subject {
            address: person.address.as_deref(),
            counts: person.counted.totals.clone(),
            count: person.counted.totals.values().fold(0, |sum: u64, count| sum.saturating_add(*count)),
            tags: person.tags.iter().map(String::as_str).collect(),
            fields: Some(&person.fields),
            suppressed: person.suppressed,
            ..Subject::default()
        })
    }

    fn eval(&self, subject: &Subject<'_>) -> bool {
        let rendered = self.compiled.get_template(NAME).and_then(|template| template.render(values(subject, &self.names)));
        rendered.is_ok_and(|text| text == "1")
    }
}

fn minijinja_basics(environment: &mut Environment<'static>) {
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.add_filter("length", minijinja::filters::length);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("default", minijinja::filters::default);
    environment.add_test("startingwith", minijinja::tests::is_startingwith);
    environment.add_test("endingwith", minijinja::tests::is_endingwith);
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("true", minijinja::tests::is_true);
    environment.add_test("false", minijinja::tests::is_false);
    environment.add_test("in", minijinja::tests::is_in);
}

#[derive(Default)]
struct Subject<'a> {
    address: Option<&'a str>,
    campaign: Option<&'a str>,
    status: Option<Status>,
    enhanced: Option<&'a str>,
    reply: Option<&'a str>,
    diagnostic: Option<&'a str>,
    remote_mta: Option<&'a str>,
    count: u64,
    counts: BTreeMap<Status, u64>,
    tags: Vec<&'a str>,
    fields: Option<&'a BTreeMap<String, Field>>,
    suppressed: bool,
}

/// Of `names` alone: an expression names few, and each value costs.
fn values(subject: &Subject<'_>, names: &[&'static str]) -> Value {
    names.iter().map(|name| (*name, value(subject, name))).collect()
}

fn value(subject: &Subject<'_>, name: &str) -> Value {
    let text = |text: Option<&str>| Value::from(text.unwrap_or_default());
    match name {
        "address" => text(subject.address),
        "domain" => text(subject.address.and_then(address::domain)),
        "campaign" => text(subject.campaign),
        "status" => text(subject.status.map(|status| status.id())),
        "fault" => text(subject.status.map(|status| status.fault().id())),
        "enhanced" => text(subject.enhanced),
        "reply" => text(subject.reply),
        "diagnostic" => text(subject.diagnostic),
        "remote_mta" => text(subject.remote_mta),
        "count" => Value::from(subject.count),
        "counts" => {
            let count = |status: Status| subject.counts.get(&status).copied().unwrap_or_default();
            Status::ALL.into_iter().map(|status| (status.id(), Value::from(count(status)))).collect()
        }
        "tags" => subject.tags.iter().copied().collect(),
        "fields" => subject.fields.into_iter().flatten().map(|(name, field)| (name.as_str(), field.value())).collect(),
        "suppressed" => Value::from(subject.suppressed),
        _ => Value::UNDEFINED,
    }
}

impl Field {
    /// For expressions and templates.
    pub fn value(&self) -> Value {
        match self {
            Field::Text(text) => Value::from(text.as_str()),
            Field::Bool(value) => Value::from(*value),
            Field::Integer(number) => Value::from(*number),
            Field::Float(number) => Value::from(*number),
        }
    }

    /// For JSON.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Field::Text(text) => serde_json::Value::from(text.as_str()),
            Field::Bool(value) => serde_json::Value::from(*value),
            Field::Integer(number) => serde_json::Value::from(*number),
            Field::Float(number) => serde_json::Value::from(*number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Person {
        Person {
            address: Some("alice@example.org".into()),
            tags: ["vip".to_owned()].into(),
            fields: [("optout".to_owned(), Field::Bool(true)), ("plan".to_owned(), Field::Text("gold".into()))].into(),
            counted: super::super::Tally { totals: [(Status::HardBounce, 3)].into(), ..Default::default() },
            ..Person::default()
        }
    }

    #[test]
    fn of_a_person() {
        for (source, takes) in [
            ("domain == 'example.org'", true),
            ("domain == 'example.com'", false),
            ("'vip' in tags and counts['hard-bounce'] > 2", true),
            ("fields.optout", true),
            ("fields.plan == 'gold' and not suppressed", true),
            ("fields.nothing", false),
            ("address is startingwith('al')", true),
            ("diagnostic or campaign", false),
            ("count == 3", true),
            ("tags | length > 1", false),
        ] {
            let filter = Filter::new(source).unwrap_or_else(|error| panic!("{source}: {error}"));
            assert_eq!(filter.takes_person(&alice()), takes, "{source}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for source in ["", "domain ==", "domain = 'x'", "dmain == 'x'", "1) %}x{% if (1", "x|nofilter", "now()"] {
            assert!(Filter::new(source).is_err(), "{source}");
        }
        assert!(Filter::new("dmain == 'x'").unwrap_err().contains("'domain'"));
    }
}
