//! Figures, not a test: `BOUNCED_FIGURES=100000 cargo test --release --test store_figures -- --ignored --nocapture`.

#![allow(clippy::unwrap_used)]

mod store_support;

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bounced::store::{Disk, Options, Store, restore};
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
    keeping(&dir.path().join("backup"), dir.path(), events, persons);
}

/// Backup while mail comes in, restore, and a person forgotten.
fn keeping(file: &Path, dir: &Path, events: u64, persons: u64) {
    let store = Arc::new(Store::open(dir, Options::new(Arc::new(jiff::Timestamp::now))).unwrap());
    let (stop, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Duration::ZERO)));
    let recording = tokio::spawn({
        let (store, stop, longest) = (store.clone(), stop.clone(), longest.clone());
        async move {
            let mut n = events;
            while !stop.load(Ordering::SeqCst) {
                let begun = Instant::now();
                record(&store, mail(&format!("person{}@d1.example.org", n % persons), &n.to_string())).await;
                let mut longest = longest.lock().unwrap();
                *longest = begun.elapsed().max(*longest);
                n += 1;
            }
            n - events
        }
    });
    let begun = Instant::now();
    let mut out = BufWriter::new(File::create(file).unwrap());
    let made = tokio::task::block_in_place(|| store.backup(None, &mut out, &mut |_, _| {})).unwrap();
    let took = begun.elapsed();
    stop.store(true, Ordering::SeqCst);
    let came = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(recording)).unwrap();
    let longest = longest.lock().unwrap();
    eprintln!(
        "backup: {took:?}, {} bytes, {} rows; {came} mails one after the other meanwhile, the slowest {longest:?}",
        made.octets, made.rows
    );
    let begun = Instant::now();
    let there = dir.join("there");
    restore(&there, BufReader::new(File::open(file).unwrap()), 64 << 20, &Disk, &mut |_| {}).unwrap();
    eprintln!("restore: {:?}, {} bytes of files", begun.elapsed(), room(&there));
    let address = "person7@d1.example.org";
    let begun = Instant::now();
    let forgotten = tokio::task::block_in_place(|| store.forget(&[key(address)], address, &mut |_, _| {})).unwrap();
    eprintln!("forget: {:?}, {forgotten:?}", begun.elapsed());
    store.close().unwrap();
    drop(store);
    let begun = Instant::now();
    drop(Store::open(dir, Options::new(Arc::new(jiff::Timestamp::now))).unwrap());
    eprintln!("opened with the database written anew: {:?}, sled {} bytes", begun.elapsed(), room(&dir.join("store")));
}
