//! What a gateway asks of the world, and what it has at hand while it works.

use super::options::Options;
use dialtone_wire::mqtt::{
    Ack, AckKind, Limits, Packet, PacketId, Parsed, Properties, Reason, Sender, Version, encode as mqtt,
    parse,
};
use dialtone_wire::mqtt_sn::{DATAGRAM_BYTES_MAX, Datagram, Forwarder, Message, encode};
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::time::Instant;

/// Names a connection to the server, and is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u64);

/// Makes the names of connections.
#[derive(Debug, Default)]
pub(super) struct Links(u64);

impl Links {
    pub(super) fn next(&mut self) -> Link {
        self.0 += 1;
        Link(self.0)
    }
}

/// What the server may send: its packets fit into a datagram, as it was told.
const LIMITS: Limits = Limits {
    sender: Sender::Server,
    version: Some(Version::V5),
    packet_bytes_max: DATAGRAM_BYTES_MAX,
    filters_max: usize::MAX,
    user_properties_max: usize::MAX,
};

/// Hands packet after packet to `on`, which says whether it goes on, and keeps the beginning of one. False: it does not go on.
pub(super) fn each_packet(
    partial: &mut Vec<u8>,
    bytes: &[u8],
    mut on: impl FnMut(&Packet<'_>) -> bool,
) -> bool {
    let kept = std::mem::take(partial);
    let joined = if kept.is_empty() { None } else { Some([&kept, bytes].concat()) };
    let mut rest = joined.as_deref().unwrap_or(bytes);
    loop {
        match parse(rest, &LIMITS) {
            Ok(Parsed::Packet(packet, used)) => {
                rest = rest.get(used..).unwrap_or_default();
                if !on(&packet) {
                    return false;
                }
            }
            Ok(Parsed::Partial { .. }) => {
                partial.extend_from_slice(rest);
                return true;
            }
            Err(_) => return false,
        }
    }
}

/// All that a gateway may ask of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Send a datagram.
    Send(SocketAddr, &'a [u8]),
    /// Send a datagram to all who may listen.
    Broadcast(&'a [u8]),
    /// Connect to the server, for the client at this address; `None`: for clients that do not connect.
    Open(Link, Option<SocketAddr>),
    /// Send bytes to the server.
    Server(Link, &'a [u8]),
    /// Close a connection to the server, when what was sent has gone. Nothing is heard of it any more.
    Close(Link),
}

/// Where a client is: an address, or a node behind the forwarder at that address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) socket: SocketAddr,
    pub(super) node: Option<Box<[u8]>>,
}

impl Address {
    pub(super) fn of(socket: SocketAddr, forwarder: Option<Forwarder<'_>>) -> Self {
        Self { socket, node: forwarder.map(|forwarder| forwarder.node.into()) }
    }
}

/// Numbers that nobody can guess who does not know the seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct RandomIds {
    pub(super) seed: [u64; 2],
    pub(super) drawn: u64,
}

impl RandomIds {
    fn draw(&mut self) -> u16 {
        self.drawn += 1;
        let mut hasher = DefaultHasher::new();
        [self.seed[0], self.drawn, self.seed[1]].into_iter().for_each(|part| hasher.write_u64(part));
        // Never 0, and never what is negative to clients that read it with a sign.
        (hasher.finish() % u64::from(u16::MAX >> 1)) as u16 + 1
    }
}

/// What is at hand while something is handled.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) options: &'a Options,
    pub(super) out: &'a mut dyn FnMut(Action<'_>),
    /// Empty between calls; kept for its memory.
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) ids: &'a mut RandomIds,
}

impl Context<'_> {
    /// Sends a message to a client. How many bytes that were; 0: it does not fit a datagram.
    pub(super) fn send(&mut self, to: &Address, message: Message<'_>) -> usize {
        let forwarder = to.node.as_deref().map(|node| Forwarder { radius: 0, node });
        self.scratch.clear();
        if encode(self.scratch, &Datagram { forwarder, message }).is_err() {
            return 0;
        }
        (self.out)(Action::Send(to.socket, self.scratch));
        self.scratch.len()
    }

    /// Sends a message to all who may listen.
    pub(super) fn broadcast(&mut self, message: Message<'_>) {
        self.scratch.clear();
        if encode(self.scratch, &Datagram { forwarder: None, message }).is_ok() {
            (self.out)(Action::Broadcast(self.scratch));
        }
    }

    /// Sends packets to the server that were written before.
    pub(super) fn server_bytes(&mut self, link: Link, bytes: &[u8]) {
        (self.out)(Action::Server(link, bytes));
    }

    /// Sends a packet to the server. False: no packet can hold it.
    pub(super) fn server(&mut self, link: Link, packet: &Packet<'_>) -> bool {
        self.scratch.clear();
        let is_whole = mqtt::packet(self.scratch, packet, Version::V5, usize::MAX).is_ok();
        if is_whole {
            (self.out)(Action::Server(link, self.scratch));
        }
        is_whole
    }

    /// Sends an acknowledgement to the server.
    pub(super) fn ack(&mut self, link: Link, kind: AckKind, id: PacketId) {
        let ack = Ack { kind, id, reason: Reason::Success, properties: Properties::NONE };
        self.server(link, &Packet::Ack(ack));
    }

    /// A number of an exchange.
    pub(super) fn random_id(&mut self) -> u16 {
        self.ids.draw()
    }

    pub(super) fn open(&mut self, link: Link, client: Option<SocketAddr>) {
        (self.out)(Action::Open(link, client));
    }

    pub(super) fn close(&mut self, link: Link) {
        (self.out)(Action::Close(link));
    }
}
