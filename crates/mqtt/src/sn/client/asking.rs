//! SUBSCRIBE and UNSUBSCRIBE. MQTT-SN 1.2 §6.9

use super::Client;
use crate::sn::action::Context;
use dialtone_wire::mqtt::topic::{SHARE_PREFIX, is_filter, is_name};
use dialtone_wire::mqtt::{
    Filters, Packet, PacketId, Properties, Qos as MqttQos, SubAck, Subscribe as MqttSubscribe,
    SubscribeOptions, Subscription, Topics, UnsubAck, Unsubscribe as MqttUnsubscribe,
};
use dialtone_wire::mqtt_sn::{Filter, Message, Qos, ReturnCode, Subscribe, Unsubscribe};

/// Questions that the server has not answered. The specification allows one at a time.
const ASKING_MAX: usize = 16;

/// A question that the server has not answered.
#[derive(Debug)]
pub(super) struct Asking {
    id: PacketId,
    about: About,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// SUBSCRIBE to a topic of this number.
    Registered(u16),
    /// SUBSCRIBE to a topic of this predefined number.
    Predefined(u16),
    /// SUBSCRIBE to what has no number: filters with wildcards, and short topics.
    Unnumbered,
    /// UNSUBSCRIBE.
    Unsubscribe,
}

impl Client {
    /// SUBSCRIBE.
    pub(super) fn subscribe(&mut self, subscribe: &Subscribe<'_>, context: &mut Context<'_>) {
        let Some(id) = PacketId::new(subscribe.id) else {
            return self.refuse_subscribe(subscribe, ReturnCode::NotSupported, context);
        };
        if self.asking.iter().any(|asking| asking.id == id) {
            return;
        }
        let options = context.options;
        let (filter, about) = match subscribe.filter {
            Filter::Name(name) if is_name(name) && !name.starts_with(SHARE_PREFIX) => {
                let Some(topic_id) = self.topics.assign(name, options.topics_max) else {
                    return self.refuse_subscribe(subscribe, ReturnCode::Congestion, context);
                };
                (name, About::Registered(topic_id))
            }
            Filter::Name(filter) => (filter, About::Unnumbered),
            Filter::Predefined(topic_id) => match options.predefined.topic(topic_id) {
                Some(topic) => (topic, About::Predefined(topic_id)),
                None => return self.refuse_subscribe(subscribe, ReturnCode::InvalidTopicId, context),
            },
            Filter::Short(ref name) => (std::str::from_utf8(name).unwrap_or_default(), About::Unnumbered),
        };
        if !is_filter(filter) {
            return self.refuse_subscribe(subscribe, ReturnCode::NotSupported, context);
        }
        if self.asking.len() >= ASKING_MAX {
            return self.refuse_subscribe(subscribe, ReturnCode::Congestion, context);
        }
        let qos = match subscribe.qos {
            Qos::AtMostOnce | Qos::Unconnected => MqttQos::AtMostOnce,
            Qos::AtLeastOnce => MqttQos::AtLeastOnce,
            Qos::ExactlyOnce => MqttQos::ExactlyOnce,
        };
        let mut bytes = Vec::new();
        let wanted = SubscribeOptions { qos, ..SubscribeOptions::default() };
        // What came in a datagram is not too long for a packet.
        let _ = Filters::push(&mut bytes, Subscription { filter, options: wanted });
        self.asking.push(Asking { id, about });
        let (properties, filters) = (Properties::NONE, Filters::of(&bytes));
        context.server(self.link, &Packet::Subscribe(MqttSubscribe { id, properties, filters }));
    }

    fn refuse_subscribe(&self, subscribe: &Subscribe<'_>, code: ReturnCode, context: &mut Context<'_>) {
        let suback = Message::SubAck { qos: Qos::AtMostOnce, topic_id: 0, id: subscribe.id, code };
        context.send(&self.address, suback);
    }

    fn answered(&mut self, id: PacketId, is: impl Fn(About) -> bool) -> Option<About> {
        let at = self.asking.iter().position(|asking| asking.id == id && is(asking.about))?;
        Some(self.asking.swap_remove(at).about)
    }

    /// SUBACK of the server.
    pub(super) fn subscribed(&mut self, suback: &SubAck<'_>, context: &mut Context<'_>) {
        let Some(about) = self.answered(suback.id, |about| about != About::Unsubscribe) else { return };
        let granted = suback.reasons.iter().next().filter(|reason| !reason.is_error());
        let qos = match granted.map_or(0, |reason| reason.code()) {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        };
        let code = if granted.is_some() { ReturnCode::Accepted } else { ReturnCode::NotSupported };
        let topic_id = match about {
            _ if granted.is_none() => 0,
            About::Registered(topic_id) => {
                self.topics.set_known(topic_id, true);
                topic_id
            }
            About::Predefined(topic_id) => {
                if let Some(topic) = context.options.predefined.topic(topic_id) {
                    self.topics.set_predefined(topic, topic_id);
                }
                topic_id
            }
            About::Unnumbered | About::Unsubscribe => 0,
        };
        context.send(&self.address, Message::SubAck { qos, topic_id, id: suback.id.get(), code });
    }

    /// UNSUBSCRIBE. UNSUBACK cannot say that it is refused, so one of a topic that is not there succeeds.
    pub(super) fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>, context: &mut Context<'_>) {
        let filter = match &unsubscribe.filter {
            Filter::Name(filter) => Some(*filter),
            Filter::Predefined(topic_id) => context.options.predefined.topic(*topic_id),
            Filter::Short(name) => std::str::from_utf8(name).ok(),
        };
        let known = PacketId::new(unsubscribe.id).zip(filter.filter(|filter| is_filter(filter)));
        let Some((id, filter)) = known else {
            context.send(&self.address, Message::UnsubAck(unsubscribe.id));
            return;
        };
        let is_asked = self.asking.iter().any(|asking| asking.id == id);
        if is_asked || self.asking.len() >= ASKING_MAX {
            // The client asks again.
            return;
        }
        let mut bytes = Vec::new();
        // What came in a datagram is not too long for a packet.
        let _ = Topics::push(&mut bytes, filter);
        self.asking.push(Asking { id, about: About::Unsubscribe });
        let (properties, filters) = (Properties::NONE, Topics::of(&bytes));
        context.server(self.link, &Packet::Unsubscribe(MqttUnsubscribe { id, properties, filters }));
    }

    /// UNSUBACK of the server.
    pub(super) fn unsubscribed(&mut self, unsuback: &UnsubAck<'_>, context: &mut Context<'_>) {
        if self.answered(unsuback.id, |about| about == About::Unsubscribe).is_some() {
            context.send(&self.address, Message::UnsubAck(unsuback.id.get()));
        }
    }
}
