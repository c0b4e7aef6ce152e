//! Work that goes to the outside: what a job is, its states, when it is tried again, and the worker that hands it to [`crate::action`].
//!
//! ```text
//!   waiting ──claim──► running ──delivered──► done
//!      ▲                 │ ├────gone for good, or three days over──► dead
//!      └──later──────────┘ │                                          │
//!      ▲    daemon restarted                                          │
//!      └──────────────────────────── retry by hand ───────────────────┘
//! ```
//! A job whose target is closed (see `breaker`) or has its rate used up stays waiting.
//! At least once: a job that ran when the power failed runs again under the same id.

mod breaker;
mod bucket;
mod job;
mod jobs;
mod lanes;
pub mod retry;
mod targets;
mod worker;

#[cfg(test)]
mod tests;

pub use breaker::Blame;
pub use job::*;
pub use jobs::*;
pub use targets::*;
pub use worker::*;
