//! The shell of intake: tells a mail in the pool and has it recorded.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use metrics::{counter, histogram};
use tracing::{error, info, warn};

use super::{Arrival, Failure, Policy, pool::Pool, resolve, room::Room};
use crate::{
    ledger::{Input, MailInput, Standing},
    message,
    store::{Clock, Recorded, Store},
    verp::day_of,
};

/// RFC 5321, section 6.3 asks for a limit on hops; what bounces rarely has ten.
const MAX_RECEIVED: usize = 25;

/// Octets up to which a mail is told where it came in: a tenth of a millisecond mostly, two at worst.
const SMALL: usize = 16 * 1024;

/// Mails passed on to `smtp.postmaster` in an hour; what comes above is recorded with its raw mail kept.
const FORWARDS_PER_HOUR: usize = 20;

/// What the rest of the house is told of mails once they are recorded.
pub type Notice = Box<dyn Fn(&MailInput, &Recorded) + Send + Sync>;

/// Ids of the events that one mail made, or why it made none.
pub type Reply = Result<Vec<u64>, Failure>;

/// Takes mails, whoever brings them.
pub struct Intake {
    store: Arc<Store>,
    policy: ArcSwap<Policy>,
    pool: Pool,
    room: Room,
    clock: Clock,
    forwarded: Mutex<Vec<Timestamp>>,
    notice: Notice,
}

impl Intake {
    pub fn new(store: Arc<Store>, policy: Policy, clock: Clock, notice: Notice) -> Intake {
        Intake {
            store,
            policy: ArcSwap::from_pointee(policy),
            pool: Pool::new(),
            room: Room::default(),
            clock,
            forwarded: Mutex::default(),
            notice,
        }
    }

    /// From the next mail on another configuration holds.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Room on the disk.
    pub fn room(&self) -> &Room {
        &self.room
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn tell_of(&self, input: &MailInput, recorded: &Recorded) {
        (self.notice)(input, recorded);
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Days since 1970-01-01.
    pub fn today(&self) -> i32 {
        day_of((self.clock)())
    }

    /// Records a mail for each of its mailboxes in one commit. `Ok` means it is on the platter.
    ///
    /// # Errors
    /// See [`Failure`]; nothing was recorded then.
    pub async fn take(&self, arrival: Arrival) -> Reply {
        let (policy, today) = (self.policy(), self.today());
        let begun = std::time::Instant::now();
        let told = if arrival.raw.len() <= SMALL {
            self.pool.at_once(|| tell(&arrival, &policy, today))
        } else {
            let (arrival, policy) = (arrival.clone(), policy.clone());
            self.pool.run(move || tell(&arrival, &policy, today)).await
        };
        histogram!("bounced_tell_seconds").record(begun.elapsed());
        let mut inputs = match told {
            Ok(told) => told?,
            Err(_) => {
                counter!("bounced_tell_panics_total").increment(1);
                error!(bytes = arrival.raw.len(), "telling a mail panicked; it is recorded as undetermined with its raw mail kept");
                resolve::untold(&arrival, &policy)
            }
        };
        self.limit_forwards(&mut inputs);
        let inputs: Arc<[Input]> = inputs.into_iter().map(Input::Mail).collect();
        let octets = arrival.raw.len();
        let recorded = self.store.record_shared(inputs.clone(), arrival.raw).await.map_err(|error| {
            error!(%error, "a mail could not be recorded");
            Failure::Unavailable
        })?;
        self.room.take(octets);
        for (input, recorded) in inputs.iter().zip(&recorded) {
            let Input::Mail(input) = input else { continue };
            log(input, recorded);
            self.tell_of(input, recorded);
        }
        Ok(recorded.iter().map(|recorded| recorded.event).collect())
    }

    fn limit_forwards(&self, inputs: &mut [MailInput]) {
        if inputs.iter().all(|input| input.forward.is_none()) {
            return;
        }
        let now = (self.clock)();
        let mut sent = self.forwarded.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|at| now.duration_since(*at) < SignedDuration::from_hours(1));
        for input in inputs.iter_mut().filter(|input| input.forward.is_some()) {
            if sent.len() < FORWARDS_PER_HOUR {
                sent.push(now);
            } else {
                input.forward = None;
                warn!(rcpt = input.origin.rcpt, "more mail to postmaster than is passed on in an hour; its raw mail is kept");
            }
        }
    }
}

fn tell(arrival: &Arrival, policy: &Policy, today: i32) -> Result<Vec<MailInput>, Failure> {
    let report = message::read(&arrival.raw);
    if report.header.received > MAX_RECEIVED {
        return Err(Failure::Loop);
    }
    Ok(resolve::inputs(&report, arrival, policy, today))
}

/// One line a bounce. Texts are quoted and escaped by the log's format.
fn log(input: &MailInput, recorded: &Recorded) {
    let verdict = &input.verdict;
    let standing = match input.standing {
        Standing::Full => "full",
        Standing::Unsigned => "unsigned",
        Standing::Expired => "expired",
        Standing::Own => "own",
    };
    let counted = if recorded.duplicate { "duplicate" } else { standing };
    counter!("bounced_events_total", "status" => verdict.status.id(), "standing" => counted).increment(1);
    info!(
        event = recorded.event,
        status = verdict.status.id(),
        address = verdict.address.as_deref().unwrap_or_default(),
        campaign = input.campaign.as_deref().unwrap_or_default(),
        standing = counted,
        enhanced = verdict.enhanced.as_deref().unwrap_or_default(),
        rule = %verdict.rule,
        fired = recorded.fired.join(", "),
        client = input.origin.client.as_deref().unwrap_or_default(),
        "recorded"
    );
}
