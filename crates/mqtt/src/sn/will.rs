//! Wills: kept here, since MQTT knows no change of one, and published by a connection of their own when a client is lost.

use super::action::{Context, Link, Links, each_packet};
use super::client::connect_packet;
use dialtone_wire::mqtt::{
    Ack, AckKind, ConnAck, Delivery, Disconnect, Packet, PacketId, Properties, Publish, Reason,
};
use dialtone_wire::mqtt_sn::{Qos, WillTopic};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Wills that are published at a time; the others wait.
const CARRIERS_MAX: usize = 256;
/// How long publishing a will may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a client left for the case that it is lost. Without a topic there is no will.
#[derive(Clone, Debug, Default)]
pub(super) struct Will {
    topic: Option<OwnTopic>,
    message: Box<[u8]>,
}

#[derive(Clone, Debug)]
struct OwnTopic {
    topic: Box<str>,
    qos: Qos,
    retain: bool,
}

impl Will {
    /// Sets the topic, or takes the whole will away. MQTT-SN 1.2 §5.4.21
    pub(super) fn set_topic(&mut self, topic: Option<WillTopic<'_>>) {
        match topic {
            Some(WillTopic { qos, retain, topic }) => {
                self.topic = Some(OwnTopic { topic: topic.into(), qos, retain });
            }
            None => *self = Self::default(),
        }
    }

    pub(super) fn set_message(&mut self, message: &[u8]) {
        self.message = message.into();
    }

    pub(super) fn is_some(&self) -> bool {
        self.topic.is_some()
    }

    fn publish(&self) -> Option<Publish<'_>> {
        let OwnTopic { topic, qos, retain } = self.topic.as_ref()?;
        let id = PacketId::new(1)?;
        let delivery = match qos {
            Qos::AtMostOnce | Qos::Unconnected => Delivery::AtMostOnce,
            Qos::AtLeastOnce => Delivery::AtLeastOnce { id, dup: false },
            Qos::ExactlyOnce => Delivery::ExactlyOnce { id, dup: false },
        };
        let (topic, payload) = (&**topic, &*self.message);
        Some(Publish { delivery, retain: *retain, topic, properties: Properties::NONE, payload })
    }
}

/// Whose will it is: with the rights of that user it is published.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) address: SocketAddr,
    pub(super) user: Option<Arc<str>>,
}

/// A will that is being published.
#[derive(Debug)]
struct Carrier {
    will: Will,
    until: Instant,
    /// The beginning of a packet of the server.
    partial: Vec<u8>,
}

/// Wills that are being published, and those that wait for that.
#[derive(Debug, Default)]
pub(super) struct Wills {
    waiting: VecDeque<(Owner, Will)>,
    carriers: BTreeMap<Link, Carrier>,
}

impl Wills {
    /// Publishes a will. `link` is for the connection that it needs.
    pub(super) fn publish(&mut self, owner: Owner, will: Will, links: &mut Links, context: &mut Context<'_>) {
        if will.topic.is_some() && self.waiting.len() < context.options.clients_max {
            self.waiting.push_back((owner, will));
        }
        self.start(links, context);
    }

    fn start(&mut self, links: &mut Links, context: &mut Context<'_>) {
        while self.carriers.len() < CARRIERS_MAX {
            let Some((owner, will)) = self.waiting.pop_front() else { return };
            let link = links.next();
            context.open(link, Some(owner.address));
            let hello = connect_packet("", owner.user.as_deref(), true, context.options);
            context.server(link, &hello.packet());
            self.carriers.insert(link, Carrier { will, until: context.now + TIMEOUT, partial: Vec::new() });
        }
    }

    /// Bytes of the server. False: no will goes by this connection.
    pub(super) fn server(
        &mut self,
        link: Link,
        bytes: &[u8],
        links: &mut Links,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(carrier) = self.carriers.get_mut(&link) else { return false };
        let mut partial = std::mem::take(&mut carrier.partial);
        let goes_on = each_packet(&mut partial, bytes, |packet| carrier.will.go_on(link, packet, context));
        carrier.partial = partial;
        if !goes_on {
            let goodbye = Disconnect { reason: Reason::Success, properties: Properties::NONE };
            context.server(link, &Packet::Disconnect(goodbye));
            context.close(link);
            self.closed(link, links, context);
        }
        true
    }

    /// A connection is closed. False: no will went by it.
    pub(super) fn closed(&mut self, link: Link, links: &mut Links, context: &mut Context<'_>) -> bool {
        let was_one = self.carriers.remove(&link).is_some();
        self.start(links, context);
        was_one
    }

    /// When [`Wills::expire`] is due: they began in the order of their links.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.carriers.first_key_value().map(|(_, carrier)| carrier.until)
    }

    pub(super) fn expire(&mut self, links: &mut Links, context: &mut Context<'_>) {
        while let Some((&link, carrier)) = self.carriers.first_key_value()
            && carrier.until <= context.now
        {
            context.close(link);
            self.closed(link, links, context);
        }
    }
}

impl Will {
    /// A packet of the server. False: it is published, or will not be.
    fn go_on(&self, link: Link, packet: &Packet<'_>, context: &mut Context<'_>) -> bool {
        match (packet, self.publish()) {
            (Packet::ConnAck(ConnAck { reason: Reason::Success, .. }), Some(publish)) => {
                context.server(link, &Packet::Publish(publish)) && publish.delivery != Delivery::AtMostOnce
            }
            (Packet::Ack(Ack { kind: AckKind::PubRec, id, reason, .. }), _) if !reason.is_error() => {
                context.ack(link, AckKind::PubRel, *id);
                true
            }
            _ => false,
        }
    }
}
