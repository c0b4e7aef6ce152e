//! Under attack: each promise of the SMTP side, with what would break it. Those that need the whole daemon drive the built binary and look at it
//! from outside; those about time run in the process, on a clock that the test winds.
//!
//! `cargo test --release --test hostile -- --include-ignored --nocapture` takes the loads at their full size and prints figures.

#![allow(clippy::unwrap_used)]

#[path = "../smtp_support/client.rs"]
mod client;
#[path = "../smtp_support/server.rs"]
mod server;
#[path = "../smtp_support/mod.rs"]
mod smtp_support;
#[path = "../support/mod.rs"]
mod support;

mod bombs;
mod crowd;
mod deadlines;
mod forged;
mod idle;
mod memory;
mod overload;
mod process;
mod slow;
mod talk;
