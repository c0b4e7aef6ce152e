//! Follow-up sequences: steps in their time, once each, whatever happens in between.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    PATIENCE, await_some,
    daemon::{Daemon, Setup},
    deeds::Why,
    http_catcher::HttpCatcher,
};

/// Started at each hard bounce, stopped by a full mailbox; each step posts its name.
fn setup(http: &HttpCatcher, steps: &[(&str, &str)]) -> Setup {
    let mut toml = r#"
        [[trigger]]
        name = "in"
        when = "hard-bounce"
        count = "every 1"
        do = [{ start = "follow" }]
        [[trigger]]
        name = "out"
        when = "soft-bounce-mailbox-full"
        count = "every 1"
        do = [{ stop = "follow" }]
        [[sequence]]
        name = "follow"
        "#
    .to_owned();
    toml += &written(http, steps);
    Setup::new("smtp://127.0.0.1:9").with(&toml)
}

fn written(http: &HttpCatcher, steps: &[(&str, &str)]) -> String {
    let one = |(name, after): &(&str, &str)| {
        let post = format!("post = {{ url = \"{}\", form = {{ step = \"{name}\", email = \"{{{{ address }}}}\" }} }}", http.url("/"));
        format!("[[sequence.step]]\nname = \"{name}\"\nafter = \"{after}\"\ndo = [{{ tag = \"{name}\" }}, {{ {post} }}]\n")
    };
    steps.iter().map(one).collect()
}

fn steps_taken(http: &HttpCatcher) -> Vec<String> {
    let taken = |body: &[u8]| crate::support::deeds::form(body)["step"].clone();
    http.asked().iter().map(|asked| taken(&asked.body)).collect()
}

fn place(daemon: &Daemon) -> serde_json::Value {
    daemon.rows(&["sequence", "members", "follow"]).first().cloned().unwrap_or_default()
}

#[test]
fn steps_run_in_their_time_and_nobody_is_started_twice() {
    let http = HttpCatcher::start();
    let daemon = setup(&http, &[("one", "1 second"), ("two", "4 seconds")]).start();
    daemon.bounces(1, "alice@example.org", Why::Hard);
    let first = place(&daemon);
    assert_eq!((&first["address"], &first["step"]), (&json!("alice@example.org"), &json!("one")));
    assert_eq!(daemon.rows(&["sequence", "list"]), [json!({"name": "follow", "members": 1, "next": first["due"]})]);
    assert_eq!(daemon.show("alice@example.org")["sequences"], json!([{"name": "follow", "step": 1, "due": first["due"]}]));
    assert!(daemon.text(&["show", "alice@example.org"]).contains("in sequence follow: step 1, due 20"));
    http.wait(1, PATIENCE);
    daemon.bounces(2, "alice@example.org", Why::Hard);
    let second = place(&daemon);
    assert_eq!((&second["started"], &second["step"]), (&first["started"], &json!("two")));
    http.wait(2, PATIENCE);
    await_some("the end", || daemon.rows(&["sequence", "members", "follow"]).is_empty().then_some(()));
    assert_eq!(steps_taken(&http), ["one", "two"]);
    assert_eq!(daemon.tags("alice@example.org"), ["one", "two"]);
    // Whoever is through may begin anew.
    daemon.bounces(3, "alice@example.org", Why::Hard);
    http.wait(3, PATIENCE);
    assert_eq!(steps_taken(&http), ["one", "two", "one"]);
}

#[test]
fn stopped_by_a_trigger_and_by_hand() {
    let http = HttpCatcher::start();
    let daemon = setup(&http, &[("one", "2 seconds"), ("later", "1 month")]).start();
    for (serial, address) in ["alice@example.org", "bob@example.org", "carol@example.org"].into_iter().enumerate() {
        daemon.bounces(serial as u64, address, Why::Hard);
    }
    daemon.bounces(10, "alice@example.org", Why::Full);
    assert_eq!(daemon.rows(&["sequence", "stop", "follow", "Bob@example.org"])[0]["stopped"], true);
    let members = daemon.rows(&["sequence", "members", "follow"]);
    assert_eq!((members.len(), &members[0]["address"]), (1, &json!("carol@example.org")));
    http.wait(1, PATIENCE);
    assert_eq!((daemon.tags("alice@example.org"), daemon.tags("bob@example.org")), (vec![], vec![]));
    assert_eq!(daemon.tags("carol@example.org"), ["one"]);
    assert_eq!(place(&daemon)["step"], "later");
    assert!(daemon.complaint(&["sequence", "stop", "follow", "bob@example.org"]).contains("is not in the sequence"));
    assert!(daemon.complaint(&["sequence", "stop", "folow", "carol@example.org"]).contains("there is no sequence 'folow'"));
    assert!(daemon.complaint(&["sequence", "members", "folow"]).contains("there is no sequence"));
    // Stopped and started: from its beginning.
    let started = place(&daemon)["started"].clone();
    daemon.bounces(11, "carol@example.org", Why::Full);
    daemon.bounces(12, "carol@example.org", Why::Hard);
    let anew = place(&daemon);
    assert!(anew["step"] == "one" && anew["started"] != started, "{anew}");
}

/// A step that fell due while nothing ran is taken at the next start, once; a kill makes no second one.
#[test]
fn a_step_that_fell_due_while_nothing_ran() {
    let http = HttpCatcher::start();
    let mut daemon = setup(&http, &[("one", "1 second"), ("later", "1 month")]).start();
    daemon.bounces(1, "alice@example.org", Why::Hard);
    daemon.kill();
    let due: jiff::Timestamp = place(&daemon)["due"].as_str().unwrap().parse().unwrap();
    await_some("its time", || (jiff::Timestamp::now() > due + jiff::SignedDuration::from_secs(2)).then_some(()));
    // Commands alone take no step.
    assert_eq!(place(&daemon)["step"], "one");
    daemon.start();
    http.wait(1, PATIENCE);
    assert!(daemon.await_idle().is_empty());
    daemon.kill();
    daemon.start();
    assert_eq!(place(&daemon)["step"], "later");
    assert!(daemon.await_idle().is_empty());
    assert_eq!(steps_taken(&http), ["one"]);
}

/// Members keep their places over a reload that adds a step before theirs, and while their sequence is gone from the file.
#[test]
fn members_keep_their_places_over_a_changed_file() {
    let http = HttpCatcher::start();
    let mut daemon = setup(&http, &[("one", "1 second"), ("two", "6 seconds"), ("three", "1 month")]).start();
    daemon.bounces(1, "alice@example.org", Why::Hard);
    http.wait(1, PATIENCE);
    let before = place(&daemon);
    assert_eq!(before["step"], "two");
    let steps = [("zero", "0 seconds"), ("one", "1 second"), ("between", "2 seconds"), ("two", "6 seconds"), ("three", "1 month")];
    let sequence = format!("[[sequence]]\nname = \"follow\"\n{}", written(&http, &steps));
    daemon.setup.without("sequence").merge(&sequence).write();
    daemon.signal(Signal::HUP);
    await_some("the reload", || daemon.log().contains("configuration read again").then_some(()));
    assert_eq!(place(&daemon), before);
    http.wait(2, PATIENCE);
    await_some("the next place", || (place(&daemon)["step"] == "three").then_some(()));
    assert_eq!(steps_taken(&http), ["one", "two"]);
    assert_eq!(daemon.show("alice@example.org")["sequences"][0]["name"], "follow");

    let text = fs::read_to_string(daemon.setup.config_path()).unwrap();
    daemon.setup.without("sequence").without("trigger").write();
    daemon.stop();
    daemon.start();
    assert_eq!(daemon.rows(&["sequence", "list"]), [json!(null); 0]);
    assert_eq!(daemon.show("alice@example.org")["sequences"][0]["name"], "follow");
    fs::write(daemon.setup.config_path(), &text).unwrap();
    daemon.stop();
    daemon.start();
    assert_eq!(place(&daemon)["step"], "three");
}
