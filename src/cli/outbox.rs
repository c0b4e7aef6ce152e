//! `bounced outbox`: waiting, failed and dead jobs.

use std::{path::Path, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell},
};
use crate::control::{OutboxRequest, Request};

/// Waiting, failed and dead jobs
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced outbox\n          bounced outbox retry 5f0c21aa-1044-8b2f0d11-0")]
pub struct OutboxArgs {
    #[command(subcommand)]
    command: Option<OutboxCommand>,
    /// One JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum OutboxCommand {
    /// The jobs that are not done (the default)
    List {
        /// Those that were done in the last week, too
        #[arg(long)]
        all: bool,
    },
    /// Try a dead or waiting job now, under the same id
    Retry { id: String },
    /// Give a job up for good
    Drop { id: String },
}

pub fn run(config: &Path, args: &OutboxArgs) -> ExitCode {
    finish(outbox(config, args))
}

fn outbox(config: &Path, args: &OutboxArgs) -> Result<(), Failed> {
    let mut out = Output::new(args.json);
    let request = match args.command.clone().unwrap_or(OutboxCommand::List { all: false }) {
        OutboxCommand::List { all } => OutboxRequest::List { all },
        OutboxCommand::Retry { id } => OutboxRequest::Retry { id },
        OutboxCommand::Drop { id } => OutboxRequest::Drop { id },
    };
    let listing = matches!(request, OutboxRequest::List { .. });
    let rows = ask::rows(config, &Request::Outbox(request), &mut out, |row| {
        // Why it isn't even tried says more than how it failed before.
        let why = if row["reason"].is_string() { "reason" } else { "last_error" };
        ["id", "kind", "target", "state", "attempts", "next", why].map(|key| cell(&row[key])).to_vec()
    })?;
    if !args.json {
        out.table(&["id", "kind", "target", "state", "attempts", "next", "last error"], &rows)?;
        if listing && rows.is_empty() {
            out.line("Nothing waits.")?;
        }
    }
    Ok(out.flush()?)
}
