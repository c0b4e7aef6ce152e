//! The parts that a configuration makes: the store, what carries jobs out, whose name our own mail bears.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    action::{Dispatcher, OwnSender, RawLoader, Sources},
    config::Config,
    ledger::MailEvent,
    store::{Options, Store, Which},
    verp::day_of,
};

pub(super) fn text(error: impl ToString) -> String {
    error.to_string()
}

pub fn open(config: &Config) -> Result<Store, String> {
    let mut options = Options::new(Arc::new(Timestamp::now));
    (options.keep_events, options.keep_raw) = (config.keep.events, config.keep.raw);
    let codec = config.verp.codec.clone();
    options.own_key = Some(Arc::new(move |address| codec.key_of_address(address)));
    let store = Store::open(&config.data_dir, options).map_err(text)?;
    store.set_rules(config.rules.clone());
    Ok(store)
}

/// The envelope sender of our own mail, by the id of the job or alert.
pub(super) fn own_sender(config: &Config) -> OwnSender {
    let codec = config.verp.codec.clone();
    Arc::new(move |job: &str| codec.encode_own(job, day_of(Timestamp::now())))
}

/// What carries jobs out under one configuration.
pub(super) fn dispatcher(config: &Config, store: &Arc<Store>) -> Result<Dispatcher, String> {
    let kept = store.clone();
    let raw: RawLoader = Arc::new(move |event: &MailEvent| match event.raw {
        Some(at) => kept.raw(at).map(|raw| raw.map(|raw| raw.to_vec())).map_err(text),
        None => Ok(None),
    });
    Dispatcher::new(config.mail.as_ref(), &config.hostname, own_sender(config), raw)
        .map(|dispatcher| dispatcher.with_sources(sources(config, store)))
}

/// What reports and resends need.
pub(super) fn sources(config: &Config, store: &Arc<Store>) -> Sources {
    let (people, days, codec) = (store.clone(), store.clone(), config.verp.codec.clone());
    Sources {
        people: Some(Arc::new(move |report, delivery| people.collected(report, delivery).map_err(text))),
        days: Some(Arc::new(move |first, last| days.days(Which::Counted, first..=last).map_err(text))),
        original: Some(Arc::new(crate::message::returned)),
        verp: Some(Arc::new(move |address, campaign| codec.encode(address, campaign, None, day_of(Timestamp::now())).ok())),
    }
}
