//! Rows of several sources in the order of their keys: of those with one key, the newest source's is taken.

use std::{ops::Bound, sync::Arc};

use sled::IVec;

use super::{super::StoreError, Mem, Table, run::Row};

pub type Source<'a> = Box<dyn Iterator<Item = Result<Row, StoreError>> + 'a>;

/// Gone rows among them.
pub struct Merged<'a> {
    /// The newest first, each with its next row.
    sources: Vec<(Source<'a>, Option<Row>)>,
    failed: Option<StoreError>,
}

impl<'a> Merged<'a> {
    /// The newest first.
    pub fn new(sources: Vec<Source<'a>>) -> Merged<'a> {
        let mut merged = Merged { sources: sources.into_iter().map(|source| (source, None)).collect(), failed: None };
        merged.sources.iter_mut().for_each(|source| advance(source, &mut merged.failed));
        merged
    }
}

fn advance((source, head): &mut (Source<'_>, Option<Row>), failed: &mut Option<StoreError>) {
    *head = source.next().transpose().unwrap_or_else(|error| {
        failed.get_or_insert(error);
        None
    });
}

impl Iterator for Merged<'_> {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.sources.clear();
            return Some(Err(error));
        }
        let heads = self.sources.iter().enumerate().filter_map(|(place, (_, head))| Some((&head.as_ref()?.0, place)));
        let (_, place) = heads.min()?;
        let newest = self.sources.get_mut(place)?;
        let row = newest.1.take()?;
        advance(newest, &mut self.failed);
        // The others of this key are out of date.
        for source in self.sources.iter_mut().skip(place.saturating_add(1)) {
            if source.1.as_ref().is_some_and(|(head, _)| *head == row.0) {
                advance(source, &mut self.failed);
            }
        }
        Some(Ok(row))
    }
}

/// The rows from one key to another that are there.
pub struct Range<'a> {
    table: &'a Table,
    merged: Merged<'a>,
    to: Bound<IVec>,
}

impl<'a> Range<'a> {
    pub fn new(table: &'a Table, merged: Merged<'a>, to: Bound<IVec>) -> Range<'a> {
        Range { table, merged, to }
    }
}

impl Iterator for Range<'_> {
    type Item = Result<(IVec, IVec), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, value) = match self.merged.next()? {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            };
            let within = match &self.to {
                Bound::Unbounded => true,
                Bound::Included(to) => key <= *to,
                Bound::Excluded(to) => key < *to,
            };
            if !within {
                self.merged = Merged::new(Vec::new());
                return None;
            }
            if let Some(value) = value.filter(|value| self.table.is_visible(&key, value)) {
                return Some(Ok((key, value)));
            }
        }
    }
}

/// A map's rows; looks each up anew, so that the map may be locked for that long only.
pub struct Walk<F> {
    /// The rows after this bound are still to come.
    after: Bound<IVec>,
    next: F,
}

impl<F: FnMut(Bound<&[u8]>) -> Option<Row>> Walk<F> {
    pub fn new(from: Bound<IVec>, next: F) -> Walk<F> {
        Walk { after: from, next }
    }
}

impl<F: FnMut(Bound<&[u8]>) -> Option<Row>> Iterator for Walk<F> {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = (self.next)(borrowed(&self.after))?;
        self.after = Bound::Excluded(row.0.clone());
        Some(Ok(row))
    }
}

pub fn borrowed(bound: &Bound<IVec>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// The first row of a map from a bound on.
pub fn first_of(map: &Mem, from: Bound<&[u8]>) -> Option<Row> {
    map.rows.range::<[u8], _>((from, Bound::Unbounded)).next().map(|(key, value)| (key.clone(), value.clone()))
}

/// The last row of a map within bounds.
pub fn last_of(map: &Mem, from: &[u8], to: Bound<&[u8]>) -> Option<Row> {
    let range = (Bound::Included(from), to);
    map.rows.range::<[u8], _>(range).next_back().map(|(key, value)| (key.clone(), value.clone()))
}

/// What was frozen, from a bound on.
pub fn frozen<'a>(map: Arc<Mem>, from: Bound<IVec>) -> Source<'a> {
    Box::new(Walk::new(from, move |from| first_of(&map, from)))
}
