//! Asks the running daemon; with none running, opens the store and answers itself.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwap;
use serde_json::Value;

use super::{
    ended::Failed,
    output::Output,
    run::{Planned, alerts_of, open},
};
use crate::{
    config::Config,
    control::{self, AskError, Request, Source},
};

/// Hands each row of the answer to `row`.
pub fn ask(config: &Path, request: &Request, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), Failed> {
    let config = Config::load(config).map_err(Failed::Config)?;
    match control::ask(&config.control_socket, request, row) {
        Err(AskError::NoDaemon(_)) => alone(config, request, row),
        answered => Ok(answered?),
    }
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

fn alone(config: Config, request: &Request, row: &mut dyn FnMut(Value) -> io::Result<()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    if *request == Request::AlertTest {
        let sent = runtime.block_on(alerts_of(&config).test()).map_err(Failed::Because)?;
        return Ok(row(serde_json::json!({ "sent": sent }))?);
    }
    owned(&config.data_dir)?;
    let config = config.with_person_key()?;
    let codec = config.verp.codec.clone();
    let shared = Arc::new(ArcSwap::from_pointee(config.clone()));
    let store = Arc::new(open(&config).map_err(Failed::Because)?);
    let source = Source {
        store: store.clone(),
        key: Arc::new(move |address| codec.key_of_address(address)),
        plan: Arc::new(Planned { config: shared, store: store.clone() }),
        alert_test: Arc::new(|| Err("no daemon runs".to_owned())),
        runtime: runtime.handle().clone(),
    };
    let answered = control::answer(request, &source, row);
    store.close().map_err(|error| Failed::Because(error.to_string()))?;
    match answered {
        Err(control::AnswerError::Output(error)) => Err(error.into()),
        other => other.map_err(|error| Failed::Because(error.to_string())),
    }
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
