//! The tables of codes and phrases, compiled once into linear-time automata.
//!
//! `codes.toml`, `phrases.toml` and `languages.toml` are read at first use. They are part of the program and checked by its tests; should one of them not
//! read nevertheless, the other rules go on alone.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    ops::Range,
    sync::LazyLock,
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::{Regex, RegexSet, RegexSetBuilder};
use serde::Deserialize;

use crate::taxonomy::Status;

use super::text::{self, Text};

const CODES: &str = include_str!("codes.toml");
const PHRASES: [&str; 2] = [include_str!("phrases.toml"), include_str!("languages.toml")];

/// Words over this weight outweigh any status code, exact codes outweigh those up to it.
pub const EXACT: u8 = 60;
/// Words over this weight outweigh a vague code.
pub const VAGUE: u8 = 20;
/// What a bare SMTP reply code weighs.
pub const REPLY: u8 = 15;

/// So many octets the automaton of all regexes may take while it is found out.
const FORMS_CACHE: usize = 16 << 20;

/// Where the words of a rule are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Why a delivery failed.
    #[default]
    Cause,
    /// The same, in forms that cost more to look for: only where the words of `Cause` say little.
    Sentence,
    /// In a diagnostic: that it is over.
    Final,
    /// What sort of mail it is.
    Notice,
    Subject,
    /// What notices say whatever the cause: words within these mean nothing.
    Neutral,
}

impl Scope {
    const SOUGHT: [Scope; 5] = [Scope::Cause, Scope::Sentence, Scope::Final, Scope::Notice, Scope::Subject];
}

/// One row of `phrases.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    #[serde(default)]
    pub scope: Scope,
    #[serde(deserialize_with = "status")]
    pub status: Status,
    pub weight: u8,
    #[serde(default)]
    pub phrases: Vec<String>,
    #[serde(default)]
    pub regexes: Vec<String>,
    /// Not where the words stand in a web address: those lead to help pages of every name.
    #[serde(default)]
    pub outside_urls: bool,
    /// Only in what a server said, never in a notice's own sentences.
    #[serde(default)]
    pub in_replies: bool,
    #[serde(default)]
    pub note: Option<String>,
}

/// One row of `codes.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    pub code: String,
    #[serde(deserialize_with = "status")]
    pub status: Status,
    #[serde(default)]
    pub exact: bool,
    #[serde(default)]
    pub note: Option<String>,
}

fn status<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Status, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
struct RuleFile {
    rule: Vec<Rule>,
}

#[derive(Deserialize)]
struct CodeFile {
    code: Vec<Code>,
}

/// A rule whose words stand in a text.
#[derive(Debug, Clone)]
pub struct Hit {
    pub rule: &'static Rule,
    /// In the text's comparable form.
    pub range: Range<usize>,
}

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

/// All rules, compiled.
pub struct Phrases {
    rules: Vec<Rule>,
    scopes: Vec<(Scope, Automata)>,
}

/// The rules that are looked for together.
struct Automata {
    ascii: Option<Words>,
    /// The others: only asked where a text has such letters at all.
    wide: Option<Words>,
    forms: Vec<(usize, Regex)>,
    any_form: RegexSet,
}

/// All codes, by code.
pub struct Codes(HashMap<String, Code>);

static TABLE: LazyLock<Phrases> =
    LazyLock::new(|| Phrases::compile(PHRASES.into_iter().flat_map(|toml| rules(toml).unwrap_or_default()).collect()));
static CODE_TABLE: LazyLock<Codes> = LazyLock::new(|| Codes::read(CODES));

fn rules(toml: &str) -> Result<Vec<Rule>, toml::de::Error> {
    toml::from_str::<RuleFile>(toml).map(|file| file.rule)
}

/// The rules of `scope` whose words stand in `text`, the heaviest first, then the longest, then the earliest; at most one hit a rule.
pub fn find(text: &Text<'_>, scope: Scope) -> Vec<Hit> {
    let mut hits = TABLE.find(text.norm(), scope);
    if scope == Scope::Cause && hits.first().is_none_or(|hit| hit.rule.weight <= EXACT) {
        hits.extend(TABLE.find(text.norm(), Scope::Sentence));
        hits.sort_by(heaviest);
    }
    hits
}

fn heaviest(a: &Hit, b: &Hit) -> Ordering {
    let (longer, earlier) = (b.range.len().cmp(&a.range.len()), a.range.start.cmp(&b.range.start));
    b.rule.weight.cmp(&a.rule.weight).then(longer).then(earlier).then(a.rule.name.cmp(&b.rule.name))
}

/// What the tables' keeper noted beside a rule, `code-5.1.1` and `reply-552` among them.
pub fn note(rule: &str) -> Option<&'static str> {
    let coded = rule.strip_prefix("code-").or_else(|| rule.strip_prefix("reply-"));
    match coded {
        Some(row) => code(row)?.note.as_deref(),
        None => TABLE.rules.iter().find(|row| row.name == rule)?.note.as_deref(),
    }
}

/// What the tables say of an enhanced status code or a reply code.
pub fn code(code: &str) -> Option<&'static Code> {
    CODE_TABLE.get(code)
}

impl Phrases {
    fn compile(rules: Vec<Rule>) -> Phrases {
        let scopes = Scope::SOUGHT.into_iter().map(|scope| (scope, Automata::compile(&rules, scope))).collect();
        Phrases { rules, scopes }
    }

    fn find(&'static self, text: &str, scope: Scope) -> Vec<Hit> {
        let Some((_, automata)) = self.scopes.iter().find(|(known, _)| *known == scope) else { return Vec::new() };
        let found = automata.find(text);
        let is_neutral = |rule: usize| self.rules.get(rule).is_some_and(|rule| rule.scope == Scope::Neutral);
        let neutral: Vec<Range<usize>> = found.iter().filter(|(rule, _)| is_neutral(*rule)).map(|(_, range)| range.clone()).collect();
        let mut best: HashMap<usize, Range<usize>> = HashMap::new();
        for (rule, range) in found {
            let Some(row) = self.rules.get(rule).filter(|row| row.scope == scope) else { continue };
            let masked = neutral.iter().any(|masked| masked.start <= range.start && range.end <= masked.end);
            if masked || row.outside_urls && in_url(text, range.start) {
                continue;
            }
            let kept = best.entry(rule).or_insert_with(|| range.clone());
            if range.len() > kept.len() {
                *kept = range;
            }
        }
        let mut hits: Vec<Hit> = best.into_iter().filter_map(|(rule, range)| Some(Hit { rule: self.rules.get(rule)?, range })).collect();
        hits.sort_by(heaviest);
        hits
    }
}

/// Whether the word at `at` is part of a web address.
fn in_url(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let word = before.rsplit(' ').next().unwrap_or_default();
    word.contains("://") || word.contains("www.")
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

impl Automata {
    fn compile(rules: &[Rule], scope: Scope) -> Automata {
        let (mut ascii, mut wide, mut forms) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (rule, row) in
            rules.iter().enumerate().filter(|(_, row)| row.scope == scope || scope == Scope::Cause && row.scope == Scope::Neutral)
        {
            for phrase in row.phrases.iter().flat_map(|phrase| spellings(phrase)).filter(|phrase| seen.insert((rule, phrase.clone()))) {
                let (at_start, phrase) = phrase.strip_prefix('^').map_or((false, phrase.as_str()), |rest| (true, rest));
                let (at_end, phrase) = phrase.strip_suffix('$').map_or((false, phrase), |rest| (true, rest));
                let (open_end, phrase) = phrase.strip_suffix('*').map_or((false, phrase), |rest| (true, rest));
                let list = if phrase.is_ascii() { &mut ascii } else { &mut wide };
                list.push((phrase.to_owned(), Pattern { rule, at_start, at_end, open_end }));
            }
            forms.extend(row.regexes.iter().filter_map(|form| Some((rule, Regex::new(&plain(form)).ok()?))));
        }
        let any_form = RegexSetBuilder::new(forms.iter().map(|(_, form)| form.as_str())).dfa_size_limit(FORMS_CACHE).build();
        let any_form = any_form.unwrap_or_else(|_| RegexSet::empty());
        // The automatic choice trades speed for a small automaton. Over ASCII alone a DFA stays small as well; over UTF-8 it would take six
        // times the memory.
        let (ascii, wide) = (Words::compile(ascii, AhoCorasickKind::DFA), Words::compile(wide, AhoCorasickKind::ContiguousNFA));
        Automata { ascii, wide, forms, any_form }
    }

    /// Each place where the words of a rule stand.
    fn find(&self, text: &str) -> Vec<(usize, Range<usize>)> {
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
        for index in self.any_form.matches(text) {
            if let Some((rule, form)) = self.forms.get(index) {
                found.extend(form.find_iter(text).map(|hit| (*rule, hit.range())));
            }
        }
        found
    }
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

impl Codes {
    fn read(toml: &str) -> Codes {
        let rows = toml::from_str::<CodeFile>(toml).map(|file| file.code).unwrap_or_default();
        Codes(rows.into_iter().map(|row| (row.code.clone(), row)).collect())
    }

    fn get(&self, code: &str) -> Option<&Code> {
        if let Some(row) = self.0.get(code) {
            return Some(row);
        }
        let mut parts = code.splitn(3, '.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        [format!("x.{subject}.{detail}"), format!("{class}.{subject}.*"), format!("x.{subject}.*")].iter().find_map(|key| self.0.get(key))
    }
}

#[cfg(test)]
mod tests;
