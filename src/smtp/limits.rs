//! How many connections, and how much memory for the mails that are coming in.
//!
//! What is taken here gives itself back when dropped, so a dialogue that dies keeps nothing.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts connections, altogether and by network: an IPv4 address, or an IPv6 /64, which is what one customer has at least.
#[derive(Debug, Default)]
pub struct Connections {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Total,
    Network,
}

/// A connection that counts for as long as this lives.
#[derive(Debug)]
pub struct Ticket {
    connections: Arc<Connections>,
    network: IpAddr,
}

impl Connections {
    pub fn enter(self: &Arc<Self>, client: IpAddr, max: usize, max_per_network: usize) -> Result<Ticket, Full> {
        let network = network(client);
        let mut counts = self.lock();
        if counts.total >= max {
            return Err(Full::Total);
        } else if counts.by_network.get(&network).is_some_and(|&count| count >= max_per_network) {
            return Err(Full::Network);
        }
        counts.total += 1;
        *counts.by_network.entry(network).or_default() += 1;
        Ok(Ticket { connections: Arc::clone(self), network })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.connections.lock();
        counts.total = counts.total.saturating_sub(1);
        if let Some(count) = counts.by_network.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

/// What counts as one client.
pub(super) fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Octets that all mails on their way in may use together.
pub const MEMORY: usize = 64 * 1024 * 1024;
/// How long a mail waits for memory before it is put off with 452.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// One permit is so many octets.
const UNIT: usize = 1024;

/// The memory for mails on their way in. Who asks first is served first.
#[derive(Debug)]
pub struct Memory {
    free: Arc<Semaphore>,
    patience: Duration,
}

/// Memory that one mail has.
#[derive(Debug, Default)]
pub struct Share(Option<OwnedSemaphorePermit>);

impl Share {
    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
    }
}

impl Memory {
    pub fn new(octets: usize, patience: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(octets.div_ceil(UNIT).min(Semaphore::MAX_PERMITS))), patience }
    }

    /// Adds to `share`; `false` if there wasn't so much within the time that one waits.
    pub async fn take(&self, octets: usize, share: &mut Share) -> bool {
        let Ok(units) = u32::try_from(octets.div_ceil(UNIT)) else { return false };
        let permits = Arc::clone(&self.free).acquire_many_owned(units);
        let Ok(Ok(more)) = tokio::time::timeout(self.patience, permits).await else { return false };
        share.add(more);
        true
    }

    /// The same without waiting; it takes no turn from those who wait.
    pub fn take_now(&self, octets: usize, share: &mut Share) -> bool {
        let Ok(units) = u32::try_from(octets.div_ceil(UNIT)) else { return false };
        let Ok(more) = Arc::clone(&self.free).try_acquire_many_owned(units) else { return false };
        share.add(more);
        true
    }

    /// Octets that nobody has.
    pub fn free(&self) -> usize {
        self.free.available_permits().saturating_mul(UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_per_network() {
        let connections = Arc::new(Connections::default());
        let enter = |client: &str| connections.enter(client.parse().unwrap(), 5, 2);
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("::ffff:192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.1").unwrap_err(), Full::Network);
        let _others = [enter("2001:db8::1").unwrap(), enter("2001:db8::ffff:2").unwrap()];
        assert_eq!(enter("2001:db8::3").unwrap_err(), Full::Network);
        let _last = enter("2001:db8:0:1::3").unwrap();
        assert_eq!(enter("198.51.100.1").unwrap_err(), Full::Total);
        drop(first);
        assert!(enter("192.0.2.1").is_ok());
        assert_eq!(connections.lock().total, 4);
    }

    #[tokio::test]
    async fn memory_is_waited_for_and_given_back() {
        let (mut one, mut two) = (Share::default(), Share::default());
        let memory = Memory::new(10 * UNIT, Duration::from_millis(1));
        assert!(memory.take(4 * UNIT, &mut one).await && memory.take(3 * UNIT + 1, &mut one).await);
        assert_eq!(memory.free(), 2 * UNIT);
        assert!(!memory.take(3 * UNIT, &mut two).await && memory.take(2 * UNIT, &mut two).await);
        drop((one, two));
        assert_eq!(memory.free(), 10 * UNIT);

        let memory = Memory::new(10 * UNIT, Duration::from_secs(600));
        let (mut one, mut two) = (Share::default(), Share::default());
        assert!(memory.take(8 * UNIT, &mut one).await);
        let (more, ()) = tokio::join!(memory.take(3 * UNIT, &mut two), async move { drop(one) });
        assert!(more);
        assert_eq!(memory.free(), 7 * UNIT);
    }
}
