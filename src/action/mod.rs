//! What triggers do to the outside: the frozen description of a task, its rendering (pure, escaped for where it goes) and its delivery.
//!
//! Knows neither counters nor the engine. A delivery never panics and never outlives its deadline; what went wrong is in its
//! [`crate::outbox::Outcome`].

mod task;

pub use task::*;
