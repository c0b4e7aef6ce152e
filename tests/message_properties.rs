//! Strangers' bytes: never a panic, always a bounded report, and nothing in the returned original decides anything.

use std::{
    fs, panic,
    path::Path,
    sync::{
        Once, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bounced::message::{Original, Report};
use proptest::prelude::*;

fn fixtures() -> &'static [Vec<u8>] {
    static FIXTURES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FIXTURES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/handmade");
        let mut paths: Vec<_> = fs::read_dir(root).expect("the fixtures are there").map(|entry| entry.expect("readable").path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).expect("readable")).collect()
    })
}

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/handmade").join(name)).expect("readable")
}

fn is_fact(text: &str) {
    assert!(text.len() <= 4096, "{} octets", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// Reads a mail and sees to it that no panic was caught on the way: `read` would hide it.
fn read(raw: &[u8]) -> Report<'_> {
    static HOOK: Once = Once::new();
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Failed assertions of the tests themselves are told as ever.
            if !info.location().is_some_and(|place| place.file().starts_with("tests")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
    let report = bounced::message::read(raw);
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked while a mail was read");
    report
}

fn is_bounded(report: &Report) {
    assert!(report.prose.len() <= 64 * 1024);
    assert!(!report.prose.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    assert!(report.recipients.len() <= 100);
    let header = &report.header;
    let lists = [&header.from, &header.reply_to, &header.to, &header.failed_recipients, &header.in_reply_to];
    let mut facts: Vec<&str> = Vec::new();
    for list in lists {
        assert!(list.len() <= 100);
        facts.extend(list.iter().map(String::as_str));
    }
    assert!(header.other.len() <= 100);
    facts.extend(header.other.iter().flat_map(|(name, value)| [&**name, &**value]));
    facts.extend(
        [&header.message_id, &header.subject, &header.return_path, &header.from_name, &header.auto_submitted]
            .into_iter()
            .flatten()
            .map(String::as_str),
    );
    facts.extend([&report.reporting_mta, &report.original_envelope_id].into_iter().flatten().map(String::as_str));
    for block in &report.recipients {
        let all = [
            &block.original_recipient,
            &block.final_recipient,
            &block.status,
            &block.remote_mta,
            &block.diagnostic_type,
            &block.diagnostic,
        ];
        facts.extend(all.into_iter().flatten().map(String::as_str));
    }
    if let Some(original) = &report.original {
        assert!(original.to.len() <= 100 && original.from.len() <= 100 && original.other.len() <= 100);
        facts.extend(original.to.iter().chain(&original.from).map(String::as_str));
        facts.extend([&original.message_id, &original.subject, &original.return_path].into_iter().flatten().map(String::as_str));
    }
    facts.into_iter().for_each(is_fact);
}

/// What decides, without what the original says.
fn deciding(mut report: Report) -> Report {
    report.original = report.original.map(|_| Original::default());
    report
}

#[derive(Debug, Clone)]
enum Edit {
    Cut(usize, usize),
    Double(usize, usize),
    Put(usize, Vec<u8>),
    End(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..20),
        proptest::sample::select(vec![
            "\n\n",
            "\r",
            "\0",
            "--=_report_1\n",
            "Content-Type: multipart/mixed; boundary=x\n",
            "=?utf-8?q?",
            "<",
            ">",
            "\x1b$B",
            ": ",
            "+3D"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        (any::<usize>(), 1..200_usize).prop_map(|(at, len)| Edit::Cut(at, len)),
        (any::<usize>(), 1..400_usize).prop_map(|(at, len)| Edit::Double(at, len)),
        (any::<usize>(), piece).prop_map(|(at, piece)| Edit::Put(at, piece)),
        any::<usize>().prop_map(Edit::End),
    ]
}

fn edited(mut raw: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let size = raw.len() + 1;
        let span = |at: usize, len: usize| (at % size)..((at % size) + len).min(size - 1);
        match edit {
            Edit::Cut(at, len) => drop(raw.drain(span(*at, *len))),
            Edit::Double(at, len) => {
                let piece = raw[span(*at, *len)].to_vec();
                raw.splice(at % size..at % size, piece);
            }
            Edit::Put(at, piece) => drop(raw.splice(at % size..at % size, piece.iter().copied())),
            Edit::End(at) => raw.truncate(at % size),
        }
    }
    raw
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_a_bounded_report(raw in proptest::collection::vec(any::<u8>(), 0..4000)) {
        is_bounded(&read(&raw));
    }

    #[test]
    fn broken_mails_give_a_bounded_report(which in any::<proptest::sample::Index>(), edits in proptest::collection::vec(edit(), 1..8)) {
        let raw = edited(which.get(fixtures()).clone(), &edits);
        is_bounded(&read(&raw));
    }

    /// Taxonomy rule 3: the sender's own words never sway what a bounce says.
    #[test]
    fn words_in_the_original_change_nothing(
        name in proptest::sample::select(vec!["qmail.eml", "exim-prose.eml", "sendmail-old.eml", "webmail-original.eml", "indented-original.eml",
            "embedded-boundary.eml", "exchange-summary.eml", "dsn-as-text.eml", "wrapped-report.eml", "arf.eml", "mdn.eml"]),
        lines in proptest::collection::vec(proptest::sample::select(vec!["550 5.1.1 user unknown", "Final-Recipient: rfc822; mallory@example.net",
            "Action: failed", "Status: 5.1.1", "", "> quoted", "--=_other", "----- Original message -----", "Subject: mailbox full",
            "<mallory@example.net>: gone", "Content-Type: message/delivery-status", "On Monday, Mallory wrote:", "From: mallory@example.net"]), 1..12),
    ) {
        let mail = fixture(name);
        let place = "Dear Alice, this mail is about relaying denied and quota exceeded.\n";
        // A report that returns the header alone takes the words in the header's place.
        let (place, words) = if mail.contains(place) {
            (place, lines.join("\n") + "\n")
        } else {
            ("X-Campaign: spring\n", lines.iter().map(|line| format!("X-Words: {line}\n")).collect())
        };
        prop_assert!(mail.contains(place), "{name}");
        let with = mail.replace(place, &format!("{place}{words}"));
        prop_assert_eq!(deciding(read(with.as_bytes())), deciding(read(mail.as_bytes())));
    }
}

/// Runs on a stack as small as a daemon's thread may have.
fn on_a_small_stack(mail: impl FnOnce() -> Vec<u8>, check: impl FnOnce(&Report<'_>) + Send) {
    let mail = mail();
    thread::scope(|scope| {
        let told = thread::Builder::new().stack_size(1024 * 1024).spawn_scoped(scope, || {
            let report = read(&mail);
            is_bounded(&report);
            check(&report);
        });
        told.expect("a thread").join().expect("no overflow, no panic");
    });
}

#[test]
fn forty_thousand_nested_messages() {
    on_a_small_stack(|| "Content-Type: message/rfc822\n\n".repeat(40_000).into_bytes(), |_| {});
}

#[test]
fn forty_thousand_nested_multiparts() {
    let mail = || {
        let mut mail = String::from("Subject: deep\n");
        for depth in 0..40_000 {
            mail.push_str(&format!("Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n"));
        }
        mail.into_bytes()
    };
    on_a_small_stack(mail, |report| assert_eq!(report.header.subject.as_deref(), Some("deep")));
}

#[test]
fn a_hundred_thousand_parts() {
    let mail = || {
        let mut mail = String::from("Content-Type: multipart/mixed; boundary=b\n\n");
        for part in 0..100_000 {
            mail.push_str(&format!("--b\nContent-Type: text/plain; charset=utf-8\n\npart {part}\n"));
        }
        mail.into_bytes()
    };
    on_a_small_stack(mail, |report| assert!(report.prose.starts_with("part 0\n")));
}

/// Each would take hours if anything were looked at once for each of its like.
#[test]
fn what_would_be_slow_if_it_were_not_linear() {
    let megabytes = |unit: &str| unit.repeat(1_000_000 / unit.len());
    let head = "From: a@example.org\nContent-Type: ";
    for body in [
        "--b\n",
        "--b\nContent-Type: multipart/mixed; boundary=c\n\n",
        "--",
        "-\n",
        "\r",
        "\r\r\n",
        "Subject: x\ny\n",
        "Original message:\n",
        ">",
        "> a\n",
    ] {
        for kind in ["multipart/mixed; boundary=b\n\n", "multipart/report; boundary=nowhere\n\n", "text/plain\n\n"] {
            is_bounded(&read(format!("{head}{kind}{}", megabytes(body)).as_bytes()));
        }
    }
    for body in ["<", "&", "<!--", "<p", "<style>", "&#", "<a href=\"", "<blockquote>"] {
        is_bounded(&read(format!("{head}text/html\n\n{}", megabytes(body)).as_bytes()));
    }
    for value in ["=?utf-8?q?", "=?utf-8?b?", "(", "<", "\"", "a@b,", ";a*0*=", "; a*=x'y'z"] {
        let fields: String = ["Subject", "From", "To", "Content-Type", "X-Failed-Recipients", "Message-ID"]
            .iter()
            .map(|name| format!("{name}: {}\n", value.repeat(15_000 / value.len())))
            .collect();
        is_bounded(&read(format!("{}\n{}", fields.repeat(20), fields.repeat(20)).as_bytes()));
    }
}
