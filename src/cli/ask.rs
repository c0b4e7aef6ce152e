//! Asks the running daemon; with none running, opens the store and answers itself.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{
    ended::Failed,
    output::Output,
    run::{Planned, alerts_of, open},
};
use crate::{
    config::Config,
    control::{self, AskError, Request, Source},
    intake::{Intake, Policy},
};

/// Hands each row of the answer to `row`.
pub fn ask(config: &Path, request: &Request, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), Failed> {
    let mut asking = Asking::new(config)?;
    let asked = asking.ask(request, row);
    asking.close()?;
    asked
}

/// One command that asks several times: all of them the daemon, or all of them the store that it opened itself.
pub struct Asking {
    pub config: Config,
    alone: Option<Alone>,
}

struct Alone {
    source: Source,
    _runtime: Runtime,
}

impl Asking {
    pub fn new(config: &Path) -> Result<Asking, Failed> {
        Ok(Asking { config: Config::load(config).map_err(Failed::Config)?, alone: None })
    }

    pub fn ask(&mut self, request: &Request, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), Failed> {
        if self.alone.is_none() {
            match control::ask(&self.config.control_socket, request, row) {
                Err(AskError::NoDaemon(_)) => {}
                answered => return Ok(answered?),
            }
            if *request == Request::AlertTest {
                let sent = runtime()?.block_on(alerts_of(&self.config).test()).map_err(Failed::Because)?;
                return Ok(row(serde_json::json!({ "sent": sent }))?);
            }
        }
        let alone = match self.alone.take() {
            Some(alone) => alone,
            None => Alone::open(&self.config)?,
        };
        let answered = control::answer(request, &alone.source, row);
        self.alone = Some(alone);
        match answered {
            Err(control::AnswerError::Output(error)) => Err(error.into()),
            other => other.map_err(|error| Failed::Because(error.to_string())),
        }
    }

    /// To be called at the end: what was opened is closed, and whether that went well is said.
    pub fn close(self) -> Result<(), Failed> {
        self.alone.map_or(Ok(()), |alone| alone.source.store.close().map_err(|error| Failed::Because(error.to_string())))
    }
}

impl Alone {
    fn open(config: &Config) -> Result<Alone, Failed> {
        owned(&config.data_dir)?;
        let config = config.clone().with_person_key()?;
        let codec = config.verp.codec.clone();
        let store = Arc::new(open(&config).map_err(Failed::Because)?);
        let runtime = runtime()?;
        let intake = Intake::new(store.clone(), Policy::of(&config, codec.clone()), Arc::new(Timestamp::now), Box::new(|_, _| {}));
        let source = Source {
            store: store.clone(),
            key: Arc::new(move |address| codec.key_of_address(address)),
            intake: Arc::new(intake),
            targets: Arc::default(),
            plan: Arc::new(Planned { config: Arc::new(ArcSwap::from_pointee(config)), store }),
            alert_test: Arc::new(|| Err("no daemon runs".to_owned())),
            runtime: runtime.handle().clone(),
        };
        Ok(Alone { source, _runtime: runtime })
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// The rows as `columns` makes them for a table; with `--json` they go out as they come, and none is left.
pub fn rows(
    config: &Path,
    request: &Request,
    out: &mut Output,
    columns: impl Fn(&Value) -> Vec<String>,
) -> Result<Vec<Vec<String>>, Failed> {
    let mut rows = Vec::new();
    ask(config, request, &mut |row| {
        if out.json() {
            return out.object(&row);
        }
        rows.push(columns(&row));
        Ok(())
    })?;
    Ok(rows)
}

/// A store touched by another user, root included, would hold files that the daemon can't open.
fn owned(data_dir: &Path) -> Result<(), Failed> {
    let meta = match fs::metadata(data_dir) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Failed::Because(format!(
                "no daemon runs, and {} isn't there yet; start the daemon with `bounced run`",
                data_dir.display()
            )));
        }
        Err(error) => return Err(Failed::Because(format!("{}: {error}", data_dir.display()))),
    };
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Failed::Because(format!(
            "no daemon runs, and only the owner of {} may open the store (user id {}); run this as that user, or start the daemon",
            data_dir.display(),
            meta.uid()
        )));
    }
    Ok(())
}
