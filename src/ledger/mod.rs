//! The counting: ([`Known`], [`Input`], [`Rules`], now) → [`Changes`].
//!
//! Pure. The store loads what is known, calls [`Rules::judge`] for one input after the other and commits the changes of a whole batch at
//! once; that the writer is one thread is all that `exactly N` needs. Nothing here fails: an input always gives changes.

mod act;
mod count;
mod due;
mod event;
mod filter;
mod gather;
mod guard;
mod hand;
mod judge;
mod known;
mod person;
mod sequence;
mod timer;
mod trigger;

#[cfg(test)]
mod tests;

pub use count::{HOURS_REACH, day_of, hour_of};
pub use event::*;
pub use filter::{Filter, NAMES as FILTER_NAMES};
pub use gather::{Admitted, Gathering};
pub use guard::{GuardRule, Held};
pub use judge::domain_of;
pub use known::*;
pub use person::{FIELDS, MARKS, TAGS, is_tag};
pub use sequence::*;
pub use timer::{Timer, TimerChange};
pub use trigger::*;
