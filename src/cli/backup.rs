//! `bounced backup FILE`: the whole store in one file, while the daemon runs.
//!
//! It is written as `FILE.part`, read again and checked, synced, and only then gets its name: an older backup of that name stays until the new
//! one is whole.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufReader, IsTerminal, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use bytesize::ByteSize;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{
    ask,
    ended::{Failed, finish},
    output::Output,
};
use crate::{control::Request, store};

/// The whole store in one file, while the daemon runs
#[derive(Debug, Args)]
#[command(after_help = "Example:  bounced backup /backup/bounced.backup\n          bounced backup - | zstd > bounced.backup.zst\n\n\
    The file holds everybody's address: it is made with mode 0600. Configured secrets are not in it: keep /etc/bounced with it.")]
pub struct BackupArgs {
    /// The file; `-` for standard output
    file: PathBuf,
}

pub fn run(config: &Path, args: &BackupArgs) -> ExitCode {
    finish(backup(config, &args.file))
}

fn backup(config: &Path, file: &Path) -> Result<(), Failed> {
    if file.as_os_str() == "-" {
        if io::stdout().is_terminal() {
            return Err(Failed::Because("standard output is a terminal; name a file, or send it to another program".to_owned()));
        }
        return take(config, &mut io::stdout().lock()).map(drop);
    }
    let part = beside(file);
    let made = into(config, &part);
    if made.is_err() {
        // A rest of a backup is of no use to anybody.
        let _ = fs::remove_file(&part);
    }
    let made = made?;
    fs::rename(&part, file).map_err(at(file))?;
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
    let mut out = Output::new(false);
    let octets = made["octets"].as_u64().unwrap_or_default();
    out.line(&format!("{}: the store up to event {}, {}", file.display(), made["last_event"], ByteSize(octets).display().iec()))?;
    Ok(out.flush()?)
}

fn at(path: &Path) -> impl Fn(io::Error) -> Failed + use<> {
    let path = path.to_owned();
    move |error| Failed::Because(format!("{}: {error}", path.display()))
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn into(config: &Path, part: &Path) -> Result<Value, Failed> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part).map_err(at(part))?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(at(part))?;
    let made = take(config, &mut file)?;
    file.sync_all().map_err(at(part))?;
    let written = BufReader::with_capacity(1 << 20, File::open(part).map_err(at(part))?);
    store::verify(written, &mut |_| {}).map_err(|error| Failed::Because(format!("{}: {error}", part.display())))?;
    Ok(made)
}

/// Writes what the store gives to `out`; returns the last row, which says what it was.
fn take(config: &Path, out: &mut dyn Write) -> Result<Value, Failed> {
    let bar = progress();
    let mut made = Value::Null;
    let asked = ask::ask(config, &Request::Backup, &mut |row| {
        let Some(part) = row["part"].as_str() else {
            made = row;
            return Ok(());
        };
        out.write_all(&data_encoding::BASE64.decode(part.as_bytes()).map_err(io::Error::other)?)?;
        bar.set_length(row["total"].as_u64().unwrap_or_default());
        bar.set_position(row["done"].as_u64().unwrap_or_default());
        Ok(())
    });
    bar.finish_and_clear();
    asked?;
    out.flush()?;
    Ok(made)
}

/// Of octets; hidden where standard error is no terminal.
pub fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left") {
        bar.set_style(style);
    }
    bar
}
