//! Mails by SMTP into a server that isn't ours, and into files.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

use bounced::{
    action::{Dispatcher, OwnSender, Postman, RawLoader, Task, transport::Transport},
    config::{EnvelopeFrom, Mail, Relay, Security},
    outbox::{Blame, Outcome},
};

#[path = "support/jobs.rs"]
mod jobs;
#[path = "support/mail_catcher.rs"]
mod mail_catcher;
#[path = "support/tls.rs"]
mod tls;

use jobs::{job, mail_task};
use mail_catcher::MailCatcher;

fn smtp(host: &str, port: u16, security: Security) -> Mail {
    Mail {
        relay: Relay::Smtp { host: host.to_owned(), port, security },
        from: "Bounce daemon <bounced@example.com>".to_owned(),
        envelope_from: EnvelopeFrom::Own,
        username: None,
        password_file: None,
    }
}

fn own_sender() -> OwnSender {
    Arc::new(|job| format!("own+{job}@returns.example.com"))
}

fn no_raw() -> RawLoader {
    Arc::new(|_| Ok(None))
}

fn dispatcher(mail: &Mail) -> Dispatcher {
    Dispatcher::new(Some(mail), "mx.returns.example.com", own_sender(), no_raw()).unwrap()
}

fn error(outcome: Outcome) -> String {
    match outcome {
        Outcome::Done => panic!("it went out"),
        Outcome::Later { error, .. } => format!("later: {error}"),
        Outcome::Dead { error } => format!("dead: {error}"),
    }
}

#[tokio::test]
async fn a_notification_arrives_and_a_retry_is_the_same_mail() {
    let catcher = MailCatcher::start();
    let dispatcher = dispatcher(&smtp("127.0.0.1", catcher.port(), Security::None));
    let job = job(Task::Mail(mail_task("Ops <ops@example.com>")));
    catcher.refuse_data(451, "4.3.0 try again");
    let first = error(dispatcher.dispatch(&job).await);
    assert!(first.starts_with("later: 127.0.0.1:") && first.ends_with(": 451 4.3.0 try again"), "{first}");
    assert_eq!(dispatcher.dispatch(&job).await, Outcome::Done);
    assert_eq!(dispatcher.dispatch(&job).await, Outcome::Done);
    let mails = catcher.mails();
    assert_eq!(mails.len(), 2);
    for mail in &mails {
        assert_eq!(
            (mail.from.as_str(), mail.to.as_slice()),
            ("own+0000002a-7-00000001-2@returns.example.com", &["ops@example.com".to_owned()][..])
        );
        assert_eq!(mail.header("Message-ID").as_deref(), Some("<0000002a-7-00000001-2@mx.returns.example.com>"));
        assert_eq!(mail.header("Auto-Submitted").as_deref(), Some("auto-generated"));
        assert_eq!(mail.header("Subject").as_deref(), Some("alice@example.org bounced 3 times"));
        assert_eq!(mail.header("X-Bounced-Job").as_deref(), Some("0000002a-7-00000001-2"));
        assert!(mail.text().contains("\r\n.\r\n550 5.1.1 <alice@example.org>: user unknown\r\n"), "{}", mail.text());
    }
    assert_eq!(mails[0].header("Date"), mails[1].header("Date"));
    assert_eq!(catcher.sessions(), 3, "a fresh connection each time");
}

#[tokio::test]
async fn hostile_facts_stay_inside_their_field() {
    let catcher = MailCatcher::start();
    let mut job = job(Task::Mail(mail_task("ops@example.com")));
    let hostile = "x\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script>\r\n.\r\nMAIL FROM:<y@example.org>\r\n";
    job.facts.event.verdict.diagnostic = Some(hostile.to_owned());
    if let Task::Mail(task) = &mut job.task {
        task.template.subject = "{{ diagnostic }}".to_owned();
        task.template.html = Some("<p>{{ diagnostic }}</p>".to_owned());
    }
    assert_eq!(dispatcher(&smtp("127.0.0.1", catcher.port(), Security::None)).dispatch(&job).await, Outcome::Done);
    let [mail] = &catcher.mails()[..] else { panic!("one mail") };
    assert_eq!((mail.to.len(), mail.header("Bcc")), (1, None));
    let subject = mail.header("Subject").unwrap();
    assert!(subject.starts_with("x Bcc: victim@example.org <script>"), "{subject}");
    let html = mail.text().split("text/html").nth(1).unwrap().replace("=\r\n", "").replace("=3D", "=");
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
}

#[tokio::test]
async fn who_is_to_blame() {
    let catcher = MailCatcher::start();
    let one = job(Task::Mail(mail_task("ops@example.com")));
    let relay = dispatcher(&smtp("127.0.0.1", catcher.port(), Security::None));
    catcher.refuse_rcpt(450, "4.2.1 greylisted");
    let put_off = relay.dispatch(&one).await;
    assert!(matches!(&put_off, Outcome::Later { blame: Blame::Job, .. }), "{put_off:?}");
    let nobody = dispatcher(&smtp("127.0.0.1", 9, Security::None)).dispatch(&one).await;
    assert!(matches!(&nobody, Outcome::Later { blame: Blame::Target, .. }), "{nobody:?}");
    let no_relay = Dispatcher::new(None, "mx.returns.example.com", own_sender(), no_raw()).unwrap().dispatch(&one).await;
    assert!(matches!(&no_relay, Outcome::Later { blame: Blame::Us, .. }), "{no_relay:?}");
}

#[tokio::test]
async fn what_a_relay_refuses() {
    let catcher = MailCatcher::start();
    let dispatcher = dispatcher(&smtp("127.0.0.1", catcher.port(), Security::None));
    let one = job(Task::Mail(mail_task("ops@example.com")));
    catcher.refuse_rcpt(550, "5.1.1 no such user");
    let text = error(dispatcher.dispatch(&one).await);
    assert!(text.starts_with("dead: ") && text.ends_with("refused for ops@example.com: 550 5.1.1 no such user"), "{text}");
    catcher.refuse_rcpt(450, "4.2.0 greylisted");
    assert!(error(dispatcher.dispatch(&one).await).starts_with("later: "));
    catcher.refuse_data(554, "5.7.1 spam");
    assert!(error(dispatcher.dispatch(&one).await).starts_with("dead: "));
    assert_eq!(catcher.mails().len(), 0);
    // Of two, one is refused: the other has the mail, and the job tells whom it missed.
    let two = job(Task::Mail(mail_task("gone@example.com, ops@example.com")));
    catcher.refuse_rcpt(550, "5.1.1 no such user");
    assert!(error(dispatcher.dispatch(&two).await).contains("refused for gone@example.com: 550"));
    assert_eq!(catcher.mails()[0].to, ["ops@example.com"]);
}

#[tokio::test]
async fn a_dead_or_silent_relay_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let job = job(Task::Mail(mail_task("ops@example.com")));
    let mail = smtp("127.0.0.1", port, Security::None);
    let transport = Transport::new(&mail, "mx.test").with_deadline(Duration::from_millis(300));
    let postman = Postman::new(&mail, "mx.test", own_sender()).with_transport(transport);
    let Task::Mail(task) = &job.task else { unreachable!() };
    let text = error(postman.notify(&job, task).await);
    assert!(text.starts_with("later: ") && text.contains("no answer within"), "{text}");
    drop(listener);
    assert!(error(postman.notify(&job, task).await).starts_with("later: "));
}

/// Takes one mail, and says nothing to QUIT. Returns when the client hangs up.
fn scripted(stream: impl Read + Write) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 x\r\n")?;
    let (mut data, mut line) = (false, String::new());
    while stream.read_line(&mut line)? > 0 {
        let reply: &[u8] = match (line.trim_end(), data) {
            ("DATA", false) => b"354 go\r\n",
            (".", true) => b"250 taken\r\n",
            ("QUIT", false) | (_, true) => b"",
            _ => b"250 ok\r\n",
        };
        data = (data || line.starts_with("DATA")) && line.trim_end() != ".";
        stream.get_mut().write_all(reply)?;
        stream.get_mut().flush()?;
        line.clear();
    }
    Ok(())
}

/// The relay has answered 250 and says nothing more: the mail is out, and sending it again would be wrong.
#[tokio::test]
async fn a_relay_that_hangs_after_250_has_the_mail() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || scripted(listener.accept().unwrap().0));
    let outcome = dispatcher(&smtp("127.0.0.1", port, Security::None)).dispatch(&job(Task::Mail(mail_task("ops@example.com")))).await;
    assert_eq!(outcome, Outcome::Done);
    // The runtime must go on for the connection to be closed.
    tokio::task::spawn_blocking(|| server.join()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_person_is_written_to_only_for_signed_events() {
    let catcher = MailCatcher::start();
    let dispatcher = dispatcher(&smtp("127.0.0.1", catcher.port(), Security::None));
    let mut job = job(Task::Mail(mail_task("{{ address }}")));
    assert_eq!(dispatcher.dispatch(&job).await, Outcome::Done);
    assert_eq!(catcher.mails()[0].to, ["alice@example.org"]);
    job.facts.event.origin.signed = false;
    assert!(error(dispatcher.dispatch(&job).await).starts_with("dead: "));
    job.facts.event.origin.signed = true;
    job.facts.event.verdict.address = None;
    assert!(error(dispatcher.dispatch(&job).await).starts_with("dead: "));
    assert_eq!(catcher.mails().len(), 1);
}

#[tokio::test]
async fn mail_for_postmaster_is_passed_on_whole() {
    let catcher = MailCatcher::start();
    let raw = "From: p@example.org\nSubject: help\n\nGrüße\n.\n".as_bytes().to_vec();
    let kept = raw.clone();
    let loader: RawLoader = Arc::new(move |_| Ok(Some(kept.clone())));
    let mail = smtp("127.0.0.1", catcher.port(), Security::None);
    let dispatcher = Dispatcher::new(Some(&mail), "mx.test", own_sender(), loader).unwrap();
    let mut forward = job(Task::Forward { to: "ops@example.com".to_owned() });
    forward.facts.event.origin.rcpt = "postmaster@returns.example.com".to_owned();
    forward.facts.event.origin.subject = Some("help\r\nX-Evil: 1".to_owned());
    assert_eq!(dispatcher.dispatch(&forward).await, Outcome::Done);
    let mails = catcher.mails();
    let text = mails[0].text();
    assert_eq!(mails[0].header("Subject").as_deref(), Some("Fwd to postmaster@returns.example.com: help X-Evil: 1"));
    assert_eq!(mails[0].header("From").as_deref(), Some("\"Bounce daemon\" <bounced@example.com>"));
    assert_eq!(mails[0].header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert!(text.contains("Content-Type: message/rfc822") && text.contains("Subject: help\r\n\r\nGrüße\r\n.\r\n"), "{text}");
    let gone = Dispatcher::new(Some(&mail), "mx.test", own_sender(), no_raw()).unwrap();
    assert!(error(gone.dispatch(&forward).await).starts_with("dead: "));
}

#[tokio::test]
async fn mails_become_files_that_any_client_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("not/there/yet");
    let mail = Mail { relay: Relay::File(mails.clone()), ..smtp("unused", 1, Security::None) };
    let dispatcher = dispatcher(&mail);
    let job = job(Task::Mail(mail_task("ops@example.com")));
    assert_eq!(dispatcher.dispatch(&job).await, Outcome::Done);
    assert_eq!(dispatcher.dispatch(&job).await, Outcome::Done);
    let files: Vec<_> = fs::read_dir(&mails).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    assert_eq!(files, [mails.join("0000002a-7-00000001-2.eml")], "a second attempt replaces the first");
    let text = fs::read_to_string(&files[0]).unwrap();
    assert!(text.contains("Subject: alice@example.org bounced 3 times\r\n") && text.contains("\r\n\r\nIt said:"), "{text}");
    fs::remove_dir_all(&mails).unwrap();
    fs::write(&mails, "a file is in the way").unwrap();
    assert!(error(dispatcher.dispatch(&job).await).starts_with("later: can't write"));
}

#[tokio::test]
async fn without_a_relay_mails_wait() {
    let dispatcher = Dispatcher::new(None, "mx.test", own_sender(), no_raw()).unwrap();
    assert!(error(dispatcher.dispatch(&job(Task::Mail(mail_task("ops@example.com")))).await).contains("[mail]"));
}

/// Run by the next test in a process of its own: the system's root certificates come from the environment.
#[tokio::test]
#[ignore = "needs the environment that starttls_and_login makes"]
async fn starttls_and_login_inner() {
    let folder = tls::folder();
    let password_file = folder.join("password");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let catcher = MailCatcher::start_with_tls(&cert, &key, Some(("bounced", "s3cret word")));
    let job = job(Task::Mail(mail_task("ops@example.com")));
    let mail = Mail {
        username: Some("bounced".to_owned()),
        password_file: Some(password_file.clone()),
        ..smtp("localhost", catcher.port(), Security::StartTls)
    };
    let dispatcher = dispatcher(&mail);
    assert!(error(dispatcher.dispatch(&job).await).contains("password can't be read"));
    fs::write(&password_file, "wrong\n").unwrap();
    let text = error(dispatcher.dispatch(&job).await);
    assert!(text.starts_with("later: ") && text.contains("535"), "a login can be mended: {text}");
    fs::write(&password_file, "s3cret word\n").unwrap();
    assert_eq!(dispatcher.dispatch(&job).await, Outcome::Done);
    assert_eq!(catcher.mails()[0].user.as_deref(), Some("bounced"));
    // The certificate is localhost's: by its number the server is a stranger.
    let stranger = Mail { relay: smtp("127.0.0.1", catcher.port(), Security::StartTls).relay, ..mail };
    assert!(error(self::dispatcher(&stranger).dispatch(&job).await).starts_with("later: "));
    // A relay without STARTTLS never sees the mail in the clear.
    let plain = MailCatcher::start();
    assert!(error(self::dispatcher(&smtp("localhost", plain.port(), Security::StartTls)).dispatch(&job).await).contains("STARTTLS"));
    assert_eq!((catcher.mails().len(), plain.mails().len()), (1, 0));
}

#[test]
fn starttls_and_login() {
    tls::trusting("starttls_and_login_inner");
}

/// Run by the next test in a process of its own.
#[tokio::test]
#[ignore = "needs the environment that smtps makes"]
async fn smtps_inner() {
    let port = tls::serve(&tls::folder(), |stream| {
        // What a server says after a client has hung up is lost.
        let _ = scripted(stream);
    });
    let job = job(Task::Mail(mail_task("ops@example.com")));
    assert_eq!(dispatcher(&smtp("localhost", port, Security::Tls)).dispatch(&job).await, Outcome::Done);
    let text = error(dispatcher(&smtp("127.0.0.1", port, Security::Tls)).dispatch(&job).await);
    assert!(text.starts_with("later: ") && text.contains("certificate"), "{text}");
}

#[test]
fn smtps() {
    tls::trusting("smtps_inner");
}
