//! Random exchanges with connections that break, against what a client may rely on.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Step {
    Deliver(Qos),
    /// The client answers the packet at this place of what it has not answered.
    Answer(prop::sample::Index),
    /// The server has written that the client has a message.
    Written(prop::sample::Index),
    Break,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let qos = prop::sample::select(vec![Qos::AtLeastOnce, Qos::ExactlyOnce]);
    let step = prop_oneof![
        4 => qos.prop_map(Step::Deliver),
        6 => any::<prop::sample::Index>().prop_map(Step::Answer),
        3 => any::<prop::sample::Index>().prop_map(Step::Written),
        1 => Just(Step::Break),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A client as the specification wants it: it takes a message of quality of service 2 once for each exchange.
struct World {
    client: Client,
    /// Unanswered packets: PUBLISH with quality of service, PUBREL.
    unanswered: Vec<(u16, Option<Qos>)>,
    /// Exchanges of quality of service 2 that the client knows: between PUBLISH and PUBREL.
    known: BTreeSet<u16>,
    unwritten: Vec<u16>,
    places: BTreeMap<u16, u64>,
    sent: BTreeMap<u64, Qos>,
    taken: BTreeMap<u64, usize>,
    acknowledged: BTreeSet<u64>,
    next: u64,
}

const WINDOW: u16 = 4;

impl World {
    /// Looks at what was sent, as the client does, and at the commands.
    fn look(&mut self) {
        for command in self.client.commands() {
            let number = |text: &str| -> u64 {
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                digits.parse().unwrap()
            };
            if let Some(place) = command.strip_prefix("Acknowledge") {
                assert!(self.acknowledged.insert(number(place)), "acknowledged twice");
            } else if let Some(both) = command.strip_prefix("Fetch") {
                let (pid, place) = both.split_once(',').unwrap();
                assert_eq!(self.places.get(&(number(pid) as u16)), Some(&number(place)));
                self.client.fetched(number(pid) as u16);
            } else if let Some(both) = command.strip_prefix("Received") {
                self.unwritten.push(number(both.split_once(',').unwrap().0) as u16);
            }
        }
        for packet in self.client.packets() {
            let words: Vec<&str> = packet.split(' ').collect();
            match words[..] {
                ["PUBLISH", _, "qos", qos, pid, ..] => {
                    let (pid, qos) = (pid.parse().unwrap(), Qos::of(qos.parse().unwrap()).unwrap());
                    let place = *self.places.entry(pid).or_insert(self.next);
                    if qos == Qos::AtLeastOnce || self.known.insert(pid) {
                        *self.taken.entry(place).or_default() += 1;
                    }
                    self.unanswered.push((pid, Some(qos)));
                }
                ["PUBREL", pid, _] => {
                    let pid = pid.parse().unwrap();
                    self.known.remove(&pid);
                    self.unanswered.push((pid, None));
                }
                _ => {}
            }
        }
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Deliver(qos) => {
                self.next += 1;
                let in_flight = self.client.connection.session().in_flight().count();
                let ids = self.client.connection.session().in_flight().map(|(id, ..)| id.get());
                let used: BTreeSet<u16> = ids.collect();
                self.places.retain(|pid, _| used.contains(pid));
                let delivered = self.client.deliver(*qos, self.next);
                assert_eq!(delivered == Delivered::Full, in_flight >= usize::from(WINDOW));
                if delivered == Delivered::Sent {
                    self.sent.insert(self.next, *qos);
                }
            }
            Step::Answer(at) if !self.unanswered.is_empty() => {
                let (pid, qos) = self.unanswered.remove(at.index(self.unanswered.len()));
                let first = match qos {
                    Some(Qos::AtLeastOnce) => 0x40,
                    Some(_) => 0x50,
                    None => 0x70,
                };
                let [high, low] = pid.to_be_bytes();
                self.client.send(&[first, 2, high, low]).unwrap();
            }
            Step::Written(at) if !self.unwritten.is_empty() => {
                let pid = self.unwritten.remove(at.index(self.unwritten.len()));
                self.client.stored(Ticket::Received(id(pid)), Reason::Success);
            }
            Step::Break => self.reconnect(),
            _ => {}
        }
        self.look();
    }

    fn reconnect(&mut self) {
        let connect = keeps();
        let fresh = Client::new(&connect, options());
        let old = std::mem::replace(&mut self.client, fresh);
        let session = old.connection.end(Ended::Refused(Reason::UnspecifiedError)).session;
        self.client = Client::resume(&connect, options(), session);
        self.unanswered.clear();
        self.unwritten.clear();
        let welcome =
            |connection: &mut Connection, out: &mut Vec<u8>, commands: &mut dyn FnMut(Command<'_>)| {
                connection.welcome(true, Properties::NONE, out, commands)
            };
        self.client.with(welcome).unwrap();
        self.look();
        self.look();
    }
}

fn options() -> Options {
    Options { ack_pending_max: std::num::NonZeroU16::new(WINDOW).unwrap(), ..Options::default() }
}

fn keeps() -> Connect<'static> {
    Connect { clean_start: false, ..connect(Version::V311) }
}

proptest! {
    /// Whatever breaks: what is acknowledged was taken, of quality of service 2 exactly once, and in the end all is.
    #[test]
    fn messages_arrive_as_often_as_they_shall(steps in steps(), order in any::<prop::sample::Index>()) {
        let mut world = World {
            client: Client::new(&keeps(), options()),
            unanswered: Vec::new(),
            known: BTreeSet::new(),
            unwritten: Vec::new(),
            places: BTreeMap::new(),
            sent: BTreeMap::new(),
            taken: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            next: 0,
        };
        steps.iter().for_each(|step| world.play(step));
        world.reconnect();
        while !world.unanswered.is_empty() || !world.unwritten.is_empty() {
            world.play(&Step::Answer(order));
            world.play(&Step::Written(order));
        }
        prop_assert_eq!(world.client.connection.session().in_flight().count(), 0);
        for (place, qos) in &world.sent {
            let taken = world.taken.get(place).copied().unwrap_or_default();
            prop_assert!(world.acknowledged.contains(place), "{} is not acknowledged", place);
            prop_assert!(taken >= 1 && (*qos == Qos::AtLeastOnce || taken == 1), "{} was taken {} times", place, taken);
        }
    }
}
