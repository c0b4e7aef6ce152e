//! Posts into an HTTP server that answers by a script.

#![allow(clippy::unwrap_used)]

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::Command,
    sync::Arc,
    time::Duration,
};

use bounced::{
    action::{Batch, PostBody, PostTask, Poster, Task},
    outbox::{Blame, JobId, Outcome, Part},
};
use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::Sha256;

#[path = "support/http_catcher.rs"]
mod http_catcher;
#[path = "support/jobs.rs"]
mod jobs;
#[path = "support/tls.rs"]
mod tls;

use http_catcher::{Answer, HttpCatcher};
use jobs::{job, post_task};

const NOW: &str = "2026-11-23T04:41:00Z";

fn poster() -> Poster {
    Poster::new(Duration::from_secs(20), Arc::new(|| NOW.parse().unwrap())).unwrap()
}

async fn post(task: &PostTask) -> Outcome {
    poster().post(&job(Task::Post(task.clone())), task).await
}

fn form(pairs: &[(&str, &str)]) -> PostBody {
    PostBody::Form(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

fn later(outcome: Outcome) -> (String, Option<u64>) {
    let Outcome::Later { error, after, .. } = outcome else { panic!("{outcome:?}") };
    (error, after)
}

fn blame(outcome: &Outcome) -> Blame {
    let Outcome::Later { blame, .. } = outcome else { panic!("{outcome:?}") };
    *blame
}

/// What closes a target and what doesn't.
#[tokio::test]
async fn who_is_to_blame() {
    let catcher = HttpCatcher::start();
    let task = post_task(&catcher.url("/"), PostBody::Event);
    for (status, whose) in [(503, Blame::Target), (429, Blame::Target), (404, Blame::Job), (302, Blame::Job)] {
        catcher.answer(Answer::status(status));
        assert_eq!(blame(&post(&task).await), whose, "{status}");
    }
    assert_eq!(blame(&post(&post_task("http://127.0.0.1:9/", PostBody::Event)).await), Blame::Target, "nobody listens");
    catcher.answer(Answer::status(200).after(Duration::from_secs(60)));
    let hasty = Poster::new(Duration::from_millis(200), Arc::new(|| NOW.parse().unwrap())).unwrap();
    assert_eq!(blame(&hasty.post(&job(Task::Post(task.clone())), &task).await), Blame::Target, "no answer in time");
}

#[tokio::test]
async fn a_form_with_the_headers_of_standard_webhooks() {
    let catcher = HttpCatcher::start();
    let mut task =
        post_task(&catcher.url("/b/{{ address }}?s={{ status }}"), form(&[("email", "{{ address }}"), ("said", "{{ diagnostic }}")]));
    task.headers.insert("X-Rule".to_owned(), "{{ rule }}".into());
    assert_eq!(post(&task).await, Outcome::Done);
    let [asked] = &catcher.asked()[..] else { panic!("one request") };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/b/alice%40example.org?s=hard-bounce"));
    assert_eq!(asked.text(), "email=alice%40example.org&said=550+5.1.1+%3Calice%40example.org%3E%3A+user+unknown");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked.header("x-rule"), Some("user-unknown"));
    assert_eq!(asked.header("webhook-id"), Some("0000002a-7-00000001-2"));
    assert_eq!(asked.header("webhook-timestamp"), Some(NOW.parse::<Timestamp>().unwrap().as_second().to_string().as_str()));
    assert_eq!(asked.header("webhook-signature"), None);
    assert!(asked.header("user-agent").unwrap().starts_with("bounced/"));
}

#[tokio::test]
async fn json_and_event_bodies() {
    let catcher = HttpCatcher::start();
    let json = r#"{"email": "{{ address }}", "times": "{{ count }}", "optout": true}"#;
    assert_eq!(post(&post_task(&catcher.url("/"), PostBody::Json(json.to_owned()))).await, Outcome::Done);
    assert_eq!(post(&post_task(&catcher.url("/"), PostBody::Event)).await, Outcome::Done);
    let asked = catcher.asked();
    let bodies: Vec<serde_json::Value> = asked.iter().map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect();
    assert_eq!(bodies[0], serde_json::json!({"email": "alice@example.org", "times": "3", "optout": true}));
    assert_eq!((&bodies[1]["address"], &bodies[1]["id"]), (&"alice@example.org".into(), &1.into()));
    assert!(asked.iter().all(|asked| asked.header("content-type") == Some("application/json")));
}

#[tokio::test]
async fn hostile_facts_stay_inside_their_value() {
    let catcher = HttpCatcher::start();
    let mut task = post_task(&catcher.url("/b/{{ subject }}/end"), form(&[("subject", "{{ subject }}")]));
    task.headers.insert("x-subject".to_owned(), "{{ subject }}".into());
    let mut job = job(Task::Post(task.clone()));
    let hostile = "../../admin?x=1&y=2#z@evil.example\r\nX-Admin: 1\u{0}ü\"";
    job.facts.event.origin.subject = Some(hostile.to_owned());
    assert_eq!(poster().post(&job, &task).await, Outcome::Done);
    let [asked] = &catcher.asked()[..] else { panic!("one request") };
    let path: Vec<&str> = asked.target.split(['/', '?', '#']).collect();
    assert!(path.len() == 4 && path[1] == "b" && path[2].starts_with("..%2F..%2Fadmin%3F") && path[3] == "end", "{}", asked.target);
    assert_eq!(asked.header("x-admin"), None);
    assert_eq!(asked.header("x-subject"), Some("../../admin?x=1&y=2#z@evil.example X-Admin: 1 ü\""));
    assert_eq!(asked.text().matches(['&', '=']).count(), 1, "{}", asked.text());
    job.facts.event.origin.subject = Some("..".to_owned());
    assert!(matches!(poster().post(&job, &task).await, Outcome::Dead { .. }));
    assert_eq!(catcher.asked().len(), 1);
}

#[tokio::test]
async fn each_secret_signs_the_very_bytes() {
    let catcher = HttpCatcher::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let task = PostTask { secret_file: Some(file.clone()), ..post_task(&catcher.url("/"), PostBody::Event) };
    let unsigned = post(&task).await;
    assert_eq!(blame(&unsigned), Blame::Us);
    let (error, _) = later(unsigned);
    assert!(error.contains("can't be used"), "{error}");
    std::fs::write(&file, format!("whsec_{}\nan old one\n", BASE64.encode(b"the new key"))).unwrap();
    assert_eq!(post(&task).await, Outcome::Done);
    let [asked] = &catcher.asked()[..] else { panic!("an unsigned post must not go out") };
    let signed =
        [format!("{}.{}.", asked.header("webhook-id").unwrap(), asked.header("webhook-timestamp").unwrap()).as_bytes(), &asked.body]
            .concat();
    let expected = [&b"the new key"[..], b"an old one"].map(|key| {
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(&signed);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    });
    assert_eq!(asked.header("webhook-signature").unwrap(), expected.join(" "));
}

#[tokio::test]
async fn a_batch_is_one_message() {
    let catcher = HttpCatcher::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "a key\n").unwrap();
    let batch = Some(Batch { max: 3, within: Duration::from_secs(10) });
    let task = PostTask { secret_file: Some(file), batch, ..post_task(&catcher.url("/"), PostBody::Event) };
    let mut job = job(Task::Post(task.clone()));
    assert_eq!(poster().post(&job, &task).await, Outcome::Done);
    for number in [8, 9] {
        let mut facts = job.facts.clone();
        facts.event.id = number;
        job.others.push(Part { id: JobId { event: number, ..job.id }, facts });
    }
    assert_eq!(poster().post(&job, &task).await, Outcome::Done);
    let [one, three] = &catcher.asked()[..] else { panic!("two requests") };
    for (asked, ids) in [(one, &[1][..]), (three, &[1, 8, 9])] {
        let array: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(array.as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect::<Vec<_>>(), ids);
        assert_eq!(asked.header("webhook-id"), Some("0000002a-7-00000001-2"));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        let signed = [format!("0000002a-7-00000001-2.{}.", asked.header("webhook-timestamp").unwrap()).as_bytes(), &asked.body].concat();
        let mac = Hmac::<Sha256>::new_from_slice(b"a key").unwrap().chain_update(&signed);
        assert_eq!(asked.header("webhook-signature").unwrap(), format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())));
    }
}

#[tokio::test]
async fn what_an_answer_means() {
    let catcher = HttpCatcher::start();
    let task = post_task(&catcher.url("/"), PostBody::Event);
    for status in [200, 201, 202, 204, 299] {
        catcher.answer(Answer::status(status));
        assert_eq!(post(&task).await, Outcome::Done, "{status}");
    }
    catcher.answer(Answer::status(410).body(b"no\r\nmore"));
    assert_eq!(post(&task).await, Outcome::Dead { error: "HTTP 410 Gone: no more".to_owned() });
    for (status, header, after) in [
        (400, None, None),
        (404, None, None),
        (429, Some("120"), Some(120)),
        (500, Some("soon"), None),
        (503, Some("Mon, 23 Nov 2026 04:42:30 GMT"), Some(90)),
    ] {
        let answer = Answer::status(status);
        catcher.answer(header.map_or(answer.clone(), |value| answer.header("retry-after", value)));
        let (error, asked_for) = later(post(&task).await);
        assert!(error.starts_with(&format!("HTTP {status}")) && asked_for == after, "{status}: {error} {asked_for:?}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (catcher, elsewhere) = (HttpCatcher::start(), HttpCatcher::start());
    for status in [301, 302, 303, 307, 308] {
        catcher.answer(Answer::status(status).header("location", &elsewhere.url("/caught")));
        let (error, _) = later(post(&post_task(&catcher.url("/"), PostBody::Event)).await);
        assert!(error.contains("redirects are not followed"), "{error}");
    }
    assert_eq!((catcher.asked().len(), elsewhere.asked().len()), (5, 0));
}

#[tokio::test]
async fn an_endless_answer_is_cut_short() {
    let catcher = HttpCatcher::start();
    catcher.answer(Answer::status(500).body(&b"<\x1b".repeat(8 << 20)));
    let (error, _) = later(post(&post_task(&catcher.url("/"), PostBody::Event)).await);
    assert!(error.chars().count() < 300 && !error.contains('\x1b'), "{error}");
}

/// Each stage at which a receiver can hang: before the answer, and within an unwelcome one. One that says 200 has the post.
#[tokio::test]
async fn no_receiver_holds_us_longer_than_the_deadline() {
    for (head, done) in [
        ("", false),
        ("HTTP/1.1 500 x\r\ncontent-length: 100\r\n\r\nhalf", false),
        ("HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\nhalf", true),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            // Until the client hangs up.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let poster = Poster::new(Duration::from_millis(400), Arc::new(|| NOW.parse().unwrap())).unwrap();
        let task = post_task(&url, PostBody::Event);
        let outcome = poster.post(&job(Task::Post(task.clone())), &task).await;
        assert_eq!(outcome == Outcome::Done, done, "{head:?}: {outcome:?}");
        drop(poster);
        // The runtime must go on for the connection to be closed.
        tokio::task::spawn_blocking(|| server.join()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn nobody_there() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (error, after) = later(post(&post_task(&format!("http://{address}/secret"), PostBody::Event)).await);
    assert!(!error.contains("secret") && error.to_lowercase().contains("connect") && after.is_none(), "{error}");
}

/// Run by the next test in a process of its own.
#[tokio::test]
#[ignore = "needs the environment that proxies_of_the_environment_are_ignored makes"]
async fn proxies_inner() {
    let catcher = HttpCatcher::start();
    assert_eq!(post(&post_task(&catcher.url("/"), PostBody::Event)).await, Outcome::Done);
    assert_eq!(catcher.asked()[0].target, "/");
}

#[test]
fn proxies_of_the_environment_are_ignored() {
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "proxies_inner"])
        .envs(["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:9/")))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success() && out.contains("1 passed"), "{out}{}", String::from_utf8_lossy(&inner.stderr));
}

/// Run by the next test in a process of its own.
#[tokio::test]
#[ignore = "needs the environment that https makes"]
async fn https_inner() {
    let port = tls::serve(&tls::folder(), |mut stream| {
        // What a server says after a client has hung up is lost.
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 204 x\r\n\r\n");
    });
    assert_eq!(post(&post_task(&format!("https://localhost:{port}/"), PostBody::Event)).await, Outcome::Done);
    let (error, _) = later(post(&post_task(&format!("https://127.0.0.1:{port}/"), PostBody::Event)).await);
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn https() {
    tls::trusting("https_inner");
}
