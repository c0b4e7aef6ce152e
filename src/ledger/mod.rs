//! The counting: ([`Known`], [`Input`], [`Rules`], now) → [`Changes`].
//!
//! Pure. The store loads what is known, calls [`Rules::judge`] for one input after the other and commits the changes of a whole batch at
//! once; that the writer is one thread is all that `exactly N` needs. Nothing here fails: an input always gives changes.

mod count;
mod event;
mod judge;
mod known;
mod person;
mod trigger;

#[cfg(test)]
mod tests;

pub use count::{HOURS_REACH, day_of, hour_of};
pub use event::*;
pub use judge::domain_of;
pub use known::*;
pub use person::{MARKS, TAGS};
pub use trigger::*;
