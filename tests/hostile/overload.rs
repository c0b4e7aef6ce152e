//! More connections than are let in: who is over the cap is told so and costs nothing, and those inside are served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bounced::{config::Config, verp::Codec};
use tokio::task::JoinSet;

use crate::{
    client::{Client, PATIENT},
    crowd::{Plain, alone, caps, descriptors, idle},
    support::{
        client::stuffed,
        daemon::{Daemon, Setup, binary},
        mails::Bounce,
    },
};

const CAP: usize = 2000;

pub fn start(cap: usize) -> (Daemon, Arc<Codec>) {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").with(&caps(cap)).asleep();
    daemon.binary = binary();
    daemon.start();
    let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
    (daemon, codec)
}

pub fn today() -> i32 {
    i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap()
}

/// One bounce, distinct by its number.
pub async fn bounce(client: &mut Plain, codec: &Codec, serial: u64) {
    let person = format!("person{serial}@example.org");
    let rcpt = codec.encode(&person, None, None, today()).unwrap();
    client.envelope(&rcpt).await;
    client.say("DATA", "354").await;
    let mail = stuffed(&Bounce::unknown_user(serial, &rcpt, &person).postfix());
    client.say(&format!("{}.", String::from_utf8(mail).unwrap()), "250 2.0.0 recorded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_cap_421_and_the_rest_served() {
    let _alone = alone().await;
    if !descriptors(CAP as u64 + 500) {
        return;
    }
    let (daemon, codec) = start(CAP);
    let mut inside = idle(daemon.smtp(), CAP).await;
    let mut burst = JoinSet::new();
    for _ in 0..300 {
        let address = daemon.smtp();
        burst.spawn(async move {
            let mut client = Client::connect(address).await;
            client.expect("421 4.7.0 too many connections, try again later").await;
            client.closed().await;
        });
    }
    // Meanwhile.
    for (serial, client) in inside.iter_mut().step_by(CAP / 20).enumerate() {
        bounce(client, &codec, serial as u64).await;
    }
    assert_eq!(burst.join_all().await.len(), 300);
    assert_eq!(daemon.count("status", "hard-bounce"), 20);
    // Each that leaves makes room for one.
    drop(inside.split_off(CAP - 50));
    let again = async {
        while inside.len() < CAP {
            let mut client = Client::connect(daemon.smtp()).await;
            if client.reply().await.starts_with("220") {
                client.say("EHLO c.test", "250 ").await;
                inside.push(client);
            }
        }
    };
    tokio::time::timeout(PATIENT, again).await.unwrap();
    Client::connect(daemon.smtp()).await.expect("421 4.7.0 too many connections").await;
}

/// Mails a second of 20 sessions that are there already; they are there afterwards, too.
async fn goodput(clients: &mut Vec<Plain>, codec: &Arc<Codec>, first: u64, length: Duration) -> f64 {
    let (taken, mut sessions, begun) = (Arc::new(AtomicUsize::new(0)), JoinSet::new(), Instant::now());
    for (session, mut client) in (0..).zip(clients.drain(..)) {
        let (codec, taken) = (codec.clone(), taken.clone());
        sessions.spawn(async move {
            for serial in (first + session..).step_by(20) {
                if begun.elapsed() > length {
                    break;
                }
                bounce(&mut client, &codec, serial).await;
                taken.fetch_add(1, Ordering::Relaxed);
            }
            client
        });
    }
    clients.extend(sessions.join_all().await);
    taken.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn goodput_under_overload() {
    let _alone = alone().await;
    assert!(descriptors(CAP as u64 + 500));
    let length = Duration::from_secs(5);
    for _ in 0..3 {
        let (daemon, codec) = start(CAP + 20);
        let mut clients = idle(daemon.smtp(), 20).await;
        let alone = goodput(&mut clients, &codec, 0, length).await;
        let idle = idle(daemon.smtp(), CAP).await;
        let crowded = goodput(&mut clients, &codec, 300_000, length).await;
        let (going, away) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let mut knocking = JoinSet::new();
        for _ in 0..50 {
            let (address, going, away) = (daemon.smtp(), going.clone(), away.clone());
            knocking.spawn(async move {
                while going.load(Ordering::Relaxed) {
                    let mut client = Client::connect(address).await;
                    away.fetch_add(usize::from(client.reply().await.starts_with("421")), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
        let burst = goodput(&mut clients, &codec, 600_000, length).await;
        going.store(false, Ordering::Relaxed);
        knocking.join_all().await;
        println!(
            "mails/s: {alone:.0} alone, {crowded:.0} beside {CAP} idle ({:.2}), {burst:.0} with {:.0} more a second turned away ({:.2})",
            crowded / alone,
            away.load(Ordering::Relaxed) as f64 / length.as_secs_f64(),
            burst / alone
        );
        drop(idle);
    }
}
