//! The line along which the modules stand, kept by a test: what is pure names no engine, socket, file or clock, and nobody knows what design
//! says that he must not know. The sources are read as text, without comments and without their unit tests.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

const LONGEST: usize = 400;

/// Pure: a file, or a folder with all that is in it. Each must be there, so that a renamed one doesn't drop out unseen.
const PURE: &[&str] = &[
    "address.rs",
    "taxonomy.rs",
    "config/",
    "smtp/command",
    "smtp/session",
    "smtp/framing",
    "smtp/reply",
    "verp/",
    "intake/gate",
    "intake/resolve",
    "intake/dedupe",
    "message/",
    "classify/",
    "ledger/",
    "outbox/breaker",
    "outbox/bucket",
    "outbox/job",
    "outbox/lanes",
    "outbox/retry",
    "action/task",
    "action/clean",
    "action/rate",
    "action/row",
    "action/render",
    "action/context",
    "action/report",
    "action/batch",
    "action/digest",
    "action/resend",
    "action/webhook",
    "action/url",
    "alert/threshold",
    "alert/limiter",
    "alert/trouble",
    "alert/digest",
    "control/protocol",
];

/// Files in a pure folder that are its shell: the configuration reads the files that it names, and the daemon's own key.
const SHELL: &[&str] = &["config/files.rs", "config/load.rs", "config/own_key.rs"];

/// Words that no pure file may say.
const IMPURE: &[&str] = &[
    r"\btokio\b",
    r"\bsled\b",
    r"\blettre\b",
    r"\breqwest\b",
    r"\brustls\b",
    r"\bgetrandom\b",
    r"\bstd::fs\b",
    r"\bstd::\{[^;]*\bfs\b",
    r"\bstd::net::Tcp",
    r"\bTcp(Stream|Listener)\b",
    r"\bUnix(Stream|Listener)\b",
    r"\bFile::open\b",
    r"\b(Instant|SystemTime|Timestamp|Zoned)::now\b",
];

/// Who must not know whom: a folder or file, and beginnings of paths in the crate.
const MUST_NOT_KNOW: &[(&str, &[&str])] = &[
    (
        "address.rs",
        &["config", "smtp", "verp", "intake", "message", "classify", "ledger", "store", "outbox", "action", "alert", "control", "cli"],
    ),
    (
        "taxonomy.rs",
        &["config", "smtp", "verp", "intake", "message", "classify", "ledger", "store", "outbox", "action", "alert", "control", "cli"],
    ),
    ("config/", &["store", "smtp", "intake", "message", "control", "cli"]),
    ("smtp/", &["store", "message", "classify", "ledger", "outbox", "action", "control", "cli"]),
    ("verp/", &["message", "classify", "ledger", "store", "smtp", "intake", "config", "outbox", "action", "control", "cli"]),
    ("intake/", &["cli", "control", "outbox", "store::keys"]),
    (
        "message/",
        &["config", "classify", "ledger", "store", "smtp", "verp", "intake", "outbox", "action", "control", "cli", "taxonomy::Status"],
    ),
    ("classify/", &["ledger", "store", "smtp", "intake", "config", "outbox", "action", "control", "cli"]),
    ("ledger/", &["store", "smtp", "message", "intake", "config", "control", "cli", "action::render", "action::mail", "action::post"]),
    (
        "store/",
        &[
            "smtp",
            "intake",
            "message",
            "classify::tell",
            "config",
            "control",
            "cli",
            "alert",
            "action::render",
            "action::mail",
            "action::post",
        ],
    ),
    ("outbox/", &["smtp", "intake", "message", "classify", "control", "cli", "ledger::Trigger", "ledger::Rules"]),
    ("action/", &["store", "smtp", "intake", "message", "classify::tell", "control", "cli", "ledger::Rules", "ledger::Known"]),
    ("alert/", &["store", "smtp", "intake", "message", "classify", "control", "cli", "ledger::Rules", "ledger::Trigger"]),
    ("control/", &["smtp", "message", "classify::tell", "cli", "ledger::Rules", "ledger::Trigger"]),
];

struct Source {
    /// Below src, with `/`.
    name: String,
    lines: usize,
    /// Without comments and unit tests.
    code: String,
    is_test: bool,
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    assert!(found.len() > 20, "found only {found:?}");
    let tests = Regex::new(r"(?m)^#\[cfg\(test\)\]\n(pub(\(crate\))? )?mod \w+ \{").unwrap();
    let comment = Regex::new(r"(?m)^\s*//.*$|\s//[^\n]*$").unwrap();
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let code = tests.find(&text).map_or(text.as_str(), |module| &text[..module.start()]);
            let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
            Source { lines: text.lines().count(), code: comment.replace_all(code, "").into_owned(), is_test, name }
        })
        .collect()
}

/// Every path below `crate::` that the code names, groups taken apart: `crate::{a, b::{c, d}}` is `a`, `b::c`, `b::d`.
fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        if !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            tree(&code[at + found.len()..], "", &mut paths);
        }
    }
    paths
}

/// Reads one tree of a `use`, gives what is left behind it.
fn tree<'a>(text: &'a str, prefix: &str, paths: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = tree(rest, prefix, paths).trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or_default(),
                None => return rest.strip_prefix('}').unwrap_or_default(),
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len());
    let path = if prefix.is_empty() { text[..end].to_owned() } else { format!("{prefix}::{}", &text[..end]) };
    match text[end..].strip_prefix("::") {
        Some(rest) if !rest.starts_with('<') => tree(rest, &path, paths),
        _ => {
            paths.push(path);
            let rest = &text[end..];
            let alias = Regex::new(r"^\s+as\s+\w+").unwrap();
            alias.find(rest).map_or(rest, |found| &rest[found.end()..])
        }
    }
}

/// `smtp/session` covers smtp/session.rs and smtp/session/…; `verp/` all of verp.
fn stands_in(name: &str, place: &str) -> bool {
    name == place || name.strip_prefix(place).is_some_and(|rest| place.ends_with('/') || rest.starts_with('/') || rest == ".rs")
}

#[test]
fn what_is_pure_stays_pure() {
    let impure = Regex::new(&IMPURE.join("|")).unwrap();
    let sources = sources();
    let mut wrong = Vec::new();
    for place in PURE.iter().chain(SHELL) {
        assert!(sources.iter().any(|source| stands_in(&source.name, place)), "src/{place} isn't there; this test has to follow a move");
    }
    for source in sources.iter().filter(|source| !source.is_test && !SHELL.contains(&source.name.as_str())) {
        if PURE.iter().any(|place| stands_in(&source.name, place)) {
            wrong.extend(impure.find_iter(&source.code).map(|found| format!("src/{} says {}", source.name, found.as_str())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nobody_knows_what_he_must_not() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        for path in crate_paths(&source.code) {
            for (place, strangers) in MUST_NOT_KNOW {
                if stands_in(&source.name, place)
                    && strangers.iter().any(|stranger| path == *stranger || path.starts_with(&format!("{stranger}::")))
                {
                    wrong.push(format!("src/{} knows crate::{path}", source.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One place each for the engine, the grammar of SMTP, the mail and the HTTP client.
#[test]
fn each_library_has_one_home() {
    let homes = [(r"\bsled::", "store/"), (r"\bsmtp_proto::", "smtp/"), (r"\bmail_parser::", "message/"), (r"\breqwest::", "action/")];
    let mut wrong = Vec::new();
    for (word, home) in homes {
        let word = Regex::new(word).unwrap();
        let strangers = |source: &Source| !source.is_test && !source.name.starts_with(home) && word.is_match(&source.code);
        wrong.extend(
            sources().into_iter().filter(strangers).map(|source| format!("src/{} says {word}, which belongs to {home}", source.name)),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|source| source.lines > LONGEST)
        .map(|source| format!("src/{} has {} lines, more than {LONGEST}", source.name, source.lines))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn paths_are_read_right() {
    let code = "use crate::{address, store::{keys::{A, B}, Store as S}, verp};\nfn f() { crate::message::read(x); my_crate::no(); }";
    assert_eq!(crate_paths(code), ["address", "store::keys::A", "store::keys::B", "store::Store", "verp", "message::read"]);
}
