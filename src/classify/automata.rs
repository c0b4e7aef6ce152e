//! The words of many rules, looked for together.

use std::{collections::HashSet, ops::Range};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{forms::Forms, tables::Rule, text};

/// What a pattern asks of the places beside it.
#[derive(Debug, Clone, Copy)]
struct Pattern {
    rule: usize,
    at_start: bool,
    at_end: bool,
    open_end: bool,
}

/// Phrases, compiled.
struct Words {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
}

/// The rules that are looked for together, compiled.
pub struct Automata {
    ascii: Option<Words>,
    /// The others: only asked where a text has such letters at all.
    wide: Option<Words>,
    forms: Forms,
}

impl Automata {
    /// Rules, each with the index under which it is found.
    pub fn compile<'a>(rules: impl Iterator<Item = (usize, &'a Rule)>) -> Automata {
        let (mut ascii, mut wide, mut forms) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (rule, row) in rules {
            for phrase in row.phrases.iter().flat_map(|phrase| spellings(phrase)).filter(|phrase| seen.insert((rule, phrase.clone()))) {
                let (at_start, phrase) = phrase.strip_prefix('^').map_or((false, phrase.as_str()), |rest| (true, rest));
                let (at_end, phrase) = phrase.strip_suffix('$').map_or((false, phrase), |rest| (true, rest));
                let (open_end, phrase) = phrase.strip_suffix('*').map_or((false, phrase), |rest| (true, rest));
                let list = if phrase.is_ascii() { &mut ascii } else { &mut wide };
                list.push((phrase.to_owned(), Pattern { rule, at_start, at_end, open_end }));
            }
            forms.extend(row.regexes.iter().map(|form| (rule, plain(form))));
        }
        // The automatic choice trades speed for a small automaton. Over ASCII alone a DFA stays small as well; over UTF-8 it would take six
        // times the memory.
        let (ascii, wide) = (Words::compile(ascii, AhoCorasickKind::DFA), Words::compile(wide, AhoCorasickKind::ContiguousNFA));
        Automata { ascii, wide, forms: Forms::compile(forms.iter().map(|(rule, form)| (*rule, form.as_str()))) }
    }

    /// Each place where the words of a rule stand.
    pub fn find(&self, text: &str) -> Vec<(usize, Range<usize>)> {
        let mut found = Vec::new();
        let wide = self.wide.as_ref().filter(|_| !text.is_ascii());
        for words in self.ascii.iter().chain(wide) {
            for hit in words.automaton.find_overlapping_iter(text) {
                let Some(pattern) = words.patterns.get(hit.pattern().as_usize()) else { continue };
                if pattern.fits(text, hit.range()) {
                    found.push((pattern.rule, hit.range()));
                }
            }
        }
        self.forms.find(text, &mut found);
        found
    }

    /// What the automata take in memory, in octets.
    #[cfg(test)]
    pub fn octets(&self) -> usize {
        self.ascii.iter().chain(&self.wide).map(|words| words.automaton.memory_usage()).sum::<usize>() + self.forms.octets()
    }

    #[cfg(test)]
    pub fn forms(&self) -> &Forms {
        &self.forms
    }
}

/// The forms in which a phrase is looked for: without marks on its letters, and with umlauts spelled out.
fn spellings(phrase: &str) -> Vec<String> {
    let mut all = vec![text::folded(phrase)];
    if phrase.contains(['ä', 'ö', 'ü']) {
        all.push(text::folded(&phrase.replace('ä', "ae").replace('ö', "oe").replace('ü', "ue")));
    }
    all
}

/// The regex crate's quick automaton knows the word boundaries of ASCII alone; texts have lost the marks on their letters, so that is
/// enough. Other scripts do without.
fn plain(form: &str) -> String {
    if form.is_ascii() { form.replace(r"\b", r"(?-u:\b)").replace(r"\w", "[a-z0-9]") } else { form.replace(r"\b", "") }
}

impl Words {
    fn compile(list: Vec<(String, Pattern)>, kind: AhoCorasickKind) -> Option<Words> {
        let (phrases, patterns): (Vec<String>, Vec<Pattern>) = list.into_iter().unzip();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).kind(Some(kind)).build(&phrases).ok()?;
        Some(Words { automaton, patterns })
    }
}

impl Pattern {
    /// Whole words only, in scripts that part words by spaces and where the phrase itself begins or ends with a letter or digit.
    fn fits(&self, text: &str, found: Range<usize>) -> bool {
        let bytes = text.as_bytes();
        let letter = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        let first = letter(Some(found.start));
        let last = letter(found.end.checked_sub(1));
        if self.at_start && found.start != 0 || self.at_end && found.end != text.len() {
            return false;
        }
        let parted_before = !(first && letter(found.start.checked_sub(1)));
        let parted_after = self.open_end || !(last && letter(Some(found.end)));
        parted_before && parted_after
    }
}
