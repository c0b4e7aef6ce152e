//! The human-readable part of a notice: where it names recipients, and which paragraph speaks of whom.
//!
//! Software has written this part in its own way for forty years. What notices have in common: a failed address stands at the head of a line
//! and its reason follows; or a sentence leads up to it. What a notice returns of the original is cut off first.

use std::{cell::OnceCell, collections::HashSet, sync::LazyLock};

use regex::Regex;

use crate::address;

use super::{human, text::cut, transcript::Transcript};

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

/// The human-readable part, read.
#[derive(Debug, Default)]
pub struct Prose {
    /// Without what is returned or quoted.
    pub human: String,
    pub sections: Vec<Section>,
    /// Words that stand alone where an address would: a local part whose domain was taken off.
    pub local_parts: Vec<String>,
    /// With the lines that are worth nothing as a cause; none where there are no such lines.
    whole: Option<String>,
    named: OnceCell<Named>,
}

/// Addresses in running text, in normal form, each once. Looked for only where fields and heads of paragraphs name nobody.
#[derive(Debug, Default)]
pub struct Named {
    /// Those that an SMTP `RCPT TO` names.
    pub commanded: Vec<String>,
    /// Those that a sentence leads up to.
    pub introduced: Vec<String>,
    /// Any others.
    pub mentioned: Vec<String>,
}

const ADDRESS: &str = r#"(?:"[^"\r\n@]+"|[\p{L}\p{N}._+=%&#*!~^$'?{}/\-]+)@[\p{L}\p{N}]+(?:(?:\.|-+)[\p{L}\p{N}]+)*"#;

static ADDRESSES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(ADDRESS).ok());

static COMMAND: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!(r"(?i)(?-u:\b)rcpt\s+to:?\s*<?({ADDRESS})")).ok());

/// Words that lead up to a failed address, in the languages of common software.
static LEADS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let english = r"(?:message|mail|e-?mail|letter|delivery|delivered|deliver|sent|recipients?|address(?:es)?|addressed|list|group|user|mailbox|account|addressee|inbox|relayed|rejected recipient|reach)(?:\(s\))?(?:\s+(?:to|for|of|address|is|was|named|recipient|called|it|following|the|a|your|this|user|at))*";
    let others = r"(?:nachricht|e-mail|empfänger|empfängers|adresse|adresser|an|message|destinataire|à|destinatario|destinatário|dirección|correo|para|a|indirizzo|per|casella|endereço|geadresseerde|ontvanger|adres|aan|naar|odbiorca|odbiorcy|adresat|do|adresa|příjemce|címzett|mottagare|modtager|till|til|vastaanottaja|alıcı|adresu|адрес|адресу|адресат|адресату|получатель|получателю|получателя|для|ящик|宛先|宛て|アドレス|收件人|收件者|地址|받는 사람|수신자)";
    Regex::new(&format!(r#"(?i)(?:^|[\s("'\[:])(?:{english}|{others})(?:\s*[:=-]+\s*|\s+|[<"'(\[«「])[<"'(\[«「]*\s*(?:mailto:|smtp:|rfc822;)?\s*({ADDRESS})"#))
        .ok()
});

/// Words that lead up to the address of somebody who can help.
static HELPERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = r"(?P<tried>tried to |attempted to )?(?:forward|contact|report|write|appeal|questions?|assistance|help|removal|removed|delist\w*|unblock\w*|information)";
    Regex::new(&format!(r"(?i)(?-u:\b){words}(?-u:\b)[^@.:;\n]{{0,60}}[\s<(\[:](?P<helper>{ADDRESS})")).ok()
});

static JSON: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!(r#"(?i)"?emailAddress\\*"\s*:\s*\\*"({ADDRESS})"#)).ok());

/// The line before an address that isn't the failed one.
static NOT_FAILED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:^\s*to the address|sent by|from|sender|return address|reply-to|contact|postmaster|administrator|absender|expéditeur|remitente|mittente|remetente)\s*[:.]?\s*$").ok()
});

/// What the names of files that are refused end in: they stand alone on a line, too.
const FILES: &[&str] =
    &["zip", "rar", "7z", "exe", "doc", "docx", "docm", "xls", "xlsx", "xlsm", "pdf", "js", "vbs", "scr", "pif", "bat", "cmd", "html"];

/// A local part in a sentence that says that nobody has it.
static LOCAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let who = "user|mailbox|account|recipient|alias|benutzer|postfach|utilisateur|usuario|utente|gebruiker";
    let word = r#"["'<(]?([a-z][a-z0-9._+-]{1,63})["'>)]?"#;
    let gone = "not found|not known|unknown|not exist|doesn't exist|unbekannt|existiert nicht|inconnu|desconocido|sconosciuto|onbekend";
    Regex::new(&format!(
        r"(?im)(?-u:\b)(?:(?:{who})\s+{word}\s+(?:(?:is|was|does|ist|est|es)\s+)?(?:{gone})(?-u:\b)|(?:unknown|no such)\s+(?:{who})\s*:\s*{word}\s*[.!]?\s*$)"
    ))
    .ok()
});

/// Words that stand there and are nobody's name.
const NOBODY: &[&str] = &[
    "account", "name", "is", "was", "has", "mailbox", "address", "unknown", "not", "of", "in", "at", "on", "the", "for", "here", "id",
    "you", "your", "that", "this", "user", "domain", "server", "database", "table", "list", "and", "or", "with", "by", "from", "to",
    "does", "agent",
];

/// Software that names its recipients in a line of its own with a label.
static LABEL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:to|recipients?|recipient address|final[- ]recipient|original[- ]recipient|intended recipient|failed recipients?|failed address|failed addresses|addressed to|delivery to|mail to|rcpt to|for|user|address|e-?mail|e-?mail address|empfänger|an|destinataire|à|destinatario|para|destinatário|a|odbiorca|do|geadresseerde|aan|till|til|кому|получатель|адрес|宛先|收件人|收件者|받는 사람)\s*[:=]\s*(?:rfc822;|smtp:)?\s*$").ok()
});

/// A line that says no more than who couldn't be reached, as CommuniGate's.
static SENTENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:(?:failed|unable|not able|could not|couldn't|cannot) (?:to )?(?:deliver|send)|(?:non-?)?delivery(?: of [^@]{0,20})? failed|undeliverable)[^@]{0,24} (?:to|for):?$").ok()
});

impl Prose {
    pub fn read(prose: &str) -> Prose {
        let mut read = Prose::default();
        let human = human::human(prose);
        let guesses = read.sections(&human);
        if guesses.is_empty() {
            return Prose { human, ..read };
        }
        let own =
            human.lines().filter(|line| !guesses.contains(line)).fold(String::with_capacity(human.len()), |all, line| all + line + "\n");
        Prose { human: own, whole: Some(human), ..read }
    }

    /// The addresses in the text, found when they are first asked for.
    pub fn named(&self) -> &Named {
        self.named.get_or_init(|| Named::read(self.whole.as_deref().unwrap_or(&self.human)))
    }

    /// A local part alone in running text, of which it is said that nobody has it.
    pub fn spoken_of(&self) -> Option<String> {
        let found = LOCAL.as_ref()?.captures(cut(&self.human, MAX_SECTION))?;
        let word = found.get(1).or_else(|| found.get(2))?.as_str().trim_end_matches(['.', '-', '_']).to_lowercase();
        (word.len() > 1 && !NOBODY.contains(&word.as_str())).then_some(word)
    }

    /// The paragraph about one of `names`.
    pub fn section(&self, names: &[&str]) -> Option<&Section> {
        self.sections.iter().find(|section| names.contains(&section.address.as_str()))
    }
    /// Finds the paragraphs. Returns the lines that are worth nothing, see [`Transcript`].
    fn sections<'h>(&mut self, human: &'h str) -> HashSet<&'h str> {
        let mut current: Option<usize> = None;
        let mut before = "";
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
                if let Some(local) = alone(line, before) {
                    self.local_parts.push(local);
                }
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

impl Named {
    fn read(human: &str) -> Named {
        if !human.contains('@') {
            return Named::default();
        }
        let captures = |form: &LazyLock<Option<Regex>>| -> Vec<String> {
            let Some(form) = form.as_ref() else { return Vec::new() };
            form.captures_iter(human).filter_map(|found| clean(found.get(1)?.as_str())).take(MAX_HEADS).collect()
        };
        let helpers: Vec<String> = HELPERS
            .iter()
            .flat_map(|form| form.captures_iter(human))
            .filter(|found| found.name("tried").is_none())
            .filter_map(|found| clean(found.name("helper")?.as_str()))
            .take(MAX_HEADS)
            .collect();
        let strange = |list: Vec<String>| -> Vec<String> { distinct(list.into_iter().filter(|one| !helpers.contains(one)).collect()) };
        Named {
            commanded: distinct(captures(&COMMAND)),
            introduced: strange(captures(&JSON).into_iter().chain(captures(&LEADS)).collect()),
            mentioned: strange(addresses(human)),
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
    let trimmed =
        line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '*' | '•' | '·' | '>' | '→' | '|' | '+' | '#')).trim_end();
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
        || tail.starts_with([':', ';', ',', '.', '(', '<', '-', '–', '=', '|'])
        || tail.starts_with("on ")
        || rest.starts_with("...")
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

/// A word alone on its line after a line that announces recipients.
fn alone(line: &str, before: &str) -> Option<String> {
    let word = line.trim().trim_matches(['<', '>', '"', '\'', ':', ',']);
    let announced = before.trim_end().ends_with(':') && before.trim().len() > 12;
    let fits = (2..=64).contains(&word.len())
        && !word.contains(['@', '/', '\\', ':', '=', '*', '-'])
        && word.chars().all(|c| super::text::is_local(c) && !super::text::wide(c));
    let file = word.rsplit_once('.').is_some_and(|(_, kind)| FILES.iter().any(|known| kind.eq_ignore_ascii_case(known)));
    (announced && fits && !file && word.contains(char::is_alphabetic)).then(|| word.to_lowercase())
}

/// Addresses in a text, in normal form, each once.
pub fn addresses(text: &str) -> Vec<String> {
    let Some(form) = ADDRESSES.as_ref() else { return Vec::new() };
    distinct(form.find_iter(text).take(MAX_HEADS * 4).filter_map(|found| clean(found.as_str())).collect())
}

/// The first address in a field that should be one, whatever stands round it; here a domain needs no dot.
pub fn address_in(field: &str) -> Option<String> {
    let field = field.trim();
    address::normal(field)
        .or_else(|| ADDRESSES.as_ref()?.find(cut(field, 2048)).and_then(|found| address::normal(found.as_str().trim_matches('\''))))
}

fn clean(found: &str) -> Option<String> {
    let bare = found.trim_matches(['\'', '.', '*', '#', '/', '=', '?', '!', '&']);
    // The key of a log line is no part of the address that it names.
    let bare = match bare.split_once('=') {
        Some((key, value)) if KEYS.contains(&key.to_ascii_lowercase().as_str()) && value.contains('@') => value,
        _ => bare,
    };
    let address = address::normal(bare)?;
    let (local, domain) = address::split(&address)?;
    let dotted = domain.contains('.') && !domain.ends_with(|c: char| c.is_ascii_digit());
    (dotted && !local.contains("//")).then_some(address)
}

/// What logs and programs write before a recipient.
const KEYS: &[&str] = &["to", "rcpt", "rcpt_to", "recipient", "recip", "orig_to", "orcpt", "addr"];

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
