//! The counting: ([`Known`], [`Input`], [`Rules`], now) → [`Changes`].
//!
//! Pure. The store loads what is known, calls [`Rules::judge`] for one input after the other and commits the changes of a whole batch at
//! once; that the writer is one thread is all that `exactly N` needs. Nothing here fails: an input always gives changes.

mod event;
mod known;
mod trigger;

pub use event::*;
pub use known::*;
pub use trigger::*;
