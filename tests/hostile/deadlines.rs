//! The configured deadlines, looked at from outside: whoever drips one octet after the other is gone when the time that the file says is over, and
//! not before, while others' mails are taken. That nothing else ends a dialogue, and to the second, `slow` shows in the process.

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bounced::config::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    client::Client,
    overload::{bounce, today},
    support::daemon::Setup,
};

const COMMAND: Duration = Duration::from_secs(2);
const DATA: Duration = Duration::from_secs(4);
const SESSION: Duration = Duration::from_secs(6);
const DRIP: Duration = Duration::from_millis(100);
/// Far less than any deadline that holds where nothing is configured, and far more than any machine needs.
const LONG: Duration = Duration::from_secs(40);

/// What the server said in the end, and how long after `begun` that was.
async fn drip(stream: TcpStream, begun: Instant, texts: &[&[u8]]) -> (String, Duration) {
    let (mut read, mut write) = stream.into_split();
    let dripping = async {
        for text in texts.iter().cycle() {
            sleep(DRIP).await;
            if write.write_all(text).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await
    };
    let mut said = Vec::new();
    let ended = async {
        tokio::select! {
            // A reset is an end, too.
            _ = read.read_to_end(&mut said) => {}
            () = dripping => {}
        }
    };
    timeout(LONG, ended).await.expect("the configured deadline holds");
    (String::from_utf8_lossy(&said).into_owned(), begun.elapsed())
}

fn over(what: &str, (said, took): (String, Duration), deadline: Duration, last: &str) {
    assert!(took >= deadline, "{what}: gone after {took:?}, before {deadline:?}");
    assert!(said.ends_with(last), "{what}: {said}");
}

const TIMEOUT: &str = "421 4.4.2 timeout, closing\r\n";

async fn command(address: SocketAddr) {
    let mut client = Client::connect(address).await;
    let begun = Instant::now();
    client.expect("220").await;
    over("a command", drip(client.0.into_inner(), begun, &[b"x"]).await, COMMAND, TIMEOUT);
}

async fn content(address: SocketAddr, rcpt: &str) {
    let mut client = Client::greeted(address).await;
    client.envelope(rcpt).await;
    let begun = Instant::now();
    client.say("DATA", "354").await;
    over("content", drip(client.0.into_inner(), begun, &[b"x"]).await, DATA, TIMEOUT);
}

/// Each command is whole and in time; the dialogue isn't.
async fn session(address: SocketAddr) {
    let begun = Instant::now();
    let mut client = Client::connect(address).await;
    client.expect("220").await;
    over("a session", drip(client.0.into_inner(), begun, &[b"NOOP\r\n"]).await, SESSION, TIMEOUT);
}

async fn handshake(address: SocketAddr) {
    let mut client = Client::greeted(address).await;
    let begun = Instant::now();
    client.say("STARTTLS", "220").await;
    // The head of a ClientHello of 512 octets, and no end.
    let hello: [&[u8]; 6] = [&[0x16], &[3], &[1], &[2], &[0], &[1]];
    over("a TLS handshake", drip(client.0.into_inner(), begun, &hello).await, COMMAND, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_is_gone_at_the_configured_deadline() {
    let setup = Setup::new("smtp://127.0.0.1:9");
    let dir = setup.dir.path().to_owned();
    let setup = setup.with(&format!(
        "[smtp]\ntls = {{ cert = \"{dir}/cert.pem\", key = \"{dir}/key.pem\" }}\ncommand_timeout = \"{} s\"\ndata_timeout = \"{} s\"\nsession_timeout = \"{} s\"\n",
        COMMAND.as_secs(),
        DATA.as_secs(),
        SESSION.as_secs(),
        dir = dir.display(),
    ));
    let made = rcgen::generate_simple_self_signed(vec!["mx.returns.test".to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let daemon = setup.start();
    let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
    let rcpt = codec.encode("slow@example.org", None, None, today()).unwrap();
    let (address, done) = (daemon.smtp(), AtomicBool::new(false));
    let slow = async {
        tokio::join!(command(address), content(address, &rcpt), session(address), handshake(address));
        done.store(true, Ordering::Relaxed);
    };
    let others = async {
        let mut serial = 0;
        // Each has a dialogue of its own: these have deadlines, too.
        while !done.load(Ordering::Relaxed) {
            bounce(&mut Client::greeted(address).await, &codec, serial).await;
            serial += 1;
            sleep(DRIP).await;
        }
        serial
    };
    let ((), mails) = tokio::join!(slow, others);
    assert_eq!(daemon.count("status", "hard-bounce"), mails, "of those who are not slow all were taken, and of the others none");
}
