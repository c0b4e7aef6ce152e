//! What concerns whom is to be forgotten: which records and which rows are theirs, and where others only mention them.
//!
//! Whoever adds a kind of row or record that is a person's adds it in [`of_record`] or [`remove_person`]; what is added nowhere is still
//! searched for the address, and that blanked where it stands.

use std::{collections::BTreeSet, ops::Range};

use aho_corasick::{AhoCorasick, BuildError, MatchKind};
use serde::{Deserialize, Serialize};

use super::{
    StoreError, keys,
    overlay::Overlay,
    people, person_row,
    rows::{AddressRow, EventRecord, JobBody, decode, encode},
    segments::{EVENT, JOB, Record},
};
use crate::{
    address,
    ledger::{Event, MailEvent, RawRef, Timer},
    outbox::JobId,
    verp::PersonKey,
};

/// Who is to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub persons: BTreeSet<PersonKey>,
    /// Normal ones.
    pub addresses: BTreeSet<String>,
}

/// From where to where in a record or row an address stands.
pub type Spans = Vec<(u32, u32)>;

/// What is kept of an event that was erased: enough to let it expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub dedupe: [u8; keys::DEDUPE_OCTETS],
    /// Milliseconds since 1970.
    pub at: i64,
    pub event: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Concern {
    None,
    /// It is about somebody else.
    Mentions(Spans),
    Event {
        mark: Mark,
        raw: Option<RawRef>,
    },
    Job(JobId),
}

pub struct Finder<'a> {
    wanted: &'a Wanted,
    texts: AhoCorasick,
    persons: AhoCorasick,
}

impl<'a> Finder<'a> {
    pub fn new(wanted: &'a Wanted) -> Result<Finder<'a>, StoreError> {
        let mut texts: Vec<String> = Vec::new();
        for each in &wanted.addresses {
            texts.push(each.clone());
            // As VERP addresses spell it.
            texts.extend(address::split(each).map(|(local, domain)| format!("{local}={domain}")));
        }
        texts.extend(wanted.persons.iter().map(PersonKey::to_string));
        let built = |error: BuildError| StoreError::read(error);
        let texts =
            AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::LeftmostLongest).build(&texts).map_err(built)?;
        let persons = AhoCorasick::new(wanted.persons.iter().map(|person| person.0)).map_err(built)?;
        Ok(Finder { wanted, texts, persons })
    }

    pub fn wanted(&self, person: PersonKey) -> bool {
        self.wanted.persons.contains(&person)
    }

    /// Whether an address, in any spelling, is one of theirs.
    pub fn is_theirs(&self, text: Option<&str>) -> bool {
        text.and_then(address::normal).is_some_and(|normal| self.wanted.addresses.contains(&normal))
    }

    /// Where their addresses stand in a mail. `malice@example.org` and `alice@example.organic` are others than `alice@example.org`.
    pub fn in_mail(&self, bytes: &[u8]) -> Spans {
        self.spans(bytes, false)
    }

    /// Where they stand in a stored row or record.
    pub fn mentions(&self, bytes: &[u8]) -> Spans {
        self.spans(bytes, true)
    }

    fn spans(&self, bytes: &[u8], stored: bool) -> Spans {
        let found = self.texts.find_iter(bytes).filter(|found| {
            let text = bytes.get(found.range()).unwrap_or_default();
            let before = found.start().checked_sub(1).and_then(|place| bytes.get(place)).copied();
            let begins = before.is_none_or(|before| !goes_on(before, text.contains(&b'@')));
            (begins || stored && begins_text(bytes, found.range())) && bytes.get(found.end()..).is_none_or(|rest| !domain_goes_on(rest))
        });
        found.filter_map(|found| Some((u32::try_from(found.start()).ok()?, u32::try_from(found.end()).ok()?))).collect()
    }

    fn owns(&self, event: &Event) -> bool {
        match event {
            Event::MailV1(mail) => self.owns_mail(mail),
            other => other.person().is_some_and(|person| self.wanted(person)),
        }
    }

    fn owns_mail(&self, event: &MailEvent) -> bool {
        match event.person {
            Some(person) => self.wanted(person),
            None => self.is_theirs(event.verdict.address.as_deref()),
        }
    }
}

/// Whether a local part that ends in what was found began before it. In VERP addresses `+`, `-` and `=` stand between the parts.
fn goes_on(before: u8, whole: bool) -> bool {
    before.is_ascii_alphanumeric() || matches!(before, b'.' | b'_' | 0x80..) || (whole && matches!(before, b'+' | b'-'))
}

/// Whether a stored text begins with what was found: then the octet before is its length, which may look like a letter. The one before that is
/// no letter then, and isn't the length of a text to which the letter belongs.
fn begins_text(bytes: &[u8], found: Range<usize>) -> bool {
    let before = |by: usize| found.start.checked_sub(by).and_then(|place| bytes.get(place)).copied();
    let Some(length) = before(1).map(usize::from) else { return true };
    let text = bytes.get(found.start..found.start.saturating_add(length)).and_then(|text| str::from_utf8(text).ok());
    let other = before(2).map_or(0, usize::from);
    // From 128 on a length takes two octets, the higher one last.
    let whole = before(3).filter(|low| *low >= 128).map_or(other, |low| other * 128 + usize::from(low & 127));
    text.is_some() && length >= found.len() && other < 32 && !matches!(other, 9 | 10 | 13) && whole <= found.len()
}

fn domain_goes_on(rest: &[u8]) -> bool {
    match rest {
        [b'.', next, ..] => next.is_ascii_alphanumeric(),
        [next, ..] => next.is_ascii_alphanumeric() || matches!(next, b'-' | b'_' | 0x80..),
        [] => false,
    }
}

/// Puts an `x` in the place of each octet.
pub fn blank(bytes: &mut [u8], spans: &[(u32, u32)]) {
    for (from, to) in spans {
        let span = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
        if let Some(span) = span.and_then(|(from, to)| bytes.get_mut(from..to)) {
            span.fill(b'x');
        }
    }
}

/// Whose a record of the events' segments is. Kinds that are a person's are told here.
pub fn of_record(finder: &Finder<'_>, record: &Record<'_>) -> Concern {
    let spans = finder.mentions(record.payload);
    // Nearly all records are done with here, unread.
    if spans.is_empty() && !finder.persons.is_match(record.payload) {
        return Concern::None;
    }
    match record.kind {
        EVENT => {
            if let Ok(EventRecord { dedupe, event }) = EventRecord::from_bytes(record.payload)
                && (finder.owns(&event) || broken(record, &spans))
            {
                let raw = event.mail().and_then(|mail| mail.raw);
                return Concern::Event { mark: Mark { dedupe, at: event.at().as_millisecond(), event: event.id() }, raw };
            }
        }
        JOB => {
            if let Ok(JobBody::V1 { id, facts, .. }) = postcard::from_bytes(record.payload)
                && (finder.owns_mail(&facts.event) || broken(record, &spans))
            {
                return Concern::Job(id);
            }
        }
        _ => {}
    }
    if spans.is_empty() { Concern::None } else { Concern::Mentions(spans) }
}

/// Whether a record would make no sense with these blanked: then it goes as a whole.
fn broken(record: &Record<'_>, spans: &[(u32, u32)]) -> bool {
    let mut payload = record.payload.to_vec();
    blank(&mut payload, spans);
    match record.kind {
        EVENT => EventRecord::from_bytes(&payload).is_err(),
        JOB => postcard::from_bytes::<JobBody>(&payload).is_err(),
        _ => false,
    }
}

/// Removes every row of a person; returns whether there was any. The kinds of rows that are a person's stand here, each with its index:
/// the record itself, the index by address, timers and places in sequences, entries of reports, what a guarded domain holds back, tasks.
/// Jobs are found by their bodies, see [`of_record`].
pub fn remove_person(rows: &mut Overlay<'_>, person: PersonKey) -> Result<bool, StoreError> {
    let key = keys::person(person);
    people::forget(rows, person)?;
    let Some(row) = rows.get(&key)? else { return Ok(false) };
    rows.remove(key)?;
    let record = person_row::from_row(&row)?;
    if let Some(address) = &record.address {
        unindex(rows, address, person)?;
    }
    for (name, place) in record.sequences {
        rows.remove(keys::member(&name, person))?;
        rows.remove(keys::timer(place.due, &Timer::Step { person, sequence: name }))?;
    }
    if let Some(due) = record.resending.and_then(|resending| resending.due) {
        rows.remove(keys::timer(due, &Timer::Resend { person }))?;
    }
    Ok(true)
}

/// An address leads to this person no more.
pub fn unindex(rows: &mut Overlay<'_>, address: &str, person: PersonKey) -> Result<(), StoreError> {
    let row = keys::address(address);
    let Some(bytes) = rows.get(&row)? else { return Ok(()) };
    let mut persons: AddressRow = decode(&bytes, "an address")?;
    if persons.remove(&person) {
        match persons.is_empty() {
            true => rows.remove(row)?,
            false => rows.put(row, encode(&persons)?)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8], stored: bool) -> usize {
        let wanted = Wanted { persons: [PersonKey([1; 10])].into(), addresses: ["alice@example.org".to_owned()].into() };
        let finder = Finder::new(&wanted).unwrap();
        if stored { finder.mentions(bytes).len() } else { finder.in_mail(bytes).len() }
    }

    #[test]
    fn hers_and_not_anothers() {
        for hers in [
            "alice@example.org",
            "To: <Alice@Example.ORG>,",
            "rfc822;alice@example.org.",
            "=alice@example.org=",
            "b+news+sig+alice=example.org@returns.test",
            "h+-+sig+aeaqcaibaeaqcaib@returns.test",
        ] {
            assert_eq!((found(hers.as_bytes(), false), found(hers.as_bytes(), true)), (1, 1), "{hers}");
        }
        for anothers in [
            "malice@example.org",
            "mary.alice@example.org",
            "bob+alice@example.org",
            "\nmalice@example.org is somebody else and this line goes on for a while so that it could be a stored text, which it is not",
            "alice@example.organic.test",
            "alice@example.org.uk",
            "alice@example.org-x.test",
            "alice@mail.example.org",
            "b+news+sig+malice=example.org@returns.test",
        ] {
            assert_eq!((found(anothers.as_bytes(), false), found(anothers.as_bytes(), true)), (0, 0), "{anothers}");
        }
    }

    /// The length before a text looks like a letter when it is between 48 and 122.
    #[test]
    fn at_the_beginning_of_a_stored_text() {
        for length in 17..200 {
            let text = |start: &str| Some(format!("{start}{}", " ".repeat(length - start.len().min(length))));
            let row = |start: &str| postcard::to_stdvec(&(7_u8, text(start), text(start))).unwrap();
            assert_eq!(found(&row("alice@example.org"), true), 2, "{length}");
            assert_eq!(found(&row("malice@example.org"), true), 0, "{length}");
        }
    }

    #[test]
    fn blanks_keep_the_length() {
        let mut bytes = b"<alice@example.org>".to_vec();
        blank(&mut bytes, &[(1, 18), (90, 99)]);
        assert_eq!(bytes, b"<xxxxxxxxxxxxxxxxx>");
    }
}
