//! `bounced show ADDRESS`: everything known of one address.

use std::{path::Path, process::ExitCode};

use clap::Args;
use serde_json::Value;

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell, printable},
};
use crate::control::Request;

/// Everything known of one address
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced show alice@example.org")]
pub struct ShowArgs {
    address: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Path, args: &ShowArgs) -> ExitCode {
    finish(show(config, args))
}

fn show(config: &Path, args: &ShowArgs) -> Result<(), Failed> {
    let mut out = Output::new(args.json);
    ask::ask(config, &Request::Show { address: args.address.clone() }, &mut |row| {
        if out.json() { out.object(&row) } else { person(&mut out, &row) }
    })?;
    Ok(out.flush()?)
}

/// A person for people.
pub fn person(out: &mut Output, row: &Value) -> std::io::Result<()> {
    out.line(&printable(&cell(&row["address"])))?;
    let known = ["counts", "tags", "fields"].iter().any(|key| !cell(&row[*key]).is_empty()) || row["suppressed"] == true;
    if row["first_seen"].is_null() && !known {
        return out.line("  nothing is known of this address");
    }
    for (title, key) in [
        ("counts", "counts"),
        ("counts apart (unsigned or expired)", "unsigned_counts"),
        ("first seen", "first_seen"),
        ("last seen", "last_seen"),
        ("tags", "tags"),
        ("fields", "fields"),
        ("suppressed", "suppressed"),
    ] {
        let text = cell(&row[key]);
        if !text.is_empty() {
            out.line(&format!("  {title}: {}", printable(&text)))?;
        }
    }
    for place in row["sequences"].as_array().into_iter().flatten() {
        out.line(&format!(
            "  in sequence {}: step {}, due {}",
            printable(&cell(&place["name"])),
            cell(&place["step"]),
            cell(&place["due"])
        ))?;
    }
    for task in row["tasks"].as_array().into_iter().flatten() {
        out.line(&format!("  open task: {}", cell(task)))?;
    }
    for fired in row["fired"].as_array().into_iter().flatten() {
        out.line(&format!("  fired: {} at {}", printable(&cell(&fired["trigger"])), cell(&fired["at"])))?;
    }
    Ok(())
}
