//! Random histories, rules and things known.

use std::collections::BTreeMap;

use bounced::{
    classify::Verdict,
    ledger::{Comparator, Distinct, Fired, Known, MailInput, Origin, Per, Person, Recent, Rules, Scope, Standing, Step, Tally, Trigger},
    taxonomy::Status,
    verp::PersonKey,
};
use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*, sample::select};

const STATUSES: [Status; 4] = [Status::HardBounce, Status::SoftBounceGeneral, Status::AutoReply, Status::Delivered];

#[derive(Debug, Clone)]
pub enum Op {
    Mail { person: Option<u8>, status: Status, campaign: Option<u8>, standing: Standing },
    Pass(SignedDuration),
    Reset { person: u8, statuses: Option<Vec<Status>> },
    Rules(usize),
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let standing =
        prop_oneof![8 => Just(Standing::Full), 1 => Just(Standing::Unsigned), 1 => Just(Standing::Expired), 1 => Just(Standing::Own)];
    let mail = (option::weighted(0.9, 0..3_u8), select(&STATUSES[..]), option::of(0..3_u8), standing)
        .prop_map(|(person, status, campaign, standing)| Op::Mail { person, status, campaign, standing });
    let pass = select(vec![0, 1, 10, 60, 299, 1_440, 2_160, 11_520, 12_960, 43_200]).prop_map(|n| Op::Pass(minutes(n)));
    let reset = (0..3_u8, option::of(vec(select(&STATUSES[..]), 1..3))).prop_map(|(person, statuses)| Op::Reset { person, statuses });
    vec(prop_oneof![12 => mail, 5 => pass, 1 => reset, 1 => (0..2_usize).prop_map(Op::Rules)], 1..80)
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let count = prop_oneof![
        (0..5_u64).prop_map(Comparator::Exactly),
        (0..5_u64).prop_map(Comparator::AtLeast),
        (0..4_u64).prop_map(Comparator::MoreThan),
        (0..4_u64).prop_map(Comparator::Every),
    ];
    let within = option::of(select(vec![60, 2_160, 11_520, 12_960, 43_200]).prop_map(minutes));
    let distinct = option::of(select(vec![Distinct::Day, Distinct::Campaign]));
    let per = prop_oneof![3 => Just(Per::Address), 1 => Just(Per::Domain), 1 => Just(Per::Campaign), 1 => Just(Per::All)];
    let step =
        prop_oneof![select(vec!["x", "y"]).prop_map(|t| Step::Tag(t.into())), select(vec!["x", "y"]).prop_map(|t| Step::Untag(t.into()))];
    let when = proptest::sample::subsequence(&STATUSES[..], 1..=3);
    (when, count, within, distinct, per, any::<bool>(), vec(step, 0..3)).prop_map(|(when, count, within, distinct, per, repeat, steps)| {
        let distinct = distinct.filter(|_| per == Per::Address);
        Trigger { name: String::new(), when, count, within, distinct, per, repeat, filter: None, steps }
    })
}

pub fn rules() -> impl Strategy<Value = Rules> {
    let reset_after = option::weighted(0.2, select(vec![1_440, 20_000]).prop_map(minutes));
    (vec(trigger(), 1..5), reset_after, proptest::bool::weighted(0.2)).prop_map(|(mut triggers, reset_after, reset_on_delivered)| {
        triggers.iter_mut().enumerate().for_each(|(place, trigger)| trigger.name = format!("t{place}"));
        Rules { triggers, reset_after, reset_on_delivered, ..Rules::default() }
    })
}

pub fn mail(person: Option<u8>, status: Status, campaign: Option<u8>, standing: Standing) -> MailInput {
    // Two of the three people share a domain.
    let address = person.map(|n| format!("p{n}@d{}.example", n / 2));
    MailInput {
        original_whole: false,
        import: None,
        person: person.map(|n| PersonKey([n; 10])),
        verdict: Verdict { address, status, ..Verdict::undetermined("model") },
        campaign: campaign.map(|n| format!("c{n}")),
        standing,
        origin: Origin::default(),
        dedupe: [0; 16],
        keep_raw: false,
        forward: None,
    }
}

pub fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(Timestamp::MIN),
        Just(Timestamp::MAX),
        (-377_705_023_201_i64..=253_402_207_200).prop_map(|second| Timestamp::from_second(second).unwrap()),
        (1_700_000_000_i64..1_900_000_000).prop_map(|second| Timestamp::from_second(second).unwrap()),
    ]
}

fn counts() -> impl Strategy<Value = BTreeMap<Status, u64>> {
    proptest::collection::btree_map(select(&STATUSES[..]), prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), any::<u64>(), 0..5_u64], 0..4)
}

fn marks() -> impl Strategy<Value = Vec<Fired>> {
    let mark = (any::<u64>(), moment(), any::<u64>()).prop_map(|(key, at, count)| Fired {
        key,
        trigger: "t0".into(),
        at,
        count,
        when: STATUSES.to_vec(),
    });
    vec(mark, 0..6)
}

pub fn known() -> impl Strategy<Value = Known> {
    let recent = (moment(), select(&STATUSES[..]), option::of("c[0-9]"), any::<u64>(), any::<bool>())
        .prop_map(|(at, status, campaign, event, cleared)| Recent { at, status, campaign: campaign.map(Into::into), event, cleared });
    let tally = (counts(), vec(recent, 0..400), option::of(moment()))
        .prop_map(|(totals, recent, last_bounce)| Tally { totals, recent: recent.into(), last_bounce })
        .boxed();
    let person =
        (option::of(".{0,9}"), option::of(moment()), tally.clone(), tally, marks()).prop_map(|(address, seen, counted, apart, fired)| {
            Person {
                address,
                first_seen: seen,
                last_seen: seen,
                counted,
                apart,
                tags: (0..300).map(|n: u16| n.to_string()).collect(),
                fields: BTreeMap::new(),
                suppressed: true,
                fired,
                ..Person::default()
            }
        });
    let buckets =
        || proptest::collection::btree_map(prop_oneof![Just(0), Just(u32::MAX), any::<u32>(), 19_000..22_000_u32], counts(), 0..5);
    let scope =
        (counts(), buckets(), buckets(), marks()).prop_map(|(totals, hours, days, fired)| Scope { totals, hours, days, fired }).boxed();
    (option::of(person), scope.clone(), scope.clone(), scope).prop_map(|(person, domain, campaign, all)| Known {
        person,
        domain,
        campaign,
        all,
        ..Known::default()
    })
}
