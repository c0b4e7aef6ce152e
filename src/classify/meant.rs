//! Of whom a sentence says that he doesn't exist.
//!
//! "Does not exist" is said of senders and of domains with the words that are said of recipients, and those are what the tables know. Whose
//! noun stands nearest before them in the same clause tells it: "il mittente non esiste", "domena odbiorcy nie istnieje". English has rows of
//! its own beside this. Where no noun is known, nothing is told. Linear, a few dozen octets for each hit.
//!
//! The nouns stand in `nouns.toml`. It is part of the program and checked by its tests; should it not read nevertheless, nobody else is ever meant.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};
use serde::Deserialize;

use super::text::{ending, folded, wide};

/// So many octets before a hit may belong to its clause.
const REACH: usize = 64;
/// So many octets may part a sender's noun from what is said of it.
const APART: usize = 24;
/// So many octets may part a domain from whose it is: an article, an ending.
const GENITIVE: usize = 14;

/// Who is meant where it isn't the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    Sender,
    Domain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Noun {
    Sender,
    Recipient,
    User,
    Domain,
}

/// One row of `nouns.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    of: Noun,
    begins: Vec<String>,
}

/// What tells that something is not the sender's, but was given by him or goes back to him.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    before: Vec<String>,
    after: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NounFile {
    noun: Vec<Row>,
    given: Given,
}

/// All nouns, compiled.
struct Nouns {
    words: Option<AhoCorasick>,
    /// Of each word.
    of: Vec<Noun>,
    given: Given,
}

const NOUNS: &str = include_str!("nouns.toml");

static TABLE: LazyLock<Nouns> = LazyLock::new(|| Nouns::compile(toml::from_str(NOUNS).unwrap_or_default()));

impl Nouns {
    fn compile(file: NounFile) -> Nouns {
        let folds = |words: &[String]| words.iter().map(|word| folded(word)).collect();
        let words = file.noun.iter().flat_map(|row| &row.begins).map(|word| folded(word));
        Nouns {
            words: AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(words).ok(),
            of: file.noun.iter().flat_map(|row| row.begins.iter().map(|_| row.of)).collect(),
            given: Given { before: folds(&file.given.before), after: folds(&file.given.after) },
        }
    }
}

impl Given {
    /// Whether it stands around a sender's noun.
    fn stands(&self, before: &str, after: &str) -> bool {
        let ends = |words: &str| {
            let before = if words.ends_with('\'') { Some(before) } else { before.strip_suffix(' ') };
            before.and_then(|before| before.strip_suffix(words)).is_some_and(|rest| !rest.ends_with(char::is_alphanumeric))
        };
        self.before.iter().any(|words| ends(words)) || self.after.iter().any(|word| after.contains(word))
    }
}

/// A noun that stands in a clause.
struct Found {
    noun: Noun,
    at: Range<usize>,
    /// What English has, too.
    english: bool,
}

/// Who else is meant by words at `hit`, in the comparable form, that say of a recipient that he is gone.
pub fn another(norm: &str, hit: &Range<usize>) -> Option<Other> {
    let start = clause(norm, hit.start);
    let clause = norm.get(start..hit.end)?;
    let hit = hit.start.checked_sub(start)?;
    let found = nouns(clause);
    let person = found.iter().rev().find(|one| one.noun != Noun::Domain);
    if let Some(one) = person.filter(|one| one.noun == Noun::Sender) {
        let (before, after) = (clause.get(..one.at.start).unwrap_or_default(), clause.get(one.at.end..).unwrap_or_default());
        let not_his = TABLE.given.stands(before, after);
        return (!not_his && hit.saturating_sub(one.at.end) <= APART).then_some(Other::Sender);
    }
    let domain = found.iter().rev().find(|one| one.noun == Noun::Domain)?;
    let is_meant = match person {
        // "the recipient's domain", but not "the recipient in the domain"
        Some(person) if person.at.end <= domain.at.start => {
            let between = clause.get(person.at.end..domain.at.start).unwrap_or_default();
            let ending = between.trim_end();
            !ending.contains(' ') && ending.len() <= GENITIVE && hit.saturating_sub(domain.at.end) <= GENITIVE
        }
        // "the domain of the recipient", but not "in the domain unknown recipient"
        Some(person) => {
            let turned = domain.at.end <= hit && hit + 4 < person.at.start;
            person.noun == Noun::Recipient && person.at.start - domain.at.end <= GENITIVE && !turned && hit <= person.at.end + GENITIVE
        }
        None => !domain.english && hit.saturating_sub(domain.at.end) <= 4,
    };
    is_meant.then_some(Other::Domain)
}

/// Where the clause begins to which a place belongs.
pub fn clause(norm: &str, at: usize) -> usize {
    let before = ending(norm.get(..at).unwrap_or_default(), REACH);
    let start = at - before.len();
    let mut next = before.char_indices().skip(1).map(|(_, c)| c).chain(std::iter::once(' '));
    let mut last = 0;
    for (offset, c) in before.char_indices() {
        let follows = next.next().unwrap_or(' ');
        let ends = matches!(c, '。' | '、' | '，' | '；' | '！' | '？' | '(' | ')')
            || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '-') && !follows.is_alphanumeric();
        if ends {
            last = offset + c.len_utf8();
        }
    }
    start + last
}

fn nouns(clause: &str) -> Vec<Found> {
    let Some(words) = TABLE.words.as_ref() else { return Vec::new() };
    let begins = |at: usize| {
        let before = clause.get(..at).and_then(|before| before.chars().next_back());
        let unspaced = |c: char| wide(c) || matches!(c, '\u{ac00}'..='\u{d7af}');
        clause.get(at..).and_then(|rest| rest.chars().next()).is_some_and(unspaced) || !before.is_some_and(char::is_alphanumeric)
    };
    let found = words.find_iter(clause).filter(|found| begins(found.start()));
    let found = found.filter_map(|found| {
        let at = found.range();
        let english = clause.get(at.clone()).is_some_and(|word| word == "domain");
        TABLE.of.get(found.pattern().as_usize()).map(|&noun| Found { noun, at, english })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::classify::text::Text;

    #[test]
    fn the_table_reads() {
        let file: NounFile = toml::from_str(NOUNS).unwrap();
        assert!(TABLE.words.is_some());
        for noun in [Noun::Sender, Noun::Recipient, Noun::User, Noun::Domain] {
            assert!(file.noun.iter().any(|row| row.of == noun && row.begins.len() > 10), "{noun:?}");
        }
        let mut unique = HashSet::new();
        let begins = file.noun.iter().flat_map(|row| &row.begins);
        for word in begins.chain(&file.given.before).chain(&file.given.after) {
            assert!(!word.is_empty() && word.trim() == word, "'{word}' begins or ends with a space");
            assert_eq!(Text::new(word.as_str()).norm(), folded(word), "'{word}' is not in the comparable form");
            assert!(unique.insert(folded(word)), "'{word}' stands twice");
        }
    }

    #[test]
    fn whose_noun_is_nearest() {
        let cases: &[(&str, &str, Option<Other>)] = &[
            ("550 Il mittente non esiste", "non esiste", Some(Other::Sender)),
            ("550 L'adresse de l'expéditeur est inconnue", "adresse de l'expediteur est inconnue", Some(Other::Sender)),
            ("550 送信元アドレスが存在しません", "存在しません", Some(Other::Sender)),
            ("550 Doména příjemce neexistuje", "prijemce neexistuje", Some(Other::Domain)),
            ("550 Alıcının alan adı bulunamadı", "alicinin alan adi bulunamadi", Some(Other::Domain)),
            ("550 المرسل إليه غير موجود", "غير موجود", None),
            ("Le message de l'expéditeur est revenu : le destinataire n'existe pas", "n'existe pas", None),
            ("Nel dominio example.org l'utente non esiste", "non esiste", None),
            ("Domain: unbekannter Empfänger", "unbekannter empfanger", None),
            ("in der Domain unbekannter Empfänger", "unbekannter empfanger", None),
            ("Die vom Absender angegebene Adresse existiert nicht", "adresse existiert nicht", None),
            ("L'adresse indiquée par l'expéditeur n'existe pas", "n'existe pas", None),
            ("Retour à l'expéditeur - adresse inconnue", "adresse inconnue", None),
            ("Retour à l'expéditeur adresse inconnue", "adresse inconnue", None),
            ("Der Empfänger in der Domain existiert nicht", "existiert nicht", None),
            ("550 Mottagarens domän finns inte", "mottagarens doman finns inte", Some(Other::Domain)),
            ("550 Return address is not a valid mailbox", "not a valid mailbox", Some(Other::Sender)),
            ("550 Utente sconosciuto", "utente sconosciuto", None),
            ("550 domain user unknown", "user unknown", None),
        ];
        for (text, hit, want) in cases {
            let text = Text::new(*text);
            let at = text.norm().find(hit).unwrap();
            assert_eq!(another(text.norm(), &(at..at + hit.len())), *want, "{}", text.norm());
        }
    }
}
