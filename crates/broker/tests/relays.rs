//! Queue groups with members here and at other servers: each message goes to one of them, and each member has the same share.

use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::{Origin, Turn};
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
        interest.subscribe(&peer, &account, b"work", Some(b"q"), *weight);
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
