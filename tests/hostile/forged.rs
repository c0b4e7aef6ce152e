//! Bounces that nobody of ours caused: none counts, one that comes again counts once, and who guesses addresses is slowed, then kept out.

use std::{collections::HashSet, sync::Arc, thread, time::Duration};

use bounced::{
    config::Config,
    smtp::{Settings, guesses::Limit},
    verp::Codec,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    client::Client,
    crowd::from,
    overload::today,
    server::{settings, start},
    smtp_support::Fake,
    support::{
        self,
        daemon::{DOMAIN, Setup},
        mails::Bounce,
        random::Random,
    },
};

const TAGS: &str = "[[trigger]]\nname = 'any'\nwhen = '*'\ncount = 'at least 1'\nrepeat = true\ndo = [{ tag = 'fired' }]\n";
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A local part that somebody might try who knows how ours look, and has seen some.
fn guess(dice: &mut Random, genuine: &[String]) -> String {
    let mut letters = |count: usize| -> String { (0..count).map(|_| char::from(BASE32[dice.below(32) as usize])).collect() };
    let (sig, hash, person) = (letters(13), letters(16), letters(5));
    let known = &genuine[dice.below(genuine.len() as u64) as usize];
    let parts: Vec<&str> = known.split('+').collect();
    let [form, campaign, known_sig, payload] = parts[..] else { panic!("{known}") };
    match dice.below(8) {
        0 => format!("b+{campaign}+{sig}+{person}=example.org"),
        1 => format!("h+{campaign}+{sig}+{hash}"),
        // Another person, another campaign, another day, under a signature that is good for something else.
        2 => format!("{form}+{campaign}+{known_sig}+{person}{payload}"),
        3 => format!("{form}+{person}+{known_sig}+{payload}"),
        4 => format!("{form}+{campaign}+{}{}+{payload}", &sig[..3], &known_sig[3..]),
        // A few characters of the signature.
        5 => format!("{form}+{campaign}+{}{}+{payload}", &known_sig[..11], &sig[..2]),
        6 => format!("{form}+{campaign}+{}+{payload}", &known_sig[..dice.below(13) as usize]),
        _ => format!("bounced-own+{sig}+{hash}"),
    }
}

fn genuine(codec: &Codec) -> Vec<String> {
    let long = "a-very-long-name-that-does-not-fit-into-the-long-form-at-all@example.org";
    let made = (0..50).flat_map(|n| {
        let person = format!("person{n}@example.org");
        [Some("spring"), None].map(|campaign| codec.encode(&person, campaign, None, today()).unwrap())
    });
    made.chain([codec.encode(long, Some("spring"), None, today()).unwrap()])
        .map(|address| address.rsplit_once('@').unwrap().0.to_owned())
        .collect()
}

#[test]
fn a_million_guesses() {
    let setup = Setup::new("smtp://127.0.0.1:9");
    let codec = Config::load(&setup.write()).unwrap().verp.codec;
    let genuine = genuine(&codec);
    let known: HashSet<&String> = genuine.iter().collect();
    assert!(genuine.iter().any(|local| local.starts_with("h+")));
    thread::scope(|scope| {
        for seed in 0..4 {
            let (codec, genuine, known) = (&codec, &genuine, &known);
            scope.spawn(move || {
                let mut dice = Random(seed);
                for _ in 0..250_000 {
                    let local = guess(&mut dice, genuine);
                    assert!(known.contains(&local) || codec.decode(&local, DOMAIN, today()).is_err(), "{local} is taken");
                }
                // What is ours is taken, so it isn't that nothing is.
                assert!(genuine.iter().all(|local| codec.decode(local, DOMAIN, today()).is_ok_and(|decoded| decoded.signed)));
                assert!(genuine.iter().all(|local| codec.decode(local, "elsewhere.test", today()).is_err()));
            });
        }
    });
}

#[test]
fn guesses_at_the_door_count_nothing() {
    // Of networks that we trust nobody is slowed: the signature alone stands between them and the counts.
    let daemon = Setup::new("smtp://127.0.0.1:9").with(TAGS).with("[smtp]\ntrusted_networks = ['127.0.0.0/8']").start();
    let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
    let genuine = genuine(&codec);
    let mut dice = Random(1);
    let mut client = support::client::Client::connect(daemon.smtp());
    for _ in 0..40 {
        let guesses: Vec<String> = (0..100).map(|_| guess(&mut dice, &genuine)).filter(|guess| !genuine.contains(guess)).collect();
        let mut lines = vec!["MAIL FROM:<>".to_owned()];
        lines.extend(guesses.iter().map(|local| format!("RCPT TO:<{local}@{DOMAIN}>")));
        lines.extend(["DATA".to_owned(), "RSET".to_owned()]);
        let replies = client.pipeline(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(replies[1..=guesses.len()].iter().all(|reply| reply.code == 550), "{replies:?}");
        replies[guesses.len() + 1].expect("554 5.5.1");
    }
    assert!(daemon.events().is_empty() && daemon.rows(&["counts"]).is_empty());
}

#[test]
fn a_bounce_that_comes_a_thousand_times_counts_once() {
    let daemon = Setup::new("smtp://127.0.0.1:9").with(TAGS).start();
    let rcpt = daemon.verp("alice@example.org", Some("spring"));
    let mail = Bounce::unknown_user(1, &rcpt, "alice@example.org").postfix();
    thread::scope(|scope| {
        for session in 0..10 {
            let (daemon, rcpt, mail) = (&daemon, &rcpt, &mail);
            scope.spawn(move || {
                let mut client = support::client::Client::connect(daemon.smtp());
                for turn in 0..100 {
                    // As relays bring it again.
                    let trace = format!("Received: from relay{session}.test by mx.test with SMTP id {turn}\r\nX-Received: by {turn}\r\n");
                    let spelt = if turn % 2 == 0 { rcpt.clone() } else { rcpt.to_uppercase() };
                    client.bounce(&spelt, &[trace.as_bytes(), mail].concat());
                }
            });
        }
    });
    let show = daemon.show("alice@example.org");
    assert_eq!((&show["counts"], show["fired"].as_array().map(Vec::len)), (&json!({"hard-bounce": 1}), Some(1)), "{show}");
    assert_eq!((daemon.events().len(), daemon.count("status", "hard-bounce")), (1, 1));
    // Another bounce of the same person is another.
    support::client::Client::connect(daemon.smtp()).bounce(&rcpt, &Bounce::unknown_user(2, &rcpt, "alice@example.org").postfix());
    assert_eq!(daemon.count("status", "hard-bounce"), 2);
}

const HOUR: Duration = Duration::from_secs(3600);

/// Says RCPT to an address that isn't there; gives the reply's first line and the seconds that it took.
async fn wrong(client: &mut Client<tokio::net::TcpStream>) -> (String, u64) {
    let begun = Instant::now();
    client.send("RCPT TO:<forged@returns.test>\r\n").await;
    (client.reply().await.lines().next().unwrap_or_default().to_owned(), begun.elapsed().as_secs())
}

/// On a clock that the test winds.
#[tokio::test(start_paused = true)]
async fn who_guesses_is_slowed_then_kept_out_for_an_hour() {
    let handler = Arc::new(Fake::default());
    let max_guesses_per_ip = Some(Limit { guesses: 20, within: HOUR });
    let (_server, address) = start(Settings { max_guesses_per_ip, ..settings() }, &handler);
    let mut client = Client::greeted(address).await;
    client.say("MAIL FROM:<>", "250").await;
    for seconds in [0, 0, 0, 0, 0, 1, 2, 3, 4, 5] {
        assert_eq!(wrong(&mut client).await, ("550 5.7.1 return address not signed by us".to_owned(), seconds));
    }
    client.say("QUIT", "221").await;
    // Coming anew doesn't help.
    let mut client = Client::greeted(address).await;
    client.say("MAIL FROM:<>", "250").await;
    for seconds in [6, 7, 8, 8, 8, 8, 8, 8, 8] {
        assert_eq!(wrong(&mut client).await.1, seconds);
    }
    let mut beside = Client::greeted(address).await;
    beside.say("MAIL FROM:<>", "250").await;
    let mut in_data = Client::in_data(address).await;
    assert!(wrong(&mut client).await.0.starts_with("550"), "the twentieth");
    client.expect("421 4.7.0 too many wrong recipients from your network, try again later").await;
    client.closed().await;
    let over = Instant::now();
    Client::connect(address).await.expect("421 4.7.0 too many wrong recipients").await;
    // One that was there already ends at its next guess; a mail that was coming in is taken.
    assert!(wrong(&mut beside).await.0.starts_with("550"));
    beside.expect("421 4.7.0 too many wrong recipients").await;
    in_data.say("x\r\n.", "250 2.0.0 recorded as 1").await;

    // Somebody else comes in meanwhile.
    let mut other = from([127, 0, 0, 2], address).await;
    other.expect("220").await;
    sleep(HOUR - Duration::from_secs(60) - over.elapsed()).await;
    Client::connect(address).await.expect("421 4.7.0 too many wrong recipients").await;
    sleep(Duration::from_secs(120)).await;
    let mut client = Client::greeted(address).await;
    client.say("MAIL FROM:<>", "250").await;
    assert_eq!(wrong(&mut client).await.1, 0);

    let trusted_networks = vec!["127.0.0.0/8".parse().unwrap()];
    let (_server, address) = start(Settings { max_guesses_per_ip, trusted_networks, ..settings() }, &handler);
    let mut client = Client::greeted(address).await;
    client.say("MAIL FROM:<>", "250").await;
    for _ in 0..100 {
        assert_eq!(wrong(&mut client).await.1, 0);
    }
    Client::greeted(address).await;
}

/// From outside: the cap of the configuration, by the client's address, and what makes up for wrong recipients.
#[tokio::test]
async fn guessing_addresses_are_refused() {
    let daemon = Setup::new("smtp://127.0.0.1:9").with("[smtp]\nmax_guesses_per_ip = '10 per hour'").start();
    let guesser = [127, 0, 0, 2];
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = from(guesser, daemon.smtp()).await;
        client.expect("220").await;
        client.say("EHLO c.test", "250 ").await;
        client.say("MAIL FROM:<>", "250").await;
        clients.push(client);
    }
    for guess in 0..10 {
        clients[guess % 4].say("RCPT TO:<b+-+abcdefghijklm+alice=example.org@returns.test>", "550 5.7.1").await;
    }
    clients[1].expect("421 4.7.0 too many wrong recipients").await;
    from(guesser, daemon.smtp()).await.expect("421 4.7.0 too many wrong recipients").await;

    // A server that brings bounces, and as many stray ones.
    let rcpt = daemon.verp("alice@example.org", None);
    for serial in 0..15 {
        let mut client = from([127, 0, 0, 3], daemon.smtp()).await;
        client.expect("220").await;
        client.say("EHLO c.test", "250 ").await;
        client.say("MAIL FROM:<>", "250").await;
        client.say("RCPT TO:<info@returns.test>", "550 5.1.1").await;
        client.say(&format!("RCPT TO:<{rcpt}>"), "250").await;
        client.say("DATA", "354").await;
        client.say(&format!("Subject: Undelivered {serial}\r\n\r\n550 5.1.1 user unknown\r\n."), "250").await;
    }
    from(guesser, daemon.smtp()).await.expect("421").await;
}
