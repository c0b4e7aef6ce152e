//! How a command ended: its exit code, and what it says on standard error.

use std::{
    io::{self, ErrorKind},
    process::ExitCode,
};

use crate::{config::Errors, control::AskError};

/// Why a command failed.
pub enum Failed {
    /// Exit code 2, one error a line.
    Config(Errors),
    /// Exit code 1.
    Because(String),
    /// Whoever read standard output went away: no failure of ours.
    Pipe,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        if error.kind() == ErrorKind::BrokenPipe { Failed::Pipe } else { Failed::Because(error.to_string()) }
    }
}

impl From<AskError> for Failed {
    fn from(error: AskError) -> Failed {
        match error {
            AskError::Output(error) => error.into(),
            other => Failed::Because(other.to_string()),
        }
    }
}

/// The exit code for how a command ended; says on standard error what went wrong.
#[expect(clippy::print_stderr, reason = "the one place where commands complain")]
pub fn finish(ended: Result<(), Failed>) -> ExitCode {
    match ended {
        Ok(()) | Err(Failed::Pipe) => ExitCode::SUCCESS,
        Err(Failed::Config(errors)) => {
            eprintln!("{errors}");
            ExitCode::from(2)
        }
        Err(Failed::Because(why)) => {
            eprintln!("bounced: {why}");
            ExitCode::FAILURE
        }
    }
}
