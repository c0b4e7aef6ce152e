//! What [`bounced::message::read`] makes of each fixture, as snapshots: the whole report, so that a change anywhere shows.
//!
//! `tests/fixtures/captured` are real notices that private Postfix, Exim and sendmail instances sent back; `tests/fixtures/handmade` are written by
//! hand in the manner of other programs, many of them broken on purpose.

use std::{fs, path::Path};

fn snapshot(folder: &str, names: &[String]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    for name in names {
        let raw = fs::read(root.join(name)).expect("the fixture is there");
        let report = bounced::message::read(&raw);
        insta::with_settings!({ snapshot_path => "snapshots/reports", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_debug_snapshot!(format!("{folder}-{}", name.trim_end_matches(".eml").replace('/', "-")), report);
        });
    }
}

#[test]
fn handmade_mails() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/handmade");
    let mut names: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".eml"))
        .collect();
    names.sort();
    assert!(names.len() >= 40, "{} fixtures", names.len());
    snapshot("handmade", &names);
}

#[test]
fn captured_mails() {
    let cases = ["gmail-nouser", "quota4.delayed", "dsn-success-hdrs", "multi", "longline"];
    let names: Vec<String> =
        ["postfix", "exim", "sendmail"].iter().flat_map(|mta| cases.iter().map(move |case| format!("{mta}/{case}.eml"))).collect();
    snapshot("captured", &names);
}

/// The captured notices return a mail that is full of a bounce's words; none of them may be seen as the notice's own.
#[test]
fn returned_originals_stay_out_of_the_prose() {
    let expected = include_str!("fixtures/captured/expected.jsonl");
    for row in expected.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        let file = row["file"].as_str().unwrap();
        let raw = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/captured").join(file)).unwrap();
        let report = bounced::message::read(&raw);
        assert!(
            !report.prose.contains("is not a reply to this mail") && !report.prose.contains("Spring News"),
            "{file}: {}",
            &*report.prose
        );
        let original = report.original.expect(file);
        assert_eq!(original.return_path.as_deref(), row["rcpt"].as_str(), "{file}");
        let [recipient] = report.recipients.as_slice() else { panic!("{file}: {:?}", report.recipients) };
        let named = recipient.original_recipient.as_ref().or(recipient.final_recipient.as_ref());
        assert_eq!(named.map(|a| a.to_lowercase()).as_deref(), row["address"].as_str(), "{file}");
    }
}
