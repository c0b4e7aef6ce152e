//! Mails of the past brought in, and another configuration tried on what is kept.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::support::{
    PATIENCE,
    daemon::{BINARY, Daemon, Setup},
    deeds::Why,
    http_catcher::HttpCatcher,
};

fn strikes(http: &HttpCatcher) -> Setup {
    Setup::new("smtp://127.0.0.1:9").with(&format!(
        r#"
        [[trigger]]
        name = "second"
        when = "hard-bounce"
        count = "exactly 2"
        do = [{{ tag = "second" }}, {{ suppress = true }}, {{ post = {{ url = "{}" }} }}, {{ start = "follow" }}]
        [[sequence]]
        name = "follow"
        [[sequence.step]]
        name = "later"
        after = "1 month"
        do = [{{ tag = "later" }}]
        "#,
        http.url("/")
    ))
}

fn counts(counted: u64, known: u64, not_ours: u64) -> impl Fn(&Value) -> bool {
    move |row| (&row["counted"], &row["known"], &row["not_ours"]) == (&json!(counted), &json!(known), &json!(not_ours))
}

/// A Maildir, an mbox and a file; with the daemon, without it, and again.
#[test]
fn files_maildir_and_mbox_once_each() {
    let http = HttpCatcher::start();
    let mut daemon = strikes(&http).start();
    let dir = daemon.setup.dir.path().to_owned();
    for folder in ["box/cur", "box/new", "box/tmp"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    for (serial, to) in [(1, "box/cur/1.a:2,S"), (2, "box/new/2.b"), (3, "box/tmp/3.c")] {
        fs::rename(daemon.past(serial, "alice@example.org", 30 + serial as i64), dir.join(to)).unwrap();
    }
    let mbox = dir.join("old.mbox");
    let mails = [4, 5].map(|serial| {
        let path = daemon.past(serial, "bob@example.org", 20);
        format!(
            "From MAILER-DAEMON Mon Nov  2 04:41:00 2026\n{}\n",
            String::from_utf8(fs::read(&path).unwrap()).unwrap().replace("\r\n", "\n")
        )
    });
    fs::write(&mbox, mails.concat()).unwrap();
    let single = daemon.past(6, "carol@example.org", 10);
    let stranger = dir.join("stranger.eml");
    let text = String::from_utf8(fs::read(daemon.past(7, "dora@example.org", 10)).unwrap()).unwrap();
    fs::write(&stranger, text.replacen("dora", "dorb", 1)).unwrap();
    let all = [dir.join("box"), mbox, single, stranger];

    let first = daemon.import(&all, &[]);
    assert!(counts(5, 0, 1)(&first), "a mail in tmp is not there yet: {first}");
    assert_eq!((&first["statuses"], &first["fired"]), (&json!({"hard-bounce": 5}), &json!({"second": 2})), "{first}");
    let alice = daemon.show("alice@example.org");
    assert_eq!((&alice["counts"], &alice["tags"]), (&json!({"hard-bounce": 2}), &json!(["second"])));
    let seen: jiff::Timestamp = alice["first_seen"].as_str().unwrap().parse().unwrap();
    let days = jiff::Timestamp::now().duration_since(seen).as_hours() / 24;
    assert_eq!(days, 32, "its own time: {alice}");
    assert_eq!(daemon.events().iter().find(|event| event["address"] == "carol@example.org").unwrap()["fired"], json!([]));
    assert!(counts(0, 5, 1)(&daemon.import(&all, &[])), "again");
    daemon.stop();
    assert!(counts(0, 5, 1)(&daemon.import(&all, &[])), "with no daemon");
    let more = daemon.past(8, "carol@example.org", 5);
    assert!(counts(1, 0, 0)(&daemon.import(std::slice::from_ref(&more), &[])));
    daemon.start();
    assert!(counts(0, 1, 0)(&daemon.import(&[more], &[])));
    assert_eq!(daemon.tags("carol@example.org"), ["second"]);
    // Counts and tags; nothing for the outside.
    assert_eq!(daemon.rows(&["outbox", "list", "--all"]), [json!(null); 0]);
    assert_eq!((http.asked().len(), daemon.rows(&["sequence", "members", "follow"]).len()), (0, 0));
    let table = daemon.text(&["import", &all[3].display().to_string()]);
    assert!(table.contains("0 counted, 0 known already, 0 older than [keep] events, 1 for nobody of ours."), "{table}");
}

#[test]
fn with_fire_the_outside_hears() {
    let http = HttpCatcher::start();
    let daemon = strikes(&http).start();
    let paths = [(1, 40), (2, 30)].map(|(serial, days)| daemon.past(serial, "alice@example.org", days));
    assert_eq!(daemon.import(&paths, &["--fire"])["fired"], json!({"second": 1}));
    http.wait(1, PATIENCE);
    assert!(daemon.await_idle().is_empty());
    assert_eq!(daemon.rows(&["sequence", "members", "follow"])[0]["address"], "alice@example.org");
    assert!(daemon.import(&paths, &["--fire"])["known"] == 2 && http.asked().len() == 1);
}

#[test]
fn recipients_are_told_by_hand_where_mails_name_none() {
    let daemon = Setup::new("smtp://127.0.0.1:9").start();
    let path = daemon.past(1, "alice@example.org", 10);
    let rcpt = daemon.verp("alice@example.org", None);
    let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    fs::write(&path, text.split_once("\r\n").unwrap().1).unwrap();
    let output = daemon.run(&["import", &path.display().to_string()]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("give one with --rcpt"));
    assert!(counts(1, 0, 0)(&daemon.import(std::slice::from_ref(&path), &["--rcpt", &rcpt])));
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 1}));
    let too_old = daemon.past(2, "alice@example.org", 500);
    assert_eq!(daemon.import(&[too_old], &[])["too_old"], 1);
    let missing = daemon.run(&["import", "/nonexistent", &path.display().to_string()]);
    assert_eq!(missing.status.code(), Some(1), "the rest goes on, and the end says so");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("can't read /nonexistent"));
}

/// Everything that a store's commands show.
fn state(daemon: &Daemon) -> Vec<String> {
    let commands: [&[&str]; 6] =
        [&["events"], &["counts"], &["outbox", "list", "--all"], &["show", "alice@example.org"], &["export"], &["sequence", "list"]];
    commands.iter().map(|args| daemon.text(args)).collect()
}

#[test]
fn another_configuration_tried() {
    let http = HttpCatcher::start();
    let mut daemon = strikes(&http).start();
    for (serial, address) in ["alice@example.org", "alice@example.org", "alice@example.org", "bob@example.org"].into_iter().enumerate() {
        daemon.bounces(serial as u64, address, Why::Hard);
    }
    daemon.text(&["reset", "bob@example.org"]);
    daemon.bounces(9, "bob@example.org", Why::Hard);
    http.wait(1, PATIENCE);
    assert!(daemon.await_idle().is_empty());
    let old = fs::read_to_string(daemon.setup.config_path()).unwrap();
    let new = daemon.setup.dir.path().join("new.toml");
    let text = old.replace("count = \"exactly 2\"", "count = \"exactly 1\"");
    let more = "\n[[trigger]]\nname = \"third\"\nwhen = \"hard-bounce\"\ncount = \"at least 3\"\ndo = [{ tag = \"third\" }]\n";
    fs::write(&new, text + more).unwrap();
    let before = state(&daemon);
    let simulate = |args: &[&str]| {
        let output = Command::new(BINARY).arg("--config").arg(&new).arg("simulate").args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let told = |args: &[&str]| -> Vec<Value> {
        let (code, text) = simulate(&[args, &["--json"]].concat());
        assert_eq!(code, Some(0), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let rows = told(&[]);
    let second = json!({"trigger": "second", "would_fire": 3, "fired": 1, "more": ["bob@example.org"], "fewer": []});
    let third = json!({"trigger": "third", "would_fire": 1, "fired": 0, "more": ["alice@example.org"], "fewer": []});
    assert_eq!(rows, [second, third], "a reset by hand is replayed, too");
    let (_, table) = simulate(&[]);
    assert!(table.contains("6 events replayed; nothing was changed."), "{table}");
    let later = told(&["--since", "2099-01-01"]);
    assert!(later.iter().all(|row| row["would_fire"] == 0 && row["fired"] == 0), "{later:?}");
    assert_eq!(state(&daemon), before, "nothing is changed");
    assert_eq!(http.asked().len(), 1);
    daemon.stop();
    assert_eq!(told(&[]), rows, "with no daemon");
    fs::write(&new, "hostname = 7").unwrap();
    assert_eq!(simulate(&[]).0, Some(2));
}
