//! What the server does for a client of MQTT, as its session engine asks for it.

use super::conversation::Conversation;
use super::rates::Rated;
use super::subscribe::{Subscribing, Wanted};
use crate::conduct::{Allowance, Conduct};
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_mqtt::{Command, Connection as Engine, Ticket};
use dialtone_wire::mqtt::{Packet, PacketId, Qos, Reason, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Bytes of a buffer that are kept for the next packet of a client.
const KEPT_BYTES_MAX: usize = 1024;

/// What the session engine is told when its call is over.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Granted(PacketId, usize, Result<Qos, Reason>),
    Saved(PacketId),
    Stored(Ticket, Reason),
    /// Something was not stored, and why.
    NotStored(Ticket, Box<str>),
    /// There is room for what was put back.
    Room,
}

/// What came from a client since it was last counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    /// By quality of service.
    pub(super) msgs: [u32; 3],
    pub(super) bytes: u64,
}

/// What is used for packet after packet.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) subject: Vec<u8>,
    pub(super) framed: Vec<u8>,
}

/// The server's side of a client.
pub(super) struct Effects {
    pub(super) conduct: Conduct,
    pub(super) version: Version,
    /// Bytes of a packet that the client takes; 0: any.
    pub(super) packet_bytes_max: u32,
    pub(super) client_id: Arc<str>,
    /// What is to be sent, behind what is staged.
    pub(super) out: Vec<u8>,
    pub(super) scratch: Scratch,
    pub(super) batch: Batch,
    pub(super) allowance: Allowance,
    pub(super) rated: Option<Box<Rated>>,
    pub(super) answers: Vec<Answer>,
    refusal: Option<Reason>,
    /// Why the connection ends, for people.
    pub(super) why: Option<Box<str>>,
    /// With the streams of its account, once it is let in.
    pub(super) conversation: Option<Box<Conversation>>,
    /// Filters that wait for their consumers.
    pub(super) subscribing: Vec<Subscribing>,
}

impl Effects {
    pub(super) fn new(conduct: Conduct) -> Self {
        Self {
            conduct,
            version: Version::V311,
            packet_bytes_max: 0,
            client_id: "".into(),
            out: Vec::new(),
            scratch: Scratch::default(),
            batch: Batch::default(),
            allowance: Allowance { payload_bytes_max: usize::MAX, subscriptions_max: usize::MAX },
            rated: None,
            answers: Vec::new(),
            refusal: None,
            why: None,
            conversation: None,
            subscribing: Vec::new(),
        }
    }

    /// Whether an answer to SUBSCRIBE or UNSUBSCRIBE waits for streams.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.subscribing.iter().any(|of| of.unmade > 0)
            || self.conversation.as_ref().is_some_and(|of| of.saves.under_way.is_some())
    }

    /// Does what the session engine asks for.
    #[inline]
    pub(super) fn carry_out(&mut self, command: Command<'_>, turn: &mut Turn) {
        match command {
            Command::Publish(published, None) => {
                self.publish(&published, None, turn);
            }
            command => self.carry_out_stored(command, turn),
        }
    }

    /// What needs streams, or answers.
    fn carry_out_stored(&mut self, command: Command<'_>, turn: &mut Turn) {
        match command {
            Command::Publish(published, ticket) => self.publish(&published, ticket, turn),
            Command::Hold(id, published) => self.hold(id, &published, turn),
            Command::Release(id) => self.release_held(id, turn),
            Command::Subscribe { packet, at, filter, group, options, id, retained } => {
                let (filter, group) = (filter.to_owned(), group.map(str::to_owned));
                let wanted = Wanted { filter, group, options, id };
                let subscribing = Subscribing { packet, at, wanted, retained, unmade: 0, failed: false };
                self.subscribe(subscribing, turn);
            }
            Command::Unsubscribe { filter, group } => self.unsubscribe(filter, group, turn),
            Command::Save(packet) => self.save(packet),
            Command::Acknowledge(place) => {
                if let Some(conversation) = &mut self.conversation {
                    conversation.acknowledge(place, turn);
                }
            }
            Command::Received(id, place) => self.note_received(id, place, turn),
            Command::Room => self.answers.push(Answer::Room),
            // What was not released stays until its connection's session ends; what is in flight comes again by its consumer.
            Command::Drop(_) | Command::Fetch(..) => {}
        }
    }

    /// Tells the session engine what came of what it asked for.
    #[inline]
    pub(super) fn answer(&mut self, engine: &mut Engine, turn: &mut Turn) {
        if !self.answers.is_empty() {
            self.answer_all(engine, turn);
        }
    }

    fn answer_all(&mut self, engine: &mut Engine, turn: &mut Turn) {
        let mut out = std::mem::take(&mut self.out);
        let mut is_rare = true;
        while !self.answers.is_empty() {
            match self.answers.remove(0) {
                Answer::Granted(packet, at, decision) => {
                    engine.granted(packet, at, decision, &mut |command| self.carry_out(command, turn));
                }
                Answer::Saved(packet) => {
                    engine.saved(packet, &mut out);
                    self.find_retained(packet, turn);
                }
                Answer::Stored(ticket, reason) => {
                    is_rare = false;
                    if let (Ticket::Received(id), Some(conversation)) = (ticket, &mut self.conversation) {
                        conversation.received(id, turn);
                    }
                    engine.stored(ticket, reason, &mut out);
                }
                Answer::NotStored(ticket, why) => {
                    engine.stored_because(ticket, Reason::QuotaExceeded, Some(&why), &mut out);
                }
                Answer::Room => {
                    self.deliver_found(engine, &mut out, turn);
                    self.deliver_backlog(engine, &mut out, turn);
                }
            }
        }
        self.out = out;
        if is_rare {
            // Behind a SUBSCRIBE most connections only listen.
            self.answers = Vec::new();
        }
    }

    /// The connection is to end, for this reason.
    #[cold]
    pub(super) fn refuse(&mut self, reason: Reason) {
        self.refusal.get_or_insert(reason);
    }

    /// Whether it is.
    #[inline]
    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    #[inline]
    pub(super) fn take_refusal(&mut self) -> Option<Reason> {
        self.refusal.take()
    }

    /// Sends what the session engine said.
    #[inline]
    pub(super) fn send_out(&mut self, turn: &mut Turn) {
        if !self.out.is_empty() {
            turn.send(self.conduct.peer(), &self.out);
            self.out.clear();
        }
    }

    /// Takes over the limits of the server, its account and its user, of which the least counts.
    pub(super) fn take_limits(&mut self, now: Instant) {
        self.allowance = self.conduct.allowance();
        self.take_rates(now);
    }

    /// Counts what came, for the connection, its account and the server; and lets go of buffers that have become large.
    pub(super) fn count(&mut self, now: Instant) {
        let Batch { msgs: by_qos, bytes } = std::mem::take(&mut self.batch);
        let msgs = by_qos.into_iter().map(u64::from).sum();
        if msgs > 0 {
            let received = &self.conduct.node.connections.client_ids.figures.received;
            for (total, count) in received.iter().zip(by_qos).filter(|(_, count)| *count > 0) {
                total.fetch_add(u64::from(count), Ordering::Relaxed);
            }
            self.conduct.session.peer.touch(now);
            self.conduct.session.peer.count_in(msgs, bytes);
            if let Some(account) = &self.conduct.place.account {
                account.counters.add_in(msgs, bytes);
            }
        }
        let Scratch { subject, framed } = &mut self.scratch;
        for buffer in [subject, framed, &mut self.out] {
            if buffer.capacity() > KEPT_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
    }

    /// A packet in the log, without secrets and payloads.
    #[cold]
    pub(super) fn trace_in(&self, packet: &Packet<'_>) {
        let line = match packet {
            Packet::Connect(connect) => format!("CONNECT clientID={}", connect.client_id),
            Packet::Publish(publish) => {
                let (dup, qos) =
                    (publish.delivery.sent().is_some_and(|(_, dup)| dup), publish.delivery.qos() as u8);
                let (topic, retain, size) = (publish.topic, publish.retain, publish.payload.len());
                let id =
                    publish.delivery.sent().map(|(id, _)| format!(" pi={}", id.get())).unwrap_or_default();
                format!("PUBLISH {topic} dup={dup} QoS={qos} retain={retain} size={size}{id}")
            }
            Packet::Subscribe(subscribe) => {
                let filters = subscribe.filters.iter();
                let filters = filters.map(|one| format!("{} QoS={}", one.filter, one.options.qos as u8));
                format!("SUBSCRIBE [{}] pi={}", filters.collect::<Vec<_>>().join(", "), subscribe.id.get())
            }
            Packet::Unsubscribe(unsubscribe) => {
                let filters: Vec<_> = unsubscribe.filters.iter().collect();
                format!("UNSUBSCRIBE [{}] pi={}", filters.join(", "), unsubscribe.id.get())
            }
            Packet::Ack(ack) => format!("{} pi={}", ack.kind.kind(), ack.id.get()),
            Packet::PingReq => "PINGREQ".into(),
            Packet::Disconnect(_) => "DISCONNECT".into(),
            // The others are not a client's.
            _ => return,
        };
        self.conduct.log(Event::TraceIn, format_args!("<<- [{line}]"));
    }
}
