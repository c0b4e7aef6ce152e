//! A thousand sessions that send big mails at one time: those for which there is memory are taken, the others asked to come again, and the daemon
//! stays within the budget. Unoptimized, the mails are smaller; what all of them want is far more than the budget all the same.
//!
//! BOUNCED_BINARY names the build, BOUNCED_MAIL_OCTETS how big each mail is: 10000000 for a release build.

use std::{collections::BTreeMap, env, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt},
    sync::Barrier,
    task::JoinSet,
    time::timeout,
};

use crate::{
    client::{Client, PATIENT},
    crowd::{alone, descriptors},
    overload::{bounce, start, today},
    process::kib,
};

const SESSIONS: usize = 1000;
const BUDGET_KIB: u64 = 64 * 1024;
/// What a connection may cost while it talks: its state, a read, and what the allocator rounds up.
const SESSION_KIB: u64 = 24;
/// Mails that are told at this moment are decoded, and the store has its cache. The tables of what is known of bounces, which the first mail
/// loads, stand apart: the measure begins after one.
const BESIDES_KIB: u64 = 32 * 1024;

fn octets() -> usize {
    let usual = if cfg!(debug_assertions) { 300_000 } else { 10_000_000 };
    env::var("BOUNCED_MAIL_OCTETS").map_or(usual, |text| text.parse().expect("a number of octets"))
}

/// The code with which the mail ended, and whether it was before its content.
async fn send(mut client: Client<tokio::net::TcpStream>, rcpt: String, together: Arc<Barrier>) -> (String, bool) {
    client.envelope(&rcpt).await;
    together.wait().await;
    client.send("DATA\r\n").await;
    let reply = client.reply().await;
    if !reply.starts_with("354") {
        return (reply[..3].to_owned(), true);
    }
    let block = format!("{}\r\n", "x".repeat(998)).repeat(50);
    client.send("Subject: big\r\n\r\n").await;
    // Gigabytes go to a daemon that stops reading now and then: that takes as long as it takes.
    for _ in 0..octets() / block.len() {
        client.0.write_all(block.as_bytes()).await.unwrap();
    }
    client.0.write_all(b".\r\n").await.unwrap();
    let mut reply = String::new();
    timeout(PATIENT * 10, client.0.read_line(&mut reply)).await.expect("a reply in ten minutes").unwrap();
    (reply[..3].to_owned(), false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_big_mails_at_once() {
    let _alone = alone().await;
    if !descriptors(SESSIONS as u64 + 500) {
        return;
    }
    let (daemon, codec) = start(SESSIONS + 10);
    bounce(&mut Client::greeted(daemon.smtp()).await, &codec, 0).await;
    let before = kib(daemon.pid(), "VmHWM");
    let (together, mut sessions) = (Arc::new(Barrier::new(SESSIONS)), JoinSet::new());
    let clients = crate::crowd::idle(daemon.smtp(), SESSIONS).await;
    for (number, client) in clients.into_iter().enumerate() {
        let rcpt = codec.encode(&format!("person{number}@example.org"), None, None, today()).unwrap();
        sessions.spawn(send(client, rcpt, together.clone()));
    }
    let mut ended: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for end in sessions.join_all().await {
        *ended.entry(end).or_default() += 1;
    }
    let grown = kib(daemon.pid(), "VmHWM") - before;
    println!("{SESSIONS} sessions, {} octets each: {ended:?}; memory {before} KiB idle, {grown} KiB more at most", octets());
    let of = |code: &str| ended.iter().filter(|((ended, _), _)| ended == code).map(|(_, count)| count).sum::<usize>();
    assert_eq!(of("250") + of("452"), SESSIONS, "{ended:?}");
    assert!(of("452") > 0 && of("250") > 0, "{ended:?}");
    assert!(grown <= BUDGET_KIB + SESSIONS as u64 * SESSION_KIB + BESIDES_KIB, "{grown} KiB");
    assert_eq!(daemon.events().len(), 1 + of("250"), "what was confirmed is there, and nothing else");
    // All that was taken was given back.
    let big = send(
        Client::greeted(daemon.smtp()).await,
        codec.encode("last@example.org", None, None, today()).unwrap(),
        Arc::new(Barrier::new(1)),
    );
    assert_eq!(big.await, ("250".to_owned(), false));
}
