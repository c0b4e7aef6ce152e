//! What commands ask of the configuration as it is now.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::{
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

    fn preview(&self, _name: &str) -> Result<Value, String> {
        Err("not built yet".to_owned())
    }
}
