//! Whether the disk has room for more mail, and when that is to be looked at again: mail that streams in fills a reserve faster than any clock
//! would look.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

pub struct Room {
    enough: AtomicBool,
    /// Octets of mail recorded since the last look.
    taken: AtomicU64,
    /// Octets of mail after which a look is due.
    allowance: AtomicU64,
    due: Notify,
}

impl Default for Room {
    fn default() -> Room {
        Room { enough: AtomicBool::new(true), taken: AtomicU64::new(0), allowance: AtomicU64::new(u64::MAX), due: Notify::new() }
    }
}

impl Room {
    /// Whether MAIL may be answered with 250.
    pub fn enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    /// What a look found. The next is due after so many octets of mail.
    pub fn looked(&self, enough: bool, allowance: u64) {
        self.enough.store(enough, Ordering::Relaxed);
        self.allowance.store(allowance, Ordering::Relaxed);
        self.taken.store(0, Ordering::Relaxed);
    }

    /// A mail of so many octets was recorded.
    pub fn take(&self, octets: usize) {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        let before = self.taken.fetch_add(octets, Ordering::Relaxed);
        let allowance = self.allowance.load(Ordering::Relaxed);
        if before < allowance && before.saturating_add(octets) >= allowance {
            self.due.notify_one();
        }
    }

    /// Waits until a look is due.
    pub async fn due(&self) {
        self.due.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context, task::Poll, task::Waker};

    use super::*;

    fn is_due(room: &Room) -> bool {
        pin!(room.due()).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn a_look_is_due_once_for_each_allowance() {
        let room = Room::default();
        room.take(usize::MAX / 2);
        assert!(room.enough() && !is_due(&room), "nobody has looked yet");
        room.looked(true, 100);
        room.take(60);
        assert!(!is_due(&room));
        room.take(60);
        room.take(60);
        assert!(is_due(&room) && !is_due(&room), "past the allowance, and once");
        room.looked(false, 100);
        assert!(!room.enough() && !is_due(&room));
        room.take(100);
        assert!(is_due(&room));
    }
}
