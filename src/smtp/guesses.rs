//! Who asks for recipients that aren't there: counted by network, over all its connections.
//!
//! One that goes on is slowed from its first word, and past the limit turned away for as long as the limit's span. A recorded mail at a
//! return address of ours makes up for one, so that a server which brings bounces, and stray ones among them, is let in. Memory is bounded: of more than
//! [`MAX_NETWORKS`] networks the half that guessed least is forgotten. The time is handed in.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::limits::network;

/// About one megabyte.
const MAX_NETWORKS: usize = 10_000;

/// So many wrong recipients within so long a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub guesses: u32,
    pub within: Duration,
}

#[derive(Debug, Default)]
pub struct Guesses {
    networks: Mutex<HashMap<IpAddr, Row>>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// Of the first of them, or of the one that reached the limit.
    since: Instant,
    guesses: u32,
}

impl Row {
    fn holds(&self, limit: Limit, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < limit.within
    }
}

impl Guesses {
    /// How many stand against the client's network.
    pub fn of(&self, client: IpAddr, limit: Limit, now: Instant) -> u32 {
        let networks = self.lock();
        if networks.is_empty() {
            return 0;
        }
        networks.get(&network(client)).filter(|row| row.holds(limit, now)).map_or(0, |row| row.guesses)
    }

    /// Counts one more; gives their number. The one that reaches the limit begins the time for which the network is turned away.
    pub fn add(&self, client: IpAddr, limit: Limit, now: Instant) -> u32 {
        let mut networks = self.lock();
        let client = network(client);
        if networks.len() >= MAX_NETWORKS && !networks.contains_key(&client) {
            make_room(&mut networks, limit, now);
        }
        let row = networks.entry(client).or_insert(Row { since: now, guesses: 0 });
        if !row.holds(limit, now) {
            *row = Row { since: now, guesses: 0 };
        }
        row.guesses = row.guesses.saturating_add(1);
        if row.guesses == limit.guesses {
            row.since = now;
        }
        row.guesses
    }

    /// The client brought a mail to a right one, and it was recorded.
    pub fn make_up(&self, client: IpAddr) {
        let mut networks = self.lock();
        if networks.is_empty() {
            return;
        }
        if let Entry::Occupied(mut row) = networks.entry(network(client)) {
            row.get_mut().guesses = row.get().guesses.saturating_sub(1);
            if row.get().guesses == 0 {
                row.remove();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Row>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(networks: &mut HashMap<IpAddr, Row>, limit: Limit, now: Instant) {
    networks.retain(|_, row| row.holds(limit, now));
    if networks.len() < MAX_NETWORKS {
        return;
    }
    let mut numbers: Vec<u32> = networks.values().map(|row| row.guesses).collect();
    let middle = numbers.len() / 2;
    let (_, &mut median, _) = numbers.select_nth_unstable(middle);
    let mut too_many = networks.len().saturating_sub(middle);
    networks.retain(|_, row| {
        let forget = too_many > 0 && row.guesses <= median;
        too_many -= usize::from(forget);
        !forget
    });
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const LIMIT: Limit = Limit { guesses: 3, within: HOUR };

    #[test]
    fn a_network_is_over_for_the_span_after_it_reached_the_limit() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        let at = |minute: u64| start + Duration::from_secs(60 * minute);
        let (one, same, other) = ("2001:db8::1".parse().unwrap(), "2001:db8::ffff:1".parse().unwrap(), "2001:db8:0:1::1".parse().unwrap());
        assert_eq!((guesses.add(one, LIMIT, at(0)), guesses.add(same, LIMIT, at(30)), guesses.add(one, LIMIT, at(59))), (1, 2, 3));
        assert_eq!((guesses.of(same, LIMIT, at(59)), guesses.of(other, LIMIT, at(59))), (3, 0));
        assert_eq!((guesses.of(one, LIMIT, at(118)), guesses.of(one, LIMIT, at(119))), (3, 0));
        assert_eq!(guesses.add(one, LIMIT, at(119)), 1);
        // Fewer in a span are forgotten with it.
        assert_eq!((guesses.add(other, LIMIT, at(0)), guesses.add(other, LIMIT, at(60))), (1, 1));
    }

    #[test]
    fn a_recorded_mail_makes_up_for_one() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let client = IpAddr::from([192, 0, 2, 1]);
        guesses.make_up(client);
        for _ in 0..1000 {
            guesses.add(client, LIMIT, now);
            guesses.make_up("::ffff:192.0.2.1".parse().unwrap());
        }
        assert_eq!(guesses.of(client, LIMIT, now), 0);
        assert!(guesses.lock().is_empty());
    }

    #[test]
    fn however_many_networks_guess_memory_is_bounded_and_the_worst_are_kept() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let worst = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let _ = [(); 3].map(|()| guesses.add(worst, LIMIT, now));
        for network in 0..100_000_u128 {
            guesses.add(IpAddr::V6(Ipv6Addr::from_bits(network << 64)), LIMIT, now);
            assert!(guesses.lock().len() <= MAX_NETWORKS);
        }
        assert_eq!(guesses.of(worst, LIMIT, now), 3);
        // All as bad as each other: room is made all the same.
        let even = Guesses::default();
        for network in 0..3 * MAX_NETWORKS as u128 {
            even.add(IpAddr::V6(Ipv6Addr::from_bits(network << 64)), Limit { guesses: 1, within: HOUR }, now);
        }
        assert!((MAX_NETWORKS / 2..=MAX_NETWORKS).contains(&even.lock().len()));
        // What is over goes first.
        even.add(worst, LIMIT, now + 2 * HOUR);
        let later = now + 2 * HOUR;
        for n in 0..MAX_NETWORKS as u32 / 2 {
            even.add(IpAddr::V4(Ipv4Addr::from_bits(n)), LIMIT, later);
        }
        assert_eq!(even.of(worst, LIMIT, later), 1);
    }
}
