//! Where in the mail the words stand that decided.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

use crate::message::{PartSeen, Report, Taken};

/// So much of a line is shown on each side of the words, in characters.
const BESIDE: usize = 120;
/// So many lines are shown of words that run over several.
const MAX_LINES: usize = 6;

/// A line with the matched words set apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Marked {
    /// From 1; in the file, or in the decoded part where one is named.
    pub line: usize,
    /// The part, from 1, whose encoding had to be undone.
    pub part: Option<usize>,
    pub before: String,
    pub matched: String,
    pub after: String,
}

/// A mail in which words are looked for.
pub struct Mail<'a> {
    raw: &'a [u8],
    parts: &'a [PartSeen],
    /// Where the body starts.
    body: usize,
    subject: Option<&'a str>,
}

/// Where to look first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First<'a> {
    /// Behind the recipient's name in the delivery status.
    Status(Option<&'a str>),
    /// Behind the recipient's name in the text.
    Text(Option<&'a str>),
}

impl<'a> Mail<'a> {
    pub fn new(raw: &'a [u8], report: &'a Report, parts: &'a [PartSeen]) -> Mail<'a> {
        let body = parts.iter().map(|part| part.range.start).min().unwrap_or(raw.len());
        Mail { raw, parts, body, subject: report.header.subject.as_deref() }
    }

    /// The lines with the words; none where they don't stand there as they are. What comes back of the original is left out.
    pub fn find(&self, words: &str, first: First<'_>) -> Vec<Marked> {
        let Some(form) = form(words) else { return Vec::new() };
        if let Some(found) = self.place(&form, self.anchor(first)) {
            return lines(self.raw, found, None);
        }
        let decoded = self.parts.iter().enumerate().filter(|(_, part)| part.taken != Taken::Original);
        for (number, part) in decoded {
            if let Some(found) = form.find(part.text.as_bytes()) {
                return lines(part.text.as_bytes(), found.range(), Some(number + 1));
            }
        }
        let subject = self.subject.and_then(|subject| Some((subject, form.find(subject.as_bytes())?)));
        subject
            .map(|(subject, found)| lines(subject.as_bytes(), found.range(), None))
            .unwrap_or_default()
            .into_iter()
            .map(in_subject)
            .collect()
    }

    /// The first place behind the anchor, else in the body, else in the header.
    fn place(&self, form: &Regex, anchor: usize) -> Option<Range<usize>> {
        let original = |found: &Range<usize>| {
            self.parts.iter().any(|part| part.taken == Taken::Original && part.range.start < found.end && found.start < part.range.end)
        };
        let places = || form.find_iter(self.raw).map(|found| found.range()).filter(|found| !original(found));
        places().find(|found| found.start >= anchor).or_else(|| places().find(|found| found.start >= self.body)).or_else(|| places().next())
    }

    fn anchor(&self, first: First<'_>) -> usize {
        let (address, status) = match first {
            First::Status(address) => (address, true),
            First::Text(address) => (address, false),
        };
        let part = self.parts.iter().find(|part| matches!(part.taken, Taken::Status(_)) == status && part.taken != Taken::Original);
        let Some(part) = part else { return self.body };
        let named = address.and_then(|address| RegexBuilder::new(&regex::escape(address)).case_insensitive(true).build().ok());
        let at = named.and_then(|form| form.find(self.raw.get(part.range.clone())?).map(|found| found.start()));
        part.range.start + at.unwrap_or(0)
    }
}

/// Evidence has its white space joined and its control characters taken out.
fn form(words: &str) -> Option<Regex> {
    let words: Vec<String> = words.split_whitespace().map(regex::escape).collect();
    (!words.is_empty()).then(|| RegexBuilder::new(&words.join(r"[\s\x00-\x1f]+")).size_limit(1 << 20).build().ok()).flatten()
}

fn in_subject(mut line: Marked) -> Marked {
    line.before = format!("Subject (decoded): {}", line.before);
    line.line = 0;
    line
}

fn lines(text: &[u8], found: Range<usize>, part: Option<usize>) -> Vec<Marked> {
    let until = |at: usize| text.get(..at).unwrap_or_default();
    let mut number = 1 + until(found.start).iter().filter(|&&b| b == b'\n').count();
    let mut start = until(found.start).iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let mut marked = Vec::new();
    while start < found.end && marked.len() < MAX_LINES {
        let end = text.get(start..).and_then(|rest| rest.iter().position(|&b| b == b'\n')).map_or(text.len(), |at| start + at);
        let (from, to) = (found.start.clamp(start, end), found.end.clamp(start, end));
        let words = |range: Range<usize>| String::from_utf8_lossy(text.get(range).unwrap_or_default()).into_owned();
        let (before, after) = (words(start..from), words(to..end));
        marked.push(Marked {
            line: number,
            part,
            before: last(before.trim_end_matches('\r')),
            matched: words(from..to).trim_end_matches('\r').to_owned(),
            after: after.trim_end_matches('\r').chars().take(BESIDE).collect(),
        });
        (start, number) = (end + 1, number + 1);
    }
    marked
}

fn last(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(BESIDE);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;

    fn found(raw: &str, words: &str, first: First<'_>) -> Vec<(usize, Option<usize>, String, String, String)> {
        let (report, parts) = message::outline(raw.as_bytes());
        let lines = Mail::new(raw.as_bytes(), &report, &parts).find(words, first);
        lines.into_iter().map(|line| (line.line, line.part, line.before, line.matched, line.after)).collect()
    }

    const DSN: &str = "From: MAILER-DAEMON\r\nSubject: User unknown\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n\
        --x\r\n\r\nUser unknown, twice\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n\
        Final-Recipient: rfc822; a@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 User unknown\r\n\r\n\
        Final-Recipient: rfc822; b@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 User\r\n unknown here\r\n\r\n\
        --x\r\nContent-Type: message/rfc822\r\n\r\nSubject: only here\r\n\r\nx\r\n--x--\r\n";

    #[test]
    fn the_words_are_found_where_they_decided() {
        let line = |number: usize, before: &str, matched: &str, after: &str| (number, None, before.into(), matched.into(), after.into());
        assert_eq!(found(DSN, "User unknown", First::Text(None)), [line(7, "", "User unknown", ", twice")]);
        assert_eq!(
            found(DSN, "User unknown", First::Status(Some("a@example.org"))),
            [line(16, "Diagnostic-Code: smtp; 550 ", "User unknown", "")]
        );
        assert_eq!(
            found(DSN, "User unknown", First::Status(Some("B@example.org"))),
            [line(21, "Diagnostic-Code: smtp; 550 ", "User", ""), line(22, "", " unknown", " here")]
        );
        assert!(found(DSN, "only here", First::Text(None)).is_empty());
        assert!(found(DSN, "", First::Text(None)).is_empty());
    }

    #[test]
    fn encoded_words_are_found_in_the_decoded_part() {
        let raw =
            "From: a@example.org\nSubject: =?utf-8?q?Nicht_im_B=C3=BCro?=\nContent-Transfer-Encoding: base64\n\nUG9zdGZhY2gKaXN0IHZvbGwK\n";
        assert_eq!(found(raw, "ist voll", First::Text(None)), [(2, Some(1), "".into(), "ist voll".into(), "".into())]);
        assert_eq!(found(raw, "im Büro", First::Text(None)), [(0, None, "Subject (decoded): Nicht ".into(), "im Büro".into(), "".into())]);
    }
}
