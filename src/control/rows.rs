//! The rows that commands print with `--json`. Pure.

pub use crate::action::{EventRow, event_row};
