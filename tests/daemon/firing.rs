//! Triggers, and what they send.

use std::{collections::BTreeSet, thread};

use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::support::{
    PATIENCE, await_mail, await_request, await_some,
    client::Client,
    daemon::{Daemon, Setup, write_secret},
    http_catcher::{Answer, Asked, HttpCatcher},
    mail_catcher::MailCatcher,
    mails::Bounce,
};

/// `count` bounces of an unknown user, all distinct.
fn bounce(daemon: &Daemon, address: &str, serials: std::ops::Range<u64>) {
    let rcpt = daemon.verp(address, Some("spring"));
    let mut client = Client::connect(daemon.smtp());
    for serial in serials {
        client.bounce(&rcpt, &Bounce::unknown_user(serial, &rcpt, address).postfix());
    }
}

fn form(request: &Asked) -> Vec<(String, String)> {
    // Only what the tests send: no plus, no percent but %40.
    let body = String::from_utf8(request.body.clone()).unwrap().replace("%40", "@");
    body.split('&').map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap()).collect()
}

#[test]
fn exactly_once_by_mail_and_by_signed_post() {
    let (catcher, http) = (MailCatcher::start(), HttpCatcher::start());
    let setup = Setup::new(&catcher.url());
    let key = b"a webhook key of thirty-two bytes";
    let secret = setup.dir.path().join("webhook.secret");
    write_secret(&secret, &format!("whsec_{}", BASE64.encode(key)));
    let daemon = setup
        .with(&format!(
            r#"
            [[trigger]]
            name = "second bounce"
            when = "hard-bounce"
            count = "exactly 2"
            do = [
              {{ tag = "second" }},
              {{ mail = {{ to = "ops@example.com", template = "bounced" }} }},
              {{ post = {{ url = "{}", form = {{ email = "{{{{ address }}}}", optout = "1" }}, secret_file = "{}" }} }},
            ]
            [templates]
            bounced = {{ subject = "{{{{ address }}}} bounced {{{{ count }}}} times", body = "Status {{{{ status }}}}, campaign {{{{ campaign }}}}." }}
            "#,
            http.url("/bounces"),
            secret.display()
        ))
        .start();
    bounce(&daemon, "alice@example.org", 0..1);
    assert_eq!(daemon.rows(&["outbox", "list"]), Vec::<serde_json::Value>::new(), "one bounce is not two");
    bounce(&daemon, "alice@example.org", 1..4);

    let mail = await_mail(&catcher, |_| true);
    let text = mail.text();
    assert_eq!(mail.to, ["ops@example.com"]);
    assert!(mail.from.ends_with("@returns.test"), "an envelope sender of our own: {}", mail.from);
    for line in ["Subject: alice@example.org bounced 2 times", "Auto-Submitted: auto-generated", "Status hard-bounce, campaign spring."] {
        assert!(text.contains(line), "{line} in {text}");
    }

    let post = await_request(&http, |_| true);
    assert_eq!((post.method.as_str(), post.target.as_str()), ("POST", "/bounces"));
    let fields = form(&post);
    assert!(
        fields.contains(&("email".into(), "alice@example.org".into())) && fields.contains(&("optout".into(), "1".into())),
        "{fields:?}"
    );
    let (id, timestamp) = (post.header("webhook-id").unwrap(), post.header("webhook-timestamp").unwrap());
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&post.body);
    let expected = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
    assert_eq!(post.header("webhook-signature"), Some(expected.as_str()));

    let show = daemon.show("alice@example.org");
    assert_eq!((&show["counts"], &show["tags"]), (&json!({"hard-bounce": 4}), &json!(["second"])));
    assert_eq!(show["fired"][0]["trigger"], "second bounce", "{show}");
    let fired: Vec<_> = daemon.events().into_iter().filter(|event| event["fired"] == json!(["second bounce"])).collect();
    assert_eq!(fired.len(), 1);
    // Both jobs are done, and nothing more came out.
    assert!(daemon.await_idle().is_empty());
    assert_eq!((catcher.mails().len(), http.asked().len()), (1, 1));
}

#[test]
fn three_strikes() {
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(
            r#"
            [[trigger]]
            name = "first strike"
            when = "hard-bounce"
            count = "exactly 1"
            do = [{ tag = "first-hard-bounce" }]
            [[trigger]]
            name = "second strike"
            when = "hard-bounce"
            count = "exactly 2"
            do = [{ untag = "first-hard-bounce" }, { tag = "second-hard-bounce" }]
            [[trigger]]
            name = "third strike"
            when = "hard-bounce"
            count = "more than 2"
            do = [{ untag = "second-hard-bounce" }, { tag = "third-strike" }]
            [[trigger]]
            name = "every second soft one"
            when = "soft-bounce-*"
            count = "every 2"
            do = [{ tag = "soft" }]
            "#,
        )
        .start();
    for (strike, tag) in ["first-hard-bounce", "second-hard-bounce", "third-strike", "third-strike"].into_iter().enumerate() {
        bounce(&daemon, "alice@example.org", strike as u64..strike as u64 + 1);
        assert_eq!(daemon.show("alice@example.org")["tags"], json!([tag]), "after strike {}", strike + 1);
    }
    let fired: Vec<_> = daemon.events().into_iter().map(|event| event["fired"].clone()).collect();
    assert_eq!(fired, [json!([]), json!(["third strike"]), json!(["second strike"]), json!(["first strike"])], "newest first");
}

/// The counts of one person cross once, however many sessions bring it over the line.
#[test]
fn one_crossing_from_many_sessions() {
    let http = HttpCatcher::start();
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(&format!(
            r#"
            [[trigger]]
            name = "eighth"
            when = "hard-bounce"
            count = "exactly 8"
            do = [{{ post = {{ url = "{0}", form = {{ email = "{{{{ address }}}}" }} }} }}]
            [[trigger]]
            name = "eight or more"
            when = "hard-bounce"
            count = "at least 8"
            do = [{{ post = {{ url = "{0}", form = {{ email = "{{{{ address }}}}" }} }} }}]
            "#,
            http.url("/")
        ))
        .start();
    let rcpt = daemon.verp("alice@example.org", None);
    thread::scope(|scope| {
        for serial in 0..32 {
            let (rcpt, address) = (&rcpt, daemon.smtp());
            scope.spawn(move || Client::connect(address).bounce(rcpt, &Bounce::unknown_user(serial, rcpt, "alice@example.org").postfix()));
        }
    });
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 32}));
    await_some("both posts", || (http.asked().len() >= 2).then_some(()));
    assert!(daemon.await_idle().is_empty());
    let ids: BTreeSet<_> = http.asked().iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!((http.asked().len(), ids.len()), (2, 2));
}

#[test]
fn own_mail_that_bounces_fires_nothing() {
    let catcher = MailCatcher::start();
    let daemon = Setup::new(&catcher.url())
        .with(
            r#"
            [[trigger]]
            name = "any"
            when = "hard-bounce"
            count = "at least 1"
            per = "all"
            repeat = true
            do = [{ mail = { to = "ops@example.com", template = "t" } }]
            [templates]
            t = { subject = "bounced", body = "{{ address }}" }
            "#,
        )
        .start();
    bounce(&daemon, "alice@example.org", 0..1);
    let own = await_mail(&catcher, |_| true).from;
    Client::connect(daemon.smtp()).bounce(&own, &Bounce::unknown_user(7, &own, "ops@example.com").postfix());
    let events = daemon.events();
    assert_eq!((events.len(), &events[0]["rcpt"], &events[0]["fired"]), (2, &json!(own), &json!([])), "{events:?}");
    assert_eq!(daemon.show("ops@example.com")["counts"], json!({}));
    assert_eq!(daemon.count("status", "hard-bounce"), 1);
    assert_eq!(daemon.rows(&["outbox", "list", "--all"]).len(), 1, "no second mail was made");
}

/// A target that fails is tried again under the same id; one that is gone for good stands as dead, and the operator hears of it.
#[test]
fn failing_and_gone_targets() {
    let (catcher, flaky, gone) = (MailCatcher::start(), HttpCatcher::start(), HttpCatcher::start());
    flaky.answer(Answer::status(503));
    gone.answer(Answer::status(410));
    let daemon = Setup::new(&catcher.url())
        .with(&format!(
            r#"
            [[trigger]]
            name = "both"
            when = "hard-bounce"
            count = "exactly 1"
            do = [{{ post = {{ url = "{}" }} }}, {{ post = {{ url = "{}" }} }}]
            "#,
            flaky.url("/flaky"),
            gone.url("/gone")
        ))
        .start();
    bounce(&daemon, "alice@example.org", 0..1);
    let dead = await_some("a dead job", || daemon.rows(&["outbox", "list"]).into_iter().find(|job| job["state"] == "dead"));
    assert!(dead["last_error"].as_str().unwrap().contains("410"), "{dead}");
    let id = dead["id"].as_str().unwrap();

    let asked = flaky.wait(2, PATIENCE);
    assert_eq!(asked[0].header("webhook-id"), asked[1].header("webhook-id"));
    // Neither form nor json: the event's row.
    let row: serde_json::Value = serde_json::from_slice(&asked[1].body).unwrap();
    assert_eq!((&row["address"], &row["status"]), (&json!("alice@example.org"), &json!("hard-bounce")), "{row}");

    let alert = await_mail(&catcher, |mail| mail.to == ["ops@example.com"]);
    assert!(alert.text().contains("/gone"), "{}", alert.text());

    daemon.text(&["outbox", "retry", id]);
    assert!(daemon.await_idle().is_empty());
    assert_eq!(gone.asked().len(), 2);
}

#[test]
fn a_dropped_job_is_gone() {
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(
            r#"
            [[trigger]]
            name = "one"
            when = "hard-bounce"
            count = "exactly 1"
            do = [{ post = { url = "http://127.0.0.1:9/" } }]
            "#,
        )
        .start();
    bounce(&daemon, "alice@example.org", 0..1);
    let job = await_some("a failed attempt", || daemon.rows(&["outbox", "list"]).into_iter().find(|job| job["last_error"].is_string()));
    assert_eq!(job["kind"], "post", "{job}");
    daemon.text(&["outbox", "drop", job["id"].as_str().unwrap()]);
    assert_eq!(daemon.rows(&["outbox", "list"]).len(), 0);
}
