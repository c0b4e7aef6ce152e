//! Mails that people and their software send to the bounce address, in many languages: `tests/telling/people*.txt`. Each automatic reply is told
//! in four dresses: as it stands, with the standard field, with the quoted newsletter below it, and as HTML alone.

#![allow(clippy::unwrap_used)]

use bounced::{
    classify::{Envelope, tell},
    message,
};

struct Person<'a> {
    wanted: [&'a str; 4],
    header: &'a str,
    text: &'a str,
}

fn people(all: &str) -> Vec<Person<'_>> {
    let person = |record| {
        let (wanted, mail) = str::split_once(record, '\n').unwrap();
        let mut fields = wanted.split(" | ").map(str::trim);
        let (header, text) = mail.split_once("\n\n").unwrap_or((mail.trim_end(), ""));
        Person { wanted: std::array::from_fn(|_| fields.next().unwrap()), header, text }
    };
    all.split("\n=== ").skip(1).map(person).collect()
}

fn mail(header: &str, text: &str) -> String {
    let has = |name: &str| header.lines().any(|line| line.starts_with(name));
    let mut mail = String::new();
    for (name, value) in [("From:", "Alice Smith <alice@example.org>"), ("To:", "news@returns.example.com")] {
        if !has(name) {
            mail.push_str(&format!("{name} {value}\n"));
        }
    }
    if !has("Content-Type") {
        mail.push_str("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n");
    }
    format!("{mail}{header}\n\n{text}\n").replace('\n', "\r\n")
}

/// The dresses of a mail.
fn dresses(person: &Person<'_>) -> Vec<(&'static str, String)> {
    let Person { header, text, .. } = person;
    let mut all = vec![("plain", mail(header, text))];
    if header.contains("Content-Type") || !person.wanted[0].starts_with("auto-reply") {
        return all;
    }
    if !header.contains("Auto-Submitted") {
        all.push(("standard field", mail(&format!("{header}\nAuto-Submitted: auto-replied"), text)));
    }
    let quoted = "\n\n-----Original Message-----\nFrom: News\nSent: Monday\nTo: Alice\nSubject: Spring news\n\nUnsubscribe here. 550 5.1.1 user unknown, bob@example.com";
    all.push(("quoting", mail(header, &format!("{text}{quoted}"))));
    let html = format!("<html><body><p>{}</p></body></html>", text.replace('\n', "<br>"));
    all.push(("html", mail(&format!("{header}\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8"), &html)));
    all
}

#[test]
fn people_and_their_software() {
    let people: Vec<Person<'_>> = [
        include_str!("telling/people.txt"),
        include_str!("telling/people_more.txt"),
        include_str!("telling/people_third.txt"),
        include_str!("telling/people_fourth.txt"),
    ]
    .into_iter()
    .flat_map(people)
    .collect();
    assert!(people.len() > 450);
    let (mut wrong, mut of) = (0, 0);
    for person in &people {
        for (dress, mail) in dresses(person) {
            let told = tell(&message::read(mail.as_bytes()), &Envelope::default()).verdicts;
            let one = &told[0];
            let [statuses, address, returns, new_address] = person.wanted;
            let is = |wanted: &str, got: &Option<String>| wanted == "*" || got.as_deref().unwrap_or("-") == wanted;
            let right = told.len() == 1 && statuses.split(", ").any(|status| status == one.status.id()) && is(address, &one.address);
            of += 1;
            if !(right && is(returns, &one.returns) && is(new_address, &one.new_address)) {
                wrong += 1;
                println!(
                    "{dress}: {:?} <- {}\n    {:?}",
                    person.wanted,
                    mail.replace("\r\n", "|"),
                    (one.status.id(), &one.address, &one.returns, &one.new_address, &one.rule, &one.evidence)
                );
            }
        }
    }
    assert_eq!(wrong, 0, "{wrong} of {of}");
}

/// Notices of many makes: each recipient with its own fate, and nobody else.
#[test]
fn notices_with_several_fates() {
    let (mut wrong, mut of) = (0, 0);
    let lists = [
        include_str!("telling/notices.txt"),
        include_str!("telling/notices_more.txt"),
        include_str!("telling/notices_third.txt"),
        include_str!("telling/notices_fourth.txt"),
        include_str!("telling/notices_fifth.txt"),
    ];
    for record in lists.iter().flat_map(|list| list.split("\n=== ").skip(1)) {
        let (wanted, notice) = record.split_once('\n').unwrap();
        let (header, text) = notice.split_once("\n\n").unwrap();
        let mail = mail(header, text);
        let told = tell(&message::read(mail.as_bytes()), &Envelope::default()).verdicts;
        let mut got: Vec<String> = told.iter().map(|one| format!("{} {}", one.address.as_deref().unwrap_or("-"), one.status)).collect();
        let mut wanted: Vec<&str> = wanted.split(", ").collect();
        got.sort();
        wanted.sort_unstable();
        of += 1;
        if got != wanted {
            wrong += 1;
            let rules: Vec<_> = told.iter().map(|one| (&one.rule, &one.evidence)).collect();
            println!("notice: {wanted:?} <- {got:?} {rules:?}\n    {}", text.replace('\n', "|"));
        }
    }
    assert!(of > 30);
    assert_eq!(wrong, 0, "{wrong} of {of}");
}

/// Whole mails, as they come in.
#[test]
fn whole_mails() {
    let (mut wrong, mut of) = (0, 0);
    for record in include_str!("telling/mails.txt").split("\n=== ").skip(1) {
        let (head, mail) = record.split_once('\n').unwrap();
        let (name, wanted) = head.split_once(" | ").unwrap();
        let told = tell(&message::read(mail.replace('\n', "\r\n").as_bytes()), &Envelope::default()).verdicts;
        let mut got: Vec<String> = told.iter().map(|one| format!("{} {}", one.address.as_deref().unwrap_or("-"), one.status)).collect();
        let mut wanted: Vec<&str> = wanted.split(", ").collect();
        got.sort();
        wanted.sort_unstable();
        of += 1;
        if got != wanted {
            wrong += 1;
            let rules: Vec<_> = told.iter().map(|one| (&one.rule, &one.evidence)).collect();
            println!("{name}: {wanted:?} <- {got:?} {rules:?}");
        }
    }
    assert!(of > 100);
    assert_eq!(wrong, 0, "{wrong} of {of}");
}

/// What notices say of one recipient, in many languages.
#[test]
fn sentences_of_many_languages() {
    let (mut wrong, mut of) = (0, 0);
    for line in include_str!("telling/sentences.txt").lines().filter(|line| line.contains(" | ")) {
        let (wanted, sentence) = line.split_once(" | ").unwrap();
        let header = "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nSubject: Mail delivery status";
        let told =
            tell(&message::read(mail(header, &sentence.replace("{}", "alice@example.org")).as_bytes()), &Envelope::default()).verdicts;
        of += 1;
        if !matches!(&*told, [one] if one.status.id() == wanted && one.address.as_deref() == Some("alice@example.org")) {
            wrong += 1;
            println!("{wanted} <- {:?} {sentence}", told.iter().map(|one| (one.status, &one.address, &one.rule)).collect::<Vec<_>>());
        }
    }
    assert!(of > 100);
    assert_eq!(wrong, 0, "{wrong} of {of}");
}
