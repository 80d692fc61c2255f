//! A client from its CONNECT on: its messages, its packets from the server, its deadlines.

mod asking;
mod connecting;
mod delivering;
mod proof;
mod publishing;
mod resting;

use super::action::{Address, Context, Link};
use super::topics::Topics;
use super::will::{Owner, Will};
use asking::Asking;
use delivering::Outbound;
use dialtone_wire::mqtt::{AckKind, Packet};
use dialtone_wire::mqtt_sn::{Connect, Message, ReturnCode};
use publishing::Publishing;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use connecting::connect_packet;

/// Bytes of a client's name for itself. The specification has 23, of which official clients make nothing.
const CLIENT_ID_BYTES_MAX: usize = 255;
/// How long a client may take to say its will, and the server to let it in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a client is in its life. MQTT-SN 1.2 §6.14
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// WILLTOPICREQ was sent.
    AwaitsWillTopic(Instant),
    /// WILLMSGREQ was sent.
    AwaitsWillMessage(Instant),
    /// The server was asked to let it in.
    Connecting(Instant),
    Active,
    /// It sleeps for so many seconds; it is lost if nothing comes for longer.
    Asleep {
        for_seconds: u16,
    },
    /// It sleeps, but for what waits: so many more items at most.
    Awake {
        for_seconds: u16,
        left: usize,
    },
    /// It has said DISCONNECT: one that comes again is answered.
    Left(Instant),
}

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays, in whatever phase.
    Stays,
    /// It begins anew, with the CONNECT that was handed in.
    Anew,
    /// It is lost: what is its will is published.
    Lost,
    /// Nothing is kept of it.
    Gone,
}

/// When something came from a client.
#[derive(Clone, Copy, Debug)]
struct Heard {
    last: Instant,
    /// When a CONNECT was answered.
    connect: Instant,
    /// Whether it has said nothing since it was let in.
    is_fresh: bool,
}

/// Who a client is.
#[derive(Debug)]
pub(super) struct Who {
    /// The user that it has shown to be.
    pub(super) shown: Option<Arc<str>>,
    /// The user that it is; `None`: the one that all are of whom nothing else is said.
    user: Option<Arc<str>>,
    client_id: Box<str>,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    /// Its connection to the server, once there is one.
    pub(super) link: Link,
    pub(super) address: Address,
    pub(super) who: Who,
    keep_alive: u16,
    clean_session: bool,
    phase: Phase,
    pub(super) will: Will,
    topics: Topics,
    outbound: Outbound,
    publishing: Publishing,
    /// SUBSCRIBE and UNSUBSCRIBE that the server has not answered.
    asking: Vec<Asking>,
    heard: Heard,
    /// The beginning of a packet of the server.
    pub(super) partial: Vec<u8>,
    /// When it is looked at next; set by the registry.
    pub(super) timer: Option<Instant>,
}

impl Client {
    /// A CONNECT has come from an address where nobody is connected. What is sent is no longer than that.
    ///
    /// # Errors
    /// Nothing is kept of it, and it is told why.
    pub(super) fn connect(
        link: Link,
        (address, shown): (Address, Option<Arc<str>>),
        connect: &Connect<'_>,
        bytes: usize,
        will: Will,
        context: &mut Context<'_>,
    ) -> Result<Self, ReturnCode> {
        let is_named = !connect.client_id.is_empty() || connect.clean_session;
        if !is_named || connect.client_id.len() > CLIENT_ID_BYTES_MAX {
            return Err(ReturnCode::NotSupported);
        }
        let user = context.options.identities.user(shown.as_ref(), connect.client_id, address.socket);
        let mut client = Self {
            link,
            address,
            who: Who { shown, user, client_id: connect.client_id.into() },
            keep_alive: connect.keep_alive,
            clean_session: connect.clean_session,
            phase: Phase::AwaitsWillTopic(context.now + CONNECT_TIMEOUT),
            will,
            topics: Topics::default(),
            outbound: Outbound::new(bytes),
            publishing: Publishing::default(),
            asking: Vec::new(),
            heard: Heard { last: context.now, connect: context.now, is_fresh: false },
            partial: Vec::new(),
            timer: None,
        };
        if connect.will {
            context.send(&client.address, Message::WillTopicReq);
        } else {
            client.ask_server(context);
        }
        Ok(client)
    }

    /// Whose its will is.
    pub(super) fn owner(&self) -> Owner {
        Owner { address: self.address.socket, user: self.who.user.clone() }
    }

    /// Whether it sleeps, or is awake only for what waits.
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.phase, Phase::Asleep { .. } | Phase::Awake { .. })
    }

    /// Whether it has a connection to the server.
    pub(super) fn is_connected(&self) -> bool {
        !matches!(self.phase, Phase::AwaitsWillTopic(_) | Phase::AwaitsWillMessage(_) | Phase::Left(_))
    }

    /// The will that a CONNECT of the same client goes on with that names none. MQTT-SN 1.2 §6.3
    pub(super) fn will_kept_for(&self, connect: &Connect<'_>) -> Will {
        let goes_on = !connect.clean_session && !connect.will && *self.who.client_id == *connect.client_id;
        if goes_on && !self.clean_session { self.will.clone() } else { Will::default() }
    }

    /// A message of the client, `bytes` long.
    pub(super) fn receive(
        &mut self,
        message: &Message<'_>,
        bytes: usize,
        context: &mut Context<'_>,
    ) -> Verdict {
        self.heard.last = context.now;
        self.outbound.proof.received_bytes += bytes;
        if let Message::Connect(connect) = message {
            return self.connect_again(connect, context);
        }
        let verdict = match self.phase {
            Phase::AwaitsWillTopic(_) | Phase::AwaitsWillMessage(_) => self.said_will(message, context),
            Phase::Connecting(_) => Verdict::Stays,
            Phase::Active | Phase::Asleep { .. } | Phase::Awake { .. } => self.said(message, context),
            Phase::Left(_) => {
                self.say_disconnected(context);
                Verdict::Stays
            }
        };
        self.heard.is_fresh = false;
        verdict
    }

    fn said(&mut self, message: &Message<'_>, context: &mut Context<'_>) -> Verdict {
        match *message {
            Message::Register { id, topic, .. } => self.register(id, topic, context),
            Message::RegAck { topic_id, id, code } => self.registered(topic_id, id, code, context),
            Message::Publish(publish) => self.publish(&publish, context),
            Message::PubRel(id) => self.release(id, context),
            Message::PubAck { topic_id, id, code } => self.acknowledged(topic_id, id, code, context),
            Message::PubRec(id) => self.has_received(id, context),
            Message::PubComp(id) => self.has_completed(id, context),
            Message::Subscribe(subscribe) => self.subscribe(&subscribe, context),
            Message::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe, context),
            Message::PingReq(client_id) => return self.ping(client_id, context),
            Message::Disconnect(seconds) => self.disconnect(seconds.filter(|s| *s > 0), context),
            Message::WillTopicUpd(topic) => {
                self.will.set_topic(topic);
                context.send(&self.address, Message::WillTopicResp(ReturnCode::Accepted));
            }
            Message::WillMsgUpd(payload) => {
                self.will.set_message(payload);
                context.send(&self.address, Message::WillMsgResp(ReturnCode::Accepted));
            }
            // What only a gateway says, and answers that nothing waits for.
            _ => {}
        }
        Verdict::Stays
    }

    /// A packet of the server.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        match packet {
            Packet::ConnAck(connack) => return self.let_in(connack.reason, context),
            Packet::Publish(publish) => self.deliver(publish, context),
            Packet::Ack(ack) => match ack.kind {
                AckKind::PubAck => self.stored(ack, context),
                AckKind::PubRec => self.held(ack, context),
                AckKind::PubComp => self.completed(ack, context),
                AckKind::PubRel => self.released(ack.id, context),
            },
            Packet::SubAck(suback) => self.subscribed(suback, context),
            Packet::UnsubAck(unsuback) => self.unsubscribed(unsuback, context),
            Packet::Disconnect(_) => return self.closed(context),
            _ => {}
        }
        Verdict::Stays
    }

    /// The server has closed the connection.
    pub(super) fn closed(&mut self, context: &mut Context<'_>) -> Verdict {
        match self.phase {
            Phase::Connecting(_) => {
                context.send(&self.address, Message::ConnAck(ReturnCode::Congestion));
                Verdict::Gone
            }
            _ if self.is_connected() => {
                self.say_disconnected(context);
                Verdict::Lost
            }
            _ => Verdict::Stays,
        }
    }

    fn say_disconnected(&self, context: &mut Context<'_>) {
        context.send(&self.address, Message::Disconnect(None));
    }

    /// When [`Client::expire`] is due.
    pub(super) fn deadline(&self, retry_interval: Duration) -> Option<Instant> {
        let retry = self.outbound.resend_at(retry_interval);
        match self.phase {
            Phase::AwaitsWillTopic(until)
            | Phase::AwaitsWillMessage(until)
            | Phase::Connecting(until)
            | Phase::Left(until) => Some(until),
            Phase::Asleep { .. } => self.silent_until(),
            Phase::Active | Phase::Awake { .. } => self.silent_until().into_iter().chain(retry).min(),
        }
    }

    /// When the client counts as lost if it says nothing.
    fn silent_until(&self) -> Option<Instant> {
        let seconds = match self.phase {
            Phase::Asleep { for_seconds } | Phase::Awake { for_seconds, .. } => for_seconds,
            _ => self.keep_alive,
        };
        (seconds > 0).then(|| self.heard.last + tolerant(seconds))
    }

    /// A deadline has come.
    pub(super) fn expire(&mut self, context: &mut Context<'_>) -> Verdict {
        let is_over = |until: Instant| until <= context.now;
        match self.phase {
            Phase::AwaitsWillTopic(until) | Phase::AwaitsWillMessage(until) | Phase::Left(until)
                if is_over(until) =>
            {
                return Verdict::Gone;
            }
            Phase::Connecting(until) if is_over(until) => {
                context.close(self.link);
                return self.closed(context);
            }
            Phase::Active | Phase::Asleep { .. } | Phase::Awake { .. }
                if self.silent_until().is_some_and(is_over) =>
            {
                return self.lose(context);
            }
            _ => {}
        }
        match self.outbound.resend_at(context.options.retry_interval) {
            Some(at) if at <= context.now => self.resend(context),
            _ => Verdict::Stays,
        }
    }

    /// It does not answer any more.
    fn lose(&mut self, context: &mut Context<'_>) -> Verdict {
        self.say_disconnected(context);
        self.leave_server(context);
        Verdict::Lost
    }
}

/// How long a client that has to say something within so many seconds may be silent. MQTT-SN 1.2 §7.2, as MQTT has it.
fn tolerant(seconds: u16) -> Duration {
    Duration::from_millis(u64::from(seconds) * 1500)
}
