//! An SMTP server that isn't ours (mailin-embedded) on a loopback port of its own: keeps what it is sent, refuses when told to.
//!
//! It can't take the null sender, see tests/mailin_null_sender.rs. Its thread ends with the test's process.
#![allow(dead_code)]

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mailin_embedded::{AuthMechanism, Handler, Response, Server, SslConfig, response};

/// A mail with its envelope.
#[derive(Debug, Clone)]
pub struct Caught {
    pub from: String,
    pub to: Vec<String>,
    /// As sent, dot-stuffing removed.
    pub data: Vec<u8>,
    /// Who logged in, if anybody.
    pub user: Option<String>,
    /// When its last byte came.
    pub at: SystemTime,
}

impl Caught {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }

    /// A header field's value, unfolded; panics where there are several.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let head = text.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
        let prefix = format!("{}:", name.to_lowercase());
        let mut values = head.lines().filter(|line| line.to_lowercase().starts_with(&prefix));
        let value = values.next().map(|line| line[prefix.len()..].trim().to_owned());
        assert!(values.next().is_none(), "{name} stands there twice:\n{head}");
        value
    }
}

#[derive(Default)]
struct State {
    mails: Vec<Caught>,
    rcpt: VecDeque<(u16, String)>,
    data: VecDeque<(u16, String)>,
    sessions: usize,
}

#[derive(Clone)]
pub struct MailCatcher {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl MailCatcher {
    /// Without TLS and login.
    pub fn start() -> MailCatcher {
        MailCatcher::serve(None, None)
    }

    /// With STARTTLS (PEM files) and, over it, a login that must be given.
    pub fn start_with_tls(cert: &Path, key: &Path, login: Option<(&str, &str)>) -> MailCatcher {
        let files = (cert.display().to_string(), key.display().to_string());
        MailCatcher::serve(Some(files), login.map(|(name, password)| (name.to_owned(), password.to_owned())))
    }

    fn serve(tls: Option<(String, String)>, login: Option<(String, String)>) -> MailCatcher {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let catcher = MailCatcher { address: listener.local_addr().expect("its address"), shared: Arc::default() };
        let session = Session { shared: catcher.shared.clone(), login: login.clone(), user: None, open: None };
        let mut server = Server::new(session);
        server.with_name("catcher.test").with_num_threads(8).with_tcp_listener(listener);
        if let Some((cert_path, key_path)) = tls {
            // mailin-embedded takes the process's provider and panics without one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            server.with_ssl(SslConfig::SelfSigned { cert_path, key_path }).expect("TLS");
        }
        if login.is_some() {
            server.with_auth(AuthMechanism::Plain);
        }
        thread::spawn(move || drop(server.serve()));
        catcher
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `smtp://127.0.0.1:PORT`, for `[mail] relay`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The next RCPT gets this reply; several queue up.
    pub fn refuse_rcpt(&self, code: u16, text: &str) {
        self.shared.0.lock().expect("lock").rcpt.push_back((code, text.to_owned()));
    }

    /// The next mail gets this reply after its last byte; several queue up.
    pub fn refuse_data(&self, code: u16, text: &str) {
        self.shared.0.lock().expect("lock").data.push_back((code, text.to_owned()));
    }

    /// What came so far.
    pub fn mails(&self) -> Vec<Caught> {
        self.shared.0.lock().expect("lock").mails.clone()
    }

    /// How many sessions were greeted.
    pub fn sessions(&self) -> usize {
        self.shared.0.lock().expect("lock").sessions
    }

    /// Blocks until so many mails have come in all; panics when they don't in time.
    pub fn wait(&self, count: usize, time: Duration) -> Vec<Caught> {
        let (lock, changed) = &*self.shared;
        let end = Instant::now() + time;
        let mut state = lock.lock().expect("lock");
        while state.mails.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} mails came within {time:?}, not {count}", state.mails.len());
            state = changed.wait_timeout(state, left).expect("lock").0;
        }
        state.mails.clone()
    }
}

#[derive(Clone)]
struct Session {
    shared: Arc<(Mutex<State>, Condvar)>,
    login: Option<(String, String)>,
    user: Option<String>,
    open: Option<Caught>,
}

fn scripted(queue: &mut VecDeque<(u16, String)>) -> Response {
    queue.pop_front().map_or(response::OK, |(code, text)| Response::custom(code, text))
}

impl Handler for Session {
    fn helo(&mut self, _: IpAddr, _: &str) -> Response {
        self.shared.0.lock().expect("lock").sessions += 1;
        response::OK
    }

    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        if self.login.is_some() && self.user.is_none() { response::AUTHENTICATION_REQUIRED } else { response::OK }
    }

    fn rcpt(&mut self, _: &str) -> Response {
        scripted(&mut self.shared.0.lock().expect("lock").rcpt)
    }

    fn data_start(&mut self, _: &str, from: &str, _: bool, to: &[String]) -> Response {
        let (from, to) = (from.to_owned(), to.to_vec());
        self.open = Some(Caught { from, to, data: vec![], user: self.user.clone(), at: SystemTime::now() });
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(mail) = &mut self.open {
            mail.data.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let (lock, changed) = &*self.shared;
        let mut state = lock.lock().expect("lock");
        let reply = scripted(&mut state.data);
        if let (false, Some(mail)) = (reply.is_error, self.open.take()) {
            state.mails.push(Caught { at: SystemTime::now(), ..mail });
            changed.notify_all();
        }
        reply
    }

    fn auth_plain(&mut self, _: &str, name: &str, password: &str) -> Response {
        let known = self.login.as_ref().is_some_and(|(known, secret)| known == name && secret == password);
        self.user = known.then(|| name.to_owned());
        if known { response::AUTH_OK } else { response::INVALID_CREDENTIALS }
    }
}
