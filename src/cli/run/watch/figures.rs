//! The figures that alerts and digests are made of, read from the store.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::{closed, dead, free_bytes};
use crate::{
    address,
    alert::{
        Snapshot, Watched,
        digest::{Day, GuardedDomain, Jobs, OverdueTask},
    },
    config::Config,
    ledger::{Counts, GuardState, MailEvent, Standing, day_of, hour_of},
    outbox::{State, Targets},
    store::{EventFilter, JobFilter, Store, StoreError, Which},
    taxonomy::Status,
};

/// Events read at a time.
const CHUNK: usize = 1_000;
/// A digest looks through so many events at most for what fired and where they came from.
const LOOKED_THROUGH: usize = 500_000;
/// Dead jobs that a digest may list.
const DEAD: usize = 20;

pub struct Figures {
    pub config: Arc<ArcSwap<Config>>,
    pub store: Arc<Store>,
    pub targets: Arc<Targets>,
    /// When the daemon started.
    pub started: Timestamp,
}

impl Watched for Figures {
    fn snapshot(&self) -> Result<Snapshot, String> {
        let (config, now) = (self.config.load_full(), Timestamp::now());
        let read = || -> Result<_, StoreError> {
            let hour = hour_of(now);
            let hours = |which, back: u32| self.store.hours(which, hour.saturating_sub(back)..=hour).map(|hours| sum(hours.values()));
            let mut day = hours(Which::Counted, 24)?;
            // Mail at plain addresses that can't be told piles up, too; nothing else of it is believed.
            let untold = hours(Which::Unsigned, 24)?.get(&Status::Undetermined).copied().unwrap_or_default();
            *day.entry(Status::Undetermined).or_default() += untold;
            Ok((hours(Which::Counted, 1)?, day, self.store.last_arrival()?))
        };
        let (hour, day, last_arrival) = read().map_err(|error| error.to_string())?;
        Ok(Snapshot {
            now,
            started: self.started,
            last_arrival,
            free_bytes: free_bytes(&config.data_dir),
            min_free: config.min_free,
            hour,
            day,
            certificate_expires: config.smtp.tls.as_ref().and_then(|tls| expires(&tls.cert)),
        })
    }

    fn day(&self, from: Timestamp, to: Timestamp) -> Result<Day, String> {
        let config = self.config.load_full();
        self.read_day(from, to, &config).map_err(|error| error.to_string())
    }
}

impl Figures {
    fn read_day(&self, from: Timestamp, to: Timestamp, config: &Config) -> Result<Day, StoreError> {
        let jobs = self.store.job_counts()?;
        let dead_jobs = self.store.jobs(&JobFilter { state: Some(State::Dead), limit: DEAD })?;
        let mut day = Day {
            jobs: Jobs { waiting: jobs.waiting, running: jobs.running, done: jobs.done, dead: jobs.dead },
            dead: dead_jobs.iter().map(dead).collect(),
            guarded: self.guarded()?,
            closed: self.targets.closed().into_iter().map(closed).collect(),
            free_bytes: free_bytes(&config.data_dir),
            min_free: config.min_free,
            ..Day::default()
        };
        self.tasks(&mut day)?;
        let (mut fired, mut domains) = (BTreeMap::new(), BTreeMap::new());
        self.each_event(from, to, |mail| {
            match mail.standing {
                Standing::Full => *day.counts.entry(mail.verdict.status).or_default() += 1,
                Standing::Unsigned | Standing::Expired => day.apart += 1,
                Standing::Own => day.own_bounces += 1,
            }
            for name in &mail.fired {
                *fired.entry(name.clone()).or_default() += 1;
            }
            if let (Standing::Full, Some(domain)) = (mail.standing, mail.verdict.address.as_deref().and_then(address::domain)) {
                *domains.entry(domain.to_owned()).or_default() += 1;
            }
        })?;
        // A day with more events than are looked through is told by its buckets: whole, if by the UTC day and not to the minute.
        if day.counts.values().sum::<u64>() >= LOOKED_THROUGH as u64 {
            day.counts = sum(self.store.days(Which::Counted, day_of(from)..=day_of(to))?.values());
        }
        day.fired = fired.into_iter().collect();
        day.domains = domains.into_iter().collect();
        day.domains.sort_by_key(|(_, count): &(String, u64)| std::cmp::Reverse(*count));
        Ok(day)
    }

    fn guarded(&self) -> Result<Vec<GuardedDomain>, StoreError> {
        let undecided = self.store.guarded()?.into_iter().filter(|(_, state)| state.ending.is_none());
        let row = |(domain, state): (String, GuardState)| GuardedDomain {
            domain,
            since: state.since,
            hard_bounces: state.hard_bounces,
            waiting: state.waiting,
        };
        Ok(undecided.map(row).collect())
    }

    fn tasks(&self, day: &mut Day) -> Result<(), StoreError> {
        let now = Timestamp::now();
        for task in self.store.tasks(false)? {
            day.open_tasks = day.open_tasks.saturating_add(1);
            let Some(due) = task.due.filter(|due| *due < now) else { continue };
            let id = task.id.to_string();
            day.overdue.push(OverdueTask { title: task.todo.title_for(&task.facts, &id), assignee: task.todo.assignee, due, id });
        }
        day.overdue.sort_by_key(|task| task.due);
        Ok(())
    }

    fn each_event(&self, from: Timestamp, to: Timestamp, mut each: impl FnMut(&MailEvent)) -> Result<(), StoreError> {
        let (mut below, mut looked_through) = (None, 0);
        while looked_through < LOOKED_THROUGH {
            let found = self.store.events(&EventFilter { since: Some(from), below, limit: CHUNK, ..EventFilter::default() })?;
            for event in &found {
                below = Some(event.id);
                if event.at < to {
                    each(event);
                }
            }
            looked_through += found.len();
            if found.len() < CHUNK {
                break;
            }
        }
        Ok(())
    }
}

fn sum<'a>(all: impl IntoIterator<Item = &'a Counts>) -> Counts {
    all.into_iter().flatten().fold(Counts::new(), |mut total, (status, count)| {
        let sum = total.entry(*status).or_default();
        *sum = sum.saturating_add(*count);
        total
    })
}

/// When the first certificate of a PEM file runs out; `None` where it can't be read, which a reload would tell.
fn expires(cert: &Path) -> Option<Timestamp> {
    let pem = fs::read(cert).ok()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
    let not_after = pem.parse_x509().ok()?.validity().not_after.timestamp();
    Timestamp::from_second(not_after).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_s_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 5, 6);
        let key = rcgen::KeyPair::generate().unwrap();
        let path = folder.path().join("cert.pem");
        fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
        assert_eq!(expires(&path).unwrap(), "2031-05-06T00:00:00Z".parse().unwrap());
        fs::write(&path, "no certificate").unwrap();
        assert_eq!(expires(&path), None);
    }
}
