//! What the store's tests share: inputs, a clock that a test moves, rules.
#![allow(dead_code, clippy::unwrap_used)]

pub mod house;

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use bounced::{
    action::{PostBody, PostTask, Task},
    classify::Verdict,
    ledger::{Comparator, Event, Input, MailEvent, MailInput, Origin, Per, Rules, Standing, Step, Trigger},
    store::{Options, Platter, Recorded, Store},
    taxonomy::Status,
    verp::PersonKey,
};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// Where nobody cuts the power: what is durable is shown by other tests.
pub struct Careless;

impl Platter for Careless {
    fn sync(&self, _: &File, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone)]
pub struct Clock(Arc<Mutex<Timestamp>>);

impl Clock {
    pub fn new() -> Clock {
        Clock(Arc::new(Mutex::new("2026-11-23T04:41:00Z".parse().unwrap())))
    }

    pub fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    pub fn go(&self, by: SignedDuration) {
        *self.0.lock().unwrap() += by;
    }

    pub fn go_days(&self, days: i64) {
        self.go(SignedDuration::from_hours(24 * days));
    }

    pub fn options(&self) -> Options {
        let clock = self.clone();
        // Few, so that they are written to their place and merged many times in a test.
        Options { cache_bytes: 8 << 20, memory_rows: 300, own_key: Some(Arc::new(key)), ..Options::new(Arc::new(move || clock.now())) }
    }
}

pub fn key(address: &str) -> PersonKey {
    let mut key = [0; 10];
    key.copy_from_slice(&Sha256::digest(address.as_bytes())[..10]);
    PersonKey(key)
}

/// A hard bounce; `mail` tells one mail from another.
pub fn mail(address: &str, mail: &str) -> MailInput {
    let mut dedupe = [0; 16];
    dedupe.copy_from_slice(&Sha256::digest(format!("{address} {mail}").as_bytes())[..16]);
    let verdict = Verdict {
        address: Some(address.to_owned()),
        status: Status::HardBounce,
        enhanced: Some("5.1.1".to_owned()),
        diagnostic: Some(format!("550 5.1.1 <{address}>: Recipient address rejected: User unknown")),
        ..Verdict::undetermined("user-unknown")
    };
    MailInput {
        person: Some(key(address)),
        verdict,
        campaign: Some("news".to_owned()),
        standing: Standing::Full,
        origin: Origin { rcpt: format!("b+news+sig+{}@returns.example.com", address.replace('@', "=")), signed: true, ..Origin::default() },
        dedupe,
        keep_raw: false,
        forward: None,
        original_whole: false,
        import: None,
    }
}

pub async fn record(store: &Store, mail: MailInput) -> Recorded {
    record_raw(store, mail, Bytes::from_static(b"Subject: gone\r\n\r\ngone\r\n")).await
}

pub async fn record_raw(store: &Store, mail: MailInput, raw: Bytes) -> Recorded {
    store.record(vec![Input::Mail(mail)], raw).await.unwrap().remove(0)
}

pub fn trigger(name: &str, per: Per, count: Comparator) -> Trigger {
    let task = PostTask {
        url: "https://app.example.com/bounces".to_owned(),
        body: PostBody::Event,
        headers: Default::default(),
        secret_file: None,
        batch: None,
        concurrency: None,
        rate: None,
    };
    Trigger {
        name: name.to_owned(),
        when: vec![Status::HardBounce],
        count,
        within: None,
        distinct: None,
        per,
        repeat: false,
        filter: None,
        steps: vec![Step::Tag("told".to_owned()), Step::Job(Task::Post(task))],
    }
}

pub fn rules(triggers: Vec<Trigger>) -> Arc<Rules> {
    Arc::new(Rules { triggers, ..Rules::default() })
}

pub fn event(event: Event) -> MailEvent {
    event.into_mail().expect("a mail's event")
}

/// All files below, with their paths from there.
pub fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let all = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap);
    all.filter(|entry| entry.file_type().is_file()).map(|entry| entry.path().strip_prefix(dir).unwrap().to_owned()).collect()
}
