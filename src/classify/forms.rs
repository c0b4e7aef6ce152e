//! Regular expressions, of which each is tried only on texts that have the words without which it can't match.
//!
//! All of them as one automaton would know more states than fit any cache: bounded gaps between many alternatives multiply. So the
//! literals that a form can't do without are read out of its syntax, and one small automaton looks for those of all forms together.

use std::{collections::HashMap, ops::Range};

use aho_corasick::{
    Anchored,
    automaton::Automaton,
    dfa::{Builder, DFA},
};
use regex::Regex;
use regex_syntax::hir::{Hir, HirKind};

use super::text;

/// Literals of so many octets tell texts apart; shorter ones are asked for where a form has no others.
const SHORTEST: [usize; 2] = [3, 2];

/// Of a longer one the head tells enough, and keeps the automaton small.
const LONGEST: usize = 8;

/// Literals of which one must stand in a text.
type AnyOf = Vec<String>;

/// Forms, each with the index of its rule.
#[derive(Default)]
pub struct Forms {
    forms: Vec<(usize, Regex)>,
    /// How many of its [`AnyOf`] a form asks for.
    asked: Vec<u8>,
    /// For each [`AnyOf`] of all forms, whose it is.
    owners: Vec<usize>,
    literals: Option<DFA>,
    /// For each literal, the [`AnyOf`]s that it stands in.
    answers: Vec<Vec<usize>>,
}

impl Forms {
    /// What doesn't compile is left out.
    pub fn compile<'a>(all: impl Iterator<Item = (usize, &'a str)>) -> Forms {
        let mut forms = Forms::default();
        let mut literals: HashMap<String, usize> = HashMap::new();
        for (rule, form) in all {
            let (Ok(regex), Ok(syntax)) = (Regex::new(form), regex_syntax::parse(form)) else { continue };
            let needs = SHORTEST.map(|shortest| needs(&syntax, shortest)).into_iter().find(|needs| !needs.is_empty()).unwrap_or_default();
            for any_of in &needs {
                for literal in any_of {
                    let next = literals.len();
                    let at = *literals.entry(literal.clone()).or_insert(next);
                    forms.answers.resize_with(literals.len(), Vec::new);
                    forms.answers.iter_mut().skip(at).take(1).for_each(|answers| answers.push(forms.owners.len()));
                }
                forms.owners.push(forms.forms.len());
            }
            forms.asked.push(u8::try_from(needs.len()).unwrap_or(u8::MAX));
            forms.forms.push((rule, regex));
        }
        let mut list: Vec<(String, usize)> = literals.into_iter().collect();
        list.sort_by_key(|(_, at)| *at);
        forms.literals = Builder::new().build(list.iter().map(|(literal, _)| literal)).ok();
        forms
    }

    /// Each place where a form stands, with its rule.
    pub fn find(&self, text: &str, found: &mut Vec<(usize, Range<usize>)>) {
        let mut asked = self.asked.clone();
        let mut answered = vec![false; self.owners.len()];
        self.each_literal(text, |literal| {
            for &any_of in self.answers.get(literal).into_iter().flatten() {
                let (Some(answered), Some(&form)) = (answered.get_mut(any_of), self.owners.get(any_of)) else { continue };
                if !std::mem::replace(answered, true)
                    && let Some(asked) = asked.get_mut(form)
                {
                    *asked -= 1;
                }
            }
        });
        for ((rule, form), _) in self.forms.iter().zip(asked).filter(|(_, asked)| *asked == 0) {
            found.extend(form.find_iter(text).map(|hit| (*rule, hit.range())));
        }
    }

    fn each_literal(&self, text: &str, mut seen: impl FnMut(usize)) {
        let Some((literals, mut state)) = self.literals.as_ref().and_then(|dfa| Some((dfa, dfa.start_state(Anchored::No).ok()?))) else {
            return;
        };
        for &byte in text.as_bytes() {
            state = literals.next_state(Anchored::No, state, byte);
            if literals.is_special(state) && literals.is_match(state) {
                (0..literals.match_len(state)).for_each(|index| seen(literals.match_pattern(state, index).as_usize()));
            }
        }
    }

    /// The forms that no literal stands before.
    #[cfg(test)]
    pub fn unasked(&self) -> impl Iterator<Item = &str> {
        self.forms.iter().zip(&self.asked).filter(|(_, asked)| **asked == 0).map(|((_, form), _)| form.as_str())
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.forms.len()
    }

    #[cfg(test)]
    pub fn octets(&self) -> usize {
        self.literals.as_ref().map_or(0, Automaton::memory_usage)
    }
}

/// What must stand in a text for an expression to match in it: of each of these one, none shorter than `shortest`.
fn needs(syntax: &Hir, shortest: usize) -> Vec<AnyOf> {
    match syntax.kind() {
        HirKind::Literal(literal) => {
            let literal = std::str::from_utf8(&literal.0).ok().filter(|literal| literal.len() >= shortest);
            literal.map(|literal| vec![text::cut(literal, LONGEST).to_owned()]).into_iter().collect()
        }
        HirKind::Capture(capture) => needs(&capture.sub, shortest),
        HirKind::Repetition(repetition) if repetition.min > 0 => needs(&repetition.sub, shortest),
        HirKind::Concat(pieces) => pieces.iter().flat_map(|piece| needs(piece, shortest)).collect(),
        HirKind::Alternation(branches) => {
            // Of each branch the rarest; where one branch has none, none of the others is needed either.
            let rarest = |branch: &Hir| needs(branch, shortest).into_iter().max_by_key(|any_of| any_of.iter().map(String::len).min());
            let all: Option<Vec<AnyOf>> = branches.iter().map(rarest).collect();
            all.map(|all| all.concat()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_cannot_do_without() {
        let needs = |form: &str| needs(&regex_syntax::parse(form).unwrap(), 3);
        assert_eq!(needs(r"\b(?:mailbox|user) [^ ]{1,60} (?:is )?unknown"), [vec!["mailbox", "user"], vec!["unknown"]]);
        assert_eq!(needs(r"(?:full|5\.[0-9])").len(), 0);
        assert_eq!(needs(r"(?:over )*(?:quota){2,}"), [["quota"]]);
    }

    #[test]
    fn forms_are_found_as_without_their_literals() {
        let list = [(1, r"\b(?:mailbox|user) [^ ]{1,60} (?:is )?unknown"), (2, "[0-9]{3}"), (3, "quota.{0,9}full|overfull")];
        let forms = Forms::compile(list.into_iter());
        for text in ["the user x is unknown", "mailbox 123 unknown", "user, quota", "quota is full", "overfull", "", "unknown user bob"] {
            let mut found = Vec::new();
            forms.find(text, &mut found);
            let plain: Vec<_> = list
                .iter()
                .flat_map(|(rule, form)| Regex::new(form).unwrap().find_iter(text).map(|hit| (*rule, hit.range())).collect::<Vec<_>>())
                .collect();
            assert_eq!(found, plain, "{text}");
        }
    }
}
