//! A new configuration: everything that can fail first, then one swap.

use std::{net::SocketAddr, path::Path, sync::Arc};

use super::{
    Daemon,
    parts::{dispatcher, text},
};
use crate::{config::Config, intake::Policy, smtp::Settings};

impl Daemon {
    /// Takes a new file over as a whole or not at all.
    ///
    /// # Errors
    /// Everything that is wrong with it, a line each.
    pub async fn reload(&mut self, path: &Path) -> Result<(), String> {
        let path = path.to_owned();
        let load = move || Config::load(&path).map_err(text)?.with_person_key().map_err(text);
        let config = tokio::task::spawn_blocking(load).await.map_err(text)??;
        let old = self.config.load_full();
        for (key, same) in [("data_dir", old.data_dir == config.data_dir), ("control_socket", old.control_socket == config.control_socket)]
        {
            if !same {
                return Err(format!("{key} can't be changed while the daemon runs; restart it"));
            }
        }
        let settings = Settings::read(&config).map_err(text)?;
        let dispatcher = dispatcher(&config, &self.store)?;
        let prepared = self.server.prepare(settings, &config.smtp.listen).map_err(text)?;
        self.move_metrics(config.metrics).await?;
        self.store.set_rules(config.rules.clone());
        self.store.plan().await.map_err(text)?;
        self.store.set_keep(config.keep.events, config.keep.raw);
        self.intake.set_policy(Policy::of(&config, config.verp.codec.clone()));
        self.dispatcher.store(Arc::new(dispatcher));
        self.server.apply(prepared);
        self.config.store(Arc::new(config));
        self.watch.reload();
        self.watch.targets().hurry();
        Ok(())
    }

    /// The metrics endpoint of a new configuration; the old one goes on until it is bound.
    async fn move_metrics(&mut self, listen: Option<SocketAddr>) -> Result<(), String> {
        let Some(recorder) = self.recorder.clone() else { return Ok(()) };
        if self.metrics.as_ref().map(|(_, held, _)| *held) == listen {
            return Ok(());
        }
        let next = match listen {
            Some(listen) => Some((recorder.clone(), listen, self.watch.monitor(listen, recorder).await?)),
            None => None,
        };
        if let Some((_, _, old)) = std::mem::replace(&mut self.metrics, next) {
            old.abort();
        }
        Ok(())
    }
}
