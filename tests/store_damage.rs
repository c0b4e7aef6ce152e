//! A damaged store is never taken for a good or an empty one: what can't be vouched for is refused, with words and exit code 1, by the daemon and
//! by each command; what is damaged within is told when it is read. `bounced restore` makes it good again.
//!
//! The table damages a store as disks and people do; then any octets of any file are changed, cut off or overwritten, from a seed.
//! BOUNCED_SEED repeats these, BOUNCED_DAMAGES says how many.

#![allow(clippy::unwrap_used)]

#[path = "store_damage/inside.rs"]
mod inside;
mod store_support;
mod support;

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use store_support::files;
use support::{
    await_some,
    client::Client,
    daemon::{Daemon, Setup},
    mails::{Bounce, personal},
};

/// How a store is damaged, and words of which each must stand in the answer.
struct Row {
    name: &'static str,
    spoil: fn(&Path),
    words: &'static [&'static str],
}

const RESTORE: &str = "`bounced restore`";

const DAMAGES: [Row; 22] = [
    Row { name: "sled's file emptied", spoil: |data| cut(&data.join("store/db"), 0), words: &["the store is empty, but", RESTORE] },
    Row {
        name: "sled's file gone",
        spoil: |data| fs::remove_file(data.join("store/db")).unwrap(),
        words: &["the store is empty, but", RESTORE],
    },
    Row {
        name: "sled's folder gone",
        spoil: |data| fs::remove_dir_all(data.join("store")).unwrap(),
        words: &["the store is empty, but", RESTORE],
    },
    Row { name: "sled's file cut", spoil: |data| cut(&data.join("store/db"), 200), words: &[RESTORE] },
    Row {
        name: "the journal gone",
        spoil: |data| fs::remove_dir_all(data.join("store/journal")).unwrap(),
        words: &["00000000.seg is missing", RESTORE],
    },
    Row { name: "the journal cut", spoil: |data| cut(&journal(data), 5_000), words: &["the journal's segment 0 makes no sense", RESTORE] },
    Row { name: "the journal overwritten", spoil: |data| garbage(&journal(data)), words: &["the journal's segment 0", RESTORE] },
    Row { name: "the journal cut after a crash", spoil: cut_after_a_crash, words: &["the store ends at event", "it lost data", RESTORE] },
    Row { name: "sled's file overwritten", spoil: |data| garbage(&data.join("store/db")), words: &[RESTORE] },
    Row { name: "sled's settings overwritten", spoil: |data| garbage(&data.join("store/conf")), words: &["the store is damaged", RESTORE] },
    Row { name: "sled's snapshot overwritten", spoil: |data| garbage(&snapshot(data)), words: &["the store is damaged", RESTORE] },
    Row { name: "sled's snapshot cut", spoil: |data| cut(&snapshot(data), 9), words: &["the store is damaged", RESTORE] },
    Row {
        name: "events gone",
        spoil: |data| fs::remove_dir_all(data.join("events")).unwrap(),
        words: &["00000000.seg is missing", RESTORE],
    },
    Row { name: "events cut", spoil: |data| cut(&data.join("events/00000000.seg"), 50), words: &["too short", RESTORE] },
    Row { name: "raw mails cut", spoil: |data| cut(&data.join("raw/00000000.seg"), 50), words: &["too short", RESTORE] },
    Row {
        name: "the marker overwritten",
        spoil: |data| garbage(&data.join("store.marker")),
        words: &["store.marker can't be read", RESTORE],
    },
    Row { name: "the marker emptied", spoil: |data| cut(&data.join("store.marker"), 0), words: &["store.marker can't be read", RESTORE] },
    Row { name: "another store's marker", spoil: foreign, words: &["belongs to another store", RESTORE] },
    Row { name: "only events left", spoil: only_events, words: &["holds data, but the store is empty", RESTORE] },
    Row { name: "an older copy of sled's folder", spoil: older_copy, words: &["the store ends at event", "it lost data", RESTORE] },
    Row { name: "a newer schema", spoil: |data| schema(data, 1), words: &["has schema", "run the newer bounced"] },
    Row { name: "an older schema", spoil: |data| schema(data, -1), words: &["has schema", "start with an empty folder"] },
];

/// What looks bad and isn't: the store opens with all that was in it.
const HARMLESS: [Row; 4] = [
    Row {
        name: "the marker gone",
        spoil: |data| fs::remove_file(data.join("store.marker")).unwrap(),
        words: &["is missing and made anew"],
    },
    Row {
        name: "a snapshot that wasn't finished",
        spoil: |data| fs::write(data.join("store/snap.7FFFFFFFFFFFFFFF.generating"), "x").unwrap(),
        words: &[],
    },
    Row { name: "what was never committed", spoil: never_committed, words: &[] },
    Row { name: "a marker that wasn't finished", spoil: |data| fs::write(data.join("store.marker.new"), "bounced").unwrap(), words: &[] },
];

fn cut(file: &Path, length: u64) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    assert!(file.metadata().unwrap().len() > length);
    file.set_len(length).unwrap();
}

fn garbage(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    let bytes = (0..u32::try_from(length).unwrap()).map(|place| place.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    fs::write(file, bytes.collect::<Vec<u8>>()).unwrap();
}

fn snapshot(data: &Path) -> PathBuf {
    let is_snapshot = |name: &PathBuf| name.to_string_lossy().starts_with("store/snap.");
    data.join(files(data).into_iter().find(is_snapshot).expect("sled writes a snapshot when it opens"))
}

/// The marker's lines, changed and sealed again.
fn remark(data: &Path, change: impl Fn(&mut Vec<String>)) {
    let marker = data.join("store.marker");
    let mut lines: Vec<String> = fs::read_to_string(&marker).unwrap().lines().map(str::to_owned).collect();
    lines.pop();
    change(&mut lines);
    let text = lines.join("\n") + "\n";
    fs::write(marker, format!("{text}crc {:08x}\n", crc32fast::hash(text.as_bytes()))).unwrap();
}

fn foreign(data: &Path) {
    remark(data, |lines| lines[1] = format!("store {}", "5a".repeat(16)));
}

/// As a store is that wasn't closed: its end isn't noted.
fn crashed(data: &Path) {
    remark(data, |lines| lines.retain(|line| !line.starts_with("closed ")));
}

fn only_events(data: &Path) {
    fs::remove_dir_all(data.join("store")).unwrap();
    fs::remove_file(data.join("store.marker")).unwrap();
}

fn older_copy(data: &Path) {
    fs::remove_dir_all(data.join("store")).unwrap();
    copy(&data.join("older-store"), &data.join("store"));
    crashed(data);
}

fn journal(data: &Path) -> PathBuf {
    data.join("store/journal/00000000.seg")
}

fn cut_after_a_crash(data: &Path) {
    cut(&journal(data), 5_000);
    crashed(data);
}

fn never_committed(data: &Path) {
    let mut events = OpenOptions::new().append(true).open(data.join("events/00000000.seg")).unwrap();
    std::io::Write::write_all(&mut events, b"torn").unwrap();
    File::create(data.join("events/00000001.seg")).unwrap().set_len(3).unwrap();
}

fn schema(data: &Path, by: i8) {
    let db = sled::open(data.join("store")).unwrap();
    let mut identity = db.get(b"!s").unwrap().unwrap().to_vec();
    identity[0] = identity[0].checked_add_signed(by).unwrap();
    db.insert(b"!s", identity).unwrap();
    db.flush().unwrap();
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
        fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
}

fn fill(daemon: &Daemon, serials: std::ops::Range<u64>) {
    let mut client = Client::connect(daemon.smtp());
    for serial in serials {
        let person = format!("person{}@example.org", serial / 2);
        let rcpt = daemon.verp(&person, None);
        let mail = match serial % 5 {
            // Its raw mail is kept.
            0 => personal(serial, &person, &rcpt, "What is this?"),
            _ => Bounce::unknown_user(serial, &rcpt, &person).postfix(),
        };
        client.bounce(&rcpt, &mail);
    }
}

/// `run` ended by itself, and what it said.
fn run(daemon: &Daemon) -> (ExitStatus, String) {
    let _ = fs::remove_file(daemon.log_path());
    let mut child = daemon.spawn();
    (await_some("the daemon to end by itself", || child.try_wait().unwrap()), daemon.log())
}

fn refused(row: &Row, who: &str, status: ExitStatus, said: &str) {
    let name = row.name;
    assert_eq!(status.code(), Some(1), "{name}: {who}: {status}: {said}");
    let last = said.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("bounced: "), "{name}: {who}: {said}");
    for word in row.words {
        assert!(last.contains(word), "{name}: {who} doesn't say '{word}': {last}");
    }
}

#[test]
fn is_refused_in_words_and_restored_from_a_backup() {
    let setup = Setup::new("smtp://127.0.0.1:9").with(
        r#"
        [[trigger]]
        name = "second"
        when = "hard-bounce"
        count = "exactly 2"
        do = [{ tag = "twice" }, { task = { title = "look at {{ address }}" } }]
        "#,
    );
    let (backup, data) = (setup.dir.path().join("backup"), setup.dir.path().join("data"));
    let (good, bad) = (setup.dir.path().join("good"), setup.dir.path().join("bad"));
    let mut daemon = setup.start();
    fill(&daemon, 0..20);
    assert!(daemon.stop().success());
    copy(&data.join("store"), &data.join("older-store"));
    daemon.start();
    fill(&daemon, 20..40);
    daemon.text(&["backup", &backup.display().to_string()]);
    assert!(daemon.stop().success());
    fs::rename(&data, &good).unwrap();
    let everything = |daemon: &Daemon| (daemon.events(), daemon.rows(&["tasks"]), daemon.rows(&["counts"]));
    copy(&good, &data);
    let whole = everything(&daemon);
    assert_eq!(whole.0.len(), 40);
    fs::remove_dir_all(&data).unwrap();

    for row in &DAMAGES {
        copy(&good, &data);
        (row.spoil)(&data);
        let spoilt = data.with_extension("spoilt");
        copy(&data, &spoilt);
        let command = daemon.run(&["counts"]);
        refused(row, "counts", command.status, &String::from_utf8_lossy(&command.stderr));
        assert!(command.stdout.is_empty(), "{}: {command:?}", row.name);
        // sled may have tidied what the command opened: the daemon meets the damage itself.
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&spoilt, &data).unwrap();
        let (status, said) = run(&daemon);
        refused(row, "run", status, &said);
        let (again, said) = run(&daemon);
        refused(row, "run again", again, &said);
        eprintln!("{}: {}", row.name, said.trim_end().lines().last().unwrap_or_default());
        fs::rename(&data, &bad).unwrap();
        daemon.text(&["restore", &backup.display().to_string()]);
        assert_eq!(everything(&daemon), whole, "{}", row.name);
        for folder in [&data, &bad] {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    for row in &HARMLESS {
        copy(&good, &data);
        (row.spoil)(&data);
        let _ = fs::remove_file(daemon.log_path());
        daemon.start();
        assert_eq!(everything(&daemon), whole, "{}", row.name);
        assert!(daemon.stop().success());
        assert!(row.words.iter().all(|word| daemon.log().contains(word)), "{}: {}", row.name, daemon.log());
        fs::remove_dir_all(&data).unwrap();
    }
    // And the restored one goes on.
    daemon.text(&["restore", &backup.display().to_string()]);
    daemon.start();
    fill(&daemon, 38..42);
    assert_eq!(daemon.events().len(), 42, "what the backup holds isn't counted again");
}
