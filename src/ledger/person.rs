//! What happens to one person's record, apart from any trigger. Total: every list is bounded, every sum saturates.

use jiff::{SignedDuration, Timestamp};

use super::{Field, Fired, Person, RECENT, Recent, Scope, Tally};
use crate::{address, taxonomy::Status};

/// The most marks of fired triggers that a person or a scope keeps; the oldest go first. Marks of triggers that are no longer configured
/// stay until then, so that a trigger which comes back does not fire again.
pub const MARKS: usize = 1024;

/// The most tags a person can have; further ones are not put on.
pub const TAGS: usize = 256;

/// So many fields a person has at most.
pub const FIELDS: usize = 256;

/// Whether a text can be a tag: one word.
pub fn is_tag(text: &str) -> bool {
    (1..=100).contains(&text.len()) && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',')
}

impl Person {
    /// Clears the counts of `statuses` (`None`: of all) and what fired on them, and nothing else: tags, fields, suppression, times and the
    /// list of events stay. What counts apart stays too, triggers never see it.
    pub fn reset(&mut self, statuses: Option<&[Status]>) {
        let concerned = |status: Status| statuses.is_none_or(|some| some.contains(&status));
        self.counted.totals.retain(|status, _| !concerned(*status));
        for entry in self.counted.recent.iter_mut().filter(|entry| concerned(entry.status)) {
            entry.cleared = true;
        }
        self.fired.retain(|fired| !fired.when.iter().any(|status| concerned(*status)));
    }

    /// Whether so long has passed without a bounce that the counts lapse (`[count] reset_after`).
    pub fn lapsed(&self, reset_after: Option<SignedDuration>, at: Timestamp) -> bool {
        match (reset_after, self.counted.last_bounce) {
            (Some(after), Some(last)) => at.duration_since(last) >= after,
            _ => false,
        }
    }

    pub(super) fn see(&mut self, at: Timestamp) {
        self.first_seen = Some(self.first_seen.map_or(at, |first| first.min(at)));
        self.last_seen = Some(self.last_seen.map_or(at, |last| last.max(at)));
    }

    /// The first address stays: a later mail that names another one is no authority over it.
    pub(super) fn learn(&mut self, told: Option<&str>) {
        if self.address.is_none() {
            self.address = told.and_then(address::normal);
        }
    }

    pub(super) fn set(&mut self, name: &str, field: Field) {
        if self.fields.len() < FIELDS || self.fields.contains_key(name) {
            self.fields.insert(name.to_owned(), field);
        }
    }

    pub(super) fn tag(&mut self, tag: &str) {
        if self.tags.len() < TAGS {
            self.tags.insert(tag.to_owned());
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, entry: Recent) {
        let total = self.totals.entry(entry.status).or_default();
        *total = total.saturating_add(1);
        if entry.status != Status::Delivered {
            // One of the past, brought in, comes after newer ones.
            self.last_bounce = self.last_bounce.max(Some(entry.at));
        }
        self.recent.push_back(entry);
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }
}

impl Scope {
    /// Puts down that a trigger fired here.
    pub fn mark(&mut self, fired: Fired) {
        mark(&mut self.fired, fired);
    }
}

/// One mark a trigger: the new one takes the place of the old.
pub(super) fn mark(marks: &mut Vec<Fired>, fired: Fired) {
    marks.retain(|old| old.key != fired.key);
    marks.push(fired);
    while marks.len() > MARKS {
        marks.remove(0);
    }
}
