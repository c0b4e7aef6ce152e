//! The `bounced` command. Everything is in the library, along the way of a mail.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Tests alone are built with places to die at, and name them in FAILPOINTS.
    let _scenario = fail::has_failpoints().then(fail::FailScenario::setup);
    bounced::cli::main()
}
