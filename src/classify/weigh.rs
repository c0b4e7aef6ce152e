//! What a failure means: words against codes.
//!
//! Taxonomy rule 2: the words of the diagnostic outweigh a vague code, an exact code outweighs vague words, and plain words outweigh even that.
//! Rule 3: the per-recipient fields are asked first, then the recipient's own paragraph, then the human-readable part as a whole; the
//! next is asked only where the last one didn't say enough.

use std::cell::LazyCell;

use crate::{address, taxonomy::Status};

use super::{
    denied::denied,
    meant::{self, Other},
    places::Places,
    prose,
    reply::{self, Reply, Stage},
    said,
    tables::{self, EXACT, REPLY, Scope, VAGUE},
    text::{Text, is_enhanced, tidy},
};

/// A source that says this much makes the next one unnecessary.
const ENOUGH: u8 = 50;

/// What words weigh with which a reply begins.
const FIRST: u8 = 86;

/// What it weighs that the server refused before it knew the recipient.
const REFUSED: u8 = VAGUE + 5;

/// Plain words that are said of a while, too, where the reply is a temporary one.
const ON_HOLD: &[&str] = &["account-disabled", "recipient-refused-exchange"];

/// Words with which a temporary reply says that it is one, whatever it calls the recipient.
const PASSING: &[&str] = &["temporar", "try again", "try later", "retry"];

/// Words with which a permanent reply says that it is none, where its others are no plain ones. Not "check the address and try again".
const LATER: &[&str] = &["again later", "try later", "at this time"];

/// Replies to AUTH (RFC 4954, section 6): whom they don't know is the client.
const LOGIN: &[&str] = &["534", "535", "538"];

/// The reply to whoever must authenticate first, which some give to unknown recipients, too; and words that tell.
const LOGIN_FIRST: (&str, &[&str]) = ("530", &["auth", "login", "log in", "sign in", "password"]);

/// A reply that says of the sender what it would of a recipient.
const SENDER_UNKNOWN: Clue =
    Clue { status: Status::MailBlockGeneral, weight: FIRST, rule: String::new(), evidence: None, new_address: None };

/// One reason to believe in a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clue {
    pub status: Status,
    pub weight: u8,
    /// The table row or code rule it comes from.
    pub rule: String,
    pub evidence: Option<String>,
    pub new_address: Option<String>,
}

/// What the cause of one recipient's failure is told by.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Where its words may stand.
    pub places: &'a Places<'a>,
    /// The `Status` field.
    pub status: Option<&'a str>,
    /// Addresses that can't be a new one.
    pub known: &'a [String],
    /// The host that answered.
    pub host: Option<&'a str>,
    /// Addresses of the sender, in normal form.
    pub senders: &'a [String],
}

/// The outcome.
#[derive(Debug, Clone, Default)]
pub struct Weighed {
    /// Best first; may be empty.
    pub clues: Vec<Clue>,
    pub enhanced: Option<String>,
    pub reply: Option<String>,
    /// The diagnostic says that it is over.
    pub over: bool,
}

pub fn weigh(sources: &Sources<'_>) -> Weighed {
    let places = sources.places;
    let mut weighed = Weighed::default();
    let mut replies = Vec::new();
    let diagnostic = places.diagnostic().map(Text::new);
    let codes = places.diagnostic().map(|raw| reply::codes(raw, false)).unwrap_or_default();
    if let Some(text) = &diagnostic {
        weighed.said(text, sources, &codes, true);
    }
    weighed.clues.extend(of_codes(&codes));
    weighed.clues.extend(sources.status.and_then(status_code).and_then(|code| of_code(&code)));
    replies.push(codes);
    let section = LazyCell::new(|| places.section().map(Text::new));
    if !enough(&weighed.clues) || places.diagnostic().is_some_and(unfinished) {
        let quoted = if diagnostic.is_none() { places.human().or_else(|| places.section()).and_then(said::reply) } else { None };
        if let Some(quoted) = quoted {
            let codes = reply::codes(quoted, false);
            weighed.said(&Text::new(quoted), sources, &codes, true);
            weighed.clues.extend(of_codes(&codes));
            replies.push(codes);
        }
        if (quoted.is_none() || !enough(&weighed.clues))
            && let (Some(raw), Some(text)) = (places.section(), &*section)
        {
            let codes = reply::codes(raw, true);
            weighed.said(text, sources, &codes, false);
            weighed.clues.extend(of_codes(&codes));
            replies.push(codes);
        }
    }
    if !enough(&weighed.clues)
        && let Some(human) = places.human()
    {
        let codes = reply::codes(human, true);
        weighed.clues.extend(of_words(&Text::new(human), sources, &codes, false));
        weighed.clues.extend(of_codes(&codes));
        replies.push(codes);
    }
    weighed.codes(sources, replies);
    if weighed.depends_on_stage(sources.host) {
        let worth_reading = || filters(sources.host) || places.section_with(&reply::BEFORE_RECIPIENT).is_some();
        let in_section = || if worth_reading() { section.as_ref().and_then(reply::stage) } else { None };
        let stage = diagnostic.as_ref().and_then(reply::stage).or_else(in_section);
        weighed.before_recipient(stage);
        weighed.after_content(stage, sources.host);
    }
    weighed.clues.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| length(b).cmp(&length(a))));
    weighed
}

/// sendmail keeps only the first line of a reply that had several; the rest stands in its transcript.
fn unfinished(diagnostic: &str) -> bool {
    let diagnostic = diagnostic.trim_start();
    let code = diagnostic.get(..3).filter(|code| code.bytes().all(|b| b.is_ascii_digit()));
    code.is_some_and(|code| {
        diagnostic
            .get(3..)
            .is_some_and(|rest| rest.starts_with('-') && !rest.contains(&format!("{code} ")) && !rest.contains(&format!("{code}-")))
    })
}

/// Carriers whose own people filter: they take each recipient at RCPT.
fn filters(host: Option<&str>) -> bool {
    host.is_some_and(|host| host.to_ascii_lowercase().trim_end_matches('.').ends_with("docomo.ne.jp"))
}

fn length(clue: &Clue) -> usize {
    clue.evidence.as_deref().map_or(0, str::len)
}

fn enough(clues: &[Clue]) -> bool {
    clues.iter().any(|clue| clue.weight >= ENOUGH)
}

/// What the words say. A 4yz reply is no proof that somebody doesn't exist, unless its words are plain. `said`: these are the
/// server's words alone, not a notice's.
pub fn of_words(text: &Text<'_>, sources: &Sources<'_>, codes: &Reply, said: bool) -> Vec<Clue> {
    let temporary =
        codes.codes.first().map_or_else(|| sources.status.is_some_and(|code| code.trim().starts_with('4')), |code| code.starts_with('4'));
    let passing = LazyCell::new(|| PASSING.iter().any(|word| text.norm().contains(word)));
    let later = LazyCell::new(|| LATER.iter().any(|word| text.norm().contains(word)));
    let of_client = of_client(text, codes);
    let begins = codes_end(text.norm());
    let clue = |hit: tables::Hit| {
        let rule = hit.rule;
        if rule.status == Status::HardBounce
            && let Some(weight) = of_sender(text, &hit, sources)
        {
            return Clue { weight, rule: "sender-unknown".to_owned(), evidence: Some(text.evidence(hit.range)), ..SENDER_UNKNOWN };
        }
        // A reply that begins with the recipient's fate has said it, whatever it threatens or advises after that.
        let first = rule.status == Status::HardBounce && rule.weight > EXACT && hit.range.start <= begins;
        let weight = if first { FIRST } else { rule.weight };
        if let Some((status, rule)) = of_another(text, &hit, of_client) {
            return Clue { status, weight, rule: rule.to_owned(), evidence: Some(text.evidence(hit.range)), new_address: None };
        }
        let new_address = (rule.status == Status::AddressChange).then(|| new_address(text, &hit, sources)).flatten();
        let status = match rule.status {
            Status::AddressChange if new_address.is_none() => Status::HardBounce,
            Status::HardBounce if *later && rule.weight <= EXACT => Status::SoftBounceGeneral,
            Status::HardBounce if temporary && (*passing || rule.weight <= EXACT || ON_HOLD.contains(&rule.name.as_str())) => {
                Status::SoftBounceGeneral
            }
            status => status,
        };
        Clue { status, weight, rule: rule.name.clone(), evidence: Some(text.evidence(hit.range)), new_address }
    };
    let holds =
        |hit: &tables::Hit| (said || !hit.rule.in_replies) && !(hit.rule.status == Status::HardBounce && denied(text.norm(), &hit.range));
    tables::find(text, Scope::Cause).into_iter().filter(holds).map(clue).collect()
}

/// What is said of recipients and of domains, and of senders in the same words.
fn gone(status: Status) -> bool {
    matches!(status, Status::HardBounce | Status::SoftBounceDnsFailure)
}

/// Whether codes say that it is about who sends: the answer to AUTH, or his mailbox and system (RFC 3463, section 3.2).
fn of_client(text: &Text<'_>, codes: &Reply) -> bool {
    let is = |part: &str| codes.enhanced.iter().any(|code| code.get(1..).is_some_and(|code| code.starts_with(part)));
    let (first, words) = LOGIN_FIRST;
    let asks_first = |code: &str| code == first && (is(".7.") || words.iter().any(|word| text.norm().contains(word)));
    codes.codes.first().is_some_and(|code| LOGIN.contains(&code.as_str()) || asks_first(code)) || is(".1.7") || is(".1.8")
}

/// Who else is meant by words that say of a recipient that he is gone, and what that is then.
fn of_another(text: &Text<'_>, hit: &tables::Hit, of_client: bool) -> Option<(Status, &'static str)> {
    let other = match gone(hit.rule.status) {
        true if of_client => Some(Other::Sender),
        true => meant::another(text.norm(), &hit.range),
        false => None,
    };
    match other? {
        Other::Sender => Some((Status::MailBlockGeneral, "sender-unknown")),
        Other::Domain => Some((Status::SoftBounceDnsFailure, "domain-unknown")),
    }
}

/// Where the codes at the start of a comparable text end.
fn codes_end(norm: &str) -> usize {
    let code = |word: &str| is_enhanced(word) || word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
    norm.split_inclusive(' ').take_while(|word| code(word.trim_matches([' ', '#', ':', '-']))).map(str::len).sum()
}

/// Whether the words speak of the sender, and what they weigh then: its address stands among them, right before or right after them.
fn of_sender(text: &Text<'_>, hit: &tables::Hit, sources: &Sources<'_>) -> Option<u8> {
    let mark = |c: char| !c.is_alphanumeric();
    let before = text.before(hit.range.start, 120).trim_end_matches(mark).to_lowercase();
    let after = super::text::cut(text.tail(hit.range.end), 120).trim_start_matches(mark).to_lowercase();
    let beside = |sender: &String| before.ends_with(sender.as_str()) || after.starts_with(sender.as_str());
    if sources.senders.iter().any(beside) {
        return Some(FIRST);
    }
    let among = text.evidence(hit.range.clone()).to_lowercase();
    sources.senders.iter().any(|sender| among.contains(sender.as_str())).then_some(hit.rule.weight)
}

/// The first strange address at or after the words that announce it.
fn new_address(text: &Text<'_>, hit: &tables::Hit, sources: &Sources<'_>) -> Option<String> {
    let from = text.tail(hit.range.start);
    prose::addresses(from).into_iter().find(|one| !sources.known.contains(one) && !prose::system_address(one))
}

fn of_codes(codes: &Reply) -> Vec<Clue> {
    codes.enhanced.iter().filter_map(|code| of_code(code)).chain(codes.codes.first().and_then(|code| of_reply_code(code))).collect()
}

fn of_code(code: &str) -> Option<Clue> {
    let row = tables::code(code)?;
    let weight = if row.exact { EXACT } else { VAGUE };
    Some(Clue { status: row.status, weight, rule: format!("code-{code}"), evidence: Some(code.to_owned()), new_address: None })
}

fn of_reply_code(code: &str) -> Option<Clue> {
    let row = tables::code(code)?;
    Some(Clue { status: row.status, weight: REPLY, rule: format!("reply-{code}"), evidence: Some(code.to_owned()), new_address: None })
}

/// The code in a `Status` field, whatever stands beside it.
fn status_code(field: &str) -> Option<String> {
    let word = field.split(|c: char| c.is_whitespace() || matches!(c, '(' | ';' | ',')).find(|word| is_enhanced(word))?;
    Some(word.to_owned())
}

/// A code that says something: in the table, and not the class alone.
fn telling(code: &str) -> u8 {
    match tables::code(code) {
        Some(row) if row.exact => 3,
        Some(_) if !code.ends_with(".0") => 2,
        Some(_) => 1,
        None => u8::from(!code.ends_with(".0.0")),
    }
}

impl Weighed {
    /// Takes what a text says.
    fn said(&mut self, text: &Text<'_>, sources: &Sources<'_>, codes: &Reply, said: bool) {
        self.over |= !tables::find(text, Scope::Final).is_empty();
        self.clues.extend(of_words(text, sources, codes, said));
    }

    /// Whether it would change anything to know which command was refused.
    fn depends_on_stage(&self, host: Option<&str>) -> bool {
        let doubtful = |clue: &Clue| matches!(clue.status, Status::HardBounce | Status::SoftBounceDnsFailure);
        let weak = || self.clues.iter().all(|clue| clue.weight <= REFUSED);
        self.refused() && (self.clues.iter().any(doubtful) || weak()) || filters(host)
    }

    fn refused(&self) -> bool {
        self.reply.as_deref().is_some_and(|code| code.starts_with('5'))
    }

    /// The codes to report: of the diagnostic those that say most, of an expired delivery those of its last try.
    fn codes(&mut self, sources: &Sources<'_>, replies: Vec<Reply>) {
        let field = sources.status.and_then(status_code);
        let mut best: Option<String> = None;
        for code in replies.iter().flat_map(|reply| &reply.enhanced).chain(&field) {
            if best
                .as_ref()
                .is_none_or(|known| telling(code) > telling(known) || known.ends_with(".4.7") && telling(code) >= telling(known))
            {
                best = Some(code.clone());
            }
        }
        let of_replies = |reply: &Reply| {
            let expired = reply.enhanced.first().is_some_and(|code| code.ends_with(".4.7"));
            if expired { reply.codes.last().cloned() } else { reply.codes.first().cloned() }
        };
        self.reply = replies.iter().find_map(of_replies);
        self.enhanced = best;
    }

    /// Before RCPT nobody has named the recipient: a refusal there is about the sender, and so is a domain that doesn't exist.
    fn before_recipient(&mut self, stage: Option<Stage>) {
        if stage != Some(Stage::BeforeRecipient) || !self.refused() {
            return;
        }
        for clue in &mut self.clues {
            if matches!(clue.status, Status::HardBounce | Status::SoftBounceDnsFailure) {
                clue.status = Status::MailBlockGeneral;
                clue.rule = "refused-before-recipient".to_owned();
            }
        }
        let evidence = self.reply.clone();
        self.clues.push(Clue {
            status: Status::MailBlockGeneral,
            weight: REFUSED,
            rule: "refused-before-recipient".to_owned(),
            evidence,
            new_address: None,
        });
    }

    /// Japanese carriers take each recipient at RCPT, and say "unknown user" after the content where the person's own filter refuses it.
    fn after_content(&mut self, stage: Option<Stage>, host: Option<&str>) {
        if stage != Some(Stage::Content) || !filters(host) {
            return;
        }
        for clue in self.clues.iter_mut().filter(|clue| clue.status == Status::HardBounce) {
            clue.status = Status::MailBlockGeneral;
            clue.rule = "carrier-filter".to_owned();
        }
    }

    /// The class of the reply, when nothing else tells.
    pub fn by_class(&self) -> Option<Clue> {
        let code = self.enhanced.as_ref().filter(|code| !code.starts_with('2')).or(self.reply.as_ref())?;
        let temporary = self.reply.as_ref().unwrap_or(code).starts_with('4');
        let status = if temporary { Status::SoftBounceGeneral } else { Status::GeneralBounce };
        let class = if temporary { "class-4" } else { "class-5" };
        Some(Clue { status, weight: 1, rule: class.to_owned(), evidence: Some(tidy(code, 20)), new_address: None })
    }
}

/// The address that an automatic reply gives as its sender's new one.
pub fn moved_to(human: &str, known: &[String]) -> Option<Clue> {
    let known: Vec<String> = known.iter().filter_map(|one| address::normal(one)).collect();
    let sources = Sources { places: &Places::default(), status: None, known: &known, host: None, senders: &[] };
    of_words(&Text::new(human), &sources, &Reply::default(), false)
        .into_iter()
        .find(|clue| clue.status == Status::AddressChange && clue.new_address.is_some())
}
