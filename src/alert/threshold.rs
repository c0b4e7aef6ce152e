//! When figures become trouble. Pure: a [`Snapshot`] and `[alerts]` in, troubles out.

use jiff::{SignedDuration, Timestamp};

use super::Trouble;
use crate::{
    config,
    ledger::Counts,
    taxonomy::{Fault, Status},
};

/// How things stand at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub now: Timestamp,
    /// When the daemon started.
    pub started: Timestamp,
    /// When the last mail was recorded, in this run or before; `None` where none ever was.
    pub last_arrival: Option<Timestamp>,
    /// Bytes left on the disk of `data_dir`; `None` where that can't be found out.
    pub free_bytes: Option<u64>,
    /// `min_free`, bytes.
    pub min_free: u64,
    /// Events of about the last hour, by status.
    pub hour: Counts,
    /// Events of about the last 24 hours, by status.
    pub day: Counts,
    /// When the certificate of `smtp.tls` runs out.
    pub certificate_expires: Option<Timestamp>,
}

/// From here on the operator hears of the certificate.
const CERTIFICATE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A daemon that was stopped for long gets so much time before its silence counts.
const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// What is wrong now, at most one trouble of a kind.
pub fn judge(snapshot: &Snapshot, alerts: &config::Alerts) -> Vec<Trouble> {
    [room(snapshot), blocks(snapshot, alerts), undetermined(snapshot, alerts), silence(snapshot, alerts), certificate(snapshot)]
        .into_iter()
        .flatten()
        .collect()
}

/// Told at twice the reserve already: below the reserve mail is put off.
fn room(snapshot: &Snapshot) -> Option<Trouble> {
    let free = snapshot.free_bytes?;
    (free < snapshot.min_free.saturating_mul(2)).then_some(Trouble::Room { free, min_free: snapshot.min_free })
}

fn blocks(snapshot: &Snapshot, alerts: &config::Alerts) -> Option<Trouble> {
    let (share, at_least) = alerts.blocks;
    let mut by_status: Vec<(Status, u64)> =
        snapshot.hour.iter().filter(|(status, count)| status.fault() == Fault::Sender && **count > 0).map(|(s, c)| (*s, *c)).collect();
    let blocks = sum(by_status.iter().map(|(_, count)| *count));
    let total = sum(snapshot.hour.values().copied());
    by_status.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let surge = blocks > 0 && blocks >= at_least && blocks as f64 >= share * total as f64;
    surge.then_some(Trouble::Blocks { blocks, total, by_status })
}

fn undetermined(snapshot: &Snapshot, alerts: &config::Alerts) -> Option<Trouble> {
    let count = snapshot.day.get(&Status::Undetermined).copied().unwrap_or(0);
    (count > 0 && count >= alerts.undetermined).then_some(Trouble::Undetermined { count, limit: alerts.undetermined })
}

fn silence(snapshot: &Snapshot, alerts: &config::Alerts) -> Option<Trouble> {
    let limit = SignedDuration::try_from(alerts.silence?).unwrap_or(SignedDuration::MAX);
    let lasts = snapshot.now.duration_since(snapshot.last_arrival.unwrap_or(snapshot.started));
    let up = snapshot.now.duration_since(snapshot.started);
    (lasts >= limit && up >= limit.min(GRACE)).then_some(Trouble::Silence { lasts, last: snapshot.last_arrival })
}

fn certificate(snapshot: &Snapshot) -> Option<Trouble> {
    let expires = snapshot.certificate_expires?;
    let left = expires.duration_since(snapshot.now);
    (left < CERTIFICATE).then_some(Trouble::Certificate { expires, left })
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::alert::Kind;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn alerts() -> config::Alerts {
        config::Alerts {
            to: vec!["ops@example.com".to_owned()],
            silence: Some(Duration::from_secs(24 * 3600)),
            blocks: (0.2, 50),
            undetermined: 100,
            digest_at: jiff::civil::time(8, 0, 0, 0),
        }
    }

    fn calm() -> Snapshot {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        Snapshot {
            now,
            started: now - 100 * HOUR,
            last_arrival: Some(now - HOUR),
            free_bytes: Some(10 << 30),
            min_free: 256 << 20,
            hour: Counts::new(),
            day: Counts::new(),
            certificate_expires: Some(now + 1000 * HOUR),
        }
    }

    fn kinds(snapshot: &Snapshot) -> Vec<Kind> {
        judge(snapshot, &alerts()).iter().map(Trouble::kind).collect()
    }

    #[test]
    fn a_calm_day_is_no_trouble() {
        assert_eq!(kinds(&calm()), []);
        assert_eq!(kinds(&Snapshot { free_bytes: None, certificate_expires: None, ..calm() }), []);
    }

    #[test]
    fn room() {
        for (free, trouble) in [(512 << 20, false), ((512 << 20) - 1, true), (0, true)] {
            assert_eq!(!kinds(&Snapshot { free_bytes: Some(free), ..calm() }).is_empty(), trouble, "{free}");
        }
    }

    #[test]
    fn blocks_need_both_share_and_number() {
        let hour = |blocks, relay, spam, hard| {
            [
                (Status::MailBlockKnownSpammer, blocks),
                (Status::MailBlockRelayDenied, relay),
                (Status::MailBlockSpamDetected, spam),
                (Status::HardBounce, hard),
            ]
            .into_iter()
            .collect::<Counts>()
        };
        for (hour, trouble) in [
            (hour(50, 0, 0, 0), true),
            (hour(49, 0, 0, 0), false),
            (hour(25, 25, 0, 200), true),
            (hour(25, 25, 0, 201), false),
            (hour(0, 0, 500, 0), false),
        ] {
            assert_eq!(kinds(&Snapshot { hour: hour.clone(), ..calm() }) == [Kind::Blocks], trouble, "{hour:?}");
        }
        let mut none = alerts();
        none.blocks = (0.0, 0);
        assert_eq!(judge(&calm(), &none), [], "nothing at all is no surge");
    }

    #[test]
    fn undetermined() {
        for (count, trouble) in [(99, false), (100, true)] {
            let day = [(Status::Undetermined, count)].into_iter().collect();
            assert_eq!(!kinds(&Snapshot { day, ..calm() }).is_empty(), trouble, "{count}");
        }
    }

    #[test]
    fn silence() {
        let now = calm().now;
        for (last, started, trouble) in [
            (Some(now - 24 * HOUR), now - 100 * HOUR, true),
            (Some(now - 23 * HOUR), now - 100 * HOUR, false),
            (None, now - 24 * HOUR, true),
            (None, now - 23 * HOUR, false),
            // It was off for a week: the first hour tells nothing.
            (Some(now - 168 * HOUR), now - HOUR / 2, false),
            (Some(now - 168 * HOUR), now - HOUR, true),
        ] {
            let snapshot = Snapshot { last_arrival: last, started, ..calm() };
            assert_eq!(kinds(&snapshot) == [Kind::Silence], trouble, "{last:?} {started}");
        }
        let mut never = alerts();
        never.silence = None;
        assert_eq!(judge(&Snapshot { last_arrival: None, started: now - 9000 * HOUR, ..calm() }, &never), []);
    }

    #[test]
    fn certificate() {
        for (left, trouble) in [(14 * 24, false), (14 * 24 - 1, true), (-5, true)] {
            let snapshot = Snapshot { certificate_expires: Some(calm().now + left * HOUR), ..calm() };
            assert_eq!(!kinds(&snapshot).is_empty(), trouble, "{left}");
        }
    }
}
