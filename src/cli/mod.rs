//! Arguments, one file a command, wiring.

pub mod classify;
pub mod mails;
mod mbox;
mod verdict_row;
