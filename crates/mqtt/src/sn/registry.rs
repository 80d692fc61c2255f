//! The clients: by their connection, by their address, and by when each is looked at next.

use super::action::{Address, Link};
use super::client::Client;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// The shortest time for which a timer is set.
const TIMER_MIN: Duration = Duration::from_millis(1);

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Registry {
    clients: HashMap<Link, Client>,
    by_address: HashMap<Address, Link>,
    /// Those that have no connection to the server, the oldest first.
    unconnected: BTreeSet<Link>,
    timers: BTreeSet<(Instant, Link)>,
    /// Those that sleep.
    asleep: BTreeSet<Link>,
}

impl Registry {
    pub(super) fn at(&self, address: &Address) -> Option<Link> {
        self.by_address.get(address).copied()
    }

    pub(super) fn get_mut(&mut self, link: Link) -> Option<&mut Client> {
        self.clients.get_mut(&link)
    }

    pub(super) fn is_connected(&self, link: Link) -> bool {
        self.clients.contains_key(&link) && !self.unconnected.contains(&link)
    }

    pub(super) fn connected(&self) -> usize {
        self.clients.len() - self.unconnected.len()
    }

    pub(super) fn asleep(&self) -> usize {
        self.asleep.len()
    }

    pub(super) fn unconnected(&self) -> usize {
        self.unconnected.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// Puts a client in; nobody is at its address.
    pub(super) fn insert(&mut self, client: Client) {
        self.by_address.insert(client.address.clone(), client.link);
        self.clients.insert(client.link, client);
    }

    pub(super) fn remove(&mut self, link: Link) -> Option<Client> {
        let client = self.clients.remove(&link)?;
        self.by_address.remove(&client.address);
        self.unconnected.remove(&link);
        self.asleep.remove(&link);
        if let Some(at) = client.timer {
            self.timers.remove(&(at, link));
        }
        Some(client)
    }

    /// A client was called: takes note of whether it is connected and whether it sleeps, and sets its timer, if it is earlier than the one that is set. The oldest of
    /// those that are not connected is forgotten if there are more than `unconnected_max`.
    pub(super) fn settle(
        &mut self,
        link: Link,
        now: Instant,
        retry_interval: Duration,
        unconnected_max: usize,
    ) {
        let Some(client) = self.clients.get_mut(&link) else { return };
        if client.is_connected() {
            self.unconnected.remove(&link);
        } else {
            self.unconnected.insert(link);
        }
        if client.is_asleep() {
            self.asleep.insert(link);
        } else {
            self.asleep.remove(&link);
        }
        let due = client.deadline(retry_interval).map(|at| at.max(now + TIMER_MIN));
        if let Some(at) = due
            && client.timer.is_none_or(|set| at < set)
        {
            if let Some(set) = client.timer.replace(at) {
                self.timers.remove(&(set, link));
            }
            self.timers.insert((at, link));
        }
        if self.unconnected.len() > unconnected_max
            && let Some(oldest) = self.unconnected.first().copied()
        {
            self.remove(oldest);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next client whose timer has run out; it is set again by [`Registry::settle`].
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Link> {
        let (at, link) = *self.timers.first().filter(|(at, _)| *at <= now)?;
        self.timers.remove(&(at, link));
        if let Some(client) = self.clients.get_mut(&link) {
            client.timer = None;
        }
        Some(link)
    }
}
