//! sled's log read before sled reads it. Where sled meets damage in the middle of its log it takes the rest of that piece for never written, and
//! opens with older rows, without an error. After a crash there may rightly be such places; after a store was closed there are none.
//!
//! So a closing store notes in its marker how far the log reaches ([`end`]), and the next opening refuses one that isn't whole up to there
//! ([`check`]). That reads what sled reads itself: the log since its last snapshot. What lies before it sled checks as it is read.
//!
//! The form is that of sled 0.34.7: segments of 512 KiB, each with a head (CRC-32, its log sequence number, another), then messages (CRC-32,
//! kind, length, number of the segment, page), the rest zeros.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use super::{OpenError, open};

const SEGMENT: u64 = 512 << 10;
const HEAD: usize = 20;
/// No message begins where less than this is left of a segment.
const LONGEST_MESSAGE_HEAD: usize = 32;

const UNWRITTEN: u8 = 0;
/// The rest of the segment is padding.
const CAP: u8 = 2;

/// How far the log reaches, as a log sequence number. Nobody may be writing.
///
/// # Errors
/// sled's file can't be read.
pub fn end(sled: &Path) -> io::Result<u64> {
    let log = Log::open(sled)?;
    let mut last = None;
    for number in 0..log.segments {
        if let Head::At(lsn) = log.head(number)? {
            last = last.max(Some((lsn, number)));
        }
    }
    let Some((lsn, number)) = last else { return Ok(0) };
    let reached = walk(&log.read(number)?, lsn).reached;
    Ok(lsn.saturating_add(u64::try_from(reached).unwrap_or(0)))
}

/// Whether the log is whole from sled's snapshot to `end`.
///
/// # Errors
/// It isn't, or it can't be read.
pub fn check(sled: &Path, end: u64) -> Result<(), OpenError> {
    let file = sled.join("db");
    let damaged = |at: u64| OpenError::Damaged(format!("{} makes no sense from octet {at} on", file.display()));
    let log = Log::open(sled).map_err(open::at(&file))?;
    let mut reached = 0;
    for number in 0..log.segments {
        let begins = number.saturating_mul(SEGMENT);
        match log.head(number).map_err(open::at(&file))? {
            // In use before the snapshot: its messages are found by their places.
            Head::At(lsn) if lsn < log.base => {}
            Head::At(lsn) => {
                let walked = walk(&log.read(number).map_err(open::at(&file))?, lsn);
                let here = lsn.saturating_add(u64::try_from(walked.reached).unwrap_or(0));
                if !walked.whole && here < end {
                    return Err(damaged(begins.saturating_add(u64::try_from(walked.reached).unwrap_or(0))));
                }
                reached = reached.max(if walked.whole { lsn.saturating_add(SEGMENT) } else { here });
            }
            // What a crash left of a segment that was being begun may stand behind it.
            Head::Unwritten => {}
            Head::Damaged => return Err(damaged(begins)),
        }
    }
    // Its last segments are gone, with their heads.
    if reached < end && end > log.base { Err(damaged(log.length)) } else { Ok(()) }
}

enum Head {
    /// Its log sequence number.
    At(u64),
    Unwritten,
    Damaged,
}

struct Log {
    file: File,
    length: u64,
    segments: u64,
    /// Where the segment begins in which sled's snapshot ends.
    base: u64,
}

impl Log {
    fn open(sled: &Path) -> io::Result<Log> {
        let file = File::open(sled.join("db"))?;
        let length = file.metadata()?.len();
        let rest = usize::try_from(length % SEGMENT).unwrap_or(0);
        let mut snapshot = 0;
        for entry in fs::read_dir(sled)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("snap.")).and_then(|hex| u64::from_str_radix(hex, 16).ok());
            snapshot = snapshot.max(number.unwrap_or(0));
        }
        Ok(Log { file, length, segments: length / SEGMENT + u64::from(rest >= HEAD), base: snapshot / SEGMENT * SEGMENT })
    }

    fn head(&self, number: u64) -> io::Result<Head> {
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, number.saturating_mul(SEGMENT))?;
        let (crc, rest) = head.split_first_chunk::<4>().map_or((0, &[][..]), |(crc, rest)| (u32::from_le_bytes(*crc), rest));
        if crc32fast::hash(rest) == !crc {
            let lsn = rest.first_chunk::<8>().map_or(0, |lsn| i64::from_le_bytes(*lsn) ^ i64::MAX);
            return Ok(u64::try_from(lsn).map_or(Head::Damaged, Head::At));
        }
        Ok(if head.iter().all(|octet| *octet == UNWRITTEN) { Head::Unwritten } else { Head::Damaged })
    }

    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        let from = number.saturating_mul(SEGMENT);
        let length = usize::try_from(SEGMENT.min(self.length.saturating_sub(from))).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }
}

struct Walked {
    /// Octets of the segment up to the end of the last sound message.
    reached: usize,
    /// The last message is the last that fits, or padding follows.
    whole: bool,
}

fn walk(segment: &[u8], lsn: u64) -> Walked {
    let most = usize::try_from(SEGMENT).unwrap_or(usize::MAX);
    let mut reached = HEAD;
    loop {
        if reached > most - LONGEST_MESSAGE_HEAD {
            return Walked { reached, whole: true };
        }
        match message(segment.get(reached..).unwrap_or_default(), lsn / SEGMENT) {
            Some((CAP, _)) => return Walked { reached, whole: true },
            Some((_, length)) => reached = reached.saturating_add(length),
            None => return Walked { reached, whole: false },
        }
    }
}

/// Kind and length of the message that these octets begin with, if it is sound and belongs to this segment.
fn message(octets: &[u8], segment: u64) -> Option<(u8, usize)> {
    let (crc, head) = octets.split_first_chunk::<4>()?;
    let (kind, rest) = head.split_first()?;
    let (length, rest) = number(rest)?;
    let (of, rest) = number(rest)?;
    let (_, rest) = number(rest)?;
    let (body, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let head = head.get(..head.len().checked_sub(rest.len())?)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(head);
    let sound = *kind != UNWRITTEN && of == segment && hasher.finalize() == !u32::from_le_bytes(*crc);
    sound.then_some((*kind, octets.len().checked_sub(after.len())?))
}

/// sled's numbers of variable length, as SQLite 4 had them but with the lower octet first from three on.
fn number(octets: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = octets.split_first()?;
    let (second, third) = (rest.first().copied(), rest.get(1).copied());
    match *first {
        0..=240 => Some((u64::from(*first), rest)),
        241..=248 => Some((240 + 256 * (u64::from(*first) - 241) + u64::from(second?), rest.get(1..)?)),
        249 => Some((2288 + 256 * u64::from(second?) + u64::from(third?), rest.get(2..)?)),
        more => {
            let (value, rest) = rest.split_at_checked(usize::from(more) - 247)?;
            Some((value.iter().rev().fold(0, |number, octet| number << 8 | u64::from(*octet)), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in so many batches, of so many different ones; sled's folder is closed then.
    fn made(dir: &Path, batches: u32, different: u32) -> u64 {
        let db = open::open_sled(dir, 1 << 20).unwrap();
        for batch in 0..batches {
            let mut rows = sled::Batch::default();
            (0..50_u32).for_each(|row| rows.insert(&((batch * 50 + row) * 7 % different).to_be_bytes(), vec![batch.to_le_bytes()[0]; 200]));
            db.apply_batch(rows).unwrap();
            db.flush().unwrap();
        }
        let noted = end(dir).unwrap();
        drop(db);
        noted
    }

    #[test]
    fn what_sled_wrote_is_whole_and_what_was_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        // Some runs, so that there are snapshots, and segments used anew.
        for batches in [0, 1, 40, 400, 3] {
            let noted = made(dir.path(), batches, 900);
            assert!(end(dir.path()).unwrap() >= noted);
            check(dir.path(), noted).unwrap();
        }
        let noted = made(dir.path(), 400, 20_000);
        check(dir.path(), noted).unwrap();
        let (path, bytes) = (dir.path().join("db"), fs::read(dir.path().join("db")).unwrap());
        let (log, mut written) = (Log::open(dir.path()).unwrap(), 0);
        assert!(log.segments > 4, "{} segments", log.segments);
        for segment in 0..log.segments {
            let Head::At(lsn) = log.head(segment).unwrap() else { continue };
            let reached = walk(&log.read(segment).unwrap(), lsn).reached;
            let begins = usize::try_from(segment * SEGMENT).unwrap();
            let since = lsn >= log.base;
            written += usize::from(since);
            for place in [0, 7, 25, reached / 3, reached / 2, reached - 1].map(|place| begins + place) {
                let mut bad = bytes.clone();
                bad[place] ^= 1 << (place % 8);
                fs::write(&path, bad).unwrap();
                let told = matches!(check(dir.path(), noted), Err(OpenError::Damaged(_)));
                assert_eq!(told, since || place - begins < HEAD, "octet {place}, since the snapshot: {since}");
            }
            fs::write(&path, &bytes[..begins + reached / 2]).unwrap();
            assert!(check(dir.path(), noted).is_err() || !since, "cut in segment {segment}");
            fs::write(&path, &bytes).unwrap();
        }
        assert!(written > 2, "{written} segments since the snapshot");
    }
}
