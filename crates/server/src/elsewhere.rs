//! What other servers of the network have, as their events say: an account's connections count over all servers.
//!
//! A server is known from the first that is heard of it until it says that it ends, its last route is gone, or nothing is heard of it for
//! long.

use dialtone_broker::account::AccountId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// After how long a server that is not heard of is forgotten. The official figure.
const SILENCE_MAX: Duration = Duration::from_secs(150);
/// Servers that are known at most; others are not counted. The bound is one of the whole server: only servers of the network are heard.
const SERVERS_MAX: usize = 4096;

/// Other servers, by their ids.
#[derive(Debug, Default)]
pub struct Elsewhere(Mutex<HashMap<Box<str>, Heard>>);

/// What is known of a server.
#[derive(Debug)]
struct Heard {
    last: Instant,
    /// Its connections in each account that has some.
    connections: HashMap<AccountId, Connections>,
}

/// Connections in an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connections {
    pub(crate) clients: u64,
    pub(crate) leaf_nodes: u64,
}

impl Elsewhere {
    /// A server is there. Whether it was not known.
    pub(crate) fn hear_of(&self, server: &str, now: Instant) -> bool {
        let mut all = self.0.lock();
        if let Some(heard) = all.get_mut(server) {
            heard.last = now;
            return false;
        }
        if all.len() >= SERVERS_MAX {
            return false;
        }
        all.insert(server.into(), Heard { last: now, connections: HashMap::new() });
        true
    }

    /// A server that is known has so many connections in an account.
    pub(crate) fn set_connections(&self, server: &str, account: AccountId, connections: Connections) {
        let mut all = self.0.lock();
        let Some(heard) = all.get_mut(server) else { return };
        if connections == Connections::default() {
            heard.connections.remove(&account);
        } else {
            heard.connections.insert(account, connections);
        }
    }

    /// How many connections other servers have in an account.
    pub(crate) fn connections(&self, account: AccountId) -> Connections {
        let all = self.0.lock();
        let connections = all.values().filter_map(|heard| heard.connections.get(&account));
        connections.fold(Connections::default(), |sum, of| Connections {
            clients: sum.clients + of.clients,
            leaf_nodes: sum.leaf_nodes + of.leaf_nodes,
        })
    }

    /// A server is gone, and all that it had.
    pub(crate) fn forget(&self, server: &str) {
        self.0.lock().remove(server);
    }

    /// Forgets servers that have long not been heard of.
    pub(crate) fn forget_silent(&self, now: Instant) {
        self.0.lock().retain(|_, heard| now.saturating_duration_since(heard.last) < SILENCE_MAX);
    }

    /// How many servers are known.
    pub(crate) fn servers(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_all_servers_are_summed_until_the_servers_go() {
        let (elsewhere, now) = (Elsewhere::default(), Instant::now());
        let (a, b) = (AccountId(1), AccountId(2));
        let of = |clients, leaf_nodes| Connections { clients, leaf_nodes };
        let sums = || [a, b].map(|account| elsewhere.connections(account));
        elsewhere.set_connections("X", a, of(9, 9));
        assert_eq!(sums(), [of(0, 0), of(0, 0)], "nobody has heard of X");
        assert!(elsewhere.hear_of("X", now) && elsewhere.hear_of("Y", now) && !elsewhere.hear_of("X", now));
        elsewhere.set_connections("X", a, of(3, 1));
        elsewhere.set_connections("X", b, of(1, 0));
        elsewhere.set_connections("Y", a, of(4, 5));
        assert_eq!((sums(), elsewhere.servers()), ([of(7, 6), of(1, 0)], 2));
        elsewhere.set_connections("X", a, of(2, 0));
        elsewhere.set_connections("X", b, of(0, 0));
        assert_eq!(sums(), [of(6, 5), of(0, 0)]);
        elsewhere.forget("Y");
        assert_eq!((sums(), elsewhere.servers()), ([of(2, 0), of(0, 0)], 1));
    }

    #[test]
    fn a_server_that_is_silent_is_forgotten() {
        let (elsewhere, now) = (Elsewhere::default(), Instant::now());
        elsewhere.hear_of("X", now);
        elsewhere.hear_of("Y", now);
        elsewhere.hear_of("Y", now + SILENCE_MAX / 2);
        elsewhere.forget_silent(now + SILENCE_MAX);
        assert_eq!(elsewhere.servers(), 1);
        assert!(elsewhere.hear_of("X", now + SILENCE_MAX) && !elsewhere.hear_of("Y", now + SILENCE_MAX));
    }

    #[test]
    fn there_is_a_bound_of_servers() {
        let (elsewhere, now) = (Elsewhere::default(), Instant::now());
        (0..SERVERS_MAX).for_each(|n| assert!(elsewhere.hear_of(&n.to_string(), now)));
        assert!(!elsewhere.hear_of("one more", now));
        assert_eq!(elsewhere.servers(), SERVERS_MAX);
    }
}
