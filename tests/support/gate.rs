//! A server that takes connections and says nothing, until it is opened: then whoever waits and whoever comes is passed on.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// Its threads end with the test's process.
pub struct Gate {
    pub address: SocketAddr,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// Shut, before `behind`.
    pub fn before(behind: SocketAddr) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate { address: listener.local_addr().unwrap(), open: Arc::default() };
        let open = Arc::clone(&gate.open);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let open = Arc::clone(&open);
                // Who has gone meanwhile has gone.
                thread::spawn(move || pass(client, behind, &open).unwrap_or_default());
            }
        });
        gate
    }

    pub fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

fn pass(client: TcpStream, behind: SocketAddr, open: &(Mutex<bool>, Condvar)) -> io::Result<()> {
    drop(open.1.wait_while(open.0.lock().unwrap(), |open| !*open).unwrap());
    let server = TcpStream::connect(behind)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    io::copy(&mut from_server, &mut to_client)?;
    to_client.shutdown(std::net::Shutdown::Both)
}
