//! Regular expressions, of which each is tried only where it may match.
//!
//! All of them as one automaton would know more states than fit any cache: bounded gaps between many alternatives multiply. So what a form
//! can't do without is read out of its syntax. Most begin with one of a few words: those are tried at these words alone, and only in a text
//! that has the other words, too. The few others are tried on texts that have the words or the letters without which they can't match.

use std::{ops::Range, sync::OnceLock};

use regex_automata::{Anchored, Input, meta::Regex};
use regex_syntax::hir::{
    Hir, HirKind, Look,
    literal::{Extractor, Literal},
};

use super::{
    letters::{Letters, Pairs},
    text,
};

/// Words of so many octets tell texts apart; shorter ones are asked for where a form has no others.
const SHORTEST: [usize; 2] = [3, 2];
/// Of a longer text the head tells enough.
const LONGEST: usize = 12;
/// So many things can be asked of a text.
const MAX_ASKED: usize = 1024;
/// So many answers are told apart.
const SLOTS: usize = 256;
/// Room for so many places where forms may begin is there at once.
const USUAL_PLACES: usize = 32;
/// A form that begins in more ways is tried everywhere.
const MAX_BEGINNINGS: usize = 250;

/// What must stand in a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Piece {
    /// A whole word.
    Word(String),
    /// The beginning of a word.
    Head(String),
    /// Anywhere.
    Within(String),
}

/// Of these one must stand in a text.
pub type AnyOf = Vec<Piece>;

/// Forms, each with the index of its rule.
#[derive(Default)]
pub struct Forms {
    forms: Vec<Form>,
    /// For each [`AnyOf`] the form that begins with it.
    asked_by: Vec<Option<usize>>,
    /// Those that aren't tried at words, each beside the first [`AnyOf`] without which it needs no look.
    elsewhere: Vec<(Option<u16>, usize)>,
}

struct Form {
    rule: usize,
    /// As it is written, and compiled once it is tried: all of them take longer than a thousand mails.
    form: String,
    regex: OnceLock<Option<Regex>>,
    begins: Begins,
    /// Texts of which one stands at its start, in their order, where they are known; none is the beginning of another.
    heads: Vec<String>,
    /// Which [`AnyOf`]s must be answered at the same place or later.
    asks: Vec<u16>,
    /// Letters of which some must be there; looked for last.
    holds: Vec<Vec<Letters>>,
    /// The longest text that it matches, octets.
    longest: usize,
    /// It asks for letters beyond ASCII.
    foreign: bool,
}

/// What words of a text answer, and where forms may begin.
pub struct Answers {
    /// For the [`AnyOf`]s that share a slot one more than the last place where one is answered, 0 for none: who asks in vain is seldom let pass,
    /// and whoever passes has its form tried.
    last: [u32; SLOTS],
    /// A form and a place.
    places: Vec<(usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    AtStart,
    AtWord,
    Anywhere,
}

/// What must be looked for where.
struct Needed {
    /// What the form begins with, and the words of that.
    heads: Vec<String>,
    first: Option<AnyOf>,
    words: Vec<AnyOf>,
    letters: Vec<AnyOf>,
}

impl Forms {
    /// Also gives what is asked of a text, by number. What is no regular expression is left out.
    pub fn compile<'a>(all: impl Iterator<Item = (usize, &'a str)>) -> (Forms, Vec<AnyOf>) {
        let mut forms = Forms::default();
        let mut asked: Vec<AnyOf> = Vec::new();
        for (rule, form) in all {
            let Ok(syntax) = regex_syntax::parse(form) else { continue };
            let begins = begins(&syntax);
            let Needed { heads, first, words, letters } = needed(&syntax, begins);
            let at_words = first.is_some();
            let beyond_ascii = |any_of: &AnyOf| any_of.iter().all(|piece| !letters_of(piece).is_ascii());
            let foreign = letters.iter().any(beyond_ascii);
            let holds = letters.iter().map(|any_of| any_of.iter().map(|piece| Letters::new(letters_of(piece))).collect()).collect();
            let longest = syntax.properties().maximum_len().unwrap_or(usize::MAX);
            let (form, regex) = (form.to_owned(), OnceLock::new());
            let mut form = Form { rule, form, regex, begins, heads, asks: Vec::new(), holds, longest, foreign };
            for any_of in first.into_iter().chain(words).take(MAX_ASKED - asked.len()) {
                form.asks.push(u16::try_from(asked.len()).unwrap_or(u16::MAX));
                forms.asked_by.push((at_words && form.asks.len() == 1).then_some(forms.forms.len()));
                asked.push(any_of);
            }
            if !at_words || form.asks.is_empty() {
                forms.elsewhere.push((form.asks.first().copied(), forms.forms.len()));
            }
            forms.forms.push(form);
        }
        (forms, asked)
    }

    #[inline]
    pub fn answers() -> Answers {
        Answers { last: [0; SLOTS], places: Vec::with_capacity(USUAL_PLACES) }
    }

    /// Takes down what the word at a place answers.
    pub fn answer(&self, answers: &mut Answers, number: u16, at: usize) {
        if let Some(last) = answers.last.get_mut(usize::from(number) % SLOTS) {
            *last = u32::try_from(at + 1).unwrap_or(u32::MAX);
        }
        answers.places.extend(self.asked_by.get(usize::from(number)).copied().flatten().map(|form| (form, at)));
    }

    /// Each place where a form stands, with its rule.
    pub fn find(&self, answers: &mut Answers, text: &str, found: &mut Vec<(usize, Range<usize>)>) {
        let Answers { last, places } = answers;
        places.sort_unstable();
        // A word may be one and begin like another that a form begins with.
        places.dedup();
        let answered_after = |number: u16, at: usize| last.get(usize::from(number) % SLOTS).is_some_and(|last| *last as usize > at);
        let asks = |form: &Form, at: usize| form.asks.iter().all(|&number| answered_after(number, at));
        let pairs = Pairs::of(text);
        for same in places.chunk_by(|a, b| a.0 == b.0) {
            let Some(form) = same.first().and_then(|(form, _)| self.forms.get(*form)) else { continue };
            form.at((text, &pairs), same.iter().map(|(_, at)| *at).filter(|at| asks(form, *at)), found);
        }
        let ascii = text.is_ascii();
        let answered = |first: &Option<u16>| first.is_none_or(|number| answered_after(number, 0));
        let elsewhere = self.elsewhere.iter().filter(|(first, _)| answered(first)).filter_map(|(_, form)| self.forms.get(*form));
        let elsewhere = elsewhere.filter(|form| !(ascii && form.foreign));
        for form in elsewhere.filter(|form| asks(form, 0) && form.holds(text, &pairs)) {
            match form.begins {
                Begins::AtStart => form.at((text, &pairs), std::iter::once(0), found),
                _ => found.extend(form.regex().into_iter().flat_map(|regex| regex.find_iter(text)).map(|hit| (form.rule, hit.range()))),
            }
        }
    }

    /// The forms for which nothing must stand in a text.
    #[cfg(test)]
    pub fn unasked(&self) -> usize {
        self.forms.iter().filter(|form| form.begins == Begins::Anywhere && form.asks.is_empty() && form.holds.is_empty()).count()
    }

    /// How many compile.
    #[cfg(test)]
    pub fn sound(&self) -> usize {
        self.forms.iter().filter(|form| form.regex().is_some()).count()
    }
}

impl Form {
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| Regex::new(&self.form).ok()).as_ref()
    }

    /// Tries the form at these places, which are in their order.
    fn at(&self, (text, pairs): (&str, &Pairs), places: impl Iterator<Item = usize>, found: &mut Vec<(usize, Range<usize>)>) {
        let mut stop = 0;
        let bound = self.begins == Begins::AtStart;
        for at in places.filter(|at| *at == 0 || !bound) {
            let rest = text.get(at..).unwrap_or_default();
            if at < stop || !self.heads_match(rest) || !self.holds(text::cut(rest, self.longest), pairs) {
                continue;
            }
            let input = || Input::new(text).range(at..).anchored(Anchored::Yes);
            if let Some(hit) = self.regex().and_then(|regex| regex.find(input())) {
                stop = hit.end();
                found.push((self.rule, hit.range()));
            }
        }
    }

    fn heads_match(&self, text: &str) -> bool {
        let after = self.heads.partition_point(|head| head.as_str() <= text);
        self.heads.is_empty()
            || after.checked_sub(1).and_then(|head| self.heads.get(head)).is_some_and(|head| text.starts_with(head.as_str()))
    }

    /// `pairs` are those of the text of which `text` is a piece.
    fn holds(&self, text: &str, pairs: &Pairs) -> bool {
        self.holds.iter().all(|any_of| any_of.iter().any(|letters| letters.stand_in(text, pairs)))
    }
}

fn letters_of(piece: &Piece) -> &str {
    let (Piece::Word(letters) | Piece::Head(letters) | Piece::Within(letters)) = piece;
    letters
}

fn needed(syntax: &Hir, begins: Begins) -> Needed {
    let heads = if begins == Begins::Anywhere { None } else { heads(syntax) };
    let first = heads.as_deref().and_then(first_words);
    let needs = |shortest| needs(syntax, shortest, (false, false));
    let all = SHORTEST.map(needs).into_iter().find(|needs| !needs.is_empty()).unwrap_or_default();
    let within = |any_of: &AnyOf| any_of.iter().any(|piece| matches!(piece, Piece::Within(_)));
    let (letters, mut words): (Vec<AnyOf>, Vec<AnyOf>) = all.into_iter().partition(within);
    // In scripts of which each letter is a word of its own, that is asked for before the letters are looked for.
    words.extend(letters.iter().filter_map(|any_of| any_of.iter().map(foreign_letter).collect::<Option<AnyOf>>()));
    Needed { heads: heads.unwrap_or_default(), first, words, letters }
}

fn foreign_letter(piece: &Piece) -> Option<Piece> {
    letters_of(piece).chars().find(|c| !c.is_ascii()).map(|c| Piece::Word(c.to_string()))
}

fn begins(syntax: &Hir) -> Begins {
    let before = syntax.properties().look_set_prefix();
    if before.contains(Look::Start) {
        Begins::AtStart
    } else if before.contains(Look::WordAscii) {
        Begins::AtWord
    } else {
        Begins::Anywhere
    }
}

/// The texts with which a form can begin, where they are few: in their order, none the beginning of another.
fn heads(syntax: &Hir) -> Option<Vec<String>> {
    let mut literals = Extractor::new().limit_total(MAX_BEGINNINGS).limit_class(4).extract(syntax);
    literals.keep_first_bytes(24);
    let text = |literal: &Literal| std::str::from_utf8(literal.as_bytes()).ok().map(str::to_owned);
    let mut heads = literals.literals()?.iter().map(text).collect::<Option<Vec<String>>>()?;
    heads.sort_unstable();
    heads.dedup_by(|longer, shorter| longer.starts_with(shorter.as_str()));
    Some(heads)
}

/// The words with which such texts begin.
fn first_words(heads: &[String]) -> Option<AnyOf> {
    let mut all: AnyOf = Vec::new();
    for head in heads {
        let piece = first_piece(head)?;
        if !all.contains(&piece) {
            all.push(piece);
        }
    }
    Some(all).filter(|all| !all.is_empty())
}

fn first_piece(literal: &str) -> Option<Piece> {
    let word: String = literal.chars().take_while(char::is_ascii_alphanumeric).collect();
    match (word.len(), word.len() == literal.len()) {
        (0, _) => None,
        (_, false) => Some(Piece::Word(word)),
        (length, true) => (length > 1).then_some(Piece::Head(word)),
    }
}

/// What must stand in a text for an expression to match in it: of each of these one, nothing shorter than `shortest`. `edges`: whether it begins and
/// ends at a word's edge.
fn needs(syntax: &Hir, shortest: usize, edges: (bool, bool)) -> Vec<AnyOf> {
    match syntax.kind() {
        HirKind::Literal(literal) => {
            let piece = std::str::from_utf8(&literal.0).ok().and_then(|literal| piece(literal, shortest, edges));
            piece.into_iter().map(|piece| vec![piece]).collect()
        }
        HirKind::Capture(capture) => needs(&capture.sub, shortest, edges),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            needs(&repetition.sub, shortest, if repetition.max == Some(1) { edges } else { (false, false) })
        }
        HirKind::Concat(pieces) => {
            let edge = |at: Option<usize>, outer: bool, last: bool| match at {
                None => outer,
                Some(at) => pieces.get(at).is_some_and(|piece| is_edge(piece, last)),
            };
            let of = |(at, piece): (usize, &Hir)| {
                let after = (at + 1 < pieces.len()).then_some(at + 1);
                needs(piece, shortest, (edge(at.checked_sub(1), edges.0, true), edge(after, edges.1, false)))
            };
            pieces.iter().enumerate().flat_map(of).collect()
        }
        HirKind::Alternation(branches) => {
            // Of each branch the rarest; where one branch has none, none of the others is needed either.
            let rarest = |branch: &Hir| needs(branch, shortest, edges).into_iter().max_by_key(|any_of| any_of.iter().map(worth).min());
            let all: Option<Vec<AnyOf>> = branches.iter().map(rarest).collect();
            all.map(|all| all.concat()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a word begins or ends beside an expression: beside a word boundary, or a character that is in no word, on its `last` side.
fn is_edge(syntax: &Hir, last: bool) -> bool {
    match syntax.kind() {
        HirKind::Look(look) => matches!(look, Look::WordAscii | Look::Start | Look::End),
        HirKind::Literal(literal) => {
            let octet = if last { literal.0.last() } else { literal.0.first() };
            octet.is_some_and(|octet| !octet.is_ascii_alphanumeric())
        }
        _ => false,
    }
}

/// How rare and how cheap to look for.
fn worth(piece: &Piece) -> (bool, usize) {
    (!matches!(piece, Piece::Within(_)), letters_of(piece).len())
}

/// The best that a literal has: a word of which one sees where it begins, else its letters.
fn piece(literal: &str, shortest: usize, edges: (bool, bool)) -> Option<Piece> {
    let mut best = (literal.len() >= shortest).then(|| Piece::Within(text::cut(literal, LONGEST).to_owned()));
    let mut at = 0;
    for run in literal.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = run.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let begins = at > 0 || edges.0;
        at += run.len();
        let whole = word.len() < run.len() || edges.1 && at == literal.len();
        let candidate = if whole { Piece::Word(word.to_owned()) } else { Piece::Head(word.to_owned()) };
        let fits = word.len() >= if whole { shortest } else { shortest.max(SHORTEST[0]) };
        if begins && fits && best.as_ref().is_none_or(|best| worth(best) < worth(&candidate)) {
            best = Some(candidate);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(word: &str) -> Piece {
        Piece::Word(word.to_owned())
    }

    fn head(word: &str) -> Piece {
        Piece::Head(word.to_owned())
    }

    fn within(letters: &str) -> Piece {
        Piece::Within(letters.to_owned())
    }

    #[test]
    fn what_a_form_cannot_do_without() {
        let needs = |form: &str| needs(&regex_syntax::parse(form).unwrap(), 3, (false, false));
        let form = r"(?-u:\b)(?:mailbox|user) [^ ]{1,60} (?:is )?unknown";
        assert_eq!(needs(form), [vec![word("mailbox"), word("user")], vec![within("unknown")]]);
        assert_eq!(needs(r"x{1,9} does not exist").len(), 1);
        assert_eq!(needs(r"[a-z] does not exist"), [[head("exist")]]);
        assert_eq!(needs(r"[a-z] is deliver(?:ed|able)"), [[head("deliver")]]);
        assert_eq!(needs(r"(?:full|5\.[0-9])").len(), 0);
        assert_eq!(needs(r"(?:over )*(?:quota){2,}"), [[within("quota")]]);
    }

    #[test]
    fn how_a_form_begins() {
        let how = |form: &str| {
            let syntax = regex_syntax::parse(form).unwrap();
            (begins(&syntax), heads(&syntax).as_deref().and_then(first_words))
        };
        let both = Some(vec![word("mailbox"), word("user")]);
        assert_eq!(how(r"(?-u:\b)(?:mailbox|user) [^ ]{1,60} unknown"), (Begins::AtWord, both.clone()));
        assert_eq!(how(r"(?-u:\b)(?:mailbox )?user [a-z]+"), (Begins::AtWord, both));
        assert_eq!(how(r"(?-u:\b)deliver[a-z]+"), (Begins::AtWord, Some(vec![head("deliver")])));
        assert_eq!(how(r"(?-u:\b)[a-z]+ unknown"), (Begins::AtWord, None));
        assert_eq!(how(r"^re: [a-z]"), (Begins::AtStart, Some(vec![word("re")])));
        assert_eq!(how("quota|full"), (Begins::Anywhere, Some(vec![head("full"), head("quota")])));
    }
}
