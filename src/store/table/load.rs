//! A whole table written at once, by `restore` and [`super::super::compact`]: no journal, no other reader; nothing of it counts before
//! [`Load::end`].

use std::{path::Path, sync::Arc};

use sled::IVec;

use super::{
    super::{OpenError, Platter, StoreError, overlay::Rows},
    Table,
    keeper::Works,
};

/// As by [`super::super::Options::new`].
const MEMORY_ROWS: usize = 50_000;

pub struct Load<'a> {
    works: Works<&'a dyn Platter>,
}

impl<'a> Load<'a> {
    /// Into an empty folder.
    pub fn new(dir: &Path, cache_bytes: u64, platter: &'a dyn Platter) -> Result<Load<'a>, OpenError> {
        let table = Table::open(dir, cache_bytes, MEMORY_ROWS)?;
        table.found_folders(platter)?;
        Ok(Load { works: Works::new(Arc::new(table), platter) })
    }

    /// A later row stands in place of an earlier one.
    pub fn put(&self, rows: Rows) -> Result<(), StoreError> {
        let table = &self.works.table;
        table.apply(rows);
        if table.levels().active.fill() >= MEMORY_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.works.table.freeze();
        self.works.flush(0)?;
        self.works.merge_all()
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.works.table.get(key)
    }

    /// Durable but for sled's own small files and the folders' names.
    pub fn end(self) -> Result<(), StoreError> {
        self.flush()?;
        self.works.merge_whole()
    }
}
