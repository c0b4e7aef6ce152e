//! Which triggers fire, at which count, for whom; and what clears the counts.

use serde_json::json;

use crate::support::{
    client::Client,
    daemon::{Daemon, Setup},
    deeds::{Why, strings},
    mails::Bounce,
};

fn with(toml: &str) -> Daemon {
    Setup::new("smtp://127.0.0.1:9").with(toml).start()
}

/// `name = "…"` with the given lines; each one tags by its name.
fn trigger(name: &str, lines: &str) -> String {
    format!("[[trigger]]\nname = \"{name}\"\n{lines}\ndo = [{{ tag = \"{}\" }}]\n", name.replace(' ', "-"))
}

/// The triggers that fired, event by event, the oldest first.
fn fired(daemon: &Daemon) -> Vec<Vec<String>> {
    let mut events: Vec<_> = daemon.events().iter().map(|event| strings(&event["fired"])).collect();
    events.reverse();
    events
}

#[test]
fn the_comparators() {
    let hard = "when = \"hard-bounce\"\n";
    let all = [
        ("exactly", "count = \"exactly 2\""),
        ("at least", "count = \"at least 2\""),
        ("at least each", "count = \"at least 2\"\nrepeat = true"),
        ("more than", "count = \"more than 2\""),
        ("more than each", "count = \"more than 2\"\nrepeat = true"),
        ("every", "count = \"every 2\""),
    ];
    let daemon = with(&all.map(|(name, lines)| trigger(name, &format!("{hard}{lines}"))).concat());
    for serial in 0..5 {
        daemon.bounces(serial, "alice@example.org", Why::Hard);
    }
    let expected: [&[&str]; 5] = [
        &[],
        &["exactly", "at least", "at least each", "every"],
        &["at least each", "more than", "more than each"],
        &["at least each", "more than each", "every"],
        &["at least each", "more than each"],
    ];
    assert_eq!(fired(&daemon), expected, "in the order of the file");
    // Each person counts for themselves.
    daemon.bounces(9, "bob@example.org", Why::Hard);
    assert_eq!(daemon.tags("bob@example.org"), [""; 0]);
}

#[test]
fn sets_of_statuses_count_by_their_sum() {
    let daemon = with(
        &[
            trigger("list", "when = [\"hard-bounce\", \"soft-bounce-mailbox-full\"]\ncount = \"exactly 3\""),
            trigger("prefix", "when = \"soft-bounce-*\"\ncount = \"exactly 2\""),
            trigger("any", "when = \"*\"\ncount = \"exactly 4\""),
        ]
        .concat(),
    );
    for (serial, why) in [Why::Full, Why::Hard, Why::Busy, Why::Hard].into_iter().enumerate() {
        daemon.bounces(serial as u64, "alice@example.org", why);
    }
    assert_eq!(fired(&daemon), [vec![], vec![], vec!["prefix"], vec!["list", "any"]]);
    // A delivery is no bounce, whatever counts all.
    let rcpt = daemon.verp("bob@example.org", None);
    for serial in 0..4 {
        let told = Bounce {
            action: "delivered",
            status: "2.0.0",
            reply: "250 2.0.0 Ok: queued",
            ..Bounce::unknown_user(serial, &rcpt, "bob@example.org")
        };
        Client::connect(daemon.smtp()).bounce(&rcpt, &told.postfix());
    }
    assert_eq!((daemon.tags("bob@example.org"), &daemon.show("bob@example.org")["counts"]), (vec![], &json!({"delivered": 4})));
}

/// What `where` turns away is counted all the same, and `exactly` never fires late for it.
#[test]
fn where_narrows_the_firing_and_never_the_counting() {
    let hard = |rest: &str| format!("when = \"hard-bounce\"\n{rest}");
    let daemon = with(
        &[
            trigger("second in spring", &hard("count = \"exactly 2\"\nwhere = 'campaign == \"spring\"'")),
            trigger("spring from two on", &hard("count = \"at least 2\"\nwhere = 'campaign == \"spring\"'")),
            trigger("by all", &hard("count = \"at least 1\"\nwhere = 'domain == \"example.org\" and \"vip\" not in tags and fields.plan == \"gold\" and counts[\"hard-bounce\"] > 2 and enhanced == \"5.1.1\" and fault == \"recipient\" and \"unknown\" in diagnostic | lower'")),
        ]
        .concat(),
    );
    daemon.bounces_in(1, "alice@example.org", Why::Hard, Some("autumn"));
    daemon.bounces_in(2, "alice@example.org", Why::Hard, Some("spring"));
    assert_eq!(fired(&daemon), [vec![], vec!["second in spring", "spring from two on"]], "autumn counted");
    daemon.bounces_in(3, "bob@example.org", Why::Hard, Some("spring"));
    daemon.bounces_in(4, "bob@example.org", Why::Hard, Some("autumn"));
    assert_eq!(daemon.tags("bob@example.org"), [""; 0]);
    daemon.bounces_in(5, "bob@example.org", Why::Hard, Some("spring"));
    assert_eq!(daemon.tags("bob@example.org"), ["spring-from-two-on"], "at three it is not the second any more");
    daemon.text(&["set", "bob@example.org", "plan=gold"]);
    daemon.text(&["tag", "bob@example.org", "vip"]);
    daemon.bounces(6, "bob@example.org", Why::Hard);
    assert!(!daemon.tags("bob@example.org").contains(&"by-all".to_owned()));
    daemon.text(&["untag", "bob@example.org", "vip"]);
    daemon.bounces(7, "bob@example.org", Why::Hard);
    assert!(daemon.tags("bob@example.org").contains(&"by-all".to_owned()));
}

#[test]
fn per_domain_campaign_and_all() {
    let hard = |rest: &str| format!("when = \"hard-bounce\"\n{rest}");
    let daemon = with(
        &[
            trigger("domain", &hard("per = \"domain\"\ncount = \"exactly 2\"")),
            trigger("campaign", &hard("per = \"campaign\"\ncount = \"exactly 2\"")),
            trigger("all", &hard("per = \"all\"\ncount = \"exactly 4\"")),
            trigger("all of late", &hard("per = \"all\"\ncount = \"at least 3\"\nwithin = \"1 hour\"\nrepeat = true")),
        ]
        .concat(),
    );
    for (serial, (address, campaign)) in
        [("a@example.org", None), ("b@example.com", Some("spring")), ("c@example.org", Some("autumn")), ("d@example.net", Some("spring"))]
            .into_iter()
            .enumerate()
    {
        daemon.bounces_in(serial as u64, address, Why::Hard, campaign);
    }
    assert_eq!(fired(&daemon), [vec![], vec![], vec!["domain", "all of late"], vec!["campaign", "all", "all of late"]]);
    assert_eq!(daemon.tags("a@example.org"), [""; 0], "done to the one whose mail fired");
    assert_eq!(daemon.tags("c@example.org"), ["all-of-late", "domain"]);
}

#[test]
fn windows_and_what_counts_once() {
    let hard = |rest: &str| format!("when = \"hard-bounce\"\n{rest}");
    let daemon = with(
        &[
            trigger("late", &hard("count = \"at least 3\"\nwithin = \"30 days\"")),
            trigger("whenever", &hard("count = \"exactly 4\"")),
            trigger("days", &hard("count = \"exactly 4\"\ndistinct = \"day\"")),
            trigger("campaigns", &hard("count = \"exactly 2\"\ndistinct = \"campaign\"")),
        ]
        .concat(),
    );
    let past = [(1, 100), (2, 40), (3, 20)].map(|(serial, days)| daemon.past(serial, "alice@example.org", days));
    assert_eq!(daemon.import(&past, &[])["counted"], 3);
    daemon.bounces(4, "alice@example.org", Why::Hard);
    assert_eq!(daemon.tags("alice@example.org"), ["days", "whenever"], "two within 30 days");
    daemon.bounces(5, "alice@example.org", Why::Hard);
    assert_eq!(daemon.tags("alice@example.org"), ["days", "late", "whenever"]);
    for (serial, campaign) in [(11, Some("spring")), (12, Some("spring"))] {
        daemon.bounces_in(serial, "bob@example.org", Why::Hard, campaign);
    }
    assert_eq!(daemon.tags("bob@example.org"), [""; 0], "twice in one campaign, on one day");
    daemon.bounces_in(13, "bob@example.org", Why::Hard, Some("autumn"));
    assert_eq!(daemon.tags("bob@example.org"), ["campaigns", "late"]);
}

/// A reset clears counts and what fired; tags, fields, suppression and sequences stay.
#[test]
fn resets_by_action_and_by_hand() {
    let daemon = with(
        r#"
        [[trigger]]
        name = "twice"
        when = "hard-bounce"
        count = "at least 2"
        do = [{ tag = "twice" }, { set = { plan = "none" } }, { suppress = true }, { start = "follow" }]
        [[trigger]]
        name = "full again"
        when = "soft-bounce-mailbox-full"
        count = "exactly 2"
        do = [{ reset = ["soft-bounce-mailbox-full"] }]
        [[sequence]]
        name = "follow"
        [[sequence.step]]
        name = "later"
        after = "1 month"
        do = [{ tag = "later" }]
        "#,
    );
    for serial in 0..5 {
        daemon.bounces(serial, "alice@example.org", Why::Full);
    }
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"soft-bounce-mailbox-full": 1}), "at two and at four");
    for serial in 10..13 {
        daemon.bounces(serial, "alice@example.org", Why::Hard);
    }
    assert_eq!(daemon.show("alice@example.org")["fired"].as_array().unwrap().len(), 1, "once until reset");
    let before = daemon.show("alice@example.org");
    let after = daemon.rows(&["reset", "alice@example.org", "--status", "hard-*"]).remove(0);
    assert_eq!((&after["counts"], &after["fired"]), (&json!({"soft-bounce-mailbox-full": 1}), &json!([])), "{after}");
    for key in ["tags", "fields", "suppressed", "sequences", "first_seen", "last_seen"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["suppressed"], true);
    daemon.bounces(20, "alice@example.org", Why::Hard);
    assert_eq!(daemon.show("alice@example.org")["fired"], json!([]));
    daemon.bounces(21, "alice@example.org", Why::Hard);
    assert_eq!(daemon.show("alice@example.org")["fired"][0]["trigger"], "twice", "armed anew");
    let all = daemon.rows(&["reset", "alice@example.org"]).remove(0);
    assert_eq!((&all["counts"], &all["fired"]), (&json!({}), &json!([])));
    assert!(daemon.complaint(&["reset", "alice@example.org", "--status", "hard"]).contains("did you mean 'hard-bounce'"));
}

#[test]
fn resets_by_configuration() {
    let daemon = with("[count]\nreset_after = \"30 days\"\nreset_on_delivered = true");
    let past = [(1, 100), (2, 95)].map(|(serial, days)| daemon.past(serial, "alice@example.org", days));
    daemon.import(&past, &[]);
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 2}));
    daemon.bounces(3, "alice@example.org", Why::Hard);
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 1}), "so long without a bounce");
    let rcpt = daemon.verp("alice@example.org", None);
    let told = Bounce {
        action: "delivered",
        status: "2.0.0",
        reply: "250 2.0.0 Ok: queued",
        ..Bounce::unknown_user(4, &rcpt, "alice@example.org")
    };
    Client::connect(daemon.smtp()).bounce(&rcpt, &told.postfix());
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"delivered": 1}));
}

/// An edited `do` arms nothing anew, an edited condition is another trigger; both at a reload.
#[test]
fn an_edited_trigger() {
    let path = |daemon: &Daemon| daemon.setup.config_path();
    let mut daemon = with(&trigger("strike", "when = \"hard-bounce\"\ncount = \"at least 1\""));
    daemon.bounces(1, "alice@example.org", Why::Hard);
    assert_eq!(daemon.tags("alice@example.org"), ["strike"]);
    let text = std::fs::read_to_string(path(&daemon)).unwrap();
    daemon.stop();
    std::fs::write(path(&daemon), text.replace("tag = \"strike\"", "tag = \"struck\"")).unwrap();
    daemon.start();
    daemon.bounces(2, "alice@example.org", Why::Hard);
    assert_eq!(daemon.tags("alice@example.org"), ["strike"]);
    daemon.bounces(3, "bob@example.org", Why::Hard);
    assert_eq!(daemon.tags("bob@example.org"), ["struck"]);
    daemon.stop();
    std::fs::write(path(&daemon), text.replace("at least 1", "at least 3")).unwrap();
    daemon.start();
    daemon.bounces(4, "alice@example.org", Why::Hard);
    assert_eq!(daemon.show("alice@example.org")["fired"].as_array().unwrap().len(), 2);
}
