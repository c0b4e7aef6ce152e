//! Each bad configuration stands beside the errors it must give.
//!
//! `BLESS=1 cargo test --test bad_configs` writes the errors anew, to be read before they are committed.

#![allow(clippy::unwrap_used)]

mod config_support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use bounced::config::Config;
use config_support::{folder, root};

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
