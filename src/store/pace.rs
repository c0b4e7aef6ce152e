//! How much goes into one commit: whatever waits, and under load what comes within a moment after it.
//!
//! A commit costs two syncs and wakes threads, however many mails are in it. A writer that begins at the first mail answers one, and the
//! many that come meanwhile have to wait for the commit after it. So, where many came together just before, it gives their like a moment to
//! gather. A mail that comes alone never waits.

use std::{sync::mpsc::Receiver, thread::sleep, time::Duration};

use super::command::Command;

/// The most of a batch: more would make the first wait for the last.
const BATCH_COMMANDS: usize = 256;
const BATCH_BYTES: usize = 8 << 20;

/// So few mails at a time are not waited for.
const FEW: usize = 4;

/// One look for more comes after so long; shorter than any disk's sync.
const MOMENT: Duration = Duration::from_micros(150);
const MOMENTS: usize = 3;

/// What the last commits had.
#[derive(Debug, Default)]
pub struct Pace {
    mails: usize,
}

impl Pace {
    /// As many mails as are worth waiting for: half of those under way, so that the others are told while these are synced.
    fn wanted(&self) -> usize {
        if self.mails < FEW { 0 } else { self.mails / 2 }
    }

    fn had(&mut self, mails: usize) {
        self.mails = mails.max(self.mails - self.mails.div_ceil(4));
    }
}

struct Batch {
    work: Vec<Command>,
    bytes: usize,
    mails: usize,
}

impl Batch {
    fn add(&mut self, command: Command) {
        self.bytes = self.bytes.saturating_add(command.bytes());
        self.mails += usize::from(matches!(command, Command::Record { .. }));
        self.work.push(command);
    }

    fn is_full(&self) -> bool {
        self.work.len() >= BATCH_COMMANDS || self.bytes >= BATCH_BYTES
    }

    /// Takes what waits.
    fn fill(&mut self, inbox: &Receiver<Command>) {
        while !self.is_full() {
            let Ok(command) = inbox.try_recv() else { break };
            self.add(command);
        }
    }
}

pub fn gather(first: Command, inbox: &Receiver<Command>, pace: &mut Pace) -> Vec<Command> {
    let mut batch = Batch { work: Vec::new(), bytes: 0, mails: 0 };
    batch.add(first);
    batch.fill(inbox);
    for _ in 0..MOMENTS {
        if batch.mails >= pace.wanted() || batch.is_full() {
            break;
        }
        sleep(MOMENT);
        batch.fill(inbox);
    }
    pace.had(batch.mails);
    batch.work
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;

    fn record() -> Command {
        Command::Record { inputs: [].into(), raw: Bytes::new(), reply: oneshot::channel().0 }
    }

    #[test]
    fn who_comes_alone_is_not_kept_waiting() {
        let mut pace = Pace::default();
        for _ in 0..9 {
            pace.had(FEW - 1);
            assert_eq!(pace.wanted(), 0);
        }
        pace.had(100);
        assert_eq!(pace.wanted(), 50);
        (0..20).for_each(|_| pace.had(1));
        assert_eq!(pace.wanted(), 0, "a rush is over soon");
    }

    #[test]
    fn what_waits_is_taken_up_to_the_most() {
        let (sender, inbox) = mpsc::channel();
        (0..BATCH_COMMANDS + 9).for_each(|_| sender.send(record()).unwrap());
        let mut pace = Pace::default();
        assert_eq!(gather(record(), &inbox, &mut pace).len(), BATCH_COMMANDS);
        assert_eq!(gather(record(), &inbox, &mut pace).len(), 11);
        assert_eq!(gather(record(), &inbox, &mut pace).len(), 1, "nobody else comes");
    }
}
