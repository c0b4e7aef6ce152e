use std::collections::HashSet;

use regex::Regex;

use super::{super::text, *};

#[test]
fn the_tables_read() {
    let rules: Vec<Rule> = PHRASES.into_iter().flat_map(|toml| rules(toml).unwrap()).collect();
    assert!(rules.len() > 40);
    toml::from_str::<CodeFile>(CODES).unwrap();
    for form in rules.iter().flat_map(|rule| &rule.regexes) {
        assert!(Regex::new(form).is_ok(), "{form}");
        assert_eq!(text::folded(form), *form, "letters with marks are never found");
        assert!(form.starts_with(['^', '\\']), "{form} may begin within a word");
    }
    let compiled: usize = TABLE.scopes.iter().map(|(_, automata)| automata.forms().sound()).sum();
    let sought = |scope: Scope| Scope::SOUGHT.into_iter().filter(|known| known.takes(scope)).count();
    assert_eq!(compiled, rules.iter().map(|rule| rule.regexes.len() * sought(rule.scope)).sum::<usize>());
    for begins in rules.iter().flat_map(|rule| &rule.phrases).filter_map(|phrase| phrase.strip_suffix('*')) {
        assert!(begins.len() > 1, "{begins}* goes on after a letter, or after none");
    }
    let unasked: usize = TABLE.scopes.iter().map(|(_, automata)| automata.forms().unasked()).sum();
    assert!(unasked < 8, "{unasked} forms ask for no word at all and are tried on every text");
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
