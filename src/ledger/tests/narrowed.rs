//! `where`: it narrows what fires, and never what counts.

use super::*;

fn narrowed(count: Comparator, source: &str) -> Trigger {
    Trigger { filter: Some(Filter::new(source).unwrap()), ..trigger(&[HardBounce], count) }
}

fn counted(world: &World) -> u64 {
    world.known.person.as_ref().unwrap().counted.totals[&HardBounce]
}

#[test]
fn a_false_where_counts_and_neither_fires_nor_marks() {
    let rules = rules(&[narrowed(Comparator::Exactly(2), "'ours' in tags")]);
    let mut world = World::new();
    assert_eq!(world.play(&rules, "h h"), "00");
    assert_eq!((counted(&world), world.known.person.as_ref().unwrap().fired.len()), (2, 0));
    world.known.person.as_mut().unwrap().tags.insert("ours".into());
    assert_eq!(world.play(&rules, "h h"), "00", "exactly is never late, though `where` would let it now");
    assert_eq!(world.play(&rules, "R h h h"), "010", "it was not marked");
    assert_eq!(counted(&world), 3);
}

#[test]
fn past_a_number_it_fires_at_the_first_that_where_lets_through() {
    for (count, fired) in [(Comparator::AtLeast(2), "100"), (Comparator::MoreThan(2), "100"), (Comparator::Every(2), "010")] {
        let rules = rules(&[narrowed(count, "'ours' in tags")]);
        let mut world = World::new();
        assert_eq!(world.play(&rules, "h h h h"), "0000", "{count:?}");
        world.known.person.as_mut().unwrap().tags.insert("ours".into());
        assert_eq!(world.play(&rules, "h h h"), fired, "{count:?}");
        assert_eq!(counted(&world), 7);
    }
}

#[test]
fn a_scope_counts_what_where_keeps_from_firing() {
    for per in [Per::Domain, Per::Campaign, Per::All] {
        let rules = rules(&[Trigger { per, ..narrowed(Comparator::AtLeast(2), "diagnostic == 'gone'") }]);
        let mut world = World::new();
        assert_eq!(world.play(&rules, "@a h h h"), "000", "{per:?}");
        let mut gone = mail(HardBounce, Some("a"), Standing::Full);
        gone.verdict.diagnostic = Some("gone".into());
        let changes = world.take(&rules, gone.clone());
        assert_eq!(changes.fired.iter().map(|fired| (fired.per, fired.fired.count)).collect::<Vec<_>>(), [(per, 4)]);
        assert_eq!(world.take(&rules, gone).fired.len(), 0, "{per:?}: once");
    }
}

#[test]
fn it_sees_what_is_known_of_the_event_and_the_person() {
    let mut bounce = mail(HardBounce, Some("spring"), Standing::Full);
    bounce.verdict.enhanced = Some("5.1.1".into());
    bounce.verdict.reply = Some("550".into());
    bounce.verdict.diagnostic = Some("550 5.1.1 unknown user".into());
    bounce.verdict.remote_mta = Some("mx.example.org".into());
    for (source, fires) in [
        ("address == 'alice@example.org' and domain == 'example.org'", true),
        ("campaign == 'spring'", true),
        ("campaign in ['autumn', 'winter']", false),
        ("status == 'hard-bounce' and fault == 'recipient'", true),
        ("enhanced == '5.1.1' and reply == '550'", true),
        ("'unknown' in diagnostic and remote_mta is endingwith('.example.org')", true),
        ("count == 2 and counts['hard-bounce'] == 2 and counts['auto-reply'] == 0", true),
        ("count == 1", false),
        ("'vip' in tags and fields.plan == 'gold' and not suppressed", true),
        ("fields.nothing", false),
        // By nothing is divided only when it counts two: what fails at run time is false.
        ("count % (count - 2) == 0", false),
    ] {
        let rules = rules(&[narrowed(Comparator::AtLeast(2), source)]);
        let mut world = World::new();
        world.take(&rules, mail(HardBounce, None, Standing::Full));
        let person = world.known.person.as_mut().unwrap();
        person.tags.insert("vip".into());
        person.fields.insert("plan".into(), Field::Text("gold".into()));
        let changes = world.take(&rules, bounce.clone());
        assert_eq!(changes.event.mail().unwrap().fired.len(), usize::from(fires), "{source}");
    }
}

#[test]
fn it_sees_what_triggers_before_it_did_to_the_person() {
    let first = Trigger { name: "first".into(), steps: vec![Step::Tag("one".into())], ..trigger(&[HardBounce], Comparator::Exactly(1)) };
    let before = Trigger { name: "before".into(), ..narrowed(Comparator::AtLeast(1), "'one' in tags") };
    let after = Trigger { name: "after".into(), ..before.clone() };
    let changes = World::new().take(&rules(&[before, first, after]), mail(HardBounce, None, Standing::Full));
    assert_eq!(changes.event.mail().unwrap().fired, ["first", "after"], "in the order of the file");
}
