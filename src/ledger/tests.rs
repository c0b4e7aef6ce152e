//! One table for each meaning of a trigger. Histories of one person in words: `h` hard bounce, `s` soft bounce, `f` mailbox full,
//! `d` delivered, `R` reset by hand, `+1d`/`+2h` time passes, `@c` the campaign of what follows.

mod acts;
mod hands;
mod made;
mod narrowed;
mod resend;
mod sequences;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    action::Task,
    classify::Verdict,
    taxonomy::Status::{self, *},
    verp::PersonKey,
};

/// 2026-11-23T12:00:00Z.
const START: i64 = 1_795_435_200;
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn trigger(when: &[Status], count: Comparator) -> Trigger {
    Trigger {
        name: "t".into(),
        when: when.to_vec(),
        count,
        within: None,
        distinct: None,
        per: Per::Address,
        repeat: false,
        filter: None,
        steps: Vec::new(),
    }
}

fn rules(triggers: &[Trigger]) -> Rules {
    Rules { triggers: triggers.to_vec(), ..Rules::default() }
}

fn mail(status: Status, campaign: Option<&str>, standing: Standing) -> MailInput {
    let verdict = Verdict { address: Some("alice@example.org".into()), status, ..Verdict::undetermined("test") };
    MailInput {
        person: Some(PersonKey([7; 10])),
        verdict,
        campaign: campaign.map(str::to_owned),
        standing,
        origin: Origin::default(),
        dedupe: [0; 16],
        keep_raw: false,
        forward: None,
        original_whole: false,
        import: None,
    }
}

/// What the store does between two inputs.
fn commit(known: &mut Known, changes: &Changes, domain: bool, campaign: bool) {
    let event = changes.event.mail().unwrap();
    if let Some(person) = &changes.person {
        known.person = Some(person.clone());
    }
    let here = |per| match per {
        Per::Domain => domain,
        Per::Campaign => campaign,
        _ => true,
    };
    for (per, scope) in [(Per::Domain, &mut known.domain), (Per::Campaign, &mut known.campaign), (Per::All, &mut known.all)] {
        if changes.counted && here(per) {
            let status = event.verdict.status;
            *scope.totals.entry(status).or_default() += 1;
            *scope.hours.entry(hour_of(event.at)).or_default().entry(status).or_default() += 1;
            *scope.days.entry(day_of(event.at)).or_default().entry(status).or_default() += 1;
        }
        changes.fired.iter().filter(|fired| fired.per == per).for_each(|fired| scope.mark(fired.fired.clone()));
    }
}

struct World {
    known: Known,
    at: Timestamp,
    id: u64,
}

impl World {
    fn new() -> World {
        World { known: Known::default(), at: Timestamp::from_second(START).unwrap(), id: 0 }
    }

    fn take(&mut self, rules: &Rules, mail: MailInput) -> Changes {
        self.id += 1;
        let (domain, campaign) = (mail.verdict.address.is_some(), mail.campaign.is_some());
        let changes = rules.judge(&mut self.known.clone(), &Input::Mail(mail), self.id, self.at);
        commit(&mut self.known, &changes, domain, campaign);
        changes
    }

    /// One figure for each event: how many triggers it fired.
    fn play(&mut self, rules: &Rules, history: &str) -> String {
        let mut fired = String::new();
        let mut campaign = None;
        for word in history.split_whitespace() {
            let status = match word {
                "h" => HardBounce,
                "s" => SoftBounceGeneral,
                "f" => SoftBounceMailboxFull,
                "d" => Delivered,
                "R" => {
                    self.known.person.as_mut().unwrap().reset(None);
                    continue;
                }
                _ if word.starts_with('+') => {
                    let (number, unit) = word[1..].split_at(word.len() - 2);
                    let hours = number.parse::<i64>().unwrap() * if unit == "d" { 24 } else { 1 };
                    self.at += SignedDuration::from_hours(hours);
                    continue;
                }
                _ => {
                    campaign = word.strip_prefix('@');
                    continue;
                }
            };
            let changes = self.take(rules, mail(status, campaign, Standing::Full));
            let event = changes.event.mail().unwrap();
            fired += &event.fired.len().to_string();
        }
        fired
    }
}

fn play(trigger: &Trigger, history: &str) -> String {
    World::new().play(&rules(std::slice::from_ref(trigger)), history)
}

#[test]
fn comparators() {
    use Comparator::*;
    for (count, repeat, history, fired) in [
        (Exactly(1), false, "h h h", "100"),
        (Exactly(3), false, "h h h h h h", "001000"),
        (Exactly(3), true, "h h h h h h", "001000"),
        (Exactly(2), false, "h h h R h h h", "010010"),
        (AtLeast(2), false, "h h h h", "0100"),
        (AtLeast(2), true, "h h h h", "0111"),
        (AtLeast(2), false, "h h h R h h h", "010010"),
        (MoreThan(2), false, "h h h h", "0010"),
        (MoreThan(0), false, "h h", "10"),
        (MoreThan(2), true, "h h h h", "0011"),
        (Every(2), false, "h h h h h", "01010"),
        (Every(1), false, "h h h", "111"),
        (Every(2), false, "h R h h h h", "00101"),
        // A count that can't be reached, and one that always is.
        (Exactly(0), false, "h h", "00"),
        (Every(0), false, "h h", "00"),
        (AtLeast(0), false, "h h", "10"),
        (MoreThan(u64::MAX), false, "h h", "00"),
    ] {
        let trigger = Trigger { repeat, ..trigger(&[HardBounce], count) };
        assert_eq!(play(&trigger, history), fired, "{count:?} repeat={repeat}: {history}");
    }
}

#[test]
fn several_statuses_are_summed_and_others_pass_by() {
    let sum = trigger(&[SoftBounceGeneral, SoftBounceMailboxFull], Comparator::Exactly(3));
    assert_eq!(play(&sum, "s h f h d s f"), "0000010");
    let delivered = trigger(&[Delivered], Comparator::Every(2));
    assert_eq!(play(&delivered, "d h d d d"), "00101");
}

#[test]
fn exactly_never_fires_late() {
    let mut world = World::new();
    assert_eq!(world.play(&Rules::default(), "h h h"), "000");
    let exact = rules(&[trigger(&[HardBounce], Comparator::Exactly(3))]);
    assert_eq!(world.play(&exact, "h h"), "00", "the third came before the trigger was there");
    let past = rules(&[trigger(&[HardBounce], Comparator::AtLeast(3))]);
    assert_eq!(world.play(&past, "h h"), "10", "at least: the next one at or past it");
}

#[test]
fn windows_of_a_person_are_exact() {
    use Comparator::*;
    for (count, repeat, history, fired) in [
        (Exactly(3), false, "h +1d h +1d h", "001"),
        (Exactly(3), false, "h +4d h +4d h +4d h", "0000"),
        // Just ten days ago is still within; an hour more is not.
        (Exactly(2), false, "h +10d h", "01"),
        (Exactly(2), false, "h +10d +1h h", "00"),
        (Exactly(2), false, "h h +20d h h", "0100"),
        (Exactly(2), true, "h h +20d h h", "0101"),
        (AtLeast(2), false, "h h h +20d h h", "01000"),
        (AtLeast(2), true, "h h h +20d h h", "01101"),
        (Every(2), false, "h h h h +20d h h h h h h", "0101000001"),
        (Every(2), true, "h h h h +20d h h", "010101"),
        (Exactly(2), false, "h h R h h", "0101"),
    ] {
        let trigger = Trigger { within: Some(DAY * if history.contains("+4d") { 7 } else { 10 }), repeat, ..trigger(&[HardBounce], count) };
        assert_eq!(play(&trigger, history), fired, "{count:?} repeat={repeat}: {history}");
    }
}

#[test]
fn distinct_days_and_campaigns_count_once() {
    use Comparator::*;
    for (distinct, count, repeat, history, fired) in [
        (Distinct::Day, Exactly(2), false, "h h h +1d h h", "00010"),
        // Days are UTC: it starts at noon.
        (Distinct::Day, Exactly(2), false, "h +11h h +1h h", "001"),
        (Distinct::Day, AtLeast(2), true, "h +1d h h +1d h h", "01010"),
        (Distinct::Day, Every(2), false, "h +1d h h +1d h +1d h h", "010010"),
        (Distinct::Campaign, Exactly(2), false, "@a h h h @b h @a h @c h", "000100"),
        (Distinct::Campaign, AtLeast(3), false, "@a h @b h h @c h @d h", "00010"),
        // No campaign is one of its own.
        (Distinct::Campaign, Exactly(2), false, "h h @a h", "001"),
    ] {
        let trigger = Trigger { distinct: Some(distinct), repeat, ..trigger(&[HardBounce], count) };
        assert_eq!(play(&trigger, history), fired, "{distinct:?} {count:?}: {history}");
    }
    let both = Trigger { distinct: Some(Distinct::Day), within: Some(DAY * 3), ..trigger(&[HardBounce], Comparator::Exactly(3)) };
    assert_eq!(play(&both, "h +2d h +2d h +1d h"), "0001");
}

#[test]
fn a_day_is_one_of_the_configured_time_zone() {
    let trigger = Trigger { distinct: Some(Distinct::Day), ..trigger(&[HardBounce], Comparator::Exactly(2)) };
    // It starts at noon of UTC: 13 h in Berlin, 21 h in Tokyo, 4 h in Los Angeles. On 2027-03-28 Berlin has 23 hours.
    for (zone, history, fired) in [
        ("Europe/Berlin", "h +10h h +1h h", "001"),
        ("Asia/Tokyo", "h +2h h +1h h", "001"),
        ("America/Los_Angeles", "h +19h h +1h h", "001"),
        ("Europe/Berlin", "+2987h h +22h h", "00"),
        ("Europe/Berlin", "+2987h h +23h h", "01"),
    ] {
        let timezone = jiff::tz::TimeZone::get(zone).unwrap();
        let rules = Rules { timezone, ..rules(std::slice::from_ref(&trigger)) };
        assert_eq!(World::new().play(&rules, history), fired, "{zone}: {history}");
    }
}

#[test]
fn scopes_are_counted_in_hours_then_days() {
    let hours = Trigger { per: Per::Domain, within: Some(SignedDuration::from_hours(2)), ..trigger(&[HardBounce], Comparator::Exactly(3)) };
    assert_eq!(play(&hours, "h +1h h +1h h"), "001");
    assert_eq!(play(&hours, "h +2h h +3h h h"), "0000");
    let days = Trigger { per: Per::All, within: Some(DAY * 30), ..trigger(&[HardBounce], Comparator::Exactly(3)) };
    assert_eq!(play(&days, "h +20d h +10d h"), "001");
    assert_eq!(play(&days, "h +20d h +11d h"), "000");
    let ever = Trigger { per: Per::Campaign, ..trigger(&[HardBounce], Comparator::Every(2)) };
    assert_eq!(play(&ever, "@a h h h +90d h"), "0101");
    assert_eq!(play(&ever, "h h h h"), "0000", "no campaign, nothing to count per");
}

#[test]
fn a_reset_by_hand_leaves_all_but_counts_and_marks() {
    let mut tagging = trigger(&[HardBounce], Comparator::Exactly(2));
    tagging.steps = vec![Step::Tag("twice".into())];
    let soft = Trigger { name: "soft".into(), ..trigger(&[SoftBounceGeneral], Comparator::AtLeast(1)) };
    let rules = rules(&[tagging, soft]);
    let mut world = World::new();
    assert_eq!(world.play(&rules, "h s h"), "011");
    let person = world.known.person.as_mut().unwrap();
    let before = person.clone();
    person.reset(Some(&[HardBounce]));
    assert_eq!(person.counted.totals, Counts::from([(SoftBounceGeneral, 1)]));
    assert_eq!(person.fired.iter().map(|mark| mark.trigger.as_str()).collect::<Vec<_>>(), ["soft"]);
    assert_eq!((&person.tags, person.first_seen, person.last_seen), (&before.tags, before.first_seen, before.last_seen));
    assert_eq!(person.counted.recent.len(), 3, "the list of events stays");
    assert_eq!(world.play(&rules, "h s h"), "001", "soft has fired, and was not reset");
}

#[test]
fn counts_lapse_and_delivered_resets_where_configured() {
    let exact = trigger(&[HardBounce], Comparator::Exactly(2));
    let lapsing = Rules { reset_after: Some(DAY * 30), ..rules(std::slice::from_ref(&exact)) };
    assert_eq!(World::new().play(&lapsing, "h +29d h"), "01");
    assert_eq!(World::new().play(&lapsing, "h +30d h h"), "001");
    assert_eq!(World::new().play(&lapsing, "h h +30d h h"), "0101");
    assert_eq!(World::new().play(&lapsing, "h +20d d +20d h"), "000", "delivered is no bounce");
    let delivered = Rules { reset_on_delivered: true, ..rules(std::slice::from_ref(&exact)) };
    assert_eq!(World::new().play(&delivered, "h d h h"), "0001");
    assert_eq!(World::new().play(&rules(&[exact]), "h d h"), "001");
}

#[test]
fn what_may_not_fire_counts_apart() {
    let rules = rules(&[
        trigger(&[HardBounce], Comparator::AtLeast(1)),
        Trigger { per: Per::All, ..trigger(&[HardBounce], Comparator::AtLeast(1)) },
    ]);
    for standing in [Standing::Unsigned, Standing::Expired] {
        let mut world = World::new();
        let changes = world.take(&rules, mail(HardBounce, None, standing));
        assert!(!changes.counted && changes.fired.is_empty() && changes.jobs.is_empty());
        let person = changes.person.unwrap();
        assert_eq!(person.apart.totals, Counts::from([(HardBounce, 1)]));
        assert_eq!((person.counted, person.fired.len()), (Tally::default(), 0));
        assert_eq!(world.play(&rules, "h"), "2", "as if it were the first");
    }
    let own = World::new().take(&rules, mail(HardBounce, None, Standing::Own));
    assert_eq!((own.counted, own.person, own.jobs.len()), (false, None, 0));
}

#[test]
fn jobs_bear_the_facts_of_their_moment() {
    let post = |to: &str| Task::Forward { to: to.to_owned() };
    let first = Trigger {
        name: "first".into(),
        steps: vec![Step::Job(post("a")), Step::Untag("old".into()), Step::Tag("new".into()), Step::Job(post("b"))],
        ..trigger(&[HardBounce], Comparator::Exactly(2))
    };
    let second = Trigger { name: "second".into(), steps: vec![Step::Job(post("c"))], ..trigger(&[HardBounce], Comparator::MoreThan(1)) };
    let rules = rules(&[first.clone(), second.clone()]);
    let mut world = World::new();
    world.play(&rules, "s h");
    world.known.person.as_mut().unwrap().tags.insert("old".into());
    let changes = world.take(&rules, MailInput { forward: Some("ops@example.com".into()), ..mail(HardBounce, None, Standing::Full) });
    let ids: Vec<_> = changes.jobs.iter().map(|job| (job.trigger, job.place, job.task.target())).collect();
    assert_eq!(ids, [(first.job_key(), 0, "a"), (first.job_key(), 3, "b"), (second.job_key(), 0, "c"), (0, 0, "ops@example.com")]);
    for job in &changes.jobs {
        assert_eq!(job.facts.event.fired, ["first", "second"]);
        assert_eq!(job.facts.tags, ["new"]);
        assert_eq!(job.facts.counts, [(HardBounce, 2), (SoftBounceGeneral, 1)]);
        assert_eq!(job.facts.event.id, 3);
    }
    let named: Vec<_> = changes.jobs.iter().map(|job| (job.facts.trigger.as_str(), job.facts.count)).collect();
    assert_eq!(named, [("first", 2), ("first", 2), ("second", 2), ("", 0)]);
}

#[test]
fn nobody_named_counts_for_all_only() {
    let per = |per| Trigger { per, ..trigger(&[HardBounce], Comparator::AtLeast(1)) };
    let rules = rules(&[per(Per::Address), per(Per::Domain), per(Per::Campaign), per(Per::All)]);
    let mut nobody = mail(HardBounce, None, Standing::Full);
    nobody.person = None;
    nobody.verdict.address = None;
    let changes = World::new().take(&rules, nobody);
    assert_eq!(changes.fired.iter().map(|fired| fired.per).collect::<Vec<_>>(), [Per::All]);
    assert!(changes.counted && changes.person.is_none());
}

#[test]
fn an_address_is_learned_once() {
    let rules = Rules::default();
    let mut world = World::new();
    let told = |address: Option<&str>| {
        let mut mail = mail(HardBounce, None, Standing::Full);
        mail.verdict.address = address.map(str::to_owned);
        mail
    };
    world.take(&rules, told(None));
    assert_eq!(world.known.person.as_ref().unwrap().address, None);
    world.take(&rules, told(Some("Alice@Example.org")));
    world.take(&rules, told(Some("mallory@example.com")));
    let person = world.known.person.unwrap();
    assert_eq!(person.address.as_deref(), Some("alice@example.org"));
    assert_eq!(domain_of(Some(&person), &told(None)), Some("example.org"));
    assert_eq!(domain_of(Some(&person), &told(Some("bob@example.net"))), Some("example.net"));
}

#[test]
fn lists_are_bounded() {
    let mut steps: Vec<Step> = (0..TAGS + 9).map(|n| Step::Tag(n.to_string())).collect();
    steps.push(Step::Untag("3".into()));
    let every = Trigger { steps, ..trigger(&[HardBounce], Comparator::Every(1)) };
    let mut world = World::new();
    for n in 0..MARKS + 9 {
        world.take(&rules(&[Trigger { name: n.to_string(), ..every.clone() }]), mail(HardBounce, None, Standing::Full));
    }
    let person = world.known.person.unwrap();
    assert_eq!((person.tags.len(), person.fired.len(), person.counted.recent.len()), (TAGS - 1, MARKS, RECENT));
    assert_eq!(person.fired.first().unwrap().trigger, "9", "the oldest went");
    assert_eq!(person.counted.totals[&HardBounce], 1033);
}

/// Worked out apart from this program: `printf 'when …\ncount …' | sha256sum`. Should this fail, every stored mark is orphaned.
#[test]
fn keys_stay_for_good() {
    let plain = Trigger { name: "third strike".into(), ..trigger(&[HardBounce], Comparator::MoreThan(2)) };
    assert_eq!(plain.key(), 0x775a_fe4b_25b6_06fc);
    let rich = Trigger {
        within: Some(DAY * 30),
        distinct: Some(Distinct::Day),
        per: Per::Domain,
        ..trigger(&[SoftBounceGeneral, HardBounce, HardBounce], Comparator::Every(5))
    };
    assert_eq!(rich.key(), 0x622e_e770_1cea_c628);
    assert_eq!(Trigger { repeat: true, steps: vec![Step::Tag("x".into())], ..plain.clone() }.key(), plain.key());
    assert_ne!(Trigger { per: Per::All, ..plain.clone() }.key(), plain.key());
    assert_eq!(rules(&[plain.clone(), rich.clone()]).clash(), None);
    assert_eq!(rules(&[plain.clone(), rich, plain.clone()]).clash(), Some((&plain, &plain)));
}
