//! How fast mail comes in: distinct 4 KB reports in Postfix's form, by 20 and by 100 sessions, to the built daemon and, with the same
//! generator in the same run, to Postfix's smtp-sink, which stores nothing. `cargo bench --bench intake`.
//!
//! BOUNCED_BENCH_MESSAGES sets how many mails a round has (20,000); a round ends after a minute however far it came.

#[path = "../support/mod.rs"]
mod support;

use std::{
    env, fs, io,
    io::Write,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use bounced::{config::Config, verp::Codec};
use support::{
    PATIENCE, await_some,
    client::{Client, stuffed},
    daemon::Setup,
    mail_catcher::MailCatcher,
    mails::Bounce,
    ports,
};

const LONGEST: Duration = Duration::from_secs(60);
/// As on Linux everywhere: USER_HZ.
const TICKS_PER_SECOND: f64 = 100.0;
const LATENCIES: usize = 50;

/// One mail, ready to be written.
struct Shot {
    envelope: String,
    content: Vec<u8>,
}

struct Round {
    mails: usize,
    seconds: f64,
    cpu_seconds: f64,
}

impl Round {
    fn rate(&self) -> f64 {
        self.mails as f64 / self.seconds
    }

    fn cpu_per_thousand(&self) -> f64 {
        self.cpu_seconds * 1000.0 / self.mails as f64
    }
}

fn shots(codec: &Codec, first: u64, count: usize) -> Vec<Shot> {
    let today = today();
    (first..first + count as u64)
        .map(|serial| {
            let person = format!("person{}@example.org", serial / 2);
            let rcpt = codec.encode(&person, Some("bench"), None, today).expect("an address");
            let mut content = stuffed(&Bounce::unknown_user(serial, &rcpt, &person).postfix());
            content.extend_from_slice(b".\r\n");
            Shot { envelope: format!("MAIL FROM:<> SIZE={}\r\nRCPT TO:<{rcpt}>\r\nDATA\r\n", content.len()), content }
        })
        .collect()
}

fn today() -> i32 {
    i32::try_from(jiff::Timestamp::now().as_second() / 86_400).expect("a day")
}

fn shoot(client: &mut Client, shot: &Shot) -> io::Result<()> {
    client.write(shot.envelope.as_bytes())?;
    for expected in [250, 250, 354] {
        let reply = client.reply()?;
        if reply.code != expected {
            return Err(io::Error::other(format!("{reply:?}")));
        }
    }
    client.write(&shot.content)?;
    match client.reply()? {
        reply if reply.code == 250 => Ok(()),
        reply => Err(io::Error::other(format!("{reply:?}"))),
    }
}

/// All sessions take from one pile until it is empty.
fn fire(target: SocketAddr, pid: u32, sessions: usize, pile: &[Shot]) -> Round {
    let (next, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let cpu = cpu_seconds(pid);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..sessions {
            scope.spawn(|| {
                let mut client = Client::connect(target);
                while let Some(shot) = pile.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if begun.elapsed() > LONGEST {
                        return;
                    }
                    shoot(&mut client, shot).expect("taken");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    Round { mails: sent.into_inner(), seconds: begun.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds(pid) - cpu }
}

/// utime and stime of proc(5).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let after_name = stat.rsplit_once(") ").expect("stat's form").1;
    let ticks: f64 = after_name.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum();
    ticks / TICKS_PER_SECOND
}

/// MiB
fn memory(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().expect("kB") / 1024.0
}

struct Sink {
    child: Child,
    address: SocketAddr,
}

impl Sink {
    fn start() -> Option<Sink> {
        let address = ports::free();
        let program = ["/usr/sbin/smtp-sink", "/usr/bin/smtp-sink"].into_iter().find(|path| fs::exists(path).is_ok_and(|found| found))?;
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command.arg(address.to_string()).arg("1000").stdin(Stdio::null()).spawn().ok()?;
        let sink = Sink { child, address };
        await_some("smtp-sink's banner", || Client::try_connect(address).ok());
        Some(sink)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From the last byte of a bounce to the last byte of its notification at the operator's server, milliseconds, sorted.
fn latencies() -> Vec<f64> {
    let catcher = MailCatcher::start();
    let daemon = Setup::new(&catcher.url())
        .with(
            r#"
            [[trigger]]
            name = "first"
            when = "hard-bounce"
            count = "exactly 1"
            do = [{ mail = { to = "ops@example.com", template = "t" } }]
            [templates]
            t = { subject = "{{ address }} bounced", body = "{{ diagnostic }}" }
            "#,
        )
        .start();
    let codec = Config::load(&daemon.setup.config_path()).expect("a good configuration").verp.codec;
    let mut client = Client::connect(daemon.smtp());
    let mut found: Vec<f64> = (0..LATENCIES)
        .map(|nth| {
            let person = format!("late{nth}@example.org");
            let rcpt = codec.encode(&person, None, None, today()).expect("an address");
            let mail = Bounce::unknown_user(nth as u64, &rcpt, &person).postfix();
            for line in ["MAIL FROM:<>", &format!("RCPT TO:<{rcpt}>"), "DATA"] {
                client.command(line);
            }
            client.write(&[stuffed(&mail).as_slice(), b".\r\n"].concat()).expect("written");
            let sent = SystemTime::now();
            client.reply().expect("a reply").expect("250");
            let mails = catcher.wait(nth + 1, PATIENCE);
            mails[nth].at.duration_since(sent).unwrap_or_default().as_secs_f64() * 1000.0
        })
        .collect();
    found.sort_by(f64::total_cmp);
    found
}

fn main() -> io::Result<()> {
    let mut out = io::stdout();
    // `cargo test --benches` runs this too: a small round shows that it works.
    let timed = env::args().any(|argument| argument == "--bench");
    let default = if timed { 20_000 } else { 200 };
    let count = env::var("BOUNCED_BENCH_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(default);

    let daemon = Setup::new("smtp://127.0.0.1:9").start();
    let codec = Config::load(&daemon.setup.config_path()).expect("a good configuration").verp.codec;
    thread::sleep(Duration::from_secs(1));
    let idle = memory(daemon.pid(), "VmRSS");
    let sink = Sink::start();
    if sink.is_none() {
        writeln!(out, "smtp-sink isn't here (Debian package postfix): no comparison")?;
    }
    writeln!(out, "{:>9} {:>10} {:>9} {:>9} {:>22}", "sessions", "to", "mails", "mails/s", "CPU s per 1,000 mails")?;
    let mut first = 0;
    for sessions in [20, 100] {
        let pile = shots(&codec, first, count);
        first += count as u64;
        let ours = fire(daemon.smtp(), daemon.pid(), sessions, &pile);
        let theirs = sink.as_ref().map(|sink| fire(sink.address, sink.child.id(), sessions, &pile));
        for (name, round) in [("bounced", Some(&ours)), ("smtp-sink", theirs.as_ref())] {
            let Some(round) = round else { continue };
            writeln!(out, "{sessions:>9} {name:>10} {:>9} {:>9.0} {:>22.3}", round.mails, round.rate(), round.cpu_per_thousand())?;
        }
        if let Some(theirs) = theirs {
            writeln!(out, "{sessions:>9} {:>10} {:>29.3}", "ratio", ours.rate() / theirs.rate())?;
        }
    }
    writeln!(out, "memory, MiB: {idle:.1} idle, {:.1} at most, {:.1} after", memory(daemon.pid(), "VmHWM"), memory(daemon.pid(), "VmRSS"))?;
    let counted = daemon.count("status", "hard-bounce");
    writeln!(out, "counted: {counted}")?;
    drop(daemon);
    let late = latencies();
    writeln!(
        out,
        "bounce to notification, ms: median {:.1}, 90 of 100 {:.1}, longest {:.1}",
        late[late.len() / 2],
        late[late.len() * 9 / 10],
        late[late.len() - 1]
    )
}
