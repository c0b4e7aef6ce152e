//! Where in a text the returned original begins: a line that says so, or a mail header that stands there.
//!
//! Linear: each line is looked at once, with a short look ahead.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

use super::fields;

/// A text of a bounce, divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// The line at which the bounce's own words end.
    pub at: usize,
    /// The line at which the original's header begins.
    pub header: usize,
}

/// So many lines may stand between the separator and the header.
const LOOK_AHEAD: usize = 8;
/// So many lines of a header are looked at to know it.
const HEADER_LINES: usize = 60;

/// Finds the returned original.
pub fn find(lines: &[&str]) -> Option<Cut> {
    let mut own_fields = 0;
    for (at, line) in lines.iter().enumerate() {
        if let Some(decorated) = announces(line)
            && let Some(cut) = announced(lines, at, decorated)
        {
            return Some(cut);
        }
        // Within one run of field lines only its first can begin a header.
        if field_name(line.trim_start()).is_none() {
            if !line.starts_with([' ', '\t']) {
                own_fields = 0;
            }
            continue;
        }
        own_fields += 1;
        if own_fields == 1 {
            let block = block(lines, at);
            if block.is_header() && !(block.summary && report_goes_on(lines, block.end)) {
                return Some(Cut { at, header: at });
            }
        }
    }
    None
}

/// Some notices (Sun's, PMDF's) cite a few fields of the original before they say whom they couldn't reach and why.
fn report_goes_on(lines: &[&str], from: usize) -> bool {
    const WORDS: [&str; 6] = ["deliver", "recipient", "reason", "diagnostic", "undeliverable", "failed"];
    let says = |line: &&&str| {
        let line = line.to_ascii_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    };
    lines.iter().skip(from).take(LOOK_AHEAD * 2).filter(says).count() >= 2
}

/// Whether a text is a mail header from its first line on.
pub fn is_mail_header(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().skip_while(|line| line.trim().is_empty() || line.starts_with("From ")).take(HEADER_LINES).collect();
    let block = block(&lines, 0);
    block.is_header() || block.known >= 3
}

fn announced(lines: &[&str], at: usize, decorated: bool) -> Option<Cut> {
    let after = lines.iter().enumerate().skip(at + 1).take(LOOK_AHEAD);
    let header = after.filter(|(_, line)| !is_filler(line)).map(|(at, _)| at).next();
    let known = header.map_or(0, |header| block(lines, header).known);
    let enough = if decorated { 0 } else { 1 };
    (known >= enough).then(|| Cut { at, header: header.unwrap_or(at + 1) })
}

/// A line between separator and header that says nothing: blank, a rule, an mbox line, or the header of a part.
fn is_filler(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.chars().all(is_decoration) || line.starts_with("From ") || line.starts_with("--")
}

fn is_decoration(c: char) -> bool {
    matches!(c, '-' | '=' | '_' | '*' | '#' | '|' | '~' | '+' | '.' | '[' | ']' | '>' | '<' | ' ' | '\t' | '─' | '—')
}

/// Whether a line says that the original follows; `Some(true)` where rules stand round it, so that it can't be running text.
fn announces(line: &str) -> Option<bool> {
    let line = line.trim();
    if line.len() > 160 {
        return None;
    }
    let words = line.trim_matches(is_decoration);
    if words.len() < 6 {
        return None;
    }
    let decorated =
        line.starts_with("--") || line.starts_with("==") || line.starts_with("**") || line.starts_with("__") || line.starts_with("|--");
    let (strong, stands_out) = (strong().is_match(words), (decorated || line.ends_with([':', '：'])) && words.len() < 100);
    if !strong && !stands_out {
        return None;
    }
    let words = words.to_lowercase();
    let says = strong && english().is_match(&words) || stands_out && ELSEWHERE.iter().any(|phrase| words.contains(phrase));
    says.then_some(decorated)
}

/// Words without which a line about a message could be anything ("Your message").
#[expect(clippy::expect_used, reason = "constant words, compiled by every test")]
fn strong() -> &'static AhoCorasick {
    static STRONG: OnceLock<AhoCorasick> = OnceLock::new();
    STRONG.get_or_init(|| {
        let words = [
            "original",
            "returned",
            "undeliver",
            "unsent",
            "copy",
            "follow",
            "below",
            "header",
            "rejected",
            "bounced",
            "failed",
            "forwarded",
        ];
        let kind = Some(AhoCorasickKind::DFA);
        AhoCorasick::builder().ascii_case_insensitive(true).kind(kind).build(words).expect("constant words")
    })
}

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test")]
fn english() -> &'static Regex {
    static ENGLISH: OnceLock<Regex> = OnceLock::new();
    ENGLISH.get_or_init(|| {
        Regex::new(concat!(
            r"^(?:(?:below this line|this|below|here|enclosed|included|attached|what follows|the following|following|from here)(?:,? below)?,? (?:is|are|just) )?",
            r"(?:just )?(?:an? |the )?",
            r"(?:(?:(?:full |complete |partial )?copy|first (?:part|lines|\d+ \w+)|beginning|start|text|contents?|headers?|body)(?: and \w+)? of )*",
            r"(?:the |your |that |an? )?",
            r"(?:(?:original|returned|undelivered|undeliverable|unsent|rejected|bounced|failed|offending|forwarded|message|mail|e-?mail) )*",
            r"(?:message|mail|e-?mail|msg|headers?|letter|text|body)(?:'s)?",
            r"(?: (?:headers?|text|body|copy|source|contents?))?",
            r"(?:,? (?:including|with) (?:all )?(?:the |its |full )*headers?)?",
            r"(?: (?:(?:is|are) )?(?:as )?(?:follows?|following|below|(?:starts|begins|goes) here))*\s*[.:]*$"
        ))
        .expect("a constant pattern")
    })
}

/// The same in other languages, as mail programs and Exchange write it.
const ELSEWHERE: [&str; 36] = [
    "ursprüngliche nachricht",
    "urspruengliche nachricht",
    "original-nachricht",
    "originalnachricht",
    "kopfzeilen der",
    "nachrichtenkopfzeilen",
    "kopie der nachricht",
    "kopie ihrer nachricht",
    "message d'origine",
    "message d’origine",
    "message original",
    "message initial",
    "en-têtes",
    "copie du message",
    "mensaje original",
    "encabezados de",
    "copia del mensaje",
    "messaggio originale",
    "intestazioni",
    "copia del messaggio",
    "mensagem original",
    "cabeçalhos",
    "cópia da mensagem",
    "oorspronkelijk bericht",
    "oorspronkelijke bericht",
    "berichtkoppen",
    "originalmeddelande",
    "oprindelig meddelelse",
    "opprinnelig melding",
    "oryginalna wiadomość",
    "исходное сообщение",
    "заголовки сообщения",
    "原始邮件",
    "原始郵件",
    "元のメッセージ",
    "원본 메시지",
];

/// What stands at a line, taken as the start of a header.
#[derive(Debug, Default)]
struct Block {
    /// Distinct fields of mails.
    known: usize,
    /// Fields that only a mail's real header has, never a summary for people.
    transport: usize,
    /// Of those it has the message id alone.
    summary: bool,
    /// The line after it.
    end: usize,
}

impl Block {
    fn is_header(&self) -> bool {
        self.transport >= 1 && self.known >= 3
    }
}

fn block(lines: &[&str], at: usize) -> Block {
    let Some(first) = lines.get(at) else { return Block::default() };
    let indent = first.len() - first.trim_start().len();
    let mut seen: Vec<&str> = Vec::new();
    let mut found = Block { end: at, ..Block::default() };
    for line in lines.iter().skip(at).take(HEADER_LINES) {
        let own = line.get(indent..).filter(|_| line.len() > indent && line.get(..indent).is_some_and(|lead| lead.trim().is_empty()));
        let Some(own) = own else { break };
        if own.starts_with([' ', '\t']) && !seen.is_empty() {
            found.end += 1;
            continue;
        }
        let Some(name) = field_name(own) else { break };
        found.end += 1;
        if seen.iter().any(|old| old.eq_ignore_ascii_case(name)) {
            continue;
        }
        seen.push(name);
        let lower = name.to_ascii_lowercase();
        let transport = fields::is_transport_field(&lower);
        found.transport += usize::from(transport);
        found.known += usize::from(fields::is_mail_field(&lower));
        found.summary |= lower == "message-id";
    }
    found.summary &= found.transport == 1;
    found
}

fn field_name(line: &str) -> Option<&str> {
    let (name, _) = fields::split_field(line.as_bytes())?;
    line.get(..name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_announce_the_original() {
        for (line, expected) in [
            ("--- Below this line is a copy of the message.", Some(true)),
            ("------ This is a copy of the message, including all the headers. ------", Some(true)),
            ("------ This is a copy of your message, including all the headers. ------", Some(true)),
            ("   ----- Original message follows -----", Some(true)),
            ("   ----- Message header follows -----", Some(true)),
            ("   ----- Unsent message follows -----", Some(true)),
            ("----- Original message -----", Some(true)),
            ("------- Returned Message --------", Some(true)),
            ("--- Enclosed is a copy of the message.", Some(true)),
            ("--- The header of the original message is following. ---", Some(true)),
            ("|------------------------- Message text follows: ------------------------|", Some(true)),
            ("-----Ursprüngliche Nachricht-----", Some(true)),
            ("Message headers follow.", Some(false)),
            ("Original message follows.", Some(false)),
            ("Original message headers:", Some(false)),
            ("Included is a copy of the message header:", Some(false)),
            ("Original mail as follows:", Some(false)),
            ("En-têtes de message d'origine :", Some(false)),
            ("   ----- Transcript of session follows -----", None),
            ("   ----- The following addresses had permanent fatal errors -----", None),
            ("Your message", None),
            ("The original message was received at Mon, 23 Nov 2026 05:49:30 GMT", None),
            ("Your message could not be delivered to one or more recipients. It's attached below.", None),
        ] {
            assert_eq!(announces(line), expected, "{line}");
        }
    }

    #[test]
    fn a_header_is_found_without_an_announcement() {
        let text = "No such user.\n\n  Received: from a by b;\n    Mon\n  From: x@example.org\n  Subject: y\n\n  body";
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(find(&lines), Some(Cut { at: 2, header: 2 }));
        let summary = "Your message\n\n  To: a@example.org\n  Subject: y\n  Sent: today\n\ndid not reach the following recipient(s):";
        assert_eq!(find(&summary.lines().collect::<Vec<_>>()), None);
    }
}
