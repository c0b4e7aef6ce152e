//! Many replies in many wrappings: each text of `tests/telling/replies.txt` is put into each notice of `tests/telling/wrappers/`, and its status and
//! address must be told whoever wraps it: with its codes or without, folded, in capitals, in markup.
//!
//! Each reply is put into every fifth wrapping, another fifth for each reply; `BOUNCED_MATRIX=all` tries all of them (32,000 mails, a minute
//! without optimization). `BOUNCED_MISSES=1` prints each combination that is wrong, else only the first of each reply and the share of each wrapper.

#![allow(clippy::unwrap_used)]
#![expect(clippy::print_stdout, reason = "the list of misses is what this test is run for")]

use std::{collections::BTreeMap, path::Path};

use bounced::{
    classify::{Envelope, Verdict, tell},
    message,
};

const ADDRESS: &str = "alice@example.org";
const SENDER: &str = "news@returns.example.com";

struct Reply {
    accept: Vec<String>,
    text: String,
    /// Only the codes tell.
    codes_tell: bool,
}

fn replies(lists: &str) -> Vec<Reply> {
    let mut accept = Vec::new();
    let mut replies = Vec::new();
    for line in lists.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            accept = head.split(", ").map(str::to_owned).collect();
            continue;
        }
        let text = line.trim_start_matches('~').replace("ADDR", ADDRESS).replace("SENDER", SENDER);
        replies.push(Reply { accept: accept.clone(), text, codes_tell: line.starts_with('~') });
    }
    replies
}

fn wrappers() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/telling/wrappers");
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    all
}

fn is_code(word: &str) -> bool {
    let word = word.trim_matches(['#', '(', ')', '-', ':', '[', ']']);
    let digits = |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    let enhanced = word.split('.').count() == 3 && word.split('.').all(digits) && word.starts_with(['4', '5']);
    enhanced || word.len() == 3 && digits(word) && word.starts_with(['4', '5'])
}

/// Codes, also where a reply repeats them on each line, taken off.
fn words_only(text: &str) -> String {
    let words = text.split(' ').filter(|word| !is_code(word)).map(|word| match word.split_once('-') {
        Some((code, rest)) if is_code(code) => {
            if is_code(rest) {
                ""
            } else {
                rest
            }
        }
        _ => word,
    });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        if !last.is_empty() && last.len() + word.len() >= width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn quoted_printable(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for byte in text.bytes() {
        let piece = match byte {
            b'\n' => {
                out.push('\n');
                column = 0;
                continue;
            }
            b'=' | 128.. => format!("={byte:02X}"),
            _ => char::from(byte).to_string(),
        };
        if column + piece.len() > 74 {
            out.push_str("=\n");
            column = 0;
        }
        column += piece.len();
        out.push_str(&piece);
    }
    out
}

/// The first enhanced code of a reply, else the class of its reply code.
fn status(text: &str) -> String {
    let enhanced = text.split([' ', '-', '(', ')', '#']).find(|word| word.contains('.') && is_code(word));
    enhanced.map_or_else(|| if text.starts_with('4') { "4.0.0" } else { "5.0.0" }.to_owned(), str::to_owned)
}

fn fill(wrapper: &str, text: &str) -> String {
    let words = words_only(text);
    let all = [
        ("{addr}", ADDRESS.to_owned()),
        ("{reply}", text.to_owned()),
        ("{words}", words.clone()),
        ("{words-html}", escaped(&words)),
        ("{wrapped:4}", wrap(text, 60, 4)),
        ("{wrapped:3}", wrap(text, 50, 3)),
        ("{narrow}", wrap(text, 24, 0)),
        ("{upper}", text.to_uppercase()),
        ("{html}", escaped(text)),
        ("{json}", text.replace('\\', "\\\\").replace('"', "\\\"")),
        ("{status}", status(text)),
        ("{hash-status}", format!("#{}", status(text))),
    ];
    let filled = all.iter().fold(wrapper.to_owned(), |mail, (name, value)| mail.replace(name, value));
    match (filled.split_once("{qp-begin}"), filled.split_once("{qp-end}")) {
        (Some((before, rest)), Some((_, after))) => {
            let body = rest.split("{qp-end}").next().unwrap();
            format!("{before}{}{after}", quoted_printable(body))
        }
        _ => filled,
    }
}

fn told(mail: &str) -> Vec<Verdict> {
    tell(&message::read(mail.replace('\n', "\r\n").as_bytes()), &Envelope::default()).verdicts
}

#[test]
fn each_reply_is_told_in_each_wrapping() {
    assert_told(include_str!("telling/replies.txt"));
}

#[test]
fn words_in_other_meanings_and_languages() {
    assert_told(include_str!("telling/replies_more.txt"));
}

#[test]
fn words_looked_at_last() {
    assert_told(include_str!("telling/replies_third.txt"));
}

#[test]
fn what_makers_document() {
    assert_told(include_str!("telling/replies_fourth.txt"));
}

#[test]
fn what_providers_print() {
    assert_told(include_str!("telling/replies_fifth.txt"));
}

#[test]
fn terse_and_homemade_words() {
    assert_told(include_str!("telling/replies_sixth.txt"));
}

#[test]
fn what_servers_on_the_net_answer() {
    assert_told(include_str!("telling/replies_seventh.txt"));
}

#[test]
fn what_common_receivers_answer() {
    assert_told(include_str!("telling/replies_eighth.txt"));
}

#[test]
fn what_sources_and_logs_show() {
    assert_told(include_str!("telling/replies_ninth.txt"));
}

#[test]
fn what_a_large_sender_records() {
    assert_told(include_str!("telling/replies_tenth.txt"));
}

#[test]
fn what_filters_and_plugins_answer() {
    assert_told(include_str!("telling/replies_eleventh.txt"));
}

#[test]
fn what_the_qmail_family_and_logs_say() {
    assert_told(include_str!("telling/replies_twelfth.txt"));
}

#[test]
fn what_is_said_of_others_takes_nobody_off() {
    assert_told(include_str!("telling/replies_never_hard.txt"));
}

fn assert_told(list: &str) {
    let all = std::env::var_os("BOUNCED_MISSES").is_some();
    let (replies, wrappers) = (replies(list), wrappers());
    assert!(replies.len() > 100 && wrappers.len() > 20);
    let mut shares: BTreeMap<&str, (u32, u32, u32)> = BTreeMap::new();
    let (mut wrong, mut missed) = (0, 0);
    let step = if std::env::var_os("BOUNCED_MATRIX").is_some() { 1 } else { 5 };
    for (at, reply) in replies.iter().enumerate() {
        let mut said = false;
        for (name, wrapper) in wrappers.iter().skip(at % step).step_by(step) {
            if name.starts_with("words") && (reply.codes_tell || words_only(&reply.text).is_empty()) {
                continue;
            }
            let verdicts = told(&fill(wrapper, &reply.text));
            let share = shares.entry(name).or_default();
            share.0 += 1;
            let right = verdicts.len() == 1 && verdicts.iter().all(|one| reply.accept.iter().any(|status| status == one.status.id()));
            let addressed = verdicts.len() == 1 && verdicts.iter().all(|one| one.address.as_deref() == Some(ADDRESS));
            share.1 += u32::from(right);
            share.2 += u32::from(addressed);
            if !(right && addressed) {
                wrong += 1;
                if all || !said {
                    let got: Vec<_> = verdicts.iter().map(|one| (&one.address, one.status.id(), &one.rule, &one.evidence)).collect();
                    println!("{name}: {} <- {}\n    {got:?}", reply.accept.join("|"), reply.text);
                }
                missed += u32::from(!std::mem::replace(&mut said, true));
            }
        }
    }
    for (name, (of, status, address)) in &shares {
        println!("  {name}: status {status}/{of} address {address}/{of}");
    }
    let of: u32 = shares.values().map(|share| share.0).sum();
    let (status, address) = shares.values().fold((0, 0), |sum, share| (sum.0 + share.1, sum.1 + share.2));
    println!(
        "{} replies, {of} combinations: status {:.4} address {:.4}; {missed} replies wrong somewhere",
        replies.len(),
        f64::from(status) / f64::from(of),
        f64::from(address) / f64::from(of)
    );
    assert_eq!(wrong, 0, "{wrong} of {of} combinations");
}
