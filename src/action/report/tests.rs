use super::*;
use crate::action::render::{Kind, check_report_source, render_report};

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
