//! Many connections at one time.

use std::net::{Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::BufReader,
    net::{TcpSocket, TcpStream},
    sync::{Mutex, MutexGuard},
    task::JoinSet,
};

use crate::client::Client;

pub type Plain = Client<TcpStream>;

/// Caps so wide that a test on one address can fill them.
pub fn caps(total: usize) -> String {
    format!("[smtp]\nmax_connections = {total}\nmax_connections_per_ip = 100000\n")
}

/// One crowd at a time: together they could be more than the system lets in.
pub async fn alone() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::const_new(());
    CROWD.lock().await
}

/// Whether this process, and the daemons that it starts, may open so many files; says so where not.
pub fn descriptors(needed: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let enough = limit.maximum.is_none_or(|most| most >= needed);
    if !enough {
        eprintln!("left out: {needed} open files are needed, and this system allows {:?}", limit.maximum);
    }
    enough
}

/// Greeted connections that say nothing more.
pub async fn idle(address: SocketAddr, count: usize) -> Vec<Plain> {
    let mut all = JoinSet::new();
    for _ in 0..count {
        all.spawn(Client::greeted(address));
    }
    all.join_all().await
}

/// A connection from another address of this machine: all of 127.0.0.0/8 is.
pub async fn from(client: [u8; 4], address: SocketAddr) -> Plain {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(client), 0).into()).unwrap();
    Client(BufReader::new(socket.connect(address).await.unwrap()))
}
