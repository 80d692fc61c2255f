//! What a watcher of interest is told, against counting anew what is subscribed, after random changes by every road.

use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::interest::{Delta, Gate, Mark, Relayed, Source, Watch};
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::kind::Kind;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place, Wake};
use dialtone_broker::permission;
use dialtone_broker::relay::RelayInterest;
use dialtone_broker::subscription::Subscription;
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

const FILTERS: [&str; 4] = ["a", "a.b", "a.*", ">"];
const QUEUES: [Option<&str>; 3] = [None, Some("q"), Some("r")];
const PEERS: usize = 4;
const SIDS: usize = 5;

/// By account, filter and queue group: how many subscriptions.
type Counts = BTreeMap<(u32, Vec<u8>, Option<Vec<u8>>), u32>;

/// Keeps the counts by what it is told alone, and tells each change to a peer.
#[derive(Default)]
struct Mirror {
    counts: Mutex<Counts>,
    neighbour: Mutex<Option<Arc<Peer>>>,
}

#[derive(Clone)]
struct Shared(Arc<Mirror>);

impl Watch for Shared {
    fn changed(&self, account: &Arc<Account>, delta: Delta<'_>, turn: Option<&mut Turn>) {
        let key = (account.id.0, delta.filter.to_vec(), delta.queue.map(<[u8]>::to_vec));
        let mut counts = self.0.counts.lock();
        assert_eq!(counts.get(&key).copied().unwrap_or(0), delta.before, "{delta:?}");
        assert_eq!(delta.before.abs_diff(delta.now), 1, "{delta:?}");
        if delta.now > 0 {
            counts.insert(key, delta.now);
        } else {
            counts.remove(&key);
        }
        if let (Some(turn), Some(neighbour)) = (turn, &*self.0.neighbour.lock()) {
            turn.enqueue(neighbour, format!("{} {}\r\n", delta.before, delta.now).as_bytes());
        }
    }
}

#[derive(Default)]
struct Wire(Mutex<Vec<u8>>);

impl Sink for Wire {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().for_each(|slice| self.0.lock().extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

struct Unheard;

impl Wake for Unheard {
    fn wake(&self) {}
}

fn peer(number: u32, account: Option<&Arc<Account>>, wire: &Arc<Wire>) -> Arc<Peer> {
    let basics = Basics {
        id: ClientId(u64::from(number)),
        kind: Kind::default(),
        slot: number,
        pending_bytes_max: 1 << 20,
        start: Instant::now(),
    };
    let peer = Peer::new(basics, Arc::default(), wire.clone(), Box::new(Unheard));
    peer.set_place(Place { account: account.cloned(), permissions: None });
    peer
}

struct World {
    mirror: Shared,
    gate: Arc<Gate>,
    turn: Turn,
    accounts: Vec<Arc<Account>>,
    peers: Vec<Arc<Peer>>,
}

impl World {
    fn new() -> Self {
        let mirror = Shared(Arc::default());
        let gate = Gate::watched(mirror.clone());
        let turn = Turn::new([1; 32], Instant::now()).with_gate(&gate);
        let accounts: Vec<_> = (0..2).map(|number| Account::new(AccountId(number), "a")).collect();
        let wire = Arc::default();
        let peers = (0..PEERS).map(|n| peer(n as u32, Some(&accounts[n % 2]), &wire)).collect();
        Self { mirror, gate, turn, accounts, peers }
    }

    fn account(&self, peer: usize) -> Arc<Account> {
        self.accounts[peer % 2].clone()
    }

    fn subscribe(&mut self, peer: usize, filter: &str, queue: Option<&str>, sid: usize) -> bool {
        let queue = queue.map(str::as_bytes);
        let subscription =
            Subscription::new(self.peers[peer].clone(), filter.as_bytes(), queue, sid.to_string().as_bytes());
        self.turn.subscribe(&self.account(peer), &subscription)
    }

    fn publish(&mut self, peer: usize, subject: &str) {
        let message = Message { subject: subject.as_bytes(), reply: None, header_bytes: 0, framed: b"x\r\n" };
        let (account, peer) = (self.account(peer), &self.peers[peer]);
        let authorized = permission::publish(peer, None, &message, Instant::now()).expect("all is allowed");
        self.turn.publish(Origin { peer, account: &account, echo: true }, authorized);
    }

    /// Counts anew what is subscribed.
    fn recount(&self) -> Counts {
        let mut counts = Counts::new();
        for account in &self.accounts {
            for entry in account.interest().iter() {
                let (filter, queue) = (entry.0.filter().to_vec(), entry.0.queue().map(<[u8]>::to_vec));
                *counts.entry((account.id.0, filter, queue)).or_default() += 1;
            }
        }
        counts
    }
}

/// One of the roads on which interest changes.
#[derive(Clone, Debug)]
enum Step {
    Subscribe(usize, usize, usize, usize),
    Unsubscribe(usize, usize),
    /// At once, as when rights are taken away by another thread.
    TakeAway(usize, usize),
    EndAfter(usize, usize, u64),
    Publish(usize),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (peer, sid) = (0..PEERS, 0..SIDS);
    let step = prop_oneof![
        6 => (peer.clone(), 0..FILTERS.len(), 0..QUEUES.len(), sid.clone()).prop_map(|(p, f, q, s)| Step::Subscribe(p, f, q, s)),
        2 => (peer.clone(), sid.clone()).prop_map(|(p, s)| Step::Unsubscribe(p, s)),
        1 => (peer.clone(), sid.clone()).prop_map(|(p, s)| Step::TakeAway(p, s)),
        2 => (peer.clone(), sid, 1u64..4).prop_map(|(p, s, max)| Step::EndAfter(p, s, max)),
        3 => peer.clone().prop_map(Step::Publish),
        1 => peer.prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn what_is_told_is_what_counting_anew_gives(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            let find = |world: &World, peer: usize, sid: usize| {
                world.peers[peer].subscriptions().find(sid.to_string().as_bytes()).cloned()
            };
            match step {
                Step::Subscribe(peer, filter, queue, sid) => {
                    let is_free = find(&world, peer, sid).is_none();
                    prop_assert_eq!(world.subscribe(peer, FILTERS[filter], QUEUES[queue], sid), is_free);
                }
                Step::Unsubscribe(peer, sid) => {
                    if let Some(subscription) = find(&world, peer, sid) {
                        prop_assert!(world.turn.unsubscribe(&subscription));
                        prop_assert!(!world.turn.unsubscribe(&subscription), "once");
                    }
                }
                Step::TakeAway(peer, sid) => {
                    if let Some(subscription) = find(&world, peer, sid) {
                        prop_assert!(world.gate.unsubscribe(&world.account(peer), &subscription, None));
                    }
                }
                Step::EndAfter(peer, sid, max) => {
                    if let Some(subscription) = find(&world, peer, sid) && subscription.set_max(max) {
                        world.turn.unsubscribe(&subscription);
                    }
                }
                Step::Publish(peer) => world.publish(peer, "a.b"),
                Step::Leave(peer) => {
                    let peer = world.peers[peer].clone();
                    world.turn.unsubscribe_all(&peer);
                    prop_assert!(peer.subscriptions().is_empty());
                }
            }
            prop_assert_eq!(&*world.mirror.0.counts.lock(), &world.recount());
        }
    }
}

/// What is sent because of a change is in order with other changes, whichever loop reports them, and so before what the turn has staged; it
/// is written with what else the turn did.
#[test]
fn interest_ends_in_the_turn_that_delivers_the_last_message() {
    let mut world = World::new();
    let wire: Arc<Wire> = Arc::default();
    let neighbour = peer(9, None, &wire);
    *world.mirror.0.neighbour.lock() = Some(neighbour.clone());
    assert!(world.subscribe(0, "a", None, 1));
    let subscription = world.peers[0].subscriptions().find(b"1").cloned().expect("it is there");
    assert!(!subscription.set_max(2));
    world.turn.send(&neighbour, b"PONG\r\n");
    world.publish(0, "a");
    world.turn.send(&neighbour, b"one\r\n");
    world.publish(0, "a");
    world.publish(0, "a");
    world.turn.send(&neighbour, b"PONG\r\n");
    assert!(wire.0.lock().is_empty());
    world.turn.finish();
    assert_eq!(String::from_utf8_lossy(&wire.0.lock()), "0 1\r\n1 0\r\nPONG\r\none\r\nPONG\r\n");
    assert!(world.recount().is_empty());
}

/// Keeps what somebody of a kind is told, who counts all that he is told of as one.
struct Neighbour {
    kind: Kind,
    cluster: &'static [u8],
    counts: Mutex<Counts>,
}

impl Neighbour {
    fn group(&self, source: &Source<'_>) -> Option<()> {
        let is_own =
            matches!(source, Source::Behind(kind, cluster) if *kind == self.kind && *cluster == self.cluster);
        (source.is_told_to(self.kind) && !is_own).then_some(())
    }
}

/// Is told, and does nothing.
struct Deaf;

impl Watch for Deaf {
    fn changed(&self, _: &Arc<Account>, _: Delta<'_>, _: Option<&mut Turn>) {}
}

#[derive(Clone)]
struct Told(Arc<Neighbour>);

impl Watch for Told {
    fn changed(&self, account: &Arc<Account>, delta: Delta<'_>, _: Option<&mut Turn>) {
        let Some(((), sum)) = delta.sum(|source| self.0.group(source)) else { return };
        let key = (account.id.0, delta.filter.to_vec(), delta.queue.map(<[u8]>::to_vec));
        let mut counts = self.0.counts.lock();
        assert_eq!(counts.get(&key).copied().unwrap_or(0), sum.before, "{delta:?}");
        let _ = if sum.now > 0 { counts.insert(key, sum.now) } else { counts.remove(&key) };
    }
}

/// A change at a relay: which one, what for, and with which weight; 0: it ends.
type RelayStep = (usize, usize, usize, u32);

proptest! {
    /// Neighbours of each kind are told what counting anew gives, of the sources that are for them, and no more; and so is one that comes later,
    /// and those that nobody was told before: then all is counted at once, or what is behind relays.
    #[test]
    fn neighbours_are_told_of_others_interest(
        steps in prop::collection::vec((0..5usize, 0..FILTERS.len(), 0..2usize, 0..3u32), 1..40),
        clients in prop::collection::vec((0..FILTERS.len(), 0..2usize), 0..4),
        filters in prop::collection::vec(0..FILTERS.len(), 0..3),
        since in 0..3,
    ) {
        let told: Vec<Arc<Neighbour>> = [(Kind::Route, &b""[..]), (Kind::Spoke, b"EDGE"), (Kind::Hub, b"TOP")]
            .map(|(kind, cluster)| Arc::new(Neighbour { kind, cluster, counts: Mutex::default() }))
            .to_vec();
        let watches = told.iter().map(|neighbour| Box::new(Told(neighbour.clone())) as Box<dyn Watch>);
        let mut watches: Vec<_> = watches.collect();
        let gate = match since {
            0 => Gate::of(std::mem::take(&mut watches), true),
            1 => Gate::of(Vec::new(), false),
            _ => Gate::watched(Deaf),
        };
        let account = Account::new(AccountId(0), "A");
        let wire = Arc::default();
        let client = peer(9, Some(&account), &wire);
        for (sid, (filter, queue)) in clients.iter().enumerate() {
            let queue = QUEUES[*queue].map(str::as_bytes);
            let subscription =
                Subscription::new(client.clone(), FILTERS[*filter].as_bytes(), queue, sid.to_string().as_bytes());
            gate.subscribe(&account, &subscription, None);
        }
        let filters: BTreeSet<&str> = filters.into_iter().map(|filter| FILTERS[filter]).collect();
        let own: Vec<Box<[u8]>> = filters.iter().map(|filter| filter.as_bytes().into()).collect();
        gate.set_account_filters(&account, &own);
        let kinds = [(Kind::Route, ""), (Kind::Route, "EDGE"), (Kind::Spoke, "EDGE"), (Kind::Spoke, "OTHER"), (Kind::Hub, "TOP")];
        let relays = kinds.map(|(kind, _)| {
            let basics = Basics { id: ClientId(1), kind, slot: 1, pending_bytes_max: 1, start: Instant::now() };
            Peer::new(basics, Arc::default(), wire.clone(), Box::new(Unheard))
        });
        let mut interests: [RelayInterest; 5] = std::array::from_fn(|_| RelayInterest::default());
        let mut wanted: BTreeMap<(usize, usize, usize), u32> = BTreeMap::new();
        for (relay, filter, queue, weight) in steps as Vec<RelayStep> {
            let relayed = Relayed {
                peer: &relays[relay],
                account: &account,
                cluster: kinds[relay].1.as_bytes(),
                filter: FILTERS[filter].as_bytes(),
                queue: QUEUES[queue].map(str::as_bytes),
            };
            let weight = if queue == 0 { weight.min(1) } else { weight };
            if weight == 0 {
                let was = gate.unsubscribe_relay(&mut interests[relay], &relayed, None);
                prop_assert_eq!(was, wanted.remove(&(relay, filter, queue)).is_some());
            } else {
                gate.subscribe_relay(&mut interests[relay], &relayed, weight, None);
                wanted.insert((relay, filter, queue), weight);
            }
        }
        if since > 0 {
            let relays: Vec<&RelayInterest> = interests.iter().collect();
            let watch = |watch| gate.watch(watch, || Some(vec![account.clone()]), &relays);
            prop_assert!(watch(Box::new(Deaf)).is_ok());
            gate.set_account_filters(&account, &own);
            prop_assert!(watches.into_iter().all(|one| watch(one).is_ok()));
        }
        for neighbour in &told {
            let mut expected = Counts::new();
            let mut add = |filter: &str, queue: Option<&str>, by: u32| {
                let key = (0, filter.as_bytes().to_vec(), queue.map(|queue| queue.as_bytes().to_vec()));
                *expected.entry(key).or_default() += by;
            };
            for (filter, queue) in &clients {
                add(FILTERS[*filter], QUEUES[*queue], 1);
            }
            if neighbour.kind != Kind::Route {
                filters.iter().for_each(|filter| add(filter, None, 1));
            }
            for ((relay, filter, queue), weight) in &wanted {
                // By the relays above: routes are told of spokes alone; hubs too; spokes of all but those of their cluster.
                let is_told = match neighbour.kind {
                    Kind::Spoke => *relay != 2,
                    _ => matches!(relay, 2 | 3),
                };
                if is_told {
                    add(FILTERS[*filter], QUEUES[*queue], *weight);
                }
            }
            if since == 0 {
                prop_assert_eq!(&*neighbour.counts.lock(), &expected, "{:?}", neighbour.kind);
            }
            neighbour.counts.lock().clone_from(&expected);
            let mut all = Vec::new();
            let is_all = gate.hold(|held| {
                held.read_on(&mut Mark::default(), |_| true, |_, delta| {
                    if let Some(((), sum)) = delta.first_sum(|source| neighbour.group(source)) {
                        all.push(((0, delta.filter.to_vec(), delta.queue.map(<[u8]>::to_vec)), sum.now));
                    }
                    true
                })
            });
            prop_assert_eq!(is_all, Some(true));
            prop_assert_eq!(all.len(), expected.len());
            prop_assert_eq!(&all.into_iter().collect::<Counts>(), &expected);
        }
        interests.iter_mut().for_each(|interest| gate.end_relay(interest.clear(), None));
        gate.set_account_filters(&account, &[]);
        let left = told.iter().map(|neighbour| neighbour.counts.lock().values().sum::<u32>());
        prop_assert_eq!(left.collect::<Vec<_>>(), vec![clients.len() as u32; 3]);
    }
}
