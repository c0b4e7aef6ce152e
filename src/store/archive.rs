//! A backup's form: one stream, so that it can go through a pipe, in which no octet can change or be missing unseen.
//!
//! `bounced backup`, line feed, a version octet; then blocks: kind, length (4 octets, little-endian), payload, CRC-32 of all three. The first
//! block says whose store it is, the last holds the counts and the SHA-256 of everything before it; nothing follows. Rows are keys and values as
//! the tree holds them, whatever they mean; a later row stands in place of an earlier one of the same key. Memory is bounded by a block's
//! [`MOST`], whatever the file says.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::restore::RestoreError;

const MAGIC: &[u8] = b"bounced backup\n";
const VERSION: u8 = 1;

const HEAD: u8 = 1;
const KEY: u8 = 2;
const ROWS: u8 = 3;
const PIECE: u8 = 4;
const END: u8 = 5;

/// The longest payload that is read, octets.
const MOST: usize = 4 << 20;

/// A block of rows is written when it has come to so many octets.
const ROWS_BYTES: usize = 256 << 10;

/// In the place of a value's length: the row is gone.
const GONE: u32 = u32::MAX;

/// Whose store it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub schema: u8,
    pub store: [u8; 16],
    /// When the backup was begun, milliseconds since 1970.
    pub begun: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    rows: u64,
    pieces: u64,
    digest: [u8; 32],
}

/// The two streams of segments. The number is part of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Which {
    Events = 0,
    Raw = 1,
}

/// Key and value; `None`: the row is gone.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

pub enum Block {
    Head(Head),
    /// The daemon's own key, under which people are counted.
    Key(Vec<u8>),
    Rows(Vec<Row>),
    Piece {
        which: Which,
        segment: u32,
        offset: u64,
        bytes: Vec<u8>,
    },
    End,
}

/// The writing end. Nothing is a backup before [`Writing::end`].
pub struct Writing<'a> {
    out: &'a mut dyn Write,
    digest: Sha256,
    rows: Vec<u8>,
    counts: End,
    octets: u64,
}

impl<'a> Writing<'a> {
    pub fn new(out: &'a mut dyn Write, head: &Head) -> io::Result<Writing<'a>> {
        let mut writing = Writing { out, digest: Sha256::new(), rows: Vec::new(), counts: End::default(), octets: 0 };
        writing.put(MAGIC)?;
        writing.put(&[VERSION])?;
        writing.block(HEAD, &postcard::to_stdvec(head).map_err(io::Error::other)?)?;
        Ok(writing)
    }

    pub fn octets(&self) -> u64 {
        self.octets
    }

    pub fn key(&mut self, key: &[u8]) -> io::Result<()> {
        self.block(KEY, key)
    }

    /// `None`: the row is gone.
    pub fn row(&mut self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        let too_long = || io::Error::from(io::ErrorKind::InvalidData);
        let length = u16::try_from(key.len()).map_err(|_| too_long())?;
        self.rows.extend_from_slice(&length.to_le_bytes());
        self.rows.extend_from_slice(key);
        let length = value.map_or(Ok(GONE), |value| u32::try_from(value.len())).map_err(|_| too_long())?;
        self.rows.extend_from_slice(&length.to_le_bytes());
        self.rows.extend_from_slice(value.unwrap_or_default());
        self.counts.rows = self.counts.rows.saturating_add(1);
        if self.rows.len() >= ROWS_BYTES { self.end_rows() } else { Ok(()) }
    }

    fn end_rows(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.block(ROWS, &rows)?;
        self.rows = rows;
        self.rows.clear();
        Ok(())
    }

    pub fn piece(&mut self, which: Which, segment: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.counts.pieces = self.counts.pieces.saturating_add(1);
        let head = [&[which as u8][..], &segment.to_le_bytes(), &offset.to_le_bytes()].concat();
        self.block(PIECE, &[&head, bytes].concat())
    }

    /// Returns how many rows there are, and octets in all.
    pub fn end(mut self) -> io::Result<(u64, u64)> {
        self.end_rows()?;
        self.counts.digest = self.digest.clone().finalize().into();
        let end = postcard::to_stdvec(&self.counts).map_err(io::Error::other)?;
        self.block(END, &end)?;
        self.out.flush()?;
        Ok((self.counts.rows, self.octets))
    }

    fn block(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_le_bytes();
        let crc = crc(kind, length, payload);
        self.put(&[kind])?;
        self.put(&length)?;
        self.put(payload)?;
        self.put(&crc)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.octets = self.octets.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        self.out.write_all(bytes)
    }
}

fn crc(kind: u8, length: [u8; 4], payload: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind]);
    crc.update(&length);
    crc.update(payload);
    crc.finalize().to_le_bytes()
}

/// The reading end.
pub struct Reading<R> {
    from: R,
    digest: Sha256,
    counts: End,
    /// Whether the first block was read.
    begun: bool,
}

impl<R: Read> Reading<R> {
    pub fn new(from: R) -> Result<Reading<R>, RestoreError> {
        let mut reading = Reading { from, digest: Sha256::new(), counts: End::default(), begun: false };
        let mut start = [0; MAGIC.len() + 1];
        reading.fill(&mut start).map_err(|error| if matches!(error, RestoreError::Cut) { RestoreError::NoBackup } else { error })?;
        match start.split_last() {
            Some((&VERSION, MAGIC)) => Ok(reading),
            Some((&found, MAGIC)) => Err(RestoreError::Format { found, known: VERSION }),
            _ => Err(RestoreError::NoBackup),
        }
    }

    /// The next block; each was checked. [`Block::End`] says that all was there and nothing follows.
    pub fn next(&mut self) -> Result<Block, RestoreError> {
        let before = self.digest.clone();
        let (mut kind, mut length, mut sum) = ([0; 1], [0; 4], [0; 4]);
        self.fill(&mut kind)?;
        self.fill(&mut length)?;
        let octets = usize::try_from(u32::from_le_bytes(length)).ok().filter(|octets| *octets <= MOST);
        let mut payload = vec![0; octets.ok_or(RestoreError::Damaged("a length that can't be"))?];
        self.fill(&mut payload)?;
        self.fill(&mut sum)?;
        let [kind] = kind;
        if crc(kind, length, &payload) != sum {
            return Err(RestoreError::Damaged("a checksum doesn't fit"));
        }
        if self.begun == (kind == HEAD) {
            return Err(RestoreError::Damaged("its head is not where it belongs"));
        }
        self.begun = true;
        self.block(kind, payload, before)
    }

    fn block(&mut self, kind: u8, payload: Vec<u8>, before: Sha256) -> Result<Block, RestoreError> {
        let senseless = |_| RestoreError::Damaged("a block that makes no sense");
        match kind {
            HEAD => postcard::from_bytes(&payload).map(Block::Head).map_err(senseless),
            KEY => Ok(Block::Key(payload)),
            ROWS => {
                let rows = rows(&payload).ok_or(RestoreError::Damaged("a row that makes no sense"))?;
                self.counts.rows = self.counts.rows.saturating_add(u64::try_from(rows.len()).unwrap_or(0));
                Ok(Block::Rows(rows))
            }
            PIECE => {
                self.counts.pieces = self.counts.pieces.saturating_add(1);
                piece(payload).ok_or(RestoreError::Damaged("a piece that makes no sense"))
            }
            END => {
                self.counts.digest = before.finalize().into();
                if postcard::from_bytes::<End>(&payload).map_err(senseless)? != self.counts {
                    return Err(RestoreError::Damaged("the checksum of the whole doesn't fit"));
                }
                match self.from.read(&mut [0]) {
                    Ok(0) => Ok(Block::End),
                    Ok(_) => Err(RestoreError::Damaged("something follows its end")),
                    Err(error) => Err(RestoreError::Input(error)),
                }
            }
            _ => Err(RestoreError::Damaged("a block of an unknown kind")),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RestoreError> {
        self.from.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => RestoreError::Cut,
            _ => RestoreError::Input(error),
        })?;
        self.digest.update(bytes);
        Ok(())
    }
}

fn rows(mut rest: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (key, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        let (value, after) = match length {
            GONE => (None, after),
            _ => after.split_at_checked(usize::try_from(length).ok()?).map(|(value, after)| (Some(value.to_vec()), after))?,
        };
        rows.push((key.to_vec(), value));
        rest = after;
    }
    Some(rows)
}

fn piece(mut payload: Vec<u8>) -> Option<Block> {
    let (which, rest) = payload.split_first()?;
    let which = [Which::Events, Which::Raw].into_iter().find(|each| *each as u8 == *which)?;
    let (segment, rest) = rest.split_first_chunk::<4>()?;
    let (offset, _) = rest.split_first_chunk::<8>()?;
    let (segment, offset) = (u32::from_le_bytes(*segment), u64::from_le_bytes(*offset));
    Some(Block::Piece { which, segment, offset, bytes: payload.split_off(13) })
}

/// Reads a backup to its end and tells whether it is whole. `progress` hears of octets read.
pub fn verify(from: impl Read, progress: &mut dyn FnMut(u64)) -> Result<(), RestoreError> {
    let mut reading = Reading::new(from)?;
    loop {
        match reading.next()? {
            Block::End => return Ok(()),
            Block::Piece { bytes, .. } => progress(u64::try_from(bytes.len()).unwrap_or(0)),
            _ => {}
        }
    }
}
