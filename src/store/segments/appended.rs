//! What a commit appended to a stream's last segment, as the journal keeps it: with that the commit needs one sync, the journal's.
//!
//! The octets are written to the segment as well, where everybody reads them, and are synced there before the journal begins anew. After a
//! crash they may be missing in the segment, or torn: an open writes them to their place again.

use std::{fs::OpenOptions, io, os::unix::fs::FileExt};

use super::{Folder, HEAD, Record, Records};

/// Segment, offset, length.
const LENGTHS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended<'a> {
    pub segment: u32,
    /// Where in the segment the octets belong.
    pub offset: u64,
    /// Whole records.
    pub octets: &'a [u8],
}

impl<'a> Appended<'a> {
    /// What stands before the octets in the journal.
    pub fn head(&self) -> [u8; LENGTHS] {
        let length = u32::try_from(self.octets.len()).unwrap_or(u32::MAX);
        let mut head = [0; LENGTHS];
        let fields = self.segment.to_le_bytes().into_iter().chain(self.offset.to_le_bytes()).chain(length.to_le_bytes());
        head.iter_mut().zip(fields).for_each(|(octet, field)| *octet = field);
        head
    }

    /// What the journal's record begins with, and the rest of it.
    pub fn split(payload: &'a [u8]) -> Option<(Appended<'a>, &'a [u8])> {
        let (segment, rest) = payload.split_first_chunk::<4>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (octets, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        Some((Appended { segment: u32::from_le_bytes(*segment), offset: u64::from_le_bytes(*offset), octets }, rest))
    }

    /// Writes the octets to their place once more; the caller syncs. A whole record that stands there and is another one was put there since,
    /// by [`crate::store::erase`], and stays.
    ///
    /// # Errors
    /// The segment is missing, ends before them, or can't be written.
    pub fn mend(&self, folder: &Folder) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(folder.segment(self.segment))?;
        let there = file.metadata()?.len().checked_sub(self.offset).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut found = vec![0; self.octets.len().min(usize::try_from(there).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut found, self.offset)?;
        for record in Records::new(self.octets, 0) {
            let Record { offset, payload, .. } = record.map_err(io::Error::other)?;
            let at = usize::try_from(offset).map_err(io::Error::other)?;
            let place = at..at.saturating_add(HEAD).saturating_add(payload.len());
            let (old, new) = (found.get(place.clone()).unwrap_or_default(), self.octets.get(place).unwrap_or_default());
            let other = old != new && matches!(Records::new(old, 0).next(), Some(Ok(old)) if old.payload.len() == payload.len());
            if !other {
                file.write_all_at(new, self.offset.saturating_add(offset))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::segments::{ERASED, EVENT, frame};

    #[test]
    fn what_is_missing_or_torn_comes_back_and_what_was_erased_stays_erased() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        let records = [5_u8, 40, 12].map(|length| frame(EVENT, &vec![length; usize::from(length)]));
        let (before, octets) = (frame(EVENT, b"synced before"), records.concat());
        let appended = Appended { segment: 2, offset: before.len() as u64, octets: &octets };
        let whole = [&before[..], &octets].concat();
        assert_eq!(appended.mend(&folder).unwrap_err().kind(), io::ErrorKind::NotFound);
        let mended = |found: &[u8]| {
            fs::write(folder.segment(2), found).unwrap();
            appended.mend(&folder).map(|()| fs::read(folder.segment(2)).unwrap())
        };
        for length in before.len()..=whole.len() {
            assert_eq!(mended(&whole[..length]).unwrap(), whole, "{length} octets are there");
            let zeros = vec![0; whole.len() - length];
            assert_eq!(mended(&[&whole[..length], &zeros].concat()).unwrap(), whole, "{length} octets, and zeros");
        }
        let short = mended(&before[1..]).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof, "what was synced before is gone");
        let erased = [&before[..], &records[0], &frame(ERASED, &[0; 40]), &records[2]].concat();
        assert_eq!(mended(&erased).unwrap(), erased);
        let mut torn = erased.clone();
        torn[before.len() + records[0].len() + 30] = 9;
        assert_eq!(mended(&torn).unwrap(), whole, "erased by half: it is erased again when this is done");
        let longer = [&whole[..], b"of a commit that never came to be"].concat();
        assert_eq!(mended(&longer).unwrap(), longer);
    }

    #[test]
    fn a_journals_record_is_split_as_it_was_put_together() {
        let appended = Appended { segment: 7, offset: 1 << 40, octets: b"events" };
        let payload = [&appended.head()[..], b"events", b"rows"].concat();
        assert_eq!(Appended::split(&payload), Some((appended, &b"rows"[..])));
        assert_eq!(Appended::split(&payload[..LENGTHS + 5]), None);
    }
}
