//! CONNECT, the dialogue about the will, and being let in. MQTT-SN 1.2 §6.2, §6.3

use super::{CONNECT_TIMEOUT, Client, Heard, Phase, Verdict};
use crate::sn::action::Context;
use crate::sn::options::Options;
use dialtone_wire::mqtt::{
    Connect as MqttConnect, Disconnect, Packet, Properties, PropertiesBuf, Property, Reason, Version,
};
use dialtone_wire::mqtt_sn::{Connect, DATAGRAM_BYTES_MAX, Message, ReturnCode};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How long after a CONNECT was answered it may still be under way, in a copy that the network made.
const COPY_AGE_MAX: Duration = Duration::from_secs(1);

/// What is said to the server to be let in.
pub(in crate::sn) struct Hello<'a> {
    client_id: &'a str,
    user: Option<&'a str>,
    clean_start: bool,
    properties: PropertiesBuf,
}

impl Hello<'_> {
    pub(in crate::sn) fn packet(&self) -> Packet<'_> {
        Packet::Connect(MqttConnect {
            version: Version::V5,
            clean_start: self.clean_start,
            // Silence is looked after here: a client that sleeps says nothing.
            keep_alive: 0,
            client_id: self.client_id,
            will: None,
            // The server takes the gateway's word for it.
            username: self.user,
            password: None,
            properties: self.properties.properties(),
        })
    }
}

/// CONNECT of MQTT. Without a clean session it lives until the client ends it.
pub(in crate::sn) fn connect_packet<'a>(
    client_id: &'a str,
    user: Option<&'a str>,
    clean_session: bool,
    options: &Options,
) -> Hello<'a> {
    let mut properties = PropertiesBuf::default();
    let mut push = |property| {
        // These few bytes are not too long for a packet.
        let _ = properties.push(property);
    };
    if !clean_session {
        push(Property::SessionExpiry(u32::MAX));
    }
    push(Property::ReceiveMaximum(options.window));
    // A message that fits a datagram.
    let bytes_max = options.datagram_bytes_max.min(DATAGRAM_BYTES_MAX) as u32;
    push(Property::MaximumPacketSize(NonZeroU32::new(bytes_max).unwrap_or(NonZeroU32::MIN)));
    Hello { client_id, user, clean_start: clean_session, properties }
}

impl Client {
    pub(super) fn ask_server(&mut self, context: &mut Context<'_>) {
        self.phase = Phase::Connecting(context.now + CONNECT_TIMEOUT);
        context.open(self.link, Some(self.address.socket));
        let hello = connect_packet(
            &self.who.client_id,
            self.who.user.as_deref(),
            self.clean_session,
            context.options,
        );
        context.server(self.link, &hello.packet());
    }

    /// Leaves the server in order: nothing is to be published for it there.
    pub(in crate::sn) fn leave_server(&mut self, context: &mut Context<'_>) {
        let goodbye = Disconnect { reason: Reason::Success, properties: Properties::NONE };
        context.server(self.link, &Packet::Disconnect(goodbye));
        context.close(self.link);
    }

    /// CONNECT from an address that is known: sent again because the answer was lost, by a client that wakes, or by one that begins anew.
    pub(super) fn connect_again(&mut self, connect: &Connect<'_>, context: &mut Context<'_>) -> Verdict {
        let is_same = *self.who.client_id == *connect.client_id
            && self.clean_session == connect.clean_session
            && self.keep_alive == connect.keep_alive;
        match self.phase {
            Phase::AwaitsWillTopic(_) if is_same && connect.will => {
                context.send(&self.address, Message::WillTopicReq);
            }
            Phase::AwaitsWillMessage(_) if is_same && connect.will => {
                context.send(&self.address, Message::WillMsgReq);
            }
            Phase::Connecting(_) if is_same => {}
            Phase::Active
                if is_same && connect.will == self.will.is_some() && self.has_just_come(context.now) =>
            {
                self.heard.connect = context.now;
                context.send(&self.address, Message::ConnAck(ReturnCode::Accepted));
            }
            // All that is kept of it goes on, so its connection may as well.
            Phase::Active | Phase::Asleep { .. } | Phase::Awake { .. }
                if *self.who.client_id == *connect.client_id && !connect.clean_session && !connect.will =>
            {
                // A copy of this CONNECT is to be known as one.
                (self.keep_alive, self.clean_session) = (connect.keep_alive, connect.clean_session);
                if self.phase == Phase::Active {
                    // It may have begun anew itself.
                    self.topics.forget_what_is_known();
                }
                self.phase = Phase::Active;
                self.heard = Heard { last: context.now, connect: context.now, is_fresh: true };
                context.send(&self.address, Message::ConnAck(ReturnCode::Accepted));
                self.pump(context);
            }
            _ => return Verdict::Anew,
        }
        Verdict::Stays
    }

    /// Whether a CONNECT like its own is that one still.
    fn has_just_come(&self, now: Instant) -> bool {
        self.heard.is_fresh || now.saturating_duration_since(self.heard.connect) < COPY_AGE_MAX
    }

    /// WILLTOPIC and WILLMSG; what else comes waits for no answer now.
    pub(super) fn said_will(&mut self, message: &Message<'_>, context: &mut Context<'_>) -> Verdict {
        match (self.phase, message) {
            (Phase::AwaitsWillTopic(_), Message::WillTopic(None)) => {
                self.will.set_topic(None);
                self.ask_server(context);
            }
            (Phase::AwaitsWillTopic(until), Message::WillTopic(topic)) => {
                self.will.set_topic(*topic);
                self.phase = Phase::AwaitsWillMessage(until);
                context.send(&self.address, Message::WillMsgReq);
            }
            // WILLMSGREQ was lost.
            (Phase::AwaitsWillMessage(_), Message::WillTopic(Some(_))) => {
                context.send(&self.address, Message::WillMsgReq);
            }
            (Phase::AwaitsWillMessage(_), Message::WillMsg(payload)) => {
                self.will.set_message(payload);
                self.ask_server(context);
            }
            (_, Message::Disconnect(_)) => {
                self.say_disconnected(context);
                return Verdict::Gone;
            }
            _ => {}
        }
        Verdict::Stays
    }

    /// CONNACK of the server.
    pub(super) fn let_in(&mut self, reason: Reason, context: &mut Context<'_>) -> Verdict {
        if !matches!(self.phase, Phase::Connecting(_)) {
            return Verdict::Stays;
        }
        let code = match reason {
            Reason::Success => ReturnCode::Accepted,
            Reason::ServerUnavailable
            | Reason::ServerBusy
            | Reason::QuotaExceeded
            | Reason::ConnectionRateExceeded => ReturnCode::Congestion,
            _ => ReturnCode::NotSupported,
        };
        context.send(&self.address, Message::ConnAck(code));
        if code != ReturnCode::Accepted {
            context.close(self.link);
            return Verdict::Gone;
        }
        self.phase = Phase::Active;
        self.heard = Heard { last: context.now, connect: context.now, is_fresh: true };
        Verdict::Stays
    }
}
