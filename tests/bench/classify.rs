//! How fast mails are told, beside the library's bare MIME parse of the same mails in the same run: the fixtures, and the corpus that
//! BOUNCED_CORPUS names. Then what a second core is worth to `bounced classify`. `cargo bench -- classify`.

use std::{
    env, fs,
    hint::black_box,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bounced::{
    classify::{Envelope, tell},
    message::read,
};
use mail_parser::MessageParser;

/// `bounced classify` gets so many mails on one core and on two.
const MANY: usize = 60_000;

fn mails(folder: &Path, found: &mut Vec<Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            mails(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "eml") {
            found.push(fs::read(path)?);
        }
    }
    Ok(())
}

/// How long one round over all mails takes.
fn round(all: &[Vec<u8>], mut work: impl FnMut(&[u8])) -> Duration {
    let begun = Instant::now();
    all.iter().for_each(|mail| work(mail));
    begun.elapsed()
}

/// Rounds of both in turn, so that what else the machine does meets both; of each the median counts.
fn beside(out: &mut dyn Write, name: &str, all: &[Vec<u8>], time: Duration) -> io::Result<()> {
    let (mut parses, mut tellings) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while parses.is_empty() || begun.elapsed() < time {
        parses.push(round(all, |mail| drop(black_box(MessageParser::default().parse(mail)))));
        tellings.push(round(all, |mail| drop(black_box(tell(&read(mail), &Envelope::default())))));
    }
    let octets = all.iter().map(Vec::len).sum::<usize>() as f64;
    writeln!(out, "{name}: {} mails of {:.1} KB", all.len(), octets / 1e3 / all.len() as f64)?;
    let [parse, telling] = [("bare parse", parses), ("parse and classify", tellings)].map(|(what, mut rounds)| {
        rounds.sort();
        (what, rounds.get(rounds.len() / 2).map_or(f64::NAN, Duration::as_secs_f64))
    });
    for (what, seconds) in [parse, telling] {
        writeln!(out, "  {what:<20}{:>9.0} mails/s {:>8.1} MB/s, one core", all.len() as f64 / seconds, octets / 1e6 / seconds)?;
    }
    writeln!(out, "  ratio {:.2}", telling.1 / parse.1)
}

/// The built program over an mbox, bound to one core and to two.
fn two_cores(out: &mut dyn Write, all: &[Vec<u8>], many: usize) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mbox = folder.path().join("many.mbox");
    let mut file = io::BufWriter::new(fs::File::create(&mbox)?);
    for mail in all.iter().filter(|mail| mail.len() < 16 * 1024).cycle().take(many) {
        file.write_all(b"From a@example.org Mon Nov 23 05:26:59 2026\n")?;
        file.write_all(&String::from_utf8_lossy(mail).replace("\nFrom ", "\n>From ").into_bytes())?;
        file.write_all(b"\n\n")?;
    }
    file.into_inner()?;
    let mut seconds = [0.0; 2];
    for ((name, cores), seconds) in [("one core ", "0"), ("two cores", "0,1")].into_iter().zip(&mut seconds) {
        let begun = Instant::now();
        let mut program = Command::new("taskset");
        program.args(["-c", cores, env!("CARGO_BIN_EXE_bounced"), "classify", "--json"]).arg(&mbox);
        program.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        *seconds = begun.elapsed().as_secs_f64();
        writeln!(out, "bounced classify, {name}: {:.0} mails/s", many as f64 / *seconds)?;
    }
    writeln!(out, "  two against one {:.2}", seconds[0] / seconds[1])?;
    writeln!(out, "  the bare parse, where threads share nothing at all, on this machine {:.2}", of_machine(all, many))
}

/// What the machine itself has to give: threads that parse, each by itself, two against one.
fn of_machine(all: &[Vec<u8>], many: usize) -> f64 {
    let parse = |many: usize| all.iter().cycle().take(many).for_each(|mail| drop(black_box(MessageParser::default().parse(mail))));
    let begun = Instant::now();
    parse(many * 2);
    let one = begun.elapsed();
    let begun = Instant::now();
    thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(|| parse(many)))));
    one.as_secs_f64() / begun.elapsed().as_secs_f64()
}

pub fn run(out: &mut dyn Write, measured: bool) -> io::Result<()> {
    let time = if measured { Duration::from_secs(5) } else { Duration::ZERO };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folders = [Some(fixtures), env::var_os("BOUNCED_CORPUS").map(PathBuf::from)];
    let mut every = Vec::new();
    for folder in folders.into_iter().flatten().filter(|folder| folder.is_dir()) {
        let mut all = Vec::new();
        mails(&folder, &mut all)?;
        beside(out, &folder.display().to_string(), &all, time)?;
        every.append(&mut all);
    }
    two_cores(out, &every, if measured { MANY } else { 100 })
}
