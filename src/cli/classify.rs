//! `bounced classify`: tells what mails mean, without a store or a configuration.
//!
//! One thread reads, one for each core tells and words the rows, one writes; what goes between them goes in bounded handfuls, so memory stays the
//! same for one mail and for a million, and the rows stand in the order of the input. A file that can't be read is said on standard error, the rest goes on, and the exit
//! code is 1. A reader of standard output that goes away ends the work quietly.

use std::{
    fmt,
    io::{self, BufWriter, IsTerminal, Write},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{
    mails::{self, Mail, Unreadable},
    verdict_row::{self, MailRow},
};
use crate::{
    address,
    classify::{self, Envelope, Telling, Verdict},
    message,
    taxonomy::{Kind, Status},
};

/// Handfuls that wait before and after each telling thread.
const QUEUE: usize = 2;

/// A handful is so many mails, or as many as come to so many octets: handing over one by one would cost more than telling.
const HANDFUL: usize = 32;
const HANDFUL_OCTETS: usize = 512 * 1024;

/// Tell what bounces, auto-replies and complaints mean
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bounced classify ~/Maildir\n  bounced classify --json bounces.mbox | jq -r '.recipients[].status'\n  \
                  bounced classify --verp-rcpt 'b+spring+x+alice=example.org@returns.example.com' bounce.eml"
)]
pub struct ClassifyArgs {
    /// One JSON object a mail
    #[arg(long)]
    json: bool,
    /// The envelope recipient, a VERP address in the long form: whom it names is the truth. Its signature isn't checked here
    #[arg(long, value_name = "ADDR")]
    verp_rcpt: Option<String>,
    /// So many threads tell [default: one for each core]
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Files, folders (walked; a Maildir, too), mbox files, or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Runs the command: 0 done, 1 something couldn't be read or written, 2 bad usage.
pub fn run(args: &ClassifyArgs) -> ExitCode {
    let verp_address = match args.verp_rcpt.as_deref().map(|rcpt| verp_address(rcpt).ok_or(rcpt)) {
        None => None,
        Some(Ok(address)) => Some(address),
        Some(Err(rcpt)) => {
            complain(format_args!(
                "no address stands in --verp-rcpt '{rcpt}'; give one like b+campaign+sig+alice=example.org@returns.example.com"
            ));
            return ExitCode::from(2);
        }
    };
    let mut writer = Writer::new(args);
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    match work(&args.paths, Asked { json: args.json, verp_address: verp_address.as_deref() }, jobs, &mut writer) {
        Ok(()) if writer.unreadable == 0 => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            complain(format_args!("can't write the results: {error}; is there room where standard output goes?"));
            ExitCode::FAILURE
        }
    }
}

fn complain(what: std::fmt::Arguments<'_>) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "bounced classify: {what}");
}

/// The address in a long VERP recipient of whatever pattern: the last `=` of the local part stands for the `@`, and before it the payload begins
/// after the third `+` (form, campaign, signature), or after the last one where there are fewer.
pub fn verp_address(rcpt: &str) -> Option<String> {
    let (verp, _) = address::split(rcpt.trim().trim_matches(['<', '>']))?;
    let (before, domain) = verp.rsplit_once('=')?;
    let local = match before.splitn(4, '+').nth(3) {
        Some(local) => local,
        None => before.rsplit('+').next()?,
    };
    address::normal(&format!("{local}@{domain}"))
}

type Item = Result<Mail, Unreadable>;

/// A handful of mails on its way out.
#[derive(Default)]
struct Told {
    /// As they are to be written.
    rows: Vec<u8>,
    mails: u64,
    octets: u64,
    counts: [u64; Status::ALL.len()],
    unreadable: Vec<Unreadable>,
}

impl Told {
    fn take(&mut self, item: Item, args: &Asked<'_>) {
        let mail = match item {
            Ok(mail) => mail,
            Err(error) => return self.unreadable.push(error),
        };
        let report = message::read(&mail.raw);
        // A delivered mail's Return-Path field is the envelope's sender (RFC 5321, section 4.4).
        let envelope = Envelope { reverse_path: report.header.return_path.as_deref(), verp_address: args.verp_address };
        // One mail that can't be told must not end the run of a million.
        let telling = std::panic::catch_unwind(|| classify::tell(&report, &envelope))
            .unwrap_or_else(|_| Telling { kind: Kind::Other, verdicts: vec![Verdict::undetermined("could-not-be-told")] });
        for verdict in &telling.verdicts {
            if let Some(count) = self.counts.get_mut(verdict.status as usize) {
                *count += 1;
            }
        }
        let row = MailRow::new(&mail.source, &report.header, &telling);
        // Memory takes all that is written.
        let _ = if args.json { row.write_json(&mut self.rows) } else { row.write_columns(&mut self.rows) };
        self.mails += 1;
        self.octets += mail.raw.len() as u64;
    }
}

/// What was asked for, as each thread has to know it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    json: bool,
    verp_address: Option<&'a str>,
}

/// Deals the mails to the threads in turn and gathers the rows in the same turn: the input's order, without a table of what is missing.
fn work(paths: &[PathBuf], asked: Asked<'_>, jobs: usize, writer: &mut Writer) -> io::Result<()> {
    thread::scope(|scope| {
        let mut feeds: Vec<SyncSender<Vec<Item>>> = Vec::new();
        let mut results: Vec<Receiver<Told>> = Vec::new();
        for _ in 0..jobs {
            let (feed, fed) = sync_channel::<Vec<Item>>(QUEUE);
            let (result, gathered) = sync_channel::<Told>(QUEUE);
            scope.spawn(move || {
                for items in fed {
                    let mut told = Told::default();
                    items.into_iter().for_each(|item| told.take(item, &asked));
                    if result.send(told).is_err() {
                        return;
                    }
                }
            });
            feeds.push(feed);
            results.push(gathered);
        }
        scope.spawn(move || deal(paths, &feeds));
        for result in results.iter().cycle() {
            // The first thread in turn that has nothing left was fed nothing more, and so weren't those after it.
            let Ok(told) = result.recv() else { break };
            writer.take(told)?;
        }
        writer.finish()
    })
}

/// Deals handfuls out until nobody takes them any more.
fn deal(paths: &[PathBuf], feeds: &[SyncSender<Vec<Item>>]) {
    let mut turn = feeds.iter().cycle();
    let mut send = move |handful: Vec<Item>| turn.next().is_some_and(|feed| feed.send(handful).is_ok());
    let (mut handful, mut octets) = (Vec::new(), 0);
    mails::walk(paths, &mut |item| {
        octets += item.as_ref().map_or(0, |mail| mail.raw.len());
        handful.push(item);
        let full = handful.len() >= HANDFUL || octets >= HANDFUL_OCTETS;
        if full {
            octets = 0;
        }
        !full || send(std::mem::take(&mut handful))
    });
    if !handful.is_empty() {
        send(handful);
    }
}

/// Rows to standard output; progress, errors and the summary to standard error.
struct Writer {
    out: BufWriter<io::Stdout>,
    json: bool,
    bar: ProgressBar,
    /// Rows and the bar share the terminal.
    interactive: bool,
    counts: [u64; Status::ALL.len()],
    rows: u64,
    /// The rows for the bar, which is drawn by a thread of its own.
    shown: Arc<AtomicU64>,
    unreadable: u64,
}

impl Writer {
    fn new(args: &ClassifyArgs) -> Writer {
        let shown = Arc::new(AtomicU64::new(0));
        let bar = if io::stderr().is_terminal() { bar(&args.paths, shown.clone()) } else { ProgressBar::hidden() };
        Writer {
            out: BufWriter::new(io::stdout()),
            json: args.json,
            bar,
            interactive: io::stdout().is_terminal(),
            counts: [0; Status::ALL.len()],
            rows: 0,
            shown,
            unreadable: 0,
        }
    }

    fn take(&mut self, told: Told) -> io::Result<()> {
        for error in &told.unreadable {
            self.unreadable += 1;
            self.bar.suspend(|| complain(format_args!("{error}")));
        }
        self.counts.iter_mut().zip(told.counts).for_each(|(count, more)| *count += more);
        self.bar.inc(told.octets);
        let titled = self.json || self.rows > 0 || told.mails == 0;
        self.rows += told.mails;
        self.shown.store(self.rows, Ordering::Relaxed);
        let out = &mut self.out;
        let mut write = || {
            if !titled {
                verdict_row::write_titles(out)?;
            }
            out.write_all(&told.rows)
        };
        if !self.interactive {
            return write();
        }
        self.bar.suspend(write)?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.bar.finish_and_clear();
        // For one mail the row says it all; a program that reads it shall find nothing on standard error.
        if !self.json || self.rows > 1 || io::stderr().is_terminal() {
            let _ = self.summary(&mut io::stderr().lock());
        }
        Ok(())
    }

    /// How many recipients got which status.
    fn summary(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n{:>10}  mails", self.rows)?;
        for (status, count) in Status::ALL.iter().zip(self.counts).filter(|(_, count)| *count > 0) {
            writeln!(out, "{count:>10}  {status:<31} {}", status.title())?;
        }
        if self.unreadable > 0 {
            writeln!(out, "{:>10}  unreadable", self.unreadable)?;
        }
        Ok(())
    }
}

/// Octets measure how far it is, `mails` is said beside them.
fn bar(paths: &[PathBuf], mails: Arc<AtomicU64>) -> ProgressBar {
    let (bar, template) = match mails::octets(paths) {
        Some(total) => (ProgressBar::new(total), "{wide_bar} {mails} {bytes}/{total_bytes} {bytes_per_sec} {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {mails} {bytes} {bytes_per_sec}"),
    };
    let count = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        let mails = mails.load(Ordering::Relaxed);
        // Nobody is left to tell when this can't be written.
        let _ = write!(out, "{mails} mails, {:.0}/s", mails as f64 / state.elapsed().as_secs_f64().max(0.001));
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("mails", count));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verp_recipients_are_read_without_a_configuration() {
        for (rcpt, expected) in [
            ("b+spring+sig+alice=example.org@returns.test", Some("alice@example.org")),
            ("<B+-+sig+Alice+News=Example.ORG@returns.test>", Some("alice+news@example.org")),
            ("b+spring+sig+a=b=example.org@returns.test", Some("a=b@example.org")),
            ("bounce+alice=example.org@returns.test", Some("alice@example.org")),
            ("alice=example.org@returns.test", Some("alice@example.org")),
            ("h+spring+sig+0123456789@returns.test", None),
            ("nonsense", None),
        ] {
            assert_eq!(verp_address(rcpt).as_deref(), expected, "{rcpt}");
        }
    }
}
