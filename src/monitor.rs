//! Prometheus at `/metrics` and `/healthz`: for monitoring that asks, beside the alerts that tell.
//!
//! Nothing of the daemon waits for it: an endpoint that can't be bound is a refused start or reload, one that hangs only hangs its asker.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, task::JoinHandle};

/// `Err` says what ails the daemon.
pub type Health = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Brings gauges up to date before a scrape.
pub type Refresh = Arc<dyn Fn() + Send + Sync>;

/// Installs the process's recorder; from then on counters count.
///
/// # Errors
/// One is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let handle = PrometheusBuilder::new().set_buckets(&seconds)?.install_recorder()?;
    describe_counter!("bounced_events_total", "Mails recorded, by status and by standing (full, unsigned, expired, own, duplicate)");
    describe_counter!("bounced_tell_panics_total", "Mails whose telling panicked; each is recorded as undetermined");
    describe_histogram!("bounced_tell_seconds", Unit::Seconds, "Time to parse and tell one mail, waiting for a place included");
    describe_gauge!("bounced_free_bytes", Unit::Bytes, "Room left on the store's disk");
    describe_gauge!("bounced_jobs", "Jobs of the outbox by state");
    describe_gauge!("bounced_target_closed", "1 while the target fails and its jobs wait, by host");
    describe_counter!("bounced_target_closings_total", "How often a target was closed since it failed again and again, by host");
    describe_gauge!("bounced_last_event_timestamp_seconds", Unit::Seconds, "When the last mail was recorded");
    Ok(handle)
}

#[derive(Clone)]
struct Shared {
    handle: PrometheusHandle,
    refresh: Refresh,
    health: Health,
}

/// Serves both pages on a task of their own until it is aborted.
///
/// # Errors
/// The address can't be bound.
pub async fn serve(listen: SocketAddr, handle: PrometheusHandle, refresh: Refresh, health: Health) -> io::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(listen).await?;
    let app = Router::new().route("/metrics", get(page)).route("/healthz", get(healthz)).with_state(Shared { handle, refresh, health });
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the metrics endpoint stopped");
        }
    }))
}

async fn page(State(shared): State<Shared>) -> impl IntoResponse {
    (shared.refresh)();
    shared.handle.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.handle.render())
}

async fn healthz(State(shared): State<Shared>) -> (StatusCode, String) {
    match (shared.health)() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
