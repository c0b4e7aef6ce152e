//! What the operator sees: commands, alerts, figures.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::support::{
    PATIENCE, await_mail,
    client::Client,
    daemon::{BINARY, Daemon, Setup},
    mail_catcher::MailCatcher,
    mails::Bounce,
};

pub fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn one_bounce(daemon: &Daemon) {
    let rcpt = daemon.verp("alice@example.org", Some("spring"));
    Client::connect(daemon.smtp()).bounce(&rcpt, &Bounce::unknown_user(1, &rcpt, "alice@example.org").postfix());
}

#[test]
fn commands_with_and_without_the_daemon() {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").start();
    one_bounce(&daemon);
    let ask = |daemon: &Daemon| {
        (
            daemon.show("alice@example.org"),
            daemon.events(),
            ["status", "domain", "campaign", "day"].map(|by| daemon.rows(&["counts", "--by", by])),
            daemon.rows(&["outbox", "list"]),
            daemon.verp("alice@example.org", Some("spring")),
        )
    };
    let with = ask(&daemon);
    assert_eq!(with.0["counts"], json!({"hard-bounce": 1}));
    assert!(daemon.stop().success());
    assert_eq!(ask(&daemon), with, "the store's own answers are the daemon's");

    for args in [&["show", "alice@example.org"][..], &["counts"], &["events"], &["outbox"]] {
        let table = daemon.text(args);
        if args[0] != "outbox" {
            assert!(table.contains("hard-bounce"), "{args:?}: {table}");
        }
        assert!(serde_json::from_str::<serde_json::Value>(table.trim()).is_err(), "a table for people: {table}");
    }
    daemon.start();
    assert_eq!(ask(&daemon), with, "a restart changes nothing");
}

/// No second process may open the store that a daemon holds, and says so.
#[test]
fn a_second_daemon_is_refused() {
    let daemon = Setup::new("smtp://127.0.0.1:9").start();
    let other = daemon.run(&["run"]);
    assert!(!other.status.success());
    one_bounce(&daemon);
    assert_eq!(daemon.events().len(), 1);
}

#[test]
fn verp_back_and_forth() {
    let daemon = Setup::new("smtp://127.0.0.1:9").asleep();
    let rcpt = daemon.verp("o'hara+news@example.org", Some("spring"));
    let decoded = daemon.text(&["verp", "decode", &rcpt]);
    assert!(decoded.contains("o'hara+news@example.org") && decoded.contains("spring"), "{decoded}");
    let forged = daemon.run(&["verp", "decode", &rcpt.replace("hara", "hare")]);
    assert_eq!(forged.status.code(), Some(1), "{forged:?}");
    assert_eq!(String::from_utf8_lossy(&forged.stderr).lines().count(), 1, "{forged:?}");
}

#[test]
fn exit_codes() {
    let good = Setup::new("smtp://127.0.0.1:9").asleep();
    assert_eq!(good.run(&["check"]).status.code(), Some(0));
    assert_eq!(good.run(&["chekc"]).status.code(), Some(2));
    assert_eq!(good.run(&["show"]).status.code(), Some(2));
    let bad = Setup::new("smtp://127.0.0.1:9").with("[smtp]\nmax_conections = 5\npostmaster = \"me@returns.test\"").asleep();
    let output = bad.run(&["check"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("max_conections") && errors.contains("max_connections"), "names the nearest key: {errors}");
    assert!(errors.contains("postmaster"), "all errors at once: {errors}");
    assert_eq!(bad.run(&["run"]).status.code(), Some(2));
    let first =
        ["run", "check", "classify", "explain", "show", "counts", "events", "verp", "outbox", "backup", "restore", "forget", "alert"];
    let later = ["tasks", "report", "sequence", "set", "tag", "untag", "reset", "export", "simulate", "import", "guard"];
    for command in first.into_iter().chain(later) {
        let help = good.text(&[command, "--help"]);
        assert!(help.contains("Example"), "{command}: {help}");
    }
}

#[test]
fn classify_needs_no_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let bounce = Bounce::unknown_user(1, "bounces@returns.test", "alice@example.org");
    fs::write(dir.path().join("1.eml"), bounce.postfix()).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["classify", "--json"]).arg(dir.path()).env("BOUNCED_CONFIG", "/nonexistent/bounced.toml").stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&row["kind"], row["recipients"].as_array().unwrap().len()), (&json!("bounce"), 1), "{row}");
    let recipient = &row["recipients"][0];
    for (key, value) in
        [("address", "alice@example.org"), ("status", "hard-bounce"), ("enhanced", "5.1.1"), ("reply", "550"), ("action", "failed")]
    {
        assert_eq!(recipient[key], value, "{row}");
    }

    let mut child = Command::new(BINARY).args(["classify", "--json", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bounce.postfix()).unwrap();
    let output = child.wait_with_output().unwrap();
    let from_stdin: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(from_stdin["recipients"], row["recipients"]);
}

#[test]
fn an_alert_arrives_with_and_without_the_daemon() {
    let catcher = MailCatcher::start();
    let mut daemon = Setup::new(&catcher.url()).start();
    daemon.text(&["alert", "test"]);
    let mail = await_mail(&catcher, |_| true);
    assert_eq!(mail.to, ["ops@example.com"]);
    assert!(mail.text().contains("Auto-Submitted: auto-generated"), "{}", mail.text());
    daemon.stop();
    daemon.text(&["alert", "test"]);
    catcher.wait(2, PATIENCE);
}

#[test]
fn an_alert_that_cannot_leave_is_an_error() {
    let daemon = Setup::new("smtp://127.0.0.1:9").asleep();
    let output = daemon.run(&["alert", "test"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn figures_and_health() {
    let daemon = Setup::new("smtp://127.0.0.1:9").start();
    one_bounce(&daemon);
    let health = get(daemon.setup.metrics, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let figures = get(daemon.setup.metrics, "/metrics");
    assert!(figures.starts_with("HTTP/1.1 200"), "{figures}");
    let line = figures.lines().find(|line| line.starts_with("bounced_events_total{") && line.contains("status=\"hard-bounce\""));
    assert!(line.is_some_and(|line| line.ends_with(" 1")), "{line:?} in {figures}");
    assert!(get(daemon.setup.metrics, "/nothing").starts_with("HTTP/1.1 404"));
}

#[test]
fn mails_to_files() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Setup::new(&format!("file:{}", dir.path().display())).asleep();
    daemon.text(&["alert", "test"]);
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.iter().filter(|path| path.extension().is_some_and(|end| end == "eml")).count(), 1, "{files:?}");
}
