//! Clients that behave as an MTA does: each mail is sent again until it gets 250, whatever the daemon does meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bounced::{config::Config, verp::Codec};
use serde_json::Value;

use super::{
    PATIENCE, await_some, await_within,
    client::{Client, Reply},
    daemon::Daemon,
    mails::Bounce,
};

pub struct Senders {
    /// So many bounces for each address.
    per_address: u64,
    next: AtomicU64,
    done: AtomicBool,
    /// The test has failed: nobody waits for anything.
    given_up: AtomicBool,
    acknowledged: Mutex<BTreeSet<u64>>,
    /// Attempts that ended without a reply, or with 421 or 451.
    torn: AtomicU64,
    /// MAILs that were answered with 452.
    put_off: AtomicU64,
}

impl Senders {
    pub fn new(per_address: u64) -> Senders {
        Senders {
            per_address,
            next: AtomicU64::new(0),
            done: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            torn: AtomicU64::new(0),
            put_off: AtomicU64::new(0),
        }
    }

    pub fn person(&self, serial: u64) -> String {
        format!("person{}@example.org", serial / self.per_address)
    }

    /// The serials of the mails that got 250.
    pub fn acknowledged(&self) -> BTreeSet<u64> {
        self.acknowledged.lock().unwrap().clone()
    }

    pub fn count(&self) -> u64 {
        self.acknowledged.lock().unwrap().len() as u64
    }

    pub fn torn(&self) -> u64 {
        self.torn.load(Ordering::SeqCst)
    }

    pub fn put_off(&self) -> u64 {
        self.put_off.load(Ordering::SeqCst)
    }

    /// Waits for so many more 250s.
    pub fn await_more(&self, more: u64) {
        let goal = self.count() + more;
        await_some("250s", || (self.count() >= goal).then_some(()));
    }

    /// Each client ends once its mail has got 250.
    pub fn end(&self) {
        self.done.store(true, Ordering::SeqCst);
    }

    /// While `test` runs, so many clients send to the daemon; then all of them have ended, each mail acknowledged.
    pub fn during<T>(&self, clients: u64, daemon: &Daemon, test: impl FnOnce() -> T) -> T {
        self.at(clients, daemon.smtp(), codec(daemon), test)
    }

    /// The same for a daemon that the test itself needs.
    pub fn at<T>(&self, clients: u64, smtp: SocketAddr, codec: std::sync::Arc<Codec>, test: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| self.send(smtp, &codec));
            }
            // A test that panics must not wait for clients that wait for it.
            let ends = Ends(self);
            let given = test();
            drop(ends);
            given
        })
    }

    fn send(&self, smtp: SocketAddr, codec: &Codec) {
        let mut wire = None;
        while !self.done.load(Ordering::SeqCst) {
            self.one(&mut wire, smtp, codec);
        }
    }

    /// The next mail, until it gets 250.
    pub fn one(&self, wire: &mut Option<Client>, smtp: SocketAddr, codec: &Codec) {
        let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
        let serial = self.next.fetch_add(1, Ordering::SeqCst);
        let person = self.person(serial);
        let rcpt = codec.encode(&person, Some("faults"), None, today).unwrap();
        let mail = Bounce::unknown_user(serial, &rcpt, &person).postfix();
        let taken = await_within(PATIENCE * 4, "a 250", || {
            let sent = self.attempt(wire, smtp, &rcpt, &mail);
            let taken = matches!(&sent, Ok(Reply { code: 250, .. }));
            if !taken {
                *wire = None;
            }
            (taken || self.given_up.load(Ordering::SeqCst)).then_some(taken)
        });
        if taken {
            self.acknowledged.lock().unwrap().insert(serial);
        }
    }

    fn attempt(&self, wire: &mut Option<Client>, smtp: SocketAddr, rcpt: &str, mail: &[u8]) -> io::Result<Reply> {
        let client = match wire {
            Some(client) => client,
            None => wire.insert(Client::try_greet(smtp)?),
        };
        let begun = client.try_command("MAIL FROM:<>").inspect_err(|_| self.tear())?;
        if begun.code == 452 {
            self.put_off.fetch_add(1, Ordering::SeqCst);
            // An MTA would wait for minutes.
            thread::sleep(Duration::from_millis(100));
            return Ok(begun);
        }
        let sent = client.try_rest(rcpt, mail).inspect_err(|_| self.tear())?;
        match sent.code {
            250 => {}
            421 | 451 | 452 => self.tear(),
            _ => panic!("a good mail was refused: {sent:?}"),
        }
        Ok(sent)
    }

    fn tear(&self) {
        self.torn.fetch_add(1, Ordering::SeqCst);
    }
}

struct Ends<'a>(&'a Senders);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.given_up.store(thread::panicking(), Ordering::SeqCst);
        self.0.end();
    }
}

pub fn codec(daemon: &Daemon) -> std::sync::Arc<Codec> {
    Config::load(&daemon.setup.config_path()).unwrap().verp.codec
}

/// Mails lost and mails there more than once, of those that were acknowledged; the events are the daemon's.
pub fn lost_and_double(events: &[Value], acknowledged: &BTreeSet<u64>) -> (Vec<u64>, Vec<String>) {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        *seen.entry(text(event, "message_id").trim_matches(['<', '>']).to_owned()).or_default() += 1;
    }
    let id = |serial: u64| Bounce::unknown_user(serial, "", "").message_id();
    let lost = acknowledged.iter().copied().filter(|serial| !seen.contains_key(&id(*serial))).collect();
    let double = seen.into_iter().filter(|(_, times)| *times != 1).map(|(id, _)| id).collect();
    (lost, double)
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}
