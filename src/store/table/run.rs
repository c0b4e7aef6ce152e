//! A run: rows in the order of their keys in a file that never changes. Where a row was removed, that it is gone stands in its place, to hide
//! what older runs hold.
//!
//! The file: blocks of some 2 KiB, each of rows (length of key, key, length of value and one, or 0 for gone, value) and a CRC-32; then the
//! foot: each block's first key and length, and the filter; the foot's length, its CRC-32 and a magic number. The foot is held in memory, some 26 bits
//! a row; a row costs one read of a block. Every read checks the CRC. A run counts once the manifest names it, see [`super::keeper`]; it was
//! synced before.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sled::IVec;

use super::{
    super::{Platter, StoreError},
    filter::Filter,
};

/// A block ends with the row that makes it so long.
const BLOCK: usize = 2_048;

/// See [`Run::strides`].
const STRIDE: usize = 64;

const MAGIC: &[u8; 8] = b"bncrun1\n";

/// Length, CRC, magic number.
const TAIL: u64 = 20;

/// Key and value; `None`: it is gone.
pub type Row = (IVec, Option<IVec>);

#[derive(Serialize, Deserialize)]
struct Foot {
    rows: u64,
    blocks: Vec<(Vec<u8>, u32)>,
}

struct Block {
    first: IVec,
    offset: u64,
    length: u32,
}

thread_local! {
    /// What was read last: a new buffer for each block costs more than the reading.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The first eight octets of a key, as a number that is in the order of the keys.
fn begin(key: &[u8]) -> u64 {
    let mut octets = [0; 8];
    octets.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(octets)
}

/// An open run.
pub struct Run {
    path: PathBuf,
    file: File,
    rows: u64,
    octets: u64,
    blocks: Vec<Block>,
    /// How each block's first key begins, see [`begin`], and every [`STRIDE`]th of these: a search there stays within the processor's cache,
    /// where one in the keys themselves would wait for memory at each step.
    begins: Vec<u64>,
    strides: Vec<u64>,
    filter: Filter,
}

impl Run {
    pub fn open(path: &Path) -> Result<Run, StoreError> {
        let damaged = || StoreError::damaged(path.display().to_string());
        let file = File::open(path).map_err(|error| StoreError::read(format!("{}: {error}", path.display())))?;
        let octets = file.metadata().map_err(StoreError::read)?.len();
        let tail_at = octets.checked_sub(TAIL).ok_or_else(damaged)?;
        let mut tail = [0; 20];
        file.read_exact_at(&mut tail, tail_at).map_err(StoreError::read)?;
        let (length, rest) = tail.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (crc, magic) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let foot_at = tail_at.checked_sub(u64::from_le_bytes(*length)).ok_or_else(damaged)?;
        let mut foot = vec![0; usize::try_from(u64::from_le_bytes(*length)).map_err(StoreError::read)?];
        file.read_exact_at(&mut foot, foot_at).map_err(StoreError::read)?;
        if magic != MAGIC || crc32fast::hash(&foot) != u32::from_le_bytes(*crc) {
            return Err(damaged());
        }
        let (foot, filter): (Foot, &[u8]) = postcard::take_from_bytes(&foot).map_err(|_| damaged())?;
        let filter = Filter::from_bytes(filter.to_vec()).ok_or_else(damaged)?;
        let mut offset = 0;
        let block = |(first, length): (Vec<u8>, u32)| {
            let block = Block { first: IVec::from(first), offset, length };
            offset += u64::from(length);
            block
        };
        let blocks: Vec<Block> = foot.blocks.into_iter().map(block).collect();
        let begins: Vec<u64> = blocks.iter().map(|block| begin(&block.first)).collect();
        let strides = begins.iter().copied().step_by(STRIDE).collect();
        Ok(Run { path: path.to_owned(), file, rows: foot.rows, octets, blocks, begins, strides, filter })
    }

    /// Gone rows among them.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// On the disk.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// `hash` is the key's, see [`super::filter::hash`]. `Some(None)`: it is gone.
    pub fn get(&self, key: &[u8], hash: u64) -> Result<Option<Option<IVec>>, StoreError> {
        if !self.filter.may_hold(hash) {
            return Ok(None);
        }
        let Some(place) = self.block_of(key) else { return Ok(None) };
        READ.with_borrow_mut(|bytes| {
            self.block(place, bytes)?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (found, value, after) = row(rest).ok_or_else(|| self.damaged())?;
                if found == key {
                    return Ok(Some(value.map(IVec::from)));
                }
                rest = after;
            }
            Ok(None)
        })
    }

    /// The last block that begins at or before `key`.
    fn block_of(&self, key: &[u8]) -> Option<usize> {
        let wanted = begin(key);
        let stride = self.strides.partition_point(|each| *each < wanted);
        let (from, to) = (stride.saturating_sub(1) * STRIDE, (stride * STRIDE).min(self.begins.len()));
        let before = from + self.begins.get(from..to)?.partition_point(|each| *each < wanted);
        let alike = self.begins.get(before..)?.iter().take_while(|each| **each == wanted).count();
        let alike = self.blocks.get(before..before.saturating_add(alike))?;
        before.saturating_add(alike.partition_point(|block| &*block.first <= key)).checked_sub(1)
    }

    /// Reads a block in place of what `bytes` held.
    fn block(&self, place: usize, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        let block = self.blocks.get(place).ok_or_else(|| self.damaged())?;
        bytes.resize(usize::try_from(block.length).map_err(StoreError::read)?, 0);
        self.file.read_exact_at(bytes, block.offset).map_err(StoreError::read)?;
        let (rows, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| self.damaged())?;
        if *crc != crc32fast::hash(rows).to_le_bytes() {
            return Err(self.damaged());
        }
        bytes.truncate(rows.len());
        Ok(())
    }

    fn damaged(&self) -> StoreError {
        StoreError::damaged(self.path.display().to_string())
    }

    /// All rows from the first at or after `from`.
    pub fn iter(self: &Arc<Run>, from: &[u8]) -> Rows {
        let next = self.block_of(from).unwrap_or(0);
        Rows { run: Arc::clone(self), next, bytes: Vec::new(), at: 0, from: Some(IVec::from(from)) }
    }
}

/// The rows of a run in their order.
pub struct Rows {
    run: Arc<Run>,
    next: usize,
    bytes: Vec<u8>,
    at: usize,
    from: Option<IVec>,
}

impl Iterator for Rows {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.at >= self.bytes.len() {
                if self.next >= self.run.blocks.len() {
                    return None;
                }
                match self.run.block(self.next, &mut self.bytes) {
                    Ok(()) => (self.at, self.next) = (0, self.next + 1),
                    Err(error) => {
                        (self.next, self.at) = (usize::MAX, usize::MAX);
                        return Some(Err(error));
                    }
                }
            }
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some((key, value, after)) = row(rest) else {
                (self.next, self.at) = (usize::MAX, usize::MAX);
                return Some(Err(self.run.damaged()));
            };
            self.at = self.bytes.len() - after.len();
            if self.from.as_deref().is_some_and(|from| key < from) {
                continue;
            }
            self.from = None;
            return Some(Ok((IVec::from(key), value.map(IVec::from))));
        }
    }
}

type Split<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

/// Takes a row off: key, value, what follows.
pub fn row(bytes: &[u8]) -> Option<Split<'_>> {
    let (length, rest) = varint(bytes)?;
    let (key, rest) = rest.split_at_checked(length)?;
    let (length, rest) = varint(rest)?;
    match length.checked_sub(1) {
        None => Some((key, None, rest)),
        Some(length) => rest.split_at_checked(length).map(|(value, rest)| (key, Some(value), rest)),
    }
}

/// Puts a row after others.
pub fn push_row(bytes: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    push_varint(bytes, key.len());
    bytes.extend_from_slice(key);
    push_varint(bytes, value.map_or(0, |value| value.len().saturating_add(1)));
    bytes.extend_from_slice(value.unwrap_or_default());
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (mut number, mut rest) = (0_usize, bytes);
    for shift in [0, 7, 14, 21, 28] {
        let (octet, after) = rest.split_first()?;
        number |= usize::from(octet & 127) << shift;
        rest = after;
        if octet & 128 == 0 {
            return Some((number, rest));
        }
    }
    None
}

fn push_varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 127 {
        bytes.push(u8::try_from(number & 127).unwrap_or(0) | 128);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or(0));
}

/// Writes a run. What is there before [`Building::end`] is nothing yet.
pub struct Building {
    path: PathBuf,
    out: BufWriter<File>,
    block: Vec<u8>,
    first: Vec<u8>,
    foot: Foot,
    filter: Filter,
}

impl Building {
    /// `most`: of rows.
    pub fn new(path: &Path, most: u64) -> io::Result<Building> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Building {
            path: path.to_owned(),
            out: BufWriter::with_capacity(256 << 10, file),
            block: Vec::new(),
            first: Vec::new(),
            foot: Foot { rows: 0, blocks: Vec::new() },
            filter: Filter::new(most),
        })
    }

    /// Keys must come in their order.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        if self.block.is_empty() {
            self.first = key.to_vec();
        }
        push_row(&mut self.block, key, value);
        self.filter.add(super::filter::hash(key));
        self.foot.rows = self.foot.rows.saturating_add(1);
        if self.block.len() >= BLOCK { self.end_block() } else { Ok(()) }
    }

    pub fn rows(&self) -> u64 {
        self.foot.rows
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let crc = crc32fast::hash(&self.block);
        self.block.extend_from_slice(&crc.to_le_bytes());
        self.out.write_all(&self.block)?;
        let length = u32::try_from(self.block.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.foot.blocks.push((std::mem::take(&mut self.first), length));
        self.block.clear();
        Ok(())
    }

    /// Makes it durable; the folder's names are not.
    pub fn end(mut self, platter: &dyn Platter) -> io::Result<()> {
        self.end_block()?;
        let mut foot = postcard::to_stdvec(&self.foot).map_err(io::Error::other)?;
        foot.extend_from_slice(self.filter.bytes());
        self.out.write_all(&foot)?;
        self.out.write_all(&u64::try_from(foot.len()).unwrap_or(0).to_le_bytes())?;
        self.out.write_all(&crc32fast::hash(&foot).to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        platter.sync(&file, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Disk, table::filter::hash};

    fn build(path: &Path) -> Run {
        let mut building = Building::new(path, 3_000).unwrap();
        for n in 0..3_000_u32 {
            let value = vec![u8::try_from(n % 250).unwrap(); usize::try_from(n % 300).unwrap()];
            building.push(&(n * 2).to_be_bytes(), (n % 7 != 0).then_some(&value[..])).unwrap();
        }
        building.end(&Disk).unwrap();
        Run::open(path).unwrap()
    }

    #[test]
    fn rows_come_back_one_by_one_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let run = Arc::new(build(&dir.path().join("1.run")));
        let get = |n: u32| run.get(&n.to_be_bytes(), hash(&n.to_be_bytes())).unwrap();
        assert_eq!(get(2 * 8), Some(Some(IVec::from(vec![8; 8]))));
        assert_eq!(get(2 * 14), Some(None), "gone");
        assert_eq!((get(17), get(9_999)), (None, None));
        assert_eq!(run.iter(&[]).count(), 3_000);
        let keys = |from: u32| run.iter(&from.to_be_bytes()).map(|row| row.unwrap().0).take(2).collect::<Vec<_>>();
        assert_eq!(keys(4_001), [4_002_u32, 4_004].map(|n| IVec::from(&n.to_be_bytes()[..])));
        assert_eq!(keys(5_998).len(), 1);
        assert_eq!(keys(5_999).len(), 0);
        // Of more blocks than a stride has, by keys of which many begin alike, each is found.
        let path = dir.path().join("2.run");
        let key = |n: u32| format!("t{:04}of-one-name-{n:06}", n / 3_000).into_bytes();
        let mut building = Building::new(&path, 30_000).unwrap();
        for n in 0..30_000 {
            building.push(&key(2 * n), Some(&n.to_be_bytes())).unwrap();
        }
        building.end(&Disk).unwrap();
        let run = Run::open(&path).unwrap();
        assert!(run.blocks.len() > 4 * STRIDE, "{}", run.blocks.len());
        let get = |key: &[u8]| run.get(key, hash(key)).unwrap().flatten();
        for n in 0..30_000 {
            assert_eq!(get(&key(2 * n)), Some(IVec::from(&n.to_be_bytes()[..])), "{n}");
            assert_eq!(get(&key(2 * n + 1)), None, "{n}");
        }
        assert_eq!((get(b"a"), get(b"z")), (None, None));
    }

    #[test]
    fn damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.run");
        drop(build(&path));
        let good = std::fs::read(&path).unwrap();
        let mut bytes = good.clone();
        bytes[9_000] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let run = Arc::new(Run::open(&path).unwrap());
        assert!(run.iter(&[]).any(|row| matches!(row, Err(StoreError::Damaged(_)))));
        for cut in [0, 10, good.len() - 1] {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert!(matches!(Run::open(&path), Err(StoreError::Damaged(_))), "{cut}");
        }
        let mut bytes = good.clone();
        let place = good.len() - 40;
        bytes[place] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Run::open(&path), Err(StoreError::Damaged(_))));
    }
}
