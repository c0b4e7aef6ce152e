//! `bounced check`: every error of the configuration at once.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;

use super::{dns, output::Output};
use crate::config::Config;

/// Reads the configuration and prints every error at once
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced --config /etc/bounced/bounced.toml check --dns\n\nExit code: 0 where all is well, else 2.")]
pub struct CheckArgs {
    /// Look whether the MX of each domain points here, too
    #[arg(long)]
    dns: bool,
}

pub fn run(config: &Path, args: &CheckArgs) -> ExitCode {
    match check(config, args) {
        Ok(true) => ExitCode::SUCCESS,
        // A closed pipe leaves nobody to tell.
        Ok(false) | Err(_) => ExitCode::from(2),
    }
}

fn check(file: &Path, args: &CheckArgs) -> io::Result<bool> {
    let mut errors = io::stderr().lock();
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(wrong) => {
            writeln!(errors, "{wrong}")?;
            return Ok(false);
        }
    };
    for warning in &config.warnings {
        writeln!(errors, "warning: {}", warning.told(file))?;
    }
    let mut out = Output::new(false);
    let mut good = true;
    if args.dns {
        for finding in dns::look(&config) {
            match finding {
                Ok(line) => out.line(&line)?,
                Err(line) => {
                    good = false;
                    writeln!(errors, "{line}")?;
                }
            }
        }
    }
    if good {
        out.line(&format!("{}: no errors", file.display()))?;
    }
    out.flush()?;
    Ok(good)
}
