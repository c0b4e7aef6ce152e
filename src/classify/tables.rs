//! The tables of codes and phrases, compiled once into linear-time automata.
//!
//! `codes.toml` and `phrases.toml` are read at first use. They are part of the program and checked by its tests; should one of them not
//! read nevertheless, the other rules go on alone.

use std::{collections::HashMap, ops::Range, sync::LazyLock};

use serde::Deserialize;

use crate::taxonomy::Status;

use super::{automata::Automata, text::Text};

const CODES: &str = include_str!("codes.toml");
const PHRASES: &str = include_str!("phrases.toml");

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
    /// In a diagnostic: that it is over.
    Final,
    /// What sort of mail it is.
    Notice,
    Subject,
    /// What notices say whatever the cause: words within these mean nothing.
    Neutral,
}

impl Scope {
    const SOUGHT: [Scope; 4] = [Scope::Cause, Scope::Final, Scope::Notice, Scope::Subject];

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
    scopes: Vec<(Scope, Automata)>,
}

/// All codes, by code.
pub struct Codes(HashMap<String, Code>);

static TABLE: LazyLock<Phrases> = LazyLock::new(|| Phrases::compile(rules(PHRASES).unwrap_or_default()));
static CODE_TABLE: LazyLock<Codes> = LazyLock::new(|| Codes::read(CODES));

fn rules(toml: &str) -> Result<Vec<Rule>, toml::de::Error> {
    toml::from_str::<RuleFile>(toml).map(|file| file.rule)
}

/// The rules of `scope` whose words stand in `text`, the heaviest first, then the longest, then the earliest; at most one hit a rule.
pub fn find(text: &Text<'_>, scope: Scope) -> Vec<Hit> {
    TABLE.find(text.norm(), scope)
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
        let scopes = Scope::SOUGHT.into_iter().map(|scope| (scope, Automata::compile(of(scope)))).collect();
        Phrases { rules, scopes }
    }

    fn find(&'static self, text: &str, scope: Scope) -> Vec<Hit> {
        let Some((_, automata)) = self.scopes.iter().find(|(known, _)| *known == scope) else { return Vec::new() };
        let found = automata.find(text);
        let is_neutral = |rule: usize| self.rules.get(rule).is_some_and(|rule| rule.scope == Scope::Neutral);
        let neutral: Vec<Range<usize>> = found.iter().filter(|(rule, _)| is_neutral(*rule)).map(|(_, range)| range.clone()).collect();
        let mut hits: Vec<Hit> = Vec::new();
        for (rule, range) in found {
            let Some(rule) = self.rules.get(rule).filter(|row| row.scope == scope) else { continue };
            let masked = neutral.iter().any(|masked| masked.start <= range.start && range.end <= masked.end);
            if masked || rule.outside_urls && in_url(text, range.start) {
                continue;
            }
            match hits.iter_mut().find(|hit| std::ptr::eq(hit.rule, rule)) {
                Some(known) if range.len() > known.range.len() => known.range = range,
                Some(_) => {}
                None => hits.push(Hit { rule, range }),
            }
        }
        hits.sort_by(|a, b| {
            b.rule
                .weight
                .cmp(&a.rule.weight)
                .then(b.range.len().cmp(&a.range.len()))
                .then(a.range.start.cmp(&b.range.start))
                .then(a.rule.name.cmp(&b.rule.name))
        });
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
mod tests {
    use std::collections::HashSet;

    use regex::Regex;

    use super::{super::text, *};

    #[test]
    fn the_tables_read() {
        let rules = rules(PHRASES).unwrap();
        assert!(rules.len() > 40);
        toml::from_str::<CodeFile>(CODES).unwrap();
        let octets: usize = TABLE.scopes.iter().map(|(_, automata)| automata.forms().octets()).sum();
        assert!(octets < 4 << 20, "{octets}");
        for form in rules.iter().flat_map(|rule| &rule.regexes) {
            assert!(Regex::new(form).is_ok(), "{form}");
            assert_eq!(text::folded(form), *form, "letters with marks are never found");
            assert!(form.starts_with(['^', '\\']), "{form} may begin within a word");
        }
        let compiled: usize = TABLE.scopes.iter().map(|(_, automata)| automata.forms().len()).sum();
        // Phrases that let a word go on are forms as well.
        assert!(compiled >= rules.iter().map(|rule| rule.regexes.len()).sum::<usize>(), "{compiled}");
        let unasked: Vec<&str> = TABLE.scopes.iter().flat_map(|(_, automata)| automata.forms().unasked()).collect();
        assert!(unasked.len() < 8, "forms that ask for no word at all are tried on every text: {unasked:#?}");
    }

    #[test]
    fn names_and_phrases_are_unique_and_well_formed() {
        let mut names = HashSet::new();
        let mut phrases = HashSet::new();
        for rule in &TABLE.rules {
            assert!(names.insert(&rule.name), "rule {} stands twice", rule.name);
            assert!(rule.weight <= 100, "{}", rule.name);
            assert!(!rule.phrases.is_empty() || !rule.regexes.is_empty(), "{} has no words", rule.name);
            for phrase in &rule.phrases {
                assert!(phrases.insert((rule.scope, phrase)), "'{phrase}' of {} stands twice", rule.name);
            }
        }
        let codes = toml::from_str::<CodeFile>(CODES).unwrap().code;
        let unique: HashSet<&String> = codes.iter().map(|row| &row.code).collect();
        assert_eq!(unique.len(), codes.len(), "a code stands twice");
    }

    /// A phrase that is not in the form that texts are brought to could never match.
    #[test]
    fn each_phrase_can_be_reached() {
        for rule in &TABLE.rules {
            for phrase in &rule.phrases {
                let bare = phrase.trim_start_matches('^').trim_end_matches('$').trim_end_matches('*');
                let text = Text::new(bare);
                assert_eq!(text.norm(), text::folded(bare), "'{phrase}' of {} is not in the comparable form", rule.name);
                if rule.scope == Scope::Neutral {
                    continue;
                }
                let found = find(&text, rule.scope);
                assert!(found.iter().any(|hit| hit.rule.name == rule.name), "'{phrase}' of {} is not found in itself", rule.name);
            }
        }
    }

    #[test]
    fn every_status_has_a_rule() {
        let ruled: HashSet<Status> = TABLE.rules.iter().map(|rule| rule.status).collect();
        for status in Status::ALL {
            // No words say that a recipient isn't named.
            assert!(ruled.contains(&status) || status == Status::BounceNoAddress, "{status}");
        }
    }

    #[test]
    fn words_match_whole() {
        let rules = |text: &str| find(&Text::new(text), Scope::Cause).iter().map(|hit| hit.rule.name.clone()).collect::<Vec<_>>();
        assert!(rules("no such user").contains(&"user-unknown".into()));
        assert!(!rules("no such userland").contains(&"user-unknown".into()));
        assert!(!rules("antispamhaus").contains(&"known-spammer".into()));
        assert!(rules("see www.spamhaus.org").contains(&"known-spammer".into()));
        assert!(rules("<no-such-user@example.org> <userunknown@example.org>").is_empty());
    }

    #[test]
    fn codes_fall_back_to_their_subject() {
        assert_eq!(code("5.1.1").map(|c| (c.status, c.exact)), Some((Status::HardBounce, true)));
        assert_eq!(code("4.2.2").map(|c| c.status), Some(Status::SoftBounceMailboxFull));
        assert_eq!(code("5.7.99").map(|c| (c.status, c.exact)), Some((Status::MailBlockGeneral, false)));
        assert_eq!(code("552").map(|c| c.status), Some(Status::SoftBounceMailboxFull));
        assert!(code("5.0.0").is_none());
        assert!(code("").is_none());
    }
}
