//! A client that was let in: its packets in, bytes and commands out.

mod deliver;
mod publish;
mod subscribe;

use crate::agree::{Agreed, Keep};
use crate::alias::Aliases;
use crate::command::{Command, Ended};
use crate::options::Options;
use crate::outgoing::Step;
use crate::session::{Expiry, Session};
use crate::will::OwnWill;
use dialtone_wire::mqtt::encode::{self, EncodeError};
use dialtone_wire::mqtt::{
    Ack, AckKind, ConnAck, Disconnect, Packet, PacketId, PacketKind, Properties, PropertiesBuf, Property,
    Qos, Reason, Version,
};
use std::time::{Duration, Instant};

pub use deliver::{Delivered, Message};
use subscribe::Waiting;

/// Where a connection puts what comes of it.
pub(crate) type Commands<'c> = dyn FnMut(Command<'_>) + 'c;

/// What is left of a connection.
#[derive(Debug)]
pub struct Rest {
    /// The session, if it goes on.
    pub session: Option<Session>,
    /// The will that is to be published, and after how long. If the session is resumed before, it is not. [MQTT-3.1.3-9]
    pub will: Option<(OwnWill, Duration)>,
}

/// One client and its session.
#[derive(Debug)]
pub struct Connection {
    agreed: Agreed,
    options: Options,
    session: Session,
    heard: Instant,
    aliases_in: Aliases,
    aliases_out: Aliases,
    /// Messages of quality of service 1 that are being stored.
    storing: u16,
    waiting: Vec<Waiting>,
    will: Option<OwnWill>,
    scratch: PropertiesBuf,
}

impl Connection {
    /// After CONNECT. `session` is the one of before, if there is one and it goes on.
    pub fn new(
        now: Instant,
        agreed: Agreed,
        options: Options,
        session: Option<Session>,
        will: Option<OwnWill>,
    ) -> Self {
        let mut session = session.filter(|_| agreed.keep == Keep::Resume).unwrap_or_default();
        session.expiry = agreed.expiry;
        session.outgoing.connect();
        Self {
            agreed,
            options,
            session,
            heard: now,
            aliases_in: Aliases::new(if agreed.version == Version::V5 { options.topic_alias_max } else { 0 }),
            aliases_out: Aliases::new(agreed.topic_alias_max),
            storing: 0,
            waiting: Vec::new(),
            will,
            scratch: PropertiesBuf::default(),
        }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Appends CONNACK, and then what goes on of a session of before: PUBREL at once, messages when they have been read.
    /// [MQTT-3.2.0-1], [MQTT-4.4.0-1]
    ///
    /// # Errors
    /// The client takes no packets of this size.
    pub fn welcome(
        &mut self,
        session_present: bool,
        properties: Properties<'_>,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> Result<(), Ended> {
        let connack = ConnAck { session_present, reason: Reason::Success, properties };
        self.send(out, &Packet::ConnAck(connack)).map_err(|_| Ended::Refused(Reason::PacketTooLarge))?;
        self.resume(out, commands);
        Ok(())
    }

    /// A packet of the client.
    ///
    /// # Errors
    /// The connection ends; [`Connection::farewell`] has what is still said.
    pub fn receive(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> Result<(), Ended> {
        self.heard = now;
        match packet {
            Packet::Publish(publish) => self.published(publish, out, commands),
            Packet::Ack(ack) => match ack.kind {
                AckKind::PubRel => self.released(ack, out, commands),
                AckKind::PubAck => self.acknowledged(ack, Step::Published(Qos::AtLeastOnce), out, commands),
                AckKind::PubRec => self.received(ack, out, commands),
                AckKind::PubComp => self.acknowledged(ack, Step::Released, out, commands),
            },
            Packet::Subscribe(subscribe) => self.subscribe(subscribe, commands),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe, commands),
            Packet::PingReq => {
                self.send(out, &Packet::PingResp).map_err(|_| Ended::Refused(Reason::PacketTooLarge))
            }
            Packet::Disconnect(disconnect) => Err(self.disconnected(disconnect)),
            // AUTH belongs to methods, which are seen to before; the others are not a client's.
            _ => Err(Ended::Refused(Reason::ProtocolError)),
        }
    }

    /// The client has sent something that was answered elsewhere: AUTH.
    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What was agreed with the client.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// DISCONNECT. It may change how long the session lives, but not give life to one that had none. MQTT 5.0 §3.14.2.2.2.
    fn disconnected(&mut self, disconnect: &Disconnect<'_>) -> Ended {
        let expiry = disconnect.properties.find(|property| match property {
            Property::SessionExpiry(seconds) => Some(seconds),
            _ => None,
        });
        if let Some(seconds) = expiry {
            if self.session.expiry == Expiry::AtEnd && seconds > 0 {
                return Ended::Refused(Reason::ProtocolError);
            }
            self.session.expiry = Expiry::of(seconds, self.options.session_expiry_max);
        }
        match disconnect.reason {
            Reason::Success => Ended::Orderly,
            _ => Ended::WithWill,
        }
    }

    /// When [`Connection::expire`] is due, if nothing comes before.
    pub fn deadline(&self) -> Option<Instant> {
        self.agreed.silence_max().map(|silence| self.heard + silence)
    }

    /// Whether the client has been silent for too long. [MQTT-3.1.2-22]
    ///
    /// # Errors
    /// It has: the connection ends.
    pub fn expire(&self, now: Instant) -> Result<(), Ended> {
        match self.deadline() {
            Some(deadline) if now >= deadline => Err(Ended::Refused(Reason::KeepAliveTimeout)),
            _ => Ok(()),
        }
    }

    /// Appends the DISCONNECT that tells an MQTT 5 client why its connection ends, and what more there is to say as far as the client takes
    /// packets of that size. [MQTT-4.13.1-1], [MQTT-3.14.2-3]
    pub fn farewell(&self, reason: Reason, more: Properties<'_>, out: &mut Vec<u8>) {
        if self.agreed.version == Version::V5 && reason.is_for(PacketKind::Disconnect) {
            let said = |properties| Packet::Disconnect(Disconnect { reason, properties });
            let told = self.send(out, &said(more)).or_else(|_| self.send(out, &said(Properties::NONE)));
            // One that takes no packet of three bytes learns nothing.
            let _ = told;
        }
    }

    /// The connection has ended: what goes on. A connection that broke, or was taken over, ended by [`Ended::Refused`], too.
    pub fn end(mut self, ended: Ended) -> Rest {
        self.session.incoming.disconnect();
        let expiry = self.session.expiry;
        let will = self.will.take().filter(|_| ended != Ended::Orderly);
        // The will waits no longer than the session lives. [MQTT-3.1.3-9]
        let delay = will.as_ref().map_or(0, |will| match expiry {
            Expiry::AtEnd => 0,
            Expiry::After(seconds) => will.delay_seconds.min(seconds),
            Expiry::Never => will.delay_seconds,
        });
        let will = will.map(|will| (will, Duration::from_secs(u64::from(delay))));
        Rest { session: (expiry != Expiry::AtEnd).then_some(self.session), will }
    }

    fn is_v5(&self) -> bool {
        self.agreed.version == Version::V5
    }

    fn send(&self, out: &mut Vec<u8>, packet: &Packet<'_>) -> Result<(), EncodeError> {
        encode::packet(out, packet, self.agreed.version, self.agreed.packet_bytes_max)
    }

    /// Appends an acknowledgement. A client that takes no packets of five bytes gets none.
    fn ack(&self, out: &mut Vec<u8>, kind: AckKind, id: PacketId, reason: Reason) {
        let _ = self.send(out, &Packet::Ack(Ack { kind, id, reason, properties: Properties::NONE }));
    }

    /// The same, and why, as far as the client wants to know that and takes packets of that size. [MQTT-3.1.2-29], [MQTT-3.4.2-2], [MQTT-3.5.2-2]
    fn ack_because(&self, out: &mut Vec<u8>, kind: AckKind, id: PacketId, reason: Reason, why: Option<&str>) {
        let mut told = PropertiesBuf::default();
        let why = why.filter(|_| self.agreed.problem_info && reason.is_error() && self.is_v5());
        let properties = match why.map(|why| told.push(Property::ReasonString(why))) {
            Some(Ok(())) => told.properties(),
            _ => Properties::NONE,
        };
        if self.send(out, &Packet::Ack(Ack { kind, id, reason, properties })).is_err() {
            self.ack(out, kind, id, reason);
        }
    }
}
