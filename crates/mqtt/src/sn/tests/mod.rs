//! A gateway between clients and a naive server, in virtual time.

mod exchanges;
mod hostile;
mod random;
mod server;
mod sleeping;
mod wills;

use super::{Action, Gateway, Identity, Options};
use dialtone_wire::mqtt::Qos as MqttQos;
use dialtone_wire::mqtt_sn::{
    Connect, Datagram, Filter, Message, Publish, Qos, ReturnCode, Subscribe, Topic, encode, parse,
};
use server::{Owned, Server, published};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A gateway with its server. What comes of an event is told as lines.
struct World {
    now: Instant,
    gateway: Gateway,
    server: Server,
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// The address of most tests.
const A: u16 = 1;

impl World {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(mut options: Options) -> Self {
        options.predefined.insert(7, "predefined/topic").unwrap();
        let now = Instant::now();
        Self { now, gateway: Gateway::new(now, options, [1, 2]), server: Server::default(), sent: Vec::new() }
    }

    fn gateway(&mut self, call: impl FnOnce(&mut Gateway, Instant, &mut dyn FnMut(Action<'_>))) {
        let mut asked = Vec::new();
        call(&mut self.gateway, self.now, &mut |action| asked.push(Owned::of(action)));
        self.sent.extend(self.server.play(self.now, &mut self.gateway, asked));
    }

    /// Bytes from an address; what all are told.
    fn bytes(&mut self, from: u16, bytes: &[u8]) -> Vec<String> {
        self.gateway(|gateway, now, out| gateway.datagram(now, address(from), None, bytes, out));
        self.told()
    }

    fn say(&mut self, from: u16, message: Message<'_>) -> Vec<String> {
        let mut bytes = Vec::new();
        encode(&mut bytes, &Datagram { forwarder: None, message }).unwrap();
        self.bytes(from, &bytes)
    }

    /// A message from the usual address, of whoever has shown to be this user.
    fn say_as(&mut self, user: Option<&str>, message: Message<'_>) -> Vec<String> {
        let (mut bytes, user) = (Vec::new(), user.map(std::sync::Arc::from));
        encode(&mut bytes, &Datagram { forwarder: None, message }).unwrap();
        self.gateway(|gateway, now, out| gateway.datagram(now, address(A), user.as_ref(), &bytes, out));
        self.told()
    }

    /// Another client of the server publishes.
    fn publish(&mut self, topic: &str, payload: &str, qos: MqttQos) -> Vec<String> {
        let mut answers = Vec::new();
        self.server.publish(published(topic, payload.as_bytes(), qos), &mut answers);
        for (link, bytes) in answers {
            self.gateway(|gateway, now, out| gateway.server(now, link, &bytes.unwrap(), out));
        }
        self.told()
    }

    /// Time passes, deadline by deadline.
    fn wait(&mut self, seconds: u64) -> Vec<String> {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.gateway.deadline().filter(|at| *at <= until) {
            assert!(at >= self.now, "a deadline that has passed");
            self.now = at;
            self.gateway(|gateway, now, out| gateway.expire(now, out));
        }
        self.now = until;
        self.told()
    }

    /// What was sent since the last look. Random numbers of REGISTER are left out.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent).iter().map(|(to, bytes)| line(*to, bytes)).collect()
    }

    fn connect(&mut self, from: u16, client_id: &str) {
        assert_eq!(self.say(from, connect(client_id)), ["CONNACK Accepted"]);
    }

    fn subscribe(&mut self, from: u16, filter: &str, qos: Qos) -> String {
        let told = self.say(from, subscribe(Filter::Name(filter), qos));
        assert_eq!(told.len(), 1, "{told:?}");
        told.concat()
    }

    /// The last REGISTER, answered.
    fn acknowledge_register(&mut self, from: u16, datagram: &[u8]) -> Vec<String> {
        let Message::Register { topic_id, id, .. } = parse(datagram).unwrap().message else {
            panic!("{}", datagram.escape_ascii())
        };
        self.say(from, Message::RegAck { topic_id, id, code: ReturnCode::Accepted })
    }
}

fn connect(client_id: &str) -> Message<'_> {
    Message::Connect(Connect { will: false, clean_session: true, keep_alive: 60, client_id })
}

fn subscribe(filter: Filter<'_>, qos: Qos) -> Message<'_> {
    Message::Subscribe(Subscribe { dup: false, qos, id: 9, filter })
}

fn publish(topic: Topic, qos: Qos, id: u16, payload: &[u8]) -> Message<'_> {
    Message::Publish(Publish { dup: false, qos, retain: false, topic, id, payload })
}

/// A datagram in a few words.
fn line(to: SocketAddr, bytes: &[u8]) -> String {
    let Datagram { forwarder, message } = parse(bytes).unwrap();
    let text = match message {
        Message::GwInfo(id, _) => format!("GWINFO {id}"),
        Message::ConnAck(code) => format!("CONNACK {code:?}"),
        Message::WillTopicReq => "WILLTOPICREQ".into(),
        Message::WillMsgReq => "WILLMSGREQ".into(),
        Message::Register { topic_id, topic, .. } => format!("REGISTER {topic_id} {topic}"),
        Message::RegAck { topic_id, id, code } => format!("REGACK {topic_id} {id} {code:?}"),
        Message::Publish(publish) => format!(
            "PUBLISH {:?} {:?} {}{} {}",
            publish.topic,
            publish.qos,
            publish.id,
            if publish.dup { " dup" } else { "" },
            publish.payload.escape_ascii()
        ),
        Message::PubAck { topic_id, id, code } => format!("PUBACK {topic_id} {id} {code:?}"),
        Message::PubRec(id) => format!("PUBREC {id}"),
        Message::PubRel(id) => format!("PUBREL {id}"),
        Message::PubComp(id) => format!("PUBCOMP {id}"),
        Message::SubAck { qos, topic_id, id, code } => format!("SUBACK {qos:?} {topic_id} {id} {code:?}"),
        Message::UnsubAck(id) => format!("UNSUBACK {id}"),
        Message::PingResp => "PINGRESP".into(),
        Message::Disconnect(None) => "DISCONNECT".into(),
        Message::WillTopicResp(code) => format!("WILLTOPICRESP {code:?}"),
        Message::WillMsgResp(code) => format!("WILLMSGRESP {code:?}"),
        other => panic!("a gateway does not say {other:?}"),
    };
    let node = forwarder.map_or(String::new(), |forwarder| format!(" @{}", forwarder.node.escape_ascii()));
    if to.port() == A { format!("{text}{node}") } else { format!("{}: {text}{node}", to.port()) }
}
