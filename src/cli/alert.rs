//! `bounced alert test`: sends one alert, to see that it arrives.

use std::{path::Path, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    ask,
    ended::{Failed, finish},
    output::Output,
};
use crate::control::Request;

/// Alerts to the operator
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced alert test")]
pub struct AlertArgs {
    #[command(subcommand)]
    command: AlertCommand,
}

#[derive(Debug, Subcommand)]
enum AlertCommand {
    /// Send one alert to [alerts] to, and say whether the relay took it
    Test,
}

pub fn run(config: &Path, args: &AlertArgs) -> ExitCode {
    let AlertCommand::Test = args.command;
    finish(test(config))
}

fn test(config: &Path) -> Result<(), Failed> {
    let mut out = Output::new(false);
    ask::ask(config, &Request::AlertTest, &mut |row| out.line(row["sent"].as_str().unwrap_or("sent")))?;
    Ok(out.flush()?)
}
