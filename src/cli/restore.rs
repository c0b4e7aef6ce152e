//! `bounced restore FILE`: a store from a backup, in an empty `data_dir`. All of it or nothing.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{
    ask::owned,
    backup::progress,
    ended::{Failed, finish},
    output::Output,
    run::open,
};
use crate::{
    config::Config,
    store::{self, Disk, Restored},
};

/// sled's page cache while the store is built, octets.
const CACHE: u64 = 64 << 20;

/// A store from a backup, in an empty data_dir
#[derive(Debug, Args)]
#[command(after_help = "Example:  systemctl stop bounced\n          mv /var/lib/bounced /var/lib/bounced.old\n          \
    install -d -o bounced -g bounced -m 750 /var/lib/bounced\n          \
    sudo -u bounced bounced restore - < /backup/bounced.backup\n          systemctl start bounced")]
pub struct RestoreArgs {
    /// What `bounced backup` wrote; `-` for standard input
    file: PathBuf,
}

pub fn run(config: &Path, args: &RestoreArgs) -> ExitCode {
    finish(restore(config, &args.file))
}

fn restore(config: &Path, file: &Path) -> Result<(), Failed> {
    let config = Config::load(config).map_err(Failed::Config)?;
    if UnixStream::connect(&config.control_socket).is_ok() {
        return Err(Failed::Because("the daemon runs; stop it first, and move the old store's files away".to_owned()));
    }
    if config.data_dir.exists() {
        owned(&config.data_dir)?;
    }
    let bar = progress();
    let restored = if file.as_os_str() == "-" {
        take(&config.data_dir, io::stdin().lock(), &bar)
    } else {
        let input = File::open(file).map_err(|error| Failed::Because(format!("{}: {error}", file.display())))?;
        bar.set_length(input.metadata().map_or(0, |metadata| metadata.len()));
        take(&config.data_dir, input, &bar).map_err(|error| match error {
            Failed::Because(why) => Failed::Because(format!("{}: {why}", file.display())),
            other => other,
        })
    };
    bar.finish_and_clear();
    let restored = restored?;
    opens(config.clone()).map_err(|why| Failed::Because(format!("the store was restored, but {why}")))?;
    let mut out = Output::new(false);
    out.line(&format!("{}: the store up to event {}, {} rows", config.data_dir.display(), restored.last_event, restored.rows))?;
    Ok(out.flush()?)
}

fn take(dir: &Path, input: impl Read, bar: &indicatif::ProgressBar) -> Result<Restored, Failed> {
    let input = BufReader::with_capacity(1 << 20, input);
    store::restore(dir, input, CACHE, &Disk, &mut |octets| bar.inc(octets)).map_err(|error| Failed::Because(error.to_string()))
}

/// What can't be opened is better heard of now than at the next start.
fn opens(config: Config) -> Result<(), String> {
    let config = config.with_person_key().map_err(|error| error.to_string())?;
    open(&config)?.close().map_err(|error| error.to_string())
}
