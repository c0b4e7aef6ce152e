//! The operator's own rules, and why a mail was told as it was.

use std::{fs, process::Command};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    await_some,
    client::Client,
    daemon::{BINARY, Daemon, Setup},
    mails::{Bounce, personal},
};

fn bounce(daemon: &Daemon, serial: u64) {
    let rcpt = daemon.verp("alice@example.org", Some("spring"));
    let mail = Bounce { reply: "550 5.1.1 User unknown: account on holiday", ..Bounce::unknown_user(serial, &rcpt, "alice@example.org") };
    Client::connect(daemon.smtp()).bounce(&rcpt, &mail.postfix());
}

#[test]
fn own_rules_come_first_and_are_read_again() {
    let rule = "[[rule]]\nname = 'holiday'\nphrase = 'account on holiday'\ndomain = 'example.org'\nstatus = 'soft-bounce-general'\n";
    let daemon = Setup::new("smtp://127.0.0.1:9").with(rule).start();
    bounce(&daemon, 1);
    let event = daemon.events().remove(0);
    assert_eq!(
        (&event["status"], &event["rule"], &event["evidence"]),
        (&json!("soft-bounce-general"), &json!("holiday"), &json!("account on holiday")),
        "{event}"
    );
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"soft-bounce-general": 1}));

    let text = fs::read_to_string(daemon.setup.config_path()).unwrap();
    fs::write(daemon.setup.config_path(), text.replace("soft-bounce-general", "mail-block-general")).unwrap();
    daemon.signal(Signal::HUP);
    let mut serial = 1;
    await_some("the rule as it is now", || {
        serial += 1;
        bounce(&daemon, serial);
        (daemon.events()[0]["status"] == "mail-block-general").then_some(())
    });
    // A rule that can't be compiled refuses the whole file; the old rules go on.
    fs::write(daemon.setup.config_path(), text.replace("phrase = \"account on holiday\"", "regex = \"(\"")).unwrap();
    assert_eq!(daemon.run(&["check"]).status.code(), Some(2));
    daemon.signal(Signal::HUP);
    await_some("the refusal", || daemon.log().contains("no regular expression").then_some(()));
    // The commands need a good one.
    fs::write(daemon.setup.config_path(), &text).unwrap();
    bounce(&daemon, 1_000);
    assert_eq!(daemon.events()[0]["status"], "mail-block-general");
}

#[test]
fn an_event_is_explained() {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").start();
    bounce(&daemon, 1);
    let rcpt = daemon.verp("bob@example.org", None);
    Client::connect(daemon.smtp()).bounce(&rcpt, &personal(2, "bob@example.org", &rcpt, "Who are you?\u{1b}[2J"));
    let ids: Vec<String> = daemon.events().iter().rev().map(|event| event["id"].to_string()).collect();
    let explain = |daemon: &Daemon| {
        let told = daemon.text(&["explain", &ids[0]]);
        assert!(told.contains("550 5.1.1 >>>User unknown<<<: account on holiday"), "{told}");
        assert!(told.contains("hard-bounce") && told.contains("user-unknown") && told.contains("isn't kept"), "{told}");
        let undetermined = daemon.text(&["explain", &ids[1]]);
        assert!(undetermined.contains("told anew") && undetermined.contains("Structure"), "{undetermined}");
        assert!(!undetermined.chars().any(|c| c.is_control() && c != '\n'), "{undetermined:?}");
        let rows = daemon.rows(&["explain", &ids[1]]);
        assert_eq!((&rows[0]["event"]["standing"], &rows[0]["recipients"][0]["address"]), (&json!("full"), &json!("bob@example.org")));
        assert_eq!(rows[0]["recipients"][0]["status"], "undetermined");
        rows
    };
    let with = explain(&daemon);
    let none = daemon.run(&["explain", "999"]);
    assert_eq!((none.status.code(), String::from_utf8_lossy(&none.stderr).lines().count()), (Some(1), 1), "{none:?}");
    daemon.stop();
    assert_eq!(explain(&daemon), with, "the store's own answers are the daemon's");
}

#[test]
fn a_file_is_explained_without_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let mail = Bounce::unknown_user(1, "bounces@returns.test", "alice@example.org").postfix();
    fs::write(dir.path().join("1.eml"), &mail).unwrap();
    let mbox = [b"From a Mon Nov 23 05:26:59 2026\n".as_slice(), &mail, b"\nFrom a Mon Nov 23 05:26:59 2026\n", &mail].concat();
    fs::write(dir.path().join("two.mbox"), mbox).unwrap();
    let run = |what: &str, more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.current_dir(dir.path()).arg("explain").arg(what).args(more).env_remove("BOUNCED_CONFIG").output().unwrap()
    };
    let one = run("1.eml", &[]);
    assert!(String::from_utf8_lossy(&one.stdout).contains("alice@example.org>: >>>Recipient address rejected: User unknown<<<"), "{one:?}");
    let second = run("two.mbox#2", &["--json"]);
    let row: serde_json::Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!((&row["source"], &row["steps"][0]["candidates"][0]["won"]), (&json!("two.mbox#2"), &json!(true)), "{row}");
    for (what, more) in [("two.mbox", &[][..]), ("two.mbox#3", &[]), (".", &[]), ("none.eml", &[])] {
        let failed = run(what, more);
        assert_eq!((failed.status.code(), String::from_utf8_lossy(&failed.stderr).lines().count()), (Some(1), 1), "{what}: {failed:?}");
    }
    // A configuration that is named must be good.
    assert_eq!(run("1.eml", &["--config", "none.toml"]).status.code(), Some(2));
    fs::write(dir.path().join("own.toml"), "[[rule]]\nphrase = 'user unknown'\nstatus = 'undetermined'\n").unwrap();
    let own = run("1.eml", &["--config", "own.toml", "--json"]);
    let row: serde_json::Value = serde_json::from_slice(&own.stdout).unwrap();
    assert_eq!((&row["recipients"][0]["rule"], &row["recipients"][0]["status"]), (&json!("operator-1"), &json!("undetermined")), "{row}");
}
