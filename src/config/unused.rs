//! What is configured and does nothing: no error, and hardly meant.

use super::reader::{At, Table};
use crate::ledger::{Rules, Step};

/// Warns of sequences that nobody starts and reports that nobody fills.
pub fn warn(top: &Table<'_>, rules: &Rules) {
    let ours = rules.triggers.iter().flat_map(|trigger| &trigger.steps);
    let theirs = rules.sequences.values().flat_map(|sequence| &sequence.steps).flat_map(|step| &step.steps);
    let steps: Vec<&Step> = ours.chain(theirs).collect();
    let unused = |list: &'static str, what: &str, uses: &dyn Fn(&str, &Step) -> bool| {
        for table in top.list(list).iter().filter_map(At::table) {
            let name = table.get("name").and_then(|at| at.text()).unwrap_or_default();
            if !steps.iter().any(|step| uses(name, step)) {
                table.warn("name", format_args!("no action {what} '{name}'"));
            }
        }
    };
    unused("sequence", "starts", &|name, step| matches!(step, Step::Start(started) if started == name));
    unused("report", "fills", &|name, step| matches!(step, Step::Collect(report) if report == name));
}
