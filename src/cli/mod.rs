//! Arguments, one file a command, wiring.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage or bad configuration. Errors go to standard error, one line that says what is wrong and how to mend it.

mod alert;
mod ask;
mod check;
mod classify;
mod counts;
mod demo;
mod dns;
mod ended;
mod events;
mod explain;
mod export;
mod guard;
mod hand;
mod import;
mod mails;
mod mbox;
mod outbox;
mod output;
mod report;
mod run;
mod sequence;
mod show;
mod simulate;
mod tasks;
mod verdict_row;
mod verp;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Where the configuration lies unless `--config` or `BOUNCED_CONFIG` says otherwise.
const DEFAULT_CONFIG: &str = "/etc/bounced/bounced.toml";

/// The bounce-mailbox daemon: takes what comes back to a Return-Path domain, tells what it is, counts it per address and acts.
#[derive(Debug, Parser)]
#[command(name = "bounced", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Start with:  bounced demo\nThen:        bounced check && bounced run")]
pub struct Cli {
    /// The configuration file [default: /etc/bounced/bounced.toml]
    #[arg(long, global = true, env = "BOUNCED_CONFIG", value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Classify(classify::ClassifyArgs),
    Explain(explain::ExplainArgs),
    Show(show::ShowArgs),
    Counts(counts::CountsArgs),
    Events(events::EventsArgs),
    Verp(verp::VerpArgs),
    Outbox(outbox::OutboxArgs),
    Tasks(tasks::TasksArgs),
    Report(report::ReportArgs),
    Sequence(sequence::SequenceArgs),
    Set(hand::SetArgs),
    Tag(hand::TagArgs),
    Untag(hand::UntagArgs),
    Reset(hand::ResetArgs),
    Guard(guard::GuardArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Simulate(simulate::SimulateArgs),
    Alert(alert::AlertArgs),
    Demo(demo::DemoArgs),
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let given = cli.config.is_some();
    let config = cli.config.unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
    match cli.command {
        Command::Run(args) => run::run(&config, &args),
        Command::Check(args) => check::run(&config, &args),
        Command::Classify(args) => classify::run(&args),
        Command::Explain(args) => explain::run(&config, given, &args),
        Command::Show(args) => show::run(&config, &args),
        Command::Counts(args) => counts::run(&config, &args),
        Command::Events(args) => events::run(&config, &args),
        Command::Verp(args) => verp::run(&config, &args),
        Command::Outbox(args) => outbox::run(&config, &args),
        Command::Tasks(args) => tasks::run(&config, &args),
        Command::Report(args) => report::run(&config, &args),
        Command::Sequence(args) => sequence::run(&config, &args),
        Command::Set(args) => hand::set(&config, &args),
        Command::Tag(args) => hand::tag(&config, &args),
        Command::Untag(args) => hand::untag(&config, &args),
        Command::Reset(args) => hand::reset(&config, &args),
        Command::Guard(args) => guard::run(&config, &args),
        Command::Import(args) => import::run(&config, &args),
        Command::Simulate(args) => simulate::run(&config, &args),
        Command::Export(args) => export::run(&config, &args),
        Command::Alert(args) => alert::run(&config, &args),
        Command::Demo(args) => demo::run(&args),
    }
}
