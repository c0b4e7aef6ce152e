//! A provider that says "unknown user" to everyone must not cost a list its people.

use serde_json::json;

use crate::support::{
    await_mail, await_some,
    client::Client,
    daemon::{Daemon, Setup},
    deeds::{Why, text},
    http_catcher::HttpCatcher,
    mail_catcher::MailCatcher,
};

struct World {
    daemon: Daemon,
    mails: MailCatcher,
    http: HttpCatcher,
}

/// More than ten hard bounces in an hour are a surge; what each first one does is nearly all that can wait.
fn world(more: &str) -> World {
    let (mails, http) = (MailCatcher::start(), HttpCatcher::start());
    let daemon = Setup::new(&mails.url())
        .with(&format!(
            r#"
            [guard]
            hard_bounces_per_domain = "10 per hour"
            [[trigger]]
            name = "gone"
            when = "hard-bounce"
            count = "exactly 1"
            do = [
              {{ tag = "gone" }}, {{ set = {{ optout = true }} }}, {{ suppress = true }}, {{ start = "follow" }}, {{ report = "people" }},
              {{ post = {{ url = "{}", form = {{ email = "{{{{ address }}}}" }} }} }},
              {{ mail = {{ to = "watch@example.com", template = "t", digest = "1 hour" }} }},
              {{ task = {{ title = "See {{{{ address }}}}" }} }},
            ]
            [[trigger]]
            name = "full"
            when = "soft-bounce-mailbox-full"
            count = "exactly 1"
            do = [{{ tag = "full" }}]
            [templates]
            t = {{ subject = "s", body = "b" }}
            [[sequence]]
            name = "follow"
            [[sequence.step]]
            name = "later"
            after = "1 month"
            do = [{{ tag = "later" }}]
            [[report]]
            name = "people"
            to = ["assistant@example.com"]
            subject = "people"
            "#,
            http.url("/")
        ))
        .with(more)
        .start();
    World { daemon, mails, http }
}

fn surge(daemon: &Daemon, domain: &str, numbers: std::ops::Range<u64>) {
    let mut client = Client::connect(daemon.smtp());
    for number in numbers {
        let address = format!("u{number}@{domain}");
        let rcpt = daemon.verp(&address, None);
        client.bounce(&rcpt, &Why::Hard.of(number, &rcpt, &address).postfix());
    }
}

#[test]
fn a_surge_waits_and_the_operator_hears_of_it() {
    let World { mut daemon, mails, http } = world("");
    surge(&daemon, "big.test", 0..13);
    let guarded = daemon.rows(&["guard", "list"]);
    assert_eq!(guarded.len(), 1);
    for (key, value) in [("domain", json!("big.test")), ("hard_bounces", json!(11)), ("waiting", json!(3)), ("state", json!("guarded"))] {
        assert_eq!(guarded[0][key], value, "{guarded:?}");
    }
    let (before, waits) = (daemon.show("u9@big.test"), daemon.show("u12@big.test"));
    assert_eq!((&before["tags"], &before["suppressed"], &before["guarded"]), (&json!(["gone"]), &json!(true), &json!("big.test")));
    assert_eq!(waits["counts"], json!({"hard-bounce": 1}), "counting goes on");
    assert_eq!(
        (&waits["tags"], &waits["fields"], &waits["suppressed"], &waits["sequences"]),
        (&json!([]), &json!({}), &json!(false), &json!([]))
    );
    assert_eq!(waits["fired"][0]["trigger"], "gone");
    assert!(daemon.text(&["show", "u12@big.test"]).contains("big.test is guarded"));
    assert_eq!(daemon.rows(&["report", "list"])[0]["people"], 10);
    assert_eq!(daemon.rows(&["tasks"]).len(), 13, "tasks are for people, and don't wait");
    // Other statuses and other domains go on.
    daemon.bounces(100, "u12@big.test", Why::Full);
    assert_eq!(daemon.tags("u12@big.test"), ["full"]);
    surge(&daemon, "small.test", 200..201);
    assert_eq!(daemon.tags("u200@small.test"), ["gone"]);

    let alert = await_mail(&mails, |mail| mail.to == ["ops@example.com"]);
    assert!(alert.header("subject").unwrap().ends_with("big.test is guarded: its hard bounces surge"), "{:?}", alert.header("subject"));
    for words in ["11 hard bounces of big.test", "bounced guard release big.test\n", "bounced guard drop big.test\n", "bounced guard list"]
    {
        assert!(text(&alert).contains(words), "{words} in {}", text(&alert));
    }
    assert_eq!(mails.mails().iter().filter(|mail| mail.to == ["ops@example.com"]).count(), 1, "told once");
    http.wait(11, crate::support::PATIENCE);
    let digest = crate::people::digest(&mut daemon, &mails);
    assert!(digest.0.contains("1 domains guarded"), "{}", digest.0);
    assert!(digest.1.contains("  big.test, since ") && digest.1.contains(": 11 hard bounces, 3 firings wait\n"), "{}", digest.1);
    assert_eq!(http.asked().len(), 11, "over a restart, too");
}

/// Who releases means it: all that waited is done, once, and the next of the same bounces doesn't wait again.
#[test]
fn released() {
    let World { daemon, http, .. } = world("");
    surge(&daemon, "big.test", 0..13);
    assert!(daemon.complaint(&["guard", "release", "small.test"]).contains("not guarded"));
    let row = daemon.rows(&["guard", "release", "Big.Test"]).remove(0);
    assert_eq!(row, json!({"domain": "big.test", "waiting": 3, "released": true}));
    await_some("the end of the guard", || daemon.rows(&["guard", "list"]).is_empty().then_some(()));
    let show = daemon.show("u12@big.test");
    assert_eq!((&show["tags"], &show["suppressed"], &show["sequences"][0]["name"]), (&json!(["gone"]), &json!(true), &json!("follow")));
    assert_eq!(daemon.rows(&["report", "list"])[0]["people"], 13);
    http.wait(13, crate::support::PATIENCE);
    surge(&daemon, "big.test", 13..20);
    assert_eq!(daemon.rows(&["guard", "list"]), [json!(null); 0]);
    assert_eq!(daemon.tags("u13@big.test"), ["gone"], "the very next one");
    assert_eq!(daemon.tags("u19@big.test"), ["gone"]);
    assert!(daemon.complaint(&["guard", "drop", "big.test"]).contains("not guarded"));
    assert!(daemon.complaint(&["guard", "release", "big.test"]).contains("not guarded"));
    http.wait(20, crate::support::PATIENCE);
    assert!(daemon.await_idle().is_empty());
    assert_eq!(http.asked().len(), 20);
}

#[test]
fn dropped() {
    let World { mut daemon, http, .. } = world("");
    surge(&daemon, "big.test", 0..13);
    daemon.stop();
    // With no daemon the decision is kept, and carried out at the next start.
    assert_eq!(daemon.rows(&["guard", "drop", "big.test"])[0]["released"], false);
    daemon.start();
    await_some("the end of the guard", || daemon.rows(&["guard", "list"]).is_empty().then_some(()));
    let show = daemon.show("u12@big.test");
    assert_eq!((&show["counts"], &show["fired"], &show["tags"]), (&json!({}), &json!([]), &json!([])), "{show}");
    assert_eq!(daemon.tags("u9@big.test"), ["gone"], "what was done before stays");
    http.wait(10, crate::support::PATIENCE);
    // It goes on: guarded anew.
    surge(&daemon, "big.test", 20..22);
    assert_eq!(daemon.rows(&["guard", "list"])[0]["waiting"], 2);
    assert_eq!(http.asked().len(), 10);
}

#[test]
fn released_by_itself() {
    let World { daemon, .. } = world("[guard]\nrelease_after = \"2 seconds\"");
    surge(&daemon, "big.test", 0..12);
    await_some("its release", || (daemon.tags("u11@big.test") == ["gone"]).then_some(()));
    await_some("the end of the guard", || daemon.rows(&["guard", "list"]).is_empty().then_some(()));
}
