//! The returned original itself: its very bytes, where they are all there.
//!
//! Whole is what has a header and a body, came in a part that is closed, and shows no sign of a cut: a multipart without its closing
//! delimiter, base64 that ends within a group, a note that says so. A text that lost its end without any of these can't be told from a whole
//! one. Nothing is mended: what is returned is what stands there, save for the transfer encoding of its part.

use std::borrow::Cow;

use super::{
    fields,
    media::Kind,
    parts::{self, Part},
    text::{self, Line, Lines},
};

/// The closing delimiter is looked for so near to the end, octets: what stands after it says nothing.
const TAIL: usize = 4 * 1024;

/// Notes that a program cut the copy are looked for so near to its end, octets.
const NOTE_TAIL: usize = 1024;

/// So many lines may stand between the announcement and the header in a text.
const LOOK_AHEAD: usize = 8;

/// The original out of a mail, its part's transfer encoding undone.
pub fn returned(raw: &[u8]) -> Option<Vec<u8>> {
    std::panic::catch_unwind(|| {
        let (fields, body) = fields::header_block(raw, 0);
        find(raw, &parts::split(raw, &fields, body)).map(Cow::into_owned)
    })
    .ok()
    .flatten()
}

/// The same, of a mail that is divided already.
pub(super) fn find<'a>(raw: &'a [u8], parts: &[Part<'a>]) -> Option<Cow<'a, [u8]>> {
    let Some(part) = parts.iter().find(|part| matches!(part.kind.mime.as_str(), "message/rfc822" | "message/global")) else {
        return in_text(parts);
    };
    // Exim and others say in the text what they left out.
    let noted = parts.iter().filter(|part| part.kind.is_text()).any(|part| says_cut(tail(part.body, NOTE_TAIL)));
    if noted { None } else { in_part(raw, part) }
}

fn in_part<'a>(raw: &[u8], part: &Part<'a>) -> Option<Cow<'a, [u8]>> {
    // A part that no delimiter ends runs to the end of the mail: its rest was lost.
    let closed = part.whole || part.body.as_ptr_range().end < raw.as_ptr_range().end;
    if !closed {
        return None;
    }
    // RFC 2046, section 5.1.1: the line end before a delimiter is the delimiter's.
    let body = if part.whole { part.body } else { without_line_end(part.body) };
    let content = text::transfer_decode(body, &part.kind.encoding);
    is_whole(&content).then_some(content)
}

/// The copy that qmail and its like put under a line of their own, to the end of the mail.
fn in_text<'a>(parts: &[Part<'a>]) -> Option<Cow<'a, [u8]>> {
    let [part] = parts else { return None };
    if !part.kind.is_text() || !matches!(part.kind.encoding.as_str(), "" | "7bit" | "8bit" | "binary") {
        return None;
    }
    let mut lines = Lines::new(part.body, 0);
    lines.find(announces)?;
    let first = lines.take(LOOK_AHEAD).find(|line| !text::is_blank(line.text) && !line.text.starts_with(b"From "))?;
    let content = part.body.get(first.start..)?;
    is_whole(content).then_some(Cow::Borrowed(content))
}

/// A line with rules round it that says that a copy of the message follows, not of its header only.
fn announces(line: &Line<'_>) -> bool {
    const SAYS: [&str; 6] = [
        "copy of the message",
        "copy of your message",
        "original message follows",
        "unsent message follows",
        "returned message follows",
        "message text follows",
    ];
    let decorated = |line: &[u8]| line.starts_with(b"--") || line.starts_with(b"|--");
    if line.text.len() > 160 || !decorated(line.text.trim_ascii_start()) {
        return false;
    }
    let words = String::from_utf8_lossy(line.text).to_ascii_lowercase();
    let header_only = words.contains("header") && !words.contains("including");
    !header_only && SAYS.iter().any(|says| words.contains(says))
}

fn is_whole(content: &[u8]) -> bool {
    let (fields, body) = fields::header_block(content, 0);
    let known = ["from", "date", "message-id", "subject", "to", "received"].iter().filter(|name| fields.has(name));
    if !fields.has("from") || known.count() < 2 {
        return false;
    }
    let Some(body) = content.get(body..).filter(|body| !body.iter().all(u8::is_ascii_whitespace)) else { return false };
    if says_cut(tail(body, NOTE_TAIL)) {
        return false;
    }
    let kind = Kind::of(&fields);
    match (kind.is_multipart(), kind.boundary, kind.encoding.as_str()) {
        (true, Some(boundary), _) => closes(tail(body, TAIL), &boundary),
        (true, None, _) => false,
        (false, _, "base64") => body.iter().filter(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)).count() % 4 == 0,
        _ => true,
    }
}

/// Whether the closing delimiter of a multipart is there.
fn closes(tail: &[u8], boundary: &str) -> bool {
    let delimiter = [b"--", boundary.as_bytes(), b"--"].concat();
    Lines::new(tail, 0).any(|line| line.text.strip_prefix(delimiter.as_slice()).is_some_and(text::is_blank))
}

/// What sendmail, Postfix, Exim, qmail and others write where they leave off.
fn says_cut(bytes: &[u8]) -> bool {
    const SAYS: [&str; 9] = [
        "message truncated",
        "rest of message truncated",
        "message body suppressed",
        "truncated by",
        "[truncated]",
        "or so are included here",
        "only the first",
        "bytes of the message are copied",
        "body has been truncated",
    ];
    let decorated = |line: &[u8]| matches!(line.trim_ascii_start().first(), Some(b'-' | b'*' | b'[' | b'=' | b'.'));
    Lines::new(bytes, 0).filter(|line| decorated(line.text)).any(|line| {
        let words = String::from_utf8_lossy(text::head(line.text, 200)).to_ascii_lowercase();
        SAYS.iter().any(|says| words.contains(says))
    })
}

fn tail(bytes: &[u8], octets: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(octets)..).unwrap_or(bytes)
}

fn without_line_end(body: &[u8]) -> &[u8] {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(kind: &str, encoding: &str, content: &[u8]) -> Vec<u8> {
        let head = format!(
            "From: MAILER-DAEMON@example.org\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"outer\"\r\n\r\n\
             --outer\r\nContent-Type: text/plain\r\n\r\nIt did not go.\r\n\
             --outer\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; a@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
             --outer\r\nContent-Type: {kind}\r\n{encoding}\r\n"
        );
        [head.as_bytes(), content, b"\r\n--outer--\r\n"].concat()
    }

    const MAIL: &str =
        "Received: from a by b\r\nFrom: News <news@example.com>\r\nTo: a@example.org\r\nSubject: hi\r\nMessage-ID: <1@example.com>\r\n";

    fn mail(rest: &str) -> Vec<u8> {
        format!("{MAIL}{rest}").into_bytes()
    }

    #[test]
    fn whole_ones() {
        for rest in [
            "\r\nHello\r\n",
            "\r\nHello",
            "\r\nHello\r\n\r\n\r\n",
            "Content-Type: multipart/alternative; boundary=\"in ner\"\r\n\r\n--in ner\r\n\r\nx\r\n--in ner--\r\n",
            "Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n",
            "\r\nonly the first is a word of the mail's own\r\n",
        ] {
            let content = mail(rest);
            for kind in ["message/rfc822", "message/global"] {
                let raw = report(kind, "Content-Transfer-Encoding: 8bit\r\n", &content);
                assert_eq!(
                    returned(&raw).map(|found| String::from_utf8(found).unwrap()),
                    Some(String::from_utf8(content.clone()).unwrap())
                );
                assert!(super::super::read(&raw).original_whole, "{rest}");
            }
        }
    }

    #[test]
    fn ones_that_are_not() {
        let cut = "Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n\r\nx\r\n--inner\r\n\r\ny\r\n";
        for rest in [
            "",
            "\r\n",
            "\r\n\r\n \r\n",
            cut,
            "Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8\r\n",
            "\r\nHello\r\n--- Rest of message truncated.\r\n",
            "\r\nHello\r\n\r\n   ----- Message truncated -----\r\n",
        ] {
            let raw = report("message/rfc822", "", &mail(rest));
            assert_eq!(returned(&raw), None, "{rest}");
            assert!(!super::super::read(&raw).original_whole, "{rest}");
        }
        let whole = mail("\r\nHello\r\n");
        assert_eq!(returned(&report("text/rfc822-headers", "", &whole)), None);
        assert_eq!(returned(&report("message/partial", "", &whole)), None);
        assert_eq!(returned(b"From: a@example.org\r\n\r\nhello\r\n"), None);
        let closed = report("message/rfc822", "", &whole);
        let open = closed.strip_suffix(b"\r\n--outer--\r\n").unwrap();
        assert_eq!(returned(open), None, "the mail ends within it");
        let note = "It did not go.\r\n------ The body of the message is 999 characters long; only the first\r\n------ 100 or so are included here.";
        let exim = String::from_utf8(closed).unwrap().replace("It did not go.", note);
        assert_eq!(returned(exim.as_bytes()), None);
    }

    #[test]
    fn the_copy_in_a_text() {
        let content = mail("\r\nHello\r\n-- \r\nme\r\n");
        let notice = |line: &str, content: &[u8]| {
            let head = format!(
                "From: MAILER-DAEMON@example.org\r\nSubject: failure notice\r\n\r\nHi. <a@example.org>:\r\nno mailbox here\r\n\r\n{line}\r\n\r\n"
            );
            [head.as_bytes(), content].concat()
        };
        for line in [
            "--- Below this line is a copy of the message.",
            "--- Enclosed is a copy of the message.",
            "------ This is a copy of the message, including all the headers. ------",
            "   ----- Original message follows -----",
        ] {
            let raw = notice(line, &content);
            assert_eq!(returned(&raw).as_deref(), Some(&content[..]), "{line}");
            assert!(super::super::read(&raw).original_whole);
        }
        assert_eq!(returned(&notice("--- The headers of the original message follows ---", &content)), None);
        let line = "--- Below this line is a copy of the message.";
        assert_eq!(returned(&notice(line, &mail("\r\nHello\r\n\r\n--- Rest of message truncated.\r\n"))), None);
        assert_eq!(returned(&notice(line, &mail("\r\n"))), None);
    }

    proptest! {
        #[test]
        fn what_is_returned_is_what_was_put_in(
            body in prop::collection::vec(any::<u8>(), 1..2_000),
            form in 0..3usize,
        ) {
            // The delimiter can't stand in what it delimits, and a body of white space is none.
            let body: Vec<u8> = [b"x".to_vec(), body].concat().split(|byte| *byte == b'-').collect::<Vec<_>>().concat();
            let content = [MAIL.as_bytes(), b"\r\n", &body].concat();
            let quoted = || content.iter().fold((String::new(), 0), |(mut out, width), byte| {
                out.push_str(&format!("={byte:02X}"));
                if width >= 69 { out.push_str("=\r\n"); (out, 0) } else { (out, width + 3) }
            }).0;
            let (encoding, encoded) = match form {
                0 => ("", content.clone()),
                1 => {
                    let text = data_encoding::BASE64_MIME.encode(&content);
                    ("Content-Transfer-Encoding: base64\r\n", text.into_bytes())
                }
                _ => ("Content-Transfer-Encoding: quoted-printable\r\n", quoted().into_bytes()),
            };
            let raw = report("message/rfc822", encoding, &encoded);
            // Of a copy that stands there plainly, one line end before the delimiter is the delimiter's whatever it is.
            let cut_end = form == 0 && body.ends_with(b"\r");
            if !cut_end {
                prop_assert_eq!(returned(&raw), Some(content));
            }
        }

        #[test]
        fn no_bytes_do_harm(raw in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = returned(&raw);
            let _ = returned(&report("message/rfc822", "", &raw));
        }
    }
}
