//! Arguments, one file a command, wiring.
