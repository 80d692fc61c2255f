//! Statements of MQTT 3.1.1 and 5.0, each by a test that is named after it: `mqtt_3_1_2_24` is [MQTT-3.1.2-24] of 5.0, and with `v311`
//! in front of 3.1.1.

mod agreement;
mod challenging;
mod flow;
mod random;
mod statements;
mod subscribing;

use crate::*;
use dialtone_wire::mqtt::{
    Connect, Limits, Packet, PacketId, Parsed, Properties, PropertiesBuf, Property, Qos, Reason, Sender,
    Version, parse,
};
use std::time::{Duration, Instant};

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn properties(list: &[Property<'_>]) -> PropertiesBuf {
    let mut properties = PropertiesBuf::default();
    list.iter().for_each(|property| properties.push(*property).unwrap());
    properties
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        clean_start: true,
        keep_alive: 10,
        client_id: "c",
        will: None,
        username: None,
        password: None,
        properties: Properties::NONE,
    }
}

/// A client with its connection. What comes of an event is told as lines: packets with `<`, commands without.
struct Client {
    version: Version,
    connection: Connection,
    now: Instant,
    bytes: Vec<u8>,
    commands: Vec<String>,
}

impl Client {
    fn new(connect: &Connect<'_>, options: Options) -> Self {
        Self::resume(connect, options, None)
    }

    fn resume(connect: &Connect<'_>, options: Options, session: Option<Session>) -> Self {
        let now = Instant::now();
        let agreed = agree(connect, &options).unwrap();
        let will = connect.will.as_ref().map(OwnWill::of);
        let connection = Connection::new(now, agreed, options, session, will);
        Self { version: connect.version, connection, now, bytes: Vec::new(), commands: Vec::new() }
    }

    fn v5() -> Self {
        Self::new(&connect(Version::V5), Options::default())
    }

    fn v311() -> Self {
        Self::new(&connect(Version::V311), Options::default())
    }

    /// Calls the connection with its outputs.
    fn with<T>(
        &mut self,
        call: impl FnOnce(&mut Connection, &mut Vec<u8>, &mut dyn FnMut(Command<'_>)) -> T,
    ) -> T {
        let Self { connection, bytes, commands, .. } = self;
        call(connection, bytes, &mut |command| commands.push(format!("{command:?}")))
    }

    fn receive(&mut self, packet: Packet<'_>) -> Result<(), Ended> {
        let now = self.now;
        self.with(|connection, out, commands| connection.receive(now, &packet, out, commands))
    }

    /// Bytes as the client sends them, one packet.
    #[track_caller]
    fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let limits = Limits {
            sender: Sender::Client,
            version: Some(self.version),
            packet_bytes_max: 1 << 20,
            filters_max: 100,
            user_properties_max: 100,
        };
        match parse(bytes, &limits) {
            Ok(Parsed::Packet(packet, used)) if used == bytes.len() => self.receive(packet),
            other => panic!("{other:?}"),
        }
    }

    fn publish(&mut self, qos: Qos, pid: u16) -> Result<(), Ended> {
        let delivery = match qos {
            Qos::AtMostOnce => dialtone_wire::mqtt::Delivery::AtMostOnce,
            Qos::AtLeastOnce => dialtone_wire::mqtt::Delivery::AtLeastOnce { id: id(pid), dup: false },
            Qos::ExactlyOnce => dialtone_wire::mqtt::Delivery::ExactlyOnce { id: id(pid), dup: false },
        };
        self.receive(Packet::Publish(dialtone_wire::mqtt::Publish {
            delivery,
            retain: false,
            topic: "t",
            properties: Properties::NONE,
            payload: b"x",
        }))
    }

    fn stored(&mut self, ticket: Ticket, reason: Reason) {
        self.with(|connection, out, _| connection.stored(ticket, reason, out));
    }

    fn deliver(&mut self, qos: Qos, place: u64) -> Delivered {
        let message = Message { topic: "t", retain: false, properties: Properties::NONE, payload: b"x" };
        self.with(|connection, out, commands| match qos {
            Qos::AtMostOnce => connection.deliver(&message, out),
            _ => connection.deliver_stored(&message, (qos, false), Place(place), out, commands),
        })
    }

    fn fetched(&mut self, pid: u16) {
        let message = Message { topic: "t", retain: false, properties: Properties::NONE, payload: b"x" };
        self.with(|connection, out, commands| connection.fetched(id(pid), Some(&message), out, commands));
    }

    /// What was sent since the last look, packet by packet.
    fn packets(&mut self) -> Vec<String> {
        let bytes = std::mem::take(&mut self.bytes);
        let limits = Limits {
            sender: Sender::Server,
            version: Some(self.version),
            packet_bytes_max: 1 << 20,
            filters_max: 100,
            user_properties_max: 100,
        };
        let (mut rest, mut packets) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let Ok(Parsed::Packet(packet, used)) = parse(rest, &limits) else {
                panic!("{}", rest.escape_ascii())
            };
            packets.push(short(&packet));
            rest = &rest[used..];
        }
        packets
    }

    fn commands(&mut self) -> Vec<String> {
        std::mem::take(&mut self.commands)
    }
}

/// A packet in a word or two.
fn short(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Ack(ack) => format!("{} {} {:?}", ack.kind.kind(), ack.id.get(), ack.reason),
        Packet::Publish(publish) => {
            let sent = publish
                .delivery
                .sent()
                .map_or(String::new(), |(id, dup)| format!(" {}{}", id.get(), if dup { " dup" } else { "" }));
            format!("PUBLISH {:?} qos {}{sent}", publish.topic, publish.delivery.qos() as u8)
        }
        Packet::SubAck(ack) => format!("SUBACK {} {:?}", ack.id.get(), ack.reasons),
        Packet::UnsubAck(ack) => format!("UNSUBACK {} {:?}", ack.id.get(), ack.reasons),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {:?}", disconnect.reason),
        other => format!("{other:?}"),
    }
}

const OK: Result<(), Ended> = Ok(());

fn refused(reason: Reason) -> Result<(), Ended> {
    Err(Ended::Refused(reason))
}
