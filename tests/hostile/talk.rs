//! What is said too early: in the clear behind STARTTLS, or before the greeting. None of it is obeyed.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
};

use bounced::smtp::{Settings, tls};
use rustix::process::Signal;
use rustls::{
    ClientConnection,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsConnector;

use crate::{
    client::Client,
    process::is_stopped,
    server::{certify, files, settings, start},
    smtp_support::Fake,
    support::{PATIENCE, await_some, daemon::Setup, mails::Bounce},
};

const WHOLE_MAIL: &str = "EHLO evil.test\r\nMAIL FROM:<>\r\nRCPT TO:<good@returns.test>\r\nDATA\r\nevil\r\n.\r\n";

/// However the bytes fall into segments: all that is behind STARTTLS in the clear is gone, and so is what was said before.
#[tokio::test]
async fn commands_behind_starttls() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    for version in [&TLS12, &TLS13] {
        let trusts = certify(&files, &[version]);
        let handler = Arc::new(Fake::default());
        let (_server, address) = start(Settings { tls: Some(tls::load(&files).unwrap()), ..settings() }, &handler);
        for (before, behind) in [
            ("", "NOOP\r\n"),
            ("", WHOLE_MAIL),
            ("MAIL FROM:<>\r\nRCPT TO:<good@returns.test>\r\n", "DATA\r\nevil\r\n.\r\n"),
            ("MAIL FROM:<>\r\nRCPT TO:<good@returns.test>\r\n", "BDAT 4 LAST\r\nevil"),
            ("", "RCPT TO:<good@returns.test>\r\nQUIT\r\n"),
            ("", "MAIL FROM:<unended"),
        ] {
            let mut client = Client::greeted(address).await;
            client.send(&format!("{before}STARTTLS\r\n{behind}")).await;
            for _ in before.lines() {
                client.expect("250").await;
            }
            client.expect("220 2.0.0").await;
            let name = ServerName::try_from("mx.returns.test").unwrap();
            assert!(client.0.buffer().is_empty(), "a reply to what was injected: {:?}", client.0.buffer().escape_ascii());
            let mut client = Client(BufReader::new(TlsConnector::from(trusts.clone()).connect(name, client.0.into_inner()).await.unwrap()));
            // The first reply within TLS answers the first command within TLS, and nothing is known of a mail or a greeting.
            client.say("HELP", "214").await;
            client.say("RCPT TO:<good@returns.test>", "503 5.5.1 say MAIL first").await;
            client.say("MAIL FROM:<>", "503 5.5.1 say EHLO first").await;
            client.say("EHLO c.test", "250 ").await;
            client.say("DATA", "503").await;
            client.say("QUIT", "221").await;
        }
        assert!(handler.taken.lock().unwrap().is_empty());
    }
}

/// What comes in the clear after the 220 is no handshake, and no command either; a ClientHello that didn't wait for the 220 is dropped.
#[tokio::test]
async fn commands_in_place_of_the_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let trusts = certify(&files, &[&TLS13]);
    let handler = Arc::new(Fake::default());
    let tls = Some(tls::load(&files).unwrap());
    let (_server, address) = start(Settings { tls, ..settings() }, &handler);
    let mut client = Client::greeted(address).await;
    client.say("STARTTLS", "220").await;
    client.send(WHOLE_MAIL).await;
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ = client.0.read_to_end(&mut said).await;
    // At most a TLS alert (RFC 8446, section 5.1: type 21).
    assert!(said.first().is_none_or(|kind| *kind == 21), "{}", said.escape_ascii());

    let mut hello = Vec::new();
    let mut connection = ClientConnection::new(trusts, ServerName::try_from("mx.returns.test").unwrap()).unwrap();
    connection.write_tls(&mut hello).unwrap();
    let mut client = Client::greeted(address).await;
    client.0.write_all(&[&b"STARTTLS\r\n"[..], &hello].concat()).await.unwrap();
    client.expect("220").await;
    client.send(WHOLE_MAIL).await;
    let mut said = Vec::new();
    let _ = client.0.read_to_end(&mut said).await;
    assert!(said.first().is_none_or(|kind| *kind == 21), "{}", said.escape_ascii());
    assert!(handler.taken.lock().unwrap().is_empty());
}

/// The daemon stands still while the client speaks, so that the words are there before the greeting for certain.
#[test]
fn talk_before_the_greeting() {
    let daemon = Setup::new("smtp://127.0.0.1:9").start();
    let rcpt = daemon.verp("alice@example.org", None);
    let mail = String::from_utf8(Bounce::unknown_user(1, &rcpt, "alice@example.org").postfix()).unwrap();
    let transaction = format!("MAIL FROM:<>\r\nRCPT TO:<{rcpt}>\r\nDATA\r\n{mail}\r\n.\r\nQUIT\r\n");
    for early in ["\r\n".to_owned(), "Q".to_owned(), format!("EHLO c.test\r\n{transaction}"), "GET / HTTP/1.1\r\n\r\n".to_owned()] {
        daemon.signal(Signal::STOP);
        await_some("a stop", || is_stopped(daemon.pid()).then_some(()));
        let mut client = TcpStream::connect(daemon.smtp()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(early.as_bytes()).unwrap();
        daemon.signal(Signal::CONT);
        // Nor does what comes later count.
        let _ = client.write_all(b"EHLO c.test\r\n").and_then(|()| client.write_all(transaction.as_bytes()));
        let _ = client.shutdown(Shutdown::Write);
        let mut said = String::new();
        let _ = client.read_to_string(&mut said);
        assert_eq!(said, "421 4.7.0 you spoke before the greeting, closing\r\n", "{early:?}");
    }
    assert!(daemon.events().is_empty());
    // The same, by who waits.
    crate::support::client::Client::connect(daemon.smtp()).bounce(&rcpt, mail.as_bytes());
    assert_eq!(daemon.events().len(), 1);
}
