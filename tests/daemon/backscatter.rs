//! The daemon answers nobody: whatever comes in, mail goes to those whom the configuration names and to persons whose return address we
//! signed, and a mail of our own that comes back begets none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bounced::{config::Config, verp::Codec};
use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;

use crate::operator::get;
use crate::support::{
    PATIENCE, await_some, await_within,
    client::Client,
    daemon::{Daemon, Setup},
    deeds::Why,
    mail_catcher::{Caught, MailCatcher},
    mails::{crlf, personal},
};

const CONFIGURED: [&str; 4] = ["ops@example.com", "task@example.com", "assistant@example.com", "digest@example.com"];

/// Each sort of trigger, and each sort of action that reaches the outside.
fn everything(relay: &str) -> Setup {
    let setup = Setup::new(relay);
    let given = setup.dir.path().join("again.eml");
    fs::write(&given, "From: News <news@example.com>\nSubject: We missed you\n\nHello {{ address }}\n{{ diagnostic }}\n").unwrap();
    let soon = (Timestamp::now() + SignedDuration::from_secs(20)).strftime("%H:%M:%S").to_string();
    setup.with(&format!(
        r#"
        [verp]
        unsigned_may_fire = ["hard-bounce", "soft-bounce-*", "auto-reply", "undetermined", "spam-complaint", "challenge-response"]
        [guard]
        hard_bounces_per_domain = "never"
        [[trigger]]
        name = "each"
        when = "*"
        count = "every 1"
        do = [
          {{ tag = "seen" }}, {{ set = {{ optout = true }} }}, {{ blank = ["email"] }},
          {{ mail = {{ to = "{{{{ address }}}}", template = "person" }} }},
          {{ mail = {{ to = "digest@example.com", template = "t", digest = "1 second" }} }},
          {{ report = "people" }}, {{ start = "after" }},
        ]
        [[trigger]]
        name = "first"
        when = "*"
        count = "exactly 1"
        do = [
          {{ mail = {{ to = ["ops@example.com"], template = "t", at_most = "20 per minute" }} }},
          {{ task = {{ title = "Call {{{{ address }}}}", assignee = "task@example.com", mail = true }} }},
        ]
        [[trigger]]
        name = "complaint"
        when = "spam-complaint"
        count = "at least 1"
        do = [{{ suppress = true }}, {{ stop = "after" }}]
        [[trigger]]
        name = "domain"
        when = ["hard-bounce", "undetermined"]
        count = "more than 1"
        per = "domain"
        repeat = true
        do = [{{ mail = {{ to = "digest@example.com", template = "t", digest = "1 second" }} }}]
        [[trigger]]
        name = "campaign"
        when = "*"
        count = "at least 2"
        within = "1 day"
        per = "campaign"
        do = [{{ mail = {{ to = "ops@example.com", template = "c" }} }}]
        [[trigger]]
        name = "all"
        when = "*"
        count = "exactly 3"
        per = "all"
        do = [{{ mail = {{ to = "ops@example.com", template = "c" }} }}]
        [[trigger]]
        name = "full"
        when = "soft-bounce-mailbox-full"
        count = "every 1"
        do = [{{ resend = {{ after = "1 second", attempts = 2, message = "original" }} }}]
        [[trigger]]
        name = "busy"
        when = "soft-bounce-general"
        count = "every 1"
        do = [{{ resend = {{ after = "1 second", attempts = 2, message = "{given}" }} }}, {{ reset = ["soft-bounce-general"] }}]
        [[sequence]]
        name = "after"
        [[sequence.step]]
        name = "one"
        do = [{{ untag = "seen" }}, {{ mail = {{ to = "digest@example.com", template = "t", digest = "1 second" }} }}]
        [[report]]
        name = "people"
        to = ["assistant@example.com"]
        [templates]
        t = {{ subject = "{{{{ subject or status }}}}", body = "{{{{ diagnostic }}}}", html = "<p>{{{{ evidence }}}}</p>" }}
        c = {{ subject = "campaign {{{{ campaign }}}}", body = "{{{{ rcpt }}}}" }}
        person = {{ subject = "About your mailbox", body = "{{{{ diagnostic }}}}" }}
        [alerts]
        digest_at = "{soon}"
        "#,
        given = given.display()
    ))
}

fn fixtures() -> Vec<Vec<u8>> {
    fn walk(folder: &Path, found: &mut Vec<Vec<u8>>) {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "eml") {
                found.push(fs::read(path).unwrap());
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), &mut found);
    assert!(found.len() > 250);
    found
}

struct House {
    daemon: Daemon,
    catcher: MailCatcher,
    codec: std::sync::Arc<Codec>,
}

impl House {
    fn start() -> House {
        let catcher = MailCatcher::start();
        let daemon = everything(&catcher.url()).start();
        let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
        House { daemon, catcher, codec }
    }

    fn verp(&self, person: &str) -> String {
        let today = i32::try_from(Timestamp::now().as_second() / 86_400).unwrap();
        self.codec.encode(person, Some("spring"), None, today).unwrap()
    }

    /// Waits until nothing runs any more: no job, no gathering digest, no resend that is due. Gives what went out in all.
    fn quiet(&self) -> Vec<Caught> {
        let under_way = || {
            let page = get(self.daemon.setup.metrics, "/metrics");
            ["waiting", "running"].iter().any(|state| !page.contains(&format!("bounced_jobs{{state=\"{state}\"}} 0")))
        };
        let mut since = Instant::now();
        let mut before = 0;
        await_within(PATIENCE * 2, "an end of the mails", || {
            let now = self.catcher.mails().len();
            if under_way() || std::mem::replace(&mut before, now) != now {
                since = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(100));
            // What is sent again is due after a second.
            (since.elapsed() > Duration::from_millis(2_500)).then_some(())
        });
        self.catcher.mails()
    }

    /// Nobody was written to but those configured and these persons.
    fn only(&self, persons: &BTreeSet<String>) -> Vec<Caught> {
        let mails = self.quiet();
        for mail in &mails {
            for to in &mail.to {
                assert!(CONFIGURED.contains(&to.as_str()) || persons.contains(to), "a mail to {to}:\n{}", mail.text());
            }
        }
        mails
    }
}

/// How the sorts of our own mails are known; a resend bears a return address of its person.
fn sort(mail: &Caught) -> &'static str {
    let subject = mail.header("subject").unwrap_or_default();
    let to = mail.to[0].as_str();
    match to {
        "task@example.com" => "task",
        "assistant@example.com" => "report",
        "digest@example.com" => "gathered",
        "ops@example.com" if subject.contains("refused") => "alert",
        "ops@example.com" if mail.text().contains("message/rfc822") => "forward",
        "ops@example.com" if subject.contains("bounced on mx.returns.test") || subject.contains("digest") => "digest",
        "ops@example.com" => "notification",
        _ if subject == "About your mailbox" => "person",
        _ if subject == "We missed you" => "given",
        _ => "original",
    }
}

/// A delivery report about a mail, as its recipient's server would write it.
fn returned(mail: &[u8], serial: usize) -> Vec<u8> {
    let report = format!(
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net\nSubject: Undelivered Mail Returned to Sender\nMessage-ID: <dsn.{serial}@mx.example.net>\n\
         Auto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"=_own{serial}\"\n\n\
         --=_own{serial}\nContent-Type: text/plain\n\nUser unknown.\n\n--=_own{serial}\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; stranger@victim.test\nAction: failed\nStatus: 5.1.1\n\
         Diagnostic-Code: smtp; 550 5.1.1 user unknown\n\n--=_own{serial}\nContent-Type: message/rfc822\n\n"
    );
    [crlf(&report), mail.to_vec(), crlf(&format!("\n--=_own{serial}--\n"))].concat()
}

#[test]
fn no_mail_to_a_stranger_and_no_loop() {
    let house = House::start();
    let mut persons = BTreeSet::new();
    let mut client = Client::connect(house.daemon.smtp());
    for (place, mail) in fixtures().iter().enumerate() {
        let person = format!("person{place}@people.test");
        let sender = ["", "stranger@victim.test"][place % 2];
        let other = ["bounces@returns.test", "postmaster", "abuse@returns.test", "fbl@returns.test"][place % 4];
        for rcpt in [house.verp(&person), other.to_owned()] {
            client.try_send(sender, &[&rcpt], mail).unwrap_or_else(|error| panic!("fixture {place} at {rcpt}: {error}")).expect("250");
        }
        persons.insert(person);
    }
    // What people write, what is sent again whole and from a file, and an alert.
    for (serial, why) in [(1, Why::Full), (2, Why::Busy), (3, Why::Hard)] {
        let person = format!("more{serial}@people.test");
        house.daemon.bounces_in(serial, &person, why, Some("spring"));
        persons.insert(person);
    }
    let letter = personal(9, "stranger@victim.test", "postmaster@returns.test", "Why do you write to me?");
    client.try_send("stranger@victim.test", &["postmaster@returns.test"], &letter).unwrap().expect("250");
    let good = fs::read_to_string(house.daemon.setup.config_path()).unwrap();
    fs::write(house.daemon.setup.config_path(), "nonsense").unwrap();
    house.daemon.signal(Signal::HUP);
    await_some("the alert", || house.catcher.mails().iter().any(|mail| sort(mail) == "alert").then_some(()));
    fs::write(house.daemon.setup.config_path(), good).unwrap();
    house.daemon.text(&["report", "send", "people"]);
    await_some("the daily digest", || house.catcher.mails().iter().any(|mail| sort(mail) == "digest").then_some(()));
    let mails = house.only(&persons);
    let sorts: BTreeSet<&str> = mails.iter().map(sort).collect();
    let all = ["alert", "digest", "forward", "gathered", "given", "notification", "original", "person", "report", "task"];
    assert_eq!(sorts, all.into(), "{:?}", mails.iter().map(|mail| (&mail.to, mail.header("subject"))).collect::<Vec<_>>());
    for dead in house.daemon.await_idle() {
        let why = dead["last_error"].as_str().unwrap();
        assert!(why.contains("the event isn't signed"), "{dead}");
    }

    // A few of each sort come back, as reports about them and as they are, to wherever they could. A session that waited for so long is gone.
    let mut client = Client::connect(house.daemon.smtp());
    let own = mails.iter().filter(|mail| !["original", "given"].contains(&sort(mail)));
    let mut taken = BTreeMap::new();
    for (serial, mail) in own.enumerate() {
        let so_many: &mut usize = taken.entry(sort(mail)).or_default();
        *so_many += 1;
        if *so_many > 3 {
            continue;
        }
        assert!(mail.from.ends_with("@returns.test"), "{}", mail.from);
        client.bounce(&mail.from, &returned(&mail.data, serial));
        for rcpt in [mail.from.clone(), house.verp("person1@people.test"), "fbl@returns.test".to_owned(), "postmaster".to_owned()] {
            for sender in ["", mail.from.as_str()] {
                client.try_send(sender, &[&rcpt], &mail.data).unwrap().expect("250");
            }
        }
    }
    let after = house.only(&persons);
    let more: Vec<_> = after[mails.len()..].iter().map(|mail| (&mail.to, mail.header("subject"))).collect();
    assert!(more.is_empty(), "mails of our own begot {more:?}");

    // What is sent again comes back each time: after its attempts that is the end.
    let again = |mails: &[Caught]| -> Vec<Caught> {
        mails.iter().filter(|mail| ["original", "given"].contains(&sort(mail)) && mail.to[0].starts_with("more")).cloned().collect()
    };
    let mut come_back = 0;
    for sent in [1, 2, 2] {
        let mails = again(&house.quiet());
        for name in ["original", "given"] {
            assert_eq!(mails.iter().filter(|mail| sort(mail) == name).count(), sent, "{name}");
        }
        for mail in mails.get(come_back..).unwrap_or_default() {
            let why = if sort(mail) == "given" { Why::Busy } else { Why::Full };
            come_back += 1;
            let bounce = why.of(1_000 + come_back as u64, &mail.from, &mail.to[0]);
            Client::connect(house.daemon.smtp()).bounce(&mail.from, &bounce.postfix());
        }
    }
    assert_eq!(come_back, 4);
    house.only(&persons);
}
