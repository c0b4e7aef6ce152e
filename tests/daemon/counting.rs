//! 250 means counted once.

use std::thread;

use serde_json::json;

use crate::support::{
    client::Client,
    daemon::Setup,
    mails::{self, Bounce},
};

/// Nothing goes out in these tests.
fn quiet() -> Setup {
    Setup::new("smtp://127.0.0.1:9")
}

#[test]
fn what_got_250_is_in_every_view() {
    let daemon = quiet().start();
    let rcpt = daemon.verp("Alice@Example.org", Some("spring"));
    let bounce = Bounce::unknown_user(1, &rcpt, "alice@example.org");
    Client::connect(daemon.smtp()).bounce(&rcpt, &bounce.postfix());

    let show = daemon.show("alice@example.org");
    assert_eq!(show["address"], "alice@example.org");
    assert_eq!(show["counts"], json!({"hard-bounce": 1}));
    assert!(show["first_seen"].is_string() && show["first_seen"] == show["last_seen"], "{show}");
    for (by, key) in [("status", "hard-bounce"), ("domain", "example.org"), ("campaign", "spring")] {
        assert_eq!(daemon.count(by, key), 1, "by {by}");
    }
    let events = daemon.events();
    assert_eq!(events.len(), 1);
    let event = &events[0];
    for (key, value) in [
        ("address", json!("alice@example.org")),
        ("campaign", json!("spring")),
        ("status", json!("hard-bounce")),
        ("fault", json!("recipient")),
        ("enhanced", json!("5.1.1")),
        ("reply", json!("550")),
        ("remote_mta", json!("mx.example.org")),
        ("rcpt", json!(rcpt)),
        ("client", json!("127.0.0.1")),
        ("signed", json!(true)),
        ("fired", json!([])),
    ] {
        assert_eq!(event[key], value, "{key} in {event}");
    }
    assert!(event["message_id"].as_str().unwrap().contains(&bounce.message_id()), "{event}");
    assert!(event["original_message_id"].as_str().unwrap().contains("letter.1@example.com"), "{event}");
    assert_eq!(daemon.rows(&["events", "--status", "auto-reply"]).len(), 0);
    assert_eq!(daemon.rows(&["events", "--address", "alice@example.org"]).len(), 1);
}

#[test]
fn an_address_nothing_is_known_of() {
    let daemon = quiet().start();
    assert_eq!(daemon.show("nobody@example.org")["counts"], json!({}));
}

#[test]
fn the_same_mail_again_is_counted_once() {
    let mut daemon = quiet().start();
    let rcpt = daemon.verp("bob@example.org", None);
    let mail = Bounce::unknown_user(1, &rcpt, "bob@example.org").postfix();
    let mut client = Client::connect(daemon.smtp());
    client.bounce(&rcpt, &mail);
    client.bounce(&rcpt, &mail);
    // Sent again after a lost 250 it has passed the sender's queue once more.
    let trace = b"Received: from localhost by mx.sender.test (Postfix)\r\n\tid 77; Mon, 23 Nov 2026 05:00:00 +0000\r\n";
    client.bounce(&rcpt, &[trace.as_slice(), &mail].concat());
    assert_eq!(daemon.show("bob@example.org")["counts"], json!({"hard-bounce": 1}));

    daemon.stop();
    daemon.start();
    Client::connect(daemon.smtp()).bounce(&rcpt, &mail);
    assert_eq!(daemon.show("bob@example.org")["counts"], json!({"hard-bounce": 1}), "after a restart too");

    let other = Bounce::unknown_user(2, &rcpt, "bob@example.org").postfix();
    Client::connect(daemon.smtp()).bounce(&rcpt, &other);
    assert_eq!(daemon.show("bob@example.org")["counts"], json!({"hard-bounce": 2}), "another mail is another bounce");
    assert_eq!(daemon.events().len(), 2);
}

#[test]
fn a_mail_with_several_recipients_counts_for_each() {
    let daemon = quiet().start();
    let (ann, ben) = (daemon.verp("ann@example.org", None), daemon.verp("ben@example.org", None));
    let mail = Bounce::unknown_user(1, &ann, "ann@example.org").postfix();
    Client::connect(daemon.smtp()).try_send("", &[&ann, &ben], &mail).unwrap().expect("250 2.");
    for who in ["ann@example.org", "ben@example.org"] {
        assert_eq!(daemon.show(who)["counts"], json!({"hard-bounce": 1}), "{who}");
    }
    assert_eq!(daemon.count("domain", "example.org"), 2);
}

/// A relay may change the case of the whole address, and the envelope is the truth whomever the text names.
#[test]
fn the_envelope_is_the_truth() {
    let daemon = quiet().start();
    let rcpt = daemon.verp("carol@example.org", None).to_uppercase();
    let mail = Bounce::unknown_user(1, &rcpt, "somebody-else@example.com").postfix();
    Client::connect(daemon.smtp()).bounce(&rcpt, &mail);
    assert_eq!(daemon.show("carol@example.org")["counts"], json!({"hard-bounce": 1}));
    assert_eq!(daemon.show("somebody-else@example.com")["counts"], json!({}));
}

/// Where the long form would pass 64 octets the short one stands in; the bounce gives the address that fits the hash.
#[test]
fn the_short_form_finds_its_address() {
    let daemon = quiet().start();
    let person = format!("{}@a-rather-long-domain-name.example.org", "x".repeat(60));
    let rcpt = daemon.verp(&person, Some("spring"));
    assert!(rcpt.split('@').next().unwrap().len() <= 64, "{rcpt}");
    assert!(rcpt.starts_with("h+"), "{rcpt}");
    Client::connect(daemon.smtp()).bounce(&rcpt, &Bounce::unknown_user(1, &rcpt, &person).postfix());
    assert_eq!(daemon.show(&person)["counts"], json!({"hard-bounce": 1}));
    assert_eq!(daemon.events()[0]["address"], json!(person));
}

#[test]
fn statuses_are_told_apart() {
    let daemon = quiet().start();
    let mut client = Client::connect(daemon.smtp());
    let rcpt = daemon.verp("dora@example.org", None);
    let bounces = [
        (Bounce::unknown_user(1, &rcpt, "dora@example.org"), "hard-bounce"),
        (Bounce::mailbox_full(2, &rcpt, "dora@example.org"), "soft-bounce-mailbox-full"),
        (
            Bounce {
                serial: 3,
                action: "delayed",
                status: "4.4.1",
                reply: "451 4.4.1 timed out",
                ..Bounce::unknown_user(3, &rcpt, "dora@example.org")
            },
            "transient-bounce",
        ),
    ];
    for (bounce, _) in &bounces {
        client.bounce(&rcpt, &bounce.postfix());
    }
    let expected = bounces.iter().map(|(_, status)| ((*status).to_owned(), json!(1))).collect::<serde_json::Map<_, _>>();
    assert_eq!(daemon.show("dora@example.org")["counts"], json!(expected));
    assert_eq!(daemon.show("dora@example.org")["suppressed"], json!(false));
}

/// What cannot be parsed is undetermined, and the daemon lives on.
#[test]
fn garbage_is_recorded() {
    let daemon = quiet().start();
    let rcpt = daemon.verp("eve@example.org", None);
    let mut client = Client::connect(daemon.smtp());
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(40_000);
    let mails: [&[u8]; 4] =
        [b"\r\n", &[0xff, 0x00, 0xfe, b'\r', b'\n'], b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n--\r\n", deep.as_bytes()];
    for mail in mails {
        client.bounce(&rcpt, mail);
    }
    assert_eq!(daemon.events().len(), mails.len());
    assert_eq!(daemon.count("status", "undetermined"), mails.len() as u64);
}

#[test]
fn many_at_once() {
    let daemon = quiet().start();
    let (clients, each) = (16, 8);
    let rcpt = daemon.verp("fred@example.org", None);
    thread::scope(|scope| {
        for client in 0..clients {
            let (rcpt, address) = (&rcpt, daemon.smtp());
            scope.spawn(move || {
                let mut wire = Client::connect(address);
                for mail in 0..each {
                    wire.bounce(rcpt, &Bounce::unknown_user(client * 100 + mail, rcpt, "fred@example.org").postfix());
                }
            });
        }
    });
    assert_eq!(daemon.show("fred@example.org")["counts"], json!({"hard-bounce": clients * each}));
}

#[test]
fn chunks_instead_of_data() {
    let daemon = quiet().start();
    let rcpt = daemon.verp("gil@example.org", None);
    let mail = Bounce::unknown_user(1, &rcpt, "gil@example.org").postfix();
    let (head, tail) = mail.split_at(1000);
    let mut client = Client::connect(daemon.smtp());
    client.command("MAIL FROM:<> BODY=8BITMIME").expect("250 2.");
    client.command(&format!("RCPT TO:<{rcpt}>")).expect("250 2.");
    client.write(&[b"BDAT 1000\r\n", head].concat()).unwrap();
    client.reply().unwrap().expect("250 2.");
    client.write(&[format!("BDAT {} LAST\r\n", tail.len()).as_bytes(), tail].concat()).unwrap();
    client.reply().unwrap().expect("250 2.");
    // The very mail that came by DATA before: the way in makes no difference.
    client.bounce(&rcpt, &mail);
    assert_eq!(daemon.show("gil@example.org")["counts"], json!({"hard-bounce": 1}));
}

#[test]
fn a_mail_that_is_too_large() {
    let daemon = quiet().with("[smtp]\nmax_message_bytes = 70_000").start();
    let rcpt = daemon.verp("hans@example.org", None);
    let mut client = Client::connect(daemon.smtp());
    client.command("MAIL FROM:<> SIZE=70001").expect("552 5.3.4");
    let long = mails::crlf(&format!("Subject: long\n\n{}", "all work and no play\n".repeat(4000)));
    client.try_send("", &[&rcpt], &long).unwrap().expect("552 5.3.4");
    client.bounce(&rcpt, &Bounce::unknown_user(1, &rcpt, "hans@example.org").postfix());
    assert_eq!(daemon.events().len(), 1);
}
