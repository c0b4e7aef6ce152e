//! How mail leaves, as configured in `[mail]`.

use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct Mail {
    pub relay: Relay,
    /// As written: `Bounce daemon <bounced@example.com>`.
    pub from: String,
    pub envelope_from: EnvelopeFrom,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relay {
    Smtp {
        host: String,
        port: u16,
        security: Security,
    },
    /// One .eml a mail.
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    None,
    StartTls,
    Tls,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvelopeFrom {
    /// A signed address of our own in the first of `smtp.domains`.
    Own,
    /// `<>`.
    Null,
    Address(String),
}
