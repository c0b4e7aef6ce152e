//! SMTP framing against a reference that sees all bytes at once and is written as RFC 5321 says it, without states.

use bounced::smtp::framing::{Frame, Framer, MAX_COMMAND, Spoilt};

/// What a stream of commands and mails comes to.
#[derive(Debug, PartialEq)]
enum Seen {
    Line(Vec<u8>),
    LongLine,
    BareLineEnd,
    Mail(Result<Vec<u8>, Spoilt>),
    Chunk,
}

/// What a command asks to be read next.
enum Next {
    Data,
    Chunk { octets: u64, last: bool },
    Command,
}

fn next(line: &[u8]) -> Next {
    if line.eq_ignore_ascii_case(b"DATA") {
        return Next::Data;
    }
    let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    match words.as_slice() {
        [verb, octets, rest @ ..] if verb.eq_ignore_ascii_case(b"BDAT") => {
            let octets = std::str::from_utf8(octets).ok().and_then(|text| text.parse().ok());
            octets.map_or(Next::Command, |octets| Next::Chunk { octets, last: rest.first() == Some(&b"LAST".as_slice()) })
        }
        _ => Next::Command,
    }
}

/// As the framer tells it; `read` octets at a time. `stingy`: no memory beyond what a mail begins with.
fn framed(data: &[u8], read: usize, limit: usize, stingy: bool) -> Vec<Seen> {
    const FIRST: usize = 16;
    let (mut framer, mut seen, mut last) = (Framer::default(), Vec::new(), false);
    for mut input in data.chunks(read.max(1)) {
        loop {
            let before = input.len();
            let Some(frame) = framer.next(&mut input) else { break };
            match frame {
                Frame::Line(line) => {
                    match next(&line) {
                        Next::Data => framer.expect_data(limit, FIRST.min(limit + 2)),
                        Next::Chunk { octets, last: ends } => {
                            framer.expect_chunk(octets, limit);
                            last = ends;
                        }
                        Next::Command => {}
                    }
                    seen.push(Seen::Line(line));
                }
                Frame::LongLine => seen.push(Seen::LongLine),
                Frame::BareLineEnd => seen.push(Seen::BareLineEnd),
                Frame::Room(octets) => {
                    assert!(octets > 0 && framer.granted() + octets <= limit + 2, "{octets} beyond the limit");
                    framer.grant((!stingy).then_some(octets));
                    continue;
                }
                Frame::ContentEnd => seen.push(Seen::Mail(framer.take_content())),
                Frame::ChunkEnd if last => seen.push(Seen::Mail(framer.take_content())),
                Frame::ChunkEnd => seen.push(Seen::Chunk),
            }
            assert!(framer.granted() <= limit + 2);
            assert!(before > input.len() || matches!(seen.last(), Some(Seen::Mail(_) | Seen::Chunk)), "a frame of nothing");
        }
        assert!(input.is_empty(), "{} octets left unread", input.len());
    }
    seen
}

/// The same, read off the whole.
fn reference(mut data: &[u8], limit: usize) -> Vec<Seen> {
    let (mut seen, mut chunks) = (Vec::new(), Vec::new());
    while let Some(end) = data.iter().position(|&b| b == b'\r' || b == b'\n') {
        let (line, rest) = data.split_at(end);
        match rest {
            [b'\r', b'\n', after @ ..] => data = after,
            [b'\r'] => break,
            _ => {
                seen.push(Seen::BareLineEnd);
                break;
            }
        }
        if line.len() + 2 > MAX_COMMAND {
            seen.push(Seen::LongLine);
            continue;
        }
        seen.push(Seen::Line(line.to_vec()));
        match next(line) {
            Next::Command => {}
            Next::Data => {
                chunks.clear();
                let Some((mail, after)) = content(data) else { break };
                seen.push(Seen::Mail(within(mail, limit)));
                data = after;
            }
            Next::Chunk { octets, last } => {
                let Some((chunk, after)) = usize::try_from(octets).ok().and_then(|octets| data.split_at_checked(octets)) else { break };
                chunks.extend_from_slice(chunk);
                seen.push(if last { Seen::Mail(within(std::mem::take(&mut chunks), limit)) } else { Seen::Chunk });
                data = after;
            }
        }
    }
    seen
}

fn within(mail: Vec<u8>, limit: usize) -> Result<Vec<u8>, Spoilt> {
    if mail.len() > limit { Err(Spoilt::TooBig) } else { Ok(mail) }
}

/// RFC 5321, sections 4.1.1.4 and 4.5.2: up to CRLF.CRLF, the CRLF before the dot is the mail's; a dot that begins a line goes.
fn content(data: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let framed = [b"\r\n", data].concat();
    let end = framed.windows(5).position(|five| five == b"\r\n.\r\n")?;
    let text = framed.get(2..end + 2).unwrap_or_default();
    let begins = |at: usize| at == 0 || text.get(..at).is_some_and(|before| before.ends_with(b"\r\n"));
    let mail = text.iter().enumerate().filter(|(at, byte)| **byte != b'.' || !begins(*at)).map(|(_, byte)| *byte).collect();
    Some((mail, data.get(end + 3..).unwrap_or_default()))
}

/// However the bytes are split, and whether or not there is memory, the frames are those of the reference. The first octets are the size of
/// reads and the longest mail.
pub fn framing(data: &[u8]) {
    let [read, limit, data @ ..] = data else { return };
    let (read, limit) = (usize::from(*read), usize::from(*limit));
    let expected = reference(data, limit);
    assert_eq!(framed(data, usize::MAX, limit, false), expected);
    assert_eq!(framed(data, read, limit, false), expected);
    // Without memory mails are lost, but never told apart otherwise.
    let poor = framed(data, read, limit, true);
    assert_eq!(poor.len(), expected.len());
    for (poor, rich) in poor.iter().zip(&expected) {
        assert!(poor == rich || matches!((poor, rich), (Seen::Mail(Err(_)), Seen::Mail(_))), "{poor:?} {rich:?}");
    }
}
