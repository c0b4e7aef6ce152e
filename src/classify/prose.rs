//! The human-readable part of a notice: where it names recipients, and which paragraph speaks of whom.
//!
//! Software has written this part in its own way for forty years. What notices have in common: a failed address stands at the head of a line
//! and its reason follows; or a sentence leads up to it. What a notice returns of the original is cut off first.

use std::{cell::OnceCell, collections::HashSet, sync::LazyLock};

use regex::{Regex, bytes};

use crate::message::Words;

use super::{human, transcript::Transcript};

mod named;

use named::{ADDRESSES, clean};
pub use named::{Named, address_in, addresses};

/// So many recipients are taken from prose.
const MAX_HEADS: usize = 100;
/// So much of one paragraph is kept, in octets.
const MAX_SECTION: usize = 8 * 1024;

/// A recipient at the head of a paragraph, and what follows until the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub address: String,
    pub text: String,
}

/// What somebody wrote.
pub trait Written {
    fn text(&self) -> &str;
    /// Whether a form may stand in it: no more than a hint.
    fn may_have(&self, form: &bytes::Regex) -> bool {
        form.is_match(self.text().as_bytes())
    }
}

impl Written for &str {
    fn text(&self) -> &str {
        self
    }
}

impl Written for Words<'_> {
    fn text(&self) -> &str {
        self
    }

    fn may_have(&self, form: &bytes::Regex) -> bool {
        self.unread().is_none_or(|mut pieces| pieces.any(|piece| form.is_match(piece)))
    }
}

/// The human-readable part. It is read when it is first asked for: where the fields say all, it isn't.
pub struct Prose<'r> {
    written: &'r dyn Written,
    read: OnceCell<Read>,
    named: OnceCell<Named>,
}

#[derive(Debug, Default)]
struct Read {
    human: String,
    sections: Vec<Section>,
    /// Words that stand where an address would, and the reason in brackets after them.
    local_parts: Vec<Section>,
    /// With the lines that are worth nothing as a cause; none where there are no such lines.
    whole: Option<String>,
}

/// The line before an address that isn't the failed one.
static NOT_FAILED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:^\s*to the address|sent by|from|sender|return address|reply-to|contact|postmaster|administrator|absender|expéditeur|remitente|mittente|remetente)\s*[:.]?\s*$").ok()
});

/// What the names of files that are refused end in: they stand alone on a line, too.
const FILES: &[&str] =
    &["zip", "rar", "7z", "exe", "doc", "docx", "docm", "xls", "xlsx", "xlsm", "pdf", "js", "vbs", "scr", "pif", "bat", "cmd", "html"];

/// Software that names its recipients in a line of its own with a label.
static LABEL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:to|recipients?|recipient address|final[- ]recipient|original[- ]recipient|intended recipient|failed recipients?|failed address|failed addresses|addressed to|delivery to|mail to|rcpt to|for|user|address|e-?mail|e-?mail address|empfänger|an|destinations?|destinataire|à|destinatario|para|destinatário|a|odbiorca|do|geadresseerde|aan|till|til|кому|получатель|адрес|宛先|收件人|收件者|받는 사람)[\s.]*[:=]\s*(?:rfc822;|smtp:)?\s*$").ok()
});

/// A line that says no more than who couldn't be reached, as CommuniGate's.
static SENTENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:(?:failed|unable|not able|could not|couldn't|cannot) (?:to )?(?:deliver|send)|(?:non-?)?delivery(?: of [^@]{0,20})? failed|undeliverable)[^@]{0,24} (?:to|for):?$").ok()
});

impl<'r> Prose<'r> {
    pub fn of(written: &'r dyn Written) -> Prose<'r> {
        Prose { written, read: OnceCell::new(), named: OnceCell::new() }
    }

    fn read(&self) -> &Read {
        self.read.get_or_init(|| Read::of(self.written.text()))
    }

    /// Whether it is worth reading for the sake of a form.
    pub fn may_have(&self, form: &bytes::Regex) -> bool {
        self.written.may_have(form)
    }

    /// Without what is returned or quoted.
    pub fn human(&self) -> &str {
        &self.read().human
    }

    pub fn sections(&self) -> &[Section] {
        &self.read().sections
    }

    /// Words that stand alone where an address would: local parts whose domain was taken off, each with the reason in brackets after it.
    pub fn local_parts(&self) -> &[Section] {
        &self.read().local_parts
    }

    /// The addresses in the text.
    pub fn named(&self) -> &Named {
        self.named.get_or_init(|| Named::read(self.read().whole.as_deref().unwrap_or(self.human())))
    }

    /// A local part alone in running text, of which it is said that nobody has it.
    pub fn spoken_of(&self) -> Option<String> {
        named::spoken_of(self.human())
    }

    /// The paragraph about one of `names`.
    pub fn section<S: AsRef<str>>(&self, names: &[S]) -> Option<&str> {
        let theirs = |section: &&Section| names.iter().any(|name| name.as_ref() == section.address);
        self.sections().iter().chain(self.local_parts()).find(theirs).map(|section| section.text.as_str())
    }
}

impl Read {
    fn of(prose: &str) -> Read {
        let mut read = Read::default();
        let human = human::human(prose);
        let guesses = read.sections(&human);
        if guesses.is_empty() {
            return Read { human, ..read };
        }
        let own =
            human.lines().filter(|line| !guesses.contains(line)).fold(String::with_capacity(human.len()), |all, line| all + line + "\n");
        Read { human: own, whole: Some(human), ..read }
    }

    /// Finds the paragraphs. Returns the lines that are worth nothing, see [`Transcript`].
    fn sections<'h>(&mut self, human: &'h str) -> HashSet<&'h str> {
        let mut current: Option<usize> = None;
        let mut before = "";
        let mut list = false;
        let mut transcript = Transcript::default();
        for line in human.lines() {
            if transcript.takes(line) {
                continue;
            }
            let beside = listed(line, before);
            if !beside.is_empty() {
                let new: Vec<String> = beside.into_iter().filter(|one| self.sections.iter().all(|known| known.address != *one)).collect();
                self.sections.extend(new.into_iter().take(MAX_HEADS).map(|address| Section { address, text: String::new() }));
                current = self.sections.len().checked_sub(1);
            } else if let Some((address, rest)) = head(line, before) {
                let known = self.sections.iter().position(|section| section.address == address);
                current = known.or_else(|| {
                    (self.sections.len() < MAX_HEADS).then(|| {
                        self.sections.push(Section { address, text: String::new() });
                        self.sections.len() - 1
                    })
                });
                self.append(current, rest);
            } else {
                let local = alone(line, before, list);
                list = local.is_some() || list && line.trim().is_empty();
                self.local_parts.extend(local.filter(|_| self.local_parts.len() < MAX_HEADS));
                self.append(current, line);
            }
            if !line.trim().is_empty() {
                before = line;
            }
        }
        let alone = self.sections.len() == 1;
        for at in 0..self.sections.len() {
            let name = self.sections.get(at).map(|section| section.address.clone()).unwrap_or_default();
            for line in transcript.lines.iter().filter(|line| alone || line.to_lowercase().contains(&name)) {
                self.append(Some(at), line);
            }
        }
        transcript.guesses
    }

    fn append(&mut self, section: Option<usize>, line: &str) {
        if let Some(section) = section.and_then(|at| self.sections.get_mut(at))
            && section.text.len() + line.len() < MAX_SECTION
        {
            section.text.push_str(line);
            section.text.push('\n');
        }
    }
}

/// The addresses of a line that has several and nothing else, no header's second line.
fn listed(line: &str, before: &str) -> Vec<String> {
    let found: Vec<String> = if line.matches('@').count() > 1 && !before.trim_end().ends_with(',') { addresses(line) } else { Vec::new() };
    let words = line.split([',', ';', ' ', '\t', '<', '>']).filter(|word| !word.is_empty());
    let all = words.clone().count() == found.len() && words.into_iter().all(|word| word.contains('@'));
    if all && found.len() > 1 && !found.iter().any(|one| system_address(one)) { found } else { Vec::new() }
}

/// A line that begins with an address: the address and what follows on the line.
fn head<'a>(line: &'a str, before: &str) -> Option<(String, &'a str)> {
    if !line.as_bytes().contains(&b'@') {
        return None;
    }
    let trimmed = line
        .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—' | '*' | '•' | '·' | '>' | '→' | '|' | '+' | '#'))
        .trim_end();
    let trimmed = unnumbered(trimmed);
    let found = ADDRESSES.as_ref()?.find(trimmed)?;
    let address = clean(found.as_str())?;
    let lead = trimmed.get(..found.start())?;
    let rest = trimmed.get(found.end()..)?;
    let bare = lead.trim_end_matches(['<', '"', '\'', '(', '[', ' ', '\t', '«']);
    let bare = ["mailto:", "smtp:", "rfc822;", "MAILTO:", "SMTP:", "href=\"mailto:"]
        .iter()
        .fold(bare, |bare, word| bare.strip_suffix(word).unwrap_or(bare));
    let bare = bare.trim_end_matches(['<', '"', '\'', '(', '[', ' ']);
    let tail = rest.trim_start_matches(['>', '"', '\'', ')', ']', '»', ' ']);
    if NOT_FAILED.as_ref().is_some_and(|form| form.is_match(before)) && bare.is_empty() && tail.is_empty() {
        return None;
    }
    let ends = tail.is_empty()
        || tail.starts_with([':', ';', ',', '.', '(', '<', '-', '–', '—', '=', '|'])
        || tail.starts_with("on ")
        || rest.starts_with("...")
        || rest.starts_with('\t')
        || rest.starts_with("  ")
        || replies(tail);
    let named = bare.contains(char::is_alphabetic)
        && bare.chars().count() <= 60
        && !bare.contains([':', '@', '=', '('])
        && !replies(bare)
        && lead.trim_end().ends_with(['<', '(', '['])
        || lead.ends_with("mailto:");
    let sentence = tail.is_empty() && SENTENCE.as_ref().is_some_and(|form| form.is_match(bare));
    let labelled = sentence
        || LABEL.as_ref().is_some_and(|form| form.is_match(bare.trim_end()))
        || LABEL.as_ref().is_some_and(|form| form.is_match(lead.trim_end_matches(['<', '"'])));
    let fits = if bare.is_empty() { ends } else { (named || labelled) && (tail.is_empty() || tail.starts_with(['<', ':', ';', '('])) };
    (fits && !system_address(&address)).then_some((address, rest.trim_start_matches(['>', '"', '\'', ')', ']', '»', ':', '.', ' '])))
}

/// A line of a list without its number, "1." or "2)".
fn unnumbered(line: &str) -> &str {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = line.len() - rest.len();
    rest.strip_prefix(['.', ')']).filter(|rest| (1..=3).contains(&number) && rest.starts_with(' ')).map_or(line, str::trim_start)
}

/// Whether an SMTP reply stands in the rest of a line.
fn replies(tail: &str) -> bool {
    tail.len() < 1000 && !super::reply::codes(tail, true).codes.is_empty()
}

/// A word alone on its line, or with a reason in brackets after it, where the line before announces recipients or names one of a `list`.
fn alone(line: &str, before: &str, list: bool) -> Option<Section> {
    let bracketed = line.trim().strip_suffix(')').and_then(|line| line.split_once(" ("));
    let (word, reason) = bracketed.unwrap_or((line.trim(), ""));
    let word = word.trim_matches(['<', '>', '"', '\'', ':', ',']);
    let announced = before.trim_end().ends_with(':') && before.trim().len() > 12 || list;
    let fits = (2..=64).contains(&word.len())
        && !word.contains(['@', '/', '\\', ':', '=', '*', '-'])
        && word.chars().all(|c| super::text::is_local(c) && !super::text::wide(c));
    let file = word.rsplit_once('.').is_some_and(|(_, kind)| FILES.iter().any(|known| kind.eq_ignore_ascii_case(known)));
    (announced && fits && !file && word.contains(char::is_alphabetic))
        .then(|| Section { address: word.to_lowercase(), text: reason.to_owned() })
}

/// Local parts of mail systems, and of those who help.
const SYSTEM: &[&str] = &[
    "mailer-daemon",
    "mailerdaemon",
    "mail-daemon",
    "mailer_daemon",
    "maildaemon",
    "mdaemon",
    "postmaster",
    "post_master",
    "post-master",
    "delist",
];

/// Local parts of those who help: seldom who failed, unless nobody else is named.
const ROLES: &[&str] = &["hostmaster", "helpdesk", "support", "noreply", "no-reply", "root"];

/// An address of the mail system itself, or of those who help.
pub fn system_address(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default();
    SYSTEM.contains(&local)
        || role_address(address)
        || local.starts_with("abuse")
        || local.starts_with("mailer-daemon")
        || local.starts_with("postmaster")
}

/// An address of those who help.
pub fn role_address(address: &str) -> bool {
    ROLES.contains(&address.split('@').next().unwrap_or_default())
}

pub fn distinct(list: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    list.into_iter().filter(|one| seen.insert(one.clone())).collect()
}

#[cfg(test)]
mod tests;
