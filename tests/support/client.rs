//! A plain, blocking SMTP client that shows every reply, also those that a polite one would never see.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};

use super::PATIENCE;

/// One reply, its lines without the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub lines: Vec<String>,
}

impl Reply {
    /// `550 5.1.1 …`: code and text of the first line.
    pub fn first(&self) -> String {
        format!("{} {}", self.code, self.lines.first().map_or("", String::as_str))
    }

    /// Panics unless the reply begins so: `"550 5.1.1"`.
    #[track_caller]
    pub fn expect(&self, start: &str) -> &Reply {
        assert!(self.first().starts_with(start), "expected {start}, got {self:?}");
        self
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
            Wire::Gone => Ok(0),
        }
    }
}

impl Wire {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Wire::Gone => Err(ErrorKind::NotConnected.into()),
        }
    }
}

pub struct Client {
    wire: BufReader<Wire>,
}

impl Client {
    /// Connects and takes the banner.
    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client = Client { wire: BufReader::new(Wire::Plain(stream)) };
        match client.reply()? {
            Reply { code: 220, .. } => Ok(client),
            other => Err(io::Error::other(format!("banner: {other:?}"))),
        }
    }

    /// Connects and greets a server that may be gone at any moment.
    pub fn try_greet(address: SocketAddr) -> io::Result<Client> {
        let mut client = Client::try_connect(address)?;
        client.try_ehlo()?;
        Ok(client)
    }

    /// A server that stops says 421 here, under TLS, too.
    fn try_ehlo(&mut self) -> io::Result<()> {
        match self.try_command("EHLO mx.sender.test")? {
            Reply { code: 250, .. } => Ok(()),
            other => Err(io::Error::other(format!("EHLO: {other:?}"))),
        }
    }

    /// Connects and greets.
    pub fn connect(address: SocketAddr) -> Client {
        let mut client = Client::try_connect(address).unwrap();
        client.command("EHLO mx.sender.test").expect("250");
        client
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.get_mut().send(bytes)
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let mut line = String::new();
            if self.wire.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = line.strip_suffix("\r\n").ok_or_else(|| io::Error::other(format!("not ended by CRLF: {line:?}")))?;
            let (code, rest) = line.split_at_checked(3).ok_or_else(|| io::Error::other(format!("no reply: {line:?}")))?;
            reply.code = code.parse().map_err(|_| io::Error::other(format!("no reply: {line:?}")))?;
            reply.lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                return Ok(reply);
            }
        }
    }

    /// Whether nothing has been said up to now.
    pub fn silent(&mut self) -> bool {
        let Wire::Plain(stream) = self.wire.get_mut() else { panic!("under TLS or gone") };
        stream.set_nonblocking(true).unwrap();
        let looked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    pub fn try_command(&mut self, line: &str) -> io::Result<Reply> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    pub fn command(&mut self, line: &str) -> Reply {
        self.try_command(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// All commands in one write (RFC 2920), then their replies.
    pub fn pipeline(&mut self, lines: &[&str]) -> Vec<Reply> {
        self.write(lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().as_bytes()).unwrap();
        lines.iter().map(|line| self.reply().unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }

    /// The end of DATA: the mail stuffed, the dot, the reply.
    pub fn try_content(&mut self, mail: &[u8]) -> io::Result<Reply> {
        self.write(&stuffed(mail))?;
        self.write(b".\r\n")?;
        self.reply()
    }

    /// A whole mail with a reverse-path; gives the reply to its end. RCPTs and DATA must be taken.
    pub fn try_send(&mut self, from: &str, rcpts: &[&str], mail: &[u8]) -> io::Result<Reply> {
        let mut lines = vec![format!("MAIL FROM:<{from}>")];
        lines.extend(rcpts.iter().map(|rcpt| format!("RCPT TO:<{rcpt}>")));
        self.try_lines(&lines, mail)
    }

    /// What follows on a MAIL that was taken.
    pub fn try_rest(&mut self, rcpt: &str, mail: &[u8]) -> io::Result<Reply> {
        self.try_lines(&[format!("RCPT TO:<{rcpt}>")], mail)
    }

    fn try_lines(&mut self, lines: &[String], mail: &[u8]) -> io::Result<Reply> {
        for line in lines {
            let reply = self.try_command(line)?;
            if reply.code != 250 {
                return Err(io::Error::other(format!("{line}: {reply:?}")));
            }
        }
        match self.try_command("DATA")? {
            Reply { code: 354, .. } => self.try_content(mail),
            other => Err(io::Error::other(format!("DATA: {other:?}"))),
        }
    }

    /// A bounce: null sender, one recipient, taken.
    #[track_caller]
    pub fn bounce(&mut self, rcpt: &str, mail: &[u8]) {
        self.try_send("", &[rcpt], mail).unwrap_or_else(|error| panic!("to {rcpt}: {error}")).expect("250 2.");
    }

    /// STARTTLS, trusting this very certificate for `name`; greets again.
    pub fn starttls(&mut self, name: &str, trusted: &CertificateDer<'_>) {
        self.try_starttls(name, trusted).unwrap();
    }

    pub fn try_starttls(&mut self, name: &str, trusted: &CertificateDer<'_>) -> io::Result<()> {
        self.try_starttls_any(name, std::slice::from_ref(trusted))
    }

    /// [`Client::starttls`], trusting several.
    pub fn try_starttls_any(&mut self, name: &str, trusted: &[CertificateDer<'_>]) -> io::Result<()> {
        match self.try_command("STARTTLS")? {
            Reply { code: 220, .. } => {}
            other => return Err(io::Error::other(format!("STARTTLS: {other:?}"))),
        }
        let mut roots = RootCertStore::empty();
        for certificate in trusted {
            roots.add(certificate.clone().into_owned()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        let Wire::Plain(stream) = std::mem::replace(self.wire.get_mut(), Wire::Gone) else { panic!("already under TLS") };
        *self.wire.get_mut() = Wire::Tls(Box::new(StreamOwned::new(connection, stream)));
        self.try_ehlo()
    }
}

/// Dot-stuffed, ending in CRLF (RFC 5321, section 4.5.2).
pub fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + 64);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}
