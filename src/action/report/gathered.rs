//! The people of a report as the store gives them, one by one and in no order. Pure.
//!
//! Of all only the row of the attachment is kept, and of the first [`SHOWN`] by address what the tables and templates need: a person takes
//! about as much memory as their row.

use std::{collections::BTreeMap, sync::Arc};

use super::{DEFAULT_FIELDS, SHOWN, columns::cell, people::People, sheet::Writer};
use crate::{action::ReportTask, ledger::Entry};

pub struct Gathered {
    fields: Vec<String>,
    /// Address and row.
    rows: Vec<(Box<str>, Box<[u8]>)>,
    /// By address, and by how many came before.
    first: BTreeMap<(Box<str>, usize), Entry>,
    writer: Result<Writer, String>,
}

/// All of them, in the order of their addresses.
pub(super) struct Sorted {
    pub fields: Vec<String>,
    pub people: People,
    /// With its header row.
    pub csv: Vec<u8>,
}

impl Gathered {
    pub fn new(task: &ReportTask) -> Gathered {
        let fields = if task.fields.is_empty() { DEFAULT_FIELDS.map(str::to_owned).into() } else { task.fields.clone() };
        Gathered { fields, rows: Vec::new(), first: BTreeMap::new(), writer: Ok(Writer::default()) }
    }

    pub fn add(&mut self, entry: Entry) {
        let Ok(writer) = &mut self.writer else { return };
        let address = cell(&entry, "address").into_boxed_str();
        match writer.row(self.fields.iter().map(|field| cell(&entry, field))) {
            Ok(row) => self.rows.push((address.clone(), row.into_boxed_slice())),
            Err(error) => self.writer = Err(error),
        }
        self.first.insert((address, self.rows.len()), entry);
        if self.first.len() > SHOWN {
            self.first.pop_last();
        }
    }

    pub(super) fn sort(mut self) -> Result<Sorted, String> {
        let mut csv = self.writer?.row(self.fields.iter().cloned())?;
        self.rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        csv.reserve_exact(self.rows.iter().map(|(_, row)| row.len()).sum());
        let total = self.rows.len();
        for (_, row) in self.rows {
            csv.extend_from_slice(&row);
        }
        Ok(Sorted { fields: self.fields, people: People { first: Arc::new(self.first.into_values().collect()), total }, csv })
    }
}

impl Extend<Entry> for Gathered {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        entries.into_iter().for_each(|entry| self.add(entry));
    }
}
