//! What is fuzzed: each function takes any bytes and panics where a promise is broken. Shared by the fuzz targets and by tests/fuzz_smoke.rs.

mod config;
mod framing;

use std::{net::Ipv4Addr, sync::LazyLock, time::Duration};

use bounced::{
    classify::{Envelope, OperatorRule, OperatorRules, Telling, explain, named_addresses, tell, tell_by, vouchers},
    intake::{Arrival, Door, Failure, Mailbox, Refusal},
    message::{self, Header, Original, RecipientFields, Report},
    smtp::{
        Handler,
        session::{Policy, Session, Step},
    },
    taxonomy::Status,
    verp::{Codec, Form, Pattern, Payload, Spec},
};

pub use config::config;
pub use framing::framing;

/// Any bytes give a bounded report, and the shown structure is the one that was read.
pub fn message(data: &[u8]) {
    let report = message::read(data);
    bounded(&report);
    let (outlined, parts) = message::outline(data);
    assert_eq!(outlined, report);
    assert!(parts.len() <= 201 && parts.iter().all(|part| part.range.end <= data.len() && part.range.start <= part.range.end));
}

fn fact(text: &str, octets: usize) {
    assert!(text.len() <= octets, "{} octets", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

fn bounded(report: &Report) {
    assert!(report.prose.len() <= 64 * 1024 && report.recipients.len() <= 100);
    assert!(!report.prose.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    let header = &report.header;
    let lists = [&header.from, &header.reply_to, &header.to, &header.failed_recipients, &header.in_reply_to];
    lists
        .into_iter()
        .flatten()
        .chain(&header.subject)
        .chain(&header.message_id)
        .chain(&header.return_path)
        .for_each(|text| fact(text, 4096));
    header.other.iter().for_each(|(_, value)| fact(value, 1000));
    for one in &report.recipients {
        let facts = [&one.original_recipient, &one.final_recipient, &one.status, &one.remote_mta, &one.diagnostic, &one.actual_recipient];
        facts.into_iter().flatten().for_each(|text| fact(text, 4096));
    }
}

static RULES: LazyLock<OperatorRules> = LazyLock::new(|| {
    let rule = |name, words, status, domain| OperatorRule::phrase(name, words, status, domain).unwrap();
    let rules = vec![
        rule("one", "no such mailbox", Status::SoftBounceGeneral, Some("example.org")),
        rule("two", "on holiday", Status::AutoReply, None),
        OperatorRule::regex("three", r"quota\W+\w+", Status::SoftBounceMailboxFull, None).unwrap(),
    ];
    OperatorRules::new(rules).unwrap()
});

/// A mail, or, where the first octet is odd, the facts of a report, parted by NULs.
pub fn telling(data: &[u8]) {
    let report = match data.split_first() {
        Some((first, rest)) if first % 2 == 1 => handmade(rest),
        _ => message::read(data),
    };
    let null = Envelope { reverse_path: Some(""), verp_address: None };
    let verp = Envelope { reverse_path: Some(""), verp_address: Some("Alice@example.org") };
    for envelope in [Envelope::default(), null, verp] {
        let told = tell(&report, &envelope);
        judged(&told);
        assert_eq!(explain(&OperatorRules::default(), &report, &envelope).telling, told);
        let own = tell_by(&RULES, &report, &envelope);
        judged(&own);
        assert_eq!(explain(&RULES, &report, &envelope).telling, own);
        if envelope.verp_address.is_some() {
            assert_eq!((told.verdicts.len(), told.verdicts[0].address.as_deref()), (1, Some("alice@example.org")));
        }
    }
    assert!(named_addresses(&report).len() <= 50 && vouchers(&report).len() <= 50);
    // What comes back of the original never sways a verdict; its addresses may name the recipient.
    if let Some(original) = &report.original {
        let swayed = Original { subject: Some("550 5.1.1 user unknown, mailbox full".into()), ..original.clone() };
        assert_eq!(tell(&Report { original: Some(swayed), ..report.clone() }, &null), tell(&report, &null));
    }
}

fn judged(told: &Telling) {
    assert!(!told.verdicts.is_empty() && told.verdicts.len() <= 101);
    for verdict in &told.verdicts {
        let texts =
            [&verdict.address, &verdict.diagnostic, &verdict.remote_mta, &verdict.reporting_mta, &verdict.evidence, &verdict.new_address];
        texts.into_iter().flatten().for_each(|text| fact(text, 4096));
        assert!(!verdict.rule.is_empty());
        assert!(verdict.enhanced.as_deref().is_none_or(|code| code.len() <= 11));
        assert!(verdict.reply.as_deref().is_none_or(|code| code.len() == 3));
    }
}

fn handmade(data: &[u8]) -> Report<'static> {
    let mut texts = data.split(|&b| b == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    let mut next = || texts.next().filter(|text| !text.is_empty());
    let line = |text: Option<String>| text.map(|text| text.chars().filter(|c| !c.is_control()).take(1000).collect::<String>());
    let header = Header { subject: line(next()), from: line(next()).into_iter().collect(), from_name: line(next()), ..Header::default() };
    let prose: String = next().unwrap_or_default().chars().filter(|&c| !c.is_control() || c == '\n' || c == '\t').take(16 * 1024).collect();
    let mut recipients = Vec::new();
    while let Some(final_recipient) = next().filter(|_| recipients.len() < 100) {
        let diagnostic = line(next());
        recipients.push(RecipientFields {
            final_recipient: line(Some(final_recipient)),
            diagnostic,
            status: line(next()),
            ..Default::default()
        });
    }
    Report { header, prose: prose.into(), recipients, ..Report::default() }
}

struct House;

impl Handler for House {
    fn room(&self) -> bool {
        true
    }

    fn recipient(&self, rcpt: &str) -> Result<Mailbox, Refusal> {
        match rcpt.len() % 4 {
            0 => Err(Refusal::NotOurs),
            1 => Err(Refusal::BadSignature),
            _ => Ok(Mailbox { rcpt: rcpt.to_owned(), door: Door::Plain }),
        }
    }

    async fn take(&self, _: Arrival) -> Result<Vec<u64>, Failure> {
        Ok(vec![1])
    }
}

#[derive(Debug, Default, PartialEq)]
struct Dialogue {
    output: Vec<u8>,
    mails: Vec<(Vec<u8>, Vec<Mailbox>)>,
    paused: Duration,
    closed: bool,
}

const LIMIT: usize = 300;

fn dialogue(data: &[u8], read: usize) -> Dialogue {
    let client = Some(Ipv4Addr::LOCALHOST.into());
    let policy =
        Policy { hostname: "mx.returns.test".into(), max_message_bytes: LIMIT, starttls: true, trusted: false, refused_before: 0, client };
    let mut session = Session::new(policy);
    let mut seen = Dialogue::default();
    'input: for piece in data.chunks(read.max(1)) {
        let mut input = piece;
        loop {
            match session.step(&House, &mut input) {
                Step::Read => break,
                Step::Pause(pause) => seen.paused += pause,
                Step::Memory(octets) => session.granted(octets % 7 != 0),
                Step::Take(arrival) => {
                    seen.mails.push((arrival.raw.to_vec(), arrival.mailboxes.clone()));
                    session.taken(&Ok(vec![1]));
                }
                // The shell drops what was read in clear.
                Step::StartTls => {
                    session.secured();
                    seen.output.extend(session.take_output());
                    break 'input;
                }
                Step::Close => {
                    seen.closed = true;
                    break 'input;
                }
            }
        }
        seen.output.extend(session.take_output());
    }
    seen.output.extend(session.take_output());
    seen
}

/// However the bytes are split, the dialogue is the same; replies are well-formed, mails within the limit, each with somebody to go to, and
/// each answered by exactly one 250 of its own. The first octet is the size of reads.
pub fn smtp(data: &[u8]) {
    let Some((read, data)) = data.split_first() else { return };
    let seen = dialogue(data, usize::MAX);
    assert_eq!(dialogue(data, usize::from(*read)), seen);
    let output = std::str::from_utf8(&seen.output).expect("replies are UTF-8");
    assert!(output.is_empty() || output.ends_with("\r\n"));
    for line in output.split_terminator("\r\n") {
        assert!(line.len() <= 510 && !line.chars().any(char::is_control), "{line:?}");
        assert!(line.bytes().take(3).all(|b| b.is_ascii_digit()) && line.len() > 3, "{line:?}");
    }
    assert!(seen.mails.iter().all(|(raw, mailboxes)| raw.len() <= LIMIT && !mailboxes.is_empty()));
    let told = output.split("\r\n").filter(|line| line.starts_with("250 2.0.0 recorded")).count();
    assert_eq!(told, seen.mails.len());
}

static CODECS: LazyLock<Vec<Codec>> = LazyLock::new(|| {
    let codec = |pattern: &str, short: Option<&str>, signed: bool| {
        let spec = Spec {
            pattern: Pattern::parse(pattern).unwrap(),
            short: short.map(|short| Pattern::parse(short).unwrap()),
            private: false,
            secrets: if signed { vec![b"correct horse battery staple".to_vec()] } else { Vec::new() },
            hash_key: Some(b"another horse battery staple".to_vec()),
            domains: vec!["returns.test".into()],
            max_age_days: 60,
            require_signature: signed,
        };
        Codec::new(spec).unwrap()
    };
    vec![
        codec("b+{campaign}+{sig}+{local}={domain}", Some("h+{campaign}+{sig}+{hash}"), true),
        codec("b+{campaign}+{local}={domain}", None, false),
        codec("i-{id}-{sig}", None, true),
    ]
});

/// A local part, an address and a campaign, parted by line ends: nothing forged is taken for signed, what is made reads back.
pub fn verp(data: &[u8]) {
    const TODAY: i32 = 20_000;
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let (local, address, campaign) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default(), lines.next());
    for codec in CODECS.iter() {
        let decoded = codec.decode(local, "returns.test", TODAY);
        assert!(decoded.is_err() || local.len() <= 255);
        let _ = codec.find(&text, TODAY);
        let made = codec.encode(address, campaign, None, TODAY).or_else(|_| codec.encode(address, campaign, Some(local), TODAY));
        let Ok(made) = made else { continue };
        let (made_local, domain) = made.rsplit_once('@').expect("an address");
        assert!(made_local.len() <= 64 && domain == "returns.test", "{made}");
        // Relays change case.
        for spelt in [made_local.to_owned(), made_local.to_uppercase()] {
            let read = codec.decode(&spelt, domain, TODAY).expect("what is made reads back");
            assert!(
                !read.expired && read.campaign.as_deref() == campaign.map(str::to_lowercase).filter(|c| c != "-").as_deref(),
                "{made} {read:?}"
            );
            match (read.form, &read.payload) {
                (Form::Long, Payload::Address(named)) => assert_eq!(Some(named), bounced::address::normal(address).as_ref()),
                (Form::Short, Payload::Hash(key)) => {
                    let normal = bounced::address::normal(address).expect("encoded");
                    assert_eq!(*key, codec.key_of_address(&normal));
                }
                (_, Payload::Id(id)) => assert_eq!(*id, local.to_lowercase()),
                other => panic!("{other:?}"),
            }
        }
    }
}
