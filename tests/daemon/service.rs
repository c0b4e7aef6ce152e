//! Life as a service: reload, stop, readiness, sockets that are passed, TLS.

use std::{
    fs, io,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
    time::Duration,
};

use rcgen::CertifiedKey;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use serde_json::json;

use crate::support::{
    PATIENCE, await_mail, await_some,
    client::Client,
    daemon::{Daemon, Setup},
    mail_catcher::MailCatcher,
    mails::Bounce,
    ports,
};

fn bounce(daemon: &Daemon, address: &str) {
    let rcpt = daemon.verp(address, None);
    Client::connect(daemon.smtp()).bounce(&rcpt, &Bounce::unknown_user(1, &rcpt, address).postfix());
}

#[test]
fn a_good_reload_takes_effect() {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").start();
    bounce(&daemon, "alice@example.org");
    let old = Client::connect(daemon.smtp());
    let more = ports::free();
    daemon.setup.merge(&format!(
        r#"
        [smtp]
        domains = ["returns.test", "returns.example"]
        listen = ["{}", "{more}"]
        [[trigger]]
        name = "reloaded"
        when = "hard-bounce"
        count = "exactly 1"
        do = [{{ tag = "reloaded" }}]
        "#,
        daemon.smtp()
    ));
    daemon.setup.write();
    daemon.signal(Signal::HUP);
    let mut client = await_some("the new listener", || Client::try_connect(more).ok());
    client.command("EHLO mx.sender.test").expect("250");
    bounce(&daemon, "bob@example.org");
    assert_eq!(daemon.show("bob@example.org")["tags"], json!(["reloaded"]));
    assert_eq!(daemon.show("alice@example.org")["tags"], json!([]));
    client.command("MAIL FROM:<>").expect("250");
    client.command("RCPT TO:<postmaster@returns.example>").expect("250");
    // A session from before goes on.
    let mut old = old;
    old.command("NOOP").expect("250");
}

#[test]
fn a_bad_reload_is_refused_and_mailed() {
    let catcher = MailCatcher::start();
    let mut daemon = Setup::new(&catcher.url()).start();
    let good = fs::read_to_string(daemon.setup.config_path()).unwrap();
    daemon.setup.merge("[smtp]\ndomains = []\nlissten = [\"127.0.0.1:1\"]");
    daemon.setup.write();
    daemon.signal(Signal::HUP);
    let alert = await_mail(&catcher, |_| true);
    assert_eq!(alert.to, ["ops@example.com"]);
    assert!(alert.text().contains("lissten"), "the alert says what is wrong: {}", alert.text());
    fs::write(daemon.setup.config_path(), good).unwrap();
    // The old configuration went on all the time.
    bounce(&daemon, "alice@example.org");
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 1}));
}

#[test]
fn a_stop_finishes_what_is_in_data() {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").start();
    let rcpt = daemon.verp("alice@example.org", None);
    let mail = Bounce::unknown_user(1, &rcpt, "alice@example.org").postfix();
    let (head, tail) = mail.split_at(mail.len() / 2);
    let mut client = Client::connect(daemon.smtp());
    client.command("MAIL FROM:<>").expect("250");
    client.command(&format!("RCPT TO:<{rcpt}>")).expect("250");
    let mut idle = Client::connect(daemon.smtp());
    client.command("DATA").expect("354");
    client.write(head).unwrap();
    daemon.signal(Signal::TERM);
    // The stop has begun when idle sessions are told.
    idle.reply().unwrap().expect("421");
    client.write(&[tail, b".\r\n"].concat()).unwrap();
    client.reply().unwrap().expect("250 2.");
    assert!(daemon.wait().success());
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 1}));
}

#[test]
fn an_idle_session_does_not_hold_up_a_stop() {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").start();
    let mut client = Client::connect(daemon.smtp());
    daemon.signal(Signal::TERM);
    client.reply().unwrap().expect("421");
    assert!(daemon.wait().success());
}

/// What systemd hears.
struct Ear(UnixDatagram);

impl Ear {
    /// Starts the daemon as a service with a watchdog of two seconds.
    fn start(setup: Setup, failpoints: &str) -> (Daemon, Ear) {
        let path = setup.dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut daemon = setup.asleep();
        let mut command = Command::new("sh");
        command.args(["-c", "WATCHDOG_USEC=2000000 WATCHDOG_PID=$$ exec \"$@\"", "sh"]).env("NOTIFY_SOCKET", &path);
        command.arg(&daemon.binary).arg("--config").arg(daemon.setup.config_path()).arg("run").env("FAILPOINTS", failpoints);
        let log = fs::File::create(daemon.log_path()).unwrap();
        daemon.adopt(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        (daemon, Ear(socket))
    }

    fn within(&self, patience: Duration) -> io::Result<String> {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    fn await_word(&self, word: &str) {
        await_some(word, || {
            let message = self.within(PATIENCE).unwrap_or_else(|error| panic!("{word}: {error}"));
            message.lines().any(|line| line == word).then_some(())
        });
    }
}

/// sd_notify(3): READY, the watchdog's ping, RELOADING and READY again, STOPPING.
#[test]
fn systemd_is_told() {
    let (mut daemon, ear) = Ear::start(Setup::new("smtp://127.0.0.1:9"), "");
    ear.await_word("READY=1");
    ear.await_word("WATCHDOG=1");
    ear.await_word("WATCHDOG=1");
    daemon.signal(Signal::HUP);
    ear.await_word("RELOADING=1");
    ear.await_word("READY=1");
    daemon.signal(Signal::TERM);
    ear.await_word("STOPPING=1");
    assert!(daemon.wait().success());
}

/// The writer stands still in the middle of a commit: systemd hears nothing more and would restart the daemon, and the mail has no 250.
#[test]
fn a_frozen_store_stops_the_pings() {
    let (daemon, ear) = Ear::start(Setup::new("smtp://127.0.0.1:9"), "before-flush=pause");
    ear.await_word("READY=1");
    ear.await_word("WATCHDOG=1");
    let rcpt = daemon.verp("alice@example.org", None);
    let mut client = Client::connect(daemon.smtp());
    for line in ["MAIL FROM:<>", &format!("RCPT TO:<{rcpt}>")] {
        client.command(line).expect("250");
    }
    client.command("DATA").expect("354");
    client.write(&[&Bounce::unknown_user(1, &rcpt, "alice@example.org").postfix()[..], b".\r\n"].concat()).unwrap();
    // What was under way when it froze, and then no ping for longer than systemd waits.
    let late: Vec<String> = (0..8).map_while(|_| ear.within(Duration::from_secs(4)).ok()).collect();
    assert!(late.len() < 8, "still pinging: {late:?}");
    assert!(daemon.log().contains("the watchdog is not pinged"), "{}", daemon.log());
    // The rest of the daemon lives; only the store stands still.
    Client::connect(daemon.smtp()).command("NOOP").expect("250");
    assert!(client.silent(), "no 250 for what isn't durable");
}

/// sd_listen_fds(3): port 25 without a capability. The shell moves its standard input to descriptor 3 and becomes the daemon.
#[test]
fn a_socket_that_is_passed() {
    let setup = Setup::new("smtp://127.0.0.1:9");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut daemon = setup.asleep();
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=smtp LISTEN_PID=$$ exec \"$@\"", "sh"]);
    command.arg(&daemon.binary).arg("--config").arg(daemon.setup.config_path()).arg("run");
    command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
    daemon.setup.smtp = address;
    daemon.adopt(command.spawn().unwrap());
    bounce(&daemon, "alice@example.org");
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 1}));
    assert!(daemon.stop().success());
}

fn certificate(setup: &Setup) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec!["mx.returns.test".to_owned()]).unwrap();
    fs::write(setup.dir.path().join("cert.pem"), cert.pem()).unwrap();
    fs::write(setup.dir.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

#[test]
fn starttls_with_a_certificate_that_is_renewed() {
    let mut setup = Setup::new("smtp://127.0.0.1:9");
    let first = certificate(&setup);
    let dir = setup.dir.path().display().to_string();
    setup.merge(&format!("[smtp]\ntls = {{ cert = \"{dir}/cert.pem\", key = \"{dir}/key.pem\" }}"));
    let daemon = setup.start();
    let rcpt = daemon.verp("alice@example.org", None);
    let mut client = Client::connect(daemon.smtp());
    assert!(client.command("EHLO mx.sender.test").lines.contains(&"STARTTLS".to_owned()));
    client.starttls("mx.returns.test", &first);
    assert!(!client.command("EHLO mx.sender.test").lines.contains(&"STARTTLS".to_owned()), "not again under TLS");
    client.bounce(&rcpt, &Bounce::unknown_user(1, &rcpt, "alice@example.org").postfix());
    assert_eq!(daemon.show("alice@example.org")["counts"], json!({"hard-bounce": 1}));

    let second = certificate(&daemon.setup);
    daemon.signal(Signal::HUP);
    await_some("the renewed certificate", || {
        let mut client = Client::connect(daemon.smtp());
        client.try_starttls("mx.returns.test", &second).ok()
    });
    // What was said before TLS was begun counts for nothing (RFC 3207, section 4.2).
    let mut client = Client::connect(daemon.smtp());
    client.command("MAIL FROM:<>").expect("250");
    client.starttls("mx.returns.test", &second);
    client.command(&format!("RCPT TO:<{rcpt}>")).expect("503");
}

#[test]
fn without_a_certificate_no_starttls() {
    let daemon = Setup::new("smtp://127.0.0.1:9").start();
    let mut client = Client::connect(daemon.smtp());
    let reply = client.command("EHLO mx.sender.test");
    for offered in ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING"] {
        assert!(reply.lines.iter().any(|line| line == offered), "{offered} in {reply:?}");
    }
    assert!(!reply.lines.iter().any(|line| line == "STARTTLS" || line.starts_with("DSN")), "{reply:?}");
    client.command("STARTTLS").expect("50");
}

#[test]
fn logs_as_json() {
    let mut daemon = Setup::new("smtp://127.0.0.1:9").asleep();
    daemon.run_args = vec!["--log-format".into(), "json".into()];
    daemon.start();
    bounce(&daemon, "alice@example.org");
    assert!(daemon.stop().success());
    let log = daemon.log();
    let rows: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    assert!(rows.iter().any(|row| row.to_string().contains("hard-bounce")), "{log}");
}
