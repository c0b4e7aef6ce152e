//! What triggers and hands change of a person, how it reaches the outside, and tasks for administrators.

use std::fs;

use serde_json::json;

use crate::support::{
    PATIENCE, await_mail, await_some,
    daemon::{Daemon, Setup},
    deeds::{Why, form, text},
    http_catcher::HttpCatcher,
    mail_catcher::MailCatcher,
};

/// Tags, fields and suppression change with the count, and posts and mails tell what the person is after all of it.
#[test]
fn what_changed_goes_out_by_post() {
    let http = HttpCatcher::start();
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(&format!(
            r#"
            [[trigger]]
            name = "first"
            when = "hard-bounce"
            count = "exactly 1"
            do = [
              {{ post = {{ url = "{0}", form = {{ email = "{{{{ address }}}}", optout = "{{{{ fields.optout }}}}", plan = "{{{{ fields.plan }}}}",
                         tries = "{{{{ fields.tries }}}}", never = "{{{{ fields.never }}}}", tags = "{{{{ tags | join(' ') }}}}",
                         all = "{{{{ fields }}}}", suppressed = "{{{{ suppressed }}}}" }} }} }},
              {{ tag = "one" }}, {{ tag = "two" }}, {{ untag = "old" }},
              {{ set = {{ optout = true, plan = "gold & \"new\"", tries = 3 }} }}, {{ suppress = true }},
            ]
            [[trigger]]
            name = "second"
            when = "hard-bounce"
            count = "exactly 2"
            do = [
              {{ untag = "one" }}, {{ blank = ["email", "plan"] }}, {{ suppress = false }},
              {{ post = {{ url = "{0}", form = {{ email = "{{{{ fields.email }}}}", plan = "{{{{ fields.plan }}}}" }} }} }},
            ]
            "#,
            http.url("/crm")
        ))
        .start();
    daemon.text(&["tag", "alice@example.org", "old"]);
    daemon.bounces(1, "alice@example.org", Why::Hard);
    let show = daemon.show("alice@example.org");
    assert_eq!(show["tags"], json!(["one", "two"]));
    assert_eq!(show["fields"], json!({"optout": true, "plan": "gold & \"new\"", "tries": 3}));
    assert_eq!(show["suppressed"], true);
    let told = form(&http.wait(1, PATIENCE)[0].body);
    for (name, value) in [
        ("email", "alice@example.org"),
        ("optout", "true"),
        ("plan", "gold & \"new\""),
        ("tries", "3"),
        ("never", ""),
        ("tags", "one two"),
        ("all", r#"{"optout":true,"plan":"gold & \"new\"","tries":3}"#),
        ("suppressed", "true"),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
    daemon.bounces(2, "alice@example.org", Why::Hard);
    let show = daemon.show("alice@example.org");
    assert_eq!((&show["tags"], &show["suppressed"]), (&json!(["two"]), &json!(false)));
    assert_eq!(show["fields"], json!({"email": "", "optout": true, "plan": "", "tries": 3}));
    let told = form(&http.wait(2, PATIENCE)[1].body);
    assert_eq!((told["email"].as_str(), told["plan"].as_str()), ("", ""));
}

#[test]
fn by_hand_what_triggers_do() {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").start();
    let set = daemon.rows(&["set", "Alice@Example.org", "optout=true", "tries=3", "email=", "note=moved away", "suppressed=true"]);
    let fields = json!({"email": "", "note": "moved away", "optout": true, "tries": 3});
    assert_eq!((&set[0]["address"], &set[0]["fields"], &set[0]["suppressed"]), (&json!("alice@example.org"), &fields, &json!(true)));
    assert_eq!(daemon.rows(&["tag", "alice@example.org", "vip"])[0]["tags"], json!(["vip"]));
    // As `set` takes them.
    let shown = daemon.text(&["show", "alice@example.org"]);
    assert!(shown.contains("fields: email=\"\", note=\"moved away\", optout=true, tries=3\n"), "{shown}");
    assert!(shown.contains("suppressed: true"), "{shown}");
    daemon.stop();
    assert_eq!(daemon.rows(&["untag", "alice@example.org", "vip"])[0]["tags"], json!([]), "with no daemon, too");
    assert_eq!(daemon.rows(&["set", "alice@example.org", "suppressed=false"])[0]["suppressed"], false);
    daemon.start();
    assert_eq!(daemon.show("alice@example.org")["fields"], fields);
    for (args, says) in [
        (&["set", "alice", "plan=gold"][..], "no mail address"),
        (&["set", "alice@example.org", "a b=1"], "no field"),
        (&["set", "alice@example.org", "suppressed=perhaps"], "suppressed=true"),
        (&["tag", "alice@example.org", "two words"], "no tag"),
    ] {
        assert!(daemon.complaint(args).contains(says), "{args:?}");
    }
    assert_eq!(daemon.run(&["set", "alice@example.org", "plan"]).status.code(), Some(2));
    assert_eq!(daemon.show("alice@example.org")["fields"], fields);
}

/// `bounced export` in its three forms: the suppressed, or whom an expression takes.
#[test]
fn exports() {
    let daemon = Setup::new("smtp://127.0.0.1:9")
        .with(
            r#"
            [[trigger]]
            name = "gone"
            when = "hard-bounce"
            count = "exactly 1"
            do = [{ suppress = true }, { set = { note = "=1+1", plan = "none" } }]
            "#,
        )
        .start();
    let nobody = daemon.text(&["export"]);
    assert_eq!(nobody, "address,suppressed,tags,fields,counts,first_seen,last_seen\r\n");
    for (serial, address) in ["alice@example.org", "bob@example.com"].into_iter().enumerate() {
        daemon.bounces(serial as u64, address, Why::Hard);
    }
    daemon.bounces(9, "carol@example.org", Why::Full);
    daemon.text(&["set", "dan@example.org", "note==SUM(A1)", "vip=true"]);
    let csv = daemon.text(&["export", "--where", "domain == 'example.org' and suppressed"]);
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 2, "{csv}");
    assert!(rows[1].starts_with("alice@example.org,true,,\"note==1+1, plan=none\",hard-bounce 1,20"), "{csv}");
    let mut addresses: Vec<_> = daemon
        .text(&["export", "--format", "jsonl"])
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["address"].clone())
        .collect();
    addresses.sort_by_key(ToString::to_string);
    assert_eq!(addresses, ["alice@example.org", "bob@example.com"]);
    let access = daemon.text(&["export", "--format", "postfix-access"]);
    let mut lines: Vec<&str> = access.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("alice@example.org REJECT "), "{access}");
    assert!(daemon.text(&["export", "--where", "fields.vip"]).contains("dan@example.org,false"));
    assert!(daemon.text(&["export", "--where", "counts['soft-bounce-mailbox-full'] > 0"]).contains("carol@example.org"));
    // Nothing half: a wrong expression prints no heading.
    let wrong = daemon.run(&["export", "--where", "domian == 'example.org'"]);
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean 'domain'"));
}

fn tasks(catcher: &MailCatcher) -> Daemon {
    Setup::new(&catcher.url())
        .with(
            r#"
            timezone = "Europe/Berlin"
            [[trigger]]
            name = "call"
            when = "hard-bounce"
            count = "exactly 1"
            do = [
              { task = { title = "Call {{ address }}", assignee = "ann@example.com", due = "1 second", mail = true } },
              { task = { title = "Look at it", due = "30 days" } },
            ]
            "#,
        )
        .start()
}

#[test]
fn tasks_are_listed_mailed_and_done() {
    let catcher = MailCatcher::start();
    let daemon = tasks(&catcher);
    assert!(daemon.text(&["tasks"]).contains("No task is open."));
    daemon.bounces(1, "alice@example.org", Why::Hard);
    let mail = await_mail(&catcher, |mail| mail.to == ["ann@example.com"]);
    assert_eq!(mail.header("subject").unwrap(), "Task: Call alice@example.org");
    let open = await_some("an overdue task", || Some(daemon.rows(&["tasks"])).filter(|tasks| tasks[0]["state"] == "overdue"));
    assert_eq!(open.len(), 2);
    for (key, value) in
        [("title", "Call alice@example.org"), ("address", "alice@example.org"), ("assignee", "ann@example.com"), ("trigger", "call")]
    {
        assert_eq!(open[0][key], value, "{open:?}");
    }
    assert_eq!((&open[1]["title"], &open[1]["assignee"], &open[1]["state"]), (&json!("Look at it"), &json!(null), &json!("open")));
    let id = open[0]["id"].as_str().unwrap();
    let told = text(&mail);
    for words in [&format!("bounced tasks done {id}\n"), "Due:        20", "alice@example.org", "User unknown", "CET"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert_eq!(daemon.show("alice@example.org")["tasks"][0]["id"], id);
    assert!(daemon.text(&["show", "alice@example.org"]).contains(&format!("overdue task {id}: Call alice@example.org, due 20")));

    assert_eq!(daemon.rows(&["tasks", "done", id])[0]["state"], "done");
    assert_eq!(daemon.rows(&["tasks"]).len(), 1);
    assert_eq!(daemon.rows(&["tasks", "list", "--all"])[0]["state"], "done");
    assert!(daemon.complaint(&["tasks", "done", id]).contains("no open task"));
    assert!(daemon.complaint(&["tasks", "done", "nonsense"]).contains("no task's id"));
    assert_eq!(daemon.rows(&["outbox", "list", "--all"]).len(), 1, "the mail; a task is no job");
}

/// The digest of the day counts the open ones and names those whose time is past.
#[test]
fn overdue_tasks_stand_in_the_digest() {
    let catcher = MailCatcher::start();
    let mut daemon = tasks(&catcher);
    daemon.bounces(1, "alice@example.org", Why::Hard);
    await_some("an overdue task", || Some(daemon.rows(&["tasks"])).filter(|tasks| tasks[0]["state"] == "overdue"));
    let digest = digest(&mut daemon, &catcher);
    assert!(digest.0.contains("1 tasks overdue"), "{}", digest.0);
    assert!(digest.1.contains("         2  open\n         1  of them overdue\n"), "{}", digest.1);
    assert!(digest.1.contains(", ann@example.com: Call alice@example.org  (bounced tasks done "), "{}", digest.1);
}

/// Starts the daemon anew as if the last digest were of some days ago: subject and text of the one that is due.
pub fn digest(daemon: &mut Daemon, catcher: &MailCatcher) -> (String, String) {
    let path = daemon.setup.dir.path().join("data/alert.json");
    daemon.stop();
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["digest"] = json!("2026-01-01");
    fs::write(&path, state.to_string()).unwrap();
    daemon.start();
    let mail = await_mail(catcher, |mail| mail.header("subject").is_some_and(|subject| subject.contains("digest: ")));
    (mail.header("subject").unwrap(), text(&mail))
}
