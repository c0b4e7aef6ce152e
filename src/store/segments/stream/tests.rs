use std::fs;

use super::*;
use crate::store::{
    Disk, StoreError,
    segments::{EVENT, RAW, Records},
};

fn stream(dir: &Path, tail: Tail) -> Result<Stream, OpenError> {
    Stream::open(Folder::new(dir.to_owned()), tail, (100, i64::MAX), Arc::new(Disk))
}

#[test]
fn records_come_back_over_segments_and_a_torn_tail_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = stream(dir.path(), Tail::default()).unwrap();
    let refs: Vec<RawRef> = (0..10_u8).map(|n| log.append(RAW, &[&[n; 20], b"end"], 5).unwrap()).collect();
    log.sync().unwrap();
    let tail = log.tail();
    assert_eq!(refs[0], RawRef { segment: 0, offset: 0, length: 23 });
    assert!(tail.segment >= 2 && tail.begun == 5);
    log.append(RAW, &[b"never committed"], 6).unwrap();
    log.sync().unwrap();
    log.roll().unwrap();
    drop(log);

    let log = stream(dir.path(), tail).unwrap();
    assert_eq!(fs::metadata(log.folder().segment(tail.segment)).unwrap().len(), tail.length);
    assert_eq!(log.folder().segments().unwrap().last(), Some(&tail.segment));
    for (n, at) in (0..10_u8).zip(&refs) {
        assert_eq!(log.folder().get(*at, RAW).unwrap().unwrap(), [&[n; 20][..], b"end"].concat());
    }
    assert_eq!(log.folder().get(RawRef { segment: 99, offset: 0, length: 1 }, RAW).unwrap(), None);
    let first = log.folder().read(0, 0, None).unwrap().unwrap();
    assert_eq!(Records::new(&first, 0).map(|record| record.unwrap().offset).collect::<Vec<_>>(), [0, 32, 64, 96]);
}

#[test]
fn zeros_lie_ahead_in_the_last_segment_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let open = |tail| Stream::open(Folder::new(dir.path().to_owned()), tail, (u64::MAX, i64::MAX), Arc::new(Disk)).unwrap();
    let mut log = open(Tail::default());
    let path = log.folder().segment(0);
    let length = || fs::metadata(&path).unwrap().len();
    let put = |log: &mut Stream, octets: usize| {
        log.append(RAW, &[&vec![7; octets]], 0).unwrap();
        log.sync().unwrap();
        log.tail().length
    };
    let first = put(&mut log, 100);
    assert_eq!(length(), first + ROOM);
    let second = put(&mut log, 100);
    assert_eq!(length(), first + ROOM, "within the room");
    assert!(fs::read(&path).unwrap()[second as usize..].iter().all(|octet| *octet == 0));
    let third = put(&mut log, 2 * ROOM as usize);
    assert_eq!(length(), third + ROOM, "past it");
    drop(log);

    let mut log = open(Tail { length: third, ..Tail::default() });
    assert_eq!(length(), third, "cut at open");
    let fourth = put(&mut log, 10);
    assert_eq!(length(), fourth + ROOM);
    log.roll().unwrap();
    assert_eq!(length(), fourth, "a segment that is followed by another ends with its last record");
    let fifth = put(&mut log, 10);
    log.close().unwrap();
    assert_eq!(fs::metadata(log.folder().segment(1)).unwrap().len(), fifth);
    let all = log.folder().read(0, 0, None).unwrap().unwrap();
    assert_eq!(Records::new(&all, 0).map(Result::unwrap).count(), 4);
}

#[test]
fn large_records_among_small_ones_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Stream::open(Folder::new(dir.path().to_owned()), Tail::default(), (u64::MAX, i64::MAX), Arc::new(Disk)).unwrap();
    let sizes = [3, HOLD, HOLD + 1, 0, 5 * HOLD, 7, HOLD / 2, HOLD / 2, HOLD / 2];
    let made = sizes.map(|size| vec![u8::try_from(size % 251).unwrap(); size]);
    let refs: Vec<RawRef> = made.iter().map(|bytes| log.append(RAW, &[b"head", bytes], 5).unwrap()).collect();
    assert!(log.pending.len() <= HOLD);
    log.sync().unwrap();
    for (at, bytes) in refs.iter().zip(&made) {
        assert!(log.folder().get(*at, RAW).unwrap().unwrap() == [b"head", &bytes[..]].concat());
    }
}

#[test]
fn damage_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = stream(dir.path(), Tail::default()).unwrap();
    let at = log.append(RAW, &[b"hello"], 0).unwrap();
    log.close().unwrap();
    let tail = log.tail();
    let path = log.folder().segment(0);
    assert!(matches!(log.folder().get(at, EVENT), Err(StoreError::Damaged(_))), "of another kind");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(log.folder().get(at, RAW), Err(StoreError::Damaged(_))));
    assert!(Records::new(&bytes, 0).next().unwrap().is_err());
    fs::write(&path, &bytes[..5]).unwrap();
    assert!(matches!(stream(dir.path(), tail), Err(OpenError::Damaged(_))), "shorter than a commit said");
    assert!(log.folder().get(at, RAW).is_err());
    fs::remove_file(&path).unwrap();
    assert!(matches!(stream(dir.path(), tail), Err(OpenError::Damaged(_))));
}
