//! What a batch has changed so far, laid over what the table holds: each input sees those before it, and the table gets everything at once.
//!
//! sled puts a page that grows past 128 KiB into a file of its own that it never syncs, and a page holds up to some thirty rows: so no row of
//! sled's is longer than [`PIECE`], what is longer is cut in pieces.

use std::{collections::BTreeMap, ops::Bound};

use sled::IVec;

use super::{
    StoreError, keys,
    table::{Range, Table},
};

/// The longest row of sled's, in octets.
pub const PIECE: usize = 2_000;

/// The first octet of a row that goes on in pieces; versions of rows never come that far.
const CUT: u8 = 0xff;

/// The rows of a batch: a value, or that the row is gone.
pub type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub struct Overlay<'a> {
    tree: &'a Table,
    rows: Rows,
}

/// Reads a row as [`Overlay::put`] wrote it.
pub fn read(tree: &Table, key: &[u8]) -> Result<Option<IVec>, StoreError> {
    join(key, |key| tree.get(key))
}

/// The whole of a row of which the first piece was read.
pub fn whole(tree: &Table, key: &[u8], first: IVec) -> Result<IVec, StoreError> {
    if first.first() != Some(&CUT) {
        return Ok(first);
    }
    read(tree, key)?.ok_or_else(|| StoreError::damaged("a row that went away"))
}

fn join(key: &[u8], get: impl Fn(&[u8]) -> Result<Option<IVec>, StoreError>) -> Result<Option<IVec>, StoreError> {
    let Some(first) = get(key)? else { return Ok(None) };
    let Some(pieces) = pieces(&first) else { return Ok(Some(first)) };
    let mut bytes = first.get(3..).unwrap_or_default().to_vec();
    for number in 1..=pieces {
        let piece = get(&keys::piece(key, number))?.ok_or_else(|| StoreError::damaged("a row of which a piece is missing"))?;
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes.into()))
}

/// How many pieces come after the first, where the row is cut.
fn pieces(first: &[u8]) -> Option<u16> {
    match first {
        [CUT, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

impl<'a> Overlay<'a> {
    pub fn new(tree: &'a Table) -> Overlay<'a> {
        Overlay { tree, rows: Rows::new() }
    }

    pub fn into_rows(self) -> Rows {
        self.rows
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        join(key, |key| self.one(key))
    }

    fn one(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match self.rows.get(key) {
            Some(row) => Ok(row.as_deref().map(IVec::from)),
            None => self.tree.get(key),
        }
    }

    /// Puts a short row where none is.
    pub fn add(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.rows.insert(key, Some(value));
    }

    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        // Never in pieces: what was there before need not be looked up.
        if keys::in_runs(&key) {
            self.rows.insert(key, Some(value));
            return Ok(());
        }
        let before = self.one(&key)?.as_deref().and_then(pieces).unwrap_or(0);
        let mut now = 0;
        if value.len() <= PIECE && value.first() != Some(&CUT) {
            self.rows.insert(key.clone(), Some(value));
        } else {
            let mut chunks = value.chunks(PIECE - 3);
            let first = chunks.next().unwrap_or_default();
            for chunk in chunks {
                now += 1;
                self.rows.insert(keys::piece(&key, now), Some(chunk.to_vec()));
            }
            let [high, low] = now.to_be_bytes();
            self.rows.insert(key.clone(), Some([&[CUT, high, low], first].concat()));
        }
        for number in now + 1..=before {
            self.rows.insert(keys::piece(&key, number), None);
        }
        Ok(())
    }

    pub fn remove(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        if keys::in_runs(&key) {
            self.rows.insert(key, None);
            return Ok(());
        }
        for number in 1..=self.one(&key)?.as_deref().and_then(pieces).unwrap_or(0) {
            self.rows.insert(keys::piece(&key, number), None);
        }
        self.rows.insert(key, None);
        Ok(())
    }

    /// The first `limit` rows from `from` to before `to` that were there before this batch and are not changed in it.
    pub fn untouched(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(IVec, IVec)>, StoreError> {
        let range = (Bound::Included(from), Bound::Excluded(to));
        if from >= to {
            return Ok(Vec::new());
        }
        let rows: Range<'_> = self.tree.range::<&[u8], _>(range);
        let kept = rows.filter(|row| row.as_ref().map_or(true, |(key, _)| !self.rows.contains_key(&**key)));
        kept.take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_are_cut_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let db = Table::open(dir.path(), 1 << 20, 100).unwrap();
        let apply = |change: &dyn Fn(&mut Overlay<'_>)| {
            let mut overlay = Overlay::new(&db);
            change(&mut overlay);
            let rows = overlay.into_rows();
            assert!(rows.values().flatten().all(|value| value.len() <= PIECE));
            db.apply(rows);
        };
        let long: Vec<u8> = (0..9_001_u32).map(|n| n.to_le_bytes()[0]).collect();
        let shorter = long[..4_500].to_vec();
        apply(&|overlay| overlay.put(b"jk".to_vec(), long.clone()).unwrap());
        assert_eq!(read(&db, b"jk").unwrap().unwrap(), long);
        assert_eq!(db.range::<&[u8], _>(..).count(), 5);
        apply(&|overlay| {
            overlay.put(b"jk".to_vec(), shorter.clone()).unwrap();
            assert_eq!(overlay.get(b"jk").unwrap().unwrap(), shorter);
        });
        assert_eq!((read(&db, b"jk").unwrap().unwrap(), db.range::<&[u8], _>(..).count()), (shorter.into(), 3));
        apply(&|overlay| overlay.put(b"jk".to_vec(), vec![CUT; 9]).unwrap());
        assert_eq!((read(&db, b"jk").unwrap().unwrap(), db.range::<&[u8], _>(..).count()), (vec![CUT; 9].into(), 1));
        apply(&|overlay| overlay.put(b"jk".to_vec(), long.clone()).unwrap());
        apply(&|overlay| overlay.remove(b"jk".to_vec()).unwrap());
        assert_eq!(db.range::<&[u8], _>(..).count(), 0);
    }
}
