//! What the worker asks of whoever keeps the jobs.

use std::{collections::BTreeMap, fmt::Display, future::Future};

use jiff::Timestamp;

use super::{Job, JobId};
use crate::action::Task;

/// The jobs as kept. Opening them makes whatever was running claimable at once.
pub trait Jobs: Send + Sync + 'static {
    type Error: Display + Send;

    /// Hands out jobs that are due at `now`, the longest due first: waiting ones whose `next` has come and running ones whose lease is over.
    /// They are running until `lease`, and this attempt is counted in their `attempts`. Only durable jobs are handed out. That they were need not be durable itself: after a crash they are
    /// claimable anyway.
    ///
    /// Keep due jobs by [`lane`], then by time: a lane with a long queue must not be walked over to find the jobs of the others.
    fn claim(&self, now: Timestamp, lease: Timestamp, want: Want) -> impl Future<Output = Result<Vec<Job>, Self::Error>> + Send;

    /// Puts down how an attempt ended; of a job that is gone (dropped by hand), nothing. Returns when it
    /// is durable.
    fn finish(&self, id: JobId, ended: Ended) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The earliest time later than `after` at which a job is due or a lease ends.
    fn next_due(&self, after: Timestamp) -> impl Future<Output = Result<Option<Timestamp>, Self::Error>> + Send;

    /// Returns when jobs have come since the last call, or were made due by hand. One call is remembered for a worker that is busy (as
    /// [`tokio::sync::Notify::notify_one`] does).
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

/// How many jobs to hand out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub max: usize,
    /// The most that may be held of one lane, those in `held` included.
    pub each: usize,
    /// By lane, how many are held already.
    pub held: BTreeMap<String, usize>,
}

impl Want {
    /// How many more of `lane` may be handed out.
    pub fn room(&self, lane: &str) -> usize {
        self.each.saturating_sub(self.held.get(lane).copied().unwrap_or(0))
    }
}

/// How an attempt left its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Done {
        at: Timestamp,
    },
    Waiting {
        next: Timestamp,
        error: String,
    },
    Dead {
        at: Timestamp,
        error: String,
    },
    /// It was not attempted after all, and this claim doesn't count; due at `next`.
    Released {
        next: Timestamp,
    },
}

/// Jobs of one lane go to one host, and a slow or dead host holds up its own lane only: `mail` for what goes by the relay, else the URL's
/// host and port as configured, lowercased. There are no more lanes than targets in the configuration.
pub fn lane(task: &Task) -> String {
    match task {
        Task::Mail(_) | Task::Forward { .. } | Task::Report(_) | Task::Resend(_) | Task::Todo(_) => "mail".to_owned(),
        Task::Post(post) => {
            let rest = post.url.split_once("://").map_or(post.url.as_str(), |(_, rest)| rest);
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("post {}", host.trim().to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{PostBody, PostTask};

    #[test]
    fn lanes() {
        let post = |url: &str| {
            lane(&Task::Post(PostTask {
                url: url.into(),
                body: PostBody::Event,
                headers: BTreeMap::new(),
                secret_file: None,
                batch: None,
                concurrency: None,
                rate: None,
            }))
        };
        assert_eq!(post("https://App.example.com/bounces?token=x"), "post app.example.com");
        assert_eq!(post("http://user:pass@app.example.com:8080#x"), "post app.example.com:8080");
        assert_eq!(post("http://[2001:db8::1]:80/"), "post [2001:db8::1]:80");
        assert_eq!(post("{{ nonsense"), "post {{ nonsense");
        assert_eq!(lane(&Task::Forward { to: "ops@example.com".into() }), "mail");
    }

    #[test]
    fn room() {
        let want = Want { max: 9, each: 4, held: BTreeMap::from([("a".into(), 3), ("b".into(), 9)]) };
        assert_eq!((want.room("a"), want.room("b"), want.room("c")), (1, 0, 4));
    }
}
