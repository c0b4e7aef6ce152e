//! The whole journey with a real mail server in the middle: it takes mails with signed return addresses, a scripted server refuses them, its
//! own reports come back to bounced, and bounced's notifications leave through it again.

use std::fs;

use rcgen::CertifiedKey;
use serde_json::json;

use super::{
    await_mail, await_some,
    client::Client,
    daemon::Setup,
    mail_catcher::MailCatcher,
    mta::{Mta, Routes},
    ports,
    refuser::{Fate, Refuser},
};

/// Local part at fail.test, what its server does, and the statuses that come of it.
const CASES: &[(&str, Fate, &[&str])] = &[
    ("nouser", Fate::AtRcpt("550 5.1.1 <recipient>: Recipient address rejected: User unknown in virtual mailbox table"), &["hard-bounce"]),
    ("full", Fate::AtRcpt("552 5.2.2 <recipient>: mailbox is full, user is over quota"), &["soft-bounce-mailbox-full"]),
    ("large", Fate::AtEnd("552 5.3.4 Message size exceeds fixed maximum message size"), &["soft-bounce-message-too-large"]),
    (
        "listed",
        Fate::AtRcpt("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
        &["mail-block-known-spammer"],
    ),
    ("spam", Fate::AtEnd("554 5.7.1 Message content rejected, it looks like spam"), &["mail-block-spam-detected"]),
    ("relay", Fate::AtRcpt("554 5.7.1 <recipient>: Relay access denied"), &["mail-block-relay-denied"]),
    // A warning while it is retried, then the end.
    ("slow", Fate::AtRcpt("451 4.7.1 <recipient>: Greylisted, please try again later"), &["soft-bounce-general", "transient-bounce"]),
];

/// `start` gives `None` where the server isn't installed. `over_tls` is the log line of the server by which a TLS delivery to bounced is known.
pub fn travel<M: Mta>(start: impl Fn(&Routes) -> Option<M>, tls: bool, over_tls: &str) {
    let catcher = MailCatcher::start();
    let mta_address = ports::free();
    let mut setup = Setup::new(&format!("smtp://{mta_address}")).with(
        r#"
        [[trigger]]
        name = "gone"
        when = "hard-bounce"
        count = "exactly 1"
        do = [{ tag = "gone" }, { mail = { to = "ops@example.com", template = "gone" } }]
        [[trigger]]
        name = "full"
        when = "soft-bounce-mailbox-full"
        count = "exactly 1"
        do = [{ mail = { to = "nouser@fail.test", template = "gone" } }]
        [templates]
        gone = { subject = "{{ address }} is {{ status }}", body = "{{ diagnostic }}" }
        "#,
    );
    if tls {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec!["mx.returns.test".to_owned()]).unwrap();
        let path = |name: &str| setup.dir.path().join(name);
        let (cert_path, key_path) = (path("cert.pem"), path("key.pem"));
        fs::write(&cert_path, cert.pem()).unwrap();
        fs::write(&key_path, signing_key.serialize_pem()).unwrap();
        setup.merge(&format!("[smtp]\ntls = {{ cert = \"{}\", key = \"{}\" }}", cert_path.display(), key_path.display()));
    }
    let fates: Vec<_> = CASES.iter().map(|(local, fate, _)| (*local, fate.clone())).collect();
    let refuser = Refuser::start(&fates);
    let routes = Routes {
        mta: mta_address,
        bounced: setup.smtp,
        tls,
        operator: catcher.url().trim_start_matches("smtp://").parse().unwrap(),
        others: refuser.address,
    };
    let Some(mta) = start(&routes) else { return };
    let daemon = setup.start();

    for local in CASES.iter().map(|(local, ..)| *local).chain(["fine"]) {
        let recipient = format!("{local}@fail.test");
        let mail = format!(
            "From: News <news@example.com>\r\nTo: {recipient}\r\nSubject: The letter of November\r\nMessage-ID: <{local}.1@example.com>\r\n\r\nDear reader.\r\n"
        );
        let sender = daemon.verp(&recipient, Some("november"));
        Client::connect(mta_address).try_send(&sender, &[&recipient], mail.as_bytes()).unwrap().expect("250");
    }

    // Each case's reports, and the one about bounced's own mail to nouser@.
    let expected = CASES.iter().map(|(.., statuses)| statuses.len()).sum::<usize>() + 1;
    let events = await_some("the reports", || Some(daemon.events()).filter(|events| events.len() >= expected));
    assert_eq!(events.len(), expected, "{events:#?}");
    for (local, _, statuses) in CASES {
        let address = format!("{local}@fail.test");
        let counts: serde_json::Map<_, _> = statuses.iter().map(|status| ((*status).to_owned(), json!(1))).collect();
        assert_eq!(daemon.show(&address)["counts"], json!(counts), "{address}: {events:#?}");
        let of_it: Vec<_> = events.iter().filter(|event| event["address"] == json!(address) && event["campaign"] == "november").collect();
        assert_eq!(of_it.len(), statuses.len(), "{address}");
        assert!(of_it.iter().all(|event| event["signed"] == true), "{of_it:?}");
        assert!(
            of_it
                .iter()
                .all(|event| event["original_message_id"].as_str().is_some_and(|id| id.contains(&format!("{local}.1@example.com")))),
            "{of_it:?}"
        );
    }
    assert_eq!(daemon.show("fine@fail.test")["counts"], json!({}));
    assert_eq!(*refuser.taken.lock().unwrap(), ["fine@fail.test"]);
    assert_eq!(daemon.count("campaign", "november"), expected as u64 - 1);

    // The notification went out through the server to the operator, once.
    assert_eq!(daemon.show("nouser@fail.test")["tags"], json!(["gone"]));
    let mail = await_mail(&catcher, |mail| mail.text().contains("Subject: nouser@fail.test is hard-bounce"));
    assert!(mail.text().contains("Auto-Submitted: auto-generated") && mail.text().contains("User unknown"), "{}", mail.text());
    assert_eq!(mail.to, ["ops@example.com"]);
    assert!(mail.from.ends_with("@returns.test"), "{}", mail.from);
    // The one to a recipient who is refused came back: known, and nothing came of it.
    let own: Vec<_> = events.iter().filter(|event| event["campaign"].is_null()).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!((&own[0]["fired"], &own[0]["status"]), (&json!([]), &json!("hard-bounce")), "{own:?}");
    assert_eq!(daemon.count("status", "hard-bounce"), 1);

    assert_eq!(mta.log().contains(over_tls), tls, "TLS as asked for:\n{}", mta.log());
}
