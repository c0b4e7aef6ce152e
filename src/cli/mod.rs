//! Arguments, one file a command, wiring.

pub mod check;
mod dns;
mod output;
pub mod verp;
