//! The MIME structure of a mail as a flat list of leaves, found in one pass over the lines.
//!
//! This stands before the library's recursive parser: thousands of nested parts overflow its stack, and boundaries that never come make it
//! read the rest again for every part. Here nesting and the number of parts are counted, what is beyond the bounds stays undivided, and each line
//! is looked at once. A message inside a message is a leaf: it is the returned original, never read as structure.

use std::borrow::Cow;

use super::{
    fields::{self, Fields},
    media::Kind,
    text::{self, Line, Lines},
};

/// Multiparts within multiparts beyond this are not divided.
pub const MAX_DEPTH: usize = 16;
/// Leaves beyond this are not looked at.
pub const MAX_PARTS: usize = 200;
/// RFC 2046, section 5.1.1 allows 70; some programs write more.
const MAX_BOUNDARY: usize = 250;

/// One leaf.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    pub kind: Kind,
    /// The part's own header fields, none where it is the whole mail: where the blank line before the content was lost, content stands here.
    pub header: Fields<'a>,
    pub body: &'a [u8],
    /// It is the whole mail's body.
    pub whole: bool,
    /// The number of the multipart/alternative that it stands in, if any: only one of those is to be read.
    pub alternative: Option<usize>,
}

impl<'a> Part<'a> {
    /// The content with its transfer encoding undone, at most `octets` of it read.
    pub fn bytes(&self, octets: usize) -> Cow<'a, [u8]> {
        text::transfer_decode(text::head(self.body, octets), &self.kind.encoding)
    }

    /// The content as text with LF line ends.
    pub fn text(&self, octets: usize) -> String {
        text::clean_lines(text::charset_decode(&self.bytes(octets), self.kind.charset.as_deref()))
    }
}

/// A multipart that is open.
struct Open {
    boundary: Vec<u8>,
    alternative: Option<usize>,
}

/// Divides the body that follows `header` at `body`. There is always at least one leaf.
pub fn split<'a>(raw: &'a [u8], header: &Fields<'a>, body: usize) -> Vec<Part<'a>> {
    let kind = Kind::of(header);
    let rest = raw.get(body..).unwrap_or_default();
    // A mail that lost its Content-Type may still be divided.
    let lost = kind.mime.is_empty() && !header.has("content-type");
    let begins_with =
        |boundary: &Vec<u8>| Lines::new(raw, body).take(6).any(|line| line.text.strip_prefix(b"--") == Some(boundary.as_slice()));
    if lost && let Some(boundary) = guess_boundary(raw, body).filter(begins_with) {
        return divide(raw, body, boundary, &kind);
    }
    if !kind.is_multipart() {
        return vec![Part { kind, header: Fields::default(), body: rest, whole: true, alternative: None }];
    }
    let declared = kind.boundary.as_deref().map(|boundary| boundary.as_bytes().to_vec());
    let mut parts = declared.map(|boundary| divide(raw, body, boundary, &kind)).unwrap_or_default();
    if parts.is_empty() {
        // No boundary, or one that never comes: the first line that looks like one is.
        parts = guess_boundary(raw, body).map(|boundary| divide(raw, body, boundary, &kind)).unwrap_or_default();
    }
    if parts.is_empty() {
        parts.push(Part {
            kind: Kind { mime: String::new(), ..kind },
            header: Fields::default(),
            body: rest,
            whole: true,
            alternative: None,
        });
    }
    parts
}

/// The text after `--` of the first such line that a `Content-` field follows.
fn guess_boundary(raw: &[u8], body: usize) -> Option<Vec<u8>> {
    let mut candidate: Option<&[u8]> = None;
    for line in Lines::new(raw, body) {
        if let Some(boundary) = candidate.filter(|_| text::head(line.text, 8).eq_ignore_ascii_case(b"content-")) {
            return Some(boundary.to_vec());
        }
        candidate = line.text.strip_prefix(b"--").map(<[u8]>::trim_ascii_end).filter(|b| !b.is_empty() && b.len() <= MAX_BOUNDARY);
    }
    None
}

/// The next line from `at` on that begins with two hyphens. `at` is where a line begins.
fn delimiter(raw: &[u8], at: usize) -> Option<Line<'_>> {
    let begins = |start: &usize| *start == at || matches!(raw.get(start - 1), Some(b'\n' | b'\r'));
    let mut hyphens = memchr::memmem::find_iter(raw.get(at..)?, b"--").map(|offset| at + offset);
    Lines::new(raw, hyphens.find(begins)?).next()
}

struct Divider<'a> {
    raw: &'a [u8],
    open: Vec<Open>,
    parts: Vec<Part<'a>>,
    /// The leaf whose body is being read: its header and where the body starts.
    leaf: Option<(Kind, Fields<'a>, usize)>,
    alternatives: usize,
}

fn divide<'a>(raw: &'a [u8], body: usize, boundary: Vec<u8>, kind: &Kind) -> Vec<Part<'a>> {
    let mut divider = Divider { raw, open: Vec::new(), parts: Vec::new(), leaf: None, alternatives: 0 };
    divider.enter(boundary, kind);
    let mut at = body;
    while let Some(line) = delimiter(raw, at) {
        at = line.next;
        let Some((level, closing)) = divider.boundary_at(&line) else { continue };
        divider.end_leaf(line.start);
        if divider.parts.len() >= MAX_PARTS {
            return divider.parts;
        }
        divider.open.truncate(level + usize::from(!closing));
        if !closing {
            at = divider.begin_part(line.next);
        }
    }
    divider.end_leaf(raw.len());
    divider.parts
}

impl<'a> Divider<'a> {
    fn enter(&mut self, boundary: Vec<u8>, kind: &Kind) {
        let outer = self.open.last().and_then(|open| open.alternative);
        let alternative = if kind.mime == "multipart/alternative" {
            self.alternatives += 1;
            outer.or(Some(self.alternatives))
        } else {
            outer
        };
        self.open.push(Open { boundary, alternative });
    }

    /// Which open multipart's boundary a line is, innermost first, and whether it closes that one.
    fn boundary_at(&self, line: &Line<'_>) -> Option<(usize, bool)> {
        let rest = line.text.strip_prefix(b"--")?;
        let is_end = |tail: &[u8]| text::is_blank(tail);
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let tail = rest.strip_prefix(open.boundary.as_slice())?;
            match tail.strip_prefix(b"--") {
                _ if is_end(tail) => Some((level, false)),
                Some(tail) if is_end(tail) => Some((level, true)),
                _ => None,
            }
        })
    }

    fn end_leaf(&mut self, end: usize) {
        if let Some((kind, header, start)) = self.leaf.take() {
            let alternative = self.open.last().and_then(|open| open.alternative);
            let body = self.raw.get(start..end).unwrap_or_default();
            self.parts.push(Part { kind, header, body, whole: false, alternative });
        }
    }

    /// Reads the part header at `at`; gives where its body starts.
    fn begin_part(&mut self, at: usize) -> usize {
        let (header, body) = self.part_header(at);
        let kind = Kind::of(&header);
        match kind.boundary.clone().filter(|b| kind.is_multipart() && !b.is_empty() && b.len() <= MAX_BOUNDARY) {
            Some(boundary) if self.open.len() < MAX_DEPTH => self.enter(boundary.into_bytes(), &kind),
            _ => self.leaf = Some((kind, header, body)),
        }
        body
    }

    /// A part may have no header at all: a blank line comes first then, and ends it (RFC 2046, section 5.1). The header ends at a boundary, too.
    fn part_header(&self, at: usize) -> (Fields<'a>, usize) {
        let mut end = at;
        for line in Lines::new(self.raw, at) {
            if self.boundary_at(&line).is_some() {
                break;
            }
            if text::is_blank(line.text) {
                let (fields, body) = fields::header_block(self.raw.get(..line.start).unwrap_or_default(), at);
                return (fields, if body < line.start { body } else { line.next });
            }
            end = line.next;
        }
        fields::header_block(self.raw.get(..end).unwrap_or_default(), at)
    }
}
