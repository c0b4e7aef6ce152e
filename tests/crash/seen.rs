//! What came out of a run, and what it must be.

use std::collections::{BTreeMap, BTreeSet};

use mail_parser::{MessageParser, MimeHeaders};
use serde_json::{Value, json};

use crate::{
    PEOPLE, person,
    support::{
        daemon::Daemon,
        http_catcher::{Asked, HttpCatcher},
        mail_catcher::{Caught, MailCatcher},
    },
};

pub struct Outside<'a> {
    pub mail: &'a MailCatcher,
    pub http: &'a HttpCatcher,
}

/// Whom each id told of; the same id always told of the same.
type Told = BTreeMap<String, Vec<String>>;

fn everybody() -> BTreeSet<String> {
    (0..PEOPLE).map(person).collect()
}

fn put(told: &mut Told, id: String, people: Vec<String>) {
    let before = told.entry(id.clone()).or_insert_with(|| people.clone());
    assert_eq!(*before, people, "{id} came twice and not the same");
}

/// In the order in which they stand there.
fn named_in(text: &str) -> Vec<String> {
    let words = text.split(|sign: char| !(sign.is_ascii_alphanumeric() || "@.".contains(sign)));
    let mut people: Vec<String> = Vec::new();
    let everybody = everybody();
    for word in words.map(|word| word.trim_matches('.')).filter(|word| everybody.contains(*word)) {
        if !people.iter().any(|known| known == word) {
            people.push(word.to_owned());
        }
    }
    people
}

fn in_sheet(mail: &Caught) -> Vec<String> {
    let message = MessageParser::default().parse(&mail.data).unwrap();
    let sheet = message.attachments().find(|part| part.attachment_name().is_some_and(|name| name.ends_with(".csv"))).unwrap();
    csv::Reader::from_reader(sheet.contents()).records().map(|row| row.unwrap().get(0).unwrap().to_owned()).collect()
}

impl Outside<'_> {
    fn mails(&self, to: &str) -> Vec<Caught> {
        self.mail.mails().into_iter().filter(|mail| mail.to == [to]).collect()
    }

    fn digests(&self) -> Told {
        let mut told = Told::new();
        for mail in self.mails("first@example.com") {
            let text = MessageParser::default().parse(&mail.data).unwrap().body_text(0).unwrap().into_owned();
            put(&mut told, mail.header("Message-ID").unwrap(), named_in(&format!("{} {text}", mail.header("Subject").unwrap())));
        }
        told
    }

    fn reports(&self) -> Told {
        let mut told = Told::new();
        for mail in self.mails("assistant@example.com") {
            put(&mut told, mail.header("Message-ID").unwrap(), in_sheet(&mail));
        }
        told
    }

    fn posts(&self, path: &str, people: impl Fn(Value) -> Vec<String>) -> Told {
        let mut told = Told::new();
        let here = |asked: &Asked| asked.target == path;
        for asked in self.http.asked().into_iter().filter(here) {
            let id = asked.header("webhook-id").unwrap().to_owned();
            put(&mut told, id, people(serde_json::from_slice(&asked.body).unwrap()));
        }
        told
    }

    fn batches(&self) -> Told {
        self.posts("/batch", |body| body.as_array().unwrap().iter().map(|one| text(one, "address")).collect())
    }

    fn steps(&self) -> Told {
        self.posts("/step", |body| {
            assert_eq!(body["tags"], "begun out", "{body}");
            vec![text(&body, "address")]
        })
    }

    /// Everybody was told of on every way.
    pub fn has_all(&self) -> bool {
        let all = |told: Told| told.into_values().flatten().collect::<BTreeSet<_>>() == everybody();
        all(self.digests()) && all(self.batches()) && all(self.steps()) && all(self.reports())
    }
}

/// Everybody, once, under one id.
fn once(what: &str, told: &Told) {
    let mut all: Vec<&String> = told.values().flatten().collect();
    all.sort();
    assert_eq!(all, everybody().iter().collect::<Vec<_>>(), "{what}: {told:?}");
}

pub fn look(daemon: &Daemon, outside: &Outside<'_>) {
    once("digests", &outside.digests());
    once("batches", &outside.batches());
    once("posts of the first step", &outside.steps());
    once("reports", &outside.reports());

    let events = daemon.events();
    let ids: BTreeSet<String> = events.iter().map(|event| text(event, "message_id")).collect();
    assert_eq!((events.len(), ids.len()), (PEOPLE * 2, PEOPLE * 2), "each mail once");
    for address in everybody() {
        let shown = daemon.show(&address);
        assert_eq!(
            (&shown["counts"], &shown["tags"], &shown["sequences"]),
            (&json!({"hard-bounce": 2}), &json!(["done", "out"]), &json!([])),
            "{shown}"
        );
    }
    let mut titles: Vec<String> = daemon.rows(&["tasks"]).iter().map(|task| text(task, "title")).collect();
    titles.sort();
    let expected = ["first", "second"].iter().flat_map(|step| everybody().into_iter().map(move |who| format!("{step} step of {who}")));
    assert_eq!(titles, expected.collect::<Vec<_>>(), "each step did its work once");
    // All jobs that ever were: of the first step one for each, of digests, batches and reports one for each id that came.
    let jobs = daemon.rows(&["outbox", "list", "--all"]);
    let all = [outside.digests(), outside.batches(), outside.steps(), outside.reports()];
    assert_eq!(jobs.len(), all.iter().map(BTreeMap::len).sum::<usize>(), "{jobs:?}");
    assert!(jobs.iter().all(|job| job["state"] == "done"), "{jobs:?}");
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}")).to_owned()
}
