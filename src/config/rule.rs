//! `[[rule]]`: the operator's own rules for telling mail, compiled as they are read.

use std::sync::Arc;

use super::{
    names,
    reader::{At, Table},
    status,
};
use crate::{
    classify::{OperatorRule, OperatorRules},
    taxonomy::Status,
};

/// More would be a table of one's own.
const MOST: usize = 1000;

/// All rules, in the file's order.
pub fn read(top: &Table<'_>) -> Arc<OperatorRules> {
    let items = top.list("rule");
    if items.len() > MOST {
        top.fail("rule", format_args!("stands {} times, and may {MOST} times", items.len()));
        return Arc::default();
    }
    let mut names: Vec<String> = Vec::new();
    let mut rules = Vec::new();
    for (place, table) in items.iter().filter_map(At::table).enumerate() {
        let name = table.or("name", format!("operator-{}", place + 1), names::name);
        if names.contains(&name) {
            table.fail("name", format_args!("'{name}' is another rule's name already; verdicts show it, so choose another"));
        }
        rules.extend(rule(&name, table));
        names.push(name);
    }
    // Only whole lists are judged: one with errors is refused anyway.
    if rules.len() < items.len() {
        return Arc::default();
    }
    match OperatorRules::new(rules) {
        Ok(rules) => Arc::new(rules),
        Err(why) => {
            top.fail("rule", why);
            Arc::default()
        }
    }
}

fn rule(name: &str, table: Table<'_>) -> Option<OperatorRule> {
    let phrase = table.get("phrase");
    let regex = table.get("regex");
    let status = table.need("status", "\"hard-bounce\"").and_then(|at| status::single(&at));
    let domain = table.get("domain").and_then(|at| at.parsed(names::domain));
    let rule = match (phrase, regex) {
        (Some(_), Some(_)) => {
            table.fail("regex", "stands beside phrase; keep one of them, and write a second rule for the other");
            None
        }
        (None, None) => {
            table.fail("phrase", "is missing; write it as phrase = \"account on holiday\", or regex = \"…\"");
            None
        }
        (Some(at), None) => compile(&at, OperatorRule::phrase, name, status, &domain),
        (None, Some(at)) => compile(&at, OperatorRule::regex, name, status, &domain),
    };
    table.close();
    rule
}

type Compile = fn(&str, &str, Status, Option<&str>) -> Result<OperatorRule, String>;

fn compile(at: &At<'_>, by: Compile, name: &str, status: Option<Status>, domain: &Option<String>) -> Option<OperatorRule> {
    // Judged even where the status is wrong, so that all errors come at once.
    let compiled = at.ok(by(name, at.text()?, status.unwrap_or(Status::Undetermined), domain.as_deref()));
    compiled.filter(|_| status.is_some())
}
