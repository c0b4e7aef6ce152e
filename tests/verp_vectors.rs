//! Return addresses against vectors that another implementation made, and the recipes of the README against the same vectors.

#![allow(clippy::unwrap_used)]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use bounced::verp::{Codec, Form, Pattern, Payload, Spec};
use serde::Deserialize;

const VECTORS: &str = include_str!("verp/vectors.json");

#[derive(Deserialize)]
struct Vector {
    what: String,
    secret: String,
    hash_key: Option<String>,
    domain: String,
    day: i32,
    campaign: Option<String>,
    address: String,
    rcpt: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(VECTORS).unwrap()
}

fn codec(vector: &Vector) -> Codec {
    Codec::new(Spec {
        pattern: Pattern::parse("b+{campaign}+{sig}+{local}={domain}").unwrap(),
        short: Some(Pattern::parse("h+{campaign}+{sig}+{hash}").unwrap()),
        private: false,
        secrets: vec![vector.secret.clone().into_bytes()],
        hash_key: vector.hash_key.clone().map(String::into_bytes),
        domains: vec![vector.domain.clone()],
        max_age_days: 60,
        require_signature: true,
    })
    .unwrap()
}

#[test]
fn encoding_and_decoding_agree_with_the_vectors() {
    assert!(vectors().len() >= 15);
    for vector in vectors() {
        let codec = codec(&vector);
        let rcpt = codec.encode(&vector.address, vector.campaign.as_deref(), None, vector.day);
        assert_eq!(rcpt.as_deref(), Ok(vector.rcpt.as_str()), "{}", vector.what);
        let (local, domain) = vector.rcpt.rsplit_once('@').unwrap();
        let decoded = codec.decode(local, domain, vector.day).unwrap();
        assert!(decoded.signed && !decoded.expired, "{}", vector.what);
        assert_eq!(decoded.campaign, vector.campaign.as_ref().map(|campaign| campaign.to_lowercase()));
        let normal = bounced::address::normal(&vector.address).unwrap();
        match (decoded.form, decoded.payload) {
            (Form::Long, Payload::Address(address)) => assert_eq!(address, normal),
            (Form::Short, Payload::Hash(key)) => assert_eq!(key, codec.key_of_address(&normal)),
            other => panic!("{}: {other:?}", vector.what),
        }
    }
}

/// Feeds the vectors to a recipe and compares what it prints, a line a vector. `needs` is a command that fails where the recipe can't run.
fn recipe(program: &str, needs: &[&str], file: &str) {
    let available = Command::new(program).args(needs).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !available.is_ok_and(|status| status.success()) {
        eprintln!("LEFT OUT: {file}: `{program} {}` doesn't work here", needs.join(" "));
        return;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verp/");
    let mut child =
        Command::new(program).arg(format!("{path}{file}")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it just ran");
    child.stdin.take().unwrap().write_all(VECTORS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let made = String::from_utf8(output.stdout).unwrap();
    let expected: Vec<String> = vectors().into_iter().map(|vector| vector.rcpt).collect();
    assert_eq!(made.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_python_recipe_agrees_with_the_vectors() {
    recipe("python3", &["-c", "import hmac"], "recipe.py");
}

#[test]
fn the_php_recipe_agrees_with_the_vectors() {
    recipe("php", &["-r", "exit(function_exists('mb_strtolower') ? 0 : 1);"], "recipe.php");
}

#[test]
fn the_readme_quotes_the_recipes_and_the_vectors() {
    let readme = include_str!("../README.md");
    for (recipe, end) in [(include_str!("verp/recipe.py"), "\n# Reads the test"), (include_str!("verp/recipe.php"), "\n// Reads the test")]
    {
        let quoted = recipe.split(end).next().unwrap().trim_start_matches("<?php\n").trim_end();
        assert!(readme.contains(quoted), "the README's recipe has to follow:\n{quoted}");
    }
    let quoted = vectors().into_iter().filter(|vector| readme.contains(&vector.rcpt)).count();
    assert!(quoted >= 4, "the README shows {quoted} vectors");
}
