//! Looks once a minute how things stand, hears of what happens, and lets the operator know.
//!
//! A store that hangs or fails holds up nothing here: it is asked on a thread of its own and with a deadline, and its silence is an alert.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tracing::{error, warn};

use super::{
    Kind, Setup, Snapshot, Trouble, compose,
    digest::{self, Day},
    judge,
    sender::{self, Alert, alert_id},
    state::State,
    trouble::{LISTED, compose_forgotten},
};
use crate::action::Now;

/// Where the figures come from. Both may block, and may be asked for by any thread.
pub trait Watched: Send + Sync + 'static {
    /// How things stand now.
    fn snapshot(&self) -> Result<Snapshot, String>;
    /// The figures of a time for the digest.
    fn day(&self, from: Timestamp, to: Timestamp) -> Result<Day, String>;
}

/// How fast things go; other than the default in tests only.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From one look to the next.
    pub look: Duration,
    /// Troubles that come within so long of the first become one mail.
    pub gather: Duration,
    /// Before the second attempt to send; doubles from there to ten minutes.
    pub first_pause: Duration,
    /// How long a look at the store may take.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let seconds = Duration::from_secs;
        Pace { look: seconds(60), gather: seconds(2), first_pause: seconds(10), patience: seconds(30) }
    }
}

/// The handle: raise from anywhere, swap the configuration, send a test.
#[derive(Clone)]
pub struct Alerts {
    setup: Arc<ArcSwap<Setup>>,
    told: mpsc::UnboundedSender<Told>,
    heard: Arc<Mutex<Option<mpsc::UnboundedReceiver<Told>>>>,
    now: Now,
}

enum Told {
    Trouble(Trouble),
    LastWords(Trouble, oneshot::Sender<()>),
}

/// Troubles that are gathered or held back; more are only counted.
const GATHERED: usize = 1000;

/// A digest reads through a day's events: it may take so many times as long as a look.
const DIGEST_PATIENCE: u32 = 4;

impl Alerts {
    /// Nothing goes out by itself before [`Alerts::watch`].
    pub fn new(setup: Setup, now: Now) -> Alerts {
        let (told, heard) = mpsc::unbounded_channel();
        Alerts { setup: Arc::new(ArcSwap::from_pointee(setup)), told, heard: Arc::new(Mutex::new(Some(heard))), now }
    }

    /// Something happened: in the log at once, by mail within seconds, unless such a mail went out within the hour.
    pub fn raise(&self, trouble: Trouble) {
        warn!(kind = trouble.kind().id(), "{}", trouble.title());
        // Nobody listens when the daemon stops; the log has it.
        let _ = self.told.send(Told::Trouble(trouble));
    }

    /// The daemon is about to die of this: one attempt to send, then back, after `within` at the latest.
    pub async fn last_words(&self, trouble: Trouble, within: Duration) {
        error!(kind = trouble.kind().id(), "{}", trouble.title());
        let (done, over) = oneshot::channel();
        if self.told.send(Told::LastWords(trouble, done)).is_ok() {
            // Whether it went out or not, the daemon stops.
            let _ = timeout(within, over).await;
        }
    }

    /// A mail of our own came back: in the log now, in the next digest by number, never a mail (which might come back, too).
    pub fn own_bounced(&self, job: &str, said: &str) {
        use crate::action::clean::cut;
        warn!(job = %cut(job, 80), said = %cut(said, 300), "a notification of ours bounced");
    }

    /// The new configuration holds from the next mail on.
    pub fn reload(&self, setup: Setup) {
        self.setup.store(Arc::new(setup));
    }

    /// `bounced alert test`.
    pub async fn test(&self) -> Result<String, String> {
        self.setup.load_full().test((self.now)()).await
    }

    /// Starts watching, once; ends when it is aborted or no handle is left. `state` is the file that remembers what was told.
    pub fn watch(&self, watched: Arc<dyn Watched>, state: PathBuf, pace: Pace) -> JoinHandle<()> {
        let heard = self.heard.lock().ok().and_then(|mut heard| heard.take());
        let (setup, now) = (self.setup.clone(), self.now.clone());
        tokio::spawn(async move {
            if let Some(heard) = heard {
                let (alerts, to_send) = mpsc::unbounded_channel();
                let (out, delivered) = mpsc::unbounded_channel();
                let mut state_now = State::load(&state);
                if state_now.digest.is_none() {
                    let setup = setup.load();
                    state_now.digest = Some(digest::start(now(), &setup.timezone, setup.alerts.digest_at));
                }
                let watch = Watch {
                    setup: setup.clone(),
                    now,
                    watched,
                    pace,
                    path: state,
                    state: state_now,
                    alerts,
                    number: 0,
                    gathered: BTreeMap::new(),
                    kept: BTreeMap::new(),
                    asking: Arc::default(),
                };
                let sending = sender::run(setup, to_send, out, pace.first_pause);
                tokio::join!(watch.run(heard, delivered), sending);
            }
        })
    }
}

struct Watch {
    setup: Arc<ArcSwap<Setup>>,
    now: Now,
    watched: Arc<dyn Watched>,
    pace: Pace,
    path: PathBuf,
    state: State,
    alerts: mpsc::UnboundedSender<Alert>,
    number: u64,
    /// What came in since the last mail was made, and how many of it aren't kept.
    gathered: BTreeMap<Kind, (Vec<Trouble>, u64)>,
    /// What was held back, as far as the next mail can list it.
    kept: BTreeMap<Kind, Vec<Trouble>>,
    asking: Arc<AtomicBool>,
}

impl Watch {
    async fn run(mut self, mut heard: mpsc::UnboundedReceiver<Told>, mut delivered: mpsc::UnboundedReceiver<()>) {
        let mut look = interval(self.pace.look);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut gathering = None;
        self.save().await;
        loop {
            let until = gathering;
            let gathered = async move {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // What was raised before a mail is made goes into it.
                biased;
                told = heard.recv() => match told {
                    Some(Told::Trouble(trouble)) => {
                        self.gather(trouble);
                        gathering.get_or_insert(Instant::now() + self.pace.gather);
                    }
                    Some(Told::LastWords(trouble, done)) => {
                        self.last_words(trouble).await;
                        // It may be too late for the one who waited.
                        let _ = done.send(());
                    }
                    None => return,
                },
                () = gathered => {
                    gathering = None;
                    self.tell_gathered();
                }
                _ = look.tick() => self.look().await,
                // A mail is remembered as told when it is out: one that never went out is told again after a restart.
                Some(()) = delivered.recv() => self.save().await,
            }
        }
    }

    fn gather(&mut self, trouble: Trouble) {
        let (troubles, more) = self.gathered.entry(trouble.kind()).or_default();
        if troubles.len() < GATHERED { troubles.push(trouble) } else { *more += 1 }
    }

    fn tell_gathered(&mut self) {
        for (kind, (troubles, more)) in std::mem::take(&mut self.gathered) {
            let times = troubles.len() as u64 + more;
            match self.state.limiter.happened(kind, times, (self.now)()) {
                Some(held_back) => self.tell(kind, troubles, held_back + more),
                None => {
                    let kept = self.kept.entry(kind).or_default();
                    kept.extend(troubles.into_iter().take((LISTED + 1).saturating_sub(kept.len())));
                }
            }
        }
    }

    /// One mail for `troubles`, those that were kept of the `held_back`, and the number of the rest.
    fn tell(&mut self, kind: Kind, mut troubles: Vec<Trouble>, held_back: u64) {
        let kept = self.kept.remove(&kind).unwrap_or_default();
        let untold = held_back.saturating_sub(kept.len() as u64);
        troubles.extend(kept);
        let (subject, text) = compose(&troubles, untold).unwrap_or_else(|| compose_forgotten(kind, held_back));
        self.send(subject, text);
    }

    fn send(&mut self, subject: String, text: String) {
        if let Err(why) = self.setup.load().ready() {
            warn!(%subject, %why, "not sent by mail");
            return;
        }
        self.number += 1;
        let at = (self.now)();
        // The sender lives as long as we do.
        let _ = self.alerts.send(Alert { id: alert_id(at, self.number), subject, text, at });
    }

    async fn last_words(&mut self, trouble: Trouble) {
        let at = (self.now)();
        let Some(held_back) = self.state.limiter.happened(trouble.kind(), 1, at) else { return };
        let Some((subject, text)) = compose(&[trouble], held_back) else { return };
        self.number += 1;
        let alert = Alert { id: alert_id(at, self.number), subject, text, at };
        match self.setup.load_full().send(&alert).await {
            Ok(()) => self.save().await,
            Err(why) => error!(subject = %alert.subject, %why, "alert not sent"),
        }
    }

    async fn look(&mut self) {
        let setup = self.setup.load_full();
        let watched = self.watched.clone();
        let troubles = match self.ask(self.pace.patience, move || watched.snapshot()).await {
            Ok(snapshot) => judge(&snapshot, &setup.alerts),
            Err(why) => vec![Trouble::Figures { why }],
        };
        let now = (self.now)();
        let there: BTreeSet<Kind> = troubles.iter().map(Trouble::kind).collect();
        for (kind, held_back) in self.state.limiter.look(&there, now) {
            let of_kind: Vec<Trouble> = troubles.iter().filter(|trouble| trouble.kind() == kind).cloned().collect();
            if let Some(trouble) = of_kind.first() {
                warn!(kind = kind.id(), "{}", trouble.title());
            }
            self.tell(kind, of_kind, held_back);
        }
        for (kind, held_back) in self.state.limiter.overdue(now) {
            self.tell(kind, vec![], held_back);
        }
        if let Some(day) = digest::due(self.state.digest, now, &setup.timezone, setup.alerts.digest_at) {
            self.digest(day, &setup).await;
        }
    }

    async fn digest(&mut self, day: jiff::civil::Date, setup: &Setup) {
        self.state.digest = Some(day);
        if setup.ready().is_err() {
            self.save().await;
            return;
        }
        let Some((from, to)) = digest::period(day, &setup.timezone, setup.alerts.digest_at) else { return };
        let watched = self.watched.clone();
        let figures = self.ask(self.pace.patience * DIGEST_PATIENCE, move || watched.day(from, to)).await;
        let held_back = self.state.limiter.held_back();
        let (subject, text) = digest::compose(figures.as_ref().map_err(String::as_str), (from, to), &setup.timezone, &held_back);
        self.send(subject, text);
    }

    /// Asks the store off this task. One that hangs is asked no more until it has answered.
    async fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        question: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        if self.asking.swap(true, Ordering::AcqRel) {
            return Err("it still has not answered".to_owned());
        }
        let asking = self.asking.clone();
        let answer = spawn_blocking(move || {
            let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(question));
            asking.store(false, Ordering::Release);
            answer.unwrap_or_else(|_| Err("asking it failed; the log says more".to_owned()))
        });
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it has not answered for {} s", patience.as_secs())),
        }
    }

    async fn save(&self) {
        let (state, path) = (self.state.clone(), self.path.clone());
        let saved = timeout(self.pace.patience, spawn_blocking(move || state.save(&path))).await;
        match saved {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => warn!(path = %self.path.display(), %error, "what was told can't be remembered"),
            _ => warn!(path = %self.path.display(), "what was told can't be remembered"),
        }
    }
}
