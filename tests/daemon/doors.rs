//! Who gets in, and as what.

use bounced::config::Config;
use serde_json::json;

use crate::support::{
    await_mail,
    client::Client,
    daemon::{Daemon, Setup},
    mail_catcher::MailCatcher,
    mails::{self, Bounce},
};

const TAGS: &str = r#"
[[trigger]]
name = "any complaint or bounce"
when = "*"
count = "exactly 1"
do = [{ tag = "fired" }]
"#;

fn quiet() -> Daemon {
    Setup::new("smtp://127.0.0.1:9").with(TAGS).start()
}

#[test]
fn refusals_at_rcpt() {
    let daemon = quiet();
    let genuine = daemon.verp("alice@example.org", Some("spring"));
    let forged = genuine.replace("alice", "alicia");
    let other_campaign = genuine.replace("spring", "summer");
    let mut client = Client::connect(daemon.smtp());
    let replies = client.pipeline(&[
        "MAIL FROM:<>",
        "RCPT TO:<alice@example.org>",
        "RCPT TO:<b+alice@example.net>",
        "RCPT TO:<no-such-box@returns.test>",
        &format!("RCPT TO:<{forged}>"),
        &format!("RCPT TO:<{other_campaign}>"),
        "DATA",
    ]);
    for (reply, expected) in replies.iter().zip(["250 2.1.0", "550 5.7.1", "550 5.7.1", "550 5.1.1", "550 5.7.1", "550 5.7.1"]) {
        reply.expect(expected);
    }
    assert!(matches!(replies[6].code, 503 | 554), "{:?}", replies[6]);
    client.command(&format!("RCPT TO:<{genuine}>")).expect("250 2.1.5");
    assert!(daemon.events().is_empty());
}

#[test]
fn an_expired_address_is_recorded_and_fires_nothing() {
    let daemon = quiet();
    let config = Config::load(&daemon.setup.config_path()).unwrap();
    let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    let old = config.verp.codec.encode("alice@example.org", Some("spring"), None, today - 61).unwrap();
    Client::connect(daemon.smtp()).bounce(&old, &Bounce::unknown_user(1, &old, "alice@example.org").postfix());
    let show = daemon.show("alice@example.org");
    assert_eq!((&show["counts"], &show["tags"]), (&json!({}), &json!([])), "{show}");
    let events = daemon.events();
    assert_eq!((events.len(), &events[0]["status"], &events[0]["fired"]), (1, &json!("hard-bounce"), &json!([])));

    // A complaint is never too late.
    Client::connect(daemon.smtp()).bounce(&old, &mails::arf(2, &old, None, "alice@example.org"));
    let show = daemon.show("alice@example.org");
    assert_eq!((&show["counts"], &show["tags"]), (&json!({"spam-complaint": 1}), &json!(["fired"])), "{show}");
}

#[test]
fn a_plain_address_trusts_only_a_signature_inside() {
    let daemon = quiet();
    let (ours, forged) = (daemon.verp("alice@example.org", None), daemon.verp("bob@example.org", None).replace("bob", "rob"));
    let mut client = Client::connect(daemon.smtp());
    client.bounce("fbl@returns.test", &mails::arf(1, "fbl@returns.test", Some(&ours), "alice@example.org"));
    client.bounce("fbl@returns.test", &mails::arf(2, "fbl@returns.test", Some(&forged), "bob@example.org"));
    client.bounce("fbl@returns.test", &mails::arf(3, "fbl@returns.test", None, "carol@example.org"));

    let alice = daemon.show("alice@example.org");
    assert_eq!((&alice["counts"], &alice["tags"]), (&json!({"spam-complaint": 1}), &json!(["fired"])), "{alice}");
    for who in ["bob@example.org", "carol@example.org"] {
        let show = daemon.show(who);
        assert_eq!(show["counts"], json!({}), "{show}");
        assert_eq!(show["unsigned_counts"], json!({"spam-complaint": 1}), "{show}");
        assert_eq!(show["tags"], json!([]), "{show}");
    }
    let signed: Vec<bool> = daemon.events().iter().map(|event| event["signed"].as_bool().unwrap()).collect();
    assert_eq!(signed, [false, false, true], "newest first");
}

/// The returned original's Return-Path is ours: as good as a VERP recipient.
#[test]
fn a_plain_address_trusts_a_signed_return_path() {
    let daemon = quiet();
    let ours = daemon.verp("alice@example.org", None);
    let mail = Bounce::unknown_user(1, &ours, "alice@example.org").postfix();
    Client::connect(daemon.smtp()).bounce("bounces@returns.test", &mail);
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 1}));
}

#[test]
fn postmaster_is_always_taken() {
    let catcher = MailCatcher::start();
    let daemon = Setup::new(&catcher.url()).with(TAGS).start();
    let mut client = Client::connect(daemon.smtp());
    for rcpt in ["postmaster", "Postmaster@returns.test", "abuse@RETURNS.test"] {
        client.command("MAIL FROM:<>").expect("250 2.");
        client.command(&format!("RCPT TO:<{rcpt}>")).expect("250 2.");
        client.command("RSET").expect("250 2.");
    }
    // A report is told as anywhere; nothing of it goes to the person at smtp.postmaster.
    client.bounce("postmaster@returns.test", &Bounce::unknown_user(1, "postmaster@returns.test", "dan@example.org").postfix());
    assert_eq!(daemon.show("dan@example.org")["unsigned_counts"], json!({"hard-bounce": 1}));

    let letter = mails::personal(2, "pat@example.org", "postmaster@returns.test", "Please tell me why\n.you dislike my mail. Grüße");
    client.try_send("pat@example.org", &["postmaster@returns.test"], &letter).unwrap().expect("250 2.");
    let mail = await_mail(&catcher, |mail| mail.to == ["ops@example.com"]);
    assert_eq!(catcher.mails().len(), 1, "the report was not passed on");
    assert_ne!(mail.from, "pat@example.org", "under a reverse-path of our own");
    let text = mail.text();
    let header = text.split("\r\n\r\n").next().unwrap();
    assert!(
        header.contains("From: \"Bounce daemon\" <bounced@example.com>") || header.contains("From: Bounce daemon <bounced@example.com>"),
        "{header}"
    );
    assert!(header.contains("Auto-Submitted: auto-generated"), "{header}");
    assert!(text.contains("message/rfc822") && text.contains("From: Pat Doe <pat@example.org>"), "{text}");
}

#[test]
fn a_loop_is_ended() {
    let daemon = quiet();
    let rcpt = daemon.verp("alice@example.org", None);
    let hop = "Received: from a by b; Mon, 23 Nov 2026 04:41:00 +0000\r\n";
    let body = "Subject: round and round\r\n\r\nx\r\n";
    let mut client = Client::connect(daemon.smtp());
    client.try_send("", &[&rcpt], format!("{}{body}", hop.repeat(26)).as_bytes()).unwrap().expect("554 5.4.6");
    client.try_send("", &[&rcpt], format!("{}{body}", hop.repeat(25)).as_bytes()).unwrap().expect("250 2.");
    assert_eq!(daemon.events().len(), 1);
}
