use super::*;
use crate::{
    action::{
        ReportTask,
        render::{Kind, check_report_source, render_report},
    },
    taxonomy::Status,
};

pub(super) fn entry(number: usize) -> Entry {
    let mut facts = sample_facts();
    facts.event.verdict.address = Some(format!("p{number:06}@example.org"));
    Entry { facts, first_seen: Some(Timestamp::UNIX_EPOCH), last_seen: Some(Timestamp::UNIX_EPOCH) }
}

#[test]
fn what_a_report_s_template_may_name() {
    for (kind, source) in [
        (Kind::Header, "{{ people | length }} addresses to clean up"),
        (Kind::Header, "{{ report }} of {{ at }}, {{ beyond }} more"),
        (Kind::Text, "{% for person in people %}{{ person.address }} {{ person.count + 1 }} {{ person.tags | join(', ') }}\n{% endfor %}"),
        (Kind::Html, "{% for person in people %}{% for name in person %}{{ person[name] }}{% endfor %}{% endfor %}{{ people[0].status }}"),
        (Kind::Text, "{{ people | map(attribute='domain') | unique | join(' ') }}{{ people | first }}{{ people }}"),
    ] {
        assert_eq!(check_report_source(kind, source), Ok(()), "{source}");
    }
    for (source, says) in [
        ("{{ address }}", "did you mean"),
        ("{{ peple | length }}", "did you mean 'people'"),
        ("{{ people[0].adress }}", "undefined"),
        ("{% for person in people %}", "syntax"),
    ] {
        let error = check_report_source(Kind::Text, source).unwrap_err();
        assert!(error.contains(says), "{source}: {error}");
    }
}

#[test]
fn many_people_are_counted_and_the_first_given() {
    let context = context("x", Timestamp::UNIX_EPOCH, Arc::new((0..SHOWN + 7).map(entry).collect()));
    let render = |source| render_report(Kind::Text, source, &context).unwrap();
    assert_eq!(render("{{ people | length }} {{ beyond }}"), "1007 7");
    let all = render("{% for person in people %}{% for name in person %}{{ person[name] }} {% endfor %}\n{% endfor %}");
    assert_eq!(all.lines().count(), SHOWN);
}

fn task(fields: &[&str]) -> ReportTask {
    ReportTask {
        name: "clean-up-bounced-messages".to_owned(),
        delivery: 3,
        from: None,
        to: vec!["assistant@example.com".to_owned()],
        subject: "{{ people | length }} addresses to clean up".to_owned(),
        body: None,
        html: None,
        fields: fields.iter().map(ToString::to_string).collect(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// People as they are in life, invented.
fn people() -> Vec<Entry> {
    let rows = [
        ("alice@example.org", Status::HardBounce, 3, "550 5.1.1 <alice@example.org>: Recipient address rejected: User unknown", "spring"),
        ("bob@example.net", Status::SoftBounceMailboxFull, 12, "452 4.2.2 The email account that you tried to reach is over quota", ""),
        ("carol.with.a.long.name@department.example.com", Status::MailBlockGeneral, 1, "", "newsletter-2026-11"),
        ("=cmd@example.test", Status::HardBounce, 4, "<script>alert('x')</script> & =1+1", "a\r\nBcc: x@example.test"),
    ];
    let entry = |(address, status, count, diagnostic, campaign): (&str, Status, u64, &str, &str)| {
        let mut facts = sample_facts();
        (facts.count, facts.event.verdict.status) = (count, status);
        facts.event.verdict.address = Some(address.to_owned());
        facts.event.verdict.diagnostic = Some(diagnostic.to_owned()).filter(|text| !text.is_empty());
        facts.event.campaign = Some(campaign.to_owned()).filter(|text| !text.is_empty());
        Entry { facts, first_seen: Some(at("2026-09-01T04:41:00Z")), last_seen: Some(at("2026-11-20T17:03:09Z")) }
    };
    rows.map(entry).into()
}

fn chart() -> Chart {
    let days = (0..56u32).map(|back| {
        let weekday = (back + 6) % 7 != 0;
        let hard = if weekday { 10 + u64::from(back * 37 % 23) + u64::from(back) } else { 2 };
        let block = if (24..27).contains(&back) { 130 - u64::from(back) } else { u64::from(back % 3) };
        let soft = u64::from(back * 13 % 17);
        (20_780 - back, [(Status::HardBounce, hard), (Status::SoftBounceGeneral, soft), (Status::MailBlockGeneral, block)].into())
    });
    Chart::new(&days.collect(), 20_780)
}

fn finished(task: &ReportTask, people: Vec<Entry>) -> Finished {
    finish(task, &Arc::new(people), Some(&chart()), at("2026-11-23T08:00:00Z"), "0000002a-7-00000001-2", "mx.test").unwrap()
}

#[test]
fn a_report_as_it_is_read() {
    let report = finished(&task(&[]), people());
    assert_eq!(report.subject, "4 addresses to clean up");
    insta::assert_snapshot!("report_text", report.text);
    insta::assert_snapshot!("report_html", report.html);
    insta::assert_snapshot!("report_csv", String::from_utf8(report.sheet.bytes).unwrap());
}

#[test]
fn the_first_thousand_and_how_many_more() {
    let report = finished(&task(&["address", "status"]), (0..SHOWN + 234).map(entry).collect());
    for body in [&report.text, &report.html] {
        assert!(body.contains("And 234 more in the attached clean-up-bounced-messages.csv."));
        assert!(body.contains("p000999@example.org") && !body.contains("p001000@example.org"));
    }
    assert_eq!(report.sheet.bytes.iter().filter(|byte| **byte == b'\n').count(), SHOWN + 235);
}

#[test]
fn a_template_that_fails_holds_nothing_back() {
    let mut task = task(&["address", "nonsense"]);
    task.subject = "{{ people[99].address }}".to_owned();
    task.body = Some("{{ people[99].address }}".to_owned());
    task.html = Some("<b>{{ people[0].diagnostic }}</b>".to_owned());
    let report = finished(&task, people());
    assert_eq!(report.subject, "clean-up-bounced-messages: 4 addresses");
    assert!(report.text.contains("own text could not be made: ") && report.html.contains("own text could not be made: "));
    task.body = None;
    let report = finished(&task, people());
    assert!(report.html.contains("<b>550 5.1.1 &lt;alice@example.org&gt;"), "{}", report.html);
    task.html = Some("{{ people[99].address }}".to_owned());
    assert!(finished(&task, people()).html.contains("own HTML could not be made: "));
}

#[test]
fn no_people_no_chart() {
    let report = finish(&task(&[]), &Arc::default(), None, Timestamp::UNIX_EPOCH, "x", "mx.test").unwrap();
    assert!(report.picture.is_none() && !report.html.contains("<img") && !report.html.contains("Bounces per day"));
    assert_eq!(report.subject, "0 addresses to clean up");
}

#[test]
fn the_worst_people_stay_within_bounds() {
    let mut worst = entry(1);
    worst.facts.event.verdict.diagnostic = Some("\"".repeat(4_096));
    worst.facts.tags = vec!["'".repeat(4_096)];
    let report = finished(&task(&["diagnostic", "tags", "diagnostic", "diagnostic", "tags", "tags", "tags", "tags"]), vec![worst; 1_200]);
    assert!(report.html.len() < 1_200_000 && report.text.len() < 1_200_000, "{} {}", report.html.len(), report.text.len());
    assert!(report.html.contains("more in the attached"));
}

#[test]
#[ignore]
fn dump() {
    let mut many = people();
    many.extend((0..30).map(entry));
    let report = finished(&task(&[]), many);
    let picture = report.picture.unwrap();
    let uri = format!("data:image/png;base64,{}", data_encoding::BASE64.encode(&picture.png));
    println!("{} bytes", picture.png.len());
    std::fs::write("/tmp/report.html", report.html.replace(&format!("cid:{}", picture.cid), &uri)).unwrap();
    println!("{}", report.text);
}
