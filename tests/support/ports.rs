//! Loopback ports that nobody else takes: below the range from which the kernel gives ports to outgoing connections, so that a port which is
//! free now is still free after a restart of the daemon.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A free port on 127.0.0.1.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests of other binaries run at the same time: each process begins elsewhere.
    let start = (std::process::id() % u32::from(COUNT / 16)) as u16 * 16;
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + start.wrapping_add(offset) % COUNT));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port on loopback");
}
