//! A returned mail once more: the original or a given one, with a return address of its own, for those who are known for sure.

use std::fs;

use bounced::config::Config;
use serde_json::json;

use crate::support::{
    PATIENCE, await_mail, await_some,
    client::Client,
    daemon::{Daemon, Setup},
    deeds::{Why, text},
    mail_catcher::{Caught, MailCatcher},
    mails::Bounce,
};

fn resending(catcher: &MailCatcher, message: &str, more: &str) -> Daemon {
    Setup::new(&catcher.url())
        .with(&format!(
            r#"
            [[trigger]]
            name = "full"
            when = "soft-bounce-mailbox-full"
            count = "exactly 1"
            do = [{{ resend = {{ after = "1 second", attempts = 2, message = "{message}" }} }}]
            "#
        ))
        .with(more)
        .start()
}

fn to_alice(mail: &Caught) -> bool {
    mail.to == ["alice@example.org"]
}

#[test]
fn the_original_again_until_it_bounces_no_more() {
    let catcher = MailCatcher::start();
    let daemon = resending(&catcher, "original", "");
    daemon.bounces_in(1, "alice@example.org", Why::Full, Some("spring"));
    let mail = await_mail(&catcher, to_alice);
    assert_eq!(mail.header("subject").unwrap(), "The letter of November");
    assert_eq!(mail.header("message-id").unwrap(), "<letter.1@example.com>");
    assert_eq!((mail.header("return-path"), mail.header("received")), (None, None));
    assert!(text(&mail).contains("Line 23 of the letter 1"), "whole");
    // A fresh return address of the same person and campaign.
    let decoded = daemon.rows(&["verp", "decode", &mail.from]).remove(0);
    assert_eq!((&decoded["address"], &decoded["campaign"]), (&json!("alice@example.org"), &json!("spring")), "{decoded}");

    // It comes back for the same reason: a second time, and then no more.
    let again = |serial: u64, mail: &Caught, why: Why| {
        Client::connect(daemon.smtp()).bounce(&mail.from, &why.of(serial, &mail.from, "alice@example.org").postfix());
    };
    again(2, &mail, Why::Full);
    let second = catcher.wait(2, PATIENCE)[1].clone();
    assert!(to_alice(&second));
    again(3, &second, Why::Full);
    assert!(daemon.await_idle().is_empty());
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"soft-bounce-mailbox-full": 3}));
    // Nothing is due: a third attempt would have been set by now.
    daemon.bounces(4, "bob@example.org", Why::Full);
    await_mail(&catcher, |mail| mail.to == ["bob@example.org"]);
    assert_eq!(catcher.mails().iter().filter(|mail| to_alice(mail)).count(), 2);
}

#[test]
fn another_reason_ends_it() {
    let catcher = MailCatcher::start();
    let daemon = resending(&catcher, "original", "");
    daemon.bounces(1, "alice@example.org", Why::Full);
    daemon.bounces(2, "alice@example.org", Why::Hard);
    daemon.bounces(3, "bob@example.org", Why::Full);
    await_mail(&catcher, |mail| mail.to == ["bob@example.org"]);
    assert!(!catcher.mails().iter().any(to_alice));
}

#[test]
fn a_given_mail_with_values() {
    let catcher = MailCatcher::start();
    let setup = Setup::new("smtp://127.0.0.1:9");
    let file = setup.dir.path().join("again.eml");
    fs::write(&file, "From: News <news@example.com>\nSubject: We missed you, {{ local }}\n\nHello {{ address }},\n{{ diagnostic }}\n")
        .unwrap();
    let daemon = resending(&catcher, &file.display().to_string(), "");
    daemon.bounces(1, "alice@example.org", Why::Full);
    let mail = await_mail(&catcher, to_alice);
    for (name, value) in [
        ("subject", "We missed you, alice"),
        ("to", "alice@example.org"),
        ("auto-submitted", "auto-generated"),
        ("from", "News <news@example.com>"),
    ] {
        assert_eq!(mail.header(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(text(&mail).trim(), "Hello alice@example.org,\n552 5.2.2 Over quota: mailbox is full");
    assert_eq!(daemon.rows(&["verp", "decode", &mail.from])[0]["address"], "alice@example.org");
}

/// Where the bounce holds only the header somebody has to do it who has the mail.
#[test]
fn what_is_not_whole_becomes_a_task() {
    let catcher = MailCatcher::start();
    let daemon = resending(&catcher, "original", "");
    let rcpt = daemon.verp("alice@example.org", None);
    let whole = String::from_utf8(Bounce::mailbox_full(1, &rcpt, "alice@example.org").postfix()).unwrap();
    let (head, rest) = whole.split_once("Content-Description: Undelivered Message\r\nContent-Type: message/rfc822").unwrap();
    let (header, _) = rest.split_once("Line 0 of the letter").unwrap();
    let boundary = head.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let cut = format!(
        "{head}Content-Description: Undelivered Message Headers\r\nContent-Type: text/rfc822-headers{header}\r\n--{boundary}--\r\n"
    );
    Client::connect(daemon.smtp()).bounce(&rcpt, cut.as_bytes());
    let task = await_some("a task", || daemon.rows(&["tasks"]).first().cloned());
    assert_eq!(task["address"], "alice@example.org", "{task}");
    assert!(task["title"].as_str().unwrap().contains("alice@example.org"), "{task}");
    assert!(!catcher.mails().iter().any(to_alice));
}

/// Who sent what isn't signed is not known: nobody is written to.
#[test]
fn nothing_for_what_is_not_signed() {
    let catcher = MailCatcher::start();
    let daemon = resending(&catcher, "original", "[verp]\nunsigned_may_fire = [\"soft-bounce-mailbox-full\"]");
    let plain = "bounces@returns.test";
    let mail = String::from_utf8(Bounce::mailbox_full(1, plain, "alice@example.org").postfix()).unwrap();
    Client::connect(daemon.smtp()).bounce(plain, mail.as_bytes());
    daemon.bounces(2, "bob@example.org", Why::Full);
    await_mail(&catcher, |mail| mail.to == ["bob@example.org"]);
    assert!(!catcher.mails().iter().any(to_alice));
    // A signature that is too old fires nothing either.
    let config = Config::load(&daemon.setup.config_path()).unwrap();
    let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    let old = config.verp.codec.encode("carol@example.org", None, None, today - 61).unwrap();
    Client::connect(daemon.smtp()).bounce(&old, &Bounce::mailbox_full(3, &old, "carol@example.org").postfix());
    daemon.bounces(4, "dan@example.org", Why::Full);
    await_mail(&catcher, |mail| mail.to == ["dan@example.org"]);
    assert!(!catcher.mails().iter().any(|mail| mail.to == ["carol@example.org"]));
}
