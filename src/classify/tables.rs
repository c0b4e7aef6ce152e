//! The tables of codes and phrases, compiled once into linear-time automata.
//!
//! `codes.toml`, `phrases.toml` and `languages.toml` are read at first use. They are part of the program and checked by its tests; should one of them not
//! read nevertheless, the other rules go on alone.

use std::{cmp::Ordering, collections::HashMap, ops::Range, sync::LazyLock};

use serde::Deserialize;

use crate::taxonomy::Status;

use super::{
    automata::{Automata, Learning},
    text::Text,
    words::Vocabulary,
};

const CODES: &str = include_str!("codes.toml");
const PHRASES: [&str; 2] = [include_str!("phrases.toml"), include_str!("languages.toml")];

/// Words over this weight outweigh any status code, exact codes outweigh those up to it.
pub const EXACT: u8 = 60;
/// Words over this weight outweigh a vague code.
pub const VAGUE: u8 = 20;
/// What a bare SMTP reply code weighs.
pub const REPLY: u8 = 15;

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

    /// Whether the words of `other` are looked for together with these.
    fn takes(self, other: Scope) -> bool {
        self == other || self == Scope::Cause && other == Scope::Neutral
    }
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

/// All rules, compiled.
pub struct Phrases {
    rules: Vec<Rule>,
    words: Vocabulary,
    scopes: Vec<(Scope, Automata)>,
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
    let mut hits = TABLE.find(text, scope);
    if scope == Scope::Cause && hits.first().is_none_or(|hit| hit.rule.weight <= EXACT) {
        hits.extend(TABLE.find(text, Scope::Sentence));
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
        let of = |scope: Scope| rules.iter().enumerate().filter(move |(_, row)| scope.takes(row.scope));
        let mut words = Vocabulary::default();
        let learnt = Scope::SOUGHT.map(|scope| (scope, Learning::of(&mut words, of(scope))));
        let scopes = learnt.into_iter().map(|(scope, learning)| (scope, learning.compile(&words))).collect();
        Phrases { rules, words, scopes }
    }

    fn find(&'static self, text: &Text<'_>, scope: Scope) -> Vec<Hit> {
        let Some((_, automata)) = self.scopes.iter().find(|(known, _)| *known == scope) else { return Vec::new() };
        let found = automata.find(text.row(&self.words), text.norm());
        let is_neutral = |rule: usize| self.rules.get(rule).is_some_and(|rule| rule.scope == Scope::Neutral);
        let neutral: Vec<Range<usize>> = found.iter().filter(|(rule, _)| is_neutral(*rule)).map(|(_, range)| range.clone()).collect();
        let mut hits: Vec<Hit> = Vec::new();
        for (rule, range) in found {
            let Some(rule) = self.rules.get(rule).filter(|row| row.scope == scope) else { continue };
            let masked = neutral.iter().any(|masked| masked.start <= range.start && range.end <= masked.end);
            if masked || rule.outside_urls && in_url(text.norm(), range.start) {
                continue;
            }
            match hits.iter_mut().find(|hit| std::ptr::eq(hit.rule, rule)) {
                Some(known) if range.len() > known.range.len() => known.range = range,
                Some(_) => {}
                None => hits.push(Hit { rule, range }),
            }
        }
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
