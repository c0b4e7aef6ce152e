//! `bounced sequence`: follow-up sequences and who is in them.

use std::{path::Path, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell},
};
use crate::control::{Request, SequenceRequest};

/// Follow-up sequences
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced sequence members remove-hard-bounces\n\
    \x20         bounced sequence stop remove-hard-bounces alice@example.org")]
pub struct SequenceArgs {
    #[command(subcommand)]
    command: SequenceCommand,
    /// One JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum SequenceCommand {
    /// The sequences, how many people are in each, and when its next step is due
    List,
    /// Who is in a sequence, and where
    Members { name: String },
    /// Take a person out
    Stop { name: String, address: String },
}

pub fn run(config: &Path, args: &SequenceArgs) -> ExitCode {
    finish(sequence(config, args))
}

fn sequence(config: &Path, args: &SequenceArgs) -> Result<(), Failed> {
    let mut out = Output::new(args.json);
    let (request, columns): (_, &[&str]) = match args.command.clone() {
        SequenceCommand::List => (SequenceRequest::List, &["name", "members", "next"]),
        SequenceCommand::Members { name } => (SequenceRequest::Members { name }, &["address", "started", "step", "due"]),
        SequenceCommand::Stop { name, address } => (SequenceRequest::Stop { name, address }, &["name", "address", "stopped"]),
    };
    let rows = ask::rows(config, &Request::Sequence(request), &mut out, |row| columns.iter().map(|key| cell(&row[*key])).collect())?;
    if !args.json {
        out.table(columns, &rows)?;
        if rows.is_empty() {
            out.line("Nobody and nothing.")?;
        }
    }
    Ok(out.flush()?)
}
