//! What it costs to do nothing: memory of connections that say nothing, memory and wake-ups of a daemon that nobody asks.

use std::time::Duration;

use crate::{
    crowd::{alone, descriptors, idle},
    overload::start,
    process::{cpu, kib, sleeps},
};

/// Octets of memory that each idle connection costs.
async fn each(count: usize) -> u64 {
    let (daemon, _) = start(count);
    let before = kib(daemon.pid(), "RssAnon");
    let connections = idle(daemon.smtp(), count).await;
    let each = kib(daemon.pid(), "RssAnon").saturating_sub(before) * 1024 / count as u64;
    drop(connections);
    each
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_costs_no_more_than_16_kib() {
    let _alone = alone().await;
    if descriptors(1500) {
        let each = each(1000).await;
        assert!(each <= 16 * 1024, "{each} octets");
    }
}

/// The program itself is not in it: unoptimized it is six times as big.
#[test]
fn an_idle_daemon_hardly_moves() {
    let (daemon, _) = start(1000);
    let own = kib(daemon.pid(), "RssAnon");
    assert!(own < 8 * 1024, "{own} KiB");
    if !cfg!(debug_assertions) {
        let all = kib(daemon.pid(), "VmRSS");
        assert!(all < 20_000, "{all} KiB");
    }
    let before = sleeps(daemon.pid());
    std::thread::sleep(Duration::from_secs(2));
    let woken = sleeps(daemon.pid()) - before;
    // Sled's own threads would be seven a second. Looks at the room on the disk and the like come every few seconds.
    assert!(woken < 14, "{woken} in two seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn figures_of_idling() {
    let _alone = alone().await;
    let (daemon, _) = start(1000);
    // What a start leaves to be done is done.
    std::thread::sleep(Duration::from_secs(5));
    let (woken, busy) = (sleeps(daemon.pid()), cpu(daemon.pid()));
    std::thread::sleep(Duration::from_secs(60));
    println!(
        "idle daemon: {} KiB, of which {} KiB its own; {:.1} wake-ups a second; {:.2} ms of processor time a minute",
        kib(daemon.pid(), "VmRSS"),
        kib(daemon.pid(), "RssAnon"),
        (sleeps(daemon.pid()) - woken) as f64 / 60.0,
        (cpu(daemon.pid()) - busy).as_secs_f64() * 1000.0
    );
    drop(daemon);
    for count in [1_000, 10_000] {
        if descriptors(count as u64 + 500) {
            println!("{count} idle connections: {} octets each", each(count).await);
        }
    }
}
