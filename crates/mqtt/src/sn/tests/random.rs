//! Clients that play by the rules over a network that loses, copies and delays datagrams, in virtual time: what arrives, and how often.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Milliseconds that a datagram may take.
const DELAY_MAX: u64 = 400;

/// Draws from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, max: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % max
    }
}

/// What a client does next; each has to be answered before the following.
#[derive(Clone, Debug)]
enum Wish {
    Connect,
    /// It ends its sleep.
    Wake,
    Subscribe(Qos),
    Publish(Qos, u64),
    /// It sleeps so many times, and wakes well before it has to.
    Sleep(u32),
}

/// A client.
struct Device {
    name: String,
    wishes: VecDeque<Wish>,
    /// What it sent and is not answered, and when it sends it again.
    asked: Option<(Vec<u8>, Instant)>,
    id: u16,
    /// When it wakes, if it sleeps; and how often more.
    wakes: Option<(Instant, u32)>,
    topics: BTreeMap<u16, String>,
    /// Exchanges of quality of service 2 from the gateway that are under way or over.
    taken: BTreeSet<u16>,
    got: Vec<(Qos, u64)>,
}

impl Device {
    fn message(&mut self, wish: &Wish) -> Vec<u8> {
        self.id += 1;
        let payload;
        let message = match wish {
            Wish::Connect | Wish::Wake => Message::Connect(Connect {
                will: false,
                clean_session: matches!(wish, Wish::Connect),
                keep_alive: 0,
                client_id: &self.name,
            }),
            Wish::Subscribe(qos) => Message::Subscribe(Subscribe {
                dup: false,
                qos: *qos,
                id: self.id,
                filter: Filter::Name("#"),
            }),
            Wish::Publish(qos, number) => {
                payload = number.to_string();
                publish(Topic::Short(*b"tt"), *qos, self.id, payload.as_bytes())
            }
            Wish::Sleep(_) => Message::Disconnect(Some(6000)),
        };
        bytes_of(message)
    }

    /// Begins with its next wish, sends again what is not answered, and wakes.
    fn turn(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if let Some((bytes, at)) = &mut self.asked {
            if *at <= now {
                *at = now + Duration::from_secs(10);
                if bytes[1] == 0x0C {
                    bytes[2] |= 0x80;
                }
                out.push(bytes.clone());
            }
        } else if let Some((at, _)) = self.wakes {
            if at <= now {
                self.ask(bytes_of(Message::PingReq(&self.name.clone())), now, out);
            }
        } else if let Some(wish) = self.wishes.front().cloned() {
            let bytes = self.message(&wish);
            self.ask(bytes, now, out);
        }
    }

    fn ask(&mut self, bytes: Vec<u8>, now: Instant, out: &mut Vec<Vec<u8>>) {
        out.push(bytes.clone());
        self.asked = Some((bytes, now + Duration::from_secs(10)));
    }

    /// The wish is fulfilled.
    fn done(&mut self) {
        self.asked = None;
        self.wishes.pop_front();
    }

    fn receive(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<Vec<u8>>) {
        let asked = self.asked.as_ref().map(|(bytes, _)| bytes[1]);
        let mut say = |message| out.push(bytes_of(message));
        match parse(bytes).unwrap().message {
            Message::ConnAck(code) if asked == Some(0x04) => {
                assert_eq!(code, ReturnCode::Accepted);
                self.done();
            }
            Message::SubAck { id, .. } if asked == Some(0x12) && id == self.id => self.done(),
            Message::PubAck { id, code, .. } if asked == Some(0x0C) && id == self.id => {
                assert_eq!(code, ReturnCode::Accepted);
                self.done();
            }
            Message::PubRec(id) if asked == Some(0x0C) && id == self.id => {
                self.ask(bytes_of(Message::PubRel(id)), now, out);
            }
            // Of one that is over.
            Message::PubRec(id) if asked != Some(0x10) || id != self.id => say(Message::PubRel(id)),
            Message::PubComp(id) if asked == Some(0x10) && id == self.id => self.done(),
            Message::Disconnect(None) if asked == Some(0x18) => {
                if let Some(Wish::Sleep(times)) = self.wishes.front() {
                    self.wakes = Some((now + Duration::from_secs(50), *times));
                }
                self.done();
            }
            Message::Disconnect(None) => assert!(asked.is_none(), "{} was lost", self.name),
            Message::PingResp if asked == Some(0x16) => {
                self.asked = None;
                self.wakes = match self.wakes {
                    Some((_, times)) if times > 1 => Some((now + Duration::from_secs(50), times - 1)),
                    _ => {
                        self.wishes.push_front(Wish::Wake);
                        None
                    }
                };
            }
            Message::Register { topic_id, id, topic } => {
                self.topics.insert(topic_id, topic.into());
                say(Message::RegAck { topic_id, id, code: ReturnCode::Accepted });
            }
            Message::Publish(publish) => self.take(&publish, out),
            Message::PubRel(id) => say(Message::PubComp(id)),
            _ => {}
        }
    }

    fn take(&mut self, publish: &Publish<'_>, out: &mut Vec<Vec<u8>>) {
        let number = std::str::from_utf8(publish.payload).unwrap().parse().unwrap();
        if let Topic::Registered(topic_id) = publish.topic {
            assert!(self.topics.contains_key(&topic_id), "it was told of no topic {topic_id}");
        }
        match publish.qos {
            Qos::ExactlyOnce => {
                if self.taken.insert(publish.id) {
                    self.got.push((publish.qos, number));
                }
                out.push(bytes_of(Message::PubRec(publish.id)));
            }
            Qos::AtLeastOnce => {
                self.got.push((publish.qos, number));
                let (topic_id, id) = (publish.topic.id(), publish.id);
                out.push(bytes_of(Message::PubAck { topic_id, id, code: ReturnCode::Accepted }));
            }
            _ => self.got.push((publish.qos, number)),
        }
    }
}

fn bytes_of(message: Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, &Datagram { forwarder: None, message }).unwrap();
    bytes
}

/// A network between devices and the gateway.
struct Network {
    world: World,
    draw: Draw,
    /// Of a hundred datagrams, how many are lost, and how many are copied.
    lost: u64,
    copied: u64,
    devices: Vec<Device>,
    /// When, a number that makes it unique, to a device or from it, and the datagram.
    under_way: BTreeMap<(Instant, u64), (usize, bool, Vec<u8>)>,
    sent: u64,
}

impl Network {
    fn carry(&mut self, device: usize, is_up: bool, bytes: &[u8]) {
        let copies = if self.draw.below(100) < self.copied { 2 } else { 1 };
        for _ in 0..copies {
            if self.draw.below(100) >= self.lost {
                let at = self.world.now + Duration::from_millis(self.draw.below(DELAY_MAX));
                self.sent += 1;
                self.under_way.insert((at, self.sent), (device, is_up, bytes.to_vec()));
            }
        }
    }

    /// Up to the moment when nothing is wanted and nothing waits.
    fn run(&mut self) {
        for _ in 0..200_000 {
            let now = self.world.now;
            for at in 0..self.devices.len() {
                let mut out = Vec::new();
                self.devices[at].turn(now, &mut out);
                out.iter().for_each(|bytes| self.carry(at, true, bytes));
            }
            self.carry_down();
            let wanted = self.devices.iter().filter_map(|device| {
                device.asked.as_ref().map(|(_, at)| *at).or(device.wakes.map(|(at, _)| at))
            });
            let network = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = wanted.chain(network).chain(self.world.gateway.deadline()).min() else { return };
            if self.is_quiet() {
                return;
            }
            self.world.now = next.max(now);
            while let Some(entry) =
                self.under_way.first_entry().filter(|entry| entry.key().0 <= self.world.now)
            {
                let (device, is_up, bytes) = entry.remove();
                self.arrive(device, is_up, &bytes);
            }
            if self.world.gateway.deadline().is_some_and(|at| at <= self.world.now) {
                self.world.gateway(|gateway, now, out| gateway.expire(now, out));
            }
            self.carry_down();
        }
        panic!("it does not come to an end");
    }

    fn is_quiet(&self) -> bool {
        let is_done =
            |device: &Device| device.asked.is_none() && device.wakes.is_none() && device.wishes.is_empty();
        let keep_alive_only =
            self.world.gateway.deadline().is_none_or(|at| at > self.world.now + Duration::from_secs(11));
        self.under_way.is_empty() && self.devices.iter().all(is_done) && keep_alive_only
    }

    fn arrive(&mut self, device: usize, is_up: bool, bytes: &[u8]) {
        if is_up {
            let from = address(device as u16);
            self.world.gateway(|gateway, now, out| gateway.datagram(now, from, None, bytes, out));
        } else {
            let mut out = Vec::new();
            self.devices[device].receive(self.world.now, bytes, &mut out);
            out.iter().for_each(|bytes| self.carry(device, true, bytes));
        }
        self.carry_down();
    }

    fn carry_down(&mut self) {
        for (to, bytes) in std::mem::take(&mut self.world.sent) {
            self.carry(usize::from(to.port()), false, &bytes);
        }
    }
}

fn device(at: usize, wishes: Vec<Wish>) -> Device {
    Device {
        name: format!("c{at}"),
        wishes: wishes.into(),
        asked: None,
        id: 0,
        wakes: None,
        topics: BTreeMap::new(),
        taken: BTreeSet::new(),
        got: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of quality of service 2 each message arrives once and in order, of 1 at least once, whatever the network does.
    #[test]
    fn messages_arrive_as_often_as_they_shall(
        seed in 1_u64..u64::MAX, lost in 0_u64..40, copied in 0_u64..40, sleeps in 0_u32..4,
        qos in proptest::collection::vec(prop::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]), 1..12),
    ) {
        let publishes = qos.iter().zip(0..).filter(|(qos, _)| **qos != Qos::AtMostOnce).map(|(qos, number)| Wish::Publish(*qos, number));
        let publisher = device(1, [Wish::Connect].into_iter().chain(publishes).collect());
        let mut subscriber = vec![Wish::Connect, Wish::Subscribe(Qos::ExactlyOnce)];
        subscriber.extend((sleeps > 0).then_some(Wish::Sleep(sleeps)));
        let options = Options { retries_max: 1000, ..Options::default() };
        let mut network = Network {
            world: World::with(options),
            draw: Draw(seed),
            lost,
            copied,
            devices: vec![device(0, subscriber), device(1, vec![])],
            under_way: BTreeMap::new(),
            sent: 0,
        };
        // The subscriber is there before anything is published; it may be asleep.
        while network.devices[0].wishes.len() > usize::from(sleeps > 0) {
            let mut out = Vec::new();
            let now = network.world.now;
            network.devices[0].turn(now, &mut out);
            out.iter().for_each(|bytes| network.arrive(0, true, bytes));
            let down: Vec<_> = std::mem::take(&mut network.under_way).into_values().collect();
            for (device, is_up, bytes) in down {
                if !is_up {
                    let mut out = Vec::new();
                    network.devices[device].receive(now, &bytes, &mut out);
                }
            }
            network.world.now += Duration::from_secs(10);
        }
        network.devices[1] = publisher;
        network.run();
        let sent = |wanted: Qos| qos.iter().zip(0_u64..).filter(move |(qos, _)| **qos == wanted).map(|(_, number)| number);
        let got = |wanted: Qos| network.devices[0].got.iter().filter(move |(qos, _)| *qos == wanted).map(|(_, number)| *number);
        prop_assert_eq!(got(Qos::ExactlyOnce).collect::<Vec<_>>(), sent(Qos::ExactlyOnce).collect::<Vec<_>>());
        prop_assert_eq!(got(Qos::AtLeastOnce).collect::<BTreeSet<_>>(), sent(Qos::AtLeastOnce).collect::<BTreeSet<_>>());
        prop_assert!(network.world.server.connections() == 2);
    }
}
