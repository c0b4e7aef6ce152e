//! The operator hears of trouble, and of silence, by mail: thresholds, limiter and digest (pure), and a sender of its own that needs no store.
//!
//! Whatever fails here is logged and tried again for a day; nothing waits for it. Every trouble is in the log at once, mail or not.

pub mod digest;
mod limiter;
mod sender;
mod state;
mod threshold;
mod trouble;
mod watch;

pub use limiter::Limiter;
pub use sender::Setup;
pub use threshold::{Snapshot, judge};
pub use trouble::{ClosedTarget, DeadJob, Kind, Trouble, compose};
pub use watch::{Alerts, Pace, Watched};
