//! Messages between clusters: the nearest of several is chosen for a queue group, and answers find the one that asked.

use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::assumed::Assumed;
use dialtone_broker::deliver::interest::{Gate, Relayed};
use dialtone_broker::deliver::{Carried, Origin, Turn};
use dialtone_broker::gateways::{Gateways, Lead};
use dialtone_broker::kind::Kind;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place, Wake};
use dialtone_broker::permission;
use dialtone_broker::relay::RelayInterest;
use dialtone_broker::returns::WAY_TIME;
use dialtone_broker::subscription::Subscription;
use dialtone_broker::trace::{Event, Problem, Trace};
use dialtone_wire::CloseReason;
use dialtone_wire::gateway::reply;
use dialtone_wire::interserver::{PROTOCOL, PROTOCOL_WITH_TRACES};
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

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

/// One account of the server S in the cluster X.
struct World {
    account: Arc<Account>,
    leads: Arc<Gateways>,
    turn: Turn,
    now: Instant,
    interests: Vec<RelayInterest>,
    slots: u32,
}

/// The end of a connection, and what was written to it.
#[derive(Clone)]
struct End(Arc<Peer>, Arc<Wire>);

impl End {
    fn got(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.1.0.lock())).expect("text")
    }
}

impl World {
    fn new() -> Self {
        let (leads, now) = (Gateways::new("X", "S"), Instant::now());
        Self {
            account: Account::new(AccountId(1), "A"),
            turn: Turn::new([7; 32], now).with_gateways(Some(&leads)),
            leads,
            now,
            interests: Vec::new(),
            slots: 0,
        }
    }

    fn end(&mut self, kind: Kind) -> End {
        self.slots += 1;
        let (id, slot) = (ClientId(self.slots.into()), self.slots);
        let basics = Basics { id, kind, slot, pending_bytes_max: 1 << 20, start: self.now };
        let wire = Arc::<Wire>::default();
        End(Peer::new(basics, Arc::default(), wire.clone(), Box::new(Unheard)), wire)
    }

    fn client(&mut self, filters: &[&str]) -> End {
        let end = self.end(Kind::Client);
        end.0.set_place(Place { account: Some(self.account.clone()), permissions: None });
        for (number, filter) in filters.iter().enumerate() {
            let sid = number.to_string();
            let subscription = Subscription::new(end.0.clone(), filter.as_bytes(), None, sid.as_bytes());
            assert!(self.turn.subscribe(&self.account, &subscription));
        }
        end
    }

    /// A server that wants messages to `filter`.
    fn relay(&mut self, kind: Kind, filter: &str, queue: Option<&str>) -> End {
        let end = self.end(kind);
        let mut interest = RelayInterest::default();
        let (filter, queue) = (filter.as_bytes(), queue.map(str::as_bytes));
        let relayed = Relayed { peer: &end.0, account: &self.account, cluster: b"", filter, queue };
        Gate::default().subscribe_relay(&mut interest, &relayed, 1, None);
        self.interests.push(interest);
        end
    }

    fn publish(&mut self, from: &End, subject: &str, reply: Option<&str>) -> usize {
        let (subject, reply) = (subject.as_bytes(), reply.map(str::as_bytes));
        let message = Message { subject, reply, header_bytes: 0, framed: b"x\r\n" };
        let authorized = permission::publish(&from.0, None, &message, self.now).expect("allowed");
        let origin = Origin { peer: &from.0, account: &self.account, echo: true };
        let sent = self.turn.publish(origin, authorized);
        self.turn.finish();
        sent
    }

    /// A request of another cluster comes by a gateway, or by a route.
    fn request(&mut self, from: &End, reply: &str, way_back: &str) {
        let message =
            Message { subject: b"svc", reply: Some(reply.as_bytes()), header_bytes: 0, framed: b"x\r\n" };
        let authorized = permission::publish(&from.0, None, &message, self.now).expect("allowed");
        let origin = Origin { peer: &from.0, account: &self.account, echo: false };
        self.turn.publish_from_cluster(
            origin,
            std::iter::empty(),
            (way_back.as_bytes(), Carried::default()),
            authorized,
        );
        self.turn.finish();
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.turn.begin(self.now);
    }
}

#[test]
fn a_queue_group_is_served_by_the_nearest_cluster_that_has_members() {
    let mut world = World::new();
    let ends = [30, 10, 20].map(|millis| {
        let end = world.relay(Kind::Gateway, "work", Some("q"));
        end.0.set_rtt(Duration::from_millis(millis));
        end
    });
    let unknown = world.relay(Kind::Gateway, "work", Some("q"));
    let publisher = world.client(&[]);
    let served = |world: &mut World| {
        assert_eq!(world.publish(&publisher, "work", None), 1);
        let got: Vec<_> = ends.iter().chain([&unknown]).map(|end| !end.got().is_empty()).collect();
        got.iter().position(|got| *got)
    };
    for _ in 0..10 {
        assert_eq!(served(&mut world), Some(1));
    }
    ends[2].0.set_rtt(Duration::from_millis(5));
    assert_eq!(served(&mut world), Some(2), "it is nearer now");
    ends[2].0.close(CloseReason::ClientClosed);
    assert_eq!(served(&mut world), Some(1), "it is gone");
    ends[1].0.close(CloseReason::ClientClosed);
    ends[0].0.close(CloseReason::ClientClosed);
    assert_eq!(served(&mut world), Some(3), "one of which nothing is known");
}

#[test]
fn leaf_nodes_come_before_other_clusters() {
    let mut world = World::new();
    let far = world.relay(Kind::Gateway, "work", Some("q"));
    let leaf = world.relay(Kind::Spoke, "work", Some("q"));
    let publisher = world.client(&[]);
    assert_eq!(world.publish(&publisher, "work", None), 1);
    assert_eq!((far.got().as_str(), leaf.got().as_str()), ("", "LMSG work | q 1\r\nx\r\n"));
}

#[test]
fn what_other_clusters_want_is_in_no_figure() {
    let mut world = World::new();
    let _here = world.client(&["a", "b.*"]);
    let _route = world.relay(Kind::Route, "a", None);
    let expected = (world.account.subscriptions(), world.account.stats());
    assert_eq!(expected.0, 3);
    for (filter, queue) in [("a", None), ("b.*", None), ("c", Some("q"))] {
        let _cluster = world.relay(Kind::Gateway, filter, queue);
        assert_eq!((world.account.subscriptions(), world.account.stats()), expected, "{filter}");
    }
    let mut interests = std::mem::take(&mut world.interests);
    interests.iter_mut().rev().take(3).for_each(|interest| drop(interest.clear()));
    assert_eq!((world.account.subscriptions(), world.account.stats()), expected);
    interests.iter_mut().for_each(|interest| drop(interest.clear()));
    let stats = world.account.stats();
    assert_eq!((world.account.subscriptions(), stats.entries, stats.inserts, stats.removes), (2, 2, 3, 1));
}

/// Only other clusters are sent what leads back, and only as long as they may not know of the interest.
#[test]
fn a_reply_that_is_new_says_where_it_leads() {
    let mut world = World::new();
    let (cluster, route) = (world.relay(Kind::Gateway, "svc", None), world.relay(Kind::Route, "svc", None));
    let (client, responder) = (world.client(&["in.>"]), world.client(&["svc"]));
    let own = "_GR_.Dglu96.";
    for (new, expected) in [(true, own), (false, "in.1")] {
        if new {
            world.account.note_new_interest(b"in.>", world.now);
        }
        world.publish(&client, "svc", Some("in.1"));
        let got = cluster.got();
        assert!(got.starts_with(&format!("RMSG A svc {expected}")) && got.contains("in.1 1\r\n"), "{got}");
        assert_eq!(route.got(), "RMSG A svc in.1 1\r\nx\r\n");
        assert_eq!(responder.got(), "MSG svc 0 in.1 1\r\nx\r\n");
        world.passes(WAY_TIME);
    }
    world.account.note_new_interest(b"in.>", world.now);
    world.publish(&client, "svc", Some("out.1"));
    assert_eq!(cluster.got(), "RMSG A svc out.1 1\r\nx\r\n", "another reply");
}

#[test]
fn an_answer_goes_back_to_the_cluster_that_asked() {
    let mut world = World::new();
    let (gateway, route) = (world.end(Kind::Gateway), world.relay(Kind::Route, "svc", None));
    let (y, z) = (world.relay(Kind::Gateway, "other", None), world.relay(Kind::Gateway, "in.1", None));
    world.leads.add_cluster("Y", &y.0);
    world.leads.add_cluster("Z", &z.0);
    let (responder, listener) = (world.client(&["svc"]), world.client(&["in.1"]));
    let mut way = Vec::new();
    reply::Prefix::new(b"Y", b"T").wrap(b"in.1", &mut way);
    let way = String::from_utf8(way).expect("text");
    // The route of the reply is known before: what it leads to changes.
    for _ in 0..3 {
        world.publish(&responder, "in.1", None);
    }
    assert_eq!((z.got().matches("RMSG A in.1").count(), listener.got().matches("MSG in.1").count()), (3, 3));
    world.request(&gateway, "in.1", &way);
    assert_eq!(responder.got(), "MSG svc 0 in.1 1\r\nx\r\n", "without what leads back");
    assert_eq!(route.got(), format!("RMSG A svc {way} 1\r\nx\r\n"), "with it");
    assert_eq!(world.publish(&responder, "in.1", None), 1);
    assert_eq!(y.got(), format!("RMSG A {way} 1\r\nx\r\n"));
    assert_eq!((z.got(), listener.got()), (String::new(), String::new()));
    // After a while interest is known.
    world.passes(WAY_TIME);
    assert_eq!(world.publish(&responder, "in.1", None), 2);
    assert_eq!((y.got().as_str(), z.got().is_empty()), ("", false));
    // Where the cluster cannot be reached an answer goes by interest.
    world.request(&gateway, "in.1", &way);
    world.leads.remove(&y.0);
    assert_eq!(world.publish(&responder, "in.1", None), 2);
}

/// A server at the edge knows no clusters: what it is asked over a hub it answers to the hub, which does.
#[test]
fn a_leaf_node_leads_an_answer_back_to_who_takes_such_answers() {
    let mut world = World::new();
    let (hub, other) = (world.relay(Kind::Hub, "_GR_.>", None), world.relay(Kind::Hub, "svc", None));
    let (responder, listener) = (world.client(&["svc"]), world.client(&["in.1", "_GR_.>"]));
    let way = "_GR_.Dglu96.KtiPFv.in.1";
    world.request(&hub, "in.1", way);
    assert_eq!(responder.got(), "MSG svc 0 in.1 1\r\nx\r\n", "without what leads back");
    assert_eq!(other.got(), format!("LMSG svc {way} 1\r\nx\r\n"), "with it");
    assert_eq!(world.publish(&responder, "in.1", None), 1);
    assert_eq!(hub.got(), format!("LMSG {way} 1\r\nx\r\n"));
    assert_eq!((listener.got().as_str(), other.got().as_str()), ("", ""), "nobody else has it");
    // Without such a hub it goes by interest.
    hub.0.close(CloseReason::ClientClosed);
    assert_eq!(world.publish(&responder, "in.1", None), 1);
    assert_eq!(listener.got(), "MSG in.1 0 1\r\nx\r\n");
}

/// It goes the way that it goes untraced, and says by which hop; what is only passed on does, too.
#[test]
fn an_answer_that_is_traced_goes_back_to_the_cluster_that_asked() {
    let mut world = World::new();
    let (gateway, y) = (world.end(Kind::Gateway), world.relay(Kind::Gateway, "other", None));
    let route = world.end(Kind::Route);
    [&y, &route].iter().for_each(|end| know_traces(end));
    world.leads.add_cluster("Y", &y.0);
    let responder = world.client(&["svc"]);
    let mut way = Vec::new();
    reply::Prefix::new(b"Y", b"T").wrap(b"in.1", &mut way);
    let way = String::from_utf8(way).expect("text");
    world.request(&gateway, "in.1", &way);
    let destination = permission::trace(&responder.0, None, b"t").expect("allowed");
    let trace = Trace::new(&destination, false, world.account.id, SystemTime::now);
    world.turn.begin_trace(trace);
    assert_eq!(world.publish(&responder, "in.1", None), 1);
    let sized = |hop: u32| {
        let headers = format!("NATS/1.0\r\nNats-Trace-Hop: {hop}\r\n\r\n");
        format!("{} {}\r\n{headers}x\r\n", headers.len(), headers.len() + 1)
    };
    assert_eq!(y.got(), format!("HMSG A {way} {}", sized(1)));
    let message = Message { subject: b"in.2", reply: None, header_bytes: 0, framed: b"x\r\n" };
    let account = world.account.clone();
    world.turn.pass_on(&account, &route.0, &message);
    world.turn.finish();
    assert_eq!(route.got(), format!("HMSG A in.2 {}", sized(2)));
    let trace = world.turn.end_trace().expect("it was begun");
    assert_eq!((trace.hops(), trace.events().len()), (2, 2));
    // Both count as what the account sent to other servers.
    let sent = [Kind::Gateway, Kind::Route].map(|kind| account.relayed.of(kind).read().out_msgs);
    assert_eq!(sent, [1, 1]);
}

fn know_traces(end: &End) {
    end.0.set_understands_headers(true);
    end.0.set_protocol(PROTOCOL);
}

/// A server that knows no traces, or gets no headers, would deliver what is only to be traced.
#[test]
fn a_server_that_knows_no_traces_gets_only_what_is_delivered() {
    for kind in [Kind::Route, Kind::Gateway, Kind::Hub, Kind::Spoke] {
        let mut world = World::new();
        let [knows, old, deaf] = [0; 3].map(|_| world.relay(kind, "work", None));
        know_traces(&knows);
        old.0.set_understands_headers(true);
        old.0.set_protocol(PROTOCOL_WITH_TRACES - 1);
        deaf.0.set_protocol(PROTOCOL);
        let publisher = world.client(&[]);
        let mut traced = |only: bool| {
            let destination = permission::trace(&publisher.0, None, b"t").expect("allowed");
            world.turn.begin_trace(Trace::new(&destination, only, world.account.id, SystemTime::now));
            let delivered = world.publish(&publisher, "work", None);
            let trace = world.turn.end_trace().expect("it was begun");
            let problems = trace.events().iter().map(|(_, event)| match event {
                Event::PassedOn(passed) => passed.problem,
                other => panic!("{other:?}"),
            });
            let got = [&knows, &old, &deaf].map(|end| !end.got().is_empty());
            (delivered, got, trace.hops(), problems.collect::<Vec<_>>())
        };
        let (ends, never) = (Some(Problem::TraceEnds), Some(Problem::Untraceable));
        assert_eq!(traced(false), (3, [true; 3], 3, vec![None, ends, ends]), "{kind:?}");
        assert_eq!(traced(true), (1, [true, false, false], 3, vec![None, never, never]), "{kind:?}");
    }
}

/// A cluster of old servers gets everything until it says what it does not want.
#[test]
fn what_is_not_known_to_be_unwanted_is_sent_to_an_old_cluster() {
    let mut world = World::new();
    let (old, publisher) = (world.relay(Kind::Gateway, "work", Some("q")), world.client(&[]));
    let assumed = Assumed::begin(&old.0, &world.account);
    let got = |world: &mut World, subject: &str| {
        world.publish(&publisher, subject, None);
        old.got()
    };
    let sent = |subject: &str, queue: &str| format!("RMSG A {subject} {queue}1\r\nx\r\n");
    for _ in 0..3 {
        assert_eq!(got(&mut world, "a.b"), sent("a.b", ""));
    }
    assumed.except(b"a.b");
    assert_eq!((got(&mut world, "a.b"), got(&mut world, "a.c")), (String::new(), sent("a.c", "")));
    // Its queue groups are known, whatever else is not.
    assumed.except(b"work");
    assert_eq!(got(&mut world, "work"), sent("work", "| q "));
    assert_eq!(assumed.exceptions(), 2);
    assumed.wants(b"a.*");
    assert_eq!(got(&mut world, "a.b"), sent("a.b", ""));
    assert_eq!(world.account.subscriptions(), 0, "of this account nobody here is subscribed");
    drop(assumed);
    assert_eq!((got(&mut world, "a.b"), got(&mut world, "work")), (String::new(), sent("work", "| q ")));
}

#[test]
fn a_prefix_leads_to_one_server() {
    let mut world = World::new();
    let sibling = world.end(Kind::Route);
    world.leads.add_server("T", &sibling.0);
    let lead = |world: &World, cluster: &str, server: &str| {
        let mut subject = Vec::new();
        let prefix = reply::Prefix::new(cluster.as_bytes(), server.as_bytes());
        prefix.wrap(b"r", &mut subject);
        match world.leads.lead(&reply::unwrap(&subject).expect("a prefix")) {
            Lead::Here => "here",
            Lead::Server(peer) if Arc::ptr_eq(&peer, &sibling.0) => "sibling",
            Lead::Server(_) => "another",
            Lead::Nowhere => "nowhere",
        }
    };
    assert_eq!(lead(&world, "X", "S"), "here");
    assert_eq!(lead(&world, "X", "T"), "sibling");
    assert_eq!(lead(&world, "X", "U"), "nowhere");
    assert_eq!(lead(&world, "Y", "S"), "nowhere");
    world.leads.remove(&sibling.0);
    assert_eq!(lead(&world, "X", "T"), "nowhere");
}
