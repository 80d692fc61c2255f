//! A connection's conversation with the streams of its account, and what it knows from there: its record, its consumers, what it has to acknowledge.

use super::mail::{self, Mail, Mailed};
use crate::node::Node;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::inlet::Publish;
use dialtone_broker::kind::Entry;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place as Seat};
use dialtone_broker::subscription::Subscription;
use dialtone_config::options::{Mqtt, MqttStreams};
use dialtone_jetstream::config::ConsumerConfig;
use dialtone_mqtt::record::{Record, Sent};
use dialtone_mqtt::streams::{Hash, Settings, StreamOptions, inactive_threshold};
use dialtone_mqtt::talk::{For, Retained, Send, Talk};
use dialtone_mqtt::{Expiry, Place, Session};
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::{PacketId, SubscribeOptions, SubscriptionId};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Messages of consumers that wait for room in the client's window, at most; more come again by themselves.
const BACKLOG_MAX: usize = 1024;
/// Bits of a sequence in a place; the number of the consumer stands above.
const SEQUENCE_BITS: u32 = 40;

/// A consumer of the session, in this connection.
pub(super) struct Consumer {
    /// Its key, in the record, too, if it is the session's own.
    pub(super) key: String,
    /// The filter of NATS.
    pub(super) filter: Box<[u8]>,
    /// How the client has subscribed.
    pub(super) options: SubscribeOptions,
    /// The client's number for the subscription.
    pub(super) id: Option<SubscriptionId>,
    /// Others get what this connection does not.
    pub(super) is_shared: bool,
    /// Where it delivers to.
    tap: Arc<Subscription>,
}

/// The acknowledgement of what stands for a PUBREL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// It has come: this is where it is acknowledged.
    Known(Box<[u8]>),
    /// The client was quicker: it is acknowledged when it comes.
    Over,
}

/// Messages that the connection before sent, and its client has not answered.
#[derive(Default)]
pub(super) struct Again {
    /// Those that are to come again, by their places.
    pub(super) awaited: HashMap<Place, PacketId>,
    /// Until when. What does not come is there no more.
    pub(super) until: Option<Instant>,
}

/// What is to be acknowledged to streams.
#[derive(Default)]
pub(super) struct Owed {
    /// Messages, by their places.
    pub(super) messages: HashMap<Place, Box<[u8]>>,
    /// PUBREL of these places' messages.
    pub(super) released: HashMap<Place, PacketId>,
    pub(super) releases: HashMap<PacketId, Release>,
    /// Messages of the connection before that are to come again. Seldom there.
    pub(super) again: Option<Box<Again>>,
}

impl Owed {
    /// The message at this place is to come again no more, if it was: the identifier that it has.
    pub(super) fn has_come(&mut self, place: Place) -> Option<PacketId> {
        let again = self.again.as_mut()?;
        let id = again.awaited.remove(&place);
        if again.awaited.is_empty() {
            self.again = None;
        }
        id
    }
}

/// Records that are being stored, one after the other.
#[derive(Default)]
pub(super) struct Saves {
    /// SUBSCRIBE and UNSUBSCRIBE that the record under way is for.
    pub(super) under_way: Option<Vec<PacketId>>,
    /// Those that the next one is for.
    pub(super) next: Vec<PacketId>,
}

/// The conversation of a connection.
pub(super) struct Conversation {
    pub(super) settings: Arc<Settings>,
    talk: Talk,
    mail: Arc<Mail>,
    pub(super) account: Arc<Account>,
    /// The inlet's end.
    inlet: Arc<Peer>,
    pub(super) record: Record,
    /// The sequence of the record that is stored; 0: none is.
    pub(super) sequence: u64,
    pub(super) saves: Saves,
    pub(super) consumers: HashMap<u32, Consumer>,
    next_number: u32,
    pub(super) owed: Owed,
    /// Messages that found no room in the window.
    pub(super) backlog: VecDeque<Mailed>,
    /// Subscriptions whose retained messages are being looked for, by their numbers.
    pub(super) finding: HashMap<u32, (SubscribeOptions, Option<SubscriptionId>)>,
    /// Retained messages of these, and the ends of them, that wait for room in the window: no more than are read at a time.
    pub(super) retained: VecDeque<(u32, Option<Box<Retained>>)>,
}

/// What streams are asked for, by the configuration.
pub(super) fn settings(own: &Mqtt, server_name: &str) -> Settings {
    let MqttStreams {
        ack_wait,
        ack_pending_max,
        api_timeout,
        ref domain,
        replicas,
        consumer_memory_storage,
        consumer_inactive_threshold,
    } = own.streams;
    Settings {
        server: Hash::of(server_name),
        domain: domain.as_deref().map(Into::into),
        streams: StreamOptions {
            ack_wait,
            ack_pending_max,
            api_timeout,
            replicas,
            consumer_memory_storage,
            consumer_inactive_threshold,
        },
    }
}

impl Conversation {
    /// Begins one; the client's record is still to be read.
    pub(super) fn new(
        node: &Node,
        own: &Mqtt,
        account: &Arc<Account>,
        peer: &Arc<Peer>,
        turn: &mut Turn,
    ) -> Self {
        let settings = settings(own, &node.settings.identity.name);
        let settings = node.connections.client_ids.share_settings(settings);
        let talk = Talk::new(settings.clone(), peer.id.0);
        let mail = Mail::new(account.clone(), peer);
        let basics = Basics {
            id: ClientId::OF_SERVER,
            kind: Entry::OF_SERVER.from,
            slot: node.connections.registry.take_slot(),
            pending_bytes_max: usize::MAX,
            start: turn.now(),
        };
        let inlet = Peer::inside(basics, node.delivery.totals.clone(), mail.clone());
        inlet.set_understands_headers(true);
        inlet.set_place(Seat::default());
        let conversation = Self {
            settings,
            talk,
            mail,
            account: account.clone(),
            inlet,
            record: Record::default(),
            sequence: 0,
            saves: Saves::default(),
            consumers: HashMap::new(),
            next_number: 0,
            owed: Owed::default(),
            backlog: VecDeque::new(),
            finding: HashMap::new(),
            retained: VecDeque::new(),
        };
        conversation.tap(&conversation.talk.answers(), None, mail::For::Answers, turn);
        conversation
    }

    /// Has the inlet take what is published to `filter`, as a member of a queue group if there is one.
    pub(super) fn tap(
        &self,
        filter: &[u8],
        queue: Option<&[u8]>,
        what: mail::For,
        turn: &mut Turn,
    ) -> Arc<Subscription> {
        let tap = Subscription::new(self.inlet.clone(), filter, queue, what.sid().as_bytes());
        turn.subscribe(&self.account, &tap);
        tap
    }

    /// Asks or tells the streams something.
    pub(super) fn say<T>(
        &mut self,
        turn: &mut Turn,
        say: impl FnOnce(&mut Talk, Instant, &mut Send<'_>) -> T,
    ) -> T {
        let Self { talk, account, .. } = self;
        let now = turn.now();
        say(talk, now, &mut |message: &Message<'_>| turn.emit(account, message))
    }

    /// When streams have had time enough for an answer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.talk.deadline()
    }

    /// What has come.
    pub(super) fn take_mail(&self) -> Vec<Mailed> {
        self.mail.take()
    }

    /// Begins to take what a consumer delivers. Its number.
    pub(super) fn open_consumer(
        &mut self,
        key: String,
        filter: &[u8],
        (options, id): (SubscribeOptions, Option<SubscriptionId>),
        config: &ConsumerConfig,
        turn: &mut Turn,
    ) -> u32 {
        let number = self.next_number();
        let queue = Some(config.deliver_group.as_bytes()).filter(|group| !group.is_empty());
        let tap = self.tap(config.deliver_subject.as_bytes(), queue, mail::For::Consumer(number), turn);
        let is_shared = queue.is_some();
        self.consumers.insert(number, Consumer { key, filter: filter.into(), options, id, is_shared, tap });
        number
    }

    /// Retained messages of a subscription are looked for from now on. Its number.
    pub(super) fn note_finding(&mut self, options: SubscribeOptions, id: Option<SubscriptionId>) -> u32 {
        let number = self.next_number();
        self.finding.insert(number, (options, id));
        number
    }

    /// A number for something of this connection.
    pub(super) fn next_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// The place of a message that a consumer brings.
    pub(super) fn place(number: u32, sequence: u64) -> Place {
        Place(u64::from(number) << SEQUENCE_BITS | sequence & ((1 << SEQUENCE_BITS) - 1))
    }

    /// What is kept of messages that were sent and not answered.
    pub(super) fn sent(&self, session: &Session) -> Vec<Sent> {
        let sent = session.unanswered().filter_map(|(id, place, qos)| {
            let number = u32::try_from(place.0 >> SEQUENCE_BITS).ok()?;
            let consumer = self.consumers.get(&number)?.key.clone();
            let sequence = place.0 & ((1 << SEQUENCE_BITS) - 1);
            // Messages of shared subscriptions go to others.
            self.record.consumers.contains_key(&consumer).then_some(Sent { consumer, sequence, id, qos })
        });
        sent.collect()
    }

    /// Whether a subscription is not to get what its own client publishes.
    pub(super) fn wants_none_of_its_own(&self) -> bool {
        self.consumers.values().any(|consumer| consumer.options.no_local)
    }

    /// The consumer with this key in the record.
    pub(super) fn consumer_of(&mut self, key: &str) -> Option<&mut Consumer> {
        self.consumers.values_mut().find(|consumer| consumer.key == key)
    }

    /// Has the consumers of a session that expires go with it, and makes those again that have gone. `before` is how long it lived until now.
    pub(super) fn keep_consumers(&mut self, before: Expiry, turn: &mut Turn) {
        let expires = |expiry| matches!(expiry, Expiry::After(_));
        let (Some(packet), true) = (PacketId::new(1), expires(before) || expires(self.record.expiry)) else {
            return;
        };
        let threshold = inactive_threshold(&self.settings, self.record.expiry);
        let mut changed = Vec::new();
        for config in self.record.consumers.values_mut() {
            config.inactive_threshold = threshold;
            // No SUBSCRIBE waits for it.
            changed.push((For::Filter { packet, at: usize::MAX, is_parent: false }, config.clone()));
        }
        if let Some(config) = &mut self.record.pubrel {
            config.inactive_threshold = threshold;
            changed.push((For::Releases, config.clone()));
        }
        for (of, config) in changed {
            self.say(turn, |talk, now, send| talk.create_consumer(now, &config, of, send));
        }
    }

    /// Takes nothing more of a consumer.
    pub(super) fn close_consumer(&mut self, key: &str, turn: &mut Turn) {
        let number =
            self.consumers.iter().find(|(_, consumer)| consumer.key == key).map(|(number, _)| *number);
        if let Some(consumer) = number.and_then(|number| self.consumers.remove(&number)) {
            turn.unsubscribe(&consumer.tap);
        }
    }

    /// The client lost the right to a message that the others of its group may have: it is theirs, and the next ones are, too.
    pub(super) fn leave_group(&mut self, key: &str, ack: &[u8], turn: &mut Turn) {
        self.close_consumer(key, turn);
        self.say(turn, |talk, _, send| talk.give_back(ack, send));
    }

    /// Keeps a message until there is room for it.
    pub(super) fn put_back(&mut self, mailed: Mailed) {
        if self.backlog.len() < BACKLOG_MAX {
            self.backlog.push_back(mailed);
        }
    }

    /// Acknowledges what the session engine says is over.
    pub(super) fn acknowledge(&mut self, place: Place, turn: &mut Turn) {
        let message = self.owed.messages.remove(&place);
        let release = self.owed.released.remove(&place).and_then(|id| self.release_over(id));
        for subject in message.into_iter().chain(release) {
            self.say(turn, |talk, _, send| talk.acknowledge(&subject, send));
        }
    }

    fn release_over(&mut self, id: PacketId) -> Option<Box<[u8]>> {
        match self.owed.releases.insert(id, Release::Over) {
            Some(Release::Known(subject)) => {
                self.owed.releases.remove(&id);
                Some(subject)
            }
            _ => None,
        }
    }

    /// The client has the message at this place, and that is stored: the message need not come again, and its PUBREL stands for it.
    pub(super) fn received(&mut self, id: PacketId, turn: &mut Turn) {
        let place = self.owed.released.iter().find(|(_, of)| **of == id).map(|(place, _)| *place);
        if let Some(subject) = place.and_then(|place| self.owed.messages.remove(&place)) {
            self.say(turn, |talk, _, send| talk.acknowledge(&subject, send));
        }
    }

    /// Has what was delivered and not acknowledged come again as soon as the session goes on, in its order. Of what stands for a message whose
    /// PUBREC has come it is not known whether it is stored: that is left to the consumer.
    fn give_back(&mut self, turn: &mut Turn) {
        let mut owed: Vec<_> = std::mem::take(&mut self.owed.messages).into_iter().collect();
        owed.retain(|(place, _)| !self.owed.released.contains_key(place));
        owed.sort_unstable_by_key(|(place, _)| *place);
        let is_message = |mailed: &Mailed| matches!(mail::For::of(&mailed.sid), Some(mail::For::Consumer(_)));
        let waiting: Vec<_> = self.backlog.drain(..).chain(self.mail.take()).filter(is_message).collect();
        let waiting = waiting.into_iter().filter_map(|mailed| mailed.reply);
        for subject in owed.into_iter().map(|(_, subject)| subject).chain(waiting) {
            self.say(turn, |talk, _, send| talk.give_back(&subject, send));
        }
    }

    /// Ends it. The record stays as it is.
    pub(super) fn end(&mut self, node: &Node, turn: &mut Turn) {
        turn.unsubscribe_all(&self.inlet);
        self.give_back(turn);
        self.inlet.shut();
        node.connections.registry.free_slot(self.inlet.slot());
    }
}
