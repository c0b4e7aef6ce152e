//! The log: one line an event on standard error, journald-friendly, or JSON.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Sets the process's log up at `level`, unless `BOUNCED_LOG` (`info`, `bounced::smtp=debug,info`) says otherwise. Under systemd the journal stamps the
/// lines, so they go without a time of their own.
pub fn start(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_env("BOUNCED_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    // A second start in one process (the demo's) keeps the first.
    let _ = match format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text if journal => log.without_time().with_target(false).try_init(),
        LogFormat::Text => log.with_target(false).try_init(),
    };
}
