//! Reloads good and bad, certificates that change, and a stop, all while mail comes in: nobody is turned away and nothing is lost.

use std::{
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bounced::{config::Config, verp::Codec};
use rcgen::CertifiedKey;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use serde_json::json;

use crate::support::{
    await_some,
    client::{Client, stuffed},
    daemon::{Daemon, Setup},
    mails::Bounce,
};

const CLIENTS: u64 = 8;
const PEOPLE: u64 = 12;

/// What a client has to say of one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// 250.
    Taken,
    /// 421, or no connection: nothing of it was sent.
    PutOff,
}

struct Load {
    address: SocketAddr,
    codec: Arc<Codec>,
    /// Trusted by those who talk TLS: the present one and the one before.
    certificates: Mutex<Vec<CertificateDer<'static>>>,
    serial: AtomicU64,
    taken: Mutex<Vec<u64>>,
    /// Within DATA now: all of it is sent, or being sent.
    in_data: AtomicU64,
    over: AtomicBool,
}

fn person(serial: u64) -> String {
    format!("person{}@example.org", serial % PEOPLE)
}

impl Load {
    fn on(daemon: &Daemon) -> Arc<Load> {
        let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
        Arc::new(Load {
            address: daemon.smtp(),
            codec,
            certificates: Mutex::default(),
            serial: AtomicU64::new(0),
            taken: Mutex::default(),
            in_data: AtomicU64::new(0),
            over: AtomicBool::new(false),
        })
    }

    fn rcpt(&self, serial: u64) -> String {
        let today = i32::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
        self.codec.encode(&person(serial), None, None, today).unwrap()
    }

    fn tls(&self) -> io::Result<Client> {
        let mut client = Client::try_greet(self.address)?;
        // Which of the two it gets depends on when it came.
        let trusted = self.certificates.lock().unwrap().clone();
        match client.try_starttls_any("mx.returns.test", &trusted) {
            Ok(()) => Ok(client),
            // The one after both came meanwhile.
            Err(error) if *self.certificates.lock().unwrap() != trusted => Err(io::Error::new(ErrorKind::Interrupted, error)),
            Err(error) => Err(error),
        }
    }

    /// One mail; its content in two pieces with other people's turns in between.
    fn mail(&self, client: &mut Client, serial: u64) -> io::Result<Fate> {
        let rcpt = self.rcpt(serial);
        for line in ["MAIL FROM:<>".to_owned(), format!("RCPT TO:<{rcpt}>")] {
            match client.try_command(&line)?.code {
                250 => {}
                421 => return Ok(Fate::PutOff),
                code => panic!("{line}: {code}"),
            }
        }
        match client.try_command("DATA")?.code {
            354 => {}
            421 => return Ok(Fate::PutOff),
            code => panic!("DATA: {code}"),
        }
        self.in_data.fetch_add(1, Ordering::SeqCst);
        let content = stuffed(&Bounce::unknown_user(serial, &rcpt, &person(serial)).postfix());
        let (head, tail) = content.split_at(content.len() / 2);
        let replied = client.write(head).and_then(|()| {
            thread::sleep(Duration::from_millis(serial % 40));
            client.write(&[tail, b".\r\n"].concat())?;
            client.reply()
        });
        self.in_data.fetch_sub(1, Ordering::SeqCst);
        let reply = replied.unwrap_or_else(|error| panic!("mail {serial} was in DATA and got no reply: {error}"));
        reply.expect("250 2.");
        self.taken.lock().unwrap().push(serial);
        Ok(Fate::Taken)
    }

    /// Sessions of a few mails each, one client in two over TLS where there is a certificate. `patient`: a daemon that doesn't stop has no reason
    /// to put anybody off.
    fn client(&self, number: u64, patient: bool) {
        while !self.over.load(Ordering::SeqCst) {
            let tls = number % 2 == 1 && !self.certificates.lock().unwrap().is_empty();
            let mut client = match if tls { self.tls() } else { Client::try_greet(self.address) } {
                Ok(client) => client,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) if !patient => return,
                Err(error) => panic!("no session: {error}"),
            };
            for _ in 0..1 + number * 3 {
                let serial = self.serial.fetch_add(1, Ordering::SeqCst);
                match self.mail(&mut client, serial) {
                    Ok(Fate::Taken) => {}
                    Ok(Fate::PutOff) | Err(_) if !patient => return,
                    other => panic!("mail {serial}: {other:?}"),
                }
            }
        }
    }

    /// Runs `deeds` while the clients send; fails where one of them does.
    fn during(self: &Arc<Load>, patient: bool, deeds: impl FnOnce()) {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let load = Arc::clone(self);
                thread::spawn(move || load.client(number, patient))
            })
            .collect();
        deeds();
        self.over.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().expect("a client's session failed");
        }
    }

    fn taken(&self) -> Vec<u64> {
        let mut taken = self.taken.lock().unwrap().clone();
        taken.sort_unstable();
        taken
    }

    fn await_taken(&self, more: usize) {
        let goal = self.taken().len() + more;
        await_some("mails to be taken", || (self.taken().len() >= goal).then_some(()));
    }
}

/// Each mail that got its 250 is counted once, and none else.
fn counted(daemon: &Daemon, taken: &[u64]) {
    for nth in 0..PEOPLE {
        let count = taken.iter().filter(|serial| *serial % PEOPLE == nth).count();
        assert_eq!(daemon.show(&person(nth))["counts"], json!({"hard-bounce": count}), "{}", person(nth));
    }
    assert_eq!(daemon.events().len(), taken.len());
}

fn certificate(setup: &Setup) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec!["mx.returns.test".to_owned()]).unwrap();
    // As renewal hooks do: each file whole at once, the pair not at the same moment.
    for (name, pem) in [("cert.pem", cert.pem()), ("key.pem", signing_key.serialize_pem())] {
        let fresh = setup.dir.path().join(format!("{name}.new"));
        fs::write(&fresh, pem).unwrap();
        fs::rename(fresh, setup.dir.path().join(name)).unwrap();
    }
    cert.der().clone()
}

fn house() -> (Daemon, Arc<Load>) {
    let setup = Setup::new("smtp://127.0.0.1:9")
        .with("[smtp]\ntls = { cert = \"cert.pem\", key = \"key.pem\" }\n[guard]\nhard_bounces_per_domain = \"never\"");
    let first = certificate(&setup);
    let daemon = setup.start();
    let load = Load::on(&daemon);
    load.certificates.lock().unwrap().push(first);
    (daemon, load)
}

/// SIGHUP, and waits for the daemon's word on it.
fn reload(daemon: &Daemon, word: &str) {
    let before = daemon.log().matches(word).count();
    daemon.signal(Signal::HUP);
    await_some(word, || (daemon.log().matches(word).count() > before).then_some(()));
}

const GOOD: &str = "configuration read again";
const BAD: &str = "the new configuration is refused";

#[test]
fn reloads_under_load_fail_no_session() {
    let (mut daemon, load) = house();
    let config = daemon.setup.config_path();
    load.during(true, || {
        for round in 0..6 {
            let good = fs::read_to_string(&config).unwrap();
            // Errors of a key, of syntax, of what can only be seen when it is tried, and a file that isn't there.
            let blocked = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let taken = format!("listen = [\"{}\", \"{}\"]", daemon.smtp(), blocked.local_addr().unwrap());
            let bad = match round % 4 {
                0 => good.replace("hostname", "hostnome"),
                1 => format!("{good}\n]["),
                2 => good.replace(&format!("listen = [\"{}\"]", daemon.smtp()), &taken),
                _ => good.replace("key.pem", "no-such-key.pem"),
            };
            assert_ne!(bad, good);
            fs::write(&config, bad).unwrap();
            reload(&daemon, BAD);
            load.await_taken(15);

            // A trigger more, other limits, and a new certificate.
            fs::write(&config, good).unwrap();
            daemon.setup.merge(&format!(
                "[smtp]\nmax_connections = {}\n[[trigger]]\nname = \"round {round}\"\nwhen = \"soft-bounce-*\"\ncount = \"every 1\"\ndo = [{{ tag = \"t{round}\" }}]",
                500 + round
            ));
            daemon.setup.write();
            let renewed = certificate(&daemon.setup);
            let mut certificates = load.certificates.lock().unwrap();
            // Nobody may ask for a session between the files' change and the reload with less than both in hand.
            certificates.insert(0, renewed);
            certificates.truncate(2);
            drop(certificates);
            reload(&daemon, GOOD);
            load.await_taken(15);
        }
    });
    assert_eq!(daemon.log().matches("TLS handshake failed").count(), 0);
    counted(&daemon, &load.taken());
    assert!(daemon.stop().success());
}

#[test]
fn a_stop_under_load_loses_nothing() {
    let (mut daemon, load) = house();
    for round in 0..3 {
        load.over.store(false, Ordering::SeqCst);
        load.during(false, || {
            load.await_taken(100);
            await_some("somebody in DATA", || (load.in_data.load(Ordering::SeqCst) > 0).then_some(()));
            assert!(daemon.stop().success(), "round {round}");
        });
        assert!(!daemon.log().contains("dialogues were cut off"));
        daemon.start();
        counted(&daemon, &load.taken());
    }
}
