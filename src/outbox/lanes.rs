//! The jobs in the worker's hands, by lane: a few running, a few claimed ahead. Pure: the time since some fixed moment is handed in.
//!
//! A lane never has more than its share running, begins no more than its rate allows and stands still where its breaker closed it, whatever
//! else is free; of several that wait the one with the fewest running goes first. What a lane can't begin soon is put back, so that it waits
//! in the store and not here.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Job, JobId, Limits, Want,
    breaker::{Breaker, Change, Sign, Spell},
    bucket::Bucket,
    lane, retry,
};
use crate::action::{Rate, Task};

/// Of a lane with a rate, what may begin within so long is claimed ahead.
const HORIZON: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Lanes {
    limits: Limits,
    lanes: BTreeMap<String, Lane>,
    ids: BTreeSet<JobId>,
    running: usize,
}

#[derive(Debug)]
struct Lane {
    running: BTreeMap<JobId, Limit>,
    queue: VecDeque<Job>,
    /// The strictest of those held; where none is, of those that were last.
    limit: Limit,
    bucket: Bucket,
    breaker: Breaker,
    /// How many the claim under way may give, and how many it gave.
    offered: usize,
    got: usize,
    /// There may be more to claim than the last claim gave.
    more: bool,
    /// Just closed: what waits is looked through for jobs that are past their time.
    sweep: bool,
}

/// What a job asks of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    at_once: usize,
    rate: Option<Rate>,
}

/// A claimed job that doesn't begin soon.
#[derive(Debug, PartialEq)]
pub(super) struct Surplus {
    pub job: Job,
    /// It is past its time, and this is how its target failed.
    pub over: Option<String>,
}

/// When there is something to do though nothing ends and nothing comes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Next {
    /// A job that is held can begin, or a lane is to be told of.
    pub act: Option<Duration>,
    /// There is room for jobs that wait in the store.
    pub claim: Option<Duration>,
}

impl Limit {
    fn of(job: &Job, each: usize) -> Limit {
        let Task::Post(post) = &job.task else { return Limit { at_once: each, rate: None } };
        Limit { at_once: post.concurrency.map_or(each, |most| usize::from(most).max(1)), rate: post.rate }
    }

    fn strictest(self, other: Limit) -> Limit {
        let rates = [self.rate, other.rate].into_iter().flatten();
        Limit { at_once: self.at_once.min(other.at_once), rate: rates.max_by_key(|rate| rate.interval()) }
    }
}

impl Lane {
    fn new(limit: Limit, offered: usize) -> Lane {
        Lane {
            running: BTreeMap::new(),
            queue: VecDeque::new(),
            limit,
            bucket: Bucket::default(),
            breaker: Breaker::default(),
            offered,
            got: 0,
            more: false,
            sweep: false,
        }
    }

    fn held(&self) -> usize {
        self.running.len().saturating_add(self.queue.len())
    }

    fn settle(&mut self, each: usize) {
        let waiting = self.queue.iter().map(|job| Limit::of(job, each));
        if let Some(limit) = self.running.values().copied().chain(waiting).reduce(Limit::strictest) {
            self.limit = limit;
        }
    }

    /// How many may wait here for their beginning.
    fn may_wait(&self, now: Duration, ahead: usize) -> usize {
        let running = self.running.len();
        let alone = if self.breaker.spell().is_none() { usize::MAX } else { usize::from(self.breaker.allows(now, running)) };
        let soon = self.limit.rate.map_or(usize::MAX, |rate| self.bucket.within(rate, now, HORIZON));
        let places = self.limit.at_once.saturating_add(ahead).saturating_sub(running);
        alone.min(soon).min(places)
    }

    /// How many more there is room for.
    fn room(&self, now: Duration, ahead: usize) -> usize {
        self.may_wait(now, ahead).saturating_sub(self.queue.len())
    }

    /// The first moment at which time lets another begin; `None` where something has to end first.
    fn earliest(&self) -> Option<Duration> {
        let paced = self.limit.rate.map_or(Duration::ZERO, |rate| self.bucket.earliest(rate));
        match self.breaker.spell() {
            Some(spell) => self.running.is_empty().then(|| spell.until.max(paced)),
            None => (self.running.len() < self.limit.at_once).then_some(paced),
        }
    }
}

impl Lanes {
    pub fn new(limits: Limits) -> Lanes {
        Lanes { limits, lanes: BTreeMap::new(), ids: BTreeSet::new(), running: 0 }
    }

    fn each(&self) -> usize {
        self.limits.each.saturating_add(self.limits.ahead)
    }

    /// What to claim. [`Lanes::claimed`] ends it.
    pub fn want(&mut self, max: usize, now: Duration) -> Want {
        let (each, ahead) = (self.each(), self.limits.ahead);
        let mut held = BTreeMap::new();
        for (name, lane) in &mut self.lanes {
            lane.offered = if lane.sweep { each } else { lane.room(now, ahead).min(each) };
            lane.got = 0;
            held.insert(name.clone(), each.saturating_sub(lane.offered));
        }
        Want { max, each, held }
    }

    /// Takes a claimed job; one that is held already (its lease was over, and renewed by the claim) is left as it is, and `false`.
    pub fn add(&mut self, job: Job) -> bool {
        let new = self.ids.insert(job.id);
        if new {
            let limit = Limit::of(&job, self.limits.each);
            let offered = self.each();
            let lane = self.lanes.entry(lane(&job.task)).or_insert_with(|| Lane::new(limit, offered));
            lane.limit = if lane.held() == 0 { limit } else { lane.limit.strictest(limit) };
            lane.got = lane.got.saturating_add(1);
            lane.queue.push_back(job);
        }
        new
    }

    /// The claim is over. Whether another one may give more now.
    pub fn claimed(&mut self, now: Duration) -> bool {
        let ahead = self.limits.ahead;
        for lane in self.lanes.values_mut() {
            lane.more = lane.got >= lane.offered;
        }
        self.lanes.values().any(|lane| lane.more && lane.offered > 0 && lane.room(now, ahead) > 0)
    }

    /// Takes out what can't begin soon. `today` is UTC now: it tells what is past its time.
    pub fn surplus(&mut self, now: Duration, today: Timestamp) -> Vec<Surplus> {
        let (each, ahead) = (self.limits.each, self.limits.ahead);
        let mut surplus = Vec::new();
        for lane in self.lanes.values_mut() {
            let back = lane.queue.split_off(lane.queue.len().min(lane.may_wait(now, ahead)));
            lane.more |= !back.is_empty();
            let failed = lane.breaker.spell().map(|spell| &spell.error);
            let before = surplus.len();
            surplus.extend(back.into_iter().map(|job| {
                let over = failed.filter(|_| retry::is_over(job.created, today)).cloned();
                Surplus { job, over }
            }));
            // The longest waiting come first: where none of them is past its time, none is.
            lane.sweep &= surplus.get(before..).is_some_and(|of_it| of_it.iter().any(|one| one.over.is_some()));
            lane.settle(each);
        }
        for one in &surplus {
            self.ids.remove(&one.job.id);
        }
        surplus
    }

    pub fn sweeping(&self) -> bool {
        self.lanes.values().any(|lane| lane.sweep)
    }

    /// The next job to run with its lane's name, where a place is free.
    pub fn start(&mut self, now: Duration) -> Option<(String, Job)> {
        let ready = |lane: &Lane| !lane.queue.is_empty() && self.has_place(lane) && lane.earliest().is_some_and(|at| at <= now);
        let name = self.lanes.iter().filter(|(_, lane)| ready(lane)).min_by_key(|(_, lane)| lane.running.len())?.0.clone();
        let lane = self.lanes.get_mut(&name)?;
        let job = lane.queue.pop_front()?;
        lane.running.insert(job.id, Limit::of(&job, self.limits.each));
        lane.breaker.begin();
        if let Some(rate) = lane.limit.rate {
            lane.bucket.begin(rate, now);
        }
        self.running = self.running.saturating_add(1);
        Some((name, job))
    }

    /// More than [`Limits::each`] of a lane run only while half of all places are free: it must not hold up the others.
    fn has_place(&self, lane: &Lane) -> bool {
        let places = if lane.running.len() < self.limits.each { self.limits.places } else { self.limits.places / 2 };
        self.running < places
    }

    /// A job of `name` no longer runs. Returns what became of the lane, and whether to claim more: the lane had more than it might take, and
    /// not much of it waits here any longer.
    pub fn done(&mut self, name: &str, id: JobId, sign: Sign, now: Duration) -> (Option<Change>, bool) {
        self.ids.remove(&id);
        let (each, ahead) = (self.limits.each, self.limits.ahead);
        let Some(lane) = self.lanes.get_mut(name) else { return (None, false) };
        if lane.running.remove(&id).is_some() {
            self.running = self.running.saturating_sub(1);
        }
        lane.settle(each);
        let change = lane.breaker.end(sign, now);
        lane.sweep |= matches!(change, Some(Change::Closed | Change::StillClosed));
        let low = lane.more && lane.held() <= lane.limit.at_once && lane.room(now, ahead) > 0;
        let claim = low || change.is_some();
        (change, claim)
    }

    pub fn next(&self, now: Duration) -> Next {
        let earlier = |a: Option<Duration>, b: Duration| Some(a.map_or(b, |a| a.min(b)));
        let mut next = Next::default();
        for lane in self.lanes.values() {
            if let Some(at) = lane.breaker.tell_at() {
                next.act = earlier(next.act, at);
            }
            let Some(at) = lane.earliest() else { continue };
            if !lane.queue.is_empty() && self.has_place(lane) {
                next.act = earlier(next.act, at);
            } else if lane.queue.is_empty() && lane.more {
                let paced = lane.limit.rate.is_some() && lane.breaker.spell().is_none();
                next.claim = earlier(next.claim, if paced { at.saturating_sub(HORIZON) } else { at });
            }
        }
        next.act = next.act.map(|at| at.max(now));
        next.claim = next.claim.map(|at| at.max(now));
        next
    }

    pub fn spell(&self, name: &str) -> Option<&Spell> {
        self.lanes.get(name)?.breaker.spell()
    }

    /// Lanes that have been closed for so long that it is to be told, each once in a spell.
    pub fn tell(&mut self, now: Duration) -> Vec<String> {
        self.lanes.iter_mut().filter_map(|(name, lane)| lane.breaker.tell(now).is_some().then(|| name.clone())).collect()
    }

    /// Closed lanes may make their next attempt now.
    pub fn hurry(&mut self, now: Duration) {
        self.lanes.values_mut().for_each(|lane| lane.breaker.hurry(now));
    }

    /// Lets go of lanes that there is nothing to remember of. Returns those that were closed: nothing went to them for a day.
    pub fn tidy(&mut self, now: Duration) -> Vec<String> {
        let idle = |lane: &Lane| lane.held() == 0 && !lane.more && lane.bucket.is_full(now) && lane.breaker.is_forgettable(now);
        let gone: Vec<String> = self.lanes.iter().filter(|(_, lane)| idle(lane)).map(|(name, _)| name.clone()).collect();
        gone.into_iter().filter(|name| self.lanes.remove(name).is_some_and(|lane| lane.breaker.spell().is_some())).collect()
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
