//! `bounced export`: suppressed or selected addresses, for other programs.

use std::{io, path::Path, process::ExitCode};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell},
    show::fields,
};
use crate::{action::clean, control::Request};

/// Suppressed or selected addresses
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced export --format postfix-access > /etc/postfix/suppressed && postmap /etc/postfix/suppressed\n\
    \x20         bounced export --format csv --where \"'third-strike' in tags and domain == 'example.org'\"\n\n\
    Without --where: the suppressed. An expression may use address, domain, counts, count, tags, fields, suppressed.")]
pub struct ExportArgs {
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Those whom this expression takes
    #[arg(long = "where", value_name = "EXPR")]
    filter: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With a header; fields and tags in one cell each
    Csv,
    /// One JSON object a line
    Jsonl,
    /// A table for check_recipient_access: access(5)
    PostfixAccess,
}

pub fn run(config: &Path, args: &ExportArgs) -> ExitCode {
    finish(export(config, args))
}

const COLUMNS: [&str; 7] = ["address", "suppressed", "tags", "fields", "counts", "first_seen", "last_seen"];

fn export(config: &Path, args: &ExportArgs) -> Result<(), Failed> {
    let mut out = Output::new(true);
    let request = Request::Export { filter: args.filter.clone() };
    let mut begun = args.format != Format::Csv;
    let mut heading = |out: &mut Output| match std::mem::replace(&mut begun, true) {
        true => Ok(()),
        false => out.csv(&COLUMNS.map(str::to_owned)),
    };
    ask::ask(config, &request, &mut |row| {
        heading(&mut out)?;
        match args.format {
            Format::Jsonl => out.object(&row),
            Format::Csv => out.csv(&COLUMNS.map(|key| clean::cell(&if key == "fields" { fields(&row[key]) } else { cell(&row[key]) }))),
            Format::PostfixAccess => access(&mut out, &row),
        }
    })?;
    // An expression that is wrong leaves nothing behind, nobody at all a heading.
    heading(&mut out)?;
    Ok(out.flush()?)
}

/// access(5) is read by lines and blanks: an address with either can't stand in it.
fn access(out: &mut Output, row: &Value) -> io::Result<()> {
    let address = cell(&row["address"]);
    let fits = !address.starts_with('#') && !address.contains(|c: char| c.is_whitespace() || c.is_control());
    if fits { out.line(&format!("{address} REJECT suppressed: mail to this address bounced")) } else { Ok(()) }
}
