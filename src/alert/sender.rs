//! Sends alerts: from memory, by a fresh connection to the relay, again and again for a day. Needs no store and no outbox.
//!
//! The queue is bounded: when a relay is away for long, the oldest alerts are dropped, each with a line in the log.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jiff::{Timestamp, tz::TimeZone};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{error, info, warn};

use crate::{
    action::{OwnSender, Postman, clean, compose::Draft, transport::SendError},
    config,
};

/// More alerts than that don't wait.
const QUEUE: usize = 64;

/// An alert that could not be sent for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What the alerts need of the configuration; replaced as a whole when that is read again.
pub struct Setup {
    pub(super) hostname: String,
    pub(super) alerts: config::Alerts,
    pub(super) timezone: TimeZone,
    /// Recipients, apart by commas.
    to: String,
    postman: Option<Postman>,
}

/// A finished alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alert {
    /// Names the mail over all attempts.
    pub id: String,
    pub subject: String,
    pub text: String,
    pub at: Timestamp,
}

impl Setup {
    pub fn new(config: &config::Config, own_sender: OwnSender) -> Setup {
        Setup::of(&config.hostname, config.alerts.clone(), config.timezone.clone(), config.mail.as_ref(), own_sender)
    }

    pub fn of(hostname: &str, alerts: config::Alerts, timezone: TimeZone, mail: Option<&config::Mail>, own_sender: OwnSender) -> Setup {
        Setup {
            hostname: hostname.to_owned(),
            to: alerts.to.join(", "),
            alerts,
            timezone,
            postman: mail.map(|mail| Postman::new(mail, hostname, own_sender)),
        }
    }

    /// `Err` says what is missing for alerts to go out by mail.
    pub fn ready(&self) -> Result<(), String> {
        match (&self.postman, self.to.is_empty()) {
            (_, true) => Err("nobody is named to send alerts to: set [alerts] to".to_owned()),
            (None, _) => Err("there is no way to send mail: set [mail] relay and from".to_owned()),
            (Some(_), false) => Ok(()),
        }
    }

    /// Sends a test alert at once; `Ok` says to whom, `Err` why it didn't go.
    pub async fn test(&self, now: Timestamp) -> Result<String, String> {
        self.ready()?;
        let text = "This is the alert that `bounced alert test` sends. Alerts arrive.\n".to_owned();
        let alert = Alert { id: alert_id(now, 0), subject: "test: alerts arrive".to_owned(), text, at: now };
        match self.send(&alert).await {
            Ok(()) => Ok(format!("sent to {}", self.to)),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn send(&self, alert: &Alert) -> Result<(), SendError> {
        self.ready().map_err(SendError::Never)?;
        let Some(postman) = &self.postman else { return Ok(()) };
        let subject = format!("[bounced {}] {}", self.hostname, alert.subject);
        let text = format!("{}\n-- \nbounced on {}, {}\n", alert.text.trim_end(), self.hostname, crate::action::rfc3339(alert.at));
        postman.send(&Draft { text: clean::text(&text), ..postman.draft(&alert.id, &self.to, &subject, alert.at) }).await
    }
}

/// Short, and never the same twice: the time in milliseconds, and a number within the process.
pub(super) fn alert_id(now: Timestamp, number: u64) -> String {
    format!("alert-{:x}-{number:x}", now.as_millisecond())
}

/// Doubles from the first pause to ten minutes.
fn pause(first: Duration, attempt: u32) -> Duration {
    first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST_PAUSE)
}

/// Sends what comes through `alerts` in order, and says `()` to `delivered` for each that is out. Ends when `alerts` is closed.
pub(super) async fn run(
    setup: Arc<ArcSwap<Setup>>,
    mut alerts: mpsc::UnboundedReceiver<Alert>,
    delivered: mpsc::UnboundedSender<()>,
    first_pause: Duration,
) {
    let mut queue: VecDeque<(Alert, Instant)> = VecDeque::new();
    let mut attempt = 0;
    loop {
        let Some((alert, since)) = queue.front() else {
            match alerts.recv().await {
                Some(alert) => queue.push_back((alert, Instant::now())),
                None => return,
            }
            continue;
        };
        let sent = setup.load_full().send(alert).await;
        let given_up = since.elapsed() >= GIVE_UP;
        match sent {
            Ok(()) => {
                info!(subject = %alert.subject, "alert sent");
                // Nobody listens any more when the daemon stops.
                let _ = delivered.send(());
            }
            Err(SendError::Never(why)) => error!(subject = %alert.subject, %why, "alert refused for good"),
            Err(why) if given_up => error!(subject = %alert.subject, %why, "alert given up"),
            Err(why) => {
                attempt += 1;
                let next = Instant::now() + pause(first_pause, attempt);
                warn!(subject = %alert.subject, %why, attempt, "alert not sent yet");
                if wait(&mut alerts, &mut queue, next).await.is_none() {
                    return;
                }
                continue;
            }
        }
        queue.pop_front();
        attempt = 0;
    }
}

/// Takes alerts in until the next attempt is due; `None` when there will be no more.
async fn wait(alerts: &mut mpsc::UnboundedReceiver<Alert>, queue: &mut VecDeque<(Alert, Instant)>, next: Instant) -> Option<()> {
    while let Ok(alert) = timeout_at(next, alerts.recv()).await {
        queue.push_back((alert?, Instant::now()));
        if queue.len() > QUEUE
            && let Some((dropped, _)) = queue.pop_front()
        {
            error!(subject = %dropped.subject, "alert dropped: too many wait for the relay");
        }
    }
    sleep_until(next).await;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_minutes() {
        let seconds: Vec<u64> = (1..=9).map(|attempt| pause(Duration::from_secs(10), attempt).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(pause(Duration::from_secs(10), u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn an_id_fits_a_local_part() {
        let now: Timestamp = "2026-11-23T08:00:00.123Z".parse().unwrap();
        let id = alert_id(now, 31);
        assert!(id.len() <= 32 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{id}");
        assert_ne!(id, alert_id(now, 32));
    }
}
