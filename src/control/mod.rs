//! The control socket: one versioned JSON request a connection, one JSON line a row back.
//!
//! The commands use it while the daemon runs, and answer the same requests from the store themselves when it doesn't. Who may connect is decided by
//! the socket's mode (0660); requests are bounded in length and time, so that a stuck client costs one thread for a minute and no more.

mod answer;
mod client;
mod protocol;
mod server;

pub use answer::{AlertTest, AnswerError, Plan, ReportSeen, Source, answer};
pub use client::{AskError, ask};
pub use protocol::{
    By, EventFilter, GuardRequest, HandRequest, Line, OutboxRequest, ReportRequest, Request, SequenceRequest, TasksRequest, VERSION,
    Versioned,
};
pub use server::serve;
