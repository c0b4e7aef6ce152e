//! What becomes of each handmade mail: kind and verdicts, each reviewed against the taxonomy, as one snapshot. The mails named `people-…` are those that are
//! no bounces: automatic replies, receipts, moves, challenges, requests, complaints and what is nothing of ours, in many languages and character
//! sets, declared and not.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, path::Path};

use bounced::{
    classify::{Envelope, tell},
    message,
};
use serde_json::{Value, json};

#[test]
fn verdicts_of_handmade_mails() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/handmade");
    let mut told: BTreeMap<String, Value> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".eml") else { continue };
        let raw = fs::read(&path).unwrap();
        let report = message::read(&raw);
        let telling = tell(&report, &Envelope::default());
        let mut verdicts = serde_json::to_value(&telling.verdicts).unwrap();
        for (row, verdict) in verdicts.as_array_mut().unwrap().iter_mut().zip(&telling.verdicts) {
            row["status"] = verdict.status.id().into();
            row.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        told.insert(name.to_owned(), json!({"subject": report.header.subject, "kind": telling.kind, "verdicts": verdicts}));
    }
    assert!(told.keys().filter(|name| name.starts_with("people-")).count() >= 40);
    insta::with_settings!({ snapshot_path => "snapshots/verdicts", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_json_snapshot!("handmade", told);
    });
}
