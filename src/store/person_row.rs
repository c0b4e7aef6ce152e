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
    rows::{decode, encode, time},
};
use crate::{
    ledger::{Counts, Field, Fired, Person, Place, Recent, Resending, Tally},
    taxonomy::Status,
};

#[derive(Serialize, Deserialize)]
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

#[derive(Serialize, Deserialize)]
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
    encode(&PersonRow {
        address: person.address.clone(),
        first_seen: person.first_seen,
        last_seen: person.last_seen,
        counted: TallyRow::from(&person.counted),
        apart: TallyRow::from(&person.apart),
        tags: person.tags.clone(),
        fields: person.fields.clone(),
        suppressed: person.suppressed,
        fired: person.fired.clone(),
        sequences: person.sequences.clone(),
        resending: person.resending.clone(),
    })
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

impl From<&Tally> for TallyRow {
    fn from(tally: &Tally) -> TallyRow {
        let mut campaigns: Vec<String> = Vec::new();
        let mut places: BTreeMap<&str, u16> = BTreeMap::new();
        let (mut at, mut event) = (0_i64, 0_u64);
        let recent = tally.recent.iter().map(|entry| {
            let campaign = entry.campaign.as_deref().map_or(0, |name| {
                *places.entry(name).or_insert_with(|| {
                    campaigns.push(name.to_owned());
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
        TallyRow { totals: tally.totals.clone(), campaigns, recent, last_bounce: tally.last_bounce }
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
