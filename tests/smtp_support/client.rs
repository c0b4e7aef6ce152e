//! A scripted SMTP client.

#![allow(dead_code)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Long enough for any machine; nothing is measured with it.
pub const PATIENT: Duration = Duration::from_secs(60);

pub struct Client<S>(pub BufReader<S>);

impl Client<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// Connected, greeted, and said EHLO.
    pub async fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        client.expect("220 mx.returns.test ").await;
        client.say("EHLO client.test", "250 ").await;
        client
    }

    /// All but the content of a mail.
    pub async fn in_data(address: SocketAddr) -> Self {
        let mut client = Self::greeted(address).await;
        client.envelope("good@returns.test").await;
        client.say("DATA", "354").await;
        client
    }

    pub async fn start_tls(mut self, config: Arc<ClientConfig>) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        self.say("STARTTLS", "220 2.0.0").await;
        let name = ServerName::try_from("mx.returns.test").unwrap();
        TlsConnector::from(config).connect(name, self.0.into_inner()).await.map(|stream| Client(BufReader::new(stream)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn send(&mut self, text: &str) {
        timeout(PATIENT, self.0.write_all(text.as_bytes())).await.expect("sent in time").unwrap();
        self.0.flush().await.unwrap();
    }

    /// Reads a whole reply.
    pub async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            let read = timeout(PATIENT, self.0.read_line(&mut line)).await.expect("a reply in time").unwrap_or(0);
            reply.push_str(&line);
            if read == 0 || line.as_bytes().get(3) == Some(&b' ') {
                return reply;
            }
        }
    }

    pub async fn expect(&mut self, start: &str) {
        let reply = self.reply().await;
        assert!(reply.lines().last().unwrap_or_default().starts_with(start), "{reply:?} does not start with {start:?}");
    }

    pub async fn say(&mut self, command: &str, start: &str) {
        self.send(&format!("{command}\r\n")).await;
        self.expect(start).await;
    }

    pub async fn envelope(&mut self, rcpt: &str) {
        self.say("MAIL FROM:<>", "250 2.1.0").await;
        self.say(&format!("RCPT TO:<{rcpt}>"), "250 2.1.5").await;
    }

    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is a close as well.
        let _ = timeout(PATIENT, self.0.read_to_end(&mut rest)).await.expect("closed in time");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}
