//! The daemon's parts, put together.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tracing::{info, warn};

use super::{
    parts::{dispatcher, open, text},
    plan::Planned,
    service,
    watch::Watch,
};
use crate::{
    action::Dispatcher,
    config::Config,
    control::{self, Source},
    intake::{Intake, Policy},
    outbox::{self, Worker},
    smtp::{Server, Settings},
    store::{Store, StoreError},
};

/// What is in hand at a stop has so long to end; the daemon is gone within 10 s.
const STOP: Duration = Duration::from_secs(8);

/// Everything that runs.
pub struct Daemon {
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) store: Arc<Store>,
    pub(super) intake: Arc<Intake>,
    pub(super) server: Server<Intake>,
    /// Jobs are carried out under the newest configuration, whichever made them.
    pub(super) dispatcher: Arc<ArcSwap<Dispatcher>>,
    pub(super) watch: Watch,
    failure: watch::Receiver<Option<StoreError>>,
    outbox: JoinHandle<()>,
    outbox_stop: oneshot::Sender<()>,
    pub(super) metrics: Option<(PrometheusHandle, SocketAddr, JoinHandle<()>)>,
    pub(super) recorder: Option<PrometheusHandle>,
}

impl Daemon {
    /// Starts everything; when it returns, SMTP listens.
    ///
    /// # Errors
    /// One line that says what is wrong. Nothing goes on running then.
    pub async fn start(config: Config, inherited: Vec<TcpListener>, recorder: Option<PrometheusHandle>) -> Result<Daemon, String> {
        // Another provider can be in the process only where a test put it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = config.with_person_key().map_err(text)?;
        let settings = Settings::read(&config).map_err(text)?;
        let opening = config.clone();
        let store = service::while_starting(tokio::task::spawn_blocking(move || open(&opening))).await.map_err(text)??;
        let store = Arc::new(store);
        let dispatcher = Arc::new(ArcSwap::from_pointee(dispatcher(&config, &store)?));
        let shared = Arc::new(ArcSwap::from_pointee(config));
        let config = shared.load_full();
        store.plan().await.map_err(text)?;
        let watch = Watch::start(&shared, &store);
        let policy = Policy::of(&config, config.verp.codec.clone());
        let intake = Arc::new(Intake::new(store.clone(), policy, Arc::new(Timestamp::now), watch.notice()));
        watch.mind_room(&intake, recorder.clone());
        control::serve(&config.control_socket, source(&shared, &store, &watch, &intake))
            .map_err(|error| format!("control socket {}: {error}", config.control_socket.display()))?;
        let metrics = match (&recorder, config.metrics) {
            (Some(recorder), Some(listen)) => Some((recorder.clone(), listen, watch.monitor(listen, recorder.clone()).await?)),
            _ => None,
        };
        let server = Server::new(settings.clone(), intake.clone());
        crate::smtp::describe();
        server.inherit(inherited).map_err(text)?;
        let prepared = server.prepare(settings, &config.smtp.listen).map_err(text)?;
        let (outbox, outbox_stop) = spawn_outbox(&store, &dispatcher, &watch);
        server.apply(prepared);
        info!(domains = config.smtp.domains.join(", "), data_dir = %config.data_dir.display(), "bounced {} takes mail", env!("CARGO_PKG_VERSION"));
        let failure = store.failure();
        Ok(Daemon { config: shared, store, intake, server, dispatcher, watch, failure, outbox, outbox_stop, metrics, recorder })
    }

    /// Where SMTP listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// Returns when the store has failed, with the reason.
    pub async fn failed(&mut self) -> String {
        match self.failure.wait_for(Option::is_some).await {
            Ok(failure) => failure.as_ref().map(ToString::to_string).unwrap_or_default(),
            Err(_) => "the store is gone".to_owned(),
        }
    }

    /// How long ago the store's writer went round; asks it to, so that it has when this is asked next.
    pub fn beat_age(&self) -> impl Fn() -> Duration + Send + Sync + use<> {
        let store = self.store.clone();
        move || {
            let age = Instant::now().saturating_duration_since(store.last_beat());
            store.nudge();
            age
        }
    }

    /// The operator hears by mail that the store failed, before the daemon ends of it.
    pub async fn store_failed(&self, why: &str) {
        self.watch.store_failed(why).await;
    }

    /// The operator hears of a refused reload by mail.
    pub fn reload_refused(&self, why: &str) {
        self.watch.reload_refused(why);
    }

    /// Finishes the mails that are coming in and what the outbox has in hand, then closes the store.
    ///
    /// # Errors
    /// The store couldn't be closed; what was confirmed is durable all the same.
    pub async fn stop(self) -> Result<(), String> {
        // An error: it stopped by itself.
        let _ = self.outbox_stop.send(());
        let (cut, outbox) = tokio::join!(self.server.stop(STOP), tokio::time::timeout(STOP, self.outbox));
        if cut > 0 {
            warn!(cut, "SMTP dialogues were cut off; what they were sending was not confirmed");
        }
        if outbox.is_err() {
            warn!("deliveries were broken off; they are tried again at the next start");
        }
        self.watch.stop();
        let store = self.store;
        let _ = std::fs::remove_file(&self.config.load().control_socket);
        tokio::task::spawn_blocking(move || store.close()).await.map_err(text)?.map_err(text)
    }
}

fn source(shared: &Arc<ArcSwap<Config>>, store: &Arc<Store>, watch: &Watch, intake: &Arc<Intake>) -> Source {
    let config = shared.load();
    let codec = config.verp.codec.clone();
    Source {
        store: store.clone(),
        key: Arc::new(move |address| codec.key_of_address(address)),
        alert_test: watch.alert_test(),
        intake: intake.clone(),
        plan: Arc::new(Planned { config: shared.clone(), store: store.clone() }),
        targets: watch.targets(),
        own_key: config.own_key_file(),
        runtime: tokio::runtime::Handle::current(),
    }
}

fn spawn_outbox(store: &Arc<Store>, dispatcher: &Arc<ArcSwap<Dispatcher>>, watch: &Watch) -> (JoinHandle<()>, oneshot::Sender<()>) {
    let hooks = outbox::Hooks {
        clock: Arc::new(Timestamp::now),
        // Jitter only: without randomness retries still happen, all at their middle.
        random: Arc::new(|| getrandom::u64().unwrap_or(u64::MAX / 2)),
        on_dead: watch.on_dead(),
        on_target: watch.on_target(),
    };
    let worker = Worker::new(store.clone(), dispatcher.clone(), hooks, watch.targets(), outbox::Limits::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(worker.run(async move {
        // The daemon dropped its end: it stops, too.
        let _ = stopped.await;
    }));
    (task, stop)
}
