//! Reports, digests, mails sent again: through the dispatcher into a server that isn't ours.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bounced::{
    action::{Dispatcher, RawLoader, ReportTask, ResendMessage, Sources, Task, sample_facts},
    config::{EnvelopeFrom, Mail, Relay, Security},
    ledger::Entry,
    outbox::{Job, JobId, Outcome, Part},
    taxonomy::Status,
};
use jiff::Timestamp;
use mail_parser::{Address, MessageParser, MimeHeaders as _};

#[path = "support/jobs.rs"]
mod jobs;
#[path = "support/mail_catcher.rs"]
mod mail_catcher;

use jobs::{job, mail_task};
use mail_catcher::MailCatcher;

fn dispatcher(catcher: &MailCatcher, raw: Option<Vec<u8>>, people: usize) -> Dispatcher {
    let mail = Mail {
        relay: Relay::Smtp { host: "127.0.0.1".to_owned(), port: catcher.port(), security: Security::None },
        from: "Bounce daemon <bounced@example.com>".to_owned(),
        envelope_from: EnvelopeFrom::Own,
        username: None,
        password_file: None,
    };
    let raw: RawLoader = Arc::new(move |_| Ok(raw.clone()));
    let own = Arc::new(|job: &str| format!("own+{job}@returns.example.com"));
    Dispatcher::new(Some(&mail), "mx.returns.example.com", own, raw).unwrap().with_sources(Sources {
        people: Some(Arc::new(move |report, delivery| {
            if (report, delivery) == ("clean-up", 3) { Ok((0..people).map(entry).collect()) } else { Err("no such delivery".to_owned()) }
        })),
        days: Some(Arc::new(|first, last| {
            assert_eq!(last - first, 55);
            Ok([(last, [(Status::HardBounce, 12)].into())].into())
        })),
        original: Some(Arc::new(bounced::message::returned)),
        verp: Some(Arc::new(|address, campaign| {
            let fresh = format!("b+{}+fresh+{}@returns.example.com", campaign?, address.replace('@', "="));
            Some(fresh).filter(|_| !address.starts_with("nobody"))
        })),
    })
}

fn entry(number: usize) -> Entry {
    let mut facts = sample_facts();
    facts.event.verdict.address = Some(format!("p{number:06}@example.org"));
    Entry { facts, first_seen: Some(Timestamp::UNIX_EPOCH), last_seen: Some(Timestamp::UNIX_EPOCH) }
}

fn report() -> Job {
    let mut job = job(Task::Report(ReportTask {
        name: "clean-up".to_owned(),
        delivery: 3,
        from: Some("Reports <reports@example.com>".to_owned()),
        to: vec!["Assistant <assistant@example.com>".to_owned(), "ops@example.com".to_owned()],
        subject: "{{ people | length }} addresses to clean up".to_owned(),
        body: None,
        html: None,
        fields: vec!["address".to_owned(), "diagnostic".to_owned()],
    }));
    job.created = "2026-11-23T08:00:00Z".parse().unwrap();
    job
}

fn dead(outcome: Outcome) -> String {
    let Outcome::Dead { error } = outcome else { panic!("{outcome:?}") };
    error
}

#[tokio::test]
async fn a_report_is_one_mail_to_all() {
    let catcher = MailCatcher::start();
    let dispatcher = dispatcher(&catcher, None, 1_234);
    let mut job = report();
    assert_eq!(dispatcher.dispatch(&job).await, Outcome::Done);
    let [caught] = &catcher.mails()[..] else { panic!("one mail") };
    assert_eq!(caught.to, ["assistant@example.com", "ops@example.com"]);
    assert_eq!(caught.header("From").as_deref(), Some("Reports <reports@example.com>"));
    assert_eq!(caught.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    let mail = MessageParser::default().parse(&caught.data).unwrap();
    assert_eq!(mail.subject(), Some("1234 addresses to clean up"));
    let (text, html) = (mail.body_text(0).unwrap(), mail.body_html(0).unwrap());
    for body in [&text, &html] {
        assert!(body.contains("p000999@example.org") && !body.contains("p001000@example.org"));
        assert!(body.contains("And 234 more in the attached clean-up.csv"));
    }
    let picture = mail.parts.iter().find(|part| part.content_type().is_some_and(|kind| kind.ctype() == "image")).unwrap();
    assert!(html.contains(&format!("src=\"cid:{}\"", picture.content_id().unwrap())), "{html}");
    assert!(html.contains("alt=\"Bounces per day, 29 Sep 2026 to 23 Nov 2026: 12 hard, 0 soft, 0 blocks;"), "{html}");
    assert!(picture.contents().starts_with(b"\x89PNG"));
    let sheet = mail.attachments().find(|part| part.attachment_name() == Some("clean-up.csv")).unwrap();
    assert!(sheet.contents().starts_with(b"address,diagnostic\r\np000000@example.org,550 5.1.1 <alice@example.org>: user unknown\r\n"));
    assert_eq!(sheet.contents().iter().filter(|byte| **byte == b'\n').count(), 1_235);
    let Task::Report(task) = &mut job.task else { unreachable!() };
    task.delivery = 4;
    assert!(matches!(dispatcher.dispatch(&job).await, Outcome::Later { .. }));
}

#[tokio::test]
async fn a_digest_is_one_mail() {
    let catcher = MailCatcher::start();
    let mut job = job(Task::Mail(mail_task("ops@example.com")));
    job.others = (0..30)
        .map(|number| Part { id: JobId { epoch: 42, event: 8, trigger: 1, place: number }, facts: entry(number.into()).facts })
        .collect();
    job.beyond = 5;
    assert_eq!(dispatcher(&catcher, None, 0).dispatch(&job).await, Outcome::Done);
    let [caught] = &catcher.mails()[..] else { panic!("one mail") };
    assert_eq!(caught.header("X-Bounced-Job").as_deref(), Some("0000002a-7-00000001-2"));
    let mail = MessageParser::default().parse(&caught.data).unwrap();
    assert_eq!(mail.subject(), Some("36 × alice@example.org bounced 3 times, and others"));
    for body in [mail.body_text(0).unwrap(), mail.body_html(0).unwrap()] {
        assert!(body.contains("p000029@example.org") && body.contains("And 5 more") && body.contains("The first 5 in full"), "{body}");
    }
}

const ORIGINAL: &[u8] = "Return-Path: <b+news+old@returns.example.com>\r\nReceived: from a\r\n\tby b\r\nDKIM-Signature: v=1; b=x\r\n\
    From: News <news@example.com>\r\nTo: alice@example.org\r\nBcc: hidden@example.com\r\nSubject: Hello\r\nMessage-ID: <1@example.com>\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n.\r\n..\r\nend\r\n"
    .as_bytes();

fn bounce(kind: &str, original: &[u8]) -> Vec<u8> {
    let head = "From: MAILER-DAEMON@example.org\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nIt did not go.\r\n--b\r\n";
    [head.as_bytes(), format!("Content-Type: {kind}\r\n\r\n").as_bytes(), original, b"\r\n--b--\r\n"].concat()
}

#[tokio::test]
async fn the_original_goes_again_as_it_was() {
    let catcher = MailCatcher::start();
    let raw = bounce("message/rfc822", ORIGINAL);
    let mut job = job(Task::Resend(ResendMessage::Original));
    assert_eq!(dispatcher(&catcher, Some(raw.clone()), 0).dispatch(&job).await, Outcome::Done);
    let [caught] = &catcher.mails()[..] else { panic!("one mail") };
    assert_eq!(
        (caught.from.as_str(), caught.to.as_slice()),
        ("b+news+fresh+alice=example.org@returns.example.com", &["alice@example.org".to_owned()][..])
    );
    assert_eq!(
        caught.text().trim_end(),
        "DKIM-Signature: v=1; b=x\r\nFrom: News <news@example.com>\r\nTo: alice@example.org\r\nSubject: Hello\r\nMessage-ID: <1@example.com>\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n.\r\n..\r\nend"
    );
    for (raw, says) in [
        (None, "isn't kept any more"),
        (Some(bounce("text/rfc822-headers", ORIGINAL)), "does not hold the original whole"),
        (Some(raw[..raw.len() - 20].to_vec()), "does not hold the original whole"),
    ] {
        let error = dead(dispatcher(&catcher, raw, 0).dispatch(&job).await);
        assert!(error.contains(says), "{error}");
    }
    job.facts.event.origin.signed = false;
    assert!(dead(dispatcher(&catcher, Some(raw.clone()), 0).dispatch(&job).await).contains("signed"));
    job.facts.event.origin.signed = true;
    job.facts.event.verdict.address = Some("nobody@example.org".to_owned());
    assert!(dead(dispatcher(&catcher, Some(raw.clone()), 0).dispatch(&job).await).contains("no return address"));
    job.facts.event.verdict.address = None;
    assert!(dead(dispatcher(&catcher, Some(raw), 0).dispatch(&job).await).contains("no address"));
    assert_eq!(catcher.mails().len(), 1);
}

#[tokio::test]
async fn a_given_mail_goes_to_the_person() {
    let catcher = MailCatcher::start();
    let source = "From: News <news@example.com>\nSubject: Grüße, {{ local }}\n\nYour mailbox said:\n{{ diagnostic }}\nGrüße\n";
    let mut job = job(Task::Resend(ResendMessage::Given(source.to_owned())));
    job.facts.event.verdict.diagnostic = Some("full\r\n.\r\nMAIL FROM:<x@example.org>\r\n\u{1b}{{ address }}".to_owned());
    let dispatcher = dispatcher(&catcher, None, 0);
    assert_eq!(dispatcher.dispatch(&job).await, Outcome::Done);
    let [caught] = &catcher.mails()[..] else { panic!("one mail") };
    assert_eq!((caught.from.as_str(), caught.to.len()), ("b+news+fresh+alice=example.org@returns.example.com", 1));
    assert_eq!(caught.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert_eq!(caught.header("Message-ID").as_deref(), Some("<0000002a-7-00000001-2@mx.returns.example.com>"));
    let mail = MessageParser::default().parse(&caught.data).unwrap();
    assert_eq!(mail.subject(), Some("Grüße, alice"));
    assert!(matches!(mail.to(), Some(Address::List(to)) if to[0].address() == Some("alice@example.org")));
    assert!(mail.date().is_some() && mail.message_id().is_some());
    let text = mail.body_text(0).unwrap().replace("\r\n", "\n");
    assert_eq!(text.trim_end(), "Your mailbox said:\nfull\n.\nMAIL FROM:<x@example.org>\n{{ address }}\nGrüße");
    let Task::Resend(message) = &mut job.task else { unreachable!() };
    *message = ResendMessage::Given("Subject: {{ nothing }}\n\nx".to_owned());
    assert!(dead(dispatcher.dispatch(&job).await).contains("Subject"));
}

/// A report over 100,000 people: `cargo test --release --test action_errands -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn a_hundred_thousand_people() {
    let catcher = MailCatcher::start();
    let mut job = report();
    let Task::Report(task) = &mut job.task else { unreachable!() };
    task.fields.clear();
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let before = peak();
    let people = bounced::ledger::Entry::clone(&entry(1));
    println!("one person takes {} B beside its texts", std::mem::size_of_val(&people));
    let start = std::time::Instant::now();
    assert_eq!(dispatcher(&catcher, None, 100_000).dispatch(&job).await, Outcome::Done);
    println!("{:?} in all, the catcher's part included; peak {} MiB, {before} MiB before", start.elapsed(), peak());
    println!("the mail has {} KiB", catcher.mails()[0].data.len() / 1024);
}
