use super::*;
use crate::action::context::Context;

/// A context in which every text that a stranger can choose is `text`.
fn hostile(text: &str) -> Context {
    let mut values: std::collections::BTreeMap<String, Value> = Context::sample()
        .values
        .try_iter()
        .unwrap()
        .map(|key| {
            let value = Context::sample().values.get_item(&key).unwrap();
            (key.to_string(), if value.as_str().is_some() { Value::from(text) } else { value })
        })
        .collect();
    values.insert("tags".to_owned(), Value::from(vec![text.to_owned()]));
    Context { values: Value::from_serialize(&values) }
}

fn rendered(kind: Kind, source: &str, text: &str) -> String {
    render(kind, source, &hostile(text)).unwrap()
}

#[test]
fn a_subject_is_one_line_and_not_endless() {
    let text = "hi\r\nBcc: victim@example.org\r\n\r\n<script>";
    assert_eq!(rendered(Kind::Header, "{{ address }} bounced", text), "hi Bcc: victim@example.org <script> bounced");
    assert_eq!(rendered(Kind::Header, "a{{ '\\n' }}b\nc", text), "a b c", "the template's own line ends as well");
    let long = rendered(Kind::Header, "{{ diagnostic }}", &"ä".repeat(5000));
    assert_eq!((long.chars().count(), long.ends_with('…')), (clean::SUBJECT_CHARS, true));
}

#[test]
fn text_has_no_control_characters() {
    assert_eq!(rendered(Kind::Text, "x {{ diagnostic }}\n", "a\u{1b}[2J\u{0}\tb\r\nc"), "x a[2J\tb\nc\n");
}

#[test]
fn html_is_escaped_and_nothing_undoes_it() {
    let text = "<img src=x onerror=\"a('b')\">&";
    let escaped = rendered(Kind::Html, "<b>{{ diagnostic }}</b>", text);
    assert!(!escaped.contains("<img") && !escaped.contains('\'') && escaped.starts_with("<b>&lt;img"), "{escaped}");
    assert_eq!(escaped.matches('"').count(), 0, "{escaped}");
    for source in [
        "{% autoescape false %}{{ diagnostic }}{% endautoescape %}",
        "{% set x %}{{ diagnostic }}{% endset %}{{ x }}",
        "{% autoescape false %}{% set x %}{{ diagnostic }}{% endset %}{% endautoescape %}{{ x }}",
        "{% macro m(v) %}{{ v }}{% endmacro %}{{ m(diagnostic) }}",
        "{{ tags | join('<br>') }}",
        "{{ diagnostic | e | replace('x', 'y') }}",
        "{{ tags }}",
        "{{ diagnostic | list }}",
    ] {
        let out = rendered(Kind::Html, source, text);
        assert!(!out.contains("<img"), "{source}: {out}");
    }
    assert!(check_source(Kind::Html, "{{ diagnostic | safe }}").is_err());
    assert!(check_source(Kind::Html, "<a title=\"{{ diagnostic | tojson }}\">").is_err());
}

#[test]
fn json_stays_the_tree_it_was() {
    let source = r#"{"email": "{{ address }}", "n": 3, "deep": [{"t": "to {{ tags[0] }}"}], "{{ address }}": null}"#;
    let text = "a\", \"admin\": true, \"x\": \"\n\\";
    let out: serde_json::Value = serde_json::from_str(&render_json(source, &hostile(text)).unwrap()).unwrap();
    assert_eq!(out["email"], text);
    assert_eq!(out["deep"][0]["t"], format!("to {text}"));
    assert_eq!((out["n"].as_u64(), out.get("admin"), out["{{ address }}"].is_null()), (Some(3), None, true));
    assert!(render_json("{", &hostile("")).is_err());
}

#[test]
fn a_url_keeps_host_and_path() {
    let source = "https://app.example.com/people/{{ address }}/x?by={{ rule | urlencode }}&all={{ tags }}";
    assert_eq!(
        rendered(Kind::Url, source, "../../admin@evil.example/?q#f"),
        "https://app.example.com/people/..%2F..%2Fadmin%40evil.example%2F%3Fq%23f/x?by=..%2F..%2Fadmin%40evil.example%2F%3Fq%23f&all=%5B%22..%2F..%2Fadmin%40evil.example%2F%3Fq%23f%22%5D"
    );
    assert!(render(Kind::Url, source, &hostile("..")).is_err(), "a value that is a step in the path");
    assert!(check_source(Kind::Url, "https://{{ domain }}/").is_err());
    assert_eq!(check_source(Kind::Url, source), Ok(()));
    assert!(check_source(Kind::Url, "https://example.com/a/../b").is_err());
}

#[test]
fn an_http_header_is_one_line() {
    assert_eq!(rendered(Kind::HttpHeader, "Bearer {{ subject }}", "a\r\nX-Admin: 1\u{0}"), "Bearer a X-Admin: 1");
}

#[test]
fn a_recipient_is_one_recipient() {
    assert_eq!(rendered(Kind::Address, "{{ address }}", "alice@example.org"), "alice@example.org");
    assert_eq!(rendered(Kind::Address, "{{ address }}", "\"a,b\"@example.org"), "\"a,b\"@example.org");
    assert_eq!(rendered(Kind::Address, "ops+{{ campaign }}@example.com, b@example.com", "news"), "ops+news@example.com, b@example.com");
    for bad in ["a@example.org, b@example.org", "x <y@example.org>", "a@b\r\nBcc: c@d", "a b", "a;b", "(c)", "\"a\\\"@x\"@y"] {
        assert!(render(Kind::Address, "{{ address }}", &hostile(bad)).is_err(), "{bad}");
    }
}

#[test]
fn mistakes_are_found_when_the_configuration_is_read() {
    for (source, says) in [
        ("{{ adress }}", "did you mean 'address'"),
        ("{% if status == 'spam-complaint' %}{{ counter }}{% endif %}", "did you mean 'count'"),
        ("{{ address", "syntax error"),
        ("{{ address | nofilter }}", "nofilter"),
        ("{% include 'x' %}", "template"),
        ("{{ counts['no-such-status'] }}", "undefined"),
        ("{{ count + subject }}", "in line 1"),
        ("\n{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "too many steps"),
        ("{% for i in range(9000) %}{{ 'x' * 100 }}{% endfor %}", "256 KiB"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
    ] {
        let error = check_source(Kind::Text, source).unwrap_err();
        assert!(error.contains(says), "{source}: {error}");
    }
}

#[test]
fn what_people_write_works() {
    for source in [
        "plain, and $5 {not a template}",
        "{{ address }} bounced {{ count }} times\n{% if diagnostic %}said: {{ diagnostic | upper }}{% endif %}",
        "{% for tag in tags %}{{ tag }} {% endfor %}{{ counts['hard-bounce'] }} {{ counts | length }}",
        "{% set n = count + 1 %}{{ n }} {{ reply | default('no reply') }} {{ fired | join(', ') }} {{ at }} {{ job }}",
        "{% for i in range(3) %}{{ loop.index }}{% endfor %}",
    ] {
        assert_eq!(check_source(Kind::Text, source), Ok(()), "{source}");
    }
    assert_eq!(render(Kind::Text, "{{ reply | default('none') }}/{{ reply }}", &Context::bare()).unwrap(), "none/");
}
