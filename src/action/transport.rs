//! Hands a finished mail to the relay, or writes it to a folder.
//!
//! A fresh connection for each mail (lettre's pool breaks when a server hangs up), a deadline over the whole dialogue (lettre's own
//! covers the connect only), and after the relay's 250 nothing can turn success into failure. What fails says whether another attempt
//! may succeed: only a relay's 5xx to a recipient or to the mail itself is for good, a refused login or sender can be mended.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use lettre::{
    FileTransport, Transport as _,
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{self as action, Relay, Security};
use super::{clean, compose::Letter, wrapped};

/// The whole dialogue with the relay.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How long a relay that has taken the mail may take over QUIT.
const PARTING: Duration = Duration::from_secs(2);

/// Why a mail didn't go out. The text is one line, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("{0}")]
    Later(String),
    /// The relay puts this mail off; others may well go out.
    #[error("{0}")]
    PutOff(String),
    #[error("{0}")]
    Never(String),
    /// The mail has bytes beyond ASCII and the relay doesn't offer 8BITMIME.
    #[error("the relay takes no 8-bit mail")]
    SevenBitOnly,
}

/// `[mail]`, ready to send. Made anew when the configuration is read again.
pub struct Transport {
    relay: Relay,
    /// User name, and the file with the password: read at each send, so that a new password needs no restart.
    login: Option<(String, PathBuf)>,
    hello: ClientId,
    tls: OnceLock<TlsParameters>,
    trust: OnceLock<TlsConnector>,
    deadline: Duration,
}

impl Transport {
    /// `hostname` is the name given in EHLO.
    pub fn new(mail: &action::Mail, hostname: &str) -> Transport {
        Transport {
            relay: mail.relay.clone(),
            login: mail.username.clone().zip(mail.password_file.clone()),
            hello: ClientId::Domain(hostname.to_owned()),
            tls: OnceLock::new(),
            trust: OnceLock::new(),
            deadline: DEADLINE,
        }
    }

    /// Another deadline than [`DEADLINE`].
    pub fn with_deadline(self, deadline: Duration) -> Transport {
        Transport { deadline, ..self }
    }

    pub async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        match &self.relay {
            Relay::File(folder) => {
                let (folder, letter) = (folder.clone(), letter.clone());
                let written = tokio::task::spawn_blocking(move || write(&folder, &letter)).await;
                written.map_err(|_| SendError::Later("writing the mail was broken off".to_owned()))?
            }
            Relay::Smtp { host, port, security } => {
                let place = format!("{host}:{port}");
                let dialogue = timeout(self.deadline, self.dialogue(host, *port, *security, letter)).await;
                dialogue.unwrap_or_else(|_| later(format!("no answer within {} s", self.deadline.as_secs()))).map_err(|error| match error {
                    SendError::Later(text) => SendError::Later(format!("{place}: {text}")),
                    SendError::PutOff(text) => SendError::PutOff(format!("{place}: {text}")),
                    SendError::Never(text) => SendError::Never(format!("{place}: {text}")),
                    other => other,
                })
            }
        }
    }

    async fn dialogue(&self, host: &str, port: u16, security: Security, letter: &Letter) -> Result<(), SendError> {
        let mut relay = self.connect(host, port, security).await?;
        if let Some(credentials) = self.credentials()? {
            relay.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| SendError::Later(reason(&error)))?;
        }
        let result = transaction(&mut relay, letter).await;
        // The mail's fate is known: a relay that dawdles over QUIT holds nobody up.
        tokio::spawn(async move { timeout(PARTING, relay.abort()).await });
        result
    }

    async fn connect(&self, host: &str, port: u16, security: Security) -> Result<AsyncSmtpConnection, SendError> {
        let lettre = |error: smtp::Error| SendError::Later(reason(&error));
        let failed = |error: io::Error| SendError::Later(format!("Connection error: {error}"));
        let stream = wrapped::connect(host, port).await.map_err(failed)?;
        let stream: Box<dyn AsyncTokioStream> = match security {
            Security::Tls => Box::new(wrapped::wrap(stream, host, &self.trust()?).await.map_err(failed)?),
            Security::None | Security::StartTls => Box::new(stream),
        };
        let mut relay = AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await.map_err(lettre)?;
        if security == Security::StartTls {
            relay.starttls(self.tls(host).map_err(lettre)?, &self.hello).await.map_err(lettre)?;
        }
        Ok(relay)
    }

    /// The system's root certificates, read once.
    fn tls(&self, host: &str) -> Result<TlsParameters, smtp::Error> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let tls = TlsParameters::new(host.to_owned())?;
        Ok(self.tls.get_or_init(|| tls).clone())
    }

    /// The same for TLS from the first octet.
    fn trust(&self) -> Result<TlsConnector, SendError> {
        if let Some(trust) = self.trust.get() {
            return Ok(trust.clone());
        }
        let trust = wrapped::trust().map_err(|error| SendError::Later(format!("TLS can't be set up: {error}")))?;
        Ok(self.trust.get_or_init(|| trust).clone())
    }

    fn credentials(&self) -> Result<Option<Credentials>, SendError> {
        let Some((name, file)) = &self.login else { return Ok(None) };
        let password = fs::read_to_string(file)
            .map_err(|error| SendError::Later(format!("the relay's password can't be read from {}: {error}", file.display())))?;
        let password = password.lines().next().unwrap_or_default().to_owned();
        Ok(Some(Credentials::new(name.clone(), password)))
    }
}

/// MAIL to the end of DATA. Where a recipient is put off, nobody gets the mail now; where one is refused for good, the others do.
async fn transaction(relay: &mut AsyncSmtpConnection, letter: &Letter) -> Result<(), SendError> {
    let later = |error: smtp::Error| SendError::Later(reason(&error));
    let mut parameters = Vec::new();
    let addresses = letter.envelope.to().iter().chain(letter.envelope.from());
    if !addresses.map(ToString::to_string).all(|address| address.is_ascii()) {
        if !relay.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(SendError::Never("the relay takes no addresses beyond ASCII (SMTPUTF8)".to_owned()));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !letter.bytes.is_ascii() {
        if !relay.server_info().supports_feature(Extension::EightBitMime) {
            return Err(SendError::SevenBitOnly);
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    relay.command(Mail::new(letter.envelope.from().cloned(), parameters)).await.map_err(later)?;
    let mut refused = Vec::new();
    for recipient in letter.envelope.to() {
        match relay.command(Rcpt::new(recipient.clone(), vec![])).await {
            Ok(_) => {}
            Err(error) if error.is_permanent() => refused.push(format!("{recipient}: {}", reason(&error))),
            Err(error) if error.is_transient() => return Err(SendError::PutOff(reason(&error))),
            Err(error) => return Err(later(error)),
        }
    }
    if refused.len() < letter.envelope.to().len() {
        relay.command(Data).await.map_err(later)?;
        relay.message(&letter.bytes).await.map_err(|error| match error.is_permanent() {
            true => SendError::Never(reason(&error)),
            false => later(error),
        })?;
    }
    if refused.is_empty() { Ok(()) } else { Err(SendError::Never(format!("refused for {}", refused.join("; ")))) }
}

/// lettre's file transport gives each file a name by chance; renamed, a file is whole as soon as it has its name, and a second attempt
/// at the same mail replaces the first.
fn write(folder: &Path, letter: &Letter) -> Result<(), SendError> {
    let failed = |error: &dyn std::fmt::Display| SendError::Later(format!("can't write a mail to {}: {error}", folder.display()));
    let partial = folder.join(".partial");
    fs::create_dir_all(&partial).map_err(|error| failed(&error))?;
    let name = FileTransport::new(&partial).send_raw(&letter.envelope, &letter.bytes).map_err(|error| failed(&error))?;
    let file = letter.id.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
    let moved: io::Result<()> = fs::rename(partial.join(format!("{name}.eml")), folder.join(format!("{file}.eml")));
    moved.map_err(|error| failed(&error))
}

fn later<T>(text: String) -> Result<T, SendError> {
    Err(SendError::Later(text))
}

/// A reply as code and text, anything else as lettre puts it.
fn reason(error: &smtp::Error) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    let text = match (error.status(), source) {
        (Some(code), Some(text)) => format!("{code} {text}"),
        _ => error.to_string(),
    };
    clean::cut(&text, 300)
}
