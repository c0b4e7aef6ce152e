//! From a bounce to what it sets off: bounces in to the trigger's posts out, a second, beside Postfix with a pipe to a script that parses and
//! posts; then from the last byte of a bounce to its notification at the operator's server.

use std::{
    fs,
    io::{self, Write},
    rc::Rc,
    time::{Instant, SystemTime},
};

use bounced::config::Config;

use super::{
    load::{self, Sessions, Shot},
    process,
    support::{
        PATIENCE,
        client::{Client, stuffed},
        daemon::Setup,
        http_catcher::HttpCatcher,
        mail_catcher::MailCatcher,
        mails::Bounce,
        mta::Postfix,
        ports,
    },
    table::{self, Row},
};

const SESSIONS: usize = 20;
const LATENCIES: usize = 50;
const PERL: &str = "/usr/bin/perl";

struct Posted {
    mails: usize,
    seconds: f64,
    cpu: f64,
}

impl Posted {
    fn rate(&self) -> f64 {
        self.mails as f64 / self.seconds
    }

    fn write(&self, out: &mut dyn Write, name: &str) -> io::Result<()> {
        let cpu = self.cpu * 1000.0 / self.mails as f64;
        writeln!(out, "{name:<26} {:>7} {:>9.0} {cpu:>11.3}", self.mails, self.rate())
    }
}

/// From the first byte of the first bounce to the last post.
fn posted(target: std::net::SocketAddr, pid: u32, shots: &Rc<[Shot]>, catcher: &HttpCatcher) -> Posted {
    let (cpu, begun) = (process::tree_cpu(pid), Instant::now());
    load::fire(target, pid, Sessions::KeptOpen, SESSIONS, shots, |mails| catcher.count() >= mails);
    Posted { mails: shots.len(), seconds: begun.elapsed().as_secs_f64(), cpu: process::tree_cpu(pid) - cpu }
}

fn by_bounced(mails: usize) -> Posted {
    let catcher = HttpCatcher::start();
    let url = catcher.url("/bounces");
    let setup = Setup::new("smtp://127.0.0.1:9").with(&format!(
        "guard.hard_bounces_per_domain = \"never\"\n[[trigger]]\nname = \"first\"\nwhen = \"hard-bounce\"\ncount = \"exactly 1\"\n\
         do = [{{ post = {{ url = \"{url}\", form = {{ email = \"{{{{ address }}}}\", optout = \"1\" }} }} }}]"
    ));
    let daemon = process::daemon(setup);
    let codec = Config::load(&daemon.setup.config_path()).expect("a good configuration").verp.codec;
    posted(daemon.smtp(), daemon.pid(), &load::shots(&codec, 0, mails), &catcher)
}

fn by_pipe(mails: usize) -> Option<Posted> {
    if !fs::exists(PERL).unwrap_or_default() {
        return None;
    }
    let (catcher, address) = (HttpCatcher::start(), ports::free());
    let url = catcher.url("/bounces");
    let postfix = Postfix::delivering(address, |folder| {
        let script = folder.join("pipe.pl");
        fs::write(&script, include_str!("pipe.pl")).expect("written");
        let service = format!("tell unix - n n - - pipe\n  user=nobody argv={PERL} {} {url}\n", script.display());
        ("virtual_mailbox_domains = returns.test\nvirtual_transport = tell\n".to_owned(), service)
    })?;
    let daemon = Setup::new("smtp://127.0.0.1:9").asleep();
    let codec = Config::load(&daemon.setup.config_path()).expect("a good configuration").verp.codec;
    Some(posted(address, postfix.pid(), &load::shots(&codec, 0, mails), &catcher))
}

/// From the last byte of a bounce to the last byte of its notification, milliseconds, sorted.
fn latencies() -> Vec<f64> {
    let catcher = MailCatcher::start();
    let setup = Setup::new(&catcher.url()).with(
        r#"
            [[trigger]]
            name = "first"
            when = "hard-bounce"
            count = "exactly 1"
            do = [{ mail = { to = "ops@example.com", template = "t" } }]
            [templates]
            t = { subject = "{{ address }} bounced", body = "{{ diagnostic }}" }
            "#,
    );
    let daemon = process::daemon(setup);
    let codec = Config::load(&daemon.setup.config_path()).expect("a good configuration").verp.codec;
    let mut client = Client::connect(daemon.smtp());
    let mut found: Vec<f64> = (0..LATENCIES)
        .map(|nth| {
            let person = format!("late{nth}@example.org");
            let rcpt = codec.encode(&person, None, None, load::today()).expect("an address");
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

pub fn run(out: &mut dyn Write, timed: bool) -> io::Result<()> {
    let (mails, few) = if timed { (5_000, 300) } else { (100, 20) };
    writeln!(out, "{:<26} {:>7} {:>9} {:>11}", "bounce in to post out", "mails", "posts/s", "CPU s/1000")?;
    let ours = by_bounced(mails);
    ours.write(out, "bounced")?;
    match by_pipe(few) {
        Some(theirs) => {
            theirs.write(out, "Postfix, pipe to Perl")?;
            let (ratio, theirs) = (ours.rate() / theirs.rate(), format!("Postfix, pipe to Perl {:.0}/s", theirs.rate()));
            let what = "bounce in to post out".to_owned();
            table::add(Row { what, ours: format!("{:.0}/s", ours.rate()), theirs, ratio: Some(ratio), goal: "" });
        }
        None => writeln!(out, "LEFT OUT: Postfix with a pipe to a script (it needs Postfix, Perl and root)")?,
    }
    let late = latencies();
    let at = |percent: usize| late.get(late.len() * percent / 100).copied().unwrap_or(f64::NAN);
    let longest = late.last().copied().unwrap_or(f64::NAN);
    writeln!(out, "bounce to notification, ms: median {:.1}, 90 of 100 {:.1}, longest {longest:.1}", at(50), at(90))?;
    let ours = format!("{:.1} ms", at(50));
    table::add(Row { what: "bounce to notification, median".to_owned(), ours, theirs: String::new(), ratio: None, goal: "" });
    Ok(())
}
