//! Phrases, found in one pass over a text by an automaton whose letters are words.
//!
//! A text is a row of tokens: runs of ASCII letters and digits, and each other character by itself. A phrase is a path of tokens through a tree,
//! so that it stands for whole words without a look beside it. Few words of a text lead away from the root, and the whole tree is small: an
//! automaton over octets takes ten times the memory, and waits for it at every letter. Linear: no path is longer than the longest phrase.

use std::ops::Range;

use hashbrown::HashMap;

/// Where a path begins.
const ROOT: u32 = 0;
/// Few words are longer.
const SHORT: usize = 16;

/// All phrases of many rules.
#[derive(Default)]
pub struct Phrases {
    /// Short words by their octets: side by side in the table, not each somewhere else.
    words: HashMap<u128, u32>,
    long_words: HashMap<String, u32>,
    steps: HashMap<Step, Place>,
    ends: Vec<Vec<End>>,
}

/// From one node by a word to the next: both numbers, and whether a single space stands before the word, which at the root doesn't matter.
type Step = u64;

/// A node, and which of the [`Phrases::ends`] are its.
#[derive(Clone, Copy)]
struct Place {
    node: u32,
    ends: Option<u32>,
}

/// A piece of text.
#[derive(Clone, Copy)]
struct Token<'a> {
    at: usize,
    /// A single space stands before it.
    spaced: bool,
    text: &'a str,
}

/// The end of a phrase.
#[derive(Clone, Copy)]
struct End {
    rule: usize,
    /// Only at the start of the text.
    at_start: bool,
    /// Only at its end.
    at_end: bool,
}

impl Phrases {
    /// Adds a phrase: `^` before it ties it to the start of the text, `$` after it to the end.
    pub fn add(&mut self, rule: usize, phrase: &str) {
        let (at_start, phrase) = phrase.strip_prefix('^').map_or((false, phrase), |rest| (true, rest));
        let (at_end, phrase) = phrase.strip_suffix('$').map_or((false, phrase), |rest| (true, rest));
        let mut row = tokens(phrase).peekable();
        let mut from = ROOT;
        while let Some(token) = row.next() {
            let next = count(self.words.len() + self.long_words.len());
            let word = match short(token.text) {
                Some(short) => *self.words.entry(short).or_insert(next),
                None => *self.long_words.entry_ref(token.text).or_insert(next),
            };
            let next = Place { node: count(self.steps.len() + 1), ends: None };
            let place = self.steps.entry(step(from, word, token.spaced)).or_insert(next);
            from = place.node;
            if row.peek().is_none() {
                let ends = *place.ends.get_or_insert(count(self.ends.len()));
                self.ends.resize_with(self.ends.len().max(ends as usize + 1), Vec::new);
                self.ends.get_mut(ends as usize).into_iter().for_each(|ends| ends.push(End { rule, at_start, at_end }));
            }
        }
    }

    /// Each place where a phrase stands, with its rule.
    pub fn find(&self, text: &str, found: &mut Vec<(usize, Range<usize>)>) {
        let mut row: Vec<(Token<'_>, Option<u32>)> = Vec::with_capacity(text.len() / 4);
        row.extend(tokens(text).map(|token| (token, self.word(token.text))));
        let mut rest = row.as_slice();
        while let [(first, _), tail @ ..] = rest {
            self.from(rest, |end, stop| {
                if !(end.at_start && first.at != 0 || end.at_end && stop != text.len()) {
                    found.push((end.rule, first.at..stop));
                }
            });
            rest = tail;
        }
    }

    fn word(&self, text: &str) -> Option<u32> {
        short(text).map_or_else(|| self.long_words.get(text), |short| self.words.get(&short)).copied()
    }

    /// The phrases that begin with the first of the tokens: each end, and where it is.
    fn from(&self, row: &[(Token<'_>, Option<u32>)], mut found: impl FnMut(End, usize)) {
        let mut from = ROOT;
        for (token, word) in row {
            let step = word.map(|word| step(from, word, token.spaced));
            let Some(place) = step.and_then(|step| self.steps.get(&step)) else { return };
            from = place.node;
            let ends = place.ends.and_then(|ends| self.ends.get(ends as usize));
            ends.into_iter().flatten().for_each(|end| found(*end, token.at + token.text.len()));
        }
    }
}

fn step(from: u32, word: u32, spaced: bool) -> Step {
    u64::from(from) << 33 | u64::from(word) << 1 | u64::from(spaced && from != ROOT)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The octets of a short word.
fn short(word: &str) -> Option<u128> {
    let mut octets = [0; SHORT];
    octets.get_mut(..word.len())?.copy_from_slice(word.as_bytes());
    Some(u128::from_le_bytes(octets))
}

/// The tokens of a text.
fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let after_space = rest.strip_prefix(' ').filter(|after| !after.is_empty() && !after.starts_with(' '));
        let (spaced, own) = after_space.map_or((false, rest), |after| (true, after));
        let word = own.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let length = if word > 0 { word } else { own.chars().next()?.len_utf8() };
        let (token, tail) = own.split_at_checked(length)?;
        rest = tail;
        Some(Token { at: text.len() - own.len(), spaced, text: token })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_stand_for_whole_words() {
        let mut phrases = Phrases::default();
        let list = ["user unknown", "unknown", "^over", "quota$", "(#5.1", "不存在", "mailbox:", "verylongexceptionname"];
        list.iter().enumerate().for_each(|(rule, phrase)| phrases.add(rule, phrase));
        let found = |text: &str| {
            let mut found = Vec::new();
            phrases.find(text, &mut found);
            found.into_iter().map(|(rule, range)| (list[rule], text[range].to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(found("user unknown"), [("user unknown", "user unknown".to_owned()), ("unknown", "unknown".to_owned())]);
        assert_eq!(found("superuser unknowns, user  unknown_"), [("unknown", "unknown".to_owned())]);
        let long = "x".repeat(SHORT);
        assert_eq!(found(&format!("{long}unknown unknown{long}")), []);
        assert_eq!(found("over and over"), [("^over", "over".to_owned())]);
        assert_eq!(found("quota over quota"), [("quota$", "quota".to_owned())]);
        assert_eq!(found("x(#5.1.1 mailbox:y"), [("(#5.1", "(#5.1".to_owned()), ("mailbox:", "mailbox:".to_owned())]);
        assert_eq!(found("收件人不存在"), [("不存在", "不存在".to_owned())]);
        assert_eq!(found("a.verylongexceptionname"), [("verylongexceptionname", "verylongexceptionname".to_owned())]);
        assert_eq!(found("verylongexceptionnames"), []);
        assert_eq!(found(""), []);
    }
}
