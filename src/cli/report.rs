//! `bounced report`: what reports have collected, a look at the next one, and sending it now.

use std::{path::Path, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    ask,
    ended::{Failed, finish},
    output::{Output, cell, printable},
};
use crate::control::{ReportRequest, Request};

/// Fulfillment reports
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced report list\n          bounced report preview clean-up-bounced-messages\n\
    \x20         bounced report send clean-up-bounced-messages")]
pub struct ReportArgs {
    #[command(subcommand)]
    command: ReportCommand,
    /// One JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum ReportCommand {
    /// The reports and how many people they have collected
    List,
    /// What would be sent now; nothing is sent, and the people stay
    Preview {
        name: String,
        /// The HTML instead of the text
        #[arg(long)]
        html: bool,
    },
    /// Send it now, active or not
    Send { name: String },
}

pub fn run(config: &Path, args: &ReportArgs) -> ExitCode {
    finish(report(config, args))
}

fn report(config: &Path, args: &ReportArgs) -> Result<(), Failed> {
    let mut out = Output::new(args.json);
    let columns = ["name", "active", "people", "next", "last", "to"];
    match &args.command {
        ReportCommand::List => {
            let request = Request::Report(ReportRequest::List);
            let rows = ask::rows(config, &request, &mut out, |row| columns.map(|key| cell(&row[key])).to_vec())?;
            if !args.json {
                out.table(&columns, &rows)?;
                if rows.is_empty() {
                    out.line("No report is configured.")?;
                }
            }
        }
        ReportCommand::Preview { name, html } => {
            let request = Request::Report(ReportRequest::Preview { name: name.clone() });
            ask::ask(config, &request, &mut |row| {
                if args.json {
                    return out.object(&row);
                }
                if *html {
                    return out.line(&cell(&row["html"]));
                }
                out.line(&format!("Subject: {}\n", printable(&cell(&row["subject"]))))?;
                cell(&row["text"]).lines().try_for_each(|line| out.line(&printable(line)))
            })?;
        }
        ReportCommand::Send { name } => {
            let request = Request::Report(ReportRequest::Send { name: name.clone() });
            ask::ask(config, &request, &mut |row| {
                if args.json {
                    return out.object(&row);
                }
                let people = if row["people"] == 1 { "person" } else { "people" };
                out.line(&format!("{name} goes to {} with {} {people}.", cell(&row["to"]), cell(&row["people"])))
            })?;
        }
    }
    Ok(out.flush()?)
}
