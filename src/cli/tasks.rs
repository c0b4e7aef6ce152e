//! `bounced tasks`: what triggers left for people to do.

use std::{path::Path, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell},
};
use crate::control::{Request, TasksRequest};

/// The tasks that triggers made
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced tasks\n          bounced tasks done 5f0c21aa-1044-8b2f0d11-0")]
pub struct TasksArgs {
    #[command(subcommand)]
    command: Option<TasksCommand>,
    /// One JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum TasksCommand {
    /// The tasks that are open (the default)
    List {
        /// Those that were done in the last 30 days, too
        #[arg(long)]
        all: bool,
    },
    /// A task is done
    Done { id: String },
}

pub fn run(config: &Path, args: &TasksArgs) -> ExitCode {
    finish(tasks(config, args))
}

fn tasks(config: &Path, args: &TasksArgs) -> Result<(), Failed> {
    let request = match args.command.clone().unwrap_or(TasksCommand::List { all: false }) {
        TasksCommand::List { all } => TasksRequest::List { all },
        TasksCommand::Done { id } => TasksRequest::Done { id },
    };
    let mut out = Output::new(args.json);
    let columns = ["id", "title", "address", "assignee", "due", "state"];
    let rows = ask::rows(config, &Request::Tasks(request), &mut out, |row| columns.map(|key| cell(&row[key])).to_vec())?;
    if !args.json {
        out.table(&columns, &rows)?;
        if rows.is_empty() {
            out.line("No task is open.")?;
        }
    }
    Ok(out.flush()?)
}
