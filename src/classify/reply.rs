//! The SMTP reply inside a diagnostic: reply code, enhanced status codes, and after which command it came.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes;

use super::text::{Text, is_enhanced};

/// The codes that a text bears, in their order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reply {
    /// RFC 5321 reply codes, 4yz and 5yz only.
    pub codes: Vec<String>,
    /// RFC 3463 enhanced status codes.
    pub enhanced: Vec<String>,
}

/// The command that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Greeting, EHLO or MAIL FROM: the server didn't know the recipient yet.
    BeforeRecipient,
    Recipient,
    Content,
}

/// How the field knows the stages: Postfix, Exim, qmail, Yahoo, sendmail and their kin. The comparable form, see [`Text`].
const STAGES: &[(&str, Stage)] = &[
    ("in reply to end of data", Stage::Content),
    ("after end of data", Stage::Content),
    ("after i sent the message", Stage::Content),
    ("in reply to data command", Stage::Content),
    ("after data", Stage::Content),
    ("after pipelined data", Stage::Content),
    ("following data command", Stage::Content),
    ("[data]", Stage::Content),
    ("in reply to rcpt to", Stage::Recipient),
    ("after rcpt to", Stage::Recipient),
    ("after pipelined rcpt to", Stage::Recipient),
    ("following rcpt command", Stage::Recipient),
    ("does not like recipient", Stage::Recipient),
    ("rejected recipient", Stage::Recipient),
    ("[rcpt to]", Stage::Recipient),
    ("in reply to mail from", Stage::BeforeRecipient),
    ("after mail from", Stage::BeforeRecipient),
    ("after pipelined mail from", Stage::BeforeRecipient),
    ("following mail command", Stage::BeforeRecipient),
    ("but sender was rejected", Stage::BeforeRecipient),
    ("[mail from]", Stage::BeforeRecipient),
    ("in reply to helo", Stage::BeforeRecipient),
    ("in reply to ehlo", Stage::BeforeRecipient),
    ("after helo", Stage::BeforeRecipient),
    ("after ehlo", Stage::BeforeRecipient),
    ("refused to talk to me", Stage::BeforeRecipient),
    ("after initial connection", Stage::BeforeRecipient),
    ("but greeting failed", Stage::BeforeRecipient),
    ("but my name was rejected", Stage::BeforeRecipient),
];

static STAGE_WORDS: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(STAGES.iter().map(|(words, _)| words)).ok());

/// Words of which some stand wherever a server refused before it knew the recipient.
pub static BEFORE_RECIPIENT: LazyLock<Option<bytes::Regex>> =
    LazyLock::new(|| bytes::Regex::new(r"(?i-u)mail\s+(?:from|command)|helo|ehlo|sender\s+was|talk\s+to|initial|greeting|name\s+was").ok());

/// Reads the codes. In prose, `strict`, a number is a reply code only where an SMTP reply begins.
pub fn codes(text: &str, strict: bool) -> Reply {
    let mut reply = Reply::default();
    scan(text, strict, |_, run, enhanced| {
        push(if enhanced { &mut reply.enhanced } else { &mut reply.codes }, run);
        true
    });
    reply
}

/// Where the first SMTP reply in prose begins: at its reply code.
pub fn first_code(text: &str) -> Option<usize> {
    let mut first = None;
    scan(text, true, |at, _, enhanced| {
        first = (!enhanced).then_some(at);
        enhanced
    });
    first
}

/// Each code that stands in a text: where, itself, whether it is an enhanced one. Goes on while `found` says so.
fn scan<'t>(text: &'t str, strict: bool, mut found: impl FnMut(usize, &'t str, bool) -> bool) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(start) = bytes.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit)).map(|offset| at + offset) {
        let length = bytes.get(start..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count());
        at = start + length.max(1);
        let Some(run) = text.get(start..at).map(|run| run.trim_end_matches('.')) else { continue };
        let before = text.get(..start).unwrap_or_default();
        let after = text.get(start + run.len()..).unwrap_or_default();
        if is_enhanced(run) && enhanced_stands(run, before) {
            if !found(start, run, true) {
                return;
            }
        } else if is_reply_code(run) && code_stands(before, after, strict) && !found(start, run, false) {
            return;
        }
    }
}

fn push(list: &mut Vec<String>, code: &str) {
    if list.len() < 16 && !list.iter().any(|known| known == code) {
        list.push(code.to_owned());
    }
}

fn is_reply_code(run: &str) -> bool {
    matches!(run.as_bytes(), [b'4' | b'5', b'0'..=b'6', b'0'..=b'9'])
}

/// Not a version number, nor part of a longer word; subjects beyond 7 are assigned to nobody.
fn enhanced_stands(run: &str, before: &str) -> bool {
    let subject = run.split('.').nth(1).and_then(|subject| subject.parse::<u16>().ok()).is_some_and(|subject| subject <= 7);
    let parted = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_'));
    let lead: String = before.trim_end().chars().rev().take(8).collect::<String>().to_ascii_lowercase();
    subject && run.as_bytes().first() != Some(&b'2') && parted && !lead.starts_with("noisrev") && !lead.starts_with("di ptms")
}

fn code_stands(before: &str, after: &str, strict: bool) -> bool {
    let parted =
        after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || matches!(c, '-' | ':' | '\'' | '"' | ',' | ')' | ';' | '.'));
    if !parted || before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '/' | '=' | '_' | '+' | '$' | '@')) {
        return false;
    }
    let next = after.trim_start_matches(['-', ' ', '#', '(']).split(|c: char| c.is_whitespace() || c == ')').next().unwrap_or_default();
    if is_enhanced(next) {
        return true;
    }
    let lead = before.trim_end_matches([' ', '\t']);
    let begins = lead.is_empty()
        || lead.ends_with("<--")
        || lead.ends_with([':', ';', '\'', '"', '(', '<', '[', '>', '#', '\n', '\r'])
        || announces(lead);
    begins || !strict && !lead.ends_with(|c: char| c.is_ascii_digit())
}

/// Words that stand right before a reply code in logs and tables.
fn announces(lead: &str) -> bool {
    let last = lead.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    ["reason", "error", "failed", "code", "returned", "replied", "said", "response", "reply"]
        .iter()
        .any(|word| last.eq_ignore_ascii_case(word))
}

/// After which command the refusal came, where the text says so.
pub fn stage(text: &Text<'_>) -> Option<Stage> {
    // Of several the first in the table.
    let first = STAGE_WORDS.as_ref()?.find_overlapping_iter(text.norm()).map(|found| found.pattern().as_usize()).min()?;
    STAGES.get(first).map(|&(_, stage)| stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_where_replies_do() {
        let cases: &[(&str, bool, &[&str], &[&str])] = &[
            ("550 5.1.1 <a@example.org>: unknown", false, &["550"], &["5.1.1"]),
            ("host mx[192.0.2.5] said: 554-5.7.1 no 554 5.7.1 no", true, &["554"], &["5.7.1"]),
            ("554 4.4.7 Message expired.<421 4.4.2 Connection timed out>", false, &["554", "421"], &["4.4.7", "4.4.2"]),
            ("5.1.0 - Unknown address error 550-'5.2.2 Mailbox Full'", false, &["550"], &["5.1.0", "5.2.2"]),
            ("Sorry, no mailbox here by that name. (#5.1.1)", true, &[], &["5.1.1"]),
            ("#550 5.2.3 RESOLVER.RST.RecipSizeLimit", true, &["550"], &["5.2.3"]),
            ("SMTP Server id 8.2.234.1, [4.3.2.1], version 5.0.1, Exim 4.72", true, &[], &[]),
            ("it holds 500 mails; wait 450 seconds", true, &[], &[]),
            ("250 2.1.5 ok", false, &[], &[]),
            ("", true, &[], &[]),
        ];
        for (text, strict, want, enhanced) in cases {
            let got = codes(text, *strict);
            assert_eq!(
                (got.codes, got.enhanced),
                (want.iter().map(|s| (*s).into()).collect(), enhanced.iter().map(|s| (*s).into()).collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn no_stage_before_the_recipient_is_passed_over() {
        let before = BEFORE_RECIPIENT.as_ref().unwrap();
        for (words, stage) in STAGES {
            assert!(*stage != Stage::BeforeRecipient || before.is_match(words.to_uppercase().as_bytes()), "{words}");
        }
    }

    #[test]
    fn stages() {
        assert_eq!(stage(&Text::new("550 no (in reply to\n MAIL FROM command)")), Some(Stage::BeforeRecipient));
        assert_eq!(stage(&Text::new("SMTP error after RCPT TO:<a@example.org>:")), Some(Stage::Recipient));
        assert_eq!(stage(&Text::new("550 no")), None);
    }
}
