//! A new configuration: everything that can fail first, then one swap.

use std::{path::Path, sync::Arc};

use super::{
    Daemon,
    daemon::{dispatcher, text},
};
use crate::{config::Config, intake::Policy, smtp::Settings};

pub async fn reload(daemon: &mut Daemon, path: &Path) -> Result<(), String> {
    let path = path.to_owned();
    let load = move || Config::load(&path).map_err(text)?.with_person_key().map_err(text);
    let config = tokio::task::spawn_blocking(load).await.map_err(text)??;
    let old = daemon.config.load_full();
    for (key, same) in [("data_dir", old.data_dir == config.data_dir), ("control_socket", old.control_socket == config.control_socket)] {
        if !same {
            return Err(format!("{key} can't be changed while the daemon runs; restart it"));
        }
    }
    let settings = Settings::read(&config).map_err(text)?;
    let dispatcher = dispatcher(&config, &daemon.store)?;
    let prepared = daemon.server.prepare(settings, &config.smtp.listen).map_err(text)?;
    daemon.move_metrics(config.metrics).await?;
    daemon.store.set_rules(config.rules.clone());
    daemon.store.set_keep(config.keep.events, config.keep.raw);
    daemon.intake.set_policy(Policy::of(&config, config.verp.codec.clone()));
    daemon.dispatcher.store(Arc::new(dispatcher));
    daemon.server.apply(prepared);
    daemon.config.store(Arc::new(config));
    daemon.watch.reload();
    Ok(())
}
