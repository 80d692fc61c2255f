//! What waits for a client: messages, and steps of exchanges, in the order in which the server sent them.

use super::options::Options;
use dialtone_wire::mqtt::{Delivery, PacketId, Publish, Qos};
use std::collections::VecDeque;

/// Something that waits.
#[derive(Debug)]
pub(super) enum Item {
    /// A message.
    Message(Queued),
    /// PUBREL of a message that the client has.
    Release(PacketId),
}

/// A message that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) topic: Box<str>,
    pub(super) payload: Box<[u8]>,
    pub(super) qos: Qos,
    /// `None` with quality of service 0.
    pub(super) id: Option<PacketId>,
    pub(super) dup: bool,
    pub(super) retain: bool,
}

impl Queued {
    fn of(publish: &Publish<'_>) -> Self {
        let sent = publish.delivery.sent();
        Self {
            topic: publish.topic.into(),
            payload: publish.payload.into(),
            qos: publish.delivery.qos(),
            id: sent.map(|(id, _)| id),
            dup: sent.is_some_and(|(_, dup)| dup),
            retain: publish.retain,
        }
    }

    fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// The queue of a client.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// Bytes of topics and payloads.
    bytes: usize,
    /// Messages of quality of service 0.
    unacknowledged: usize,
    /// Whether the first is under way: it stays.
    pub(super) is_under_way: bool,
}

impl Queue {
    pub(super) fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Item> {
        self.items.front_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn pop(&mut self) {
        if let Some(Item::Message(message)) = self.items.pop_front() {
            self.bytes -= message.bytes();
            self.unacknowledged -= usize::from(message.id.is_none());
        }
        self.is_under_way = false;
    }

    /// The message at the front has come to its next step.
    pub(super) fn replace_front(&mut self, item: Item) {
        self.pop();
        self.items.push_front(item);
    }

    /// Puts a message in. If more wait than may, the oldest ones of quality of service 0 are dropped; the others are bounded by the window.
    pub(super) fn push(&mut self, publish: &Publish<'_>, options: &Options) {
        let message = Queued::of(publish);
        self.bytes += message.bytes();
        self.unacknowledged += usize::from(publish.delivery == Delivery::AtMostOnce);
        self.items.push_back(Item::Message(message));
        while self.unacknowledged > options.queue_messages_max || self.bytes > options.queue_bytes_max {
            let from = usize::from(self.is_under_way);
            let is_droppable = |item: &Item| matches!(item, Item::Message(message) if message.id.is_none());
            let Some(at) = (from..self.items.len()).find(|at| self.items.get(*at).is_some_and(is_droppable))
            else {
                break;
            };
            if let Some(Item::Message(dropped)) = self.items.remove(at) {
                self.bytes -= dropped.bytes();
                self.unacknowledged -= 1;
            }
        }
    }

    /// Puts PUBREL in.
    pub(super) fn push_release(&mut self, id: PacketId) {
        self.items.push_back(Item::Release(id));
    }

    /// Whether PUBREL of this message waits, or is under way.
    pub(super) fn has_release(&self, id: PacketId) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Release(of) if *of == id))
    }
}
