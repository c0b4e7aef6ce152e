//! The `bounced` command. Everything is in the library, along the way of a mail.

use std::process::ExitCode;

fn main() -> ExitCode {
    bounced::cli::main()
}
