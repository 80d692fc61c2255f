//! The gateway: from addresses to clients and back.

use super::action::{Action, Address, Context, Link, Links, RandomIds, each_packet};
use super::client::{Client, Verdict};
use super::options::Options;
use super::publisher::Publisher;
use super::registry::Registry;
use super::topics::Topics;
use super::will::{Will, Wills};
use dialtone_wire::mqtt_sn::{Connect, DecodeError, Message, Publish, Qos, ReturnCode, parse};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a gateway puts what comes of an event.
type Actions<'a> = dyn FnMut(Action<'_>) + 'a;

/// A gateway of MQTT-SN.
#[derive(Debug)]
pub struct Gateway {
    options: Options,
    clients: Registry,
    wills: Wills,
    publisher: Publisher,
    links: Links,
    ids: RandomIds,
    answers: Answers,
    advertise_at: Option<Instant>,
    scratch: Vec<u8>,
}

/// Answers to addresses that are not connected, in this second.
#[derive(Debug)]
struct Answers {
    since: Instant,
    count: u32,
}

impl Answers {
    fn may_answer(&mut self, now: Instant, max: u32) -> bool {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= max
    }
}

/// The parts of a gateway, and what a call has at hand.
macro_rules! parts {
    ($gateway:ident, $now:ident, $out:ident) => {{
        let Gateway { options, clients, wills, publisher, links, ids, scratch, .. } = $gateway;
        let context = Context { now: $now, options, out: &mut *$out, scratch, ids };
        (clients, wills, publisher, links, context)
    }};
}

impl Gateway {
    /// A gateway without clients. `seed` is random: numbers of exchanges are drawn from it.
    pub fn new(now: Instant, options: Options, seed: [u64; 2]) -> Self {
        Self {
            advertise_at: options.advertise_interval.map(|_| now),
            options,
            clients: Registry::default(),
            wills: Wills::default(),
            publisher: Publisher::default(),
            links: Links::default(),
            ids: RandomIds { seed, drawn: 0 },
            answers: Answers { since: now, count: 0 },
            scratch: Vec::new(),
        }
    }

    /// Clients that are connected, awake or asleep.
    pub fn connected(&self) -> usize {
        self.clients.connected()
    }

    /// Those of them that sleep, or are awake only for what waits.
    pub fn asleep(&self) -> usize {
        self.clients.asleep()
    }

    /// Addresses of which something is kept that are not connected.
    pub fn unconnected(&self) -> usize {
        self.clients.unconnected()
    }

    /// Whether a client is at this address itself.
    pub fn knows(&self, at: SocketAddr) -> bool {
        self.clients
            .at(&Address { socket: at, node: None })
            .is_some_and(|link| self.clients.is_connected(link))
    }

    /// A datagram has come. One that is no message is dropped. `shown` is the user that whoever is at this address has shown to be, if that was
    /// asked: a client that another user comes in the place of is lost.
    pub fn datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        shown: Option<&Arc<str>>,
        bytes: &[u8],
        out: &mut Actions<'_>,
    ) {
        let datagram = match parse(bytes) {
            Ok(datagram) => datagram,
            Err(DecodeError::Protocol(_)) => {
                let address = Address { socket: from, node: None };
                return self.answer(now, &address, Message::ConnAck(ReturnCode::NotSupported), out);
            }
            Err(_) => return,
        };
        let address = Address::of(from, datagram.forwarder);
        let link = self.client_of(now, &address, shown, out);
        match (link, datagram.message) {
            (_, Message::SearchGw(_)) => {
                let info = Message::GwInfo(self.options.gateway_id, b"");
                self.answer(now, &address, info, out);
            }
            (link, Message::Publish(publish))
                if publish.qos == Qos::Unconnected
                    && link.is_none_or(|link| !self.clients.is_connected(link)) =>
            {
                self.publish(now, &publish, out);
            }
            (Some(link), message) => self.receive(now, link, &message, bytes.len(), out),
            (None, Message::Connect(connect)) => {
                let who = (address, shown.cloned());
                self.connect(now, who, &connect, bytes.len(), Will::default(), out);
            }
            (None, message) if expects_an_answer(&message) => {
                self.answer(now, &address, Message::Disconnect(None), out);
            }
            _ => {}
        }
    }

    /// The client at an address, if it is still the same user that is there.
    fn client_of(
        &mut self,
        now: Instant,
        address: &Address,
        shown: Option<&Arc<str>>,
        out: &mut Actions<'_>,
    ) -> Option<Link> {
        let link = self.clients.at(address)?;
        let gateway = &mut *self;
        let (clients, .., mut context) = parts!(gateway, now, out);
        let client = clients.get_mut(link)?;
        if client.who.shown.as_ref() == shown {
            return Some(link);
        }
        let is_connected = client.is_connected();
        if is_connected {
            client.leave_server(&mut context);
        }
        let verdict = if is_connected { Verdict::Lost } else { Verdict::Gone };
        self.conclude(now, link, verdict, None, out);
        None
    }

    /// Answers an address that is not connected, if not too many were answered. The answer is no longer than what came.
    fn answer(&mut self, now: Instant, to: &Address, message: Message<'_>, out: &mut Actions<'_>) {
        if self.answers.may_answer(now, self.options.answers_per_second_max) {
            let gateway = self;
            let (.., mut context) = parts!(gateway, now, out);
            context.send(to, message);
        }
    }

    /// A message of a client that does not connect. Its topic stands for itself, or is predefined.
    fn publish(&mut self, now: Instant, publish: &Publish<'_>, out: &mut Actions<'_>) {
        let gateway = self;
        let (_, _, publisher, links, mut context) = parts!(gateway, now, out);
        let none = Topics::default();
        if let Some(topic) = none.resolve(&publish.topic, &context.options.predefined) {
            publisher.publish(topic, publish.payload, publish.retain, links, &mut context);
        }
    }

    fn connect(
        &mut self,
        now: Instant,
        who: (Address, Option<Arc<str>>),
        connect: &Connect<'_>,
        bytes: usize,
        will: Will,
        out: &mut Actions<'_>,
    ) {
        let gateway = self;
        if gateway.clients.connected() >= gateway.options.clients_max {
            return gateway.answer(now, &who.0, Message::ConnAck(ReturnCode::Congestion), out);
        }
        let (clients, _, _, links, mut context) = parts!(gateway, now, out);
        let link = links.next();
        let address = who.0.clone();
        match Client::connect(link, who, connect, bytes, will, &mut context) {
            Ok(client) => {
                clients.insert(client);
                gateway.settle(now, link);
            }
            Err(code) => gateway.answer(now, &address, Message::ConnAck(code), out),
        }
    }

    fn receive(
        &mut self,
        now: Instant,
        link: Link,
        message: &Message<'_>,
        bytes: usize,
        out: &mut Actions<'_>,
    ) {
        let gateway = self;
        let (clients, .., mut context) = parts!(gateway, now, out);
        let Some(client) = clients.get_mut(link) else { return };
        let verdict = client.receive(message, bytes, &mut context);
        let connect = if let Message::Connect(connect) = message { Some((connect, bytes)) } else { None };
        gateway.conclude(now, link, verdict, connect, out);
    }

    /// Does what a client's call has come to.
    fn conclude(
        &mut self,
        now: Instant,
        link: Link,
        verdict: Verdict,
        connect: Option<(&Connect<'_>, usize)>,
        out: &mut Actions<'_>,
    ) {
        if verdict == Verdict::Stays {
            return self.settle(now, link);
        }
        let gateway = self;
        let (clients, wills, _, links, mut context) = parts!(gateway, now, out);
        let Some(mut client) = clients.remove(link) else { return };
        match verdict {
            Verdict::Stays | Verdict::Gone => {}
            Verdict::Lost => wills.publish(client.owner(), client.will, links, &mut context),
            Verdict::Anew => {
                let Some((connect, bytes)) = connect else { return };
                let kept = client.will_kept_for(connect);
                if client.is_connected() {
                    client.leave_server(&mut context);
                    wills.publish(client.owner(), client.will, links, &mut context);
                }
                gateway.connect(now, (client.address, client.who.shown), connect, bytes, kept, out);
            }
        }
    }

    fn settle(&mut self, now: Instant, link: Link) {
        let Options { retry_interval, unconnected_max, .. } = self.options;
        self.clients.settle(link, now, retry_interval, unconnected_max);
    }

    /// Bytes of the server have come by a connection.
    pub fn server(&mut self, now: Instant, link: Link, bytes: &[u8], out: &mut Actions<'_>) {
        let gateway = self;
        let (clients, wills, publisher, links, mut context) = parts!(gateway, now, out);
        let Some(client) = clients.get_mut(link) else {
            if !wills.server(link, bytes, links, &mut context) {
                publisher.server(link, bytes, &mut context);
            }
            return;
        };
        let mut partial = std::mem::take(&mut client.partial);
        let mut verdict = Verdict::Stays;
        let goes_on = each_packet(&mut partial, bytes, |packet| {
            verdict = client.packet(packet, &mut context);
            verdict == Verdict::Stays
        });
        client.partial = partial;
        if !goes_on && verdict == Verdict::Stays {
            // The server does not send what cannot be read.
            context.close(link);
            verdict = client.closed(&mut context);
        }
        gateway.conclude(now, link, verdict, None, out);
    }

    /// The server has closed a connection, or there could be none.
    pub fn server_closed(&mut self, now: Instant, link: Link, out: &mut Actions<'_>) {
        let gateway = self;
        let (clients, wills, publisher, links, mut context) = parts!(gateway, now, out);
        match clients.get_mut(link) {
            Some(client) => {
                let verdict = client.closed(&mut context);
                gateway.conclude(now, link, verdict, None, out);
            }
            None => {
                if !wills.closed(link, links, &mut context) {
                    publisher.closed(link, &context);
                }
            }
        }
    }

    /// When [`Gateway::expire`] is due. Changes with every call.
    pub fn deadline(&self) -> Option<Instant> {
        [self.clients.deadline(), self.wills.deadline(), self.advertise_at].into_iter().flatten().min()
    }

    /// A deadline has come.
    pub fn expire(&mut self, now: Instant, out: &mut Actions<'_>) {
        if self.advertise_at.is_some_and(|at| at <= now) {
            self.advertise(now, out);
        }
        let gateway = &mut *self;
        let (_, wills, _, links, mut context) = parts!(gateway, now, out);
        wills.expire(links, &mut context);
        while let Some(link) = self.clients.next_due(now) {
            let gateway = &mut *self;
            let (clients, .., mut context) = parts!(gateway, now, out);
            let verdict = clients.get_mut(link).map_or(Verdict::Gone, |client| client.expire(&mut context));
            gateway.conclude(now, link, verdict, None, out);
        }
    }

    /// Says that it is there. MQTT-SN 1.2 §6.1
    fn advertise(&mut self, now: Instant, out: &mut Actions<'_>) {
        let Some(interval) = self.options.advertise_interval else { return };
        self.advertise_at = Some(now + interval);
        let seconds = u16::try_from(interval.as_secs()).unwrap_or(u16::MAX);
        let gateway = self;
        let id = gateway.options.gateway_id;
        let (.., mut context) = parts!(gateway, now, out);
        context.broadcast(Message::Advertise { gateway: id, seconds });
    }

    /// Tells all clients that they are not connected any more.
    pub fn shut_down(&mut self, now: Instant, out: &mut Actions<'_>) {
        let gateway = self;
        let (clients, .., mut context) = parts!(gateway, now, out);
        for client in clients.all().filter(|client| client.is_connected()) {
            context.send(&client.address, Message::Disconnect(None));
        }
    }
}

/// Whether whoever sends this believes to be connected, and waits for an answer. Two gateways must not answer each other for ever.
fn expects_an_answer(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::Register { .. }
            | Message::Publish(_)
            | Message::PubRel(_)
            | Message::Subscribe(_)
            | Message::Unsubscribe(_)
            | Message::PingReq(_)
            | Message::WillTopicUpd(_)
            | Message::WillMsgUpd(_)
    )
}
