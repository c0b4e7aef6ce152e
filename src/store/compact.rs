//! The table written anew, so that nothing of what was removed is left in it: logs and runs keep old versions of rows for as long as they like.
//!
//! The rows are copied to `store.new/`, synced, and the folders change places, `store/` to `store.old/` first. At any moment one of them is
//! whole; [`settle`] finishes what was broken off.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    OpenError, Options, Platter, erase, open,
    overlay::Rows,
    table::{Load, Table},
};

const NEW: &str = "store.new";
const OLD: &str = "store.old";

/// Rows copied at a time.
const BATCH: usize = 1_000;

/// Nothing may have the store open.
///
/// # Errors
/// The store can't be read or the disk not written; it is as it was then.
pub fn compact(dir: &Path, options: &Options) -> Result<(), OpenError> {
    let platter = &*options.platter;
    tracing::info!("writing the store's database anew, so that nothing of whom was forgotten is left in it");
    let _lock = open::lock(dir)?;
    settle(dir, platter)?;
    let (now, new, old) = (dir.join("store"), dir.join(NEW), dir.join(OLD));
    open::make_dir(&new)?;
    let copied = copy(&now, &new, options).and_then(|()| open::sync_all(&new, platter));
    if let Err(error) = copied {
        // What is left of it the next open removes.
        let _ = fs::remove_dir_all(&new);
        return Err(error);
    }
    for (from, to) in [(&now, &old), (&new, &now)] {
        fs::rename(from, to).map_err(open::at(from))?;
        platter.sync_dir(dir).map_err(open::at(dir))?;
    }
    settle(dir, platter)
}

fn copy(from: &Path, to: &Path, options: &Options) -> Result<(), OpenError> {
    let from = Table::open(from, options.cache_bytes / 2, options.memory_rows)?;
    from.replay()?;
    let to = Load::new(to, options.cache_bytes / 2, &*options.platter)?;
    let mut rows = Rows::new();
    for row in from.range::<&[u8], _>(..) {
        let (key, value) = row.map_err(open::damaged)?;
        if key == erase::INTENT {
            continue;
        }
        rows.insert(key.to_vec(), Some(value.to_vec()));
        if rows.len() >= BATCH {
            to.put(std::mem::take(&mut rows)).map_err(open::damaged)?;
        }
    }
    to.put(rows).and_then(|()| to.end()).map_err(open::damaged)
}

/// Finishes or takes back what was broken off.
pub fn settle(dir: &Path, platter: &dyn Platter) -> Result<(), OpenError> {
    let (now, new, old) = (dir.join("store"), dir.join(NEW), dir.join(OLD));
    if old.is_dir() && !now.exists() {
        let whole = if new.is_dir() { &new } else { &old };
        fs::rename(whole, &now).map_err(open::at(whole))?;
        platter.sync_dir(dir).map_err(open::at(dir))?;
    }
    let left: Vec<PathBuf> = [new, old].into_iter().filter(|folder| folder.is_dir()).collect();
    for folder in &left {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(open::at(folder)(error)),
            _ => {}
        }
    }
    if left.is_empty() { Ok(()) } else { platter.sync_dir(dir).map_err(open::at(dir)) }
}
