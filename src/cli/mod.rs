//! Arguments, one file a command, wiring.

mod output;
