//! Good configurations are read as they are meant, and those that we hand out are good.

#![allow(clippy::unwrap_used)]

mod config_support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bounced::{
    action::{
        PostBody, ResendMessage, Task, Todo,
        render::{Kind, check_report_source},
    },
    config::{Config, EnvelopeFrom, Relay, Security},
    ledger::{Comparator, Days, Distinct, Field, Filter, GuardRule, Per, ResendStep, Schedule, Step},
    taxonomy::Status,
};
use config_support::{folder, root, write};
use jiff::{
    SignedDuration, ToSpan,
    civil::{Weekday, time},
    tz::TimeZone,
};

#[test]
fn the_smallest_configuration() {
    let text = "hostname = 'mx.returns.test'\ndata_dir = 'data'\n[smtp]\nlisten = ['[::]:25']\ndomains = ['Returns.TEST']\n";
    let config = Config::read(text, Path::new("x.toml"), None).unwrap();
    assert_eq!(config.smtp.domains, ["returns.test"]);
    assert_eq!(config.control_socket, Path::new("data/control.sock"));
    assert_eq!((config.min_free, config.smtp.max_message_bytes), (256 << 20, 10 << 20));
    assert!(config.mail.is_none() && config.metrics.is_none() && !config.verp.require_signature);
    assert_eq!(config.verp.codec.encode("a@example.org", None, None, 0).as_deref(), Ok("b+-+nosig+a=example.org@returns.test"));
    assert_eq!(config.alerts.silence, Some(Duration::from_secs(86_400)));
}

#[test]
fn the_quickstart_is_good() {
    let config = Config::load(&root().join("config/quickstart.toml")).unwrap();
    assert_eq!(config.smtp.listen, ["127.0.0.1:2525".parse().unwrap()]);
    let mail = config.mail.unwrap();
    assert_eq!(mail.relay, Relay::File("data/mail".into()));
    assert!(mail.from.parse::<lettre::message::Mailbox>().is_ok());
    assert_eq!(config.rules.triggers.len(), 4);
}

#[test]
fn the_full_configuration_is_good() {
    let folder = folder();
    let text = fs::read_to_string(root().join("config/bounced.toml")).unwrap();
    let config = Config::read(&text, &folder.path().join("bounced.toml"), None).unwrap();
    assert!(config.verp.require_signature && !config.verp.codec.needs_own_key());
    let mail = config.mail.unwrap();
    assert_eq!(mail.relay, Relay::Smtp { host: "127.0.0.1".into(), port: 25, security: Security::None });
    assert_eq!(mail.envelope_from, EnvelopeFrom::Own);
    let third = &config.rules.triggers[1];
    assert_eq!((third.when.as_slice(), third.count), (&[Status::HardBounce][..], Comparator::MoreThan(2)));
    assert_eq!((third.distinct, third.per, third.within.map(|it| it.as_hours())), (Some(Distinct::Day), Per::Address, Some(720)));
    let [Step::Untag(_), Step::Tag(tag), Step::Job(Task::Mail(mail)), Step::Job(Task::Post(post)), Step::Start(_)] = third.steps.as_slice()
    else {
        panic!("{:?}", third.steps)
    };
    assert_eq!((tag.as_str(), mail.template.name.as_str()), ("third-strike", "third-strike"));
    assert!(matches!(&post.body, PostBody::Form(form) if form.get("optout").is_some_and(|value| value == "1")));
    let Step::Job(Task::Post(post)) = &config.rules.triggers[2].steps[1] else { panic!() };
    assert_eq!(post.body, PostBody::Json(r#"{"email":"{{ address }}","why":"{{ status }}"}"#.into()));
}

/// What stands there as an example must not rot: with every `#key = …` taken in, it is good as well, and says the defaults.
#[test]
fn the_full_configuration_is_good_with_all_its_examples() {
    let folder = folder();
    let text = fs::read_to_string(root().join("config/bounced.toml")).unwrap();
    let is_key = |line: &str| {
        let key = |key: &str| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        line.starts_with("[[") || line.split_once(" = ").is_some_and(|(name, _)| key(name))
    };
    let mut taken = 0;
    let lines: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#').filter(|rest| is_key(rest)) {
            Some(rest) => {
                taken += 1;
                rest
            }
            None => line,
        })
        .collect();
    assert!(taken >= 38, "{taken}");
    let full = Config::read(&lines.join("\n"), &folder.path().join("bounced.toml"), None).unwrap();
    let plain = Config::read(&text, &folder.path().join("bounced.toml"), None).unwrap();
    assert!(full.smtp.tls.is_some() && full.metrics.is_some());
    assert!(plain.warnings.is_empty() && full.warnings.is_empty(), "{:?}", full.warnings);
    assert_eq!(full.rules.guard, plain.rules.guard);
    assert_eq!(full.rules.reports["clean-up"].task.fields, plain.rules.reports["clean-up"].task.fields);
    assert_eq!(full.rules.triggers.len(), plain.rules.triggers.len() + 1);
    assert_eq!(full.alerts.blocks, plain.alerts.blocks);
    assert_eq!((full.alerts.silence, full.alerts.undetermined), (plain.alerts.silence, plain.alerts.undetermined));
    assert_eq!((full.keep.events, full.keep.raw, full.min_free), (plain.keep.events, plain.keep.raw, plain.min_free));
    let timeouts = |smtp: &bounced::config::Smtp| (smtp.command_timeout, smtp.data_timeout, smtp.session_timeout, smtp.max_message_bytes);
    assert_eq!(timeouts(&full.smtp), timeouts(&plain.smtp));
    let encode = |config: &Config| config.verp.codec.encode("a@example.org", Some("spring"), None, 20_000);
    assert_eq!(encode(&full), encode(&plain));
}

/// A configuration with everything but triggers, sequences and reports.
const BASE: &str = r#"
    hostname = "mx.returns.test"
    data_dir = "data"
    timezone = "Europe/Berlin"
    [smtp]
    listen = []
    domains = ["returns.test"]
    [mail]
    relay = "file:mail"
    from = "bounced@example.com"
    [templates]
    t = { subject = "x", body = "x" }
"#;

fn read(more: &str) -> Config {
    let folder = folder();
    Config::read(&format!("{BASE}{more}"), &folder.path().join("x.toml"), None).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_action_is_read() {
    let config = read(
        r#"
        [[sequence]]
        name = "s"
        step = [{ name = "one", do = [{ tag = "x" }] }]
        [[report]]
        name = "r"
        to = "ops@example.com"
        [[trigger]]
        name = "a"
        when = "*"
        count = "every 1"
        where = 'domain == "example.org" and fields.plan != "gold"'
        do = [
          { set = { optout = true, plan = "free", tries = 3, share = 0.5 } },
          { blank = ["email", "phone"] },
          { suppress = false },
          { task = { title = "Call {{ address }}", assignee = "Ops <ops@example.com>", due = "2 days", mail = true } },
          { task = { title = "Look", assignee = "whoever is in" } },
          { report = "r" },
          { start = "s" },
          { stop = "s" },
          { resend = { after = "1 day" } },
          { resend = { after = "40 days", attempts = 30, message = "good.eml" } },
          { reset = ["soft-bounce-*", "hard-bounce"] },
          { mail = { to = ["Ops, at night <a@example.com>", "b@example.com"], template = "t", digest = "1 hour" } },
        ]
        "#
        .replace("Ops, at night", "\\\"Ops, at night\\\"")
        .as_str(),
    );
    let trigger = &config.rules.triggers[0];
    assert_eq!(trigger.filter.as_ref().map(Filter::source), Some("domain == \"example.org\" and fields.plan != \"gold\""));
    let fields =
        [("optout", Field::Bool(true)), ("plan", Field::Text("free".into())), ("tries", Field::Integer(3)), ("share", Field::Float(0.5))];
    let todo = Todo { title: "Look".into(), assignee: Some("whoever is in".into()), due: None, mail: false };
    let given = fs::read_to_string(folder().path().join("good.eml")).unwrap();
    let resend = |days: i32, attempts, message| {
        Step::Resend(ResendStep { after: SignedDuration::from_hours(i64::from(days) * 24), attempts, message })
    };
    let expected = [
        Step::Set(fields.map(|(name, field)| (name.to_owned(), field)).into()),
        Step::Blank(vec!["email".into(), "phone".into()]),
        Step::Suppress(false),
        Step::Job(Task::Todo(Todo {
            title: "Call {{ address }}".into(),
            assignee: Some("Ops <ops@example.com>".into()),
            due: Some(Duration::from_secs(2 * 86_400)),
            mail: true,
        })),
        Step::Job(Task::Todo(todo)),
        Step::Collect("r".into()),
        Step::Start("s".into()),
        Step::Stop("s".into()),
        resend(1, 3, ResendMessage::Original),
        resend(40, 30, ResendMessage::Given(given)),
        Step::Reset(vec![
            Status::HardBounce,
            Status::SoftBounceGeneral,
            Status::SoftBounceDnsFailure,
            Status::SoftBounceMailboxFull,
            Status::SoftBounceMessageTooLarge,
        ]),
    ];
    let (mail, others) = trigger.steps.split_last().unwrap();
    assert_eq!(others, expected);
    let Step::Job(Task::Mail(mail)) = mail else { panic!("{mail:?}") };
    assert_eq!(mail.to, "\"Ops, at night\" <a@example.com>, b@example.com");
    assert_eq!(mail.to.parse::<lettre::message::Mailboxes>().unwrap().iter().count(), 2);
    assert_eq!((mail.digest, mail.at_most), (Some(Duration::from_secs(3_600)), None));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn what_goes_out_as_one_may_stand_in_several_triggers() {
    let config = read(
        r#"
        [[trigger]]
        name = "a"
        when = "*"
        count = "every 1"
        per = "domain"
        do = [
          { mail = { to = "ops@example.com", template = "t", at_most = "20 per hour" } },
          { post = { url = "https://app.example.com/", json = { email = "{{ address }}" }, batch = { max = 1000, within = "1 min" } } },
          { post = { url = "https://app.example.com/rows", batch = {} } },
        ]
        [[trigger]]
        name = "b"
        when = "*"
        count = "every 2"
        do = [
          { mail = { to = "ops@example.com", template = "t", at_most = "20 per hour" } },
          { post = { url = "https://app.example.com/rows", json = { x = 1 }, batch = { max = 100, within = "10 s" } } },
        ]
        "#,
    );
    let batches = config.rules.triggers.iter().flat_map(|trigger| &trigger.steps).filter_map(|step| match step {
        Step::Job(Task::Post(post)) => post.batch.map(|batch| (batch.max, batch.within.as_secs())),
        Step::Job(Task::Mail(mail)) => mail.at_most.map(|rate| (rate.count, rate.per.as_secs())),
        _ => None,
    });
    assert_eq!(batches.collect::<Vec<_>>(), [(20, 3_600), (1000, 60), (100, 10), (20, 3_600), (100, 10)]);
}

#[test]
fn sequences_and_reports_are_read() {
    let config = read(
        r#"
        [[sequence]]
        name = "s"
        [[sequence.step]]
        name = "now"
        do = [{ tag = "x" }, { mail = { to = "{{ address }}", template = "t" } }]
        [[sequence.step]]
        name = "monday"
        after = "0 days"
        on = ["Monday", "thu"]
        at = "09:00"
        do = [{ report = "plain" }]
        [[sequence.step]]
        name = "later"
        after = "2 months 1 day"
        day_of_month = [1, 31]
        do = [{ start = "other" }, { stop = "s" }, { reset = ["*"] }]
        [[sequence]]
        name = "other"
        step = [{ name = "one", on = "friday", do = [{ suppress = true }] }]
        [[report]]
        name = "plain"
        to = "Ops <ops@example.com>"
        [[report]]
        name = "full"
        active = false
        from = "Reports <reports@example.com>"
        to = ["a@example.com", "b@example.com"]
        subject = "{{ people | length }} in {{ report }}"
        body = "{% for person in people %}{{ person.address }}\n{% endfor %}{% if beyond %}and {{ beyond }} more{% endif %}"
        html = "<p>{{ at }}</p>"
        fields = ["address", "tags"]
        day_of_month = 1
        at = "06:30"
        send_empty = true
        "#,
    );
    let rules = &config.rules;
    let steps = &rules.sequences["s"].steps;
    assert_eq!(steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["now", "monday", "later"]);
    assert_eq!((&steps[0].days, steps[0].at, steps[0].after), (&Days::Any, None, 0.days().fieldwise()));
    assert_eq!((&steps[1].days, steps[1].at), (&Days::On(vec![Weekday::Monday, Weekday::Thursday]), Some(time(9, 0, 0, 0))));
    assert_eq!((&steps[2].days, steps[2].after), (&Days::OfMonth(vec![1, 31]), 2.months().days(1).fieldwise()));
    assert_eq!(rules.sequences["other"].steps[0].days, Days::On(vec![Weekday::Friday]));
    let plain = &rules.reports["plain"];
    assert_eq!((plain.active, plain.send_empty, &plain.schedule, &plain.task.from), (true, false, &None, &None));
    assert_eq!(plain.task.to, ["Ops <ops@example.com>"]);
    assert_eq!(plain.task.fields, ["address", "status", "count", "first_seen", "last_seen", "campaign", "diagnostic"]);
    assert_eq!(check_report_source(Kind::Header, &plain.task.subject), Ok(()), "the default");
    let full = &rules.reports["full"];
    assert_eq!((full.active, full.send_empty), (false, true));
    assert_eq!(full.schedule, Some(Schedule { days: Days::OfMonth(vec![1]), at: time(6, 30, 0, 0) }));
    assert_eq!((full.task.to.len(), full.task.fields.len()), (2, 2));
    assert_eq!(full.task.from.as_deref(), Some("Reports <reports@example.com>"));
    assert!(full.task.body.is_some() && full.task.html.is_some());
    let told: Vec<String> = config.warnings.iter().map(|warning| warning.told(Path::new("x"))).collect();
    let [sequence, report] = told.as_slice() else { panic!("{told:?}") };
    assert!(
        sequence.ends_with("sequence.name: no action starts 's'") && report.ends_with("report.name: no action fills 'full'"),
        "{told:?}"
    );
}

#[test]
fn the_guard_is_on_unless_turned_off() {
    let rule = |hard_bounces, hours, release: Option<i64>| {
        let release_after = release.map(SignedDuration::from_hours);
        Some(GuardRule { hard_bounces, per: SignedDuration::from_hours(hours), release_after })
    };
    for (section, expected) in [
        ("", rule(200, 1, None)),
        ("[guard]", rule(200, 1, None)),
        ("[guard]\nhard_bounces_per_domain = \"50 per day\"", rule(50, 24, None)),
        ("[guard]\nrelease_after = \"12 hours\"", rule(200, 1, Some(12))),
        ("[guard]\nrelease_after = \"never\"", rule(200, 1, None)),
        ("[guard]\nhard_bounces_per_domain = \"never\"", None),
        ("[guard]\nhard_bounces_per_domain = \"never\"\nrelease_after = \"never\"", None),
    ] {
        assert_eq!(read(section).rules.guard, expected, "{section}");
    }
    assert_eq!(read("").rules.timezone, TimeZone::get("Europe/Berlin").unwrap());
}

fn check(file: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bounced")).arg("--config").arg(file).arg("check").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    let folder = folder();
    let text = r#"
[[trigger]]
name = "once for good"
when = "mail-block-*"
count = "more than 20"
within = "1 hour"
per = "domain"
do = [{ tag = "x" }]
[[report]]
name = "r"
to = "ops@example.com"
"#;
    write(folder.path(), "x.toml", 0o644, format!("{BASE}{text}"));
    let file = folder.path().join("x.toml");
    let (code, out, errors) = check(&file);
    assert_eq!((code, out), (Some(0), format!("{}: no errors\n", file.display())));
    let errors: Vec<&str> = errors.lines().collect();
    let start = |line: usize, key: &str| format!("warning: {}:{line}: {key}: ", file.display());
    assert!(errors.len() == 2 && errors[0].starts_with(&start(19, "trigger.per")), "{errors:?}");
    assert!(errors[1].starts_with(&start(22, "report.name")), "{errors:?}");
}

#[test]
fn the_configurations_that_need_no_secret_pass_check_as_they_are() {
    for name in ["quickstart.toml", "three-strikes.toml"] {
        let file = root().join("config").join(name);
        assert_eq!(check(&file), (Some(0), format!("{}: no errors\n", file.display()), String::new()));
    }
}

#[test]
fn three_strikes() {
    let rules = Config::load(&root().join("config/three-strikes.toml")).unwrap().rules;
    let hard = rules.triggers.iter().filter(|trigger| trigger.when == [Status::HardBounce] && trigger.per == Per::Address);
    assert_eq!(hard.map(|it| it.count).collect::<Vec<_>>(), [Comparator::Exactly(1), Comparator::Exactly(2), Comparator::MoreThan(2)]);
    let sequence = "remove-hard-bounces";
    let third = [Step::Untag("second-hard-bounce".into()), Step::Tag("third-strike".into()), Step::Start(sequence.into())];
    assert_eq!(rules.triggers[2].steps, third);
    let step = &rules.sequences[sequence].steps[0];
    assert_eq!((&step.days, step.at), (&Days::On(vec![Weekday::Monday]), Some(time(9, 0, 0, 0))));
    assert_eq!(step.steps, [Step::Collect("clean-up-bounced-messages".into())]);
    assert!(rules.reports["clean-up-bounced-messages"].active);
    assert_eq!(rules.timezone, TimeZone::get("Europe/Berlin").unwrap());
}

#[test]
fn credentials_come_from_systemd_or_from_beside_the_configuration() {
    let (folder, credentials) = (folder(), tempfile::tempdir().unwrap());
    write(credentials.path(), "verp.secret", 0o400, "the secret that systemd hands over\n");
    let text = "hostname = 'mx.returns.test'\ndata_dir = 'data'\n[smtp]\nlisten = []\ndomains = ['returns.test']\n\
                [verp]\nsecret_file = '$CREDENTIALS_DIRECTORY/verp.secret'\n";
    let file = folder.path().join("x.toml");
    let encode = |credentials: Option<PathBuf>| {
        Config::read(text, &file, credentials).unwrap().verp.codec.encode("a@example.org", None, None, 0).unwrap()
    };
    assert_ne!(encode(Some(credentials.path().to_owned())), encode(None));
}

#[test]
fn people_keep_their_keys() {
    let folder = folder();
    let load = |hash: &str| {
        let text = format!(
            "hostname = 'mx.returns.test'\ndata_dir = '{}'\n[smtp]\nlisten = []\ndomains = ['returns.test']\n[verp]\n{hash}",
            folder.path().join("data").display()
        );
        Config::read(&text, &folder.path().join("x.toml"), None).unwrap().with_person_key()
    };
    let key = |config: Config| config.verp.codec.key_of_address("a@example.org");
    let first = key(load("").unwrap());
    assert_eq!(key(load("").unwrap()), first);
    let error = load("hash_key_file = 'good.secret'").unwrap_err().to_string();
    assert!(error.contains("copy"), "{error}");
    write(folder.path(), "copied.hash", 0o600, fs::read(folder.path().join("data/verp.hash")).unwrap());
    assert_eq!(key(load("hash_key_file = 'copied.hash'").unwrap()), first);
}
