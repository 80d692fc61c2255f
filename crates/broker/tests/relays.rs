//! Queue groups with members here and at other servers: each message goes to one of them, and each member has the same share.

use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::interest::{Gate, Relayed};
use dialtone_broker::deliver::{Carried, Origin, Turn};
use dialtone_broker::kind::Kind;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place, Wake};
use dialtone_broker::permission;
use dialtone_broker::relay::RelayInterest;
use dialtone_broker::subscription::Subscription;
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

const MESSAGES: usize = 6000;

#[derive(Default)]
struct Wire(Mutex<Vec<u8>>);

impl Sink for Wire {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
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
