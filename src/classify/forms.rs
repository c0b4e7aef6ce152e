//! Regular expressions, of which each is tried only where it may match.
//!
//! All of them as one automaton would know more states than fit any cache: bounded gaps between many alternatives multiply. So what a form
//! can't do without is read out of its syntax. Most begin with one of a few words: those are tried at these words alone, and only in a text
//! that has the other words, too. The few others are tried on texts that have the words or the letters without which they can't match.

use std::ops::Range;

use memchr::memmem::Finder;
use regex_automata::{Anchored, Input, meta::Regex};
use regex_syntax::hir::{Hir, HirKind, Look, literal::Extractor};

use super::text;

/// Words of so many octets tell texts apart; shorter ones are asked for where a form has no others.
const SHORTEST: [usize; 2] = [3, 2];
/// Of a longer text the head tells enough.
const LONGEST: usize = 12;
/// So many things can be asked of a text.
const MAX_ASKED: usize = 1024;
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
    /// Those that aren't tried at words.
    elsewhere: Vec<usize>,
}

struct Form {
    rule: usize,
    regex: Regex,
    begins: Begins,
    /// Which [`AnyOf`]s must be answered.
    asks: Vec<u16>,
    /// Letters of which some must be there; looked for last.
    holds: Vec<Vec<Finder<'static>>>,
    /// It asks for letters beyond ASCII.
    foreign: bool,
}

/// What words of a text answer, and where forms may begin.
pub struct Answers {
    answered: [u64; MAX_ASKED / 64],
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
    /// What the form begins with.
    first: Option<AnyOf>,
    words: Vec<AnyOf>,
    letters: Vec<AnyOf>,
}

impl Forms {
    /// Also gives what is asked of a text, by number. What doesn't compile is left out.
    pub fn compile<'a>(all: impl Iterator<Item = (usize, &'a str)>) -> (Forms, Vec<AnyOf>) {
        let mut forms = Forms::default();
        let mut asked: Vec<AnyOf> = Vec::new();
        for (rule, form) in all {
            let (Ok(regex), Ok(syntax)) = (Regex::new(form), regex_syntax::parse(form)) else { continue };
            let begins = begins(&syntax);
            let Needed { first, words, letters } = needed(&syntax, begins);
            let at_words = first.is_some();
            let beyond_ascii = |any_of: &AnyOf| any_of.iter().all(|piece| !letters_of(piece).is_ascii());
            let mut form = Form { rule, regex, begins, asks: Vec::new(), holds: Vec::new(), foreign: letters.iter().any(beyond_ascii) };
            for any_of in first.into_iter().chain(words).take(MAX_ASKED - asked.len()) {
                form.asks.push(u16::try_from(asked.len()).unwrap_or(u16::MAX));
                forms.asked_by.push((at_words && form.asks.len() == 1).then_some(forms.forms.len()));
                asked.push(any_of);
            }
            if !at_words || form.asks.is_empty() {
                form.holds = letters.iter().map(|any_of| any_of.iter().map(finder).collect()).collect();
                forms.elsewhere.push(forms.forms.len());
            }
            forms.forms.push(form);
        }
        (forms, asked)
    }

    pub fn answers(&self) -> Answers {
        Answers { answered: [0; MAX_ASKED / 64], places: Vec::new() }
    }

    /// Takes down what the word at a place answers.
    pub fn answer(&self, answers: &mut Answers, number: u16, at: usize) {
        if let Some(bits) = answers.answered.get_mut(usize::from(number) / 64) {
            *bits |= 1 << (number % 64);
        }
        answers.places.extend(self.asked_by.get(usize::from(number)).copied().flatten().map(|form| (form, at)));
    }

    /// Each place where a form stands, with its rule.
    pub fn find(&self, answers: Answers, text: &str, found: &mut Vec<(usize, Range<usize>)>) {
        let Answers { answered, mut places } = answers;
        places.sort_unstable();
        let is_answered = |number: &u16| answered.get(usize::from(*number) / 64).is_some_and(|bits| bits & 1 << (number % 64) != 0);
        let asks = |form: &&Form| form.asks.iter().all(is_answered);
        for same in places.chunk_by(|a, b| a.0 == b.0) {
            let form = same.first().and_then(|(form, _)| self.forms.get(*form)).filter(asks);
            form.into_iter().for_each(|form| form.at(text, same.iter().map(|(_, at)| *at), found));
        }
        let ascii = text.is_ascii();
        let elsewhere = self.elsewhere.iter().filter_map(|form| self.forms.get(*form)).filter(|form| !(ascii && form.foreign));
        for form in elsewhere.filter(asks).filter(|form| form.holds(text)) {
            match form.begins {
                Begins::AtStart => form.at(text, std::iter::once(0), found),
                _ => found.extend(form.regex.find_iter(text).map(|hit| (form.rule, hit.range()))),
            }
        }
    }

    /// The forms for which nothing must stand in a text.
    #[cfg(test)]
    pub fn unasked(&self) -> usize {
        self.forms.iter().filter(|form| form.begins == Begins::Anywhere && form.asks.is_empty() && form.holds.is_empty()).count()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.forms.len()
    }
}

impl Form {
    /// Tries the form at these places, which are in their order.
    fn at(&self, text: &str, places: impl Iterator<Item = usize>, found: &mut Vec<(usize, Range<usize>)>) {
        let mut stop = 0;
        let bound = self.begins == Begins::AtStart;
        for at in places.filter(|at| *at == 0 || !bound) {
            let input = Input::new(text).range(at..).anchored(Anchored::Yes);
            if at >= stop
                && let Some(hit) = self.regex.find(input)
            {
                stop = hit.end();
                found.push((self.rule, hit.range()));
            }
        }
    }

    fn holds(&self, text: &str) -> bool {
        self.holds.iter().all(|any_of| any_of.iter().any(|finder| finder.find(text.as_bytes()).is_some()))
    }
}

fn finder(piece: &Piece) -> Finder<'static> {
    Finder::new(letters_of(piece)).into_owned()
}

fn letters_of(piece: &Piece) -> &str {
    let (Piece::Word(letters) | Piece::Head(letters) | Piece::Within(letters)) = piece;
    letters
}

fn needed(syntax: &Hir, begins: Begins) -> Needed {
    let first = beginnings(syntax).filter(|_| begins != Begins::Anywhere);
    let all = SHORTEST.map(|shortest| needs(syntax, shortest)).into_iter().find(|needs| !needs.is_empty()).unwrap_or_default();
    let within = |any_of: &AnyOf| any_of.iter().any(|piece| matches!(piece, Piece::Within(_)));
    let (letters, mut words): (Vec<AnyOf>, Vec<AnyOf>) = all.into_iter().partition(within);
    // In scripts of which each letter is a word of its own, that is asked for before the letters are looked for.
    words.extend(letters.iter().filter_map(|any_of| any_of.iter().map(foreign_letter).collect::<Option<AnyOf>>()));
    Needed { first, words, letters }
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

/// The words with which a form can begin, where they are few.
fn beginnings(syntax: &Hir) -> Option<AnyOf> {
    let mut literals = Extractor::new().limit_total(MAX_BEGINNINGS).limit_class(4).extract(syntax);
    literals.keep_first_bytes(24);
    literals.dedup();
    let literals = literals.literals()?;
    let mut all: AnyOf = Vec::new();
    for literal in literals {
        let literal = std::str::from_utf8(literal.as_bytes()).ok()?;
        let piece = first_piece(literal)?;
        if !all.contains(&piece) {
            all.push(piece);
        }
    }
    Some(all)
}

fn first_piece(literal: &str) -> Option<Piece> {
    let word: String = literal.chars().take_while(char::is_ascii_alphanumeric).collect();
    match (word.len(), word.len() == literal.len()) {
        (0, _) => None,
        (_, false) => Some(Piece::Word(word)),
        (length, true) => (length > 1).then_some(Piece::Head(word)),
    }
}

/// What must stand in a text for an expression to match in it: of each of these one, nothing shorter than `shortest`.
fn needs(syntax: &Hir, shortest: usize) -> Vec<AnyOf> {
    match syntax.kind() {
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).ok().and_then(|literal| piece(literal, shortest)).into_iter().map(|piece| vec![piece]).collect()
        }
        HirKind::Capture(capture) => needs(&capture.sub, shortest),
        HirKind::Repetition(repetition) if repetition.min > 0 => needs(&repetition.sub, shortest),
        HirKind::Concat(pieces) => pieces.iter().flat_map(|piece| needs(piece, shortest)).collect(),
        HirKind::Alternation(branches) => {
            // Of each branch the rarest; where one branch has none, none of the others is needed either.
            let rarest = |branch: &Hir| needs(branch, shortest).into_iter().max_by_key(|any_of| any_of.iter().map(worth).min());
            let all: Option<Vec<AnyOf>> = branches.iter().map(rarest).collect();
            all.map(|all| all.concat()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// How rare and how cheap to look for.
fn worth(piece: &Piece) -> (bool, usize) {
    (!matches!(piece, Piece::Within(_)), letters_of(piece).len())
}

/// The best that a literal has: a word of which the literal shows where it begins, else its letters.
fn piece(literal: &str, shortest: usize) -> Option<Piece> {
    let mut best = (literal.len() >= shortest).then(|| Piece::Within(text::cut(literal, LONGEST).to_owned()));
    let mut at = 0;
    for run in literal.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = run.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let whole = word.len() < run.len();
        // Of a word at the literal's start nobody knows whether it begins there, and a character of another script is a word.
        let candidate = if whole { Piece::Word(word.to_owned()) } else { Piece::Head(word.to_owned()) };
        let fits = word.len() >= if whole { shortest } else { shortest.max(SHORTEST[0]) };
        if at > 0 && fits && best.as_ref().is_none_or(|best| worth(best) < worth(&candidate)) {
            best = Some(candidate);
        }
        at += run.len();
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
        let needs = |form: &str| needs(&regex_syntax::parse(form).unwrap(), 3);
        let form = r"(?-u:\b)(?:mailbox|user) [^ ]{1,60} (?:is )?unknown";
        assert_eq!(needs(form), [vec![within("mailbox"), within("user")], vec![within("unknown")]]);
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
            (begins(&syntax), beginnings(&syntax))
        };
        let both = Some(vec![word("mailbox"), word("user")]);
        assert_eq!(how(r"(?-u:\b)(?:mailbox|user) [^ ]{1,60} unknown"), (Begins::AtWord, both.clone()));
        assert_eq!(how(r"(?-u:\b)(?:mailbox )?user [a-z]+"), (Begins::AtWord, both));
        assert_eq!(how(r"(?-u:\b)deliver[a-z]+"), (Begins::AtWord, Some(vec![head("deliver")])));
        assert_eq!(how(r"(?-u:\b)[a-z]+ unknown"), (Begins::AtWord, None));
        assert_eq!(how(r"^re: [a-z]"), (Begins::AtStart, Some(vec![word("re")])));
        assert_eq!(how("quota|full"), (Begins::Anywhere, Some(vec![head("quota"), head("full")])));
    }
}
