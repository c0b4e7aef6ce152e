//! `bounced simulate`: what another configuration would have fired on the mails that are kept.
//!
//! The log of all inputs is replayed, at its own times, into a store of its own in a folder for temporary files, with the very ledger that
//! the daemon has; nothing goes out, and the true store is only read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use data_encoding::BASE64;
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde_json::json;

use super::{
    ask::Asking,
    ended::{Failed, finish},
    events::since,
    output::{Output, printable},
};
use crate::{
    config::Config,
    control::Request,
    ledger::{Event, HandInput, Import, Input, MailEvent, MailInput},
    store::{Options, Platter, Store},
};

/// So many events are replayed at once, where no timer falls due among them.
const BATCH: usize = 256;

/// Addresses told of one trigger, on a terminal and in JSON.
const SHOWN: usize = 5;
const LISTED: usize = 10_000;

/// Replay the kept events against another configuration: what would have fired
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced --config /etc/bounced/new.toml simulate --since '30 days'\n\n\
    Changes nothing, and works while the daemon runs. Counting begins with the oldest event that is kept; --since only says from when on \
    firings are told.")]
pub struct SimulateArgs {
    /// Tell what would have fired from then on: 2026-11-01, or so long ago: 30 days
    #[arg(long, value_parser = since, value_name = "TIME")]
    since: Option<Timestamp>,
    /// One JSON object a trigger, with all addresses
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Path, args: &SimulateArgs) -> ExitCode {
    finish(simulate(config, args))
}

fn simulate(config: &Path, args: &SimulateArgs) -> Result<(), Failed> {
    // The new file names the daemon's socket and folder as the old one does: there the events are.
    let mut asking = Asking::new(config)?;
    let mut replay = Replay::new(&asking.config, args.since.unwrap_or(Timestamp::MIN))?;
    let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    let (mut from, mut seen) = (0, 0_u64);
    loop {
        let mut piece: Option<String> = None;
        asking.ask(&Request::Log { from }, &mut |row| {
            piece = row.as_str().map(str::to_owned);
            Ok(())
        })?;
        let Some(piece) = piece else { break };
        let damaged = || Failed::Because("the daemon's answer makes no sense; is it of another version? restart it".to_owned());
        let bytes = BASE64.decode(piece.as_bytes()).map_err(|_| damaged())?;
        let events: Vec<Event> = postcard::from_bytes(&bytes).map_err(|_| damaged())?;
        let Some(last) = events.last() else { break };
        from = last.id().saturating_add(1);
        seen += u64::try_from(events.len()).unwrap_or(0);
        replay.take(events)?;
        bar.set_message(format!("{seen} events, at {}", replay.clock.now().strftime("%F")));
        bar.tick();
    }
    replay.flush()?;
    bar.finish_and_clear();
    asking.close()?;
    Ok(print(&replay.told, seen, args.json)?)
}

/// The time of the replay.
#[derive(Clone)]
struct Then(Arc<Mutex<Timestamp>>);

impl Then {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, at: Timestamp) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = at.max(*now);
    }
}

/// What is thrown away afterwards needs no platter.
struct Scratch;

impl Platter for Scratch {
    fn sync(&self, _: &File, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// By trigger: for whom it would have fired, and for whom it did, as often as that.
type Told = BTreeMap<String, [BTreeMap<String, u64>; 2]>;

struct Replay {
    clock: Then,
    since: Timestamp,
    told: Told,
    batch: Vec<MailEvent>,
    store: Store,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Replay {
    fn new(config: &Config, since: Timestamp) -> Result<Replay, Failed> {
        let folder = tempfile::tempdir()?;
        let clock = Then(Arc::new(Mutex::new(Timestamp::UNIX_EPOCH)));
        let then = clock.clone();
        let options = Options {
            platter: Arc::new(Scratch),
            keep_events: Duration::from_secs(36_500 * 86_400),
            ..Options::new(Arc::new(move || then.now()))
        };
        let store = Store::open(folder.path(), options).map_err(|error| Failed::Because(error.to_string()))?;
        store.set_rules(config.rules.clone());
        let told = config.rules.triggers.iter().map(|trigger| (trigger.name.clone(), Default::default())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Replay { clock, since, told, batch: Vec::new(), store, runtime, _folder: folder })
    }

    fn take(&mut self, events: Vec<Event>) -> Result<(), Failed> {
        for event in events {
            match event {
                Event::MailV1(mail) => {
                    let apart = self.batch.first().is_some_and(|first| first.at.as_second() / 3_600 != mail.at.as_second() / 3_600);
                    if apart || self.batch.len() >= BATCH {
                        self.flush()?;
                    }
                    self.batch.push(mail);
                }
                Event::HandV1(hand) => {
                    self.flush()?;
                    self.go_to(hand.at)?;
                    self.record(vec![Input::Hand(HandInput { person: hand.person, act: hand.act })])?;
                }
                // The replay has timers of its own.
                Event::TimerV1(_) => {}
            }
        }
        Ok(())
    }

    /// The mails that wait, after the timers that fall due before them.
    fn flush(&mut self) -> Result<(), Failed> {
        let mails = std::mem::take(&mut self.batch);
        let (Some(first), Some(last)) = (mails.first(), mails.last()) else { return Ok(()) };
        self.go_to(first.at)?;
        self.clock.set(last.at);
        let recorded = self.record(mails.iter().map(|mail| Input::Mail(input(mail))).collect())?;
        for (mail, fired) in mails.iter().zip(recorded) {
            if mail.at < self.since {
                continue;
            }
            let whom = mail.verdict.address.clone().or_else(|| mail.person.map(|key| key.to_string())).unwrap_or_default();
            for (place, names) in [&fired, &mail.fired].into_iter().enumerate() {
                for name in names {
                    let [would, did] = self.told.entry(name.clone()).or_default();
                    *(if place == 0 { would } else { did }).entry(whom.clone()).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    fn go_to(&self, at: Timestamp) -> Result<(), Failed> {
        self.clock.set(at);
        self.runtime.block_on(self.store.tick()).map(drop).map_err(|error| Failed::Because(error.to_string()))
    }

    fn record(&self, inputs: Vec<Input>) -> Result<Vec<Vec<String>>, Failed> {
        let recorded = self.runtime.block_on(self.store.record(inputs, Bytes::new()));
        let recorded = recorded.map_err(|error| Failed::Because(error.to_string()))?;
        Ok(recorded.into_iter().map(|recorded| recorded.fired).collect())
    }
}

fn input(mail: &MailEvent) -> MailInput {
    let mut dedupe = [0; 16];
    dedupe.iter_mut().zip(mail.id.to_be_bytes()).for_each(|(to, from)| *to = from);
    MailInput {
        person: mail.person,
        verdict: mail.verdict.clone(),
        campaign: mail.campaign.clone(),
        standing: mail.standing,
        origin: mail.origin.clone(),
        dedupe,
        keep_raw: false,
        forward: None,
        original_whole: mail.raw.is_some(),
        import: Some(Import { at: mail.at, fire: true }),
    }
}

fn print(told: &Told, events: u64, json: bool) -> io::Result<()> {
    let mut out = Output::new(json);
    let mut rows = Vec::new();
    for (trigger, [would, did]) in told {
        let total = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        let beyond = |these: &BTreeMap<String, u64>, those: &BTreeMap<String, u64>| -> BTreeSet<String> {
            let more = these.iter().filter(|(whom, count)| those.get(*whom).copied().unwrap_or_default() < **count);
            more.map(|(whom, _)| whom.clone()).collect()
        };
        let (more, fewer) = (beyond(would, did), beyond(did, would));
        if json {
            let listed = |whom: &BTreeSet<String>| whom.iter().take(LISTED).cloned().collect::<Vec<_>>();
            out.object(&json!({
                "trigger": trigger, "would_fire": total(would), "fired": total(did), "more": listed(&more), "fewer": listed(&fewer),
            }))?;
        } else {
            rows.push(vec![trigger.clone(), total(would).to_string(), total(did).to_string(), some(&more), some(&fewer)]);
        }
    }
    if !json {
        out.table(&["trigger", "would fire", "fired", "for whom it would and did not", "for whom it did and would not"], &rows)?;
        out.line(&format!("{events} events replayed; nothing was changed."))?;
    }
    out.flush()
}

fn some(whom: &BTreeSet<String>) -> String {
    let mut text = whom.iter().take(SHOWN).map(|whom| printable(whom)).collect::<Vec<_>>().join(", ");
    if whom.len() > SHOWN {
        text += &format!(" and {} more", whom.len() - SHOWN);
    }
    text
}
