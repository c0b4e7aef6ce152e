//! The daemon's parts in one process, put together as `bounced run` does it, with a clock that the test moves.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use bounced::{
    action::{Dispatcher, Sources},
    config::Config,
    intake::{Arrival, Intake, Policy},
    ledger::{Hand, HandInput, Input},
    outbox::{Hooks, Limits, Targets, Worker},
    store::{Options, Store, Which},
    verp::day_of,
};
use bytes::Bytes;
use jiff::Timestamp;
use mail_parser::{MessageParser, MimeHeaders};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    store_support::Clock,
    support::{
        PATIENCE,
        mail_catcher::{Caught, MailCatcher},
        mails::Bounce,
    },
};

struct Running {
    store: Arc<Store>,
    intake: Intake,
    worker: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

pub struct House {
    pub clock: Clock,
    config: Config,
    catcher: MailCatcher,
    running: Option<Running>,
    _dir: TempDir,
}

impl House {
    /// Only where it lies and its relay are this test's.
    pub async fn new(begin: Timestamp) -> House {
        let (dir, catcher, clock) = (tempfile::tempdir().unwrap(), MailCatcher::start(), Clock::new());
        clock.go(begin.duration_since(clock.now()));
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/three-strikes.toml");
        let text = std::fs::read_to_string(&shipped).unwrap();
        let text = [("/var/lib/bounced", dir.path().join("data").display().to_string()), ("smtp://127.0.0.1:25", catcher.url())]
            .into_iter()
            .fold(text, |text, (shipped, ours)| {
                assert_eq!(text.matches(shipped).count(), 1, "{shipped} in the shipped file");
                text.replace(shipped, &ours)
            });
        let config = Config::read(&text, &shipped, None).unwrap();
        std::fs::create_dir_all(&config.data_dir).unwrap();
        let config = config.with_person_key().unwrap();
        let mut house = House { clock, config, catcher, running: None, _dir: dir };
        house.start().await;
        house
    }

    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    fn today(&self) -> i32 {
        day_of(self.clock.now())
    }

    pub async fn start(&mut self) {
        let (clock, codec) = (self.clock.clone(), self.config.verp.codec.clone());
        let now: bounced::store::Clock = Arc::new(move || clock.now());
        let key = codec.clone();
        let options = Options { own_key: Some(Arc::new(move |address| key.key_of_address(address))), ..Options::new(now.clone()) };
        let store = Arc::new(Store::open(&self.config.data_dir, options).unwrap());
        store.set_rules(self.config.rules.clone());
        store.plan().await.unwrap();
        let (people, days, clock) = (store.clone(), store.clone(), now.clone());
        let own = codec.clone();
        let sources = Sources {
            people: Some(Arc::new(move |report, delivery, each| {
                people.each_collected(report, delivery, each).map_err(|error| error.to_string())
            })),
            days: Some(Arc::new(move |first, last| days.days(Which::Counted, first..=last).map_err(|error| error.to_string()))),
            ..Sources::default()
        };
        let own_sender = Arc::new(move |job: &str| own.encode_own(job, day_of(clock())));
        let dispatcher = Dispatcher::new(self.config.mail.as_ref(), &self.config.hostname, own_sender, Arc::new(|_| Ok(None))).unwrap();
        let dispatcher = Arc::new(dispatcher.with_sources(sources));
        let hooks = Hooks {
            clock: now.clone(),
            random: Arc::new(|| 7),
            on_dead: Arc::new(|job| panic!("a dead job: {job:?}")),
            on_target: Arc::new(|_| {}),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::new(store.clone(), dispatcher, hooks, Arc::new(Targets::default()), Limits::default());
        let worker = tokio::spawn(worker.run(async move { drop(stopped.await) }));
        let intake = Intake::new(store.clone(), Policy::of(&self.config, codec), now, Box::new(|_, _| {}));
        self.running = Some(Running { store, intake, worker, stop });
    }

    pub async fn stop(&mut self) {
        let Running { store, intake, worker, stop } = self.running.take().expect("it runs");
        let _ = stop.send(());
        worker.await.unwrap();
        drop(intake);
        store.close().unwrap();
    }

    /// Runs what is due by the clock; how much that was.
    pub async fn tick(&self) -> usize {
        self.running().store.tick().await.unwrap()
    }

    async fn take(&self, address: &str, mail: impl FnOnce(&str) -> Vec<u8>) {
        let intake = &self.running().intake;
        let rcpt = self.config.verp.codec.encode(address, Some("autumn"), None, self.today()).unwrap();
        let mailbox = intake.policy().gate.judge(&rcpt, self.today()).unwrap();
        let arrival = Arrival {
            client: None,
            helo: Some("mx.sender.test".into()),
            reverse_path: Some(String::new()),
            mailboxes: vec![mailbox],
            raw: Bytes::from(mail(&rcpt)),
        };
        intake.take(arrival).await.unwrap();
    }

    pub async fn hard(&self, address: &str, serial: u64) {
        self.take(address, |rcpt| Bounce::unknown_user(serial, rcpt, address).postfix()).await;
    }

    pub async fn full(&self, address: &str, serial: u64) {
        self.take(address, |rcpt| Bounce::mailbox_full(serial, rcpt, address).postfix()).await;
    }

    pub async fn by_hand(&self, address: &str, act: Hand) {
        let person = Some(self.config.verp.codec.key_of_address(address));
        self.running().store.record(vec![Input::Hand(HandInput { person, act })], Bytes::new()).await.unwrap();
    }

    pub fn tags(&self, address: &str) -> BTreeSet<String> {
        let person = self.running().store.person(self.config.verp.codec.key_of_address(address)).unwrap();
        person.map(|person| person.tags).unwrap_or_default()
    }

    /// All mails that went out so far: at least `count`, and nothing waits any more.
    pub async fn await_mails(&self, count: usize) -> Vec<Caught> {
        let (catcher, store) = (self.catcher.clone(), self.running().store.clone());
        tokio::task::spawn_blocking(move || {
            catcher.wait(count, PATIENCE);
            crate::support::await_some("an idle outbox", || {
                let counts = store.job_counts().unwrap();
                (counts.waiting + counts.running == 0).then_some(())
            });
            catcher.mails()
        })
        .await
        .unwrap()
    }
}

/// The addresses in the report's attachment.
pub fn people_in(mail: &Caught) -> Vec<String> {
    let message = MessageParser::default().parse(&mail.data).unwrap();
    let sheet = message.attachments().find(|part| part.attachment_name().is_some_and(|name| name.ends_with(".csv"))).unwrap();
    let mut rows = csv::Reader::from_reader(sheet.contents());
    assert_eq!(rows.headers().unwrap().get(0), Some("address"));
    rows.records().map(|row| row.unwrap().get(0).unwrap().to_owned()).collect()
}
