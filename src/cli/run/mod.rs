//! `bounced run`: the daemon. Order of start: store (with the rescue of what was running), control socket, SMTP, READY; of stop: SMTP, outbox,
//! store.

mod daemon;
mod logging;
mod parts;
mod plan;
mod reload;
mod service;
mod watch;

use std::{net::TcpListener, path::Path, process::ExitCode};

use clap::Args;
use listenfd::ListenFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

pub use daemon::Daemon;
pub use logging::{LogFormat, start as start_log};
pub use parts::open;
pub use plan::Planned;
pub use watch::alerts_of;

use super::ended::{Failed, finish};
use crate::{config::Config, monitor};

/// The daemon
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced --config /etc/bounced/bounced.toml run\n\n\
    SIGHUP reads the configuration again: a bad one is refused and the old one goes on.\n\
    SIGTERM finishes the mails that are coming in, then stops.\n\
    BOUNCED_LOG chooses what is logged: info (the default), debug, bounced::smtp=debug,info")]
pub struct RunArgs {
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
}

pub fn run(path: &Path, args: &RunArgs) -> ExitCode {
    logging::start(args.log_format, "info");
    finish(supervise(path))
}

fn supervise(path: &Path) -> Result<(), Failed> {
    let config = Config::load(path).map_err(Failed::Config)?;
    let because = |error: &dyn std::fmt::Display| Failed::Because(error.to_string());
    let inherited = inherited_sockets()?;
    if config.smtp.listen.is_empty() && inherited.is_empty() {
        return Err(Failed::Because("smtp.listen is empty and systemd passed no sockets; name an address".to_owned()));
    }
    allow_descriptors(config.smtp.max_connections);
    let metrics = monitor::install().map_err(|error| because(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut daemon = Daemon::start(config, inherited, Some(metrics)).await.map_err(Failed::Because)?;
        service::ready();
        let watchdog = tokio::spawn(service::watchdog(daemon.beat_age()));
        let ended = serve(path, &mut daemon, &mut signals).await;
        service::stopping();
        watchdog.abort();
        daemon.stop().await.map_err(Failed::Because)?;
        info!("stopped");
        ended
    });
    // Deliveries that hang in a resolver must not hold the process up; their jobs are claimable at the next start.
    runtime.shutdown_background();
    ended
}

/// As many file descriptors as the system lets it have: shells give 1,024, which the connections alone would use up.
fn allow_descriptors(connections: usize) {
    const BESIDES: u64 = 100;
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        warn!(%error, "the limit on open files stays as it is");
    }
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(BESIDES);
    if let Some(most) = limit.maximum.filter(|most| *most < needed) {
        warn!(most, needed, "fewer files may be open than smtp.max_connections needs; raise the limit (LimitNOFILE)");
    }
}

async fn serve(path: &Path, daemon: &mut Daemon, signals: &mut Signals) -> Result<(), Failed> {
    loop {
        tokio::select! {
            _ = signals.reload.recv() => {
                service::reloading();
                match daemon.reload(path).await {
                    Ok(()) => info!("configuration read again"),
                    Err(why) => {
                        warn!(%why, "the new configuration is refused; the old one goes on");
                        daemon.reload_refused(&why);
                    }
                }
                service::ready();
            }
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            why = daemon.failed() => {
                error!(%why, "the store failed; stopping, so that the daemon is started again");
                daemon.store_failed(&why).await;
                return Err(Failed::Because(why));
            }
        }
    }
}

struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// The sockets that systemd passed (sd_listen_fds(3)).
fn inherited_sockets() -> std::io::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    (0..passed.len()).filter_map(|place| passed.take_tcp_listener(place).transpose()).collect()
}
