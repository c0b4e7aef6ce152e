//! HTTP posts as a CRM gets them: forms, JSON, headers, signatures, batches.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    PATIENCE, await_some,
    client::Client,
    daemon::{Setup, write_secret},
    deeds::{Why, form, signature},
    http_catcher::HttpCatcher,
};

#[test]
fn forms_json_headers_and_signatures() {
    let http = HttpCatcher::start();
    let setup = Setup::new("smtp://127.0.0.1:9");
    let file = |name: &str| setup.dir.path().join(name);
    let (hook, token) = (file("hook.secret"), file("crm.token"));
    write_secret(&hook, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    write_secret(&token, "t0p-secret");
    let daemon = setup
        .with(&format!(
            r#"
            [[trigger]]
            name = "gone"
            when = "hard-bounce"
            count = "exactly 1"
            do = [
              {{ tag = "gone" }},
              {{ post = {{ url = "{form}?a={{{{ address }}}}", form = {{ email = "{{{{ address }}}}", said = "{{{{ diagnostic }}}}", optout = 1 }},
                         headers = {{ X-Campaign = "{{{{ campaign }}}}", Authorization = {{ secret_file = "{token}", prefix = "Bearer " }} }}, secret_file = "{hook}" }} }},
              {{ post = {{ url = "{json}", json = {{ person = {{ email = "{{{{ address }}}}", tags = ["{{{{ tags | join(',') }}}}"] }}, said = "{{{{ diagnostic }}}}", n = 7, ok = true }} }} }},
              {{ post = {{ url = "{row}" }} }},
            ]
            "#,
            form = http.url("/form"),
            json = http.url("/json"),
            row = http.url("/row"),
            hook = hook.display(),
            token = token.display(),
        ))
        .start();
    daemon.bounces_in(1, "o'hara+x@example.org", Why::Hard, Some("spring"));
    http.wait(3, PATIENCE);
    let asked = |start: &str| http.asked().into_iter().find(|asked| asked.target.starts_with(start)).unwrap();
    let diagnostic = "550 5.1.1 <o'hara+x@example.org>: Recipient address rejected: User unknown";

    let first = asked("/form");
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/form?a=o%27hara%2Bx%40example.org"));
    let fields = form(&first.body);
    assert_eq!((fields["email"].as_str(), fields["said"].as_str(), fields["optout"].as_str()), ("o'hara+x@example.org", diagnostic, "1"));
    assert_eq!(first.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!((first.header("x-campaign"), first.header("authorization")), (Some("spring"), Some("Bearer t0p-secret")));
    let (id, at) = (first.header("webhook-id").unwrap(), first.header("webhook-timestamp").unwrap());
    assert_eq!(first.header("webhook-signature").unwrap(), signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id, at, &first.body));

    let second = asked("/json");
    let body: Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!(body, json!({"person": {"email": "o'hara+x@example.org", "tags": ["gone"]}, "said": diagnostic, "n": 7, "ok": true}));
    assert_eq!((second.header("content-type"), second.header("webhook-signature")), (Some("application/json"), None));
    let row: Value = serde_json::from_slice(&asked("/row").body).unwrap();
    assert_eq!(
        (&row["address"], &row["status"], &row["campaign"]),
        (&json!("o'hara+x@example.org"), &json!("hard-bounce"), &json!("spring"))
    );

    // The token is renewed without a word to the daemon, and stands nowhere but in its file.
    write_secret(&token, "renewed");
    daemon.bounces(2, "bob@example.org", Why::Hard);
    await_some("the second form", || {
        http.asked().iter().any(|asked| asked.header("authorization") == Some("Bearer renewed")).then_some(())
    });
    let outbox = daemon.text(&["outbox", "list", "--all", "--json"]);
    assert!(!outbox.contains("t0p-secret") && !daemon.log().contains("t0p-secret"));
    assert!(daemon.await_idle().is_empty());
}

/// Full at once when there are enough of them, else after their time; each job's body is in exactly one batch.
#[test]
fn batches() {
    let http = HttpCatcher::start();
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(&format!(
            r#"
            [[trigger]]
            name = "each"
            when = "hard-bounce"
            count = "every 1"
            do = [{{ post = {{ url = "{}", json = {{ n = "{{{{ count }}}}" }}, batch = {{ max = 5, within = "2 s" }} }} }}]
            "#,
            http.url("/")
        ))
        .start();
    let rcpt = daemon.verp("alice@example.org", None);
    let mut client = Client::connect(daemon.smtp());
    for serial in 0..12 {
        client.bounce(&rcpt, &Why::Hard.of(serial, &rcpt, "alice@example.org").postfix());
    }
    let batches = || -> Vec<Vec<Value>> { http.asked().iter().map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect() };
    await_some("all twelve", || (batches().iter().map(Vec::len).sum::<usize>() >= 12).then_some(()));
    assert!(daemon.await_idle().is_empty());
    let batches = batches();
    assert!(batches.iter().all(|batch| batch.len() <= 5) && batches.len() < 12, "{batches:?}");
    let mut numbers: Vec<u32> = batches.iter().flatten().map(|row| row["n"].as_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    let ids: std::collections::BTreeSet<_> = http.asked().iter().map(|asked| asked.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), batches.len());
}

/// What waits for others survives a crash.
#[test]
fn a_batch_that_waits_over_a_crash() {
    let http = HttpCatcher::start();
    let mut daemon = Setup::new("smtp://127.0.0.1:9")
        .with(&format!(
            r#"
            [[trigger]]
            name = "each"
            when = "hard-bounce"
            count = "every 1"
            do = [{{ post = {{ url = "{}", batch = {{ max = 3, within = "1 day" }} }} }}]
            "#,
            http.url("/")
        ))
        .start();
    daemon.bounces(1, "alice@example.org", Why::Hard);
    daemon.bounces(2, "bob@example.org", Why::Hard);
    daemon.kill();
    daemon.start();
    assert_eq!(http.asked().len(), 0);
    daemon.bounces(3, "carol@example.org", Why::Hard);
    let rows: Vec<Value> = serde_json::from_slice(&http.wait(1, PATIENCE)[0].body).unwrap();
    let addresses: Vec<_> = rows.iter().map(|row| row["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["alice@example.org", "bob@example.org", "carol@example.org"]);
}

#[test]
fn a_secret_that_is_missing_is_told_by_check() {
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(
            r#"
            [[trigger]]
            name = "each"
            when = "hard-bounce"
            count = "every 1"
            do = [{ post = { url = "http://127.0.0.1:9/", headers = { Authorization = { secret_file = "nowhere.token" }, X-Other = { secret = "x" } } } }]
            "#,
        )
        .asleep();
    let output = daemon.run(&["check"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("headers.Authorization.secret_file: there is no ") && errors.contains("nowhere.token"), "{errors}");
    assert!(errors.contains("did you mean 'secret_file'"), "{errors}");
    assert!(!fs::exists(daemon.setup.dir.path().join("data/store")).unwrap());
}
