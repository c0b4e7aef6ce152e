//! `bounced import`: mails of the past into the counts.
//!
//! Some hundred go in one commit; a file that can't be read is said on standard error and the rest goes on. Whatever stops it, it can be run
//! again: nothing is counted twice.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use data_encoding::BASE64;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{
    ask::Asking,
    ended::{Failed, finish},
    mails,
    output::{Output, cell, printable},
};
use crate::control::Request;

/// A request holds so many mails or octets at most.
const MAILS: usize = 256;
const OCTETS: usize = 4 << 20;

/// So many that were left out are told one by one.
const TOLD: usize = 20;

/// Record bounces of the past: a Maildir, an mbox or files
#[derive(Debug, Args)]
#[command(
    after_help = "Example:  bounced import /var/mail/bounces\n          bounced import --rcpt bounces@returns.example.com old-bounces.mbox\n\n\
    The time is that of the topmost Received, the recipient Delivered-To, X-Original-To or --rcpt. The age of a VERP stamp is passed over.\n\
    Counts and tags only; with --fire triggers act as if the mails came in now. What was recorded before is not counted again."
)]
pub struct ImportArgs {
    /// For whom the mails came: an address of ours
    #[arg(long, value_name = "ADDR")]
    rcpt: Option<String>,
    /// Let triggers mail, post, start sequences and all else
    #[arg(long)]
    fire: bool,
    /// One JSON object at the end
    #[arg(long)]
    json: bool,
    /// Files, folders (walked; a Maildir, too), mbox files, or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub fn run(config: &Path, args: &ImportArgs) -> ExitCode {
    finish(import(config, args))
}

fn import(config: &Path, args: &ImportArgs) -> Result<(), Failed> {
    let mut import = Import {
        asking: Asking::new(config)?,
        args,
        bar: bar(&args.paths),
        batch: Vec::new(),
        sources: Vec::new(),
        octets: 0,
        done: Done::default(),
    };
    let mut ended = Ok(());
    mails::walk(&args.paths, &mut |mail| {
        ended = match mail {
            Ok(mail) => import.take(mail.source, &mail.raw),
            Err(unreadable) => {
                import.done.unreadable += 1;
                import.say(&unreadable.to_string());
                Ok(())
            }
        };
        ended.is_ok()
    });
    let ended = ended.and_then(|()| import.send());
    import.bar.finish_and_clear();
    let (done, asking) = (import.done, import.asking);
    asking.close()?;
    ended?;
    done.print(args.json)?;
    if done.unreadable > 0 { Err(Failed::Because(format!("{} files could not be read", done.unreadable))) } else { Ok(()) }
}

struct Import<'a> {
    asking: Asking,
    args: &'a ImportArgs,
    bar: ProgressBar,
    batch: Vec<String>,
    sources: Vec<String>,
    octets: usize,
    done: Done,
}

#[derive(Default)]
struct Done {
    statuses: BTreeMap<String, u64>,
    fired: BTreeMap<String, u64>,
    counted: u64,
    known: u64,
    too_old: u64,
    not_ours: u64,
    unreadable: u64,
}

impl Import<'_> {
    fn take(&mut self, source: String, raw: &[u8]) -> Result<(), Failed> {
        self.batch.push(BASE64.encode(raw));
        self.sources.push(source);
        self.octets += raw.len();
        if self.batch.len() >= MAILS || self.octets >= OCTETS { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Failed> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mails = std::mem::take(&mut self.batch);
        let request = Request::Import { rcpt: self.args.rcpt.clone(), fire: self.args.fire, mails };
        let mut rows = Vec::new();
        self.asking.ask(&request, &mut |row| {
            rows.push(row);
            Ok(())
        })?;
        for (source, row) in std::mem::take(&mut self.sources).iter().zip(&rows) {
            if let Some(why) = self.done.add(row)
                && self.done.not_ours <= TOLD as u64
            {
                self.say(&format!("{source}: {why}"));
            }
        }
        self.bar.inc(u64::try_from(std::mem::take(&mut self.octets)).unwrap_or(0));
        self.bar.set_message(format!("{} counted", self.done.counted));
        Ok(())
    }

    fn say(&self, what: &str) {
        self.bar.suspend(|| {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "bounced import: {}", printable(what));
        });
    }
}

impl Done {
    /// Gives why it was left out, where that is the mail's own matter.
    fn add(&mut self, row: &Value) -> Option<String> {
        match row["outcome"].as_str() {
            Some("counted") => {
                self.counted += 1;
                *self.statuses.entry(cell(&row["status"])).or_default() += 1;
                for name in row["fired"].as_array().into_iter().flatten() {
                    *self.fired.entry(cell(name)).or_default() += 1;
                }
            }
            Some("known") => self.known += 1,
            Some("too-old") => self.too_old += 1,
            _ => {
                self.not_ours += 1;
                return Some(cell(&row["why"]));
            }
        }
        None
    }

    fn print(&self, json: bool) -> io::Result<()> {
        let mut out = Output::new(json);
        if json {
            out.object(&serde_json::json!({
                "counted": self.counted,
                "known": self.known,
                "too_old": self.too_old,
                "not_ours": self.not_ours,
                "unreadable": self.unreadable,
                "statuses": self.statuses,
                "fired": self.fired,
            }))?;
            return out.flush();
        }
        let rows = |counts: &BTreeMap<String, u64>| -> Vec<Vec<String>> {
            counts.iter().map(|(name, count)| vec![name.clone(), count.to_string()]).collect()
        };
        out.table(&["status", "mails"], &rows(&self.statuses))?;
        if !self.fired.is_empty() {
            out.table(&["trigger", "fired"], &rows(&self.fired))?;
        }
        out.line(&format!(
            "{} counted, {} known already, {} older than [keep] events, {} for nobody of ours.",
            self.counted, self.known, self.too_old, self.not_ours
        ))?;
        out.flush()
    }
}

/// On a terminal only.
fn bar(paths: &[PathBuf]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = mails::octets(paths).map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let form = "{bar:30} {bytes} of {total_bytes} ({bytes_per_sec}, {eta} left) {msg}";
    bar.with_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
