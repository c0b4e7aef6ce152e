//! How fast mail comes in and is durable: distinct 4 KB reports in Postfix's form over 1, 20, 100 and 500 sessions, a session a mail and sessions
//! kept open, to the built daemon and, with the same generator in the same run, to Postfix's smtp-sink, which stores nothing, and to a Postfix
//! that delivers to a Maildir, whose time ends with the last mail's delivery.
//!
//! BOUNCED_BENCH_MESSAGES sets how many mails a round has (20,000; a tenth of it for Postfix and over one session), BOUNCED_BENCH_SESSIONS over
//! how many sessions ("1 20 100 500").

use std::{
    env, fs,
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
};

use bounced::{config::Config, verp::Codec};
use rustix::fs::{Gid, Uid};

use super::{
    load::{self, Round, Sessions, Shot},
    process,
    sink::Sink,
    support::{
        daemon::{Daemon, Setup},
        mta::Postfix,
        ports,
    },
    table::{self, Row},
};

/// Debian's user nobody: the Maildir's owner.
const NOBODY: u32 = 65534;

/// Postfix has as many smtpd processes at most, unless told otherwise.
const POSTFIX_SESSIONS: usize = 100;

struct Maildir {
    postfix: Postfix,
    address: SocketAddr,
}

impl Maildir {
    fn start() -> Option<Maildir> {
        let address = ports::free();
        let postfix = Postfix::delivering(address, |folder| {
            let base = folder.join("mail");
            fs::create_dir(&base).expect("a folder");
            rustix::fs::chown(&base, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).expect("root");
            let settings = format!(
                "virtual_mailbox_domains = returns.test\nvirtual_mailbox_base = {}\nvirtual_mailbox_maps = static:in/\n\
                 virtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\n",
                base.display()
            );
            (settings, "virtual unix - n n - - virtual\n".to_owned())
        })?;
        Some(Maildir { postfix, address })
    }

    fn count(&self) -> usize {
        fs::read_dir(self.postfix.folder().join("mail/in/new")).map_or(0, Iterator::count)
    }

    fn round(&self, how: Sessions, sessions: usize, shots: &Rc<[Shot]>) -> Round {
        let before = self.count();
        load::fire(self.address, self.postfix.pid(), how, sessions, shots, |mails| self.count() >= before + mails)
    }
}

struct Bench<'a> {
    out: &'a mut dyn Write,
    daemon: &'a Daemon,
    codec: Rc<Codec>,
    sink: Option<Sink>,
    maildir: Option<Maildir>,
    mails: usize,
    serial: u64,
}

impl Bench<'_> {
    fn shots(&mut self, count: usize) -> Rc<[Shot]> {
        self.serial += count as u64;
        load::shots(&self.codec, self.serial, count)
    }

    fn line(&mut self, how: Sessions, sessions: usize, name: &str, round: &Round) -> io::Result<()> {
        let how = if how == Sessions::OneMail { "a session a mail" } else { "kept open" };
        writeln!(
            self.out,
            "{sessions:>8} {how:<17} {name:<10} {:>7} {:>9.0} {:>9.2} {:>9.2} {:>10.3} {:>10.3}",
            round.mails,
            round.rate(),
            round.latency(50),
            round.latency(99),
            round.cpu_per_thousand(),
            round.generator_cpu * 1000.0 / round.mails as f64
        )?;
        self.out.flush()
    }

    fn rounds(&mut self, how: Sessions, sessions: usize) -> io::Result<()> {
        let count = if sessions == 1 { self.mails / 10 } else { self.mails };
        let shots = self.shots(count);
        let ours = load::fire(self.daemon.smtp(), self.daemon.pid(), how, sessions, &shots, |_| true);
        self.line(how, sessions, "bounced", &ours)?;
        let sink = self.sink.as_ref().map(|sink| load::fire(sink.address, sink.pid(), how, sessions, &shots, |_| true));
        if let Some(sink) = &sink {
            self.line(how, sessions, "smtp-sink", sink)?;
        }
        drop(shots);
        let few = self.shots(self.mails / 10);
        let maildir = self.maildir.as_ref().filter(|_| sessions <= POSTFIX_SESSIONS).map(|maildir| maildir.round(how, sessions, &few));
        if let Some(maildir) = &maildir {
            self.line(how, sessions, "Postfix", maildir)?;
        }
        self.sum_up(how, sessions, &ours, sink.as_ref(), maildir.as_ref());
        Ok(())
    }

    fn sum_up(&self, how: Sessions, sessions: usize, ours: &Round, sink: Option<&Round>, maildir: Option<&Round>) {
        let one = how == Sessions::OneMail;
        let title = format!("intake, {sessions} sessions {}", if one { "of a mail each" } else { "kept open" });
        let goals = matches!(sessions, 20 | 100);
        let rate = |round: &Round| format!("{:.0}/s", round.rate());
        let beside = |name: &str, theirs: Option<&Round>, goal: &'static str| {
            if let Some(theirs) = theirs {
                let ratio = Some(ours.rate() / theirs.rate());
                let goal = if goals { goal } else { "" };
                table::add(Row { what: title.clone(), ours: rate(ours), theirs: format!("{name} {}", rate(theirs)), ratio, goal });
            }
        };
        beside("smtp-sink", sink, if one { "0.80" } else { "0.50" });
        beside("Postfix to Maildir", maildir, "12");
        if sessions == 20 {
            let ours_at =
                |what: &str, ours: String, goal| Row { what: format!("  {what}"), ours, theirs: String::new(), ratio: None, goal };
            table::add(ours_at("latency, 99 of 100", format!("{:.1} ms", ours.latency(99)), "20 ms"));
            table::add(ours_at("server's CPU, 1,000 mails", format!("{:.3} s", ours.cpu_per_thousand()), "0.150 s"));
        }
    }
}

fn asked() -> Vec<usize> {
    let asked = env::var("BOUNCED_BENCH_SESSIONS").unwrap_or_else(|_| "1 20 100 500".to_owned());
    asked.split_whitespace().filter_map(|sessions| sessions.parse().ok()).collect()
}

pub fn run(out: &mut dyn Write, timed: bool) -> io::Result<()> {
    let default = if timed { 20_000 } else { 200 };
    let mails = env::var("BOUNCED_BENCH_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(default);
    let daemon = process::daemon(Setup::new("smtp://127.0.0.1:9").with("smtp.max_connections_per_ip = 1000"));
    let codec = Config::load(&daemon.setup.config_path()).expect("a good configuration").verp.codec;
    let (sink, maildir) = (Sink::start(), Maildir::start());
    if sink.is_none() {
        writeln!(out, "LEFT OUT: smtp-sink isn't here (Debian package postfix)")?;
    }
    if maildir.is_none() {
        writeln!(out, "LEFT OUT: Postfix to a Maildir (it needs Postfix and root)")?;
    }
    let heads = ["sessions", "", "to", "mails", "mails/s", "50 %, ms", "99 %, ms", "CPU s/1000", "generator's"];
    let [sessions, how, to, mails_head, rate, median, late, cpu, own] = heads;
    writeln!(out, "{sessions:>8} {how:<17} {to:<10} {mails_head:>7} {rate:>9} {median:>9} {late:>9} {cpu:>10} {own:>10}")?;
    let idle = process::memory(daemon.pid(), "VmRSS");
    let mut bench = Bench { out, daemon: &daemon, codec: Rc::new((*codec).clone()), sink, maildir, mails, serial: 0 };
    for how in [Sessions::OneMail, Sessions::KeptOpen] {
        for sessions in asked() {
            bench.rounds(how, sessions)?;
        }
    }
    let (peak, after) = (process::memory(daemon.pid(), "VmHWM"), process::memory(daemon.pid(), "VmRSS"));
    writeln!(out, "memory, MiB: {idle:.1} idle, {peak:.1} at most, {after:.1} after")?;
    writeln!(out, "counted: {}", daemon.count("status", "hard-bounce"))
}
