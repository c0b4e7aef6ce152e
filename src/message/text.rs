//! Bytes → text: line ends, transfer encodings, character sets, and the cutting and cleaning that every fact goes through.
//!
//! Everything is linear and total. A character set that is unknown, missing or wrong gives the most sensible reading: UTF-8 where the
//! bytes are UTF-8, ISO-2022-JP where its escapes stand in them, a guess else.

use std::borrow::Cow;

use mail_parser::decoders::{base64::base64_decode, charsets::map::charset_decoder, quoted_printable::quoted_printable_decode};

/// The longest single-line fact in octets: longer than any sane diagnostic, short enough to store a hundred of them.
pub const MAX_FACT: usize = 4096;

/// Lines of strangers' bytes. LF, CRLF, a bare CR and the CRCRLF that a doubly converted mail has all end one line.
#[derive(Clone)]
pub struct Lines<'a> {
    data: &'a [u8],
    at: usize,
}

/// One line without its end, and where it and the next one start.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub text: &'a [u8],
    pub start: usize,
    pub next: usize,
}

impl<'a> Lines<'a> {
    pub fn new(data: &'a [u8], at: usize) -> Lines<'a> {
        Lines { data, at }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.at;
        let rest = self.data.get(start..).filter(|rest| !rest.is_empty())?;
        let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
            self.at = self.data.len();
            return Some(Line { text: rest, start, next: self.at });
        };
        let (text, ending) = rest.split_at(end);
        let ending = match ending {
            [b'\r', b'\n', ..] => 2,
            [b'\r', b'\r', b'\n', ..] => 3,
            _ => 1,
        };
        self.at = start + end + ending;
        Some(Line { text, start, next: self.at })
    }
}

/// Whether a line is empty but for white space.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|b| matches!(b, b' ' | b'\t' | 0))
}

/// Undoes a Content-Transfer-Encoding. What doesn't decode is taken as it stands: many bounces declare what they don't do.
pub fn transfer_decode<'a>(body: &'a [u8], encoding: &str) -> Cow<'a, [u8]> {
    match encoding {
        "base64" => decode_base64(body).map_or(Cow::Borrowed(body), Cow::Owned),
        "quoted-printable" => decode_quoted_printable(body).map_or(Cow::Borrowed(body), Cow::Owned),
        _ => Cow::Borrowed(body),
    }
}

/// RFC 2045, section 6.7; `None` where something in it isn't. Most lines have nothing to decode.
fn decode_quoted_printable(body: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, tail) = rest.split_at_checked(end)?;
        rest = tail;
        let own = line.strip_suffix(b"\n").map_or(line, |own| own.strip_suffix(b"\r").unwrap_or(own));
        let text = own.trim_ascii_end();
        match memchr::memchr(b'=', text) {
            None => decoded.extend_from_slice(text),
            Some(_) => decoded.extend_from_slice(&quoted_printable_decode(text)?),
        }
        if !text.ends_with(b"=") {
            decoded.extend_from_slice(line.get(own.len()..)?);
        }
    }
    Some(decoded)
}

/// The lines up to the first that isn't base64 (a footer that a scanner put under it); `None` where the first already isn't.
fn decode_base64(body: &[u8]) -> Option<Vec<u8>> {
    let in_alphabet = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b' ' | b'\t');
    let mut kept = Vec::with_capacity(body.len());
    for line in Lines::new(body, 0) {
        if !line.text.iter().all(in_alphabet) {
            break;
        }
        kept.extend_from_slice(line.text);
    }
    if kept.iter().all(|b| matches!(b, b' ' | b'\t')) && !is_blank(body) {
        return None;
    }
    base64_decode(&kept)
}

/// Decodes by character set, sensibly where the label is wrong or missing. Line ends become LF.
pub fn charset_decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> Cow<'a, str> {
    let label = charset.unwrap_or_default().trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).to_ascii_lowercase();
    let escapes = has_escapes(bytes);
    let wide = label.starts_with("utf-16") || label.starts_with("utf-7") || label == "hz-gb-2312";
    if escapes && !label.starts_with("iso-2022") {
        return Cow::Owned(by_label(bytes, "iso-2022-jp"));
    }
    if !escapes && !wide {
        // Bytes that are UTF-8 with letters beyond ASCII are UTF-8, whatever a wrong label says.
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Cow::Borrowed(text);
        }
    }
    // A cut or damaged UTF-8 text stays UTF-8; one that claims to be ASCII or nothing may be anything.
    Cow::Owned(match label.as_str() {
        "utf-8" | "utf8" => mostly_utf8(bytes),
        label if is_ascii_label(label) || !is_known(label) => super::charset::guessed(bytes),
        label => by_label(bytes, label),
    })
}

/// A label that bytes beyond ASCII contradict.
pub fn is_ascii_label(label: &str) -> bool {
    matches!(label, "" | "us-ascii" | "ascii" | "ansi_x3.4-1968")
}

pub fn is_known(label: &str) -> bool {
    charset_decoder(label.as_bytes()).is_some()
}

/// A header field's bytes, which nothing labels; not copied where they are UTF-8 as they stand. `mail`: what they stand in.
pub fn unlabelled<'a>(bytes: Cow<'a, [u8]>, mail: &[u8]) -> Cow<'a, str> {
    if has_escapes(&bytes) {
        return Cow::Owned(charset_decode(&bytes, None).into_owned());
    }
    match bytes {
        Cow::Borrowed(bytes) => {
            std::str::from_utf8(bytes).map_or_else(|_| Cow::Owned(super::charset::like_its_mail(bytes, mail)), Cow::Borrowed)
        }
        Cow::Owned(bytes) => {
            Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| super::charset::like_its_mail(error.as_bytes(), mail)))
        }
    }
}

/// Whether an escape of ISO-2022-JP stands in the bytes.
fn has_escapes(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\x1b', bytes).any(|at| bytes.get(at + 1) == Some(&b'$'))
}

fn mostly_utf8(bytes: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(bytes);
    let wrong = lossy.matches('\u{fffd}').count();
    let right = lossy.chars().filter(|c| !c.is_ascii() && *c != '\u{fffd}').count();
    if wrong > right { super::charset::guessed(bytes) } else { lossy.into_owned() }
}

fn by_label(bytes: &[u8], label: &str) -> String {
    let decoder = charset_decoder(label.as_bytes()).or_else(|| charset_decoder(b"windows-1252"));
    let decoded = decoder.and_then(|decode| std::panic::catch_unwind(|| decode(bytes)).ok());
    decoded.unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
}

/// LF line ends, no other control characters but tab, no byte order mark. What is clean already isn't copied.
pub fn clean_lines(text: Cow<'_, str>) -> String {
    if is_clean(&text) {
        return text.into_owned();
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some((line, ending)) = memchr::memchr(b'\r', rest.as_bytes()).and_then(|at| rest.split_at_checked(at)) {
        push_clean(line, &mut clean);
        clean.push('\n');
        rest = ["\r\r\n", "\r\n", "\r"].iter().find_map(|end| ending.strip_prefix(end)).unwrap_or_default();
    }
    push_clean(rest, &mut clean);
    clean
}

fn push_clean(text: &str, clean: &mut String) {
    if is_clean(text) {
        return clean.push_str(text);
    }
    clean.extend(text.chars().filter_map(|c| match c {
        '\n' | '\t' => Some(c),
        '\u{a0}' => Some(' '),
        _ if c.is_control() || c == '\u{feff}' => None,
        _ => Some(c),
    }));
}

/// Whether nothing needs to be taken out: neither ASCII's controls, nor what the first octets of C1's, the no-break space's and the byte order
/// mark's begin. All octets are looked at without a branch, many at once.
fn is_clean(text: &str) -> bool {
    let unclean = |b: u8| matches!(b, 0..=8 | 11..=31 | 0x7f | 0xc2 | 0xef);
    !text.bytes().fold(false, |found, b| found | unclean(b))
}

/// A fact of one line: white space runs become one space, control characters go, and it is cut at `MAX_FACT`. `None` where nothing is left.
pub fn fact(text: &str) -> Option<String> {
    plain(text).map_or_else(|| made_plain(text), |plain| (!plain.is_empty()).then(|| plain.to_owned()))
}

/// The same, not copied where it is one as it stands.
pub fn fact_of(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match text {
        Cow::Borrowed(text) => {
            plain(text).map_or_else(|| made_plain(text).map(Cow::Owned), |plain| (!plain.is_empty()).then_some(Cow::Borrowed(plain)))
        }
        Cow::Owned(text) => fact(&text).map(Cow::Owned),
    }
}

fn made_plain(text: &str) -> Option<String> {
    let mut line = String::with_capacity(text.len().min(MAX_FACT));
    for word in text.split(|c: char| c.is_whitespace()) {
        let mut word = word.chars().filter(|c| !c.is_control() && !invisible(*c)).peekable();
        if word.peek().is_none() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
        if line.len() > MAX_FACT {
            break;
        }
    }
    cut(&mut line, MAX_FACT);
    (!line.is_empty()).then_some(line)
}

/// What is a fact as it stands but for the space around it: ASCII, single spaces, not too long. All octets are looked at without a branch.
pub fn plain(text: &str) -> Option<&str> {
    let text = text.trim();
    let bytes = text.as_bytes();
    let printable = bytes.iter().fold(true, |all, b| all & matches!(b, b' '..=b'~'));
    let doubled = |(this, next): (&u8, &u8)| (*this == b' ') & (*next == b' ');
    let single = || !bytes.iter().zip(bytes.iter().skip(1)).fold(false, |any, pair| any | doubled(pair));
    (bytes.len() <= MAX_FACT && printable && single()).then_some(text)
}

/// Marks that turn or hide text on a terminal or page.
fn invisible(c: char) -> bool {
    matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Cuts at a character boundary at or below `octets`.
pub fn cut(text: &mut String, octets: usize) {
    text.truncate(cut_at(text, octets).len());
}

/// The same of a slice.
pub fn cut_at(text: &str, octets: usize) -> &str {
    let mut end = text.len().min(octets);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// At most so many octets of a slice.
pub fn head(bytes: &[u8], octets: usize) -> &[u8] {
    bytes.get(..octets).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_ends_one_line() {
        let ends: Vec<_> = Lines::new(b"a\nb\r\nc\rd\r\r\n\ne", 0).map(|line| line.text).collect();
        assert_eq!(ends, [&b"a"[..], b"b", b"c", b"d", b"", b"e"]);
    }

    #[test]
    fn wrong_labels_are_read_sensibly() {
        assert_eq!(charset_decode("Grüße".as_bytes(), Some("us-ascii")), "Grüße");
        assert_eq!(charset_decode(b"Gr\xfc\xdfe", None), "Grüße");
        assert_eq!(charset_decode(b"Gr\xfc\xdfe", Some("utf-8")), "Grüße");
        assert_eq!(charset_decode(b"Gr\xfc\xdfe", Some("x-nonsense")), "Grüße");
        assert_eq!(charset_decode(b"\xf0\xd2\xc9\xd7\xc5\xd4", Some("KOI8-R")), "Привет");
        assert_eq!(charset_decode(b"\x1b$B%O%m!<\x1b(B", None), "ハロー");
        assert_eq!(charset_decode(b"\xc4\xe3\xba\xc3", Some("'gb2312'")), "你好");
    }

    #[test]
    fn transfer_encodings_are_undone_leniently() {
        assert_eq!(&*transfer_decode(b"SGVsbG8=\n-- scanned.\n", "base64"), b"Hello");
        assert_eq!(&*transfer_decode(b"Final-Recipient: x\n", "base64"), b"Final-Recipient: x\n");
        assert_eq!(&*transfer_decode(b"a=3Db=\nc", "quoted-printable"), b"a=bc");
        assert_eq!(&*transfer_decode(b"a==3D", "quoted-printable"), b"a==3D");
        assert_eq!(&*transfer_decode(b"a=20 \r\nb= \r\n=C3=A4 \t\nc ", "quoted-printable"), b"a \r\nb\xc3\xa4\nc");
    }

    #[test]
    fn facts_are_one_clean_line() {
        assert_eq!(fact(" a\r\n\tb\u{0}c \u{202e}d ").as_deref(), Some("a bc d"));
        assert_eq!(fact(" \u{0}\n"), None);
        assert_eq!(fact(&"ü".repeat(MAX_FACT)).map(|f| f.len()), Some(MAX_FACT));
    }
}
