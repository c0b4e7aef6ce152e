use proptest::prelude::*;

use super::*;

/// Feeds `bytes` in reads of the given sizes; every wish for memory is granted.
fn data(bytes: &[u8], sizes: &[usize], limit: usize) -> (Option<Result<Vec<u8>, Spoilt>>, Vec<u8>) {
    let mut framer = Framer::default();
    framer.expect_data(limit, 0);
    let (mut rest, mut sizes) = (bytes, sizes.iter().copied().cycle());
    while !rest.is_empty() {
        let (mut read, later) = rest.split_at(sizes.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
        while let Some(frame) = framer.next(&mut read) {
            match frame {
                Frame::Room(octets) => framer.grant(Some(octets)),
                Frame::ContentEnd => return (Some(framer.take_content()), [read, later].concat()),
                other => panic!("{other:?}"),
            }
        }
        assert!(framer.content.bytes.len() <= framer.granted() && framer.granted() <= limit + 2);
        rest = later;
    }
    (None, Vec::new())
}

fn content(bytes: &[u8]) -> Option<Vec<u8>> {
    data(bytes, &[usize::MAX], 1 << 20).0.map(|content| content.unwrap())
}

fn frames(bytes: &[u8], sizes: &[usize]) -> Vec<Frame> {
    let (mut framer, mut rest, mut out) = (Framer::default(), bytes, Vec::new());
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let (mut read, later) = rest.split_at(sizes.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
        while let Some(frame) = framer.next(&mut read) {
            out.push(frame);
        }
        rest = later;
    }
    out
}

#[test]
fn only_crlf_dot_crlf_ends_data() {
    assert_eq!(content(b".\r\n").as_deref(), Some(&b""[..]));
    assert_eq!(content(b"a\r\n.\r\n").as_deref(), Some(&b"a\r\n"[..]));
    assert_eq!(content(b"\r\n.\r\n").as_deref(), Some(&b"\r\n"[..]));
    let open: [&[u8]; 12] = [
        b"a\n.\r\n",
        b"a\n.\n",
        b"a\r.\r",
        b"a\r.\r\n",
        b"a\r\n.\n",
        b"a\r\n.\r",
        b"a\r\n.\r\r\n",
        b"a\r\n..\r\n",
        b"a\r\n.\0\r\n",
        b"a\r\r\n\n.\r\n",
        b".\n",
        b".\r\r\n",
    ];
    for bytes in open {
        assert_eq!(content(bytes), None, "{}", bytes.escape_ascii());
    }
}

#[test]
fn dots_are_unstuffed_after_crlf_only() {
    let cases: [(&[u8], &[u8]); 7] = [
        (b"..a\r\n.\r\n", b".a\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"x\r\n..\r\n...\r\n.\r\n", b"x\r\n.\r\n..\r\n"),
        (b"x\n..\r\n.\r\n", b"x\n..\r\n"),
        (b"x\r\n.\n\r\n.\r\n", b"x\r\n\n\r\n"),
        (b"x\r\n.\ry\r\n.\r\n", b"x\r\n\ry\r\n"),
        (b"x\r\n.\r\r\n.\r\n", b"x\r\n\r\r\n"),
    ];
    for (bytes, want) in cases {
        assert_eq!(content(bytes).as_deref(), Some(want), "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_follows_the_end_is_left() {
    assert_eq!(data(b"a\r\n.\r\nQUIT\r\n", &[usize::MAX], 100).1, b"QUIT\r\n");
}

#[test]
fn too_big_is_read_to_its_end_and_not_kept() {
    let mut bytes = vec![b'x'; 300_000];
    bytes.extend_from_slice(b"\r\n.\r\nNOOP\r\n");
    assert_eq!(data(&bytes, &[4096], 300_001), (Some(Err(Spoilt::TooBig)), b"NOOP\r\n".to_vec()));
    assert!(matches!(data(&bytes, &[4096], 300_002).0, Some(Ok(kept)) if kept.len() == 300_002));
}

#[test]
fn without_memory_it_is_read_to_its_end() {
    let mut framer = Framer::default();
    framer.expect_data(1000, 10);
    let mut input: &[u8] = b"more than ten octets\r\n.\r\n";
    assert_eq!(framer.next(&mut input), Some(Frame::Room(992)));
    framer.grant(None);
    assert_eq!(framer.granted(), 0);
    assert_eq!(framer.next(&mut input), Some(Frame::ContentEnd));
    assert_eq!(framer.take_content(), Err(Spoilt::NoMemory));
}

#[test]
fn commands_end_at_crlf_and_are_bounded() {
    let longest = [vec![b'a'; MAX_COMMAND - 2], b"\r\n".to_vec()].concat();
    let longer = [b"a", &longest[..]].concat();
    assert_eq!(frames(&longest, &[usize::MAX]), [Frame::Line(vec![b'a'; MAX_COMMAND - 2])]);
    let after = [&longer[..], b"NOOP\r\n"].concat();
    assert_eq!(frames(&after, &[7]), [Frame::LongLine, Frame::Line(b"NOOP".to_vec())]);
    for bare in [&b"NOOP\nQUIT\r\n"[..], b"NOOP\rQUIT\r\n", b"NOOP\r\r\nQUIT\r\n", b"\nQUIT\r\n"] {
        assert_eq!(frames(bare, &[usize::MAX]), [Frame::BareLineEnd], "{}", bare.escape_ascii());
    }
}

#[test]
fn chunks_are_counted_not_searched() {
    let mut framer = Framer::default();
    let mut input: &[u8] = b"\r\n.\r\nNOOP\r\nrest";
    framer.expect_chunk(11, 100);
    assert_eq!(framer.next(&mut input), Some(Frame::Room(FIRST_GRANT.min(102))));
    framer.grant(Some(102));
    assert_eq!(framer.next(&mut input), Some(Frame::ChunkEnd));
    framer.expect_chunk(0, 100);
    assert_eq!(framer.next(&mut &b""[..]), Some(Frame::ChunkEnd));
    assert_eq!(framer.take_content().unwrap(), b"\r\n.\r\nNOOP\r\n"[..11]);
    framer.expect_chunk(u64::MAX, 100);
    assert_eq!(framer.spoilt(), Some(Spoilt::TooBig));
}

/// Texts in which line ends and dots meet in every order.
fn crooked() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::sample::select(vec!["\r", "\n", ".", "\r\n", "\r\n.\r\n", "a", "bc\0"]);
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

/// What RFC 5321 says, written once more without states.
fn oracle(bytes: &[u8]) -> Option<Vec<u8>> {
    let led = [b"\r\n", bytes].concat();
    let end = led.windows(5).position(|w| w == b"\r\n.\r\n")?;
    let mut out = Vec::new();
    for (at, &byte) in led.iter().enumerate().take(end + 2).skip(2) {
        if !(byte == b'.' && led[..at].ends_with(b"\r\n")) {
            out.push(byte);
        }
    }
    Some(out)
}

/// Every text of up to so many of the octets that matter.
fn every(longest: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..=longest).flat_map(|len| (0..4_usize.pow(len)).map(move |text| (0..len).map(|place| b"\r\n.x"[text >> (2 * place) & 3]).collect()))
}

/// All 87,381 of up to eight octets, alone and before an end that nobody doubts, split at every octet and read one by one.
#[test]
fn every_order_of_line_ends_and_dots_split_anywhere() {
    for text in every(8) {
        for behind in [&b""[..], b"\r\n.\r\nNOOP\r\n"] {
            let bytes = [&text, behind].concat();
            let ends = [b"\r\n", &bytes[..]].concat().windows(5).position(|w| w == b"\r\n.\r\n").map(|at| at + 3);
            let want = (oracle(&bytes).map(Ok), ends.map_or(Vec::new(), |end| bytes[end..].to_vec()));
            assert_eq!(data(&bytes, &[1], 100), want, "{}", bytes.escape_ascii());
            for at in 1..=text.len() + 4 {
                assert_eq!(data(&bytes, &[at, usize::MAX], 100), want, "{} at {at}", bytes.escape_ascii());
            }
        }
    }
}

proptest! {
    #[test]
    fn data_is_what_the_rfc_says(bytes in crooked()) {
        prop_assert_eq!(content(&bytes), oracle(&bytes));
    }

    #[test]
    fn any_split_of_data_gives_the_same(bytes in crooked(), sizes in proptest::collection::vec(1usize..9, 1..9), limit in 0usize..80) {
        prop_assert_eq!(data(&bytes, &sizes, limit), data(&bytes, &[usize::MAX], limit));
    }

    #[test]
    fn any_split_of_commands_gives_the_same(bytes in crooked(), sizes in proptest::collection::vec(1usize..9, 1..9)) {
        prop_assert_eq!(frames(&bytes, &sizes), frames(&bytes, &[usize::MAX]));
    }

    #[test]
    fn what_is_stuffed_comes_back(bytes in crooked()) {
        let mut sent = Vec::new();
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            if line.starts_with(b".") && (sent.is_empty() || sent.ends_with(b"\r\n")) {
                sent.push(b'.');
            }
            sent.extend_from_slice(line);
        }
        let whole = bytes.is_empty() || bytes.ends_with(b"\r\n");
        sent.extend_from_slice(if whole { b".\r\n" } else { b"\r\n.\r\n" });
        let want = if whole { bytes } else { [&bytes[..], b"\r\n"].concat() };
        prop_assert_eq!(content(&sent), Some(want));
    }
}
