//! What `bounced classify --json` tells of mail that real programs wrote, one snapshot a program: `tests/fixtures/captured/README.md` says which
//! programs and how they were run. Facts that are null are left out of the snapshots; everything else stands as it is printed.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/captured")
}

/// The folders, one a program.
fn programs() -> BTreeSet<String> {
    let folders = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.file_type().unwrap().is_dir());
    folders.map(|folder| folder.file_name().into_string().unwrap()).collect()
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, one)| !one.is_null()).map(|(name, one)| (name, without_nulls(one))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

type Told = BTreeMap<String, BTreeMap<String, Value>>;

/// Program → file name → what is printed of it, less the file name.
fn told() -> Told {
    let run =
        Command::new(env!("CARGO_BIN_EXE_bounced")).args(["classify", "--json"]).args(programs()).current_dir(root()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut told = Told::new();
    for row in String::from_utf8(run.stdout).unwrap().lines() {
        let mut row = without_nulls(serde_json::from_str(row).unwrap());
        let source = row.as_object_mut().unwrap().remove("source").unwrap();
        let (program, file) = source.as_str().unwrap().split_once('/').unwrap();
        told.entry(program.to_owned()).or_default().insert(file.to_owned(), row);
    }
    told
}

#[test]
fn each_program_is_told() {
    let told = told();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), programs());
    for (program, told) in told {
        assert_eq!(told.len(), fs::read_dir(root().join(&program)).unwrap().count(), "{program}");
        insta::with_settings!({ snapshot_path => "snapshots/captured", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_json_snapshot!(program.as_str(), told);
        });
    }
}

/// The table says of each program which it was.
#[test]
fn the_readme_names_each_program() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for program in programs() {
        assert!(readme.contains(&format!("| `{program}` |")), "{program}");
    }
}
