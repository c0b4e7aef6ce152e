//! Eyes on the daemon: room on the disk, metrics and health, and the figures that the alerts look at.

mod figures;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;

use self::figures::Figures;
use super::parts::own_sender;
use crate::{
    action::system_now,
    alert::{Alerts, ClosedTarget, DeadJob, Pace, Setup, Trouble},
    config::Config,
    control::AlertTest,
    intake::{Intake, Notice},
    ledger::Standing,
    monitor,
    outbox::{Closed, Job, TargetNews, Targets},
    store::Store,
    taxonomy::Status,
};

/// How often room is looked at; mail of a sixteenth of the room that was left has it looked at before that. A mail takes its octets twice for
/// a while, and what is merged is there twice.
const ROOM_LOOK: Duration = Duration::from_secs(5);
const ROOM_ALLOWANCE: u64 = 16;
/// A writer that hasn't gone round for so long is not healthy.
const FROZEN: Duration = Duration::from_secs(10);
/// What the alerts remember over a restart.
const STATE: &str = "alert.json";

pub struct Watch {
    config: Arc<ArcSwap<Config>>,
    store: Arc<Store>,
    alerts: Alerts,
    targets: Arc<Targets>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Watch {
    /// Begins to watch; ends with [`Watch::stop`].
    pub fn start(config: &Arc<ArcSwap<Config>>, store: &Arc<Store>) -> Watch {
        let now = config.load_full();
        let alerts = alerts_of(&now);
        let targets = Arc::<Targets>::default();
        let figures = Figures { config: config.clone(), store: store.clone(), targets: targets.clone(), started: Timestamp::now() };
        let task = alerts.watch(Arc::new(figures), now.data_dir.join(STATE), Pace::default());
        Watch { config: config.clone(), store: store.clone(), alerts, targets, tasks: Mutex::new(vec![task]) }
    }

    /// What becomes of a mail once it is recorded, beside its jobs: one of our own that came back is made known, and a domain
    /// that is guarded from then on.
    pub fn notice(&self) -> Notice {
        let alerts = self.alerts.clone();
        Box::new(move |input, recorded| {
            if input.standing == Standing::Own && !recorded.duplicate && input.verdict.status != Status::Delivered {
                let said = input.verdict.diagnostic.as_deref().unwrap_or(input.verdict.status.title());
                alerts.own_bounced(&input.origin.rcpt, said);
            }
            if let Some((domain, hard_bounces)) = recorded.guarded.clone() {
                alerts.raise(Trouble::Guarded { domain, hard_bounces });
            }
        })
    }

    /// MAIL gets 452 for as long as the disk has less room than `min_free`. What `recorder` has gathered is summed up each time, or its samples
    /// would pile up for as long as nobody asks for the metrics.
    pub fn mind_room(&self, intake: &Arc<Intake>, recorder: Option<PrometheusHandle>) {
        let (config, intake) = (self.config.clone(), intake.clone());
        self.keep(tokio::spawn(async move {
            let mut tick = tokio::time::interval(ROOM_LOOK);
            loop {
                tokio::select! {
                    _ = tick.tick() => {}
                    () = intake.room().due() => {}
                }
                recorder.iter().for_each(PrometheusHandle::run_upkeep);
                let config = config.load_full();
                let Some(free) = free_bytes(&config.data_dir) else { continue };
                gauge!("bounced_free_bytes").set(free as f64);
                let room = free >= config.min_free;
                if room != intake.room().enough() {
                    tracing::warn!(
                        free,
                        min_free = config.min_free,
                        "{}",
                        if room { "room again: mail is taken" } else { "no room: mail is put off" }
                    );
                }
                intake.room().looked(room, free / ROOM_ALLOWANCE);
            }
        }));
    }

    pub fn on_dead(&self) -> Arc<dyn Fn(&Job) + Send + Sync> {
        let alerts = self.alerts.clone();
        Arc::new(move |job| alerts.raise(Trouble::JobDied(dead(job))))
    }

    pub fn on_target(&self) -> Arc<dyn Fn(TargetNews) + Send + Sync> {
        let alerts = self.alerts.clone();
        Arc::new(move |news| {
            alerts.raise(match news {
                TargetNews::Down(target) => Trouble::TargetDown(closed(target)),
                TargetNews::Well { host, lasted } => Trouble::TargetWell { host, lasted },
            });
        })
    }

    /// Which targets are closed.
    pub fn targets(&self) -> Arc<Targets> {
        self.targets.clone()
    }

    /// `/metrics` and `/healthz`.
    ///
    /// # Errors
    /// The address can't be bound.
    pub async fn monitor(&self, listen: SocketAddr, recorder: PrometheusHandle) -> Result<JoinHandle<()>, String> {
        let store = self.store.clone();
        let refresh: monitor::Refresh = Arc::new(move || gauges(&store));
        let (store, config) = (self.store.clone(), self.config.clone());
        let health: monitor::Health = Arc::new(move || healthy(&store, &config.load()));
        monitor::serve(listen, recorder, refresh, health)
            .await
            .map_err(|error| format!("metrics.listen: cannot listen on {listen}: {error}"))
    }

    pub fn reload_refused(&self, why: &str) {
        self.alerts.raise(Trouble::ReloadRefused { why: why.to_owned() });
    }

    /// The store failed: the operator hears of it before the daemon ends.
    pub async fn store_failed(&self, why: &str) {
        self.alerts.last_words(Trouble::Store { why: why.to_owned() }, Duration::from_secs(5)).await;
    }

    /// Alerts go out by the configuration that holds now.
    pub fn reload(&self) {
        let config = self.config.load();
        self.alerts.reload(Setup::new(&config, own_sender(&config)));
    }

    /// `bounced alert test`, asked for over the control socket.
    pub fn alert_test(&self) -> AlertTest {
        let (alerts, runtime) = (self.alerts.clone(), tokio::runtime::Handle::current());
        Arc::new(move || runtime.block_on(alerts.test()))
    }

    pub fn stop(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
    }

    fn keep(&self, task: JoinHandle<()>) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

/// Alerts of one configuration that nothing watches: enough to send a test.
pub fn alerts_of(config: &Config) -> Alerts {
    Alerts::new(Setup::new(config, own_sender(config)), system_now())
}

fn dead(job: &Job) -> DeadJob {
    DeadJob {
        id: job.id.to_string(),
        kind: job.task.kind().to_owned(),
        target: job.task.target().to_owned(),
        error: job.last_error.clone().unwrap_or_default(),
    }
}

fn closed(target: Closed) -> ClosedTarget {
    ClosedTarget { host: target.host, since: target.since, error: target.error }
}

fn gauges(store: &Store) {
    if let Ok(jobs) = store.job_counts() {
        for (state, count) in [("waiting", jobs.waiting), ("running", jobs.running), ("done", jobs.done), ("dead", jobs.dead)] {
            gauge!("bounced_jobs", "state" => state).set(count as f64);
        }
    }
    if let Ok(Some(last)) = store.last_arrival() {
        gauge!("bounced_last_event_timestamp_seconds").set(last.as_second() as f64);
    }
}

fn healthy(store: &Store, config: &Config) -> Result<(), String> {
    if let Some(error) = store.failure().borrow().as_ref() {
        return Err(error.to_string());
    }
    let age = store.last_beat().elapsed();
    if age > FROZEN {
        return Err(format!("the store's writer hasn't answered for {} s", age.as_secs()));
    }
    match free_bytes(&config.data_dir) {
        Some(free) if free < config.min_free => Err(format!("{free} bytes are free on the store's disk, less than min_free")),
        _ => Ok(()),
    }
}

/// Room for an unprivileged writer, bytes.
fn free_bytes(folder: &Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
