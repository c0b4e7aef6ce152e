//! The search of `forget`: every row of the tree, then every record of the segments. Reads only; what is found goes to the writer in small
//! steps.

use std::collections::BTreeSet;

use super::{
    StoreError,
    concern::Finder,
    erase::{Forgotten, Found, Kind, STEP, Step, Underway, of_event, of_raw, of_row},
    rows::Tail,
    segments::{Folder, Record, Records},
    shared::Shared,
};

/// Rows read while the gate is held.
const CHUNK: usize = 500;

/// How much of a segment is read at a time; more where a record is longer.
const BYTES: u64 = 1 << 20;

/// What the writer answers: what is underway, and how many persons went in this step.
type Answer = Result<(Underway, u64), StoreError>;

/// Goes through everything that was there when it was begun.
pub fn sweep(
    shared: &Shared,
    begun: (Underway, u64),
    step: &mut dyn FnMut(Step) -> Answer,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Forgotten, StoreError> {
    let (mut underway, gone) = begun;
    let mut sweep = Sweep { shared, step, progress, done: 0, total: 0, forgotten: Forgotten { persons: gone, ..Forgotten::default() } };
    sweep.total = sweep.size(&underway)?;
    // First, since it may find more persons.
    underway = sweep.tree(underway)?;
    let mut mails = BTreeSet::new();
    let finder = Finder::new(&underway.wanted)?;
    sweep.stream(&shared.events, underway.events, |found, segment, record| of_event(&finder, segment, record, found, &mut mails))?;
    sweep.stream(&shared.raw, underway.raw, |found, segment, record| of_raw(&finder, segment, record, found))?;
    sweep.forgotten.raw = u64::try_from(mails.len()).unwrap_or(u64::MAX);
    (sweep.step)(Step::End)?;
    Ok(sweep.forgotten)
}

struct Sweep<'a> {
    shared: &'a Shared,
    step: &'a mut dyn FnMut(Step) -> Answer,
    progress: &'a mut dyn FnMut(u64, u64),
    done: u64,
    total: u64,
    forgotten: Forgotten,
}

impl Sweep<'_> {
    fn size(&self, underway: &Underway) -> Result<u64, StoreError> {
        let mut total = 0_u64;
        for (folder, tail) in [(&self.shared.events, underway.events), (&self.shared.raw, underway.raw)] {
            for segment in tail.first..=tail.segment {
                total = total.saturating_add(folder.length(segment)?.unwrap_or(0));
            }
        }
        Ok(total)
    }

    fn tree(&mut self, mut underway: Underway) -> Result<Underway, StoreError> {
        let mut from = Vec::new();
        loop {
            let (mut found, mut last) = (Found::default(), None);
            let finder = Finder::new(&underway.wanted)?;
            let gate = self.shared.read()?;
            for row in self.shared.db.range(from..).take(CHUNK) {
                let (key, first) = row?;
                of_row(&finder, self.shared, &key, first, &mut found)?;
                last = Some(key);
            }
            drop(gate);
            if !found.persons.is_empty() || !found.rows.is_empty() {
                self.forgotten.mentions = self.forgotten.mentions.saturating_add(u64::try_from(found.rows.len()).unwrap_or(0));
                let (next, gone) = (self.step)(Step::Found(found))?;
                self.forgotten.persons = self.forgotten.persons.saturating_add(gone);
                underway = next;
            }
            (self.progress)(self.done, self.total);
            let Some(last) = last else { return Ok(underway) };
            from = [&last, &[0][..]].concat();
        }
    }

    fn stream(
        &mut self,
        folder: &Folder,
        tail: Tail,
        mut each: impl FnMut(&mut Found, u32, &Record<'_>) -> Kind,
    ) -> Result<(), StoreError> {
        let mut found = Found::default();
        for segment in tail.first..=tail.segment {
            let end = if segment == tail.segment { Some(tail.length) } else { folder.length(segment)? };
            let Some(end) = end else { continue };
            let (mut offset, mut window) = (0, BYTES);
            while offset < end {
                let to = end.min(offset.saturating_add(window));
                let Some(bytes) = folder.read(segment, offset, Some(to))? else { break };
                let before = offset;
                for record in Records::new(&bytes, offset).map_while(Result::ok) {
                    self.count(each(&mut found, segment, &record));
                    offset = record.end();
                }
                while found.places.len() >= STEP {
                    found = self.flush(found)?;
                }
                self.done = self.done.saturating_add(offset.saturating_sub(before));
                (self.progress)(self.done, self.total);
                window = if offset == before { window.saturating_mul(4) } else { BYTES };
                if offset == before && to == end {
                    self.forgotten.damaged += 1;
                    tracing::error!(segment = %folder.segment(segment).display(), offset, "can't be read; what lies there isn't erased");
                    break;
                }
            }
        }
        while !found.places.is_empty() {
            found = self.flush(found)?;
        }
        Ok(())
    }

    /// Hands a step's most to the writer; returns the rest.
    fn flush(&mut self, mut found: Found) -> Result<Found, StoreError> {
        let rest = found.places.split_off(found.places.len().min(STEP));
        // Jobs go with the first of them: none may be left whose body is overwritten.
        (self.step)(Step::Found(found))?;
        Ok(Found { places: rest, ..Found::default() })
    }

    fn count(&mut self, kind: Kind) {
        let Forgotten { events, jobs, mentions, .. } = &mut self.forgotten;
        match kind {
            Kind::Nothing => {}
            Kind::Mention => *mentions += 1,
            Kind::Event => *events += 1,
            Kind::Job => *jobs += 1,
        }
    }
}
