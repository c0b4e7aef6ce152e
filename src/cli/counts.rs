//! `bounced counts`: totals by status, domain, campaign or day.

use std::{path::Path, process::ExitCode};

use clap::Args;

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell},
};
use crate::control::{By, Request};

/// Totals of what came in
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced counts --by domain")]
pub struct CountsArgs {
    /// What to count by
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    by: By,
    /// One JSON object a line: {"key":"hard-bounce","count":12}
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Path, args: &CountsArgs) -> ExitCode {
    finish(counts(config, args))
}

fn counts(config: &Path, args: &CountsArgs) -> Result<(), Failed> {
    let mut out = Output::new(args.json);
    let request = Request::Counts { by: args.by };
    let rows = ask::rows(config, &request, &mut out, |row| ["key", "count", "apart"].map(|key| cell(&row[key])).to_vec())?;
    if !args.json {
        let title = format!("{:?}", args.by);
        out.table(&[&title, "count", "apart"], &rows)?;
        if rows.is_empty() {
            out.line(match args.by {
                By::Campaign => "No mail of a campaign has come in yet.",
                By::Domain => "No mail that names a domain has come in yet.",
                By::Status | By::Day => "Nothing has come in yet.",
            })?;
        }
    }
    Ok(out.flush()?)
}
