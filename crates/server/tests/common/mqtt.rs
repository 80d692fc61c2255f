//! A client of MQTT 5 that sends and reads packets.
#![allow(dead_code, reason = "no test needs all of it")]

use super::waiting::{self, Bounded};
use super::{options, start};
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use dialtone_wire::mqtt::{
    Connect, Delivery, Disconnect, Filters, Limits, Packet, PacketId, Parsed, Properties, PropertiesBuf,
    Property, Publish, Qos, Reason, Sender, Subscribe, SubscribeOptions, Subscription, Topics, Unsubscribe,
    Version, encode, parse,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use tempfile::TempDir;

pub const CONNECT: Connect<'static> = Connect {
    version: Version::V5,
    clean_start: false,
    keep_alive: 0,
    client_id: "c",
    will: None,
    username: None,
    password: None,
    properties: Properties::NONE,
};

/// A server with streams and clients of MQTT; `more` stands in the block `mqtt`. The folder is its store.
pub fn start_with_streams(more: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().display();
    let text = format!(
        "server_name: A\njetstream {{ store_dir: '{store}' }}\nmqtt {{ listen: '127.0.0.1:-1', {more} }}"
    );
    (start(options(&text)), folder)
}

pub fn properties(list: &[Property<'_>]) -> PropertiesBuf {
    let mut properties = PropertiesBuf::default();
    list.iter().for_each(|property| properties.push(*property).expect("short"));
    properties
}

pub fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not 0")
}

/// Publishes a message, and reads the answer if there is one.
pub fn publish(device: &mut Device, topic: &str, qos: Qos, number: u16, payload: &str) {
    let delivery = match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce { id: id(number), dup: false },
        Qos::ExactlyOnce => Delivery::ExactlyOnce { id: id(number), dup: false },
    };
    let (payload, properties) = (payload.as_bytes(), Properties::NONE);
    device.send(&Packet::Publish(Publish { delivery, retain: false, topic, properties, payload }));
    if qos != Qos::AtMostOnce {
        let answer = device.next();
        assert!(answer.contains("reason: Success") || answer.contains("NoMatching"), "{answer}");
    }
}

pub struct Device {
    stream: TcpStream,
    version: Version,
    bytes: Vec<u8>,
}

impl Device {
    /// A connection that has said nothing yet.
    pub fn open(server: &Server) -> Self {
        let port = server.node().settings.identity.port(ListenerKind::Mqtt);
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connected").bounded();
        stream.set_nodelay(true).expect("set");
        Self { stream, version: Version::V5, bytes: Vec::new() }
    }

    /// One that has said CONNECT.
    pub fn connect(server: &Server, connect: Connect<'_>) -> Self {
        let mut device = Self::open(server);
        device.version = connect.version;
        device.send(&Packet::Connect(connect));
        device
    }

    /// One with this identifier, whose session lives for ever, and that has heard CONNACK.
    pub fn named(server: &Server, client_id: &str) -> Self {
        let expiry = properties(&[Property::SessionExpiry(u32::MAX)]);
        let mut device =
            Self::connect(server, Connect { client_id, properties: expiry.properties(), ..CONNECT });
        let connack = device.next();
        assert!(connack.starts_with("ConnAck") && connack.contains("reason: Success"), "{connack}");
        device
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode::packet(&mut bytes, packet, self.version, usize::MAX).expect("a packet");
        self.stream.write_all(&bytes).expect("sent");
    }

    /// Subscribes to a filter, and reads the answer.
    pub fn subscribe(&mut self, filter: &str, qos: Qos) -> String {
        let mut filters = Vec::new();
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        Filters::push(&mut filters, Subscription { filter, options }).expect("short");
        let properties = Properties::NONE;
        self.send(&Packet::Subscribe(Subscribe { id: id(9), properties, filters: Filters::of(&filters) }));
        self.next()
    }

    /// Says DISCONNECT, and reads on until the server has closed the connection.
    pub fn leave(mut self) {
        let (reason, properties) = (Reason::Success, Properties::NONE);
        self.send(&Packet::Disconnect(Disconnect { reason, properties }));
        waiting::wait_until("the end", || self.next_or_end().is_none());
    }

    /// Ends the connection without a word.
    pub fn shut(&self) {
        self.stream.shutdown(Shutdown::Both).expect("shut");
    }

    /// Ends a subscription, and reads the answer.
    pub fn unsubscribe(&mut self, filter: &str) -> String {
        let mut filters = Vec::new();
        Topics::push(&mut filters, filter).expect("short");
        let properties = Properties::NONE;
        self.send(&Packet::Unsubscribe(Unsubscribe { id: id(9), properties, filters: Topics::of(&filters) }));
        self.next()
    }

    /// The next packet, as it is shown; `None`: the server has closed the connection.
    pub fn next_or_end(&mut self) -> Option<String> {
        self.next_as(|packet| format!("{packet:?}"))
    }

    pub fn next(&mut self) -> String {
        self.next_or_end().expect("the server has closed the connection")
    }

    /// The next packet.
    pub fn next_as<T>(&mut self, of: impl FnOnce(&Packet<'_>) -> T) -> Option<T> {
        let limits = Limits {
            sender: Sender::Server,
            version: Some(self.version),
            packet_bytes_max: 1 << 20,
            filters_max: 100,
            user_properties_max: 100,
        };
        for () in waiting::tries("a packet") {
            if let Parsed::Packet(packet, used) = parse(&self.bytes, &limits).expect("a packet") {
                let told = of(&packet);
                self.bytes.drain(..used);
                return Some(told);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).expect("in time") {
                0 => return None,
                read => self.bytes.extend_from_slice(&buffer[..read]),
            }
        }
        None
    }
}
