//! `bounced forget ADDRESS`: erases a person for good.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use serde_json::Value;

use super::{
    ask,
    backup::progress,
    ended::{Failed, finish},
    output::{Output, printable},
};
use crate::{address, control::Request};

/// Erases a person for good
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced forget alice@example.org\n\n\
    The person's record, events, jobs and mails are overwritten, and the address wherever else it stands; totals of domains and campaigns stay.\n\
    What the database's log still holds goes at the daemon's next start: systemctl restart bounced loses no mail.\n\
    Backups made before still hold the person; so does the journal.")]
pub struct ForgetArgs {
    address: String,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Path, args: &ForgetArgs) -> ExitCode {
    finish(forget(config, args))
}

fn forget(config: &Path, args: &ForgetArgs) -> Result<(), Failed> {
    // Before the question: nobody shall say yes to a slip.
    let normal = address::normal(&args.address)
        .ok_or_else(|| Failed::Because(format!("'{}' is no mail address; write it as alice@example.org", args.address)))?;
    if !args.yes && !confirmed(&normal)? {
        return Err(Failed::Because("nothing was erased".to_owned()));
    }
    let bar = progress();
    let (mut erased, mut cleared) = (Value::Null, false);
    let asked = ask::ask(config, &Request::Forget { address: normal }, &mut |row| {
        if let Some(total) = row["total"].as_u64() {
            bar.set_length(total);
            bar.set_position(row["done"].as_u64().unwrap_or_default());
        } else if row["cleared"] == true {
            cleared = true;
        } else {
            erased = row;
        }
        Ok(())
    });
    bar.finish_and_clear();
    asked?;
    let mut out = Output::new(args.json);
    match &mut erased {
        Value::Object(row) if args.json => {
            row.insert("cleared".to_owned(), cleared.into());
            out.object(&erased)?;
        }
        row => tell(&mut out, row, cleared)?,
    }
    out.flush()?;
    match erased["damaged"].as_u64() {
        None | Some(0) => Ok(()),
        Some(damaged) => {
            Err(Failed::Because(format!("{damaged} segments can't be read to their end: what lies there isn't erased; the log names them")))
        }
    }
}

fn tell(out: &mut Output, row: &Value, cleared: bool) -> io::Result<()> {
    let count = |key: &str| row[key].as_u64().unwrap_or_default();
    let all: u64 = ["persons", "events", "jobs", "raw", "mentions"].map(count).iter().sum();
    let address = printable(row["address"].as_str().unwrap_or_default());
    if all == 0 {
        return out.line(&format!("nothing was known of {address}"));
    }
    out.line(&format!(
        "{address} is erased: {} events, {} jobs, {} mails kept; its mention in {} records of others",
        count("events"),
        count("jobs"),
        count("raw"),
        count("mentions")
    ))?;
    if cleared {
        Ok(())
    } else {
        out.line("What the database's log still holds goes at the daemon's next start: systemctl restart bounced")
    }
}

/// Only "yes" is a yes.
fn confirmed(address: &str) -> Result<bool, Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::Because("there is no terminal to ask on; give --yes".to_owned()));
    }
    let mut screen = io::stderr().lock();
    write!(screen, "erase {} for good? yes/no ", printable(address))?;
    screen.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}
