//! The jobs in the worker's hands, by lane: a few running, a few claimed ahead. Pure.
//!
//! A lane never has more than its share running, whatever else is free, and of several that wait the one with the fewest running goes first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Job, JobId, lane};

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<String, Lane>,
    ids: BTreeSet<JobId>,
    running: usize,
}

#[derive(Debug, Default)]
struct Lane {
    running: usize,
    queue: VecDeque<Job>,
}

impl Lane {
    fn held(&self) -> usize {
        self.running.saturating_add(self.queue.len())
    }
}

impl Lanes {
    /// Takes a claimed job; one that is held already (its lease was over, and renewed by the claim) is left as it is, and `false`.
    pub fn add(&mut self, job: Job) -> bool {
        let new = self.ids.insert(job.id);
        if new {
            self.lanes.entry(lane(&job.task)).or_default().queue.push_back(job);
        }
        new
    }

    /// The next job to run with its lane's name, where a place is free.
    pub fn start(&mut self, places: usize, each: usize) -> Option<(String, Job)> {
        if self.running >= places {
            return None;
        }
        let ready = self.lanes.iter_mut().filter(|(_, lane)| lane.running < each && !lane.queue.is_empty());
        let (name, lane) = ready.min_by_key(|(_, lane)| lane.running)?;
        let job = lane.queue.pop_front()?;
        lane.running = lane.running.saturating_add(1);
        self.running = self.running.saturating_add(1);
        Some((name.clone(), job))
    }

    /// A job of `name` no longer runs. Returns how many of that lane are still held.
    pub fn done(&mut self, name: &str, id: JobId) -> usize {
        self.ids.remove(&id);
        self.running = self.running.saturating_sub(1);
        let Some(lane) = self.lanes.get_mut(name) else { return 0 };
        lane.running = lane.running.saturating_sub(1);
        let held = lane.held();
        if held == 0 {
            self.lanes.remove(name);
        }
        held
    }

    pub fn held(&self) -> BTreeMap<String, usize> {
        self.lanes.iter().map(|(name, lane)| (name.clone(), lane.held())).collect()
    }

    /// Whether the lane holds as many as it may: there may be more of it to claim.
    pub fn is_full(&self, name: &str, each: usize) -> bool {
        self.lanes.get(name).is_some_and(|lane| lane.held() >= each)
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.lanes.keys()
    }
}
