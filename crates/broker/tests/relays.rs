//! Queue groups with members here and at other servers: each message goes to one of them, and each member has the same share.

use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::interest::{Gate, Relayed};
use dialtone_broker::deliver::{Carried, Origin, Turn};
use dialtone_broker::explain::{Wanted, goes_on};
use dialtone_broker::kind::{Kind, Zone};
use dialtone_broker::outbox::{Pool, Sink};
use dialtone_broker::peer::{Basics, ClientId, Peer, Place, Wake};
use dialtone_broker::permission;
use dialtone_broker::relay::RelayInterest;
use dialtone_broker::subscription::Subscription;
use dialtone_config::options::{Permissions as Rights, Rules};
use dialtone_identity::permission::Permissions;
use dialtone_wire::CloseReason;
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const MESSAGES: usize = 6000;

#[derive(Default)]
struct Wire(Mutex<Vec<u8>>, AtomicBool);

impl Sink for Wire {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.1.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        slices.iter().for_each(|slice| self.0.lock().extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

impl Wire {
    fn lines_with(&self, word: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock()).lines().filter(|line| line.contains(word)).count()
    }
}

struct Unheard;

impl Wake for Unheard {
    fn wake(&self) {}
}

fn peer(number: u32, kind: Kind) -> (Arc<Peer>, Arc<Wire>) {
    let basics = Basics {
        id: ClientId(u64::from(number)),
        kind,
        slot: number,
        pending_bytes_max: 1 << 30,
        start: Instant::now(),
    };
    let wire = Arc::<Wire>::default();
    (Peer::new(basics, Arc::default(), wire.clone(), Box::new(Unheard)), wire)
}

/// How many messages each has when a client here publishes: members here, then other servers with so many members.
fn shares(here: u32, elsewhere: &[(Kind, u32)]) -> Vec<usize> {
    let account = Account::new(AccountId(1), "A");
    let mut turn = Turn::new([7; 32], Instant::now());
    let mut wires = Vec::new();
    let mut interests = Vec::new();
    for number in 0..here {
        let (peer, wire) = peer(number, Kind::Client);
        peer.set_place(Place { account: Some(account.clone()), permissions: None });
        assert!(turn.subscribe(&account, &Subscription::new(peer, b"work", Some(b"q"), b"1")));
        wires.push(wire);
    }
    for (number, (kind, weight)) in (here..).zip(elsewhere) {
        let (peer, wire) = peer(number, *kind);
        let mut interest = RelayInterest::default();
        let relayed =
            Relayed { peer: &peer, account: &account, cluster: b"", filter: b"work", queue: Some(b"q") };
        Gate::default().subscribe_relay(&mut interest, &relayed, *weight, None);
        interests.push(interest);
        wires.push(wire);
    }
    let (publisher, _) = peer(99, Kind::Client);
    for _ in 0..MESSAGES {
        let message = Message { subject: b"work", reply: None, header_bytes: 0, framed: b"x\r\n" };
        let authorized = permission::publish(&publisher, None, &message, Instant::now()).expect("allowed");
        let origin = Origin { peer: &publisher, account: &account, echo: true };
        assert_eq!(turn.publish(origin, authorized), 1);
    }
    turn.finish();
    wires.iter().map(|wire| wire.lines_with(" work ")).collect()
}

#[test]
fn each_member_of_a_cluster_has_the_same_share() {
    for (here, routes) in [(1, vec![1]), (2, vec![1]), (1, vec![3]), (1, vec![1, 1]), (0, vec![2, 1])] {
        let elsewhere: Vec<_> = routes.iter().map(|weight| (Kind::Route, *weight)).collect();
        let got = shares(here, &elsewhere);
        assert_eq!(got.iter().sum::<usize>(), MESSAGES, "each message once");
        let members = here + routes.iter().sum::<u32>();
        let weights = (0..here).map(|_| 1).chain(routes.iter().copied());
        for (got, weight) in got.iter().zip(weights) {
            let expected = MESSAGES as f64 * f64::from(weight) / f64::from(members);
            assert!((*got as f64 - expected).abs() < expected / 5.0, "{here} here, {routes:?}: {got:?}");
        }
    }
}

#[test]
fn members_in_other_clusters_are_for_want_of_any_here() {
    assert_eq!(shares(1, &[(Kind::Gateway, 9)]), [MESSAGES, 0]);
    assert_eq!(shares(0, &[(Kind::Gateway, 9), (Kind::Route, 1)]), [0, MESSAGES]);
    assert_eq!(shares(0, &[(Kind::Gateway, 1)]), [MESSAGES]);
}

/// What a message that comes by a relay becomes at the others: one line each.
struct Passing {
    account: Arc<Account>,
    turn: Turn,
    relays: Vec<(Arc<Peer>, Arc<Wire>, RelayInterest)>,
}

impl Passing {
    /// Relays, each with its kind and its cluster of leaf nodes, and all interested in `work`, plainly or in the queue group.
    fn new(relays: &[(Kind, &str)], queue: Option<&[u8]>) -> Self {
        let account = Account::new(AccountId(1), "A");
        let relays = (0..).zip(relays).map(|(number, (kind, cluster))| {
            let (peer, wire) = peer(number, *kind);
            if !cluster.is_empty() {
                peer.set_leaf_cluster(cluster.as_bytes());
            }
            peer.set_knows_origins(*kind == Kind::Route);
            let mut interest = RelayInterest::default();
            let relayed = Relayed { peer: &peer, account: &account, cluster: b"", filter: b"work", queue };
            Gate::default().subscribe_relay(&mut interest, &relayed, 1, None);
            (peer, wire, interest)
        });
        let relays = relays.collect();
        Self { account, turn: Turn::new([7; 32], Instant::now()), relays }
    }

    /// What each gets of a message that comes by the first.
    fn lines(&mut self, named: &[&'static [u8]], cluster: &[u8]) -> Vec<String> {
        let (from, account) = (self.relays[0].0.clone(), self.account.clone());
        let message = Message { subject: b"work", reply: None, header_bytes: 0, framed: b"x\r\n" };
        let authorized = permission::publish(&from, None, &message, Instant::now()).expect("allowed");
        let origin = Origin { peer: &from, account: &account, echo: false };
        let carried = Carried { cluster, serves_all: false };
        self.turn.publish_relayed(origin, named.iter().copied(), carried, authorized);
        self.turn.finish();
        let wires = self.relays.iter().map(|(_, wire, _)| std::mem::take(&mut *wire.0.lock()));
        wires
            .map(|bytes| String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned())
            .collect()
    }
}

#[test]
fn leaf_nodes_of_one_cluster_do_not_get_each_others_messages() {
    use Kind::{Hub, Route, Spoke};
    let cast = [(Spoke, "EDGE"), (Spoke, "EDGE"), (Spoke, "OTHER"), (Route, ""), (Hub, "TOP")];
    let mut passing = Passing::new(&cast, None);
    let by_leaf = passing.lines(&[], b"EDGE");
    assert_eq!(by_leaf, ["", "", "LMSG work 1", "LMSG EDGE A work 0 1", "LMSG work 1"]);
    // As another server of the hub's cluster passes it on.
    let mut passing = Passing::new(&[(Route, ""), (Spoke, "EDGE"), (Spoke, "OTHER"), (Hub, "TOP")], None);
    assert_eq!(passing.lines(&[], b"EDGE"), ["", "", "LMSG work 1", ""]);
    assert_eq!(passing.lines(&[], b""), ["", "LMSG work 1", "LMSG work 1", ""]);
}

#[test]
fn a_queue_group_behind_a_leaf_node_is_drawn_only_where_it_is_named() {
    let mut passing = Passing::new(&[(Kind::Route, ""), (Kind::Spoke, "EDGE")], Some(b"q"));
    assert_eq!(passing.lines(&[b"q"], b""), ["", "LMSG work | q 1"]);
    assert_eq!(passing.lines(&[b"r"], b""), ["", ""]);
    assert_eq!(passing.lines(&[], b""), ["", ""]);
}

/// A queue group with members here and at other servers, each of which may take nothing for a while.
struct Zoned {
    account: Arc<Account>,
    turn: Turn,
    members: Vec<(Arc<Peer>, Arc<Wire>)>,
    interests: Vec<RelayInterest>,
    publisher: Arc<Peer>,
}

impl Zoned {
    /// Members: here (`None`), or by a route to a server in a zone.
    fn new(members: &[Option<Zone>]) -> Self {
        let account = Account::new(AccountId(1), "A");
        let mut world = Self {
            account,
            turn: Turn::new([7; 32], Instant::now()),
            members: Vec::new(),
            interests: Vec::new(),
            publisher: peer(99, Kind::Client).0,
        };
        for (number, zone) in (0..).zip(members) {
            let (peer, wire) = peer(number, if zone.is_some() { Kind::Route } else { Kind::Client });
            match zone {
                None => {
                    peer.set_place(Place { account: Some(world.account.clone()), permissions: None });
                    let subscription = Subscription::new(peer.clone(), b"work", Some(b"q"), b"1");
                    assert!(world.turn.subscribe(&world.account, &subscription));
                }
                Some(zone) => {
                    peer.set_zone(*zone);
                    let mut interest = RelayInterest::default();
                    let relayed = Relayed {
                        peer: &peer,
                        account: &world.account,
                        cluster: b"",
                        filter: b"work",
                        queue: Some(b"q"),
                    };
                    Gate::default().subscribe_relay(&mut interest, &relayed, 1, None);
                    world.interests.push(interest);
                }
            }
            world.members.push((peer, wire));
        }
        world
    }

    fn publish(&mut self, framed: &[u8]) {
        let message = Message { subject: b"work", reply: None, header_bytes: 0, framed };
        let authorized =
            permission::publish(&self.publisher, None, &message, Instant::now()).expect("allowed");
        let origin = Origin { peer: &self.publisher, account: &self.account, echo: true };
        assert_eq!(self.turn.publish(origin, authorized), 1, "each message once");
        self.turn.finish();
    }

    /// Who has some of the next messages.
    fn served(&mut self) -> Vec<usize> {
        for (_, wire) in &self.members {
            wire.0.lock().clear();
        }
        for _ in 0..60 {
            self.publish(b"x\r\n");
        }
        let got = |wire: &Wire| wire.lines_with(" work ") > 0;
        (0..self.members.len()).filter(|at| got(&self.members[*at].1)).collect()
    }

    /// This member takes nothing until much waits for it, or takes all again.
    fn set_slow(&mut self, member: usize, is_slow: bool) {
        let (peer, wire) = self.members[member].clone();
        wire.1.store(is_slow, Ordering::Relaxed);
        if is_slow {
            peer.send(&vec![b'.'; 300 << 10], Instant::now());
        } else {
            peer.flush(Instant::now(), &mut Pool::default());
        }
    }
}

#[test]
fn members_in_other_zones_are_for_want_of_any_in_this_one() {
    use Zone::{Other, Own};
    for (members, expected) in [
        (vec![None, Some(Own), Some(Own)], vec![0, 1, 2]),
        (vec![None, Some(Own), Some(Other)], vec![0, 1]),
        (vec![None, Some(Other)], vec![0]),
        (vec![Some(Other), Some(Own), Some(Other), Some(Own)], vec![1, 3]),
        (vec![Some(Other), Some(Other)], vec![0, 1]),
    ] {
        assert_eq!(Zoned::new(&members).served(), expected, "{members:?}");
    }
}

#[test]
fn a_zone_that_is_slow_or_gone_spills_over() {
    use Zone::{Other, Own};
    let mut world = Zoned::new(&[None, Some(Own), Some(Other), Some(Other)]);
    assert_eq!(world.served(), [0, 1]);
    world.set_slow(0, true);
    assert!(!world.served().contains(&2), "one of this zone can still take it");
    world.set_slow(1, true);
    assert_eq!(world.served(), [2, 3]);
    world.set_slow(3, true);
    assert_eq!(world.served(), [2]);
    // All are slow: those of this zone have it.
    world.set_slow(2, true);
    let before = [0, 1, 2, 3].map(|member: usize| world.members[member].0.pending_bytes());
    world.served();
    let waits = [0, 1, 2, 3].map(|member: usize| world.members[member].0.pending_bytes() > before[member]);
    assert_eq!(waits, [true, true, false, false]);
    for member in 0..4 {
        world.set_slow(member, false);
    }
    assert_eq!(world.served(), [0, 1]);
    for member in [0, 1] {
        world.members[member].0.close(CloseReason::ClientClosed);
    }
    assert_eq!(world.served(), [2, 3]);
}

/// A server that is found to be nearer or farther counts as that from the next message on.
#[test]
fn a_zone_may_change() {
    let mut world = Zoned::new(&[None, Some(Zone::Own)]);
    assert_eq!(world.served(), [0, 1]);
    assert!(world.members[1].0.set_zone(Zone::Other));
    world.interests[0].outdate();
    assert_eq!(world.served(), [0]);
    assert!(!world.members[1].0.set_zone(Zone::Other));
    assert!(world.members[1].0.set_zone(Zone::Own));
    world.interests[0].outdate();
    assert_eq!(world.served(), [0, 1]);
}

/// What a server is said to want is what is sent to it: by its rights, and by the queue group that is asked for.
#[test]
fn what_explain_says_is_wanted_is_what_goes_on() {
    let (account, other) = (Account::new(AccountId(1), "A"), Account::new(AccountId(2), "B"));
    let mut turn = Turn::new([7; 32], Instant::now());
    let (leaf, wire) = peer(0, Kind::Spoke);
    let rules = Rules { deny: vec!["no.*".into()], ..Rules::default() };
    let rights = Permissions::new(&Rights { subscribe: rules, ..Rights::default() });
    leaf.set_place(Place { account: Some(account.clone()), permissions: Some(Arc::new(rights)) });
    let mut interest = RelayInterest::default();
    let groups: [(&[u8], Option<&[u8]>); 4] =
        [(b"a.x", None), (b"*.x", None), (b"no.x", None), (b"q.x", Some(b"q"))];
    for (filter, queue) in groups {
        let relayed = Relayed { peer: &leaf, account: &account, cluster: b"", filter, queue };
        Gate::default().subscribe_relay(&mut interest, &relayed, 1, None);
    }
    let named = |set: BTreeSet<Box<[u8]>>| {
        set.iter().map(|filter| String::from_utf8_lossy(filter).into_owned()).collect::<Vec<_>>()
    };
    let wanted = |account: &Arc<Account>, filter: &str, queue: Option<&[u8]>| {
        let Wanted { filters, withheld } = Wanted::of(&interest, account, filter.as_bytes(), queue);
        (named(filters), named(withheld))
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(wanted(&account, "a.x", None), (names(&["*.x", "a.x"]), names(&[])));
    assert_eq!(wanted(&account, "no.x", None), (names(&[]), names(&["*.x", "no.x"])));
    assert_eq!(wanted(&account, ">", None), (names(&["*.x", "a.x"]), names(&["no.x"])));
    assert_eq!(wanted(&account, "q.*", Some(b"q")), (names(&["q.x"]), names(&[])));
    assert_eq!(wanted(&account, "q.*", Some(b"other")), (names(&[]), names(&[])));
    assert_eq!(wanted(&other, ">", None), (names(&[]), names(&[])));
    let (publisher, _) = peer(1, Kind::Client);
    for subject in [&b"a.x"[..], b"no.x", b"q.x"] {
        let message = Message { subject, reply: None, header_bytes: 0, framed: b"x\r\n" };
        let authorized = permission::publish(&publisher, None, &message, Instant::now()).expect("allowed");
        turn.publish(Origin { peer: &publisher, account: &account, echo: true }, authorized);
    }
    turn.finish();
    let sent = ["a.x", "no.x", "q.x"].map(|subject| wire.lines_with(subject));
    assert_eq!(sent, [1, 0, 1]);
    assert!(goes_on(Kind::Spoke, Kind::Gateway, b"a.>") && !goes_on(Kind::Route, Kind::Gateway, b"a.>"));
}
