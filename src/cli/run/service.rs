//! What systemd is told: READY, RELOADING, STOPPING and the watchdog's ping. Without systemd all of it is nothing.

use std::time::Duration;

use sd_notify::{NotifyState, notify};
use tracing::{error, warn};

pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// sd_notify(3): RELOADING needs the monotonic time beside it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "no monotonic time for systemd"),
    }
}

pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// After millions of events without a restart the store's log takes minutes to read: systemd is asked for time for as long as `work` goes on.
pub async fn while_starting<T>(work: impl Future<Output = T>) -> T {
    const MORE: Duration = Duration::from_secs(60);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(MORE / 4) => {
                tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(MORE.as_micros()).unwrap_or(u32::MAX))]);
            }
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(false, state) {
        warn!(%error, "systemd could not be notified");
    }
}

/// Pings the watchdog for as long as the store's writer lives: `beat_age` says how long ago it went round. A frozen store stops the ping, and
/// systemd restarts the daemon.
pub async fn watchdog(beat_age: impl Fn() -> Duration) {
    let mut usec = 0;
    if !sd_notify::watchdog_enabled(false, &mut usec) {
        return;
    }
    let limit = Duration::from_micros(usec);
    let mut tick = tokio::time::interval(limit / 4);
    loop {
        tick.tick().await;
        if beat_age() < limit / 2 {
            tell(&[NotifyState::Watchdog]);
        } else {
            error!(age = ?beat_age(), "the store's writer doesn't answer; the watchdog is not pinged");
        }
    }
}
