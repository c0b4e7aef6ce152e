//! The operator's own rules, tried before all tables.
//!
//! Each is one regular expression of bounded size, compiled when the configuration is read; all together are one automaton, so that a thousand
//! rules cost a mail hardly more than one. Matching is linear in the text. A rule sees what the tables see: the diagnostic, the recipient's own
//! paragraph, the human-readable part; never what is returned of the original.

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::taxonomy::Status;

use super::text::{MAX, cut, tidy};

/// The longest phrase or regular expression, in octets.
const MAX_WORDS: usize = 1000;
/// One compiled rule, in octets.
const MAX_COMPILED: usize = 256 * 1024;
/// All of them, in octets.
const MAX_TOGETHER: usize = 32 * 1024 * 1024;
/// The longest evidence, in characters.
const MAX_EVIDENCE: usize = 200;

/// Between the words of a phrase: white space, and what an SMTP reply repeats at the head of each of its lines (RFC 5321, section 4.2.1).
const GAP: &str = r"\s+(?:<<<\s+)?(?:[45][0-9][0-9][ -](?:[245]\.[0-9]{1,3}\.[0-9]{1,3}\s+)?)?";

/// One rule.
#[derive(Debug, Clone)]
pub struct OperatorRule {
    name: String,
    status: Status,
    /// Lowercased.
    domain: Option<String>,
    form: Regex,
}

/// All rules of one configuration, in its order.
#[derive(Debug, Clone, Default)]
pub struct OperatorRules {
    rules: Vec<OperatorRule>,
    /// All of them; none where there are no rules.
    any: Option<RegexSet>,
}

/// A rule that decided, and the words it matched: bounded, on one line, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched<'r> {
    pub name: &'r str,
    pub status: Status,
    pub evidence: String,
}

impl OperatorRule {
    /// Words as they stand in mail, whole words only; case and the kind of white space, quotes and dashes don't matter.
    ///
    /// # Errors
    /// What is wrong with the phrase, to stand after its key.
    pub fn phrase(name: &str, phrase: &str, status: Status, domain: Option<&str>) -> Result<OperatorRule, String> {
        if !phrase.contains(char::is_alphanumeric) {
            return Err("has no word; write some that stand in the mail".to_owned());
        }
        OperatorRule::new(name, &pattern(phrase), phrase, status, domain)
    }

    /// A regular expression of the regex crate: linear time, no look-around; case doesn't matter unless it says `(?-i)`, `^` and `$` are a line's.
    ///
    /// # Errors
    /// What is wrong with it, to stand after its key.
    pub fn regex(name: &str, regex: &str, status: Status, domain: Option<&str>) -> Result<OperatorRule, String> {
        OperatorRule::new(name, regex, regex, status, domain)
    }

    fn new(name: &str, pattern: &str, written: &str, status: Status, domain: Option<&str>) -> Result<OperatorRule, String> {
        if written.len() > MAX_WORDS {
            return Err(format!("is longer than {MAX_WORDS} octets; write several rules"));
        }
        let compiled = RegexBuilder::new(pattern).case_insensitive(true).multi_line(true).size_limit(MAX_COMPILED).build();
        let form = compiled.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is too large once compiled; use fewer or smaller repetitions".to_owned(),
            regex::Error::Syntax(text) => format!("is no regular expression: {}", reason(&text)),
            other => other.to_string(),
        })?;
        if form.is_match("") {
            return Err("matches even an empty text, so it would match every mail; ask for some words".to_owned());
        }
        Ok(OperatorRule { name: name.to_owned(), status, domain: domain.map(str::to_lowercase), form })
    }

    /// Whether the recipient's domain or provider, any of `hosts`, is the one that the rule is for, or lies below it.
    fn is_for(&self, hosts: &[&str]) -> bool {
        let Some(domain) = &self.domain else { return true };
        hosts.iter().any(|host| {
            let host = host.split([' ', '[', '(']).next().unwrap_or_default().trim_end_matches('.').to_lowercase();
            host.strip_suffix(domain.as_str()).is_some_and(|below| below.is_empty() || below.ends_with('.'))
        })
    }
}

/// The last line of a regex error: the others show the expression with carets, which a one-line message can't.
fn reason(text: &str) -> &str {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().trim_start_matches("error:").trim()
}

/// A phrase as an expression.
fn pattern(phrase: &str) -> String {
    let ends = |c: Option<char>| if c.is_some_and(|c| c.is_ascii_alphanumeric()) { r"(?-u:\b)" } else { "" };
    let words: Vec<String> = phrase.split_whitespace().map(word).collect();
    let phrase = phrase.trim();
    format!("{}{}{}", ends(phrase.chars().next()), words.join(GAP), ends(phrase.chars().next_back()))
}

fn word(word: &str) -> String {
    let letter = |c: char| match c {
        '\'' | '\u{2018}' | '\u{2019}' | '`' | '\u{b4}' => r"['`\x{2018}\x{2019}\x{b4}]".to_owned(),
        '"' | '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => r#"["\x{201c}\x{201d}\x{201e}\x{ab}\x{bb}]"#.to_owned(),
        '-' | '\u{2010}'..='\u{2015}' => r"[\-\x{2010}-\x{2015}]".to_owned(),
        c => regex::escape(c.encode_utf8(&mut [0; 4])),
    };
    word.chars().map(letter).collect()
}

impl OperatorRules {
    /// The rules, the first to be tried first.
    ///
    /// # Errors
    /// They are too large together.
    pub fn new(rules: Vec<OperatorRule>) -> Result<OperatorRules, String> {
        let any = RegexSetBuilder::new(rules.iter().map(|rule| rule.form.as_str()))
            .case_insensitive(true)
            .multi_line(true)
            .size_limit(MAX_TOGETHER)
            .build()
            .map_err(|_| "the rules are too large together; write fewer or simpler ones".to_owned())?;
        Ok(OperatorRules { rules, any: Some(any) })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// The first rule for one of `hosts` that matches, and the first of `texts` that it matches in.
    pub fn find(&self, texts: &[&str], hosts: &[&str]) -> Option<Matched<'_>> {
        let any = self.any.as_ref()?;
        let texts = texts.iter().map(|text| cut(text, MAX));
        let in_text = |text| {
            let rule = any.matches(text).into_iter().find(|&at| self.rules.get(at).is_some_and(|rule| rule.is_for(hosts)))?;
            Some((rule, text))
        };
        let (at, text) = texts.filter_map(in_text).reduce(|best, next| if next.0 < best.0 { next } else { best })?;
        let rule = self.rules.get(at)?;
        let found = rule.form.find(text)?;
        Some(Matched { name: &rule.name, status: rule.status, evidence: tidy(found.as_str(), MAX_EVIDENCE) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(words: &str, domain: Option<&str>) -> OperatorRules {
        OperatorRules::new(vec![OperatorRule::phrase("own", words, Status::HardBounce, domain).unwrap()]).unwrap()
    }

    fn evidence(rules: &OperatorRules, text: &str) -> Option<String> {
        rules.find(&[text], &[]).map(|matched| matched.evidence)
    }

    #[test]
    fn phrases_match_words_as_mail_has_them() {
        let rules = phrase("account ON  holiday", None);
        assert_eq!(evidence(&rules, "550 Account\r\n on\tholiday!").as_deref(), Some("Account on holiday"));
        assert_eq!(evidence(&rules, "550-5.2.1 account on\n550 5.2.1 holiday").as_deref(), Some("account on 550 5.2.1 holiday"));
        assert_eq!(evidence(&rules, "account on holidays"), None);
        assert_eq!(evidence(&rules, "subaccount on holiday"), None);
        assert_eq!(evidence(&phrase("can't find", None), "I can\u{2019}t find it").as_deref(), Some("can\u{2019}t find"));
        assert_eq!(evidence(&phrase("ÜBERFÜLLT", None), "Das Postfach ist überfüllt.").as_deref(), Some("überfüllt"));
        assert_eq!(evidence(&phrase("不存在", None), "收件人不存在").as_deref(), Some("不存在"));
        assert_eq!(evidence(&phrase("(a.c)*", None), "abc"), None);
        assert_eq!(evidence(&phrase("see help@example.net", None), "See help@example.net.").as_deref(), Some("See help@example.net"));
        assert_eq!(evidence(&phrase("see help@example.net", None), "See bob@example.net."), None);
    }

    #[test]
    fn evidence_cannot_steer_a_terminal_nor_grow() {
        let rules = OperatorRules::new(vec![OperatorRule::regex("own", "x[^y]*y", Status::HardBounce, None).unwrap()]).unwrap();
        assert_eq!(evidence(&rules, "x\u{1b}[31m\r\ny").as_deref(), Some("x [31m y"));
        assert_eq!(evidence(&rules, &format!("x{}y", "é".repeat(500))).map(|text| text.chars().count()), Some(200));
    }

    #[test]
    fn a_domain_narrows() {
        let rules = phrase("holiday", Some("Example.ORG"));
        for (hosts, found) in [
            (&["example.org"][..], true),
            (&["mx.EXAMPLE.org."][..], true),
            (&["example.com", "mx1.example.org [192.0.2.1]"][..], true),
            (&["notexample.org"][..], false),
            (&["example.org.example.com"][..], false),
            (&[][..], false),
        ] {
            assert_eq!(rules.find(&["on holiday"], hosts).is_some(), found, "{hosts:?}");
        }
    }

    #[test]
    fn the_first_in_the_file_decides_wherever_it_matches() {
        let one = |name: &str, words: &str| OperatorRule::phrase(name, words, Status::HardBounce, None).unwrap();
        let rules = OperatorRules::new(vec![one("first", "red"), one("second", "blue")]).unwrap();
        assert_eq!(rules.find(&["blue", "red"], &[]).map(|matched| matched.name), Some("first"));
        assert_eq!(rules.find(&["green", "blue"], &[]).map(|matched| matched.name), Some("second"));
        assert_eq!(rules.find(&["green"], &[]), None);
        assert_eq!(OperatorRules::default().find(&["red"], &[]), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |regex: &str| OperatorRule::regex("own", regex, Status::HardBounce, None).unwrap_err();
        assert_eq!(error("(unclosed"), "is no regular expression: unclosed group");
        assert!(error("a*").starts_with("matches even an empty text"));
        assert!(error(r"(?:\w{50}){500}").starts_with("is too large"));
        assert!(error("(?=a)b").contains("look-around"));
        assert!(error(&"a".repeat(1001)).starts_with("is longer"));
        assert!(OperatorRule::phrase("own", " !? ", Status::HardBounce, None).is_err());
    }

    /// Backtracking engines need ages for this.
    #[test]
    fn time_is_linear() {
        let rules = OperatorRules::new(vec![OperatorRule::regex("own", "(?:a+)+b", Status::HardBounce, None).unwrap()]).unwrap();
        assert_eq!(rules.find(&[&"a".repeat(MAX)], &[]), None);
    }
}
