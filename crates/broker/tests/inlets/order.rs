//! Nobody sees an effect before its cause: across several loops, with connections that react while others are still being
//! written to, and receivers inside that answer.

use super::world::Unheard;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::inlet::{Batch, Inlet, Publish};
use dialtone_broker::kind::{Entry, Kind};
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place};
use dialtone_broker::permission;
use dialtone_broker::subscription::Subscription;
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

/// Payloads name messages: `3/r0/e1` is what receiver 1 made of what connection 0 made of message 3.
type Seen = Mutex<Vec<String>>;

/// Loops, and who listens.
struct World {
    account: Arc<Account>,
    loops: Vec<Mutex<Turn>>,
    /// Connections and receivers inside that get everything.
    observers: Vec<(&'static str, Arc<Seen>)>,
    publisher: OnceLock<Arc<Peer>>,
    /// What is to be published by a loop that was at work when its connection reacted.
    later: Mutex<Vec<(usize, String)>>,
}

impl World {
    /// A loop publishes, and ends its turn. If it is in the midst of one, it does so later.
    fn publish(&self, at: usize, subject: &str, payload: &str) {
        let Some(mut turn) = self.loops.get(at).and_then(Mutex::try_lock) else {
            return self.later.lock().push((at, payload.to_owned()));
        };
        let framed = format!("{payload}\r\n");
        let message = Message {
            subject: subject.as_bytes(),
            reply: Some(b"wanted"),
            header_bytes: 0,
            framed: framed.as_bytes(),
        };
        let peer = self.publisher.get().expect("it is there");
        let authorized = permission::publish(peer, None, &message, Instant::now()).expect("allowed");
        turn.publish(Origin { peer, account: &self.account, echo: true }, authorized);
        turn.finish();
    }

    /// What connections did while their loops were at work.
    fn catch_up(&self) {
        loop {
            let Some((at, payload)) = self.later.lock().pop() else { return };
            self.publish(at, "reaction", &payload);
        }
    }
}

/// A connection that notes what it gets.
struct Observer(Arc<Seen>);

/// A connection that publishes as soon as it gets something, while the loop that wrote to it goes on with others.
struct Reactor {
    number: usize,
    at: usize,
    world: Weak<World>,
}

/// A receiver inside that has another loop publish at once, as threads do that are quicker than the turn that they got something from.
struct Poster {
    number: usize,
    at: usize,
    world: Weak<World>,
}

/// Answers what has a reply subject, at once.
struct Echo {
    number: usize,
    seen: Arc<Seen>,
    account: Arc<Account>,
}

/// The payloads of `MSG` operations.
fn payloads(slices: &[IoSlice<'_>]) -> Vec<String> {
    let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
    let text = String::from_utf8(bytes).expect("text");
    text.lines().skip(1).step_by(2).map(str::to_owned).collect()
}

fn bytes(slices: &[IoSlice<'_>]) -> usize {
    slices.iter().map(|slice| slice.len()).sum()
}

impl Sink for Observer {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.lock().extend(payloads(slices));
        Ok(bytes(slices))
    }
}

impl Sink for Reactor {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(world) = self.world.upgrade() {
            for payload in payloads(slices) {
                world.publish(self.at, "reaction", &format!("{payload}/r{}", self.number));
            }
        }
        Ok(bytes(slices))
    }
}

impl Inlet for Poster {
    fn take(&self, batch: &Batch, _: &mut dyn Publish) {
        let Some(world) = self.world.upgrade() else { return };
        for received in batch.messages() {
            let payload = String::from_utf8_lossy(received.message.payload());
            world.publish(self.at, "posted", &format!("{payload}/p{}", self.number));
        }
    }

    fn account(&self) -> Option<Arc<Account>> {
        None
    }

    fn posts(&self) -> bool {
        true
    }
}

impl Inlet for Echo {
    fn take(&self, batch: &Batch, turn: &mut dyn Publish) {
        for received in batch.messages() {
            let payload = String::from_utf8_lossy(received.message.payload()).into_owned();
            if received.message.reply.is_some() {
                let framed = format!("{payload}/e{}\r\n", self.number);
                let framed = framed.as_bytes();
                turn.emit(&self.account, &Message { subject: b"echo", reply: None, header_bytes: 0, framed });
            }
            self.seen.lock().push(payload);
        }
    }

    fn account(&self) -> Option<Arc<Account>> {
        Some(self.account.clone())
    }
}

#[derive(Clone, Copy, Debug)]
enum Member {
    Observer,
    Reactor { at: usize },
    Poster { at: usize },
    Echo,
}

fn member() -> impl Strategy<Value = Member> {
    prop_oneof![
        Just(Member::Observer),
        (0usize..LOOPS).prop_map(|at| Member::Reactor { at }),
        (0usize..LOOPS).prop_map(|at| Member::Poster { at }),
        Just(Member::Echo)
    ]
}

const LOOPS: usize = 3;

fn world(members: &[Member]) -> Arc<World> {
    let (account, gate) = (Account::new(AccountId(1), "A"), Arc::<Gate>::default());
    let turn = |n: usize| Mutex::new(Turn::new([n as u8; 32], Instant::now()).with_gate(&gate));
    let seen = |member: &Member| match member {
        Member::Observer => Some(("connection", Arc::default())),
        Member::Echo => Some(("inside", Arc::default())),
        Member::Reactor { .. } | Member::Poster { .. } => None,
    };
    let world = Arc::new(World {
        account: account.clone(),
        loops: (0..LOOPS).map(turn).collect(),
        observers: members.iter().filter_map(seen).collect(),
        publisher: OnceLock::new(),
        later: Mutex::default(),
    });
    let basics = |slot: usize, kind| {
        let (id, slot) = (ClientId(slot as u64), slot as u32);
        Basics { id, kind, slot, pending_bytes_max: 1 << 20, start: Instant::now() }
    };
    let connection = |slot: usize, sink: Arc<dyn Sink>| {
        let peer = Peer::new(basics(slot, Kind::default()), Arc::default(), sink, Box::new(Unheard));
        peer.set_place(Place { account: Some(account.clone()), permissions: None });
        peer
    };
    assert!(world.publisher.set(connection(0, Arc::new(Observer(Arc::default())))).is_ok());
    let mut observers = world.observers.iter().map(|(_, seen)| seen.clone());
    for (number, member) in members.iter().enumerate() {
        let slot = number + 1;
        let (peer, filter) = match member {
            Member::Observer => {
                (connection(slot, Arc::new(Observer(observers.next().expect("its own")))), ">")
            }
            Member::Reactor { at } => {
                let reactor = Reactor { number, at: *at, world: Arc::downgrade(&world) };
                (connection(slot, Arc::new(reactor)), "cause")
            }
            Member::Poster { at } => {
                let poster = Arc::new(Poster { number, at: *at, world: Arc::downgrade(&world) });
                (Peer::inside(basics(slot, Entry::OF_SERVER.from), Arc::default(), poster), "cause")
            }
            Member::Echo => {
                let seen = observers.next().expect("its own");
                let echo = Arc::new(Echo { number, seen, account: account.clone() });
                (Peer::inside(basics(slot, Entry::OF_SERVER.from), Arc::default(), echo), ">")
            }
        };
        let subscription = Subscription::new(peer, filter.as_bytes(), None, b"1");
        gate.subscribe(&account, &subscription, None);
    }
    world
}

proptest! {
    #[test]
    fn no_effect_is_seen_before_its_cause(
        members in proptest::collection::vec(member(), 1..9),
        causes in proptest::collection::vec(0usize..LOOPS, 1..5),
    ) {
        let world = world(&members);
        for (number, at) in causes.iter().enumerate() {
            world.publish(*at, "cause", &number.to_string());
            world.catch_up();
        }
        let reacts = |member: &&Member| matches!(member, Member::Reactor { .. } | Member::Poster { .. });
        let reactors = members.iter().filter(reacts).count();
        let echoes = members.iter().filter(|member| matches!(member, Member::Echo)).count();
        // Each cause and each reaction is answered by each receiver.
        let expected = causes.len() * (1 + reactors) * (1 + echoes);
        for (what, seen) in &world.observers {
            let seen = seen.lock();
            let mut before = BTreeSet::new();
            for payload in &*seen {
                if let Some((cause, _)) = payload.rsplit_once('/') {
                    prop_assert!(before.contains(cause), "{what} got {payload} too early: {seen:?}");
                }
                prop_assert!(before.insert(payload.as_str()), "{what} got {payload} twice");
            }
            prop_assert_eq!(before.len(), expected, "{} got {:?}", what, seen);
        }
    }
}
