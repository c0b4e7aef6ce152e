//! Jobs for the tests of deliveries.
#![allow(dead_code)]

use bounced::{
    action::{MailTask, MailTemplate, PostBody, PostTask, Task, sample_facts},
    outbox::{Job, JobId, State},
};
use jiff::Timestamp;

/// A job for the event of [`sample_facts`], its id `0000002a-7-00000001-2`.
pub fn job(task: Task) -> Job {
    Job {
        id: JobId { epoch: 42, event: 7, trigger: 1, place: 2 },
        task,
        facts: sample_facts(),
        others: Vec::new(),
        beyond: 0,
        state: State::Running,
        attempts: 1,
        created: Timestamp::UNIX_EPOCH,
        next: Timestamp::UNIX_EPOCH,
        last_error: None,
    }
}

pub fn mail_task(to: &str) -> MailTask {
    MailTask {
        to: to.to_owned(),
        template: MailTemplate {
            name: "hard-bounce".to_owned(),
            subject: "{{ address }} bounced {{ count }} times".to_owned(),
            body: "It said:\n.\n{{ diagnostic }}\nGrüße\n".to_owned(),
            html: None,
        },
        digest: None,
        at_most: None,
    }
}

pub fn post_task(url: &str, body: PostBody) -> PostTask {
    PostTask { url: url.to_owned(), body, headers: Default::default(), secret_file: None, batch: None, concurrency: None, rate: None }
}
