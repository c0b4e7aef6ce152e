//! What commands ask of the configuration as it is now.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::parts::{sources, text};
use crate::{
    action::ReportTask,
    config::Config,
    control::{Plan, ReportSeen},
    store::Store,
};

pub struct Planned {
    pub config: Arc<ArcSwap<Config>>,
    pub store: Arc<Store>,
}

impl Plan for Planned {
    fn reports(&self) -> Vec<ReportSeen> {
        let config = self.config.load();
        let seen = |(name, rule): (&String, &crate::ledger::ReportRule)| ReportSeen {
            name: name.clone(),
            active: rule.active,
            to: rule.task.to.clone(),
        };
        config.rules.reports.iter().map(seen).collect()
    }

    fn sequences(&self) -> Vec<String> {
        self.config.load().rules.sequences.keys().cloned().collect()
    }

    fn keep_events(&self) -> std::time::Duration {
        self.config.load().keep.events
    }

    fn preview(&self, name: &str) -> Result<Value, String> {
        let config = self.config.load();
        let rule = config.rules.reports.get(name).ok_or("there is no such report")?;
        let state = self.store.report(name).map_err(text)?;
        let task = ReportTask { delivery: state.open, ..rule.task.clone() };
        let finished = sources(&config, &self.store).report(&task, Timestamp::now(), "preview", &config.hostname)?;
        Ok(json!({ "subject": finished.subject, "text": finished.text, "html": finished.html, "file": finished.sheet.name }))
    }
}
