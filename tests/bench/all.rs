//! All benchmarks, each beside what it is to be compared with in the same run, and one table of what they come to: `cargo bench`; one of them:
//! `cargo bench -- intake`. `cargo test --benches` runs small rounds, which show that it works.

#[path = "../support/mod.rs"]
mod support;

mod classify;
mod idle;
mod intake;
mod ledger;
mod load;
mod process;
mod sink;
mod table;
mod targets;
mod trigger;

use std::{
    env,
    io::{self, Write},
};

type Bench = fn(&mut dyn Write, bool) -> io::Result<()>;

const BENCHES: [(&str, Bench); 6] = [
    ("intake", intake::run),
    ("trigger", trigger::run),
    ("targets", targets::run),
    ("classify", classify::run),
    ("ledger", ledger::run),
    ("idle", idle::run),
];

fn main() -> io::Result<()> {
    if ledger::part_asked()? {
        return Ok(());
    }
    let (options, names): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let (timed, mut out) = (options.iter().any(|option| option == "--bench"), io::stdout());
    // Growth is a program of its own, since it ends by being killed.
    if let Some(unknown) = names.iter().find(|name| *name != "growth" && BENCHES.iter().all(|(known, _)| known != name)) {
        let known = BENCHES.map(|(name, _)| name).join(", ");
        return Err(io::Error::other(format!("there is no benchmark {unknown}; there are {known}, growth")));
    }
    for (name, bench) in BENCHES.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|asked| asked == name)) {
        writeln!(out, "\n== {name}")?;
        bench(&mut out, timed)?;
    }
    table::print(&mut out)
}
