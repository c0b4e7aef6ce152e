//! The SMTP server: listeners, accept, caps, reload, stop.
//!
//! Promises: a dialogue that dies of a fault of the program takes nothing else with it; running out of file descriptors makes accept pause and
//! try again; a reload that cannot be carried out changes nothing ([`Server::prepare`] can fail, [`Server::apply`] can't); a stop
//! lets mails that are coming in finish within the time that it is given, and nothing else.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use metrics::{counter, gauge};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Handler, connection,
    guesses::{Guesses, Limit},
    limits::{Connections, Full, MEMORY, Memory, PATIENCE, Ticket},
    reply, sockets, telemetry, tls,
};
use crate::config::Config;

/// How long accept rests when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// At most one line in the log about failing accepts in this time.
const ACCEPT_LOG: Duration = Duration::from_secs(30);

/// What the configuration says of SMTP; a connection keeps what held when it came.
#[derive(Clone)]
pub struct Settings {
    pub hostname: String,
    pub max_message_bytes: usize,
    pub max_connections: usize,
    pub max_connections_per_ip: usize,
    /// Wrong recipients of one network before it is turned away for a while; `None`: never.
    pub max_guesses_per_ip: Option<Limit>,
    pub trusted_networks: Vec<IpNet>,
    /// For one command, and for one reply to be taken.
    pub command_timeout: Duration,
    /// For the content of one mail, or one chunk of it.
    pub data_timeout: Duration,
    pub session_timeout: Duration,
    pub tls: Option<TlsAcceptor>,
}

impl Settings {
    /// Reads the certificate and the key, too.
    pub fn read(config: &Config) -> Result<Self, tls::Error> {
        let smtp = &config.smtp;
        Ok(Self {
            hostname: config.hostname.clone(),
            max_message_bytes: smtp.max_message_bytes,
            max_connections: smtp.max_connections,
            max_connections_per_ip: smtp.max_connections_per_ip,
            max_guesses_per_ip: smtp.max_guesses_per_ip.map(|rate| Limit { guesses: rate.count, within: rate.per }),
            trusted_networks: smtp.trusted_networks.clone(),
            command_timeout: smtp.command_timeout,
            data_timeout: smtp.data_timeout,
            session_timeout: smtp.session_timeout,
            tls: smtp.tls.as_ref().map(tls::load).transpose()?,
        })
    }

    pub(super) fn trusts(&self, client: IpAddr) -> bool {
        self.trusted_networks.iter().any(|network| network.contains(&client))
    }
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Only mails that are coming in are finished.
    Draining,
    Killed,
}

pub(super) struct Shared<H> {
    pub handler: Arc<H>,
    pub settings: ArcSwap<Settings>,
    pub memory: Memory,
    pub phase: watch::Sender<Phase>,
    pub guesses: Guesses,
    connections: Arc<Connections>,
    /// Dialogues that go on.
    open: watch::Sender<usize>,
}

pub struct Server<H> {
    shared: Arc<Shared<H>>,
    listening: Mutex<Vec<Listening>>,
}

struct Listening {
    /// As it stands in the configuration; `None` for a socket that was passed to us.
    asked: Option<SocketAddr>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// New settings and the sockets that they need besides those that are there, all ready.
pub struct Prepared {
    settings: Settings,
    listen: Vec<SocketAddr>,
    bound: Vec<(SocketAddr, TcpListener)>,
}

impl<H: Handler> Server<H> {
    /// Listens nowhere yet. Must be called within a tokio runtime, as all that follows.
    pub fn new(settings: Settings, handler: Arc<H>) -> Self {
        let memory = MEMORY.max(settings.max_message_bytes.saturating_add(1024));
        Self::with_memory(settings, handler, Memory::new(memory, PATIENCE))
    }

    /// With another budget than [`MEMORY`] and [`PATIENCE`].
    pub fn with_memory(settings: Settings, handler: Arc<H>, memory: Memory) -> Self {
        let shared = Shared {
            handler,
            settings: ArcSwap::from_pointee(settings),
            memory,
            phase: watch::Sender::new(Phase::Running),
            guesses: Guesses::default(),
            connections: Arc::default(),
            open: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared), listening: Mutex::default() }
    }

    /// Accepts on sockets that systemd passed; a reload leaves them alone.
    pub fn inherit(&self, sockets: Vec<std::net::TcpListener>) -> io::Result<()> {
        for socket in sockets {
            socket.set_nonblocking(true)?;
            self.accept_on(None, TcpListener::from_std(socket)?)?;
        }
        Ok(())
    }

    /// Binds those of the addresses where nothing listens yet. Nothing changes until [`Server::apply`].
    pub fn prepare(&self, settings: Settings, listen: &[SocketAddr]) -> Result<Prepared, sockets::BindError> {
        let held: Vec<SocketAddr> = self.lock().iter().flat_map(|one| [Some(one.address), one.asked]).flatten().collect();
        let passed: Vec<SocketAddr> = self.lock().iter().filter(|one| one.asked.is_none()).map(|one| one.address).collect();
        let taken = |address: SocketAddr| passed.iter().any(|socket| sockets::takes(*socket, address));
        let own: Vec<SocketAddr> = listen.iter().copied().filter(|address| !taken(*address)).collect();
        let mut bound = Vec::new();
        for (address, socket) in sockets::bind_beside(&own, &held)? {
            let socket = TcpListener::from_std(socket).map_err(|source| sockets::BindError { address, source })?;
            bound.push((address, socket));
        }
        Ok(Prepared { settings, listen: listen.to_vec(), bound })
    }

    /// New connections come under the new settings; addresses that are no longer named are let go.
    pub fn apply(&self, prepared: Prepared) {
        self.shared.settings.store(Arc::new(prepared.settings));
        self.lock().retain(|one| {
            let keep = one.asked.is_none_or(|asked| prepared.listen.contains(&asked));
            if !keep {
                one.task.abort();
            }
            keep
        });
        for (asked, socket) in prepared.bound {
            if let Err(error) = self.accept_on(Some(asked), socket) {
                tracing::error!(address = %asked, %error, "cannot listen");
            }
        }
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.lock().iter().map(|one| one.address).collect()
    }

    /// Accepts nothing more and lets the mails that are coming in finish, for `limit` at most. Says how many dialogues it had to cut off.
    pub async fn stop(&self, limit: Duration) -> usize {
        for one in self.lock().drain(..) {
            one.task.abort();
        }
        self.shared.phase.send_replace(Phase::Draining);
        let mut open = self.shared.open.subscribe();
        if timeout(limit, open.wait_for(|&open| open == 0)).await.is_ok() {
            return 0;
        }
        let cut = *self.shared.open.borrow();
        self.shared.phase.send_replace(Phase::Killed);
        cut
    }

    fn accept_on(&self, asked: Option<SocketAddr>, socket: TcpListener) -> io::Result<()> {
        let address = socket.local_addr()?;
        let task = tokio::spawn(accept(Arc::clone(&self.shared), socket));
        tracing::info!(%address, "SMTP listening");
        self.lock().push(Listening { asked, address, task });
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H> Drop for Server<H> {
    fn drop(&mut self) {
        for one in self.listening.get_mut().unwrap_or_else(PoisonError::into_inner) {
            one.task.abort();
        }
        self.shared.phase.send_replace(Phase::Killed);
    }
}

async fn accept<H: Handler>(shared: Arc<Shared<H>>, socket: TcpListener) {
    let mut logged: Option<Instant> = None;
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => admit(&shared, stream, peer.ip().to_canonical()),
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            Err(error) => {
                counter!(telemetry::ACCEPT_ERRORS).increment(1);
                if logged.is_none_or(|at| at.elapsed() >= ACCEPT_LOG) {
                    tracing::error!(%error, "cannot accept SMTP connections, trying again");
                    logged = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit<H: Handler>(shared: &Arc<Shared<H>>, stream: TcpStream, client: IpAddr) {
    counter!(telemetry::CONNECTIONS).increment(1);
    let settings = shared.settings.load();
    let ticket = if settings.trusts(client) {
        None
    } else {
        if let Some(limit) = settings.max_guesses_per_ip
            && shared.guesses.of(client, limit, Instant::now().into_std()) >= limit.guesses
        {
            return turn_away(stream, client, &reply::TOO_MANY_GUESSES, "guesses");
        }
        match shared.connections.enter(client, settings.max_connections, settings.max_connections_per_ip) {
            Ok(ticket) => Some(ticket),
            Err(Full::Total) => return turn_away(stream, client, &reply::TOO_MANY_CONNECTIONS, "total"),
            Err(Full::Network) => return turn_away(stream, client, &reply::TOO_MANY_FROM_YOU, "network"),
        }
    };
    // Without it a reply may wait for the client's next packet; a connection that can't have it still works.
    let _ = stream.set_nodelay(true);
    let present = Present::new(shared, client, ticket);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let _present = present;
        connection::serve(shared, stream, client).await;
    });
}

/// Writes once and hangs up: a flood costs no task.
fn turn_away(stream: TcpStream, client: IpAddr, reply: &reply::Reply, cap: &'static str) {
    counter!(telemetry::TURNED_AWAY, "cap" => cap).increment(1);
    tracing::debug!(%client, cap, "turned away");
    let mut line = Vec::new();
    reply.write(&mut line);
    // The socket is new and its send buffer empty; who is gone already needs no answer.
    if let Ok(mut stream) = stream.into_std() {
        let _ = io::Write::write(&mut stream, &line);
    }
}

/// A dialogue counts as open for as long as this lives, however it ends.
struct Present<H> {
    shared: Arc<Shared<H>>,
    client: IpAddr,
    _ticket: Option<Ticket>,
}

impl<H> Present<H> {
    fn new(shared: &Arc<Shared<H>>, client: IpAddr, ticket: Option<Ticket>) -> Self {
        shared.open.send_modify(|open| *open += 1);
        gauge!(telemetry::OPEN).increment(1.0);
        Self { shared: Arc::clone(shared), client, _ticket: ticket }
    }
}

impl<H> Drop for Present<H> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            counter!(telemetry::PANICS).increment(1);
            tracing::error!(client = %self.client, "a fault of the program ended an SMTP dialogue; the client will try again");
        }
        gauge!(telemetry::OPEN).decrement(1.0);
        self.shared.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}
