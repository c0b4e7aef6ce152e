//! Addresses, and local parts alone, in running text.

use std::sync::LazyLock;

use regex::Regex;

use super::{MAX_HEADS, MAX_SECTION, distinct};
use crate::{address, classify::text::cut};

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

const ADDRESS: &str =
    r#"(?:"[^"\r\n@]+"|[\p{L}\p{N}._+=%&#*!~^$'?{}/\-]+)@(?:[\p{L}\p{N}]+(?:(?:\.|-+)[\p{L}\p{N}]+)*|\[[0-9]{1,3}(?:\.[0-9]{1,3}){3}\])"#;

pub static ADDRESSES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(ADDRESS).ok());

pub static COMMAND: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!(r"(?i)(?-u:\b)rcpt\s+to:?\s*<?({ADDRESS})")).ok());

/// Words that lead up to a failed address, in the languages of common software.
pub static LEADS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let english = r"(?:message|mail|e-?mail|letter|delivery|delivered|deliver|sent|recipients?|address(?:es)?|addressed|list|group|user|mailbox|account|addressee|inbox|relayed|rejected recipient|reach)(?:\(s\))?(?:\s+(?:to|for|of|address|is|was|named|recipient|called|it|following|the|a|your|this|user|at))*";
    let others = r"(?:nachricht|e-mail|empfänger|empfängers|adresse|adresser|an|message|destinataire|à|destinatario|destinatário|dirección|correo|para|a|indirizzo|per|casella|endereço|geadresseerde|ontvanger|adres|aan|naar|odbiorca|odbiorcy|adresat|do|adresa|příjemce|címzett|mottagare|modtager|till|til|vastaanottaja|alıcı|adresu|адрес|адресу|адресат|адресату|получатель|получателю|получателя|для|ящик|dla|до|προς|宛先|宛て|アドレス|收件人|收件者|地址|받는 사람|수신자)";
    Regex::new(&format!(r#"(?i)(?:^|[\s("'\[:])(?:{english}|{others})(?:\s*[:=-]+\s*|\s+|[<"'(\[«「])[<"'(\[«「]*\s*(?:mailto:|smtp:|rfc822;)?\s*({ADDRESS})"#))
        .ok()
});

/// Words that lead up to the address of somebody who can help.
pub static HELPERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = r"(?P<tried>tried to |attempted to )?(?:forward|contact|report|write|appeal|questions?|assistance|help|removal|removed|delist\w*|unblock\w*|information)";
    Regex::new(&format!(r"(?i)(?-u:\b){words}(?-u:\b)[^@.:;\n]{{0,60}}[\s<(\[:](?P<helper>{ADDRESS})")).ok()
});

pub static JSON: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!(r#"(?i)"?emailAddress\\*"\s*:\s*\\*"({ADDRESS})"#)).ok());

/// A local part in a sentence that says that nobody has it.
pub static LOCAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let who = "user|mailbox|account|recipient|alias|benutzer|postfach|utilisateur|usuario|utente|gebruiker";
    let word = r#"["'<(]?([a-z][a-z0-9._+-]{1,63})["'>)]?"#;
    let gone = "not found|not known|unknown|not exist|doesn't exist|unbekannt|existiert nicht|inconnu|desconocido|sconosciuto|onbekend";
    let full = r"full|overfull|over quota|over its quota|over limit|exceeded|unavailable|disabled|inactive|suspended|voll|pleine?|llen[oa]|piena|cheia|vol";
    let of = r"(?:mailbox|inbox|mail ?folder|account|mail ?quota|quota|postfach|bo[iî]te|buz[oó]n|casilla|casella|caixa|postbus)\s+(?:of|for|von|de|di|do|van)\s+(?:user\s+)?";
    Regex::new(&format!(
        r"(?im)(?-u:\b)(?:{of}{word}\s+(?:(?:is|has been|has|was|ist|est|est[aá]|è)\s+)?(?:temporarily\s+|currently\s+)?(?:{full})(?-u:\b)|(?:user|account|mailbox)\s+{word}\s+(?:is|has)\s+(?:over quota|over its quota|over the quota|full|exceeded (?:its|the|his|her|their) quota)(?-u:\b)|(?:{who})\s+{word}\s+(?:(?:is|was|does|ist|est|es)\s+)?(?:{gone})(?-u:\b)|(?:unknown|no such)\s+(?:{who})\s*:\s*{word}\s*[.!]?\s*$)"
    ))
    .ok()
});

/// Words that stand there and are nobody's name.
const NOBODY: &[&str] = &[
    "account", "name", "is", "was", "has", "mailbox", "address", "unknown", "not", "of", "in", "at", "on", "the", "for", "here", "id",
    "you", "your", "that", "this", "user", "domain", "server", "database", "table", "list", "and", "or", "with", "by", "from", "to",
    "does", "agent",
];

impl Named {
    pub fn read(human: &str) -> Named {
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
        let mut named = Named {
            commanded: distinct(captures(&COMMAND)),
            introduced: captures(&JSON).into_iter().chain(captures(&LEADS)).filter(|one| !helpers.contains(one)).collect(),
            mentioned: addresses(human),
        };
        let several = named.mentioned.len() > 1;
        let others: Vec<String> = named.mentioned.iter().take(MAX_BESIDE).filter(|one| several && beside(human, one)).cloned().collect();
        named.mentioned.retain(|one| !helpers.contains(one));
        if named.mentioned.iter().any(|one| !others.contains(one)) {
            named.introduced.retain(|one| !others.contains(one));
            named.mentioned.retain(|one| !others.contains(one));
        }
        Named { introduced: distinct(named.introduced), ..named }
    }
}

/// Words right before an address that make it the sender's, or the one that somebody has now.
const BESIDE: &[&str] =
    &["from", "sender", "von", "absender", "från", "fra", "od", "от", "remitente", "mittente", "remetente", "expéditeur", "nadawca", "由"];
const NEW: &[&str] =
    &["new", "neue", "neuer", "nouvelle", "nueva", "nuevo", "nuovo", "nova", "novo", "nieuwe", "nieuw", "nya", "nye", "nowy", "новый"];

/// So many addresses are looked at for the words before them.
const MAX_BESIDE: usize = 8;

/// Whether the first mention of an address is of the sender, or of a new address: they count only where nobody else is named.
fn beside(human: &str, address: &str) -> bool {
    const WORDS: usize = 60;
    let Some(at) = find_folded(human, address) else { return false };
    let before = human.get(..at).unwrap_or_default();
    let tail = before.char_indices().rev().take(WORDS).last().and_then(|(from, _)| before.get(from..)).unwrap_or_default().to_lowercase();
    let line = tail.rsplit(['.', '!', '?']).next().unwrap_or_default();
    let mut words = line.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).rev();
    let last = words.next().unwrap_or_default();
    let after = human.get(at + address.len()..).unwrap_or_default().trim_start_matches(['>', ' ', '」']);
    BESIDE.contains(&last) || after.starts_with("から") || words.take(3).any(|word| NEW.contains(&word))
}

/// Where a text in lower case stands in another, whatever the case of its ASCII letters.
fn find_folded(text: &str, wanted: &str) -> Option<usize> {
    let first = wanted.as_bytes().first()?;
    let fits = |at: usize| text.as_bytes().get(at..at + wanted.len()).is_some_and(|here| here.eq_ignore_ascii_case(wanted.as_bytes()));
    text.bytes().enumerate().filter(|(_, b)| b.eq_ignore_ascii_case(first)).map(|(at, _)| at).find(|&at| fits(at))
}

/// The local part that a sentence says nobody has.
pub fn spoken_of(human: &str) -> Option<String> {
    let found = LOCAL.as_ref()?.captures(cut(human, MAX_SECTION))?;
    let word = found.iter().skip(1).flatten().next()?.as_str().trim_end_matches(['.', '-', '_']).to_lowercase();
    (word.len() > 1 && !NOBODY.contains(&word.as_str())).then_some(word)
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

/// As it is compared; `None` for what is none.
pub fn clean(found: &str) -> Option<String> {
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
