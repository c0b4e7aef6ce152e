//! A person's stored form. The 256 remembered events make most of it: each is kept as its distance from the one before and a place in a
//! list of campaigns, 6 to 10 octets instead of 40.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    StoreError,
    rows::{decode, encode_long, time},
};
use crate::{
    ledger::{Counts, Field, Fired, Person, Place, Recent, Resending, Tally},
    taxonomy::Status,
};

/// As long a row is at most, mostly, and so much longer with each event that is remembered.
const OCTETS: usize = 256;
const RECENT_OCTETS: usize = 12;

/// The same as [`PersonRow`], lent: a person is written with every mail.
#[derive(Serialize)]
struct PersonSeen<'a> {
    address: &'a Option<String>,
    #[serde(with = "crate::stamp::option")]
    first_seen: Option<Timestamp>,
    #[serde(with = "crate::stamp::option")]
    last_seen: Option<Timestamp>,
    counted: TallySeen<'a>,
    apart: TallySeen<'a>,
    tags: &'a BTreeSet<String>,
    fields: &'a BTreeMap<String, Field>,
    suppressed: bool,
    fired: &'a [Fired],
    sequences: &'a BTreeMap<String, Place>,
    resending: &'a Option<Resending>,
}

#[derive(Serialize)]
struct TallySeen<'a> {
    totals: &'a Counts,
    campaigns: Vec<&'a str>,
    recent: Vec<RecentRow>,
    #[serde(with = "crate::stamp::option")]
    last_bounce: Option<Timestamp>,
}

#[derive(Deserialize)]
struct PersonRow {
    address: Option<String>,
    #[serde(with = "crate::stamp::option")]
    first_seen: Option<Timestamp>,
    #[serde(with = "crate::stamp::option")]
    last_seen: Option<Timestamp>,
    counted: TallyRow,
    apart: TallyRow,
    tags: BTreeSet<String>,
    fields: BTreeMap<String, Field>,
    suppressed: bool,
    fired: Vec<Fired>,
    sequences: BTreeMap<String, Place>,
    resending: Option<Resending>,
}

#[derive(Deserialize)]
struct TallyRow {
    totals: Counts,
    campaigns: Vec<String>,
    recent: Vec<RecentRow>,
    #[serde(with = "crate::stamp::option")]
    last_bounce: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct RecentRow {
    /// Milliseconds since the entry before, of the first since 1970.
    since: i64,
    status: Status,
    /// Place in `campaigns`, from 1, and 0 for none; doubled, and one more where a reset cleared it.
    mark: u16,
    /// The event's id less that of the entry before.
    event: i64,
}

pub fn to_row(person: &Person) -> Result<Vec<u8>, StoreError> {
    let row = PersonSeen {
        address: &person.address,
        first_seen: person.first_seen,
        last_seen: person.last_seen,
        counted: TallySeen::from(&person.counted),
        apart: TallySeen::from(&person.apart),
        tags: &person.tags,
        fields: &person.fields,
        suppressed: person.suppressed,
        fired: &person.fired,
        sequences: &person.sequences,
        resending: &person.resending,
    };
    encode_long(&row, OCTETS + RECENT_OCTETS * (person.counted.recent.len() + person.apart.recent.len()))
}

pub fn from_row(bytes: &[u8]) -> Result<Person, StoreError> {
    let row: PersonRow = decode(bytes, "a person")?;
    Ok(Person {
        address: row.address,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        counted: row.counted.into(),
        apart: row.apart.into(),
        tags: row.tags,
        fields: row.fields,
        suppressed: row.suppressed,
        fired: row.fired,
        sequences: row.sequences,
        resending: row.resending,
    })
}

impl<'a> From<&'a Tally> for TallySeen<'a> {
    fn from(tally: &'a Tally) -> TallySeen<'a> {
        let mut campaigns: Vec<&str> = Vec::new();
        let mut places: BTreeMap<&str, u16> = BTreeMap::new();
        let (mut at, mut event) = (0_i64, 0_u64);
        let recent = tally.recent.iter().map(|entry| {
            let campaign = entry.campaign.as_deref().map_or(0, |name| {
                *places.entry(name).or_insert_with(|| {
                    campaigns.push(name);
                    u16::try_from(campaigns.len()).unwrap_or(0)
                })
            });
            let now = entry.at.as_millisecond();
            let row = RecentRow {
                since: now.wrapping_sub(at),
                status: entry.status,
                mark: campaign << 1 | u16::from(entry.cleared),
                event: entry.event.wrapping_sub(event).cast_signed(),
            };
            (at, event) = (now, entry.event);
            row
        });
        let recent = recent.collect();
        TallySeen { totals: &tally.totals, campaigns, recent, last_bounce: tally.last_bounce }
    }
}

impl From<TallyRow> for Tally {
    fn from(row: TallyRow) -> Tally {
        let (mut at, mut event) = (0_i64, 0_u64);
        let campaigns: Vec<Arc<str>> = row.campaigns.into_iter().map(Arc::from).collect();
        let recent = row.recent.iter().map(|entry| {
            at = at.wrapping_add(entry.since);
            event = event.wrapping_add(entry.event.cast_unsigned());
            let campaign = usize::from(entry.mark >> 1).checked_sub(1).and_then(|place| campaigns.get(place)).cloned();
            Recent { at: time(at), status: entry.status, campaign, event, cleared: entry.mark & 1 == 1 }
        });
        let recent = recent.collect();
        Tally { totals: row.totals, recent, last_bounce: row.last_bounce }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went_in_and_small() {
        let at = |n: i64| Timestamp::from_millisecond(1_800_000_000_000 + n * 3_600_123).unwrap();
        let entry = |n: i64| Recent {
            at: at(n),
            status: Status::ALL[usize::try_from(n).unwrap() % 21],
            campaign: (n % 3 != 0).then(|| format!("news-{}", n % 5).into()),
            event: 1_000_000 + 17 * u64::try_from(n).unwrap(),
            cleared: n < 9,
        };
        let tally = Tally { totals: [(Status::HardBounce, 300)].into(), recent: (0..256).map(entry).collect(), last_bounce: Some(at(254)) };
        let fired = Fired { key: u64::MAX, trigger: "third strike".into(), at: at(3), count: 3, when: vec![Status::HardBounce] };
        let person = Person {
            address: Some("alice@example.org".into()),
            first_seen: Some(at(0)),
            last_seen: Some(at(255)),
            counted: tally.clone(),
            apart: tally,
            tags: ["a".into()].into(),
            fields: [("optout".into(), Field::Text("1".into()))].into(),
            suppressed: true,
            fired: vec![fired],
            sequences: [("weekly".into(), Place { run: 9, started: at(3), step: "first".into(), taken: 0, due: at(9) })].into(),
            resending: None,
        };
        let row = to_row(&person).unwrap();
        assert_eq!(from_row(&row).unwrap(), person);
        assert!(row.len() < 5_000, "{} octets", row.len());
        assert!(matches!(from_row(&[9, 1, 2]), Err(StoreError::Damaged(_))), "a version of tomorrow");
        assert!(matches!(from_row(&row[..40]), Err(StoreError::Damaged(_))));
    }
}
