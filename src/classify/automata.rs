//! The words of many rules, looked for together: phrases, and forms that vary.

use std::{collections::HashSet, ops::Range};

use super::{
    forms::{AnyOf, Forms, Piece},
    phrases::{End, Gathered, Phrases},
    tables::Rule,
    text,
    words::{Heads, Token, Vocabulary},
};

/// The rules that are looked for together, compiled.
pub struct Automata {
    phrases: Phrases,
    forms: Forms,
    /// By the number of the word.
    words: Vec<Word>,
    /// What words answer that forms ask for, one word's after the other's.
    answers: Vec<u16>,
    /// What words do that the tables don't know.
    heads: Heads<Does>,
}

/// What a word does; where the answers are that are its own, and where the next one's begin.
#[derive(Clone, Copy, Default)]
struct Word {
    /// To which node of the phrases it leads, 0: to none.
    root: u32,
    /// What may come after it there, see [`Phrases::after`].
    after: u64,
    answers: (u16, u16),
    /// Phrases begin with it and may go on.
    opens: bool,
}

/// What a word does by how it begins.
#[derive(Clone, Copy)]
enum Does {
    Ends(End),
    Answers(u16),
}

/// The rules before all words are known.
pub struct Learning {
    phrases: Gathered,
    forms: Forms,
    asked: Vec<AnyOf>,
}

impl Learning {
    /// Rules, each with the index under which it is found.
    pub fn of<'a>(words: &mut Vocabulary, rules: impl Iterator<Item = (usize, &'a Rule)>) -> Learning {
        let (mut phrases, mut forms, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for (rule, row) in rules {
            let spelt = row.phrases.iter().flat_map(|phrase| spellings(phrase)).map(|phrase| (rule, phrase));
            phrases.extend(spelt.filter(|one| seen.insert(one.clone())));
            forms.extend(row.regexes.iter().map(|form| (rule, plain(form))));
        }
        Learning::new(
            words,
            phrases.iter().map(|(rule, phrase)| (*rule, phrase.as_str())),
            forms.iter().map(|(rule, form)| (*rule, form.as_str())),
        )
    }

    fn new<'a>(
        words: &mut Vocabulary,
        phrases: impl Iterator<Item = (usize, &'a str)>,
        forms: impl Iterator<Item = (usize, &'a str)>,
    ) -> Learning {
        let mut gathered = Gathered::default();
        phrases.for_each(|(rule, phrase)| gathered.add(words, rule, phrase));
        let (forms, asked) = Forms::compile(forms);
        for piece in asked.iter().flatten() {
            if let Piece::Word(word) = piece {
                words.add(word);
            }
        }
        Learning { phrases: gathered, forms, asked }
    }

    /// `words` knows all that will be looked for.
    pub fn compile(self, words: &Vocabulary) -> Automata {
        let (roots, phrases) = self.phrases.compile();
        let (mut heads, mut answers) = (Heads::default(), Vec::new());
        for (begins, end) in roots.open {
            // A beginning of one letter would be none; the tables' test says so.
            let _ = heads.add(&begins, Does::Ends(end));
        }
        let pieces = || (0..).zip(&self.asked).flat_map(|(number, any_of)| any_of.iter().map(move |piece| (number, piece)));
        for (number, piece) in pieces() {
            if let Piece::Head(begins) = piece {
                let _ = heads.add(begins, Does::Answers(number));
            }
        }
        let mut list = vec![Word::default(); words.list().len()];
        let place = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        let whole = pieces().filter_map(|(number, piece)| if let Piece::Word(word) = piece { Some((word.as_str(), number)) } else { None });
        let mut whole: Vec<(&str, u16)> = whole.collect();
        whole.sort_unstable();
        for (word, text) in list.iter_mut().zip(words.list()) {
            let first = place(answers.len());
            let at = whole.partition_point(|(known, _)| *known < text.as_str());
            answers.extend(whole.iter().skip(at).take_while(|(known, _)| known == text).map(|(_, number)| *number));
            for token in words.row(text) {
                for (_, does) in heads.of(token, text) {
                    match does {
                        Does::Answers(number) => answers.push(*number),
                        Does::Ends(_) => word.opens = true,
                    }
                }
            }
            word.answers = (first, place(answers.len()));
        }
        for (word, node) in roots.words {
            if let Some(word) = list.get_mut(word) {
                word.root = node;
                word.after = phrases.after(node);
            }
        }
        Automata { phrases, forms: self.forms, words: list, answers, heads }
    }
}

impl Automata {
    /// Each place where the words of a rule stand in a text, whose tokens `row` has.
    pub fn find(&self, row: &[Token], text: &str) -> Vec<(usize, Range<usize>)> {
        let (mut found, mut answers) = (Vec::with_capacity(8), Forms::answers());
        for (index, token) in row.iter().enumerate() {
            let at = token.at as usize;
            let word = token.word().and_then(|word| self.words.get(word));
            if word.is_none_or(|word| word.opens) {
                for (begins, does) in self.heads.of(*token, text) {
                    match does {
                        Does::Ends(end) => found.extend(end.fits(at, at, text).then_some((end.rule, at..at + begins.len()))),
                        Does::Answers(number) if word.is_none() => self.forms.answer(&mut answers, *number, at),
                        // What a known word answers is listed with it.
                        Does::Answers(_) => {}
                    }
                }
            }
            let Some(word) = word else { continue };
            for number in self.answers.get(usize::from(word.answers.0)..usize::from(word.answers.1)).into_iter().flatten() {
                self.forms.answer(&mut answers, *number, at);
            }
            let next = row.get(index + 1).map_or(0, |next| Phrases::sign(next.step()));
            if word.after == u64::MAX || word.after & next != 0 {
                self.phrases.from(word.root, row.get(index..).unwrap_or_default(), text, |end, stop| {
                    found.extend(end.fits(at, stop, text).then_some((end.rule, at..stop)));
                });
            }
        }
        self.forms.find(&mut answers, text, &mut found);
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

/// The regex crate's quick automaton knows the word boundaries of ASCII alone; texts have lost the marks on their letters, so that is
/// enough, also for "anything within the sentence", which over all of Unicode takes ten times the memory. Other scripts do without.
fn plain(form: &str) -> String {
    let ascii = || form.replace(r"\b", r"(?-u:\b)").replace(r"\w", "[a-z0-9]").replace("[^.?!]", r#"[ "-\-/->@-~]"#);
    if form.is_ascii() { ascii() } else { form.replace(r"\b", "") }
}

#[cfg(test)]
mod tests {
    use regex_automata::meta::Regex;

    use super::*;

    fn compiled(phrases: &[&str], forms: &[(usize, &str)]) -> (Vocabulary, Automata) {
        let mut words = Vocabulary::default();
        let learning = Learning::new(&mut words, phrases.iter().copied().enumerate(), forms.iter().copied());
        let automata = learning.compile(&words);
        (words, automata)
    }

    #[test]
    fn phrases_stand_for_whole_words() {
        let list = [
            "user unknown",
            "unknown",
            "^over",
            "quota$",
            "(#5.1",
            "不存在",
            "mailbox:",
            "verylongexceptionname",
            "undeliver*",
            "not acc*",
        ];
        let (words, automata) = compiled(&list, &[]);
        let found = |text: &str| {
            let found = automata.find(&words.row(text), text);
            found.into_iter().map(|(rule, range)| (list[rule], text[range].to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(found("user unknown"), [("user unknown", "user unknown".to_owned()), ("unknown", "unknown".to_owned())]);
        assert_eq!(found("superuser unknowns, user  unknown_"), [("unknown", "unknown".to_owned())]);
        let long = "x".repeat(16);
        assert_eq!(found(&format!("{long}unknown unknown{long}")), []);
        assert_eq!(found("over and over"), [("^over", "over".to_owned())]);
        assert_eq!(found("quota over quota"), [("quota$", "quota".to_owned())]);
        assert_eq!(found("x(#5.1.1 mailbox:y"), [("(#5.1", "(#5.1".to_owned()), ("mailbox:", "mailbox:".to_owned())]);
        assert_eq!(found("收件人不存在"), [("不存在", "不存在".to_owned())]);
        assert_eq!(found("a.verylongexceptionname"), [("verylongexceptionname", "verylongexceptionname".to_owned())]);
        assert_eq!(found("verylongexceptionnames"), []);
        assert_eq!(found("undeliverable"), [("undeliver*", "undeliver".to_owned())]);
        assert_eq!(found("not accepted, not-acc, knot acc"), [("not acc*", "not acc".to_owned())]);
        assert_eq!(found(""), []);
    }

    #[test]
    fn forms_are_found_as_without_their_words() {
        let list = [
            (1, r"(?-u:\b)(?:mailbox|user) [^ ]{1,60} (?:is )?unknown(?-u:\b)"),
            (2, "[0-9]{3}"),
            (3, "quota.{0,9}full|overfull"),
            (4, r"^(?:re: )?confirm [0-9]+"),
            (5, r"(?-u:\b)deliver[a-z]* .{0,5}fail"),
            (6, r"(?-u:\b)[a-z]+ing not known"),
            (7, "нов[а-я]+ адрес"),
        ];
        let (words, automata) = compiled(&["user", "delivery"], &list);
        for text in [
            "the user x is unknown",
            "mailbox user unknown user x unknown",
            "mailbox 123 unknown",
            "superuser x unknown",
            "user x unknowns",
            "user, quota",
            "quota is full",
            "overfull",
            "",
            "unknown user bob",
            "re: confirm 1234 confirm 12",
            "undelivered x fail delivery failed deliver fail",
            "being not known",
            "это новый адрес",
        ] {
            let mut found = automata.find(&words.row(text), text);
            found.retain(|(rule, range)| !(*rule < 2 && ["user", "delivery"].contains(&&text[range.clone()])));
            found.sort_by_key(|(rule, range)| (*rule, range.start));
            let mut all = Vec::new();
            for (rule, form) in list {
                all.extend(Regex::new(form).unwrap().find_iter(text).map(|hit| (rule, hit.range())));
            }
            assert_eq!(found, all, "{text}");
        }
    }
}
