//! What goes over the socket. Add variants and fields; a change of meaning raises [`VERSION`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const VERSION: u32 = 1;

/// The one line that a client sends.
#[derive(Debug, Serialize, Deserialize)]
pub struct Versioned {
    pub v: u32,
    pub request: Request,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// One row, in contract form, also for an address nothing is known of.
    Show {
        address: String,
    },
    Counts {
        by: By,
    },
    /// Newest first.
    Events(EventFilter),
    /// One row `{event, standing, reverse_path, raw}`: the event in contract form, and the raw mail in base64 where it is still kept.
    Event {
        id: u64,
    },
    Outbox(OutboxRequest),
    /// Sends one alert and waits for the relay's word.
    AlertTest,
    /// Rows `{part, done, total}`: the backup's octets in base64, octets done and about how many there will be; last `{last_event, rows, octets}`.
    Backup,
    /// Rows `{done, total}`: octets searched; last what was erased.
    Forget {
        address: String,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    #[default]
    Status,
    Domain,
    Campaign,
    Day,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EventFilter {
    pub status: Option<String>,
    pub address: Option<String>,
    pub since: Option<Timestamp>,
    pub limit: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutboxRequest {
    /// Without the done ones unless `all`.
    List {
        all: bool,
    },
    Retry {
        id: String,
    },
    Drop {
        id: String,
    },
}

/// One line of an answer. The last is `End` or `Error`: an answer without either was cut off.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    Row(Value),
    Error(String),
    End,
}
