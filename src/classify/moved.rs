//! Where a person moved, as they or their autoresponder say.

use std::sync::LazyLock;

use regex::Regex;

use crate::{address, message::Report, taxonomy::Status};

use super::{
    author::opening,
    prose::{self, Prose, system_address},
    recipient,
    tables::{self, Scope},
    text::{self, Text},
    weigh,
};

/// So far behind the words that announce it a new address may stand, in octets; before them it is right there.
const AFTER: usize = 600;
const BEFORE: usize = 100;
/// From this weight on the words are in the first person.
const FIRST_PERSON: u8 = 90;

/// One address in the place of another.
static FROM_TO: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^[^@]*@(?: is)? (?:to|into|with|by|auf|in|zu|nach|durch|par|a|con|por|naar|door|na|til|till|med|на|->|=>|→) @").ok()
});

pub struct Moved {
    pub rule: String,
    pub evidence: Option<String>,
    pub new_address: String,
    /// The address that is no more, where the mail comes from the new one.
    pub old_address: Option<String>,
}

/// The new address, where one is given.
pub fn moved(report: &Report, human: &str) -> Option<Moved> {
    let own = opening(human);
    let words = Text::new(&own);
    let hits = tables::find(&words, Scope::Notice);
    // Who left names a colleague, unless the address bears their own name.
    let left = hits.iter().any(|hit| hit.rule.name == "left-notice");
    let theirs = |weight: u8, new: &str| !left || weight >= FIRST_PERSON || is_namesake(report, new);
    let first_person = hits.iter().filter(|hit| hit.rule.status == Status::AddressChange).find_map(|hit| {
        let new_address = new_address(report, &words, hit.range.start).filter(|new| theirs(hit.rule.weight, new))?;
        Some(Moved {
            rule: hit.rule.name.clone(),
            evidence: Some(words.evidence(hit.range.clone())),
            old_address: old_address(report, &own, &new_address),
            new_address,
        })
    });
    first_person.or_else(|| announced(report, human).filter(|moved| theirs(0, &moved.new_address)))
}

/// Whether an address bears the writer's name: all words of the one local part stand in the other.
fn is_namesake(report: &Report, new: &str) -> bool {
    let words = |address: &str| -> Vec<String> {
        let local = address::split(address).map_or("", |(local, _)| local);
        local.split(['.', '-', '_', '+']).filter(|word| word.chars().count() > 2).map(str::to_owned).collect()
    };
    let new = words(new);
    report.header.from.iter().filter_map(|one| address::normal(one)).filter(|one| !system_address(one)).any(|from| {
        let old = words(&from);
        let within = |some: &[String], all: &[String]| !some.is_empty() && some.iter().all(|word| all.contains(word));
        within(&old, &new) || within(&new, &old)
    })
}

fn announced(report: &Report, human: &str) -> Option<Moved> {
    let mut known = recipient::named_addresses(report, &Prose::of(&""));
    known.extend(report.header.from.iter().chain(&report.header.to).cloned());
    let clue = weigh::moved_to(human, &known)?;
    Some(Moved { rule: clue.rule, evidence: clue.evidence, new_address: clue.new_address?, old_address: None })
}

/// The first address at or after a place in the writer's own words, else the one right before it; none of ours.
pub fn new_address(report: &Report, words: &Text<'_>, from: usize) -> Option<String> {
    let ours: Vec<String> = report.header.to.iter().filter_map(|one| address::normal(one)).collect();
    let strange = |one: &String| !ours.contains(one) && !system_address(one);
    // "from one to another": the second.
    let replaced = FROM_TO.as_ref().is_some_and(|form| form.is_match(text::cut(words.norm().get(from..).unwrap_or_default(), AFTER)));
    let after = prose::addresses(text::cut(words.tail(from), AFTER)).into_iter().filter(strange).nth(usize::from(replaced));
    after.or_else(|| prose::addresses(words.before(from, BEFORE)).into_iter().rev().find(strange))
}

/// Who writes from the new address may name the old one.
fn old_address(report: &Report, own: &str, new: &str) -> Option<String> {
    let mut from = report.header.from.iter().filter_map(|one| address::normal(one));
    if !from.any(|one| one == new) {
        return None;
    }
    let ours: Vec<String> = report.header.to.iter().filter_map(|one| address::normal(one)).collect();
    prose::addresses(text::cut(own, AFTER)).into_iter().find(|one| one != new && !ours.contains(one))
}
