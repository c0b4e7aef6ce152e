//! One octet every ten seconds, on a clock that the test winds: whoever is slow is gone at the deadline and no later, and others wait for nobody.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bounced::smtp::{Server, Settings, tls};
use rustls::{ClientConnection, pki_types::ServerName, version::TLS13};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    client::Client,
    server::{certify, files, settings, start},
    smtp_support::Fake,
};

const DRIP: Duration = Duration::from_secs(10);
const COMMAND: Duration = Duration::from_secs(60);
const DATA: Duration = Duration::from_secs(600);
const SESSION: Duration = Duration::from_secs(1800);
/// What hanging up may take beyond the deadline: the server waits a second for the client's end.
const MORE: Duration = Duration::from_secs(2);

/// The deadlines that hold where nothing is configured.
fn usual() -> (Server<Fake>, SocketAddr, Arc<Fake>) {
    let handler = Arc::new(Fake::default());
    let settings = Settings { command_timeout: COMMAND, data_timeout: DATA, session_timeout: SESSION, ..settings() };
    let (server, address) = start(settings, &handler);
    (server, address, handler)
}

/// Sends an octet every ten seconds until the server hangs up; gives what the server said, and how long it took.
async fn drip(stream: TcpStream, octets: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    let (mut read, mut write) = stream.into_split();
    let dripping = async {
        for octet in octets.iter().cycle() {
            sleep(DRIP).await;
            if write.write_all(&[*octet]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await
    };
    let mut said = Vec::new();
    tokio::select! {
        // A reset is an end, too.
        _ = read.read_to_end(&mut said) => {}
        () = dripping => {}
    }
    (String::from_utf8_lossy(&said).into_owned(), begun.elapsed())
}

#[track_caller]
fn gone(what: &str, took: Duration, at: Duration) {
    assert!(took >= at && took <= at + MORE, "{what}: gone after {took:?}, not at {at:?}");
}

/// Mails that take no time at all while `slow` goes on.
async fn meanwhile<T>(address: SocketAddr, slow: impl Future<Output = T>) -> T {
    let mut client = Client::greeted(address).await;
    tokio::pin!(slow);
    loop {
        let mail = async {
            let begun = Instant::now();
            client.envelope("good@returns.test").await;
            client.say("DATA", "354").await;
            client.say("x\r\n.", "250 2.0.0").await;
            assert_eq!(begun.elapsed(), Duration::ZERO, "another's mail waited");
            // Not so long that this dialogue would be ended.
            sleep(Duration::from_secs(7)).await;
        };
        tokio::select! {
            biased;
            done = &mut slow => return done,
            () = mail => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command() {
    let (_server, address, _handler) = usual();
    for begin in ["", "EHLO c.test\r\n", "EHLO c.test\r\nMAIL FROM:<>\r\n"] {
        let mut slow = Client::connect(address).await;
        slow.expect("220").await;
        slow.send(begin).await;
        let (said, took) = meanwhile(address, drip(slow.0.into_inner(), b"x")).await;
        assert!(said.ends_with("421 4.4.2 timeout, closing\r\n"), "{said}");
        gone("a command", took, COMMAND);
    }
}

#[tokio::test(start_paused = true)]
async fn content() {
    let (_server, address, handler) = usual();
    for begin in ["DATA\r\n", "BDAT 100000\r\n"] {
        let mut client = Client::greeted(address).await;
        client.envelope("good@returns.test").await;
        client.send(begin).await;
        if begin.starts_with("DATA") {
            client.expect("354").await;
        }
        let taken = handler.taken.lock().unwrap().len();
        let (said, took) = drip(client.0.into_inner(), b"x\r\n").await;
        assert!(said.ends_with("421 4.4.2 timeout, closing\r\n"), "{said}");
        gone(begin, took, DATA);
        assert_eq!(handler.taken.lock().unwrap().len(), taken);
    }
    let mut client = Client::in_data(address).await;
    client.send("x").await;
    let (_, took) = meanwhile(address, drip(client.0.into_inner(), b"x")).await.clone();
    gone("DATA among others", took, DATA);
}

/// Whole commands, chunks and mails begin a new deadline each; the dialogue's own goes on.
#[tokio::test(start_paused = true)]
async fn what_comes_whole_but_slowly() {
    let (_server, address, handler) = usual();
    for (begin, again) in [
        ("", "NOOP\r\n"),
        ("MAIL FROM:<>\r\nRCPT TO:<good@returns.test>\r\n", "BDAT 1\r\nx"),
        ("", "MAIL FROM:<>\r\nRCPT TO:<good@returns.test>\r\nDATA\r\n.\r\n"),
    ] {
        let mut client = Client::connect(address).await;
        client.expect("220").await;
        let begun = Instant::now();
        client.say("EHLO c.test", "250 ").await;
        let (mut read, mut write) = client.0.into_inner().into_split();
        write.write_all(begin.as_bytes()).await.unwrap();
        let sending = async {
            loop {
                sleep(DRIP).await;
                if write.write_all(again.as_bytes()).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let mut said = Vec::new();
        tokio::select! {
            _ = read.read_to_end(&mut said) => {}
            () = sending => {}
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.ends_with("421 4.4.2 timeout, closing\r\n"), "{said}");
        gone(again, begun.elapsed(), SESSION);
    }
    assert_eq!(handler.taken.lock().unwrap().len(), 179, "those that came whole");
}

#[tokio::test(start_paused = true)]
async fn the_tls_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let trusts = certify(&files, &[&TLS13]);
    let handler = Arc::new(Fake::default());
    let tls = Some(tls::load(&files).unwrap());
    let slow_settings = Settings { tls, command_timeout: COMMAND, data_timeout: DATA, session_timeout: SESSION, ..settings() };
    let (_server, address) = start(slow_settings.clone(), &handler);
    let mut hello = Vec::new();
    let mut connection = ClientConnection::new(trusts, ServerName::try_from("mx.returns.test").unwrap()).unwrap();
    connection.write_tls(&mut hello).unwrap();
    assert!(hello.len() > 100);
    let mut client = Client::greeted(address).await;
    client.say("STARTTLS", "220").await;
    let (said, took) = meanwhile(address, drip(client.0.into_inner(), &hello)).await;
    assert_eq!(said, "");
    gone("the handshake", took, COMMAND);

    // The time of the whole dialogue holds in a handshake, too.
    let (_server, address) = start(Settings { session_timeout: DRIP * 2, ..slow_settings }, &handler);
    let mut client = Client::connect(address).await;
    client.expect("220").await;
    let begun = Instant::now();
    client.say("STARTTLS", "220").await;
    drip(client.0.into_inner(), &hello).await;
    gone("the handshake at the dialogue's end", begun.elapsed(), DRIP * 2);
}

/// Who sends and never reads: the reply that can't be sent has the deadline.
#[tokio::test(start_paused = true)]
async fn replies_that_nobody_reads() {
    let (_server, address, _handler) = usual();
    let mut deaf = TcpStream::connect(address).await.unwrap();
    let mut greeting = [0; 4];
    deaf.read_exact(&mut greeting).await.unwrap();
    let begun = Instant::now();
    let commands = "HELP\r\n".repeat(10_000);
    let ended = timeout(SESSION, async { while deaf.write_all(commands.as_bytes()).await.is_ok() {} }).await;
    assert!(ended.is_ok(), "still connected");
    gone("a deaf client", begun.elapsed(), COMMAND);
}
