//! What a mail says: bytes → [`Report`].
//!
//! Pure and total. Any bytes give a report; what can't be read is simply absent from it. Time and memory are linear in the size of the
//! mail, nesting and the number of parts are counted before anything recursive sees them. Nothing here judges: no status, no
//! configuration, no clock.

mod report;

pub use report::*;

/// Reads one mail.
pub fn read(_raw: &[u8]) -> Report {
    Report::default()
}
