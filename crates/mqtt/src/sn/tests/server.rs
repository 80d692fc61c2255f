//! A naive server of MQTT: real connections of this crate, and lists.

use super::super::{Action, Gateway, Link};
use crate::{
    Command, Connection, Delivered, Ended, Message, Options, OwnWill, Place, Session, Ticket, agree,
};
use dialtone_wire::mqtt::{
    Connect, Limits, Packet, PacketId, Parsed, Properties, Publish, Qos, Reason, Sender, Version, parse,
    topic,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// A message that the server stores: where, and what.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: Qos,
}

#[derive(Default)]
struct Peer {
    client_id: String,
    input: Vec<u8>,
    connection: Option<Connection>,
    /// Messages that have no room in the window.
    backlog: VecDeque<(Place, Qos)>,
}

/// The server.
#[derive(Default)]
pub(super) struct Server {
    peers: BTreeMap<Link, Peer>,
    sessions: BTreeMap<String, Session>,
    /// Messages of quality of service 2 that are held, by client.
    held: BTreeMap<(String, PacketId), Stored>,
    /// All that was published.
    pub(super) published: Vec<Stored>,
    /// Client identifiers that are not let in.
    pub(super) banned: Option<&'static str>,
    /// Who came, by client identifier and user.
    pub(super) came: Vec<(String, Option<String>)>,
    /// Nothing is answered.
    pub(super) is_mute: bool,
}

/// What a connection asked for, owned.
enum Asked {
    Publish(Stored, Option<Ticket>),
    Hold(PacketId, Stored),
    Release(PacketId),
    Subscribe(PacketId, usize),
    Received(PacketId),
    Fetch(PacketId, Place),
    Room,
    Save(PacketId),
    Nothing,
}

fn owned(command: Command<'_>) -> Asked {
    let stored = |message: crate::Published<'_>| Stored {
        topic: message.topic.into(),
        payload: message.payload.into(),
        qos: message.qos,
    };
    match command {
        Command::Publish(message, ticket) => Asked::Publish(stored(message), ticket),
        Command::Hold(id, message) => Asked::Hold(id, stored(message)),
        Command::Release(id) => Asked::Release(id),
        Command::Subscribe { packet, at, .. } => Asked::Subscribe(packet, at),
        Command::Received(id, _) => Asked::Received(id),
        Command::Fetch(id, place) => Asked::Fetch(id, place),
        Command::Room => Asked::Room,
        Command::Save(id) => Asked::Save(id),
        Command::Unsubscribe { .. } | Command::Acknowledge(_) | Command::Drop(_) => Asked::Nothing,
    }
}

impl Server {
    pub(super) fn connections(&self) -> usize {
        self.peers.values().filter(|peer| peer.connection.is_some()).count()
    }

    /// Does what the gateway asks, and what comes of that, to the end. Datagrams are handed back.
    pub(super) fn play(
        &mut self,
        now: Instant,
        gateway: &mut Gateway,
        asked: Vec<Owned>,
    ) -> Vec<(std::net::SocketAddr, Vec<u8>)> {
        let (mut todo, mut sent) = (VecDeque::from(asked), Vec::new());
        while let Some(action) = todo.pop_front() {
            let mut answers: Vec<(Link, Option<Vec<u8>>)> = Vec::new();
            match action {
                Owned::Send(to, bytes) => sent.push((to, bytes)),
                Owned::Open(link) => drop(self.peers.insert(link, Peer::default())),
                Owned::Close(link) => self.end(link, Ended::Orderly),
                Owned::Server(link, bytes) if !self.is_mute => self.receive(now, link, &bytes, &mut answers),
                Owned::Server(..) | Owned::Broadcast => {}
            }
            for (link, bytes) in answers {
                let mut out = |action: Action<'_>| todo.push_back(Owned::of(action));
                match bytes {
                    Some(bytes) => gateway.server(now, link, &bytes, &mut out),
                    None => gateway.server_closed(now, link, &mut out),
                }
            }
        }
        sent
    }

    fn end(&mut self, link: Link, how: Ended) {
        let Some(peer) = self.peers.remove(&link) else { return };
        if let Some(connection) = peer.connection
            && let Some(session) = connection.end(how).session
        {
            self.sessions.insert(peer.client_id, session);
        }
    }

    /// A connection breaks; the gateway has to be told.
    pub(super) fn break_connection(&mut self, client_id: &str) -> Option<Link> {
        let link = *self.peers.iter().find(|(_, peer)| peer.client_id == client_id)?.0;
        self.end(link, Ended::Refused(Reason::UnspecifiedError));
        Some(link)
    }

    fn receive(
        &mut self,
        now: Instant,
        link: Link,
        bytes: &[u8],
        answers: &mut Vec<(Link, Option<Vec<u8>>)>,
    ) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut peer.input);
        let mut rest = &input[..];
        loop {
            let Some(peer) = self.peers.get(&link) else { return };
            let limits = Limits {
                sender: Sender::Client,
                version: peer.connection.as_ref().map(|_| Version::V5),
                packet_bytes_max: 1 << 20,
                filters_max: 10,
                user_properties_max: 10,
            };
            match parse(rest, &limits) {
                Ok(Parsed::Packet(Packet::Connect(connect), used)) => {
                    rest = &rest[used..];
                    self.came.push((connect.client_id.into(), connect.username.map(Into::into)));
                    self.connect(now, link, &connect, answers);
                }
                Ok(Parsed::Packet(packet, used)) => {
                    rest = &rest[used..];
                    if !self.packet(now, link, &packet, answers) {
                        return;
                    }
                }
                Ok(Parsed::Partial { .. }) => break,
                Err(error) => panic!("{error}: {}", rest.escape_ascii()),
            }
        }
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.input = rest.to_vec();
        }
    }

    fn connect(
        &mut self,
        now: Instant,
        link: Link,
        connect: &Connect<'_>,
        answers: &mut Vec<(Link, Option<Vec<u8>>)>,
    ) {
        if Some(connect.client_id) == self.banned {
            answers.push((link, Some(b"\x20\x03\x00\x87\x00".to_vec())));
            answers.push((link, None));
            return;
        }
        let taken =
            (!connect.client_id.is_empty()).then(|| self.break_connection(connect.client_id)).flatten();
        answers.extend(taken.map(|link| (link, None)));
        let options = Options::default();
        let agreed = agree(connect, &options).unwrap();
        let session = self.sessions.remove(connect.client_id).filter(|_| !connect.clean_start);
        let present = session.is_some();
        let will = connect.will.as_ref().map(OwnWill::of);
        assert!(will.is_none(), "the gateway keeps wills");
        let connection = Connection::new(now, agreed, options, session, will);
        let Some(peer) = self.peers.get_mut(&link) else { return };
        (peer.client_id, peer.connection) = (connect.client_id.into(), Some(connection));
        self.call(link, answers, |connection, out, commands| {
            connection.welcome(present, Properties::NONE, out, commands).unwrap();
        });
    }

    /// False: the connection is over.
    fn packet(
        &mut self,
        now: Instant,
        link: Link,
        packet: &Packet<'_>,
        answers: &mut Vec<(Link, Option<Vec<u8>>)>,
    ) -> bool {
        let mut ended = None;
        self.call(link, answers, |connection, out, commands| {
            ended = connection.receive(now, packet, out, commands).err();
        });
        match ended {
            None => true,
            Some(Ended::Orderly) => {
                self.end(link, Ended::Orderly);
                false
            }
            Some(ended) => panic!("{ended:?} by {packet:?}"),
        }
    }

    /// Calls a connection, and does what it asks for.
    fn call(
        &mut self,
        link: Link,
        answers: &mut Vec<(Link, Option<Vec<u8>>)>,
        call: impl FnOnce(&mut Connection, &mut Vec<u8>, &mut dyn FnMut(Command<'_>)),
    ) {
        let (mut out, mut asked) = (Vec::new(), Vec::new());
        let Some(peer) = self.peers.get_mut(&link) else { return };
        let Some(connection) = peer.connection.as_mut() else { return };
        call(connection, &mut out, &mut |command| asked.push(owned(command)));
        if !out.is_empty() {
            // In two pieces, as it may come.
            let second = out.split_off(out.len() / 2);
            answers.push((link, Some(out)));
            answers.push((link, Some(second)));
        }
        for asked in asked {
            self.carry_out(link, asked, answers);
        }
    }

    fn carry_out(&mut self, link: Link, asked: Asked, answers: &mut Vec<(Link, Option<Vec<u8>>)>) {
        let client_id = match self.peers.get(&link) {
            Some(peer) if !peer.client_id.is_empty() => peer.client_id.clone(),
            _ => format!("{link:?}"),
        };
        let done = Reason::Success;
        match asked {
            Asked::Publish(message, ticket) => {
                self.publish(message, answers);
                if let Some(ticket) = ticket {
                    self.call(link, answers, |connection, out, _| connection.stored(ticket, done, out));
                }
            }
            Asked::Hold(id, message) => {
                self.held.insert((client_id, id), message);
                self.call(link, answers, |connection, out, _| connection.stored(Ticket::Held(id), done, out));
            }
            Asked::Release(id) => {
                if let Some(message) = self.held.remove(&(client_id, id)) {
                    self.publish(message, answers);
                }
                self.call(link, answers, |connection, out, _| {
                    connection.stored(Ticket::Released(id), done, out);
                });
            }
            Asked::Subscribe(packet, at) => {
                self.call(link, answers, |connection, _, commands| {
                    connection.granted(packet, at, Ok(dialtone_wire::mqtt::Qos::ExactlyOnce), commands);
                });
            }
            Asked::Save(packet) => {
                self.call(link, answers, |connection, out, _| connection.saved(packet, out))
            }
            Asked::Received(id) => self.call(link, answers, |connection, out, _| {
                connection.stored(Ticket::Received(id), done, out);
            }),
            Asked::Fetch(id, place) => {
                let stored = self.published[place.0 as usize].clone();
                self.call(link, answers, |connection, out, commands| {
                    connection.fetched(id, Some(&message(&stored)), out, commands);
                });
            }
            Asked::Room => {
                let backlog = self.peers.get_mut(&link).map(|peer| std::mem::take(&mut peer.backlog));
                for (place, qos) in backlog.into_iter().flatten() {
                    self.deliver(link, place, qos, answers);
                }
            }
            Asked::Nothing => {}
        }
    }

    /// Publishes a message to all who subscribe to it.
    pub(super) fn publish(&mut self, stored: Stored, answers: &mut Vec<(Link, Option<Vec<u8>>)>) {
        let place = Place(self.published.len() as u64);
        let mut to = Vec::new();
        for (link, peer) in &self.peers {
            let subscriptions =
                peer.connection.iter().flat_map(|connection| connection.session().subscriptions());
            let matching =
                subscriptions.filter(|subscribed| topic::matches(&subscribed.filter, &stored.topic));
            to.extend(matching.map(|subscribed| subscribed.options.qos).max().map(|qos| (*link, qos)));
        }
        let qos = stored.qos;
        self.published.push(stored);
        for (link, wanted) in to {
            self.deliver(link, place, wanted.min(qos), answers);
        }
    }

    fn deliver(&mut self, link: Link, place: Place, qos: Qos, answers: &mut Vec<(Link, Option<Vec<u8>>)>) {
        let stored = self.published[place.0 as usize].clone();
        let mut delivered = Delivered::Sent;
        self.call(link, answers, |connection, out, commands| {
            delivered = match qos {
                Qos::AtMostOnce => connection.deliver(&message(&stored), out),
                _ => connection.deliver_stored(&message(&stored), (qos, false), place, out, commands),
            };
        });
        if delivered == Delivered::Full
            && let Some(peer) = self.peers.get_mut(&link)
        {
            peer.backlog.push_back((place, qos));
        }
    }
}

fn message(stored: &Stored) -> Message<'_> {
    Message { topic: &stored.topic, retain: false, properties: Properties::NONE, payload: &stored.payload }
}

/// An action with its bytes.
pub(super) enum Owned {
    Send(std::net::SocketAddr, Vec<u8>),
    Broadcast,
    Open(Link),
    Server(Link, Vec<u8>),
    Close(Link),
}

impl Owned {
    pub(super) fn of(action: Action<'_>) -> Self {
        match action {
            Action::Send(to, bytes) => Self::Send(to, bytes.to_vec()),
            Action::Broadcast(_) => Self::Broadcast,
            Action::Open(link, _) => Self::Open(link),
            Action::Server(link, bytes) => Self::Server(link, bytes.to_vec()),
            Action::Close(link) => Self::Close(link),
        }
    }
}

/// A message as another client publishes it.
pub(super) fn published(topic: &str, payload: &[u8], qos: Qos) -> Stored {
    let publish: Publish<'_> = Publish {
        delivery: dialtone_wire::mqtt::Delivery::AtMostOnce,
        retain: false,
        topic,
        properties: Properties::NONE,
        payload,
    };
    Stored { topic: publish.topic.into(), payload: publish.payload.into(), qos }
}
