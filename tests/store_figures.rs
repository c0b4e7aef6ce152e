//! Figures, not a test: `BOUNCED_FIGURES=100000 cargo test --release --test store_figures -- --ignored --nocapture`.

#![allow(clippy::unwrap_used)]

mod store_support;

use std::{path::Path, sync::Arc, time::Instant};

use bounced::store::{Options, Store};
use store_support::*;

fn room(dir: &Path) -> u64 {
    files(dir).iter().map(|file| dir.join(file).metadata().unwrap().len()).sum()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn figures() {
    let (events, persons, tasks) = (number("BOUNCED_FIGURES", 100_000), number("BOUNCED_FIGURES_PERSONS", 1_000_000), 100);
    let dir = tempfile::tempdir().unwrap();
    let options = Options { cache_bytes: 64 << 20, ..Options::new(Arc::new(jiff::Timestamp::now)) };
    let store = Arc::new(Store::open(dir.path(), Options { own_key: Some(Arc::new(key)), ..options }).unwrap());
    let begun = Instant::now();
    let each = (0..tasks).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in (task..events).step_by(100) {
                let person = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % persons;
                record(&store, mail(&format!("person{person}@d{}.example.org", person % 997), &n.to_string())).await;
            }
        })
    });
    for task in each.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let took = begun.elapsed();
    store.close().unwrap();
    let (sled, segments) = (room(&dir.path().join("store")), room(&dir.path().join("events")));
    let share = |bytes: u64| bytes / events;
    eprintln!(
        "{events} events of {persons} persons from {tasks} tasks: {:.0}/s; {} bytes an event ({} sled, {} segments)",
        events as f64 / took.as_secs_f64(),
        share(sled + segments),
        share(sled),
        share(segments)
    );
    drop(store);
    // sled reads the log that was written since it was last opened, and notes then how far it came.
    for _ in 0..2 {
        let begun = Instant::now();
        let store = Store::open(dir.path(), Options::new(Arc::new(jiff::Timestamp::now))).unwrap();
        eprintln!("opened again in {:?}, {} events", begun.elapsed(), store.last_event().unwrap());
    }
}
