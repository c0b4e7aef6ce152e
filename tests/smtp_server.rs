//! The server on loopback: TLS, reload, caps, deadlines, memory, stop.

#![allow(clippy::unwrap_used)]

#[path = "smtp_support/client.rs"]
mod client;
#[path = "smtp_support/server.rs"]
mod server;
mod smtp_support;

use std::{
    fs,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bounced::{
    intake::{Arrival, Failure, Mailbox, Refusal},
    smtp::{Handler, Settings, bind, limits::Memory, tls},
};
use client::{Client, PATIENT};
use rustls::version::{TLS12, TLS13};
use server::{certify, files, settings, start, start_with};
use smtp_support::Fake;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore},
    time::timeout,
};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_mail_by_tls_1_2_and_1_3() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    for (version, name) in [(&TLS12, "TLSv1_2"), (&TLS13, "TLSv1_3")] {
        let trusts = certify(&files, &[version]);
        let handler = Arc::new(Fake::default());
        let (_server, address) = start(Settings { tls: Some(tls::load(&files).unwrap()), ..settings() }, &handler);
        let mut client = Client::greeted(address).await.start_tls(trusts).await.unwrap();
        assert_eq!(client.0.get_ref().get_ref().1.protocol_version().unwrap().as_str(), Some(name));
        client.say("MAIL FROM:<>", "503 5.5.1").await;
        client.send("EHLO secure.test\r\n").await;
        let hello = client.reply().await;
        assert!(!hello.contains("STARTTLS") && hello.contains("250-PIPELINING"), "{hello}");
        client.envelope("good@returns.test").await;
        client.say("DATA", "354").await;
        client.say(&format!("{}\r\n.", "x".repeat(50_000)), "250 2.0.0 recorded as 1").await;
        client.say("QUIT", "221").await;
        let taken = handler.taken.lock().unwrap();
        assert_eq!((taken.len(), taken[0].raw.len(), taken[0].helo.as_deref()), (1, 50_002, Some("secure.test")));
        assert_eq!(taken[0].client, Some("127.0.0.1".parse().unwrap()));
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_bad_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let first = certify(&files, &[&TLS13]);
    let handler = Arc::new(Fake::default());
    let (server, address) = start(Settings { tls: Some(tls::load(&files).unwrap()), ..settings() }, &handler);
    assert!(Client::greeted(address).await.start_tls(Arc::clone(&first)).await.is_ok());
    let mut before = Client::greeted(address).await;

    fs::write(&files.key, "not a key").unwrap();
    let error = tls::load(&files).err().expect("an error").to_string();
    assert!(error.contains("key.pem"), "{error}");
    assert!(Client::greeted(address).await.start_tls(Arc::clone(&first)).await.is_ok());

    let second = certify(&files, &[&TLS13]);
    let renewed = Settings { tls: Some(tls::load(&files).unwrap()), hostname: "mx.returns.test.".into(), ..settings() };
    server.apply(server.prepare(renewed, &["127.0.0.1:0".parse().unwrap()]).unwrap());
    assert_eq!(server.addresses(), [address]);
    before.say("NOOP", "250").await;
    let mut client = Client::connect(address).await;
    client.expect("220 mx.returns.test. ").await;
    client.say("EHLO c.test", "250 ").await;
    assert!(client.start_tls(second).await.is_ok());
    let mut client = Client::connect(address).await;
    client.expect("220").await;
    client.say("EHLO c.test", "250 ").await;
    assert!(client.start_tls(first).await.is_err());
}

#[tokio::test]
async fn a_reload_moves_to_other_addresses_or_changes_nothing() {
    let handler = Arc::new(Fake::default());
    let (server, old) = start(settings(), &handler);
    let inherited = bind(&["0.0.0.0:0".parse().unwrap()]).unwrap();
    let passed = inherited[0].local_addr().unwrap();
    server.inherit(inherited).unwrap();
    let within: SocketAddr = ([127, 0, 0, 1], passed.port()).into();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = server.prepare(settings(), &[taken.local_addr().unwrap()]).err().expect("an error");
    assert_eq!(refused.address, taken.local_addr().unwrap());
    Client::greeted(old).await;

    // One that is passed to us needs no second socket, nor does an address that it takes.
    let new: SocketAddr = "[::1]:0".parse().unwrap();
    let Ok(prepared) = server.prepare(settings(), &[new, passed, within]) else {
        eprintln!("left out: this machine has no IPv6 loopback");
        return;
    };
    server.apply(prepared);
    let addresses = server.addresses();
    assert!(addresses.len() == 2 && addresses.contains(&passed) && !addresses.contains(&old), "{addresses:?}");
    for address in addresses.into_iter().filter(|address| *address != passed).chain([within]) {
        Client::greeted(address).await;
    }
    // The old task lets go of its socket when it is next run.
    timeout(PATIENT, async {
        while TcpStream::connect(old).await.is_ok() {
            tokio::task::yield_now().await
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn caps_for_one_address_and_for_all() {
    let handler = Arc::new(Fake::default());
    let (server, address) = start(Settings { max_connections_per_ip: 2, ..settings() }, &handler);
    let (mut one, _two) = (Client::greeted(address).await, Client::greeted(address).await);
    let mut three = Client::connect(address).await;
    three.expect("421 4.7.0 too many connections from your network").await;
    three.closed().await;
    one.say("QUIT", "221").await;
    drop(one);
    // The place is free as soon as the server has seen the end.
    let again = async {
        loop {
            let mut client = Client::connect(address).await;
            if client.reply().await.starts_with("220") {
                break;
            }
        }
    };
    timeout(PATIENT, again).await.unwrap();

    server.apply(server.prepare(Settings { max_connections: 0, ..settings() }, &["127.0.0.1:0".parse().unwrap()]).unwrap());
    Client::connect(address).await.expect("421 4.7.0 too many connections, ").await;
    let trusted_networks = vec!["127.0.0.0/8".parse().unwrap()];
    let trusting = Settings { max_connections: 0, trusted_networks, ..settings() };
    server.apply(server.prepare(trusting, &["127.0.0.1:0".parse().unwrap()]).unwrap());
    Client::greeted(address).await;
}

#[tokio::test]
async fn who_is_slow_is_told_and_let_go() {
    let handler = Arc::new(Fake::default());
    let (server, address) = start(Settings { command_timeout: SHORT, ..settings() }, &handler);
    let mut idle = Client::connect(address).await;
    idle.expect("220").await;
    idle.expect("421 4.4.2").await;
    idle.closed().await;
    // Octets that drip in don't lengthen it.
    let mut drip = Client::connect(address).await;
    drip.expect("220").await;
    let (mut half, mut other) = tokio::io::split(drip.0.into_inner());
    let dripping = tokio::spawn(async move {
        while other.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    let mut reply = [0; 9];
    timeout(PATIENT, half.read_exact(&mut reply)).await.expect("in time").unwrap();
    assert_eq!(&reply, b"421 4.4.2");
    dripping.abort();

    let next = |settings: Settings| server.apply(server.prepare(settings, &["127.0.0.1:0".parse().unwrap()]).unwrap());
    next(Settings { data_timeout: SHORT, ..settings() });
    let mut slow = Client::in_data(address).await;
    slow.send("half a mail").await;
    slow.expect("421 4.4.2").await;
    slow.closed().await;
    let mut chunks = Client::greeted(address).await;
    chunks.envelope("good@returns.test").await;
    chunks.send("BDAT 1\r\nx").await;
    chunks.expect("250").await;
    chunks.expect("421 4.4.2").await;

    next(Settings { session_timeout: SHORT, ..settings() });
    let mut long = Client::connect(address).await;
    long.expect("220").await;
    long.expect("421 4.4.2").await;
    assert!(handler.taken.lock().unwrap().is_empty());
}

/// Takes a mail only when it is let; says when it began.
#[derive(Default)]
struct Gated {
    fake: Fake,
    began: Notify,
    gate: Gate,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Handler for Gated {
    fn room(&self) -> bool {
        true
    }

    fn recipient(&self, rcpt: &str) -> Result<Mailbox, Refusal> {
        self.fake.recipient(rcpt)
    }

    async fn take(&self, arrival: Arrival) -> Result<Vec<u64>, Failure> {
        self.began.notify_one();
        self.gate.0.acquire().await.map_err(|_| Failure::Unavailable)?.forget();
        self.fake.record(arrival)
    }
}

#[tokio::test]
async fn no_250_before_the_mail_is_recorded() {
    let handler = Arc::new(Gated::default());
    let (_server, address) = start(settings(), &handler);
    for (content, id) in [("DATA", 1), ("BDAT", 2)] {
        let mut client = Client::greeted(address).await;
        client.envelope("good@returns.test").await;
        if content == "DATA" {
            client.say("DATA", "354").await;
            client.send("x\r\n.\r\n").await;
        } else {
            client.send("BDAT 1 LAST\r\nx").await;
        }
        handler.began.notified().await;
        let mut byte = [0];
        assert!(timeout(SHORT, client.0.read(&mut byte)).await.is_err(), "a reply before the mail was recorded");
        handler.gate.0.add_permits(1);
        client.expect(&format!("250 2.0.0 recorded as {id}")).await;
    }
}

#[tokio::test]
async fn who_goes_away_in_data_has_sent_nothing() {
    let handler = Arc::new(Fake::default());
    let (server, address) = start(settings(), &handler);
    let mut client = Client::in_data(address).await;
    client.send("all but the end\r\n.\r").await;
    drop(client);
    // Nobody is in a mail any more once all have left.
    assert_eq!(server.stop(PATIENT).await, 0);
    assert!(handler.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_stop_lets_mails_finish() {
    let handler = Arc::new(Gated::default());
    let (server, address) = start(settings(), &handler);
    let server = Arc::new(server);
    let (mut idle, mut data) = (Client::greeted(address).await, Client::in_data(address).await);
    let mut chunks = Client::greeted(address).await;
    chunks.envelope("good@returns.test").await;
    chunks.send("BDAT 1\r\nx").await;
    chunks.expect("250").await;
    let mut recording = Client::in_data(address).await;
    recording.send("x\r\n.\r\n").await;
    handler.began.notified().await;

    let stop = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.stop(PATIENT).await }
    });
    idle.expect("421 4.3.2").await;
    idle.closed().await;
    assert!(TcpStream::connect(address).await.is_err());
    handler.gate.0.add_permits(3);
    data.say("y\r\n.", "250 2.0.0").await;
    data.expect("421 4.3.2").await;
    chunks.send("BDAT 1 LAST\r\nz").await;
    chunks.expect("250 2.0.0").await;
    chunks.expect("421 4.3.2").await;
    recording.expect("250 2.0.0").await;
    recording.expect("421 4.3.2").await;
    drop((data, chunks, recording));
    assert_eq!(timeout(PATIENT, stop).await.unwrap().unwrap(), 0);
    assert_eq!(handler.fake.taken.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_it_may() {
    let handler = Arc::new(Fake::default());
    let (server, address) = start(settings(), &handler);
    let mut client = Client::in_data(address).await;
    assert_eq!(server.stop(SHORT).await, 1);
    client.closed().await;
    assert!(handler.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn memory_is_bounded_and_given_back() {
    const FIRST: usize = bounced::smtp::framing::FIRST_GRANT;
    let handler = Arc::new(Fake::default());
    let (_server, address) = start_with(settings(), &handler, Memory::new(2 * FIRST, SHORT));
    let (mut one, mut two) = (Client::in_data(address).await, Client::in_data(address).await);
    let mut three = Client::greeted(address).await;
    three.envelope("good@returns.test").await;
    three.say("DATA", "452 4.3.1").await;
    // One that grows past what there is is put off, and gives back what it had.
    one.say(&format!("{}\r\n.", "x".repeat(FIRST + 10)), "452 4.3.1").await;
    three.envelope("good@returns.test").await;
    three.say("DATA", "354").await;
    three.say("x\r\n.", "250 2.0.0").await;
    // And one that is gone.
    two.send("half a mail").await;
    drop(two);
    for size in [FIRST, 2 * FIRST - 10, FIRST] {
        let mut reply = String::new();
        while !reply.starts_with("250") {
            assert!(reply.is_empty() || reply.starts_with("452"), "{reply}");
            one.envelope("good@returns.test").await;
            one.send(&format!("BDAT {size} LAST\r\n{}", "x".repeat(size))).await;
            reply = one.reply().await;
        }
    }
    assert_eq!(handler.taken.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn one_dialogue_that_breaks_takes_no_other_with_it() {
    let handler = Arc::new(Fake::default());
    let (server, address) = start(settings(), &handler);
    let mut other = Client::in_data(address).await;
    let mut broken = Client::greeted(address).await;
    broken.say("MAIL FROM:<>", "250").await;
    broken.send("RCPT TO:<panic@returns.test>\r\n").await;
    broken.closed().await;
    other.say("x\r\n.", "250 2.0.0").await;
    Client::greeted(address).await;
    assert!(!handler.full.load(Ordering::Relaxed));
    drop(other);
    assert_eq!(server.stop(PATIENT).await, 0);
}
