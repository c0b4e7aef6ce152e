//! Each bad configuration stands beside the errors it must give; the configurations that we hand out have none.
//!
//! `BLESS=1 cargo test --test bad_configs` writes the errors anew, to be read before they are committed.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bounced::{
    action::{PostBody, Rate, Task},
    config::{Config, EnvelopeFrom, Relay, Security},
    ledger::{Comparator, Distinct, Per, Step},
    taxonomy::Status,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn write(folder: &Path, name: &str, mode: u32, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A folder with the files that configurations name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("folder")).unwrap();
    write(at, "good.secret", 0o640, "correct horse battery staple\n");
    write(at, "open.secret", 0o644, "correct horse battery staple\n");
    write(at, "short.secret", 0o600, "correct horse battery staple\ntoo short\n");
    write(at, "two.secret", 0o600, "correct horse battery staple\nanother horse battery staple\n");
    write(at, "empty.secret", 0o600, "\n");
    write(at, "bad-template.txt", 0o644, "{% if address %}");
    write(at, "latin1.txt", 0o644, b"J\xf6rg");
    for name in ["verp.secret", "verp.hash", "mail.password"] {
        write(at, name, 0o600, "correct horse battery staple\n");
    }
    write(at, "tls/cert.pem", 0o644, "");
    write(at, "tls/key.pem", 0o600, "");
    folder
}

fn errors(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    let errors = Config::read(text, &file, None).map(|_| String::new()).unwrap_or_else(|errors| errors.to_string());
    errors.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn bad_configurations_give_their_errors() {
    let folder = folder();
    let cases: Vec<PathBuf> = fs::read_dir(root().join("tests/bad-configs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let cases: Vec<&PathBuf> = cases.iter().filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(cases.len() >= 20);
    let mut wrong = Vec::new();
    for path in cases {
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = errors(folder.path(), name, &fs::read_to_string(path).unwrap());
        let beside = path.with_extension("err");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&beside, format!("{found}\n")).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if found.is_empty() || found != expected.trim_end() {
            wrong.push(format!("== {name}, expected:\n{expected}== found:\n{found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_that_is_not_there() {
    let error = Config::load(Path::new("/nowhere/bounced.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/bounced.toml:1: can't be read"), "{error}");
}

#[test]
fn the_smallest_configuration() {
    let text = "hostname = 'mx.returns.test'\ndata_dir = 'data'\n[smtp]\nlisten = ['[::]:25']\ndomains = ['Returns.TEST']\n";
    let config = Config::read(text, Path::new("x.toml"), None).unwrap();
    assert_eq!(config.smtp.domains, ["returns.test"]);
    assert_eq!(config.control_socket, Path::new("data/control.sock"));
    assert_eq!((config.min_free, config.smtp.max_message_bytes), (256 << 20, 10 << 20));
    assert!(config.mail.is_none() && config.metrics.is_none() && !config.verp.require_signature);
    assert_eq!(config.verp.codec.encode("a@example.org", None, None, 0).as_deref(), Ok("b+-+nosig+a=example.org@returns.test"));
    assert_eq!(config.alerts.silence, Some(Duration::from_secs(86_400)));
}

#[test]
fn the_quickstart_is_good() {
    let config = Config::load(&root().join("config/quickstart.toml")).unwrap();
    assert_eq!(config.smtp.listen, ["127.0.0.1:2525".parse().unwrap()]);
    let mail = config.mail.unwrap();
    assert_eq!(mail.relay, Relay::File("data/mail".into()));
    assert!(mail.from.parse::<lettre::message::Mailbox>().is_ok());
    assert_eq!(config.rules.triggers.len(), 4);
}

#[test]
fn the_full_configuration_is_good() {
    let folder = folder();
    let text = fs::read_to_string(root().join("config/bounced.toml")).unwrap();
    let config = Config::read(&text, &folder.path().join("bounced.toml"), None).unwrap();
    assert!(config.verp.require_signature && !config.verp.codec.needs_own_key());
    let mail = config.mail.unwrap();
    assert_eq!(mail.relay, Relay::Smtp { host: "127.0.0.1".into(), port: 25, security: Security::None });
    assert_eq!(mail.envelope_from, EnvelopeFrom::Own);
    let third = &config.rules.triggers[1];
    assert_eq!((third.when.as_slice(), third.count), (&[Status::HardBounce][..], Comparator::MoreThan(2)));
    assert_eq!((third.distinct, third.per, third.within.map(|it| it.as_hours())), (Some(Distinct::Day), Per::Address, Some(720)));
    let [Step::Untag(_), Step::Tag(tag), Step::Job(Task::Mail(mail)), Step::Job(Task::Post(post))] = third.steps.as_slice() else {
        panic!("{:?}", third.steps)
    };
    assert_eq!((tag.as_str(), mail.template.name.as_str()), ("third-strike", "third-strike"));
    assert!(matches!(&post.body, PostBody::Form(form) if form.get("optout").is_some_and(|value| value == "1")));
    let Step::Job(Task::Post(post)) = &config.rules.triggers[2].steps[1] else { panic!() };
    assert_eq!((post.concurrency, post.rate), (Some(2), Some(Rate { count: 10, per: Duration::from_secs(1) })));
    assert_eq!(post.body, PostBody::Json(r#"{"email":"{{ address }}","why":"{{ status }}"}"#.into()));
}

/// What stands there as an example must not rot: with every `#key = …` taken in, it is good as well, and says the defaults.
#[test]
fn the_full_configuration_is_good_with_all_its_examples() {
    let folder = folder();
    let text = fs::read_to_string(root().join("config/bounced.toml")).unwrap();
    let is_key =
        |line: &str| line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    let mut taken = 0;
    let lines: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#').filter(|rest| is_key(rest)) {
            Some(rest) => {
                taken += 1;
                rest
            }
            None => line,
        })
        .collect();
    assert!(taken >= 25, "{taken}");
    let full = Config::read(&lines.join("\n"), &folder.path().join("bounced.toml"), None).unwrap();
    let plain = Config::read(&text, &folder.path().join("bounced.toml"), None).unwrap();
    assert!(full.smtp.tls.is_some() && full.metrics.is_some());
    assert_eq!(full.alerts.blocks, plain.alerts.blocks);
    assert_eq!((full.alerts.silence, full.alerts.undetermined), (plain.alerts.silence, plain.alerts.undetermined));
    assert_eq!((full.keep.events, full.keep.raw, full.min_free), (plain.keep.events, plain.keep.raw, plain.min_free));
    let timeouts = |smtp: &bounced::config::Smtp| (smtp.command_timeout, smtp.data_timeout, smtp.session_timeout, smtp.max_message_bytes);
    assert_eq!(timeouts(&full.smtp), timeouts(&plain.smtp));
    let encode = |config: &Config| config.verp.codec.encode("a@example.org", Some("spring"), None, 20_000);
    assert_eq!(encode(&full), encode(&plain));
}

#[test]
fn credentials_come_from_systemd_or_from_beside_the_configuration() {
    let (folder, credentials) = (folder(), tempfile::tempdir().unwrap());
    write(credentials.path(), "verp.secret", 0o400, "the secret that systemd hands over\n");
    let text = "hostname = 'mx.returns.test'\ndata_dir = 'data'\n[smtp]\nlisten = []\ndomains = ['returns.test']\n\
                [verp]\nsecret_file = '$CREDENTIALS_DIRECTORY/verp.secret'\n";
    let file = folder.path().join("x.toml");
    let encode = |credentials: Option<PathBuf>| {
        Config::read(text, &file, credentials).unwrap().verp.codec.encode("a@example.org", None, None, 0).unwrap()
    };
    assert_ne!(encode(Some(credentials.path().to_owned())), encode(None));
}

#[test]
fn people_keep_their_keys() {
    let folder = folder();
    let load = |hash: &str| {
        let text = format!(
            "hostname = 'mx.returns.test'\ndata_dir = '{}'\n[smtp]\nlisten = []\ndomains = ['returns.test']\n[verp]\n{hash}",
            folder.path().join("data").display()
        );
        Config::read(&text, &folder.path().join("x.toml"), None).unwrap().with_person_key()
    };
    let key = |config: Config| config.verp.codec.key_of_address("a@example.org");
    let first = key(load("").unwrap());
    assert_eq!(key(load("").unwrap()), first);
    let error = load("hash_key_file = 'good.secret'").unwrap_err().to_string();
    assert!(error.contains("copy"), "{error}");
    write(folder.path(), "copied.hash", 0o600, fs::read(folder.path().join("data/verp.hash")).unwrap());
    assert_eq!(key(load("hash_key_file = 'copied.hash'").unwrap()), first);
}
