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

/// As `bounced set` takes them.
pub fn fields(of: &Value) -> String {
    let one = |(name, value): (&String, &Value)| match value {
        Value::String(text) if text.is_empty() || text.contains([' ', ',', '"']) => format!("{name}={value}"),
        value => format!("{name}={}", cell(value)),
    };
    of.as_object().map(|fields| fields.iter().map(one).collect::<Vec<_>>().join(", ")).unwrap_or_default()
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
        let text = if key == "fields" { fields(&row[key]) } else { cell(&row[key]) };
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
        let (id, title) = (cell(&task["id"]), printable(&cell(&task["title"])));
        let due = if task["due"].is_null() { String::new() } else { format!(", due {}", cell(&task["due"])) };
        out.line(&format!("  {} task {id}: {title}{due}", cell(&task["state"])))?;
    }
    if let Some(domain) = row["guarded"].as_str() {
        let domain = printable(domain);
        out.line(&format!("  {domain} is guarded: what triggers do on hard bounces waits; see bounced guard list"))?;
    }
    for fired in row["fired"].as_array().into_iter().flatten() {
        out.line(&format!("  fired: {} at {}", printable(&cell(&fired["trigger"])), cell(&fired["at"])))?;
    }
    Ok(())
}
