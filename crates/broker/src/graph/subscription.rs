//! A subscription, and the table of one peer's.

use crate::format::Format;
use crate::peer::Peer;
use dialtone_subject::{Entry, Hashing, ShortBytes};
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a peer asked for by SUB, or a server by RS+. Filter, queue group and sid are stored one behind the other.
pub struct Subscription {
    peer: Arc<Peer>,
    text: ShortBytes<38>,
    filter_bytes: u32,
    queue_bytes: u32,
    delivered: AtomicU64,
    /// After how many messages it ends; 0: never. For one of a relay: how many members of the queue group it stands for. For one of MQTT,
    /// which never ends so: its options.
    max: AtomicU64,
}

/// How a client of MQTT has subscribed, as far as deliveries of quality of service 0 go by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MqttOptions {
    /// Messages that were published with quality of service 1 or 2 come by a stream, and not with 0 as well.
    pub has_stream: bool,
    /// What the client publishes itself does not come back.
    pub no_local: bool,
    /// Messages keep their retain flag.
    pub retain_as_published: bool,
    /// The client's number for it; 0: none. Below 2^28.
    pub id: u32,
    /// Bytes of a packet that the client takes; 0: any.
    pub packet_bytes_max: u32,
}

impl MqttOptions {
    fn packed(self) -> u64 {
        u64::from(self.has_stream)
            | u64::from(self.no_local) << 1
            | u64::from(self.retain_as_published) << 2
            | u64::from(self.id & 0x0FFF_FFFF) << 4
            | u64::from(self.packet_bytes_max) << 32
    }

    fn unpacked(packed: u64) -> Self {
        Self {
            has_stream: packed & 1 != 0,
            no_local: packed & 2 != 0,
            retain_as_published: packed & 4 != 0,
            id: (packed >> 4) as u32 & 0x0FFF_FFFF,
            packet_bytes_max: (packed >> 32) as u32,
        }
    }
}

/// Whether a message still belongs to a subscription with a maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It does.
    Deliver,
    /// It does, and it is the last.
    DeliverLast,
    /// The maximum was reached before.
    Over,
}

impl Subscription {
    /// A subscription of `peer`. Filter, queue and sid come from one control line, which bounds them.
    pub fn new(peer: Arc<Peer>, filter: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> Arc<Self> {
        let queue_text = queue.unwrap_or_default();
        let text = ShortBytes::concat(&[filter, queue_text, sid]);
        Arc::new(Self {
            peer,
            text,
            filter_bytes: filter.len() as u32,
            queue_bytes: queue_text.len() as u32,
            delivered: AtomicU64::new(0),
            max: AtomicU64::new(0),
        })
    }

    /// What it asks for.
    pub fn filter(&self) -> &[u8] {
        self.text.as_slice().get(..self.filter_bytes as usize).unwrap_or_default()
    }

    /// The queue group it is in.
    pub fn queue(&self) -> Option<&[u8]> {
        let from = self.filter_bytes as usize;
        self.text.as_slice().get(from..from + self.queue_bytes as usize).filter(|q| !q.is_empty())
    }

    /// Who asked.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// The peer's name for it.
    pub fn sid(&self) -> &[u8] {
        self.text.as_slice().get((self.filter_bytes + self.queue_bytes) as usize..).unwrap_or_default()
    }

    /// Messages delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// After how many messages it ends.
    pub fn max(&self) -> Option<u64> {
        let has_max = || !self.peer.kind().is_relay() && self.peer.format() == Format::Client;
        Some(self.max.load(Ordering::Relaxed)).filter(|&max| max > 0 && has_max())
    }

    /// Sets after how many messages it ends. True if it already got that many.
    pub fn set_max(&self, max: u64) -> bool {
        self.max.store(max, Ordering::Relaxed);
        self.delivered() >= max
    }

    /// One of a relay, which has no sid: it is found by filter and queue group.
    pub fn of_relay(peer: Arc<Peer>, filter: &[u8], queue: Option<&[u8]>, weight: u32) -> Arc<Self> {
        let subscription = Self::new(peer, filter, queue, &(filter.len() as u32).to_le_bytes());
        subscription.set_weight(weight);
        subscription
    }

    /// How many members of a queue group it stands for.
    pub fn weight(&self) -> u32 {
        if self.peer.kind().is_relay() { self.max.load(Ordering::Relaxed) as u32 } else { 1 }
    }

    /// Sets how many members of a queue group it stands for.
    pub(crate) fn set_weight(&self, weight: u32) {
        self.max.store(u64::from(weight), Ordering::Relaxed);
    }

    /// How a client of MQTT has subscribed.
    pub fn mqtt_options(&self) -> MqttOptions {
        MqttOptions::unpacked(self.max.load(Ordering::Relaxed))
    }

    /// Sets it, before it is in an account; and for what is delivered from then on, when the client subscribes again.
    pub fn set_mqtt_options(&self, options: MqttOptions) {
        self.max.store(options.packed(), Ordering::Relaxed);
    }

    /// Counts one message to a client of MQTT.
    pub(crate) fn count_mqtt(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// What it is found by in its table.
    fn key(&self) -> &[u8] {
        if self.peer.kind().is_relay() { self.text.as_slice() } else { self.sid() }
    }

    /// Counts one message.
    #[inline]
    pub(crate) fn count(&self) -> Counted {
        let max = self.max.load(Ordering::Relaxed);
        let count = self.delivered.fetch_add(1, Ordering::Relaxed) + 1;
        match max {
            0 => Counted::Deliver,
            _ if count > max => Counted::Over,
            _ if count == max => Counted::DeliverLast,
            _ => Counted::Deliver,
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("filter", &self.filter().escape_ascii().to_string()).finish()
    }
}

/// What the interest index holds.
#[derive(Clone, Debug)]
pub struct Subscriber(pub Arc<Subscription>);

impl Entry for Subscriber {
    fn filter(&self) -> &[u8] {
        self.0.filter()
    }

    fn queue(&self) -> Option<&[u8]> {
        self.0.queue()
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// One peer's subscriptions by sid.
#[derive(Debug, Default)]
pub struct Subscriptions {
    table: HashTable<Arc<Subscription>>,
    hasher: Hashing,
}

impl Subscriptions {
    /// How many.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The one with this sid.
    pub fn find(&self, sid: &[u8]) -> Option<&Arc<Subscription>> {
        self.table.find(self.hasher.hash_one(sid), |s| s.key() == sid)
    }

    /// The one of a relay with this filter and queue group.
    pub fn find_of_relay(&self, filter: &[u8], queue: Option<&[u8]>) -> Option<&Arc<Subscription>> {
        let filter_bytes = (filter.len() as u32).to_le_bytes();
        let key: ShortBytes<62> = ShortBytes::concat(&[filter, queue.unwrap_or_default(), &filter_bytes]);
        self.find(key.as_slice())
    }

    /// Adds one. False, and nothing changes, if its sid is taken.
    pub(crate) fn insert(&mut self, subscription: Arc<Subscription>) -> bool {
        if self.find(subscription.key()).is_some() {
            return false;
        }
        let hash = self.hasher.hash_one(subscription.key());
        self.table.insert_unique(hash, subscription, |s| self.hasher.hash_one(s.key()));
        true
    }

    /// Takes this one out. False if it is not there; another one may have its sid.
    pub(crate) fn remove(&mut self, subscription: &Arc<Subscription>) -> bool {
        let hash = self.hasher.hash_one(subscription.key());
        let Ok(entry) = self.table.find_entry(hash, |s| Arc::ptr_eq(s, subscription)) else { return false };
        entry.remove();
        if self.table.is_empty() {
            self.table = HashTable::new();
        }
        true
    }

    /// Takes all out.
    pub(crate) fn take_all(&mut self) -> Vec<Arc<Subscription>> {
        std::mem::take(&mut self.table).into_iter().collect()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.table.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_mqtt_are_what_they_were() {
        let all = MqttOptions {
            has_stream: true,
            no_local: false,
            retain_as_published: true,
            id: 0x0FFF_FFFF,
            packet_bytes_max: u32::MAX,
        };
        let other = MqttOptions { no_local: true, id: 1, ..MqttOptions::default() };
        for options in [all, other, MqttOptions::default()] {
            assert_eq!(MqttOptions::unpacked(options.packed()), options);
        }
    }
}
