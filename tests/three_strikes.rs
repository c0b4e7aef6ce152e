//! `config/three-strikes.toml` as it is shipped, through four weeks of a clock that the test moves, the end of summer time in between.
//!
//! Mails go in at intake as SMTP hands them over; the reports come out of a relay. Who is in which report is worked out here anew from a
//! table of Mondays in UTC, and for the edges it is written down by hand.

#![allow(clippy::unwrap_used)]

#[path = "three_strikes/house.rs"]
mod house;
mod store_support;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use bounced::ledger::Hand;
use house::House;
use jiff::{SignedDuration, Timestamp};
use support::random::Random;

/// 09:00 in Berlin; on 2026-10-25 summer time ends.
const MONDAYS: [&str; 5] =
    ["2026-10-12T07:00:00Z", "2026-10-19T07:00:00Z", "2026-10-26T08:00:00Z", "2026-11-02T08:00:00Z", "2026-11-09T08:00:00Z"];
/// The daemon is down over this Monday's 09:00.
const DOWN: (&str, &str) = ("2026-11-02T06:30:00Z", "2026-11-02T09:15:00Z");
const BEGIN: &str = "2026-10-12T05:00:00Z";
const PEOPLE: u64 = 150;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Hard,
    /// A mailbox that is full: no strike.
    Full,
    /// The very mail of the last hard bounce once more, as after a 250 that got lost.
    SentAgain,
    Reset,
    Down,
    Up,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Who strikes out at the edges, when, and in which Monday's report they must be (0 is 2026-10-12).
const EDGES: [(&str, &[&str], &[usize]); 12] = [
    ("minute-before@edge.test", &["2026-10-13T09:00:00Z", "2026-10-14T09:00:00Z", "2026-10-19T06:59:59Z"], &[1]),
    ("second-after@edge.test", &["2026-10-13T09:00:00Z", "2026-10-14T09:00:00Z", "2026-10-19T07:00:01Z"], &[2]),
    // In the hour that summer time would have made too late.
    ("winter-before@edge.test", &["2026-10-20T09:00:00Z", "2026-10-24T09:00:00Z", "2026-10-26T07:59:59Z"], &[2]),
    ("winter-nine-of-summer@edge.test", &["2026-10-20T09:00:00Z", "2026-10-24T09:00:00Z", "2026-10-26T07:00:01Z"], &[2]),
    ("winter-after@edge.test", &["2026-10-20T09:00:00Z", "2026-10-24T09:00:00Z", "2026-10-26T08:00:01Z"], &[3]),
    // The hour that comes twice.
    ("half-past-two@edge.test", &["2026-10-25T00:30:00Z", "2026-10-25T00:31:00Z", "2026-10-25T00:32:00Z"], &[2]),
    ("half-past-two-again@edge.test", &["2026-10-25T01:30:00Z", "2026-10-25T01:31:00Z", "2026-10-25T01:32:00Z"], &[2]),
    ("before-down@edge.test", &["2026-10-27T09:00:00Z", "2026-10-28T09:00:00Z", "2026-11-02T06:29:59Z"], &[3]),
    ("after-down@edge.test", &["2026-10-27T09:00:00Z", "2026-10-28T09:00:00Z", "2026-11-02T09:15:01Z"], &[4]),
    ("twice-only@edge.test", &["2026-10-13T09:00:00Z", "2026-11-05T09:00:00Z"], &[]),
    ("on-and-on@edge.test", &["2026-10-13T09:00:00Z", "2026-10-13T09:01:00Z", "2026-10-13T09:02:00Z", "2026-10-30T09:00:00Z"], &[1]),
    ("after-all@edge.test", &["2026-11-09T08:00:01Z", "2026-11-09T08:00:02Z", "2026-11-09T08:00:03Z"], &[]),
];

/// All that happens, in its order.
fn history() -> Vec<(Timestamp, String, What)> {
    let mut all: Vec<(Timestamp, String, What)> = Vec::new();
    for (address, strikes, _) in EDGES {
        all.extend(strikes.iter().map(|strike| (at(strike), address.to_owned(), What::Hard)));
    }
    // Back on the list after a clean-up: reset, and struck again. Reset while still waiting: the sequence goes on, once.
    for (time, address, what) in [
        ("2026-10-13T10:00:00Z", "comes-again@edge.test", What::Hard),
        ("2026-10-14T10:00:00Z", "comes-again@edge.test", What::Hard),
        ("2026-10-14T10:00:05Z", "comes-again@edge.test", What::SentAgain),
        ("2026-10-15T10:00:00Z", "comes-again@edge.test", What::Hard),
        ("2026-10-20T10:00:00Z", "comes-again@edge.test", What::Reset),
        ("2026-10-21T10:00:00Z", "comes-again@edge.test", What::Hard),
        ("2026-10-28T10:00:00Z", "comes-again@edge.test", What::Hard),
        ("2026-11-04T10:00:00Z", "comes-again@edge.test", What::Hard),
        ("2026-10-20T11:00:00Z", "reset-while-waiting@edge.test", What::Hard),
        ("2026-10-20T11:00:01Z", "reset-while-waiting@edge.test", What::Hard),
        ("2026-10-20T11:00:02Z", "reset-while-waiting@edge.test", What::Hard),
        ("2026-10-21T11:00:00Z", "reset-while-waiting@edge.test", What::Reset),
        ("2026-10-21T11:00:01Z", "reset-while-waiting@edge.test", What::Hard),
        ("2026-10-21T11:00:02Z", "reset-while-waiting@edge.test", What::Hard),
        ("2026-10-21T11:00:03Z", "reset-while-waiting@edge.test", What::Hard),
        ("2026-10-21T11:00:04Z", "only-full@edge.test", What::Full),
        ("2026-10-22T11:00:04Z", "only-full@edge.test", What::Full),
        ("2026-10-23T11:00:04Z", "only-full@edge.test", What::Full),
        (DOWN.0, "", What::Down),
        (DOWN.1, "", What::Up),
    ] {
        all.push((at(time), address.to_owned(), what));
    }
    let mut random = Random(20_261_012);
    let length = (at(MONDAYS[4]) - at(MONDAYS[0])).get_seconds().unsigned_abs();
    for person in 0..PEOPLE {
        let address = format!("person{person}@d{}.test", person % 40);
        for _ in 0..=random.below(5) {
            let mut time = at(MONDAYS[0]) + SignedDuration::from_secs(i64::try_from(random.below(length)).unwrap());
            if (at(DOWN.0)..=at(DOWN.1)).contains(&time) {
                time += SignedDuration::from_hours(6);
            }
            let what = [What::Hard, What::Hard, What::Hard, What::Hard, What::Hard, What::Full, What::SentAgain, What::Reset];
            all.push((time, address.clone(), what[usize::try_from(random.below(8)).unwrap()]));
        }
    }
    all.sort();
    all
}

/// What the README says of a person.
#[derive(Default)]
struct Person {
    strikes: u32,
    tags: BTreeSet<&'static str>,
    /// The Monday of whose report they wait.
    waits: Option<usize>,
    struck_out: bool,
}

impl Person {
    fn strike(&mut self, now: Timestamp) {
        self.strikes += 1;
        match self.strikes {
            1 => {
                self.tags.insert("first-hard-bounce");
            }
            2 => {
                self.tags.remove("first-hard-bounce");
                self.tags.insert("second-hard-bounce");
            }
            _ if !self.struck_out => {
                self.struck_out = true;
                self.tags.remove("second-hard-bounce");
                self.tags.insert("third-strike");
                // Who waits already is not started twice.
                let next = MONDAYS.iter().position(|monday| at(monday) >= now).unwrap_or(MONDAYS.len());
                self.waits.get_or_insert(next);
            }
            _ => {}
        }
    }

    fn reset(&mut self) {
        (self.strikes, self.struck_out) = (0, false);
    }
}

#[derive(Default)]
struct Model {
    people: BTreeMap<String, Person>,
    /// Of each Monday that has been, who was in its report.
    reports: Vec<BTreeSet<String>>,
}

impl Model {
    fn monday(&mut self) -> BTreeSet<String> {
        let this = self.reports.len();
        let theirs = self.people.iter_mut().filter_map(|(address, person)| person.waits.take_if(|monday| *monday == this).map(|_| address));
        let names: BTreeSet<String> = theirs.cloned().collect();
        self.reports.push(names.clone());
        names
    }
}

/// Takes the clock to `to`, and looks at every Monday on the way.
async fn go_to(house: &House, model: &mut Model, to: Timestamp) {
    while let Some(monday) = MONDAYS.get(model.reports.len()).map(|monday| at(monday)).filter(|monday| *monday <= to) {
        if house.runs() && house.clock.now() < monday {
            house.clock.go(monday.duration_since(house.clock.now()) - SignedDuration::from_millis(1));
            assert_eq!(house.tick().await, 0, "nothing is due before {monday}");
            house.clock.go(SignedDuration::from_millis(1));
        } else if !house.runs() {
            break;
        }
        house.tick().await;
        look_at_reports(house, model).await;
    }
    house.clock.go(to.duration_since(house.clock.now()));
}

/// One more report came, with whom it must name; without anybody none came.
async fn look_at_reports(house: &House, model: &mut Model) {
    let expected = model.monday();
    let so_far = model.reports.iter().filter(|people| !people.is_empty()).count();
    let mails = house.await_mails(so_far).await;
    assert_eq!(mails.len(), so_far, "one mail each Monday that has people");
    let Some(mail) = mails.last().filter(|_| !expected.is_empty()) else { return };
    let names = house::people_in(mail);
    assert_eq!(names.len(), expected.len(), "nobody stands there twice");
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected, "Monday {}", model.reports.len() - 1);
    assert_eq!(mail.to, ["assistant@example.com"]);
    assert_eq!(mail.header("Subject").unwrap(), format!("{} addresses to clean up", expected.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn four_weeks_of_three_strikes() {
    let mut house = House::new(at(BEGIN)).await;
    let (mut model, mut serial) = (Model::default(), 0);
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for (time, address, what) in history() {
        go_to(&house, &mut model, time).await;
        let person = model.people.entry(address.clone()).or_default();
        match what {
            What::Hard => {
                serial += 1;
                last.insert(address.clone(), serial);
                house.hard(&address, serial).await;
                person.strike(time);
            }
            What::SentAgain => {
                if let Some(serial) = last.get(&address) {
                    house.hard(&address, *serial).await;
                }
            }
            What::Full => {
                serial += 1;
                house.full(&address, serial).await;
            }
            What::Reset => {
                house.by_hand(&address, Hand::Reset(None)).await;
                person.reset();
            }
            What::Down => {
                house.stop().await;
                continue;
            }
            What::Up => {
                house.start().await;
                assert_eq!(model.reports.len(), 3, "09:00 passed while it was down");
                house.tick().await;
                look_at_reports(&house, &mut model).await;
                continue;
            }
        }
        assert_eq!(house.tags(&address), person.tags.iter().map(|tag| (*tag).to_owned()).collect(), "{address} at {time}");
    }
    go_to(&house, &mut model, at("2026-11-09T12:00:00Z")).await;

    for (address, _, mondays) in EDGES {
        let in_reports: Vec<usize> = (0..5).filter(|monday| model.reports[*monday].contains(address)).collect();
        assert_eq!(in_reports, mondays, "{address}");
    }
    let of = |address: &str| (0..5).filter(|monday| model.reports[*monday].contains(address)).collect::<Vec<_>>();
    assert_eq!((of("comes-again@edge.test"), of("reset-while-waiting@edge.test")), (vec![1, 4], vec![2]));
    assert_eq!(model.reports[0].len(), 0, "nobody had struck out yet: no mail");
    let sizes: Vec<usize> = model.reports.iter().map(BTreeSet::len).collect();
    eprintln!("{serial} bounces; people in the reports of the five Mondays: {sizes:?}");
    let mails = house.await_mails(4).await;
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail.header("Message-ID").unwrap()).collect();
    assert_eq!((mails.len(), ids.len()), (4, 4));
    house.stop().await;
}
