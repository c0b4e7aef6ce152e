//! `bounced guard`: what waits of domains whose hard bounces surged.

use std::{path::Path, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell},
};
use crate::control::{GuardRequest, Request};

/// What the guard holds back
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced guard list\n          bounced guard drop example.org\n\n\
    release: the provider meant it; all that waits is done now.\n\
    drop: the provider was wrong; what waits is thrown away, and these people's hard bounces are counted from none.")]
pub struct GuardArgs {
    #[command(subcommand)]
    command: GuardCommand,
    /// One JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum GuardCommand {
    /// The guarded domains and how much waits
    List,
    /// Do what waits, and guard the domain no longer
    Release { domain: String },
    /// Throw away what waits, and guard the domain no longer
    Drop { domain: String },
}

pub fn run(config: &Path, args: &GuardArgs) -> ExitCode {
    finish(guard(config, args))
}

fn guard(config: &Path, args: &GuardArgs) -> Result<(), Failed> {
    let mut out = Output::new(args.json);
    let (request, columns): (_, &[&str]) = match args.command.clone() {
        GuardCommand::List => (GuardRequest::List, &["domain", "since", "hard_bounces", "waiting", "state"]),
        GuardCommand::Release { domain } => (GuardRequest::Release { domain }, &["domain", "waiting", "released"]),
        GuardCommand::Drop { domain } => (GuardRequest::Drop { domain }, &["domain", "waiting", "released"]),
    };
    let rows = ask::rows(config, &Request::Guard(request), &mut out, |row| columns.iter().map(|key| cell(&row[*key])).collect())?;
    if !args.json {
        out.table(columns, &rows)?;
        if rows.is_empty() {
            out.line("No domain is guarded.")?;
        }
    }
    Ok(out.flush()?)
}
