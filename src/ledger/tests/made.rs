//! Tasks and reports as a configuration makes them.

use super::*;
use crate::action::{MailTask, MailTemplate, PostBody, PostTask, ReportTask};

pub fn mail_task() -> Task {
    let template = MailTemplate { name: "t".into(), subject: "x".into(), body: "x".into(), html: None };
    Task::Mail(MailTask { to: "ops@example.com".into(), template, digest: None, at_most: None })
}

pub fn post_task() -> Task {
    let url = "https://app.example.com/".to_owned();
    let (body, headers) = (PostBody::Event, Default::default());
    Task::Post(PostTask { url, body, headers, secret_file: None, batch: None, concurrency: None, rate: None })
}

pub fn report_rule(active: bool, send_empty: bool) -> ReportRule {
    let task = ReportTask {
        name: "r".into(),
        delivery: 0,
        from: None,
        to: vec!["ops@example.com".into()],
        subject: "x".into(),
        body: None,
        html: None,
        fields: vec!["address".into()],
    };
    ReportRule { active, schedule: None, send_empty, task }
}
