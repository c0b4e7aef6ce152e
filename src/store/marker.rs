//! A small file beside the store that says which store this is and an event that was surely recorded.
//!
//! sled may open a damaged log as an empty or a shorter one, without an error. The marker is what tells: it lies outside of sled, is synced by
//! itself and renewed now and then, always to less than what the store holds. It is replaced as a whole: written beside, synced, renamed.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::Platter;

const NAME: &str = "store.marker";
const TITLE: &str = "bounced store marker 1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    pub store: [u8; 16],
    /// The id of the next event at some durable moment.
    pub next_event: u64,
    /// The store was closed, and reached so far.
    pub closed: Option<Closed>,
}

/// How far a closed store reaches: what is damaged there looks otherwise like what was never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Sled's log, see [`super::sled_log`].
    pub sled: u64,
    /// The journal's last segment, and its octets.
    pub segment: u32,
    pub length: u64,
}

pub fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// `None` where there is none; an error of kind `InvalidData` where it can't be read.
pub fn read(dir: &Path) -> io::Result<Option<Marker>> {
    match fs::read_to_string(path(dir)) {
        Ok(text) => parse(&text).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn write(dir: &Path, marker: &Marker, platter: &dyn Platter) -> io::Result<()> {
    let beside = dir.join("store.marker.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text(marker).as_bytes())?;
    platter.sync(&file, &beside)?;
    fs::rename(&beside, path(dir))?;
    platter.sync_dir(dir)
}

fn text(marker: &Marker) -> String {
    let mut text = format!("{TITLE}\nstore {}\nnext {}\n", data_encoding::HEXLOWER.encode(&marker.store), marker.next_event);
    // Writing to a String can't fail.
    let _ = marker.closed.map(|Closed { sled, segment, length }| writeln!(text, "closed {sled} {segment} {length}"));
    let crc = crc32fast::hash(text.as_bytes());
    let _ = writeln!(text, "crc {crc:08x}");
    text
}

fn parse(whole: &str) -> Option<Marker> {
    let mut lines = whole.lines().skip(1);
    let store = data_encoding::HEXLOWER.decode(lines.next()?.strip_prefix("store ")?.as_bytes()).ok()?.try_into().ok()?;
    let next_event = lines.next()?.strip_prefix("next ")?.parse().ok()?;
    let mut ends = lines.next()?.strip_prefix("closed ").unwrap_or_default().split(' ');
    let mut end = || ends.next()?.parse::<u64>().ok();
    let closed = end().zip(end()).zip(end());
    let closed = closed.and_then(|((sled, segment), length)| Some(Closed { sled, segment: segment.try_into().ok()?, length }));
    let marker = Marker { store, next_event, closed };
    (text(&marker) == whole).then_some(marker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Disk;

    #[test]
    fn is_read_as_written_and_not_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let mut marker = Marker { store: [7; 16], next_event: 12, closed: None };
        for closed in [None, Some(Closed { sled: 0, segment: 0, length: 0 }), Some(Closed { sled: 34_567, segment: 3, length: 99 })] {
            marker.closed = closed;
            write(dir.path(), &marker, &Disk).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(marker));
        }
        let text = fs::read_to_string(path(dir.path())).unwrap();
        for bad in ["", "x", &text.replace("12", "13"), &text.replace("34567", "x"), &text[..text.len() - 2]] {
            fs::write(path(dir.path()), bad).unwrap();
            assert_eq!(read(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData, "{bad:?}");
        }
    }
}
