//! The configuration: TOML as written → a validated type that cannot be invalid. All errors at once, each with file, line and key.
//!
//! Pure but for reading the files that it names. Later code never sees a raw value. Relative paths of files to be read (secrets, certificates,
//! templates) begin at the configuration's own folder, those of what the daemon writes (`data_dir`, `control_socket`, a relay's `file:`) at the
//! current one.

mod days;
mod errors;
mod fields;
mod files;
mod guard;
mod load;
mod mail;
mod names;
mod notify;
mod own_key;
mod post;
mod reader;
mod report;
mod resend;
mod rest;
mod rule;
mod sequence;
mod smtp;
mod status;
mod step;
mod templates;
mod trigger;
mod units;
mod unused;
mod verp;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use jiff::{civil::Time, tz::TimeZone};

use crate::{action::MailTemplate, classify::OperatorRules, ledger::Rules};

pub use crate::action::{EnvelopeFrom, Mail, Relay, Security};
pub use errors::{Errors, Problem};
pub use load::operator_rules;
pub use own_key::own_key;

/// A whole, valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub hostname: String,
    pub data_dir: PathBuf,
    /// Default `<data_dir>/control.sock`.
    pub control_socket: PathBuf,
    pub timezone: TimeZone,
    /// Bytes.
    pub min_free: u64,
    pub smtp: Smtp,
    pub verp: Verp,
    pub mail: Option<Mail>,
    /// The triggers, sequences, reports and the guard.
    pub rules: Arc<Rules>,
    /// `[[rule]]`: how mail is told.
    pub operator_rules: Arc<OperatorRules>,
    pub templates: BTreeMap<String, MailTemplate>,
    pub alerts: Alerts,
    pub keep: Keep,
    /// `[metrics] listen`.
    pub metrics: Option<SocketAddr>,
    /// What may stay as it is, and was hardly meant.
    pub warnings: Vec<Problem>,
}

#[derive(Debug, Clone)]
pub struct Smtp {
    /// May be empty where systemd passes sockets.
    pub listen: Vec<SocketAddr>,
    /// Lowercased.
    pub domains: Vec<String>,
    pub max_message_bytes: usize,
    pub max_connections: usize,
    pub max_connections_per_ip: usize,
    /// Wrong recipients; `None`: never too many.
    pub max_guesses_per_ip: Option<crate::action::Rate>,
    pub trusted_networks: Vec<IpNet>,
    pub command_timeout: Duration,
    pub data_timeout: Duration,
    pub session_timeout: Duration,
    pub tls: Option<TlsFiles>,
    pub postmaster: Option<String>,
    /// Lowercased local parts.
    pub plain: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// `[verp]`, its secret and hash key read in and the patterns compiled.
#[derive(Debug, Clone)]
pub struct Verp {
    pub codec: Arc<crate::verp::Codec>,
    pub require_signature: bool,
    pub unsigned_may_fire: Vec<crate::taxonomy::Status>,
}

#[derive(Debug, Clone)]
pub struct Alerts {
    pub to: Vec<String>,
    /// `None`: never alert on silence.
    pub silence: Option<Duration>,
    /// Share (0 to 1) of an hour's mail that are sender-fault blocks, and how many at least.
    pub blocks: (f64, u64),
    /// Undetermined mails in a day.
    pub undetermined: u64,
    /// In `timezone`.
    pub digest_at: Time,
}

#[derive(Debug, Clone, Copy)]
pub struct Keep {
    pub events: Duration,
    pub raw: Duration,
}
