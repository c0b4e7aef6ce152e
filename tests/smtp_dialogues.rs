//! Replays tests/dialogues/*.txt against the pure dialogue, with whole reads and with reads of 1, 2, 3 and 7 octets: all must go the same way.
//!
//! ```text
//! # a comment
//! set NAME VALUE      before the first line: max, starttls, trusted, refused; at any time: full, memory (true, false), failure (loop, unavailable, none)
//! -> TEXT             sent with CRLF; \r \n \t \0 \\ \xHH are octets
//! => TEXT             sent as it is
//! *> N TEXT           the same N times, without CRLF of its own
//! <- TEXT             the next line of the replies
//! <~ REGEX            the next line of the replies matches
//! <* N REGEX          so do the next N
//! == TEXT             a mail was taken: reverse-path | helo | recipients, with commas | content
//! =0                  no mail was taken
//! !tls                the STARTTLS handshake has been done
//! !paused             so many seconds were waited since the last such line
//! !closed, !open      the server has hung up, or not
//! ```
//! When something is sent after a reply was read, no reply may be left over.

#![allow(clippy::unwrap_used)]

mod smtp_support;

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    fs,
    sync::atomic::Ordering,
    time::Duration,
};

use bounced::{
    intake::Failure,
    smtp::session::{Policy, Session, Step},
};
use proptest::prelude::*;
use regex::Regex;
use smtp_support::Fake;

struct Replay {
    fake: Fake,
    session: Session,
    memory: bool,
    read: usize,
    replies: VecDeque<String>,
    partial: String,
    regexes: HashMap<String, Regex>,
    paused: Duration,
    closed: bool,
    secure_next: bool,
}

impl Replay {
    fn new(policy: Policy, read: usize) -> Self {
        Self {
            fake: Fake::default(),
            session: Session::new(policy),
            memory: true,
            read,
            replies: VecDeque::new(),
            partial: String::new(),
            regexes: HashMap::new(),
            paused: Duration::ZERO,
            closed: false,
            secure_next: false,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(self.read) {
            let mut input = part;
            loop {
                let step = self.session.step(&self.fake, &mut input);
                self.session.take_notes();
                match step {
                    Step::Read => break,
                    Step::Pause(pause) => self.paused += pause,
                    Step::Memory(_) => self.session.granted(self.memory),
                    Step::Take(arrival) => self.session.taken(&self.fake.record(arrival)),
                    Step::StartTls => {
                        assert!(input.is_empty(), "input after STARTTLS must be dropped");
                        self.secure_next = true;
                        break;
                    }
                    Step::Close => {
                        self.closed = true;
                        break;
                    }
                }
            }
            self.collect();
            if self.secure_next || self.closed {
                // The shell drops what was read after STARTTLS or a close.
                break;
            }
        }
    }

    fn collect(&mut self) {
        self.partial.push_str(std::str::from_utf8(&self.session.take_output()).expect("replies are UTF-8"));
        while let Some((line, rest)) = self.partial.split_once("\r\n") {
            assert!(line.len() <= 510 && !line.chars().any(char::is_control), "{line:?}");
            self.replies.push_back(line.to_owned());
            self.partial = rest.to_owned();
        }
    }

    fn line(&mut self, line: &str) {
        let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "->" => self.send(&[octets(text), b"\r\n".to_vec()].concat()),
            "=>" => self.send(&octets(text)),
            "*>" => {
                let (times, text) = text.split_once(' ').unwrap();
                self.send(&octets(text).repeat(times.parse().unwrap()));
            }
            "<-" => assert_eq!(self.replies.pop_front().as_deref(), Some(text)),
            "<~" => self.matches(text),
            "<*" => {
                let (times, regex) = text.split_once(' ').unwrap();
                (0..times.parse().unwrap()).for_each(|_: usize| self.matches(regex));
            }
            "==" => assert_eq!(self.taken(), text),
            "=0" => assert!(self.fake.taken.lock().unwrap().is_empty()),
            "!tls" => {
                assert!(std::mem::take(&mut self.secure_next), "no STARTTLS");
                self.session.secured();
            }
            "!paused" => assert_eq!(std::mem::take(&mut self.paused).as_secs().to_string(), text),
            "!closed" => assert!(self.closed),
            "!open" => assert!(!self.closed),
            "set" => self.set(text),
            _ => panic!("what is {kind:?}?"),
        }
    }

    fn matches(&mut self, regex: &str) {
        let line = self.replies.pop_front().unwrap_or_default();
        let compiled = self.regexes.entry(regex.to_owned()).or_insert_with(|| Regex::new(regex).unwrap());
        assert!(compiled.is_match(&line), "{line:?} is not {regex}");
    }

    fn taken(&self) -> String {
        let mut taken = self.fake.taken.lock().unwrap();
        assert!(!taken.is_empty(), "no mail was taken");
        let mail = taken.remove(0);
        let rcpts: Vec<&str> = mail.mailboxes.iter().map(|mailbox| mailbox.rcpt.as_str()).collect();
        let mut raw = mail.raw.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"");
        if raw.len() > 1000 {
            raw = format!("({} octets)", mail.raw.len());
        }
        format!("{} | {} | {} | {raw}", mail.reverse_path.unwrap(), mail.helo.unwrap(), rcpts.join(","))
    }

    fn set(&mut self, text: &str) {
        match text.split_once(' ').unwrap() {
            ("full", value) => self.fake.full.store(value == "true", Ordering::Relaxed),
            ("memory", value) => self.memory = value == "true",
            ("failure", value) => {
                *self.fake.failure.lock().unwrap() = match value {
                    "loop" => Some(Failure::Loop),
                    "unavailable" => Some(Failure::Unavailable),
                    _ => None,
                }
            }
            other => panic!("set {other:?}?"),
        }
    }
}

fn octets(text: &str) -> Vec<u8> {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        out.push(match (byte, byte == b'\\') {
            (_, true) => match bytes.next().expect("an escape") {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).expect("two hex digits")
                }
                other => panic!("what is \\{}?", char::from(other)),
            },
            (byte, false) => byte,
        });
    }
    out
}

fn policy(text: &str) -> Policy {
    let mut policy = Policy {
        hostname: "mx.returns.test".into(),
        max_message_bytes: 100_000,
        starttls: false,
        trusted: false,
        refused_before: 0,
        client: None,
    };
    for line in text.lines().take_while(|line| line.is_empty() || line.starts_with(['#', 's'])) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["set", "max", value] => policy.max_message_bytes = value.parse().unwrap(),
            ["set", "starttls", value] => policy.starttls = value == "true",
            ["set", "refused", value] => policy.refused_before = value.parse().unwrap(),
            ["set", "trusted", value] => policy.trusted = value == "true",
            _ => {}
        }
    }
    policy
}

/// The error names file, line and size of reads.
fn replay(name: &str, text: &str, read: usize) -> Result<(), String> {
    let mut replay = Replay::new(policy(text), read);
    replay.collect();
    let mut reading = true;
    for (number, line) in text.lines().enumerate() {
        let of_policy = ["set max", "set starttls", "set trusted", "set refused"].iter().any(|of_policy| line.starts_with(of_policy));
        if line.is_empty() || line.starts_with('#') || of_policy {
            continue;
        }
        let sends = line.starts_with("->") || line.starts_with("=>") || line.starts_with("*>");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            assert!(!(sends && reading) || replay.replies.is_empty(), "left over: {:?}", replay.replies);
            replay.line(line);
        }));
        if result.is_err() {
            return Err(format!("{name}:{}, reads of {read}: {line}", number + 1));
        }
        reading = line.starts_with('<') || (reading && !sends);
    }
    match replay.replies.is_empty() {
        true => Ok(()),
        false => Err(format!("{name}, reads of {read}: left over: {:?}", replay.replies)),
    }
}

#[test]
fn dialogues() {
    let mut files: Vec<_> =
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogues")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let (mut wrong, mut runs) = (String::new(), 0);
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "txt")) {
        let text = fs::read_to_string(file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy();
        for read in [usize::MAX, 1, 2, 3, 7] {
            runs += 1;
            if let Err(error) = replay(&name, &text, read) {
                writeln!(wrong, "{error}").unwrap();
            }
        }
    }
    assert!(runs >= 50, "only {runs} runs: are the dialogues there?");
    assert!(wrong.is_empty(), "\n{wrong}");
}

const ENVELOPE: &str = "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<good@returns.test>\r\n";
const SMUGGLED: &str = "MAIL FROM:<>\r\nRCPT TO:<good2@returns.test>\r\nDATA\r\nevil\r\n.\r\n";

/// Every text of up to so many of the octets that matter.
fn every(longest: u32) -> impl Iterator<Item = String> {
    (0..=longest).flat_map(|len| {
        (0..4_usize.pow(len)).map(move |text| (0..len).map(|place| char::from(b"\r\n.x"[text >> (2 * place) & 3])).collect())
    })
}

/// The contents of the mails that came of these reads, each confirmed once.
fn mails(reads: &[&str]) -> Vec<String> {
    let mut replay = Replay::new(policy(""), usize::MAX);
    reads.iter().for_each(|read| {
        if !replay.closed {
            replay.send(read.as_bytes())
        }
    });
    let confirmed = replay.replies.iter().filter(|line| line.starts_with("250 2.0.0 recorded")).count();
    let mails: Vec<_> = replay.fake.taken.lock().unwrap().iter().map(|mail| String::from_utf8(mail.raw.to_vec()).unwrap()).collect();
    assert_eq!(confirmed, mails.len());
    mails
}

/// What RFC 5321 says of what is sent after DATA: one mail up to CRLF.CRLF, and another where what is left begins a line with MAIL.
fn by_the_rfc(sent: &str) -> Vec<String> {
    let (first, rest) = match sent.strip_prefix(".\r\n") {
        Some(rest) => (String::new(), rest),
        None => {
            let (first, rest) = sent.split_once("\r\n.\r\n").unwrap();
            (format!("{first}\r\n"), rest)
        }
    };
    let first = first.strip_prefix('.').unwrap_or(&first).replace("\r\n.", "\r\n");
    let commands = rest.strip_suffix(SMUGGLED).filter(|before| {
        let lines = before.replace("\r\n", "");
        (before.is_empty() || before.ends_with("\r\n")) && !lines.contains(['\r', '\n'])
    });
    [Some(first), commands.map(|_| "evil\r\n".to_owned())].into_iter().flatten().collect()
}

/// All 5,461 texts of up to six octets at the end of DATA with a whole mail behind them, in one read, octet by octet, and split anywhere.
#[test]
fn nothing_but_crlf_dot_crlf_ends_a_mail() {
    let (mut single, mut double) = (0, 0);
    for text in every(6) {
        let (data, sent) = (format!("{ENVELOPE}DATA\r\n"), format!("{text}{SMUGGLED}"));
        let want = by_the_rfc(&sent);
        *if want.len() == 1 { &mut single } else { &mut double } += 1;
        for at in 0..=text.len() + 1 {
            assert_eq!(mails(&[&data, &sent[..at], &sent[at..]]), want, "{} at {at}", text.escape_debug());
        }
        let octets: Vec<&str> = (0..sent.len()).map(|at| &sent[at..=at]).collect();
        assert_eq!(mails(&[&[&data[..]][..], &octets].concat()), want, "{}", text.escape_debug());
    }
    assert_eq!((single, double), (5453, 8));
}

/// The same texts in chunks, where nothing ends a mail but its length, and with DATA among the chunks, where it may not stand.
#[test]
fn chunks_end_by_their_length_alone() {
    for text in every(5) {
        for at in 0..=text.len() {
            let (one, two) = text.split_at(at);
            for between in ["", "DATA\r\n"] {
                let sent = format!("{ENVELOPE}BDAT {}\r\n{one}{between}BDAT {} LAST\r\n{two}NOOP\r\n", one.len(), two.len());
                let start = ENVELOPE.len() + 8;
                assert_eq!(mails(&[&sent]), std::slice::from_ref(&text), "{}", sent.escape_debug());
                for split in start..sent.len().min(start + text.len() + 4) {
                    assert_eq!(mails(&[&sent[..split], &sent[split..]]), std::slice::from_ref(&text), "{} at {split}", sent.escape_debug());
                }
            }
        }
    }
}

/// Pieces of dialogues in every order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::sample::select(vec![
        "EHLO c.test\r\n",
        "MAIL FROM:<>\r\n",
        "MAIL FROM:<> SIZE=900 RET=HDRS\r\n",
        "RCPT TO:<good@returns.test>\r\n",
        "RCPT TO:<bad@returns.test>\r\n",
        "RCPT TO:<x@elsewhere.test>\r\n",
        "DATA\r\n",
        "BDAT 9\r\n",
        "BDAT 200 LAST\r\n",
        "BDAT 0 LAST\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "text\r\n",
        ".\r\n",
        "\r\n.\r\n",
        "..x\r\n",
        "\n",
        "\r",
        "a long line of content that passes the limit\r\n",
    ]);
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_dialogue(start in any::<bool>(), bytes in pieces(), read in 1usize..12) {
        let policy = Policy { hostname: "mx.test".into(), max_message_bytes: 150, starttls: false, trusted: false, refused_before: 0, client: None };
        let bytes = [if start { &b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<good@returns.test>\r\n"[..] } else { b"" }, &bytes].concat();
        let run = |read| {
            let mut replay = Replay::new(policy.clone(), read);
            replay.send(&bytes);
            let mails: Vec<_> = replay.fake.taken.lock().unwrap().iter().map(|mail| (mail.raw.clone(), mail.mailboxes.clone())).collect();
            let replied = (replay.replies, replay.paused, replay.closed);
            prop_assert!(mails.iter().all(|(raw, mailboxes)| raw.len() <= 150 && !mailboxes.is_empty()));
            let told = replied.0.iter().filter(|line| line.starts_with("250 2.0.0 recorded")).count();
            prop_assert_eq!(told, mails.len());
            Ok((replied, mails))
        };
        prop_assert_eq!(run(read)?, run(usize::MAX)?);
    }
}
