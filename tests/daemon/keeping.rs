//! Backup while mail flows, restore, and forgetting for good.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    await_some,
    client::Client,
    daemon::{BINARY, Daemon, Setup},
    mails::Bounce,
};

/// With the daemon's own key for people, made by itself.
fn own_key() -> Daemon {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").asleep();
    rewrite(&daemon.setup.config_path(), |line| (!line.starts_with("hash_key_file")).then(|| line.to_owned()));
    daemon.start();
    daemon
}

fn rewrite(path: &Path, line: impl Fn(&str) -> Option<String>) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.lines().filter_map(line).map(|line| line + "\n").collect::<String>()).unwrap();
}

fn bounce(daemon: &Daemon, address: &str, serial: u64) {
    let rcpt = daemon.verp(address, Some("spring"));
    Client::connect(daemon.smtp()).bounce(&rcpt, &Bounce::unknown_user(serial, &rcpt, address).postfix());
}

fn run(config: &Path, args: &[&str]) -> Output {
    Command::new(BINARY).arg("--config").arg(config).args(args).stdin(Stdio::null()).output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    text
}

fn show(config: &Path, address: &str) -> Value {
    let output = run(config, &["show", address, "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same configuration with another, missing, data_dir.
fn elsewhere(daemon: &Daemon) -> (PathBuf, PathBuf) {
    let (config, data) = (daemon.setup.dir.path().join("other.toml"), daemon.setup.dir.path().join("other"));
    fs::copy(daemon.setup.config_path(), &config).unwrap();
    let line = format!("data_dir = '{}'", data.display());
    rewrite(&config, |old| Some(if old.starts_with("data_dir") { line.clone() } else { old.to_owned() }));
    (config, data)
}

#[test]
fn a_backup_while_mail_flows_is_the_store() {
    let mut daemon = own_key();
    for (serial, person) in ["alice@example.org", "bob@example.org", "alice@example.org"].into_iter().enumerate() {
        bounce(&daemon, person, serial as u64);
    }
    let (alice, bob) = (daemon.show("alice@example.org"), daemon.show("bob@example.org"));
    assert_eq!(alice["counts"], json!({"hard-bounce": 2}));
    let file = daemon.setup.dir.path().join("bounced.backup");
    let name = file.display().to_string();
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let rcpt = daemon.verp("flow@example.org", None);
    let before = thread::scope(|scope| {
        scope.spawn(|| {
            let mut wire = Client::connect(daemon.smtp());
            while !stop.load(Ordering::SeqCst) {
                let serial = 1_000 + sent.load(Ordering::SeqCst);
                wire.bounce(&rcpt, &Bounce::unknown_user(serial, &rcpt, "flow@example.org").postfix());
                sent.fetch_add(1, Ordering::SeqCst);
            }
        });
        await_some("mail to flow", || (sent.load(Ordering::SeqCst) > 5).then_some(()));
        let before = sent.load(Ordering::SeqCst);
        let text = daemon.text(&["backup", &name]);
        assert!(text.contains(&name), "{text}");
        // Again, over the first.
        daemon.text(&["backup", &name]);
        stop.store(true, Ordering::SeqCst);
        before
    });
    let sent = sent.load(Ordering::SeqCst);
    assert_eq!(daemon.show("flow@example.org")["counts"], json!({"hard-bounce": sent}), "intake went on");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!file.with_extension("backup.part").exists());

    let (config, data) = elsewhere(&daemon);
    let restored = run(&config, &["restore", &name]);
    assert!(restored.status.success(), "{restored:?}");
    assert!(data.join("verp.hash").exists(), "the key under which people are counted");
    assert_eq!(show(&config, "alice@example.org"), alice);
    assert_eq!(show(&config, "bob@example.org"), bob);
    let flow = show(&config, "flow@example.org")["counts"]["hard-bounce"].as_u64().unwrap();
    assert!((before..=sent).contains(&flow), "{before} <= {flow} <= {sent}");

    // Where there is a store, or a daemon, nothing is touched.
    assert!(complaint(&run(&config, &["restore", &name])).contains("empty data_dir"));
    assert!(complaint(&daemon.run(&["restore", &name])).contains("daemon runs"));
    assert_eq!(daemon.show("alice@example.org"), alice);
    // With no daemon the command opens the store itself, and standard output will do.
    daemon.stop();
    let alone = daemon.run(&["backup", "-"]);
    assert!(alone.status.success(), "{alone:?}");
    fs::write(&file, &alone.stdout).unwrap();
    fs::remove_dir_all(&data).unwrap();
    assert!(run(&config, &["restore", &name]).status.success());
    assert_eq!(show(&config, "flow@example.org")["counts"], json!({"hard-bounce": sent}));

    let mut bytes = alone.stdout;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    fs::remove_dir_all(&data).unwrap();
    assert!(complaint(&run(&config, &["restore", &name])).contains("damaged"));
    assert!(!data.join("store").exists());
    assert!(complaint(&run(&config, &["restore", &config.display().to_string()])).contains("no backup"));
}

#[test]
fn forgotten_for_good() {
    let mut daemon = Setup::new("smtp://127.0.0.1:9")
        .with(
            r#"
            [[trigger]]
            name = "any"
            when = "*"
            count = "every 1"
            do = [{ post = { url = "http://127.0.0.1:9/" } }]
            "#,
        )
        .start();
    for (serial, person) in ["alice@example.org", "bob@example.org", "Alice@Example.org"].into_iter().enumerate() {
        bounce(&daemon, person, serial as u64);
    }
    // Kept as undetermined.
    let rcpt = daemon.verp("alice@example.org", None);
    Client::connect(daemon.smtp()).bounce(&rcpt, b"Subject: hm\r\n\r\nalice@example.org wrote\r\n");
    let bob = daemon.show("bob@example.org");
    assert!(complaint(&daemon.run(&["forget", "alice@example.org"])).contains("--yes"), "nobody can be asked");
    assert!(complaint(&daemon.run(&["forget", "--yes", "alice"])).contains("no mail address"));
    assert_eq!(daemon.count("domain", "example.org"), 4);
    let rows = daemon.rows(&["forget", "--yes", "Alice@example.ORG"]);
    for (key, value) in [("address", json!("alice@example.org")), ("persons", json!(1)), ("events", json!(3)), ("raw", json!(1))] {
        assert_eq!(rows[0][key], value, "{rows:?}");
    }
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({}));
    assert_eq!(daemon.show("bob@example.org"), bob);
    assert_eq!(daemon.events().len(), 1);
    assert_eq!(daemon.rows(&["outbox", "list"]).len(), 1);
    assert_eq!(daemon.count("domain", "example.org"), 4, "totals stay");
    assert!(daemon.text(&["forget", "--yes", "alice@example.org"]).contains("nothing was known"));

    daemon.stop();
    daemon.start();
    assert_eq!(holders(&daemon), [""; 0].map(PathBuf::from));
    bounce(&daemon, "alice@example.org", 9);
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 1}), "a new person");
    daemon.stop();
    // With no daemon all is done at once.
    assert_eq!(daemon.rows(&["forget", "--yes", "alice@example.org"])[0]["cleared"], true);
    assert_eq!(holders(&daemon), [""; 0].map(PathBuf::from));
}

/// The files of the store in which the address stands.
fn holders(daemon: &Daemon) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(daemon.setup.dir.path().join("data")).into_iter().map(Result::unwrap);
    let files = all.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    let says = |path: &PathBuf| {
        // The daemon may have taken it away since.
        let Ok(bytes) = fs::read(path).map(|bytes| bytes.to_ascii_lowercase()) else { return false };
        ["alice@example.org", "alice=example.org"].iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    files.filter(says).collect()
}
