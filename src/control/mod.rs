//! The control socket: one versioned JSON request a connection, one JSON line a row back. The commands use it while the daemon runs, and answer
//! the same requests from the store themselves when it doesn't.

pub mod rows;
