//! Fulfillment reports: who is in them, when they go out, and what the mail is made of.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::support::{
    PATIENCE, await_some,
    client::Client,
    daemon::{Daemon, Setup},
    deeds::{Why, parts, text},
    mail_catcher::{Caught, MailCatcher},
};

/// Each first hard bounce is collected into the report `people`, which has these lines besides.
fn collecting(catcher: &MailCatcher, lines: &str) -> Setup {
    Setup::new(&catcher.url()).with(&format!(
        r#"
        [[trigger]]
        name = "gone"
        when = "hard-bounce"
        count = "every 1"
        do = [{{ tag = "gone" }}, {{ report = "people" }}]
        [[report]]
        name = "people"
        to = ["assistant@example.com", "Second <second@example.com>"]
        {lines}
        "#
    ))
}

fn report(mails: Vec<Caught>) -> Vec<Caught> {
    mails.into_iter().filter(|mail| mail.to == ["assistant@example.com", "second@example.com"]).collect()
}

/// So many seconds from now, as a time of day.
fn soon(seconds: i64) -> (Timestamp, String) {
    let at = Timestamp::now() + SignedDuration::from_secs(seconds);
    (at, at.strftime("%H:%M:%S").to_string())
}

fn csv(mail: &Caught) -> Vec<Vec<String>> {
    let part = parts(mail).into_iter().find(|part| part.head.to_lowercase().contains("attachment")).unwrap();
    assert_eq!(part.content_type, "text/csv");
    let mut reader = csv_rows(&part.content);
    reader.retain(|row| !row.is_empty());
    reader
}

/// RFC 4180.
fn csv_rows(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn previewed_and_sent_by_hand() {
    let catcher = MailCatcher::start();
    let daemon = collecting(
        &catcher,
        r#"
        from = "Lists <lists@example.com>"
        subject = "{{ people | length }} to clean up"
        body = "Dear all, begin with {{ people[0].address }}."
        fields = ["address", "status_title", "count", "campaign", "tags", "diagnostic"]
        "#,
    )
    .start();
    for (serial, address, campaign) in [
        (1, "+1@example.org", Some("spring")),
        (2, "bob@example.org", None),
        (3, "bob@example.org", None),
        (4, "o\"quote@example.org", None),
    ] {
        // The quoted one can't be spelled by its address: it goes by the short form.
        let address = if address.contains('"') { "\"o,quote\"@example.org" } else { address };
        daemon.bounces_in(serial, address, Why::Hard, campaign);
    }
    assert_eq!(daemon.rows(&["report", "list"])[0]["people"], 3, "each once");
    let preview = daemon.rows(&["report", "preview", "people"]).remove(0);
    assert_eq!(preview["subject"], "3 to clean up");
    let shown = daemon.text(&["report", "preview", "people"]);
    assert!(shown.starts_with("Subject: 3 to clean up\n\nDear all, begin with "), "{shown}");
    assert!(shown.contains("bob@example.org        Hard bounce      2            gone  550 5.1.1"), "{shown}");
    assert!(daemon.text(&["report", "preview", "people", "--html"]).contains("<td align=\"left\" nowrap>Hard bounce</td>"));
    assert_eq!(daemon.rows(&["report", "list"])[0]["people"], 3, "a look changes nothing");

    assert_eq!(daemon.rows(&["report", "send", "people"])[0]["people"], 3);
    let mail = report(catcher.wait(1, PATIENCE)).remove(0);
    assert_eq!(
        (mail.header("subject").unwrap(), mail.header("from").unwrap()),
        ("3 to clean up".into(), "Lists <lists@example.com>".into())
    );
    assert_eq!(mail.header("to").unwrap(), "assistant@example.com, Second <second@example.com>");
    let parts = parts(&mail);
    let kinds: Vec<&str> = parts.iter().map(|part| part.content_type.as_str()).collect();
    assert_eq!(kinds, ["text/plain", "text/html", "image/png", "text/csv"]);
    assert_eq!(
        parts[0].text(),
        preview["text"].as_str().unwrap().replace(&daemon_time(&preview), &daemon_time(&json!({"text": parts[0].text()})))
    );
    let html = parts[1].text();
    let id = parts[2].head.lines().find_map(|line| line.strip_prefix("Content-ID: <")?.strip_suffix('>')).unwrap();
    assert!(html.contains(&format!("src=\"cid:{id}\"")) && html.contains("550 5.1.1 &lt;bob@example.org&gt;"), "{html}");
    assert!(parts[2].head.contains("Content-Disposition: inline") && parts[2].content.starts_with(b"\x89PNG\r\n\x1a\n"));
    let rows = csv(&mail);
    assert_eq!(rows[0], ["address", "status_title", "count", "campaign", "tags", "diagnostic"]);
    let mut people: Vec<&Vec<String>> = rows[1..].iter().collect();
    people.sort();
    assert_eq!(
        people.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(),
        ["\"o,quote\"@example.org", "'+1@example.org", "bob@example.org"]
    );
    assert_eq!(people[1][1..5], ["Hard bounce", "1", "spring", "gone"]);
    assert_eq!((people[2][2].as_str(), people[2][5].contains("<bob@example.org>")), ("2", true));

    // One delivery each: the next begins empty, and nobody's bounce no mail; whoever is collected anew is in the next.
    assert_eq!(daemon.rows(&["report", "list"])[0]["people"], 0);
    daemon.bounces(9, "bob@example.org", Why::Hard);
    assert_eq!(daemon.rows(&["report", "send", "people"])[0]["people"], 1);
    let second = report(catcher.wait(2, PATIENCE)).remove(1);
    assert_eq!(csv(&second)[1][0], "bob@example.org");
    assert!(daemon.complaint(&["report", "send", "peple"]).contains("there is no report 'peple'"));
    assert!(daemon.complaint(&["report", "preview", "peple"]).contains("there is no report 'peple'"));
}

/// The time at which a report was made, in its last line.
fn daemon_time(row: &serde_json::Value) -> String {
    let text = row["text"].as_str().unwrap();
    text.rsplit_once(", ").unwrap().1.to_owned()
}

/// By its own schedule; nobody collected, no mail; an inactive one collects and waits.
#[test]
fn by_its_schedule() {
    let catcher = MailCatcher::start();
    let (at, time) = soon(6);
    let daemon = collecting(&catcher, &format!("at = \"{time}\"\nsubject = \"scheduled\""))
        .with(&format!("[[report]]\nname = \"nobody\"\nto = [\"nobody@example.com\"]\nat = \"{time}\""))
        .with(&format!("[[report]]\nname = \"asleep\"\nactive = false\nto = [\"asleep@example.com\"]\nsubject = \"asleep\"\nat = \"{time}\""))
        .with("[[trigger]]\nname = \"too\"\nwhen = \"hard-bounce\"\ncount = \"exactly 1\"\ndo = [{ report = \"asleep\" }]")
        .with(&format!("[[report]]\nname = \"zeros\"\nto = [\"zeros@example.com\"]\nsubject = \"{{{{ people | length }}}}\"\nsend_empty = true\nat = \"{time}\""))
        .start();
    daemon.bounces(1, "alice@example.org", Why::Hard);
    daemon.bounces(2, "bob@example.org", Why::Hard);
    await_some("both mails", || (catcher.mails().len() >= 2).then_some(()));
    assert!(daemon.await_idle().is_empty());
    let mut to: Vec<_> = catcher.mails().iter().map(|mail| mail.to[0].clone()).collect();
    to.sort();
    assert_eq!(to, ["assistant@example.com", "zeros@example.com"]);
    let mail = report(catcher.mails()).remove(0);
    assert!(mail.at >= std::time::SystemTime::from(at) - std::time::Duration::from_secs(1), "not before its time");
    assert_eq!(csv(&mail).len(), 3);
    let zeros = catcher.mails().into_iter().find(|mail| mail.to == ["zeros@example.com"]).unwrap();
    assert_eq!((zeros.header("subject").unwrap(), csv(&zeros).len()), ("0".to_owned(), 1));
    let rows = daemon.rows(&["report", "list"]);
    let of = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap().clone();
    assert_eq!((&of("asleep")["people"], &of("asleep")["active"], &of("people")["people"]), (&json!(2), &json!(false), &json!(0)));
    let next: Timestamp = of("people")["next"].as_str().unwrap().parse().unwrap();
    assert!((23..25).contains(&next.duration_since(at).as_hours()), "each day: {next}");
    // Sent by hand, active or not; all of them go.
    assert_eq!(daemon.rows(&["report", "send", "asleep"])[0]["people"], 2);
    await_some("the sleeping one", || catcher.mails().iter().any(|mail| mail.to == ["asleep@example.com"]).then_some(()));
}

/// What steps of one instant collect goes out in one mail, also where the daemon was down then.
#[test]
fn by_a_step_of_a_sequence() {
    let catcher = MailCatcher::start();
    let (at, time) = soon(8);
    let mut daemon: Daemon = Setup::new(&catcher.url())
        .with(&format!(
            r#"
            [[trigger]]
            name = "gone"
            when = "hard-bounce"
            count = "exactly 1"
            do = [{{ start = "follow" }}]
            [[sequence]]
            name = "follow"
            [[sequence.step]]
            name = "weekly"
            after = "0 days"
            at = "{time}"
            do = [{{ report = "people" }}]
            [[report]]
            name = "people"
            to = ["assistant@example.com", "second@example.com"]
            "#
        ))
        .start();
    let mut client = Client::connect(daemon.smtp());
    for serial in 0..20 {
        let address = format!("u{serial}@example.org");
        let rcpt = daemon.verp(&address, None);
        client.bounce(&rcpt, &Why::Hard.of(serial, &rcpt, &address).postfix());
    }
    assert_eq!(daemon.rows(&["sequence", "list"])[0]["members"], 20);
    assert_eq!(daemon.rows(&["report", "list"])[0]["people"], 0);
    daemon.kill();
    await_some("its time", || (Timestamp::now() > at + SignedDuration::from_secs(1)).then_some(()));
    daemon.start();
    let mails = report(catcher.wait(1, PATIENCE));
    assert!(daemon.await_idle().is_empty());
    assert_eq!((mails.len(), catcher.mails().len(), csv(&mails[0]).len()), (1, 1, 21), "one mail with all");
    assert!(text(&mails[0]).starts_with("20 addresses were collected for the report \"people\"."), "{}", text(&mails[0]));
    assert_eq!(daemon.rows(&["sequence", "list"])[0]["members"], 0);
    daemon.kill();
    daemon.start();
    assert!(daemon.await_idle().is_empty());
    assert_eq!(catcher.mails().len(), 1, "once");
}
