//! What needs the store to be carried out: a report's people, the mail to be sent again. Read and rendered on a thread that may block.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    Context, Dispatcher, Postman, ReportTask, ResendMessage,
    again::Way,
    later,
    report::{Chart, DAYS, Finished, finish},
    resend,
};
use crate::{
    ledger::{Counts, Entry},
    outbox::{Blame, Job, Outcome},
    verp::day_of,
};

/// The people in one delivery of a report, in the order in which they are to be listed. May block.
pub type PeopleLoader = Arc<dyn Fn(&str, u32) -> Result<Vec<Entry>, String> + Send + Sync>;

/// Counts of each of these UTC days since 1970, the first and the last included; days without any may be left out. May block.
pub type DaysLoader = Arc<dyn Fn(u32, u32) -> Result<BTreeMap<u32, Counts>, String> + Send + Sync>;

/// A fresh signed return address for a mail to this address in this campaign; `None` where none can be made.
pub type VerpSender = Arc<dyn Fn(&str, Option<&str>) -> Option<String> + Send + Sync>;

/// The mail that a bounce returned, out of the bounce's own bytes; `None` where it isn't there whole.
pub type OriginalFinder = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// Where these things come from.
#[derive(Clone, Default)]
pub struct Sources {
    pub people: Option<PeopleLoader>,
    /// Without it reports have no chart.
    pub days: Option<DaysLoader>,
    pub verp: Option<VerpSender>,
    pub original: Option<OriginalFinder>,
}

impl Sources {
    /// A report as its mail will be, also for a preview; `id` names the mail. Blocks.
    pub fn report(&self, task: &ReportTask, at: Timestamp, id: &str, hostname: &str) -> Result<Finished, String> {
        let people = self.people.as_ref().ok_or("nothing gives the report's people")?;
        let people = Arc::new(people(&task.name, task.delivery)?);
        let today = u32::try_from(day_of(at)).unwrap_or(0);
        let days = self.days.as_ref().map(|days| days(today.saturating_sub(DAYS - 1), today)).transpose()?;
        finish(task, &people, days.map(|days| Chart::new(&days, today)).as_ref(), at, id, hostname)
    }
}

impl Dispatcher {
    pub(super) async fn report(&self, postman: &Postman, job: &Job, task: &ReportTask) -> Outcome {
        let (sources, owned, hostname) = (self.sources.clone(), task.clone(), postman.hostname().to_owned());
        let (created, id) = (job.created, job.id.to_string());
        let finished = tokio::task::spawn_blocking(move || sources.report(&owned, created, &id, &hostname)).await;
        match finished {
            Ok(Ok(finished)) => postman.report(job, task, &finished).await,
            Ok(Err(error)) => later(&format!("the report can't be made: {error}"), Blame::Us),
            Err(_) => later("the report can't be made", Blame::Us),
        }
    }

    pub(super) async fn resend(&self, postman: &Postman, job: &Job, message: &ResendMessage) -> Outcome {
        let dead = |error: String| Outcome::Dead { error };
        // Who sent what isn't signed is not known: it must never make us write to anybody.
        if !job.facts.event.origin.signed {
            return dead("the event isn't signed: nothing is sent to the person it names".to_owned());
        }
        let Some(to) = job.facts.event.verdict.address.clone() else { return dead("the event names no address".to_owned()) };
        let sender = self.sources.verp.as_ref().and_then(|verp| verp(&to, job.facts.event.campaign.as_deref()));
        let Some(sender) = sender else { return dead(format!("no return address can be made for {to}")) };
        let id = job.id.to_string();
        let way = Way { id: &id, to: &to, sender: &sender };
        let letter = match message {
            ResendMessage::Given(source) => resend::given(source, &Context::new(&job.facts, &id))
                .and_then(|mail| way.given(&mail, postman.from(), job.created, postman.hostname())),
            ResendMessage::Original => match self.load_raw(job).await {
                Ok(raw) => match self.sources.original.as_ref().and_then(|find| find(&raw)) {
                    Some(returned) => way.letter(resend::original(&returned)),
                    None => return dead("the bounce does not hold the original whole".to_owned()),
                },
                Err(outcome) => return outcome,
            },
        };
        match letter {
            Ok(letter) => postman.pass(&letter).await,
            Err(error) => dead(error),
        }
    }
}
