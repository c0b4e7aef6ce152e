//! Listening sockets: bound from the configuration, or passed by systemd.
//!
//! A failure names the address and changes nothing.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener},
};

/// Connections that may wait to be accepted; the system lowers it to what it allows. With the standard library's 128, some of a burst of
/// a few hundred were dropped after their handshake, and their clients waited in vain for the banner.
const BACKLOG: i32 = 4096;

#[derive(Debug, thiserror::Error)]
#[error("smtp.listen: cannot listen on {address}: {source}{}", hint(.source))]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are bound by root, by systemd (bounced.socket), or with CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrInUse => "; `ss -ltnp` shows who listens there",
        io::ErrorKind::AddrNotAvailable => "; the host has no such address (yet)",
        _ => "",
    }
}

/// Binds each address, or none. Where the system lets `[::]` take IPv4 as well (Linux does so by default), `0.0.0.0` with the same port beside it
/// is covered and gets no socket of its own.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    bind_beside(addresses, &[]).map(|bound| bound.into_iter().map(|(_, listener)| listener).collect())
}

/// The same, with the addresses of sockets that are there already; each socket beside the address that was asked for.
pub fn bind_beside(addresses: &[SocketAddr], held: &[SocketAddr]) -> Result<Vec<(SocketAddr, TcpListener)>, BindError> {
    let mut addresses: Vec<SocketAddr> = addresses.iter().copied().filter(|address| !held.contains(address)).collect();
    addresses.sort_by_key(|address| (!is_any_v6(address), *address));
    addresses.dedup_by(|one, other| one == other && one.port() != 0);
    let mut bound = Vec::new();
    for &address in &addresses {
        match listen(address) {
            Ok(listener) => bound.push((address, listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && (covered(address, &addresses) || covered(address, held)) => {}
            Err(source) => return Err(BindError { address, source }),
        }
    }
    Ok(bound)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn is_any_v6(address: &SocketAddr) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

/// Whether what comes to an address comes in at this socket. Whether one of `[::]` takes IPv4, too, only binding tells.
pub fn takes(socket: SocketAddr, address: SocketAddr) -> bool {
    let any = socket.ip().is_unspecified() && socket.is_ipv4() == address.is_ipv4();
    socket.port() == address.port() && (any || socket.ip() == address.ip())
}

fn covered(address: SocketAddr, by: &[SocketAddr]) -> bool {
    address.is_ipv4() && address.ip().is_unspecified() && by.iter().any(|other| is_any_v6(other) && other.port() == address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_an_error_with_the_address() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(&["127.0.0.1:0".parse().unwrap(), address]).unwrap_err();
        assert_eq!(error.address, address);
        assert!(error.to_string().starts_with(&format!("smtp.listen: cannot listen on {address}: ")));
    }

    #[test]
    fn what_a_socket_takes_and_why_none_could_be_had() {
        let at = |address: &str| address.parse::<SocketAddr>().unwrap();
        for (socket, address, expected) in [
            ("0.0.0.0:25", "192.0.2.1:25", true),
            ("0.0.0.0:25", "192.0.2.1:26", false),
            ("0.0.0.0:25", "[::1]:25", false),
            ("[::]:25", "[2001:db8::1]:25", true),
            ("192.0.2.1:25", "192.0.2.1:25", true),
            ("192.0.2.1:25", "0.0.0.0:25", false),
        ] {
            assert_eq!(takes(at(socket), at(address)), expected, "{socket} {address}");
        }
        // Documentation's addresses, of nobody's host.
        let error = bind(&[at("[2001:db8::1]:2525")]).unwrap_err();
        assert!(error.to_string().contains(hint(&error.source)) && !hint(&error.source).is_empty(), "{error}");
    }

    #[test]
    fn both_wildcards_may_be_named() {
        let Ok(probe) = TcpListener::bind("[::]:0") else { return };
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let wildcards = [SocketAddr::from(([0, 0, 0, 0], port)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))];
        assert!(!bind(&wildcards).unwrap().is_empty());
    }
}
