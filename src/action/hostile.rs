//! Whatever a stranger writes into a fact stays a value: of a report, a digest and a mail sent again.

use std::sync::OnceLock;

use jiff::Timestamp;
use proptest::prelude::*;
use regex::Regex;

use super::{
    Context, MailTask, MailTemplate, ReportTask, Task,
    again::Way,
    compose::{Attach, Draft, Letter},
    context::sample_job,
    digest::digest,
    report::{FIELDS, Finished, Gathered, finish},
    resend::given,
    sample_facts,
};
use crate::{
    ledger::{Entry, Facts},
    outbox::{Job, JobId, Part},
};

fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\r\n",
        "\r",
        "\n",
        "\0",
        "{{ address }}",
        "{% raw %}",
        "{#",
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\u{1b}[2J",
        "\u{202e}",
        "\u{200f}",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "<img src=x onerror=y>",
        "\" onload=\"x",
        "'",
        "&",
        ",",
        ";",
        "Bcc: v@example.org",
        ".\r\n",
        "\u{ff1d}",
        "a",
        "é",
        " ",
        "--outer--",
        "=?utf-8?q?=0D=0ABcc:_v?=",
        "</td></table>",
        "]]>",
        "<!--",
    ]);
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn facts(text: &str) -> Facts {
    let mut facts = sample_facts();
    let some = || Some(text.to_owned());
    let verdict = &mut facts.event.verdict;
    (verdict.address, verdict.enhanced, verdict.reply) = (Some(format!("{text}@example.org")), some(), some());
    (verdict.diagnostic, verdict.remote_mta, verdict.rule, verdict.evidence) = (some(), some(), text.to_owned(), some());
    (facts.event.campaign, facts.event.origin.subject, facts.trigger, facts.tags) =
        (some(), some(), text.to_owned(), vec![text.to_owned()]);
    facts
}

fn entry(text: &str) -> Entry {
    Entry { facts: facts(text), first_seen: None, last_seen: None }
}

fn report(text: &str) -> Finished {
    let task = ReportTask {
        name: "clean-up".to_owned(),
        delivery: 0,
        from: None,
        to: vec!["ops@example.com".to_owned()],
        subject: "{{ people[0].diagnostic }} {{ people[0].address }}".to_owned(),
        body: Some("{{ people[0].diagnostic }}".to_owned()),
        html: Some("<p title=\"{{ people[0].rule }}\">{{ people[0].tags }}{{ people[0] }}</p>".to_owned()),
        fields: FIELDS.map(str::to_owned).into(),
    };
    let mut gathered = Gathered::new(&task);
    gathered.add(entry(text));
    finish(&task, gathered, None, Timestamp::UNIX_EPOCH, "0", "mx.test").unwrap()
}

fn letter(subject: &str, text: &str, html: &str, file: Option<&super::report::Sheet>) -> Letter {
    let draft = Draft {
        from: "bounced@example.com",
        to: "ops@example.com",
        subject,
        text: text.to_owned(),
        html: Some(html.to_owned()),
        picture: None,
        file,
        attached: None,
        id: "0",
        hostname: "mx.test",
        date: Timestamp::UNIX_EPOCH,
        envelope_from: None,
    };
    draft.letter(Attach::Plain).unwrap()
}

/// The fields' names in their order.
fn names(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    head.split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

fn tags(html: &str) -> Vec<&str> {
    static TAG: OnceLock<Regex> = OnceLock::new();
    TAG.get_or_init(|| Regex::new("<[^>]*>").unwrap())
        .find_iter(html)
        .map(|tag| tag.as_str())
        .filter(|tag| !tag.starts_with("<p title"))
        .collect()
}

/// Nothing that turns, hides or ends a line but the newline.
fn clean(text: &str) -> bool {
    !text.chars().any(|c| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
    })
}

fn job(text: &str, task: &MailTask) -> Job {
    let id = JobId { epoch: 1, event: 1, trigger: 1, place: 1 };
    sample_job(id, Task::Mail(task.clone()), facts(text), vec![Part { id, facts: facts(text) }])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_report_holds_its_shape(text in hostile()) {
        let (report, plain) = (report(&text), report("x"));
        let mail = letter(&report.subject, &report.text, &report.html, Some(&report.sheet));
        prop_assert_eq!(names(&mail.bytes), names(&letter("x", "x", "x", Some(&plain.sheet)).bytes));
        prop_assert_eq!(tags(&report.html), tags(&plain.html));
        prop_assert!(clean(&report.subject) && clean(&report.text) && clean(&report.html), "{:?}", report.html);
        let mut reader = csv::ReaderBuilder::new().from_reader(&report.sheet.bytes[..]);
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(rows.len(), 1);
        for cell in &rows[0] {
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\u{ff1d}']) && clean(cell) && !cell.contains('\n'), "{cell:?}");
        }
    }

    #[test]
    fn a_digest_holds_its_shape(text in hostile()) {
        let template = MailTemplate {
            name: "t".to_owned(),
            subject: "{{ diagnostic }}".to_owned(),
            body: "{{ diagnostic }}".to_owned(),
            html: Some("<b>{{ diagnostic }}</b>".to_owned()),
        };
        let task = MailTask { to: "ops@example.com".to_owned(), template, digest: None, at_most: None };
        let (this, plain) = (digest(&job(&text, &task), &task, "mx.test").unwrap(), digest(&job("x", &task), &task, "mx.test").unwrap());
        prop_assert_eq!(names(&letter(&this.subject, &this.text, &this.html, None).bytes), names(&letter("x", "x", "x", None).bytes));
        prop_assert_eq!(tags(&this.html), tags(&plain.html));
        prop_assert!(clean(&this.subject) && clean(&this.text) && clean(&this.html));
    }

    #[test]
    fn a_given_mail_holds_its_shape(text in hostile()) {
        let way = Way { id: "1", to: "alice@example.org", sender: "b@returns.example.com" };
        let source = "Subject: {{ diagnostic }}\nX-Campaign: {{ campaign }}\nContent-Type: text/html\n\n<p>{{ diagnostic }}</p>\n";
        let mail = |text: &str| {
            let given = given(source, &Context::new(&facts(text), "1")).unwrap();
            (way.given(&given, "bounced@example.com", Timestamp::UNIX_EPOCH, "mx.test").unwrap(), given)
        };
        let ((letter, given), (plain, _)) = (mail(&text), mail("x"));
        prop_assert_eq!(names(&letter.bytes), names(&plain.bytes));
        prop_assert_eq!(tags(&given.body), ["<p>", "</p>"]);
        prop_assert!(given.fields.iter().all(|(_, value)| clean(value) && !value.contains('\n')) && clean(&given.body));
        prop_assert_eq!(letter.envelope.to().len(), 1);
    }
}
