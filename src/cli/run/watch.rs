//! Eyes on the daemon: room on the disk, metrics, and what the alerts are told.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;

use crate::{
    config::Config,
    control::AlertTest,
    intake::{Intake, Notice},
    monitor,
    outbox::Job,
    store::Store,
};

/// How often room is looked at.
const ROOM_LOOK: Duration = Duration::from_secs(5);
/// A writer that hasn't gone round for so long is not healthy.
const FROZEN: Duration = Duration::from_secs(10);

pub struct Watch {
    config: Arc<ArcSwap<Config>>,
    store: Arc<Store>,
}

impl Watch {
    pub fn start(config: &Arc<ArcSwap<Config>>, store: &Arc<Store>) -> Result<Watch, String> {
        Ok(Watch { config: config.clone(), store: store.clone() })
    }

    /// What intake says of each mail.
    pub fn notice(&self) -> Notice {
        Box::new(|_, _| ())
    }

    /// MAIL gets 452 for as long as the disk has less room than `min_free`.
    pub fn mind_room(&self, intake: &Arc<Intake>) -> JoinHandle<()> {
        let (config, intake) = (self.config.clone(), intake.clone());
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(ROOM_LOOK);
            loop {
                tick.tick().await;
                let config = config.load();
                let Some(free) = free_bytes(&config.data_dir) else { continue };
                gauge!("bounced_free_bytes").set(free as f64);
                let room = free >= config.min_free;
                if room != intake.room() {
                    tracing::warn!(free, min_free = config.min_free, room, "room on the disk");
                }
                intake.set_room(room);
            }
        })
    }

    pub fn on_dead(&self) -> Arc<dyn Fn(&Job) + Send + Sync> {
        Arc::new(|_| ())
    }

    /// `/metrics` and `/healthz`.
    pub async fn monitor(&self, listen: SocketAddr, recorder: PrometheusHandle) -> Result<JoinHandle<()>, String> {
        let store = self.store.clone();
        let refresh: monitor::Refresh = Arc::new(move || gauges(&store));
        let (store, config) = (self.store.clone(), self.config.clone());
        let health: monitor::Health = Arc::new(move || healthy(&store, &config.load()));
        monitor::serve(listen, recorder, refresh, health)
            .await
            .map_err(|error| format!("metrics.listen: cannot listen on {listen}: {error}"))
    }

    pub fn reload_refused(&self, _why: &str) {}

    pub fn reload(&self) {}

    pub fn stop(&self) {}
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

/// Room for an unprivileged writer.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

pub fn alert_test(_watch: &Watch) -> AlertTest {
    Arc::new(|| Err("no alerts".to_owned()))
}
