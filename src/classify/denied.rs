//! Whether words that say somebody is gone stand there to say that he isn't, or that something else is: "the account is not closed, only full".
//!
//! The words stand in `denials.toml`. It is part of the program and checked by its tests; should it not read nevertheless, nothing is denied.
//! Languages that deny within the word, or without spaces, have rows of their own or are told by what else they say. Linear in a clause.

use std::{collections::HashSet, ops::Range, sync::LazyLock};

use serde::Deserialize;

use super::{meant::clause, text::folded};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DenialFile {
    not: Vec<String>,
    between: Vec<String>,
    gone: Vec<String>,
    ongoing: Vec<String>,
    other: Vec<String>,
    articles: Vec<String>,
}

struct Denials {
    not: HashSet<String>,
    between: HashSet<String>,
    articles: HashSet<String>,
    gone: Beginnings,
    ongoing: Beginnings,
    other: Beginnings,
}

/// How words begin.
struct Beginnings(Vec<String>);

impl Beginnings {
    fn are_of(&self, word: &str) -> bool {
        self.0.iter().any(|begins| word.starts_with(begins.as_str()))
    }
}

const DENIALS: &str = include_str!("denials.toml");

static TABLE: LazyLock<Denials> = LazyLock::new(|| {
    let file: DenialFile = toml::from_str(DENIALS).unwrap_or_default();
    let set = |words: &[String]| words.iter().map(|word| folded(word)).collect();
    let beginnings = |words: &[String]| Beginnings(words.iter().map(|word| folded(word)).collect());
    Denials {
        not: set(&file.not),
        between: set(&file.between),
        articles: set(&file.articles),
        gone: beginnings(&file.gone),
        ongoing: beginnings(&file.ongoing),
        other: beginnings(&file.other),
    }
});

/// Whether what the words at `hit` say, in the comparable form, is denied, or said of something else.
pub fn denied(norm: &str, hit: &Range<usize>) -> bool {
    let start = clause(norm, hit.start);
    let mut not = false;
    for (at, word) in words(norm, start) {
        if at + word.len() >= hit.end {
            return match TABLE.gone.are_of(word) {
                true => not || closes_other(words(norm, at + word.len())),
                false => TABLE.ongoing.are_of(word),
            };
        }
        not = TABLE.not.contains(word) || not && TABLE.between.contains(word);
    }
    false
}

fn closes_other<'a>(mut following: impl Iterator<Item = (usize, &'a str)>) -> bool {
    let next = following.next().map_or("", |(_, word)| word);
    let what = if TABLE.articles.contains(next) { following.next().map_or("", |(_, word)| word) } else { next };
    TABLE.other.are_of(what)
}

/// The words from a place on, and where they stand.
fn words(norm: &str, start: usize) -> impl Iterator<Item = (usize, &str)> {
    let mark = |c: char| !c.is_alphanumeric() && c != '\'';
    let pieces = norm.get(start..).unwrap_or_default().split_inclusive(mark).scan(start, |at, piece| {
        let begins = *at;
        *at += piece.len();
        Some((begins, piece))
    });
    pieces.map(move |(at, piece)| (at, piece.trim_end_matches(mark))).filter(|(_, word)| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::text::Text;

    #[test]
    fn the_table_reads() {
        let file: DenialFile = toml::from_str(DENIALS).unwrap();
        for words in [file.not, file.between, file.gone, file.ongoing, file.other, file.articles] {
            let mut unique = HashSet::new();
            for word in words {
                assert!(word.trim() == word && !word.contains(' '), "'{word}' is not one word");
                assert_eq!(Text::new(word.as_str()).norm(), folded(&word), "'{word}' is not in the comparable form");
                assert!(unique.insert(folded(&word)), "'{word}' stands twice");
            }
        }
    }

    #[test]
    fn the_last_word_is_what_is_denied() {
        let cases: &[(&str, &str, bool)] = &[
            ("550 the account is not closed, only full", "account is not closed", true),
            ("the mailbox hasn't been disabled", "mailbox hasn't been disabled", true),
            ("550 kontot är inte stängt, men fullt", "kontot ar inte stangt", true),
            ("konto nie jest zablokowane", "konto nie jest zablok", true),
            ("le compte n'est pas fermé, il est plein", "compte n'est pas ferme", true),
            ("550 user not found/disabled", "user not found/disabled", false),
            ("not blocked but unknown user", "unknown user", false),
            ("user does not exist or has been deleted", "user does not exist or has been deleted", false),
            ("550 mailbox disabled, not accepting messages", "mailbox disabled", false),
            ("550 account not active", "account not active", false),
            ("no such user. Account closed", "account closed", false),
            ("550 hesap kapatılmadı, dolu", "hesap kapat", true),
            ("550 the user has closed the connection to his mailbox", "user has closed", true),
            ("550 the user has closed his account", "user has closed", false),
            ("550 account closed", "account closed", false),
        ];
        for (text, hit, want) in cases {
            let text = Text::new(*text);
            let at = text.norm().find(hit).unwrap();
            assert_eq!(denied(text.norm(), &(at..at + hit.len())), *want, "{}", text.norm());
        }
    }
}
