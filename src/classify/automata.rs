//! The words of many rules, looked for together: phrases, and forms that vary.

use std::{collections::HashSet, ops::Range};

use super::{forms::Forms, phrases::Phrases, tables::Rule, text};

/// The rules that are looked for together, compiled.
pub struct Automata {
    phrases: Phrases,
    forms: Forms,
}

impl Automata {
    /// Rules, each with the index under which it is found.
    pub fn compile<'a>(rules: impl Iterator<Item = (usize, &'a Rule)>) -> Automata {
        let (mut phrases, mut forms, mut seen) = (Phrases::default(), Vec::new(), HashSet::new());
        for (rule, row) in rules {
            for phrase in row.phrases.iter().flat_map(|phrase| spellings(phrase)) {
                match open(&phrase) {
                    _ if !seen.insert((rule, phrase.clone())) => {}
                    Some(form) => forms.push((rule, form)),
                    None => phrases.add(rule, &phrase),
                }
            }
            forms.extend(row.regexes.iter().map(|form| (rule, plain(form))));
        }
        Automata { phrases, forms: Forms::compile(forms.iter().map(|(rule, form)| (*rule, form.as_str()))) }
    }

    /// Each place where the words of a rule stand.
    pub fn find(&self, text: &str) -> Vec<(usize, Range<usize>)> {
        let mut found = Vec::new();
        self.phrases.find(text, &mut found);
        self.forms.find(text, &mut found);
        found
    }

    #[cfg(test)]
    pub fn forms(&self) -> &Forms {
        &self.forms
    }
}

/// The forms in which a phrase is looked for: without marks on its letters, and with umlauts spelled out.
pub fn spellings(phrase: &str) -> Vec<String> {
    let mut all = vec![text::folded(phrase)];
    if phrase.contains(['ä', 'ö', 'ü']) {
        all.push(text::folded(&phrase.replace('ä', "ae").replace('ö', "oe").replace('ü', "ue")));
    }
    all
}

/// A phrase whose last word may go on, as a form.
fn open(phrase: &str) -> Option<String> {
    let phrase = phrase.strip_suffix('*')?;
    let (begins, phrase) = match phrase.strip_prefix('^') {
        Some(phrase) => ("^", phrase),
        None if phrase.starts_with(|c: char| c.is_ascii_alphanumeric()) => (r"(?-u:\b)", phrase),
        None => ("", phrase),
    };
    Some(format!("{begins}{}", regex::escape(phrase)))
}

/// The regex crate's quick automaton knows the word boundaries of ASCII alone; texts have lost the marks on their letters, so that is
/// enough, also for "anything within the sentence", which over all of Unicode takes ten times the memory. Other scripts do without.
fn plain(form: &str) -> String {
    let ascii = || form.replace(r"\b", r"(?-u:\b)").replace(r"\w", "[a-z0-9]").replace("[^.?!]", r#"[ "-\-/->@-~]"#);
    if form.is_ascii() { ascii() } else { form.replace(r"\b", "") }
}
