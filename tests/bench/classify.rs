//! How fast mails are read and told, on one core: the fixtures, and the corpus that BOUNCED_CORPUS names. `cargo bench --bench classify`.

use std::{
    env, fs, io,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bounced::{
    classify::{Envelope, tell},
    message::read,
};

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

fn main() -> io::Result<()> {
    let time = if env::args().any(|argument| argument == "--bench") { Duration::from_secs(3) } else { Duration::ZERO };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folders = [Some(fixtures), env::var_os("BOUNCED_CORPUS").map(PathBuf::from)];
    let mut out = io::stdout();
    for folder in folders.into_iter().flatten().filter(|folder| folder.is_dir()) {
        let mut all = Vec::new();
        mails(&folder, &mut all)?;
        let bytes: usize = all.iter().map(Vec::len).sum();
        let (begun, mut rounds) = (Instant::now(), 0);
        while rounds == 0 || begun.elapsed() < time {
            for mail in &all {
                std::hint::black_box(tell(&read(mail), &Envelope::default()));
            }
            rounds += 1;
        }
        let seconds = begun.elapsed().as_secs_f64() / f64::from(rounds);
        let rate = all.len() as f64 / seconds;
        writeln!(out, "{}: {} mails, {:.1} MB/s, {rate:.0} mails/s", folder.display(), all.len(), bytes as f64 / 1e6 / seconds)?;
    }
    Ok(())
}
