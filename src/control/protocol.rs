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
    Tasks(TasksRequest),
    Report(ReportRequest),
    Sequence(SequenceRequest),
    Guard(GuardRequest),
    /// What triggers do, done by hand to one person. One row: the person as `show` has it.
    Hand {
        address: String,
        act: HandRequest,
    },
    /// People as `show` has them, but for what fired: the suppressed, or those whom the expression takes.
    Export {
        filter: Option<String>,
    },
    /// Mails of the past, in base64. One row each: `{outcome, status, fired, why}`; outcome is counted, known, too-old or not-ours.
    Import {
        rcpt: Option<String>,
        fire: bool,
        mails: Vec<String>,
    },
    /// All inputs from the event `from` on: rows of base64, each some events as the store writes them; at most a piece, none at the end.
    Log {
        from: u64,
    },
    /// Sends one alert and waits for the relay's word.
    AlertTest,
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TasksRequest {
    /// Without the done ones unless `all`.
    List {
        all: bool,
    },
    Done {
        id: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportRequest {
    List,
    /// One row: `{subject, text, html, file}`.
    Preview {
        name: String,
    },
    /// Now, active or not.
    Send {
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SequenceRequest {
    List,
    Members { name: String },
    Stop { name: String, address: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardRequest {
    List,
    Release { domain: String },
    Drop { domain: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandRequest {
    /// Names and values, texts, numbers and booleans; `suppressed` is the person's suppression.
    Set {
        fields: Vec<(String, Value)>,
    },
    Tag {
        tag: String,
    },
    Untag {
        tag: String,
    },
    /// A status, a prefix such as `soft-bounce-*`, or all.
    Reset {
        status: Option<String>,
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
