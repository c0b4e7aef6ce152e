//! What strangers write stays a value: in every field of a report, and wherever the daemon tells it. The daemon is the built one, its outputs are read
//! by programs that aren't ours where there are some.
//!
//! Of reports, digests and mails sent again the shape is shown by src/action/hostile.rs.

use std::{collections::BTreeSet, fs, io::Write, process::Command, sync::LazyLock};

use bounced::{config::Config, verp::Codec};
use proptest::{prelude::ProptestConfig, test_runner::TestRunner};
use regex::Regex;
use serde_json::Value;

use crate::stranger::{FIELDS, Hostile, PIECES, stranger};
use crate::support::{
    PATIENCE,
    client::Client,
    daemon::{Daemon, Setup},
    deeds::{form, parts},
    http_catcher::{Asked, HttpCatcher},
    mail_catcher::{Caught, MailCatcher},
};

/// Characters that end a line, steer a terminal or turn the direction in which text is read.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A line feed is the output's own.
#[track_caller]
fn harmless(from: &str, text: &str) {
    if let Some(at) = text.find(|c: char| c != '\n' && steers(c)) {
        let around: String = text[..at].chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
        panic!("{from} has {:?} after {around:?}", text[at..].chars().next());
    }
}

struct House {
    daemon: Daemon,
    codec: std::sync::Arc<Codec>,
    http: HttpCatcher,
    mail: MailCatcher,
    fed: usize,
}

fn house(log_format: &str) -> House {
    let (http, mail) = (HttpCatcher::start(), MailCatcher::start());
    let all = "{{ diagnostic }}{{ subject }}{{ remote_mta }}{{ evidence }}{{ message_id }}{{ original_message_id }}{{ envelope_id }}{{ reporting_mta }}\
               {{ reported_address }}{{ address }}{{ rcpt }}";
    let setup = Setup::new(&mail.url()).with(&format!(
        r#"
        [[trigger]]
        name = "each"
        when = "*"
        count = "every 1"
        do = [
          {{ tag = "seen" }}, {{ suppress = true }},
          {{ task = {{ title = "Call {{{{ address }}}} about {{{{ diagnostic }}}}" }} }},
          {{ mail = {{ to = "ops@example.com", template = "t" }} }},
          {{ post = {{ url = "{form}/{{{{ local or 'none' }}}}-/{{{{ diagnostic }}}}-?d={{{{ diagnostic }}}}&s={{{{ subject }}}}", form = {{ email = "{{{{ address }}}}", said = "{{{{ diagnostic }}}}" }},
                     headers = {{ X-Said = "{{{{ diagnostic }}}}", X-All = "{all}" }} }} }},
          {{ post = {{ url = "{json}", json = {{ said = "{{{{ diagnostic }}}}", all = ["{all}"], fixed = 7 }} }} }},
          {{ post = {{ url = "{row}" }} }},
        ]
        [templates]
        t = {{ subject = "{all}", body = "{all}\n", html = "<p title=\"{{{{ subject }}}}\">{all}</p>" }}
        [guard]
        hard_bounces_per_domain = "never"
        "#,
        form = http.url("/form"),
        json = http.url("/json"),
        row = http.url("/row"),
    ));
    let mut daemon = setup.asleep();
    daemon.run_args = vec!["--log-format".into(), log_format.into()];
    daemon.env = vec![("BOUNCED_LOG".into(), "debug,hyper=info,h2=info".into())];
    daemon.start();
    let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
    House { daemon, codec, http, mail, fed: 0 }
}

impl House {
    /// One mail in; the requests and the mail that come of it.
    fn feed(&mut self, stranger: &Hostile) -> (Vec<Asked>, Caught) {
        let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
        let rcpt = self.codec.encode(&stranger.address(), Some("spring"), None, today);
        // Who has no return address is told of at a signed one of somebody else.
        let rcpt = rcpt.unwrap_or_else(|_| self.codec.encode("alice@example.org", None, None, today).unwrap());
        let mut client = Client::try_connect(self.daemon.smtp()).unwrap();
        let greeted = client.command(&format!("EHLO {}", stranger.helo)).code;
        if greeted != 250 {
            client.command("EHLO mx.example.net").expect("250");
        }
        // What no mailbox can be is refused, and that is all.
        let path = format!("{}@victim.test", stranger.local);
        let from = if client.command(&format!("MAIL FROM:<{path}>")).code == 250 { path.as_str() } else { "" };
        client.command(&format!("RCPT TO:<{}@returns.test>", stranger.local));
        client.command("RSET").expect("250");
        self.fed += 1;
        client.try_send(from, &[&rcpt], &stranger.mail(self.fed, &rcpt)).unwrap().expect("250 2.");
        let asked = self.http.wait(self.fed * 3, PATIENCE).split_off((self.fed - 1) * 3);
        let mail = self.mail.wait(self.fed, PATIENCE).pop().unwrap();
        (asked, mail)
    }

    fn newest(&self) -> Value {
        self.daemon.rows(&["events", "--limit", "1"]).remove(0)
    }

    /// What a command shows on a terminal: util-linux's script gives it one.
    fn on_a_terminal(&self, args: &[&str]) -> String {
        let mut line =
            format!("stty cols 150; exec '{}' --config '{}'", self.daemon.binary.display(), self.daemon.setup.config_path().display());
        for arg in args {
            line.push_str(&format!(" '{}'", arg.replace('\'', r"'\''")));
        }
        // A progress bar goes there.
        line.push_str(" 2>/dev/null");
        let output = Command::new("script").args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").output().unwrap();
        String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
    }
}

fn requests(asked: &[Asked], row: &Value) {
    static TARGET: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^/form/[A-Za-z0-9._~%-]+-/[A-Za-z0-9._~%-]*-\?d=[A-Za-z0-9._~%-]*&s=[A-Za-z0-9._~%-]*$").unwrap());
    let to = |start: &str| asked.iter().find(|asked| asked.target.starts_with(start)).unwrap();
    let diagnostic = row["diagnostic"].as_str().unwrap_or_default();
    // As the templates clean it: no marks that turn the direction, the rest as it is; nothing in it was evaluated.
    let said: String = diagnostic.chars().filter(|c| !steers(*c)).collect();

    let sent = to("/form");
    assert!(TARGET.is_match(&sent.target), "{}", sent.target);
    let known = ["accept", "content-length", "content-type", "host", "user-agent", "webhook-id", "webhook-timestamp", "x-all", "x-said"];
    assert_eq!(sent.headers.keys().map(String::as_str).collect::<Vec<_>>(), known);
    for value in sent.headers.values() {
        harmless("a header of a post", value);
        assert!(!value.contains('\n'), "{value:?}");
    }
    let fields = form(&sent.body);
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["email", "said"]);
    assert_eq!(fields["said"], said);

    let json: Value = serde_json::from_slice(&to("/json").body).unwrap();
    assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["all", "fixed", "said"]);
    assert_eq!((json["said"].as_str(), &json["fixed"]), (Some(said.as_str()), &Value::from(7)));
    harmless("JSON's text", json["all"][0].as_str().unwrap());
    let sent: Value = serde_json::from_slice(&to("/row").body).unwrap();
    assert_eq!(sent.as_object().unwrap().keys().collect::<BTreeSet<_>>(), row.as_object().unwrap().keys().collect());
    assert_eq!((&sent["diagnostic"], &sent["address"]), (&row["diagnostic"], &row["address"]));
}

fn notification(mail: &Caught) {
    static TAG: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<[^>]*>").unwrap());
    assert_eq!(mail.to, ["ops@example.com"]);
    let text = String::from_utf8(mail.data.clone()).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let names: Vec<&str> =
        head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])).map(|line| line.split(':').next().unwrap()).collect();
    let expected = [
        "From",
        "Subject",
        "Date",
        "Message-ID",
        "To",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "X-Bounced-Job",
        "MIME-Version",
        "Content-Type",
    ];
    assert_eq!(names.iter().collect::<BTreeSet<_>>(), expected.iter().collect(), "{head}");
    assert_eq!(names.len(), expected.len(), "{head}");
    harmless("a mail's bytes", &text.replace("\r\n", "\n"));
    let read = mail_parser::MessageParser::default().parse(&mail.data).unwrap();
    let subject = read.subject().unwrap_or_default();
    harmless("a subject", subject);
    assert!(!subject.contains('\n'), "{subject:?}");
    let parts = parts(mail);
    assert_eq!(parts.iter().map(|part| part.content_type.as_str()).collect::<Vec<_>>(), ["text/plain", "text/html"]);
    harmless("a mail's text", &parts[0].text().replace('\t', " "));
    let html = parts[1].text();
    harmless("a mail's HTML", &html.replace('\t', " "));
    let tags: Vec<&str> = TAG.find_iter(&html).map(|tag| tag.as_str()).collect();
    assert!(tags.len() == 2 && tags[0].starts_with("<p title=\"") && tags[0].matches('"').count() == 2 && tags[1] == "</p>", "{tags:?}");
}

fn csv(house: &House) {
    let text = house.daemon.text(&["export", "--format", "csv"]);
    harmless("CSV", &text.replace("\r\n", "\n"));
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap().len(), 7);
    for row in reader.records() {
        for cell in &row.unwrap() {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']), "{cell:?}");
        }
    }
    let table = house.daemon.text(&["export", "--format", "postfix-access"]);
    harmless("access(5)", &table);
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words.get(1), words.len()), (Some(&"REJECT"), 8), "{line}");
        assert!(!line.starts_with(['#', ' ']), "{line}");
    }
}

fn terminal(house: &House, id: &str, address: &str) {
    let commands: &[&[&str]] = &[
        &["events", "--limit", "2"],
        &["counts", "--by", "domain"],
        &["explain", id],
        &["show", "--", address],
        &["tasks"],
        &["outbox", "list", "--all"],
    ];
    for args in commands {
        let name = args.join(" ");
        harmless(&name, &house.daemon.text(args));
        let shown = house.on_a_terminal(args);
        assert!(shown.len() > 20, "{name}: {shown}");
        // The one colour that `explain` has: its matched words.
        harmless(&format!("{name} on a terminal"), &shown.replace("\u{1b}[7m", "").replace("\u{1b}[0m", ""));
    }
    for args in [
        &["events", "--limit", "2", "--json"][..],
        &["explain", id, "--json"],
        &["show", "--json", "--", address],
        &["tasks", "--json"],
        &["outbox", "list", "--json"],
        &["export", "--format", "jsonl"],
    ] {
        let text = house.daemon.text(args);
        harmless(&args.join(" "), &text);
        for line in text.lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{args:?}: {error}: {line}"));
        }
    }
}

/// `classify` and `explain` read the very file, without a daemon.
fn file(house: &House, mail: &[u8]) {
    let path = house.daemon.setup.dir.path().join("mail.eml");
    fs::File::create(&path).unwrap().write_all(mail).unwrap();
    let path = path.to_str().unwrap();
    for args in [&["classify", path][..], &["classify", "--json", path], &["explain", path], &["explain", "--json", path]] {
        harmless(args[0], &house.daemon.text(args));
        harmless(args[0], &house.on_a_terminal(args).replace("\u{1b}[7m", "").replace("\u{1b}[0m", ""));
    }
}

fn log(house: &House, json: bool) {
    static LINE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z +(ERROR|WARN|INFO|DEBUG|TRACE) ").unwrap());
    let text = house.daemon.log();
    harmless("the log", &text);
    for line in text.lines() {
        if json {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        } else {
            assert!(LINE.is_match(line), "{line}");
        }
    }
}

fn nothing_gets_out(log_format: &str) {
    let mut house = house(log_format);
    let config = ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 64, ..ProptestConfig::default() };
    let house = std::cell::RefCell::new(&mut house);
    TestRunner::new(config)
        .run(&stranger(), |stranger| {
            let mut house = house.borrow_mut();
            let (asked, mail) = house.feed(&stranger);
            let row = house.newest();
            requests(&asked, &row);
            notification(&mail);
            log(&house, log_format == "json");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    // What gathers is looked at once, after a last mail that has all of the pieces.
    let house = house.into_inner();
    let all: Vec<String> = PIECES.chunks(PIECES.len().div_ceil(FIELDS)).map(<[&str]>::concat).cycle().take(FIELDS).collect();
    let last = Hostile { fields: all, local: "=1+1".to_owned(), helo: "{{x}}".to_owned() };
    house.feed(&last);
    let row = house.newest();
    csv(house);
    terminal(house, &row["id"].to_string(), row["address"].as_str().unwrap());
    file(house, &last.mail(0, "b@returns.test"));
    assert!(house.daemon.await_idle().is_empty());
    assert!(house.daemon.stop().success());
    log(house, log_format == "json");
}

#[test]
fn nothing_that_strangers_write_gets_out_of_its_place() {
    nothing_gets_out("text");
}

#[test]
fn nor_in_a_log_for_machines() {
    nothing_gets_out("json");
}
