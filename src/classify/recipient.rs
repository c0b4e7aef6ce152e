//! Who failed: taxonomy rule 4. Per-recipient fields come first, then `X-Failed-Recipients`, the prose, and last of all the returned
//! original's To. Neither the sender nor the mail system itself is ever taken out of prose.

use crate::{
    address,
    message::{RecipientFields, Report},
};

use super::{
    author::is_desk,
    prose::{self, Prose, address_in, distinct, system_address},
    said,
    text::Text,
};

/// So many recipients of one mail are told apart.
pub const MAX: usize = 100;

/// One recipient that a bounce speaks of.
#[derive(Debug, Clone, Default)]
pub struct Recipient<'a> {
    /// In normal form; `None` where the mail doesn't say.
    pub address: Option<String>,
    /// Other names of the same one, in normal form.
    pub aliases: Vec<String>,
    pub fields: Option<&'a RecipientFields>,
}

/// All recipients that a bounce speaks of, at least one.
pub fn recipients<'a>(report: &'a Report, prose: &Prose) -> Vec<Recipient<'a>> {
    let mut found: Vec<Recipient<'a>> = report.recipients.iter().take(MAX).map(of_fields).collect();
    part(&mut found, prose);
    if found.is_empty() {
        found = unlisted(report, prose);
    } else if found.len() == 1 && found.iter().all(|one| one.address.is_none()) {
        let named = unlisted(report, prose).into_iter().next().and_then(|one| one.address);
        found.iter_mut().for_each(|one| one.address = named.clone());
    }
    if found.is_empty() {
        found.push(Recipient::default());
    }
    found
}

fn of_fields(fields: &RecipientFields) -> Recipient<'_> {
    let names: Vec<String> = [&fields.original_recipient, &fields.final_recipient, &fields.actual_recipient]
        .into_iter()
        .flatten()
        .filter_map(|name| address_in(name))
        .collect();
    let mut names = distinct(names).into_iter();
    Recipient { address: names.next(), aliases: names.collect(), fields: Some(fields) }
}

/// Blocks under one and the same name are those whom an alias or a list expanded to. What tells them apart is the final recipient, or, where
/// that is the same too (Exim), the paragraph that has the block's diagnostic.
fn part(found: &mut [Recipient<'_>], prose: &Prose) {
    let shared = |found: &[Recipient<'_>]| -> Vec<usize> {
        let twin = |at: usize| {
            found.iter().enumerate().any(|(other, one)| other != at && found.get(at).is_some_and(|this| this.address == one.address))
        };
        (0..found.len()).filter(|&at| twin(at)).collect()
    };
    for at in shared(found) {
        let Some(one) = found.get_mut(at) else { continue };
        if let Some(last) =
            one.fields.and_then(|fields| fields.final_recipient.as_deref()).and_then(address_in).filter(|last| one.aliases.contains(last))
        {
            one.aliases.retain(|alias| *alias != last);
            one.aliases.extend(one.address.replace(last));
        }
    }
    for at in shared(found) {
        let Some(one) = found.get_mut(at) else { continue };
        let Some(diagnostic) = one.fields.and_then(|fields| fields.diagnostic.as_deref()) else { continue };
        let diagnostic = Text::new(diagnostic);
        let theirs = prose
            .sections()
            .iter()
            .find(|section| diagnostic.norm().len() > 8 && Text::new(&section.text).norm().contains(diagnostic.norm()));
        if let Some(section) = theirs {
            one.aliases.extend(one.address.replace(section.address.clone()));
        }
    }
}

/// Without per-recipient fields.
fn unlisted<'a>(report: &'a Report, prose: &Prose) -> Vec<Recipient<'a>> {
    let own = own(report);
    let original: Vec<String> = report.original.iter().flat_map(|original| &original.to).filter_map(|to| address::normal(to)).collect();
    let known = |one: &String| {
        own.contains(one)
            || system_address(one)
            || managed(one).any(|list| original.contains(&list) || prose.named().mentioned.contains(&list))
    };
    let strange = |list: &[String]| -> Vec<String> { list.iter().filter(|one| !known(one)).cloned().collect() };
    let before_reply = || said::reply(prose.human()).and_then(|reply| Some((prose.human().split_once(reply)?.0, reply)));
    let quoted = before_reply().map(|(before, reply)| (strange(&prose::addresses(before)), prose::addresses(reply)));
    // The reply may give another address, where the person is now; the notice has named whom it speaks of before that.
    let new =
        |one: &String| quoted.as_ref().is_some_and(|(before, reply)| !before.is_empty() && !before.contains(one) && reply.contains(one));
    let headed = headed(prose);
    let others = || strange(&prose.named().mentioned).len() > 1;
    let counts = |one: &String| !(new(one) || signs_off(prose.human(), one) && others());
    let headed = if headed.len() == 1 { headed.into_iter().filter(counts).collect() } else { headed };
    let listed: Vec<String> = report.header.failed_recipients.iter().filter_map(|one| address_in(one)).collect();
    let disposed = report.disposition.iter().flat_map(|one| one.original_recipient.iter().chain(&one.final_recipient));
    let disposed: Vec<String> = disposed.filter_map(|one| address_in(one)).take(1).collect();
    let choices = [listed, disposed, strange(&headed), strange(&prose.named().commanded)];
    if let Some(all) = choices.into_iter().find(|list| !list.is_empty()) {
        return distinct(all).into_iter().take(MAX).map(named).collect();
    }
    let several = local_parts(prose, &original);
    if several.len() > 1 {
        return several;
    }
    let local = || local_part(report, prose, &original, prose.local_parts().iter().map(|local| local.address.as_str()));
    let spoken_of = || local_part(report, prose, &original, prose.spoken_of().iter().map(String::as_str));
    let reached: Vec<String> = report.header.to.iter().filter_map(|to| address::normal(to)).collect();
    let single = |list: Vec<String>| list.into_iter().next();
    let all_named = || prose.named().introduced.iter().chain(&prose.named().mentioned);
    let told = |list: &[String]| strange(list).into_iter().find(|one| !new(one));
    let one = told(&prose.named().introduced)
        .or_else(local)
        .or_else(|| told(&prose.named().mentioned))
        // Whom the notice itself reached was not the one.
        .or_else(|| single(original.clone()).filter(|to| original.len() == 1 && !reached.contains(to)))
        .or_else(|| single(headed).filter(|one| !reached.contains(one)))
        .or_else(spoken_of)
        .or_else(|| all_named().find(|one| prose::role_address(one) && !own.contains(one)).cloned())
        // A mailbox may say of itself that it is full.
        .or_else(|| {
            all_named().find(|one| report.header.from.iter().any(|from| from == *one) && !system_address(one) && !is_desk(one)).cloned()
        })
        .or_else(|| single(strange(&prose::addresses(report.header.subject.as_deref().unwrap_or_default()))));
    let others: Vec<String> = one.iter().flat_map(|one| strange(&together(prose.human(), one))).take(MAX).collect();
    distinct(one.into_iter().chain(others).collect()).into_iter().map(named).collect()
}

/// Those that stand in one list with an address of running text: nothing but a comma, a semicolon or "and" between them.
fn together(human: &str, first: &str) -> Vec<String> {
    let lower = human.to_ascii_lowercase();
    let mut rest = lower.split_once(first).map_or("", |(_, rest)| rest);
    let mut found = Vec::new();
    while found.len() < MAX {
        let bare = rest.trim_start_matches(['>', '"', '\'', ' ', ')']);
        let next = [", and ", ",", ";", " and ", "and "].iter().find_map(|parts| bare.strip_prefix(parts));
        let Some(next) = next.map(|next| next.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '<' | '"' | '\'' | '(')))
        else {
            break;
        };
        let word =
            next.split(|c: char| c.is_whitespace() || matches!(c, '>' | ',' | ';' | '"' | '\'' | ')' | ':')).next().unwrap_or_default();
        let Some(address) = Some(word.trim_end_matches('.')).filter(|word| word.contains('.')).and_then(address::normal) else { break };
        found.push(address);
        rest = next.get(word.len()..).unwrap_or_default();
    }
    found
}

/// What the sentence that leads up to the failed recipients has in it.
const FOLLOWING: &[&str] =
    &["following", "folgende", "suivant", "siguiente", "seguente", "seguinte", "volgende", "następując", "следующ", "下列", "以下"];

/// Those at the heads of paragraphs. Exchange repeats the original's To, Subject and time before it names who couldn't be reached: that
/// paragraph ends in the sentence that leads up to the others.
fn headed(prose: &Prose) -> Vec<String> {
    let leads_on = |text: &str| {
        let mut lines = text.trim_end().lines().map(|line| line.trim().to_lowercase()).rev();
        let last = lines.next().unwrap_or_default();
        let announces = last.ends_with([':', '：']) && FOLLOWING.iter().any(|word| last.contains(word));
        announces
            && (text.trim_start().starts_with([';', ','])
                || lines.any(|line| line.split(' ').next().is_some_and(|word| word.ends_with(':'))))
    };
    let last = prose.sections().len().saturating_sub(1);
    let first = prose.sections().first().map(|section| section.address.as_str());
    let sections = prose
        .sections()
        .iter()
        .enumerate()
        .filter(|(at, section)| *at == last || !leads_on(&section.text))
        .filter(|(at, section)| *at == 0 || !first.is_some_and(|first| continues(prose.human(), first, &section.address)));
    sections.map(|(_, section)| bare(&section.address).to_owned()).collect()
}

/// Whether `other` stands at the head of a line only because a long reply was folded: indented, with no gap above, in a list whose first
/// recipient isn't indented.
fn continues(human: &str, first: &str, other: &str) -> bool {
    let mut above = "";
    let mut flush = false;
    for line in human.lines() {
        let lower = line.to_lowercase();
        let indented = line.starts_with([' ', '\t']);
        if !flush {
            flush = !indented && lower.contains(first);
        } else if lower.contains(other) {
            return indented && !above.trim().is_empty() && !above.trim_end().ends_with([':', ')', '.']);
        }
        above = line;
    }
    false
}

/// Without the kind of address that X.400 writes before it (`dda:SMTP=alice@example.org`).
fn bare(address: &str) -> &str {
    address.strip_prefix("smtp=").unwrap_or(address)
}

fn named<'a>(address: String) -> Recipient<'a> {
    Recipient { address: Some(address), aliases: Vec::new(), fields: None }
}

/// Whether an address is the last line of a text, under one that announces nobody: a signature's.
fn signs_off(human: &str, address: &str) -> bool {
    let mut lines = human.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.next().is_some_and(|line| line.trim_matches(['<', '>']).eq_ignore_ascii_case(address));
    last && lines.next().is_some_and(|before| !before.ends_with([':', '：', '.', '。']) && before.len() < 60)
}

/// The lists that somebody manages by this address, who is nobody to take off where such a list is spoken of.
fn managed(one: &str) -> impl Iterator<Item = String> {
    const MANAGERS: &[&str] = &["-owner", "-request", "-admin", "-bounces", "-help"];
    let (local, domain) = address::split(one).unwrap_or_default();
    let lists = MANAGERS.iter().filter_map(move |manager| local.strip_suffix(manager)).chain(local.strip_prefix("owner-"));
    lists.map(move |list| format!("{list}@{domain}"))
}

/// The original's recipients whose local parts a list names without their domain.
fn local_parts<'a>(prose: &Prose, original: &[String]) -> Vec<Recipient<'a>> {
    let of = |local: &str| original.iter().find(|to| to.split('@').next() == Some(local)).cloned();
    let named = |local: &str| Some(Recipient { address: Some(of(local)?), aliases: vec![local.to_owned()], fields: None });
    let mut found: Vec<Recipient<'_>> = prose.local_parts().iter().filter_map(|local| named(&local.address)).take(MAX).collect();
    found.dedup_by(|a, b| a.address == b.address);
    found
}

/// A local part whose domain was left out: the original's recipient has it, or else the host that answers for it.
fn local_part<'w>(report: &Report, prose: &Prose, original: &[String], mut words: impl Iterator<Item = &'w str>) -> Option<String> {
    let is_domain = |word: &str| prose.named().mentioned.iter().any(|one| address::domain(one) == Some(word));
    let local = words.find(|word| !is_domain(word))?;
    let known = original.iter().chain(&prose.named().mentioned).find(|to| to.split('@').next() == Some(local));
    known.cloned().or_else(|| {
        let host = report.header.from.iter().find_map(|from| address::normal(from)).filter(|from| system_address(from))?;
        address::normal(&format!("{local}@{}", address::domain(&host)?))
    })
}

/// Ours: whom the notice is from and to, and who sent the original.
pub fn own(report: &Report) -> Vec<String> {
    let header = &report.header;
    let original = report.original.iter().flat_map(|original| original.return_path.iter().chain(&original.from));
    header.from.iter().chain(&header.to).chain(&header.reply_to).chain(original).filter_map(|one| address_in(one)).collect()
}

/// All addresses that a report names as its recipient, in the order in which they are trusted.
pub fn named_addresses(report: &Report, prose: &Prose) -> Vec<String> {
    let fields = report.recipients.iter().take(MAX);
    let mut names: Vec<&String> = Vec::new();
    names.extend(fields.clone().filter_map(|one| one.original_recipient.as_ref()));
    names.extend(fields.clone().filter_map(|one| one.final_recipient.as_ref()));
    names.extend(fields.filter_map(|one| one.actual_recipient.as_ref()));
    names.extend(&report.header.failed_recipients);
    if let Some(feedback) = &report.feedback {
        names.extend(feedback.original_rcpt_to.iter().chain(&feedback.removal_recipient));
    }
    if let Some(disposition) = &report.disposition {
        names.extend(disposition.original_recipient.iter().chain(&disposition.final_recipient));
    }
    let prose = unlisted(report, prose).into_iter().filter_map(|one| one.address);
    let original = report.original.iter().flat_map(|original| &original.to).take(MAX).filter_map(|to| address::normal(to));
    distinct(names.into_iter().take(4 * MAX).filter_map(|name| address_in(name)).chain(prose).chain(original).collect())
}
