//! SUBSCRIBE and UNSUBSCRIBE: a filter of MQTT as one or two subscriptions of the broker, and with quality of service 1 or 2 as many consumers.

use super::conversation::Conversation;
use super::effects::{Answer, Effects};
use super::mail;
use super::publish::is_own;
use crate::log::Event;
use data_encoding::BASE32_NOPAD;
use dialtone_broker::deliver::Turn;
use dialtone_broker::permission::{self, Subscribe};
use dialtone_broker::subscription::{MqttOptions, Subscription};
use dialtone_jetstream::config::ConsumerConfig;
use dialtone_mqtt::record::consumer_key;
use dialtone_mqtt::streams::{
    Hash, Stream, inactive_threshold, message_consumer, release_consumer, shared_consumer,
};
use dialtone_mqtt::talk::{Failure, For};
use dialtone_subject::is_valid_filter;
use dialtone_wire::mqtt::subject::map_filter;
use dialtone_wire::mqtt::{PacketId, Qos, Reason, SubscribeOptions, SubscriptionId};
use dialtone_wire::quoted;

/// What stands behind the name of the subscription for the level above `#`. The official name.
const PARENT_SUFFIX: &[u8] = b" fwc";
/// What stands between the queue group of a shared subscription and its filter, in its name.
const GROUP_END: &str = " ";

/// A subscription of the broker: what it asks for, and its name.
pub(super) struct Part {
    pub(super) filter: Vec<u8>,
    sid: Vec<u8>,
    pub(super) is_parent: bool,
    group: Option<Box<str>>,
}

impl Part {
    /// The key of its consumer.
    fn key(&self) -> String {
        let key = consumer_key(&String::from_utf8_lossy(&self.filter), self.is_parent);
        match &self.group {
            Some(group) => [group, GROUP_END, &key].concat(),
            None => key,
        }
    }
}

/// The one or two subscriptions that a filter is.
pub(super) fn parts(filter: &str, group: Option<&str>) -> Result<Vec<Part>, Reason> {
    let mut subject = Vec::new();
    let mapped = map_filter(&mut subject, filter).map_err(|_| Reason::TopicFilterInvalid)?;
    let before = group.map_or(Vec::new(), |group| [group, GROUP_END].concat().into_bytes());
    let part = |filter: &[u8], is_parent: bool| Part {
        filter: filter.to_vec(),
        sid: [&*before, filter, if is_parent { PARENT_SUFFIX } else { b"" }].concat(),
        is_parent,
        group: group.map(Box::from),
    };
    let parent = mapped.parent.map(|parent| part(parent, true));
    Ok(std::iter::once(part(mapped.filter, false)).chain(parent).collect())
}

/// What a client subscribes to.
pub(super) struct Wanted {
    pub(super) filter: String,
    pub(super) group: Option<String>,
    pub(super) options: SubscribeOptions,
    pub(super) id: Option<SubscriptionId>,
}

/// A filter of a SUBSCRIBE, until its answer is sent and its retained messages are asked for.
pub(super) struct Subscribing {
    pub(super) packet: PacketId,
    /// Which filter of the SUBSCRIBE.
    pub(super) at: usize,
    pub(super) wanted: Wanted,
    pub(super) retained: bool,
    /// Consumers that are being made.
    pub(super) unmade: usize,
    pub(super) failed: bool,
}

impl Effects {
    /// Subscribes to a filter, or subscribes anew.
    pub(super) fn subscribe(&mut self, mut subscribing: Subscribing, turn: &mut Turn) {
        let (packet, at) = (subscribing.packet, subscribing.at);
        let parts = match self.permitted(&subscribing.wanted) {
            Ok(parts) => parts,
            Err(reason) => return self.answers.push(Answer::Granted(packet, at, Err(reason))),
        };
        let (options, id) = (subscribing.wanted.options, subscribing.wanted.id);
        if options.qos > Qos::AtMostOnce {
            subscribing.unmade = self.make_consumers(&parts, (packet, at), (options, id), turn);
        } else {
            self.delete_consumers(&parts, turn);
        }
        let is_ready = subscribing.unmade == 0;
        self.subscribing.push(subscribing);
        if is_ready {
            self.subscribed(packet, at, turn);
        }
    }

    /// The subscriptions that a filter is, if its client may have them all.
    pub(super) fn permitted(&self, wanted: &Wanted) -> Result<Vec<Part>, Reason> {
        let parts = parts(&wanted.filter, wanted.group.as_deref())?;
        for part in &parts {
            self.check(part, wanted)?;
        }
        Ok(parts)
    }

    /// Makes the consumers of a subscription that are not there. How many are being made.
    fn make_consumers(
        &mut self,
        parts: &[Part],
        (packet, at): (PacketId, usize),
        (options, id): (SubscribeOptions, Option<SubscriptionId>),
        turn: &mut Turn,
    ) -> usize {
        let client = Hash::of(&self.client_id);
        let Some(conversation) = &mut self.conversation else { return 0 };
        let mut unmade = 0;
        for part in parts {
            let key = part.key();
            if let Some(known) = conversation.consumer_of(&key) {
                (known.options, known.id) = (options, id);
                continue;
            }
            let config = conversation.consumer_config(client, part);
            conversation.open_consumer(key.clone(), &part.filter, (options, id), &config, turn);
            let of = For::Filter { packet, at, is_parent: part.is_parent };
            conversation.say(turn, |talk, now, send| talk.create_consumer(now, &config, of, send));
            // That of a shared subscription is no session's, and nobody who leaves it deletes it.
            if part.group.is_none() {
                conversation.record.consumers.insert(key, Box::new(config));
            }
            unmade += 1;
        }
        if options.qos == Qos::ExactlyOnce && conversation.record.pubrel.is_none() {
            let mut config = release_consumer(&conversation.settings, client);
            config.inactive_threshold =
                inactive_threshold(&conversation.settings, conversation.record.expiry);
            conversation.tap(config.deliver_subject.as_bytes(), None, mail::For::Releases, turn);
            conversation.say(turn, |talk, now, send| talk.create_consumer(now, &config, For::Releases, send));
            conversation.record.pubrel = Some(Box::new(config));
        }
        unmade
    }

    /// A consumer is there, or is not.
    pub(super) fn consumer_made(&mut self, of: For, result: &Result<(), Failure>, turn: &mut Turn) {
        if let Err(failure) = result {
            self.conduct.log(Event::Warning, format_args!("unable to create a consumer: {failure}"));
        }
        let For::Filter { packet, at, .. } = of else { return };
        let is = |of: &&mut Subscribing| (of.packet, of.at) == (packet, at);
        let Some(subscribing) = self.subscribing.iter_mut().find(is) else { return };
        subscribing.failed |= result.is_err();
        subscribing.unmade = subscribing.unmade.saturating_sub(1);
        if subscribing.unmade == 0 {
            self.subscribed(packet, at, turn);
        }
    }

    /// All consumers of a subscription are there: its subscriptions of the broker are made, and the client is told.
    fn subscribed(&mut self, packet: PacketId, at: usize, turn: &mut Turn) {
        let is = |of: &Subscribing| (of.packet, of.at) == (packet, at);
        let Some(found) = self.subscribing.iter().position(is) else { return };
        let subscribing = self.subscribing.remove(found);
        let wanted = &subscribing.wanted;
        let Ok(parts) = parts(&wanted.filter, wanted.group.as_deref()) else { return };
        if subscribing.failed {
            self.delete_consumers(&parts, turn);
            self.answers.push(Answer::Granted(packet, at, Err(Reason::ImplementationSpecificError)));
            return;
        }
        self.subscribe_directly(&parts, wanted, turn);
        self.answers.push(Answer::Granted(packet, at, Ok(wanted.options.qos)));
        if subscribing.retained {
            // Until the answer is sent.
            self.subscribing.push(subscribing);
        }
    }

    /// Makes the subscriptions of the broker.
    pub(super) fn subscribe_directly(&self, parts: &[Part], wanted: &Wanted, turn: &mut Turn) {
        let Some(account) = self.conduct.place.account.clone() else { return };
        let options = MqttOptions {
            has_stream: wanted.options.qos > Qos::AtMostOnce,
            no_local: wanted.options.no_local,
            retain_as_published: wanted.options.retain_as_published,
            id: wanted.id.map_or(0, SubscriptionId::get),
            packet_bytes_max: self.packet_bytes_max,
        };
        if options.retain_as_published {
            self.conduct.node.connections.client_ids.set_keep_flags();
        }
        let peer = self.conduct.peer();
        for Part { filter, sid, .. } in parts {
            let found = peer.subscriptions().find(sid).cloned();
            if let Some(subscription) = found {
                subscription.set_mqtt_options(options);
                continue;
            }
            let queue = wanted.group.as_deref().map(str::as_bytes);
            let subscription = Subscription::new(peer.clone(), filter, queue, sid);
            subscription.set_mqtt_options(options);
            turn.subscribe(&account, &subscription);
        }
    }

    /// Goes on with a subscription of a session before. False: its client may not have it any more.
    pub(super) fn resume_subscription(&mut self, wanted: &Wanted, turn: &mut Turn) -> bool {
        let parts = match self.permitted(wanted) {
            Ok(parts) => parts,
            Err(_) => return false,
        };
        if let Some(conversation) = &mut self.conversation
            && wanted.options.qos > Qos::AtMostOnce
        {
            for part in &parts {
                let key = part.key();
                let config = match &part.group {
                    Some(group) => Some(conversation.shared_again(group, part, turn)),
                    None => conversation.record.consumers.get(&key).map(|config| (**config).clone()),
                };
                if let Some(config) = config {
                    conversation.open_consumer(key, &part.filter, (wanted.options, wanted.id), &config, turn);
                }
            }
        }
        self.subscribe_directly(&parts, wanted, turn);
        true
    }

    /// Asks for the retained messages of the filters of a SUBSCRIBE, now that it is answered.
    pub(super) fn find_retained(&mut self, packet: PacketId, turn: &mut Turn) {
        let is_its = |of: &mut Subscribing| of.packet == packet && of.unmade == 0;
        let found: Vec<Subscribing> = self.subscribing.extract_if(.., is_its).collect();
        if self.subscribing.is_empty() {
            self.subscribing = Vec::new();
        }
        for Subscribing { wanted, .. } in found {
            let Ok(parts) = parts(&wanted.filter, wanted.group.as_deref()) else { continue };
            let filters: Vec<&[u8]> = parts.iter().map(|part| &*part.filter).collect();
            let told = self.told(&filters);
            let Some(conversation) = &mut self.conversation else { return };
            let number = conversation.note_finding(wanted.options, wanted.id);
            if !told.is_empty() {
                conversation.retained.extend(told.into_iter().map(|told| (number, Some(Box::new(told)))));
                self.answers.push(Answer::Room);
            }
            conversation.say(turn, |talk, now, send| talk.retained(now, number, &filters, send));
        }
    }

    fn check(&self, part: &Part, wanted: &Wanted) -> Result<(), Reason> {
        let Part { filter, sid, .. } = part;
        let conduct = &self.conduct;
        let queue = wanted.group.as_deref().map(str::as_bytes);
        let permissions = conduct.place.permissions.as_deref();
        // What a group's consumer gives one member it gives no other, so each has to have the right to all of it.
        let has_to_have_all = queue.is_some() && wanted.options.qos > Qos::AtMostOnce;
        let asked = Subscribe { filter, queue, sid };
        if is_own(filter)
            || permission::subscribe(permissions, asked).is_err()
            || has_to_have_all && !permission::has_all(permissions, asked)
        {
            let filter = quoted(filter);
            conduct.log(Event::PermissionDenied, format_args!("Subscription Violation - Subject {filter}"));
            return Err(Reason::NotAuthorized);
        }
        let tokens_max = conduct.policy.options.limits.subject_tokens_max;
        let is_long = tokens_max > 0 && filter.split(|&b| b == b'.').count() > tokens_max;
        if !is_valid_filter(filter) || is_long {
            return Err(Reason::TopicFilterInvalid);
        }
        if conduct.peer().subscriptions().len() >= self.allowance.subscriptions_max {
            return Err(Reason::QuotaExceeded);
        }
        Ok(())
    }

    /// Subscribes no longer.
    pub(super) fn unsubscribe(&mut self, filter: &str, group: Option<&str>, turn: &mut Turn) {
        let Ok(parts) = parts(filter, group) else { return };
        for part in &parts {
            let found = self.conduct.peer().subscriptions().find(&part.sid).cloned();
            if let Some(subscription) = found {
                turn.unsubscribe(&subscription);
            }
        }
        self.delete_consumers(&parts, turn);
    }

    /// Deletes the consumers of a subscription that has none any more.
    fn delete_consumers(&mut self, parts: &[Part], turn: &mut Turn) {
        let Some(conversation) = &mut self.conversation else { return };
        for part in parts {
            conversation.delete_consumer(&part.key(), turn);
        }
    }
}

impl Conversation {
    /// What the consumer of a subscription is made as.
    fn consumer_config(&self, client: Hash, part: &Part) -> ConsumerConfig {
        let filter = String::from_utf8_lossy(&part.filter);
        if let Some(group) = &part.group {
            return shared_consumer(&self.settings, group, &filter);
        }
        let nuid = BASE32_NOPAD.encode(&crate::random::random::<[u8; 14]>());
        let inactive_threshold = inactive_threshold(&self.settings, self.record.expiry);
        ConsumerConfig { inactive_threshold, ..message_consumer(&self.settings, client, &filter, &nuid) }
    }

    /// Makes the consumer of a shared subscription of a session before, which has gone if no member came for long. Nobody waits for it.
    fn shared_again(&mut self, group: &str, part: &Part, turn: &mut Turn) -> ConsumerConfig {
        let config = shared_consumer(&self.settings, group, &String::from_utf8_lossy(&part.filter));
        if let Some(packet) = PacketId::new(1) {
            let of = For::Filter { packet, at: usize::MAX, is_parent: part.is_parent };
            self.say(turn, |talk, now, send| talk.create_consumer(now, &config, of, send));
        }
        config
    }

    fn delete_consumer(&mut self, key: &str, turn: &mut Turn) {
        self.close_consumer(key, turn);
        if let Some(config) = self.record.consumers.remove(key) {
            let name = config.durable_name;
            self.say(turn, |talk, _, send| talk.delete_consumer(Stream::Messages, &name, send));
        }
    }
}
