//! Which files of the folder count, and which runs are to be merged.
//!
//! [`FAN`] runs of a level become one of the next, and all become one when the others together outgrow the oldest: so a row is written some
//! five times in all, and at most half of what lies in runs is out of date.

use serde::{Deserialize, Serialize};

use super::super::{
    OpenError, StoreError, keys, open,
    rows::{decode, encode},
};

/// So many runs of a level become one.
const FAN: usize = 4;

/// What counts of the folder's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The first segment of the journal.
    pub journal: u32,
    /// The number of the next run.
    pub next: u32,
    /// The newest first.
    pub runs: Vec<Named>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub number: u32,
    pub level: u8,
    pub octets: u64,
}

impl Manifest {
    pub fn read(sled: &sled::Db) -> Result<Manifest, OpenError> {
        let row = sled.get(keys::MANIFEST).map_err(open::damaged)?;
        row.map_or(Ok(Manifest::default()), |row| decode(&row, "the table's manifest")).map_err(open::damaged)
    }

    pub fn to_row(&self) -> Result<Vec<u8>, StoreError> {
        encode(self)
    }

    /// Which runs are to be merged: where, and how many.
    pub fn due(&self) -> Option<(usize, usize)> {
        let oldest = self.runs.last()?.octets;
        let others: u64 = self.runs.iter().rev().skip(1).map(|run| run.octets).sum();
        if self.runs.len() >= FAN && others >= oldest {
            return Some((0, self.runs.len()));
        }
        let same = |place: &usize| {
            self.runs
                .get(*place..place + FAN)
                .is_some_and(|runs| runs.iter().all(|run| Some(run.level) == runs.first().map(|run| run.level)))
        };
        (0..self.runs.len()).find(same).map(|place| (place, FAN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_and_little_that_is_out_of_date() {
        let mut manifest = Manifest::default();
        let (mut written, mut most) = (0, 0);
        for flush in 1..=1_000_u64 {
            manifest.runs.insert(0, Named { number: 0, level: 0, octets: 1 });
            while let Some((place, count)) = manifest.due() {
                let merged: Vec<Named> = manifest.runs.splice(place..place + count, []).collect();
                let octets = merged.iter().map(|run| run.octets).sum();
                // Once there are 300 of them, rows replace others.
                let octets = if place == manifest.runs.len() { u64::min(octets, 300) } else { octets };
                written += octets;
                manifest.runs.insert(place, Named { number: 0, level: merged[0].level + 1, octets });
            }
            most = most.max(manifest.runs.len());
            let all: u64 = manifest.runs.iter().map(|run| run.octets).sum();
            assert!(all <= 2 * flush.min(300) + 4, "{all} after {flush}");
        }
        assert!(most <= 16, "{most} runs");
        assert!(written < 7_000, "{written} written again");
    }
}
