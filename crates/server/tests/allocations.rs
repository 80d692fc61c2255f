//! How often memory is allocated for a message, and for a request that the server answers: counted, and no more than stated here.
//! Nothing else is in this file: the counter sees all threads of the process.
#![allow(unsafe_code)]

use common::waiting::wait_until;
use common::{Client, options, start};
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::inlet::{Batch, Inlet, Publish};
use dialtone_broker::kind::{Entry, Kind};
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place, Wake};
use dialtone_broker::permission;
use dialtone_broker::subscription::Subscription;
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

mod common;

/// The system's allocator, which counts.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);
/// One test at a time.
static COUNTER: Mutex<()> = Mutex::new(());

// SAFETY: the system's allocator does all; it is called with what this one is called with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a round of `work` allocates, once it has what it keeps: the least of some rounds, since other threads have work of their own.
fn count(mut work: impl FnMut()) -> u64 {
    let round = |_| {
        let before = COUNT.load(Ordering::Relaxed);
        work();
        COUNT.load(Ordering::Relaxed) - before
    };
    (0..8).map(round).min().unwrap_or_default()
}

/// Answers each message, as a receiver inside does that needs nothing else.
struct Echo(Arc<Account>);

impl Inlet for Echo {
    fn take(&self, batch: &Batch, turn: &mut dyn Publish) {
        for received in batch.messages() {
            if let Some(subject) = received.message.reply {
                turn.emit(&self.0, &Message { subject, reply: None, ..received.message });
            }
        }
    }

    fn account(&self) -> Option<Arc<Account>> {
        Some(self.0.clone())
    }
}

/// A connection that takes all that comes.
struct Wire;

/// The same, which counts: each write is a system call.
#[derive(Default)]
struct CountingWire(AtomicU64);

impl Sink for CountingWire {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Wire.write(slices)
    }
}

impl Sink for Wire {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

impl Wake for Wire {
    fn wake(&self) {}
}

#[test]
fn a_message_to_a_receiver_inside_and_its_answer_allocate_nothing() {
    let _counter = COUNTER.lock();
    let (account, gate, now) = (Account::new(AccountId(1), "A"), Arc::<Gate>::default(), Instant::now());
    let mut turn = Turn::new([1; 32], now).with_gate(&gate);
    let basics = |slot: u32, kind| {
        let id = ClientId(slot.into());
        Basics { id, kind, slot, pending_bytes_max: 1 << 20, start: now }
    };
    let client = Peer::new(basics(1, Kind::default()), Arc::default(), Arc::new(Wire), Box::new(Wire));
    client.set_place(Place { account: Some(account.clone()), permissions: None });
    let echo =
        Peer::inside(basics(2, Entry::OF_SERVER.from), Arc::default(), Arc::new(Echo(account.clone())));
    let subscribe = |peer: &Arc<Peer>, filter: &[u8]| {
        gate.subscribe(&account, &Subscription::new(peer.clone(), filter, None, b"1"), None);
    };
    subscribe(&client, b"reply");
    subscribe(&echo, b"asked.*");
    let allocations = count(|| {
        for _ in 0..10 {
            for _ in 0..100 {
                let message = Message {
                    subject: b"asked.1",
                    reply: Some(b"reply"),
                    header_bytes: 0,
                    framed: b"twelve bytes\r\n",
                };
                let authorized = permission::publish(&client, None, &message, now).expect("allowed");
                turn.publish(Origin { peer: &client, account: &account, echo: true }, authorized);
            }
            turn.finish();
        }
    });
    assert_eq!(client.counters.read().out_msgs, 8 * 1000, "all were answered");
    assert_eq!(allocations, 0, "for a thousand messages and their answers");
}

#[test]
fn messages_to_other_clients_allocate_nothing_and_a_turn_is_one_write_each() {
    let _counter = COUNTER.lock();
    let (account, gate, now) = (Account::new(AccountId(1), "A"), Arc::<Gate>::default(), Instant::now());
    let mut turn = Turn::new([1; 32], now).with_gate(&gate);
    let connect = |slot: u32, wire: Arc<CountingWire>| {
        let (id, kind) = (ClientId(slot.into()), Kind::default());
        let basics = Basics { id, kind, slot, pending_bytes_max: 1 << 20, start: now };
        let peer = Peer::new(basics, Arc::default(), wire, Box::new(Wire));
        peer.set_place(Place { account: Some(account.clone()), permissions: None });
        peer
    };
    let publisher = connect(1, Arc::default());
    let wires: Vec<Arc<CountingWire>> = (0..3).map(|_| Arc::default()).collect();
    let readers: Vec<_> = (2..).zip(&wires).map(|(slot, wire)| connect(slot, wire.clone())).collect();
    for reader in &readers {
        gate.subscribe(&account, &Subscription::new(reader.clone(), b"flow.*", None, b"1"), None);
    }
    let mut turns = 0_u64;
    let allocations = count(|| {
        for _ in 0..10 {
            for _ in 0..100 {
                let framed = b"twelve bytes\r\n";
                let message = Message { subject: b"flow.1", reply: None, header_bytes: 0, framed };
                let authorized = permission::publish(&publisher, None, &message, now).expect("allowed");
                turn.publish(Origin { peer: &publisher, account: &account, echo: true }, authorized);
            }
            turn.finish();
            turns += 1;
        }
    });
    assert_eq!(allocations, 0, "for a thousand messages to three clients");
    for (reader, wire) in readers.iter().zip(&wires) {
        assert_eq!(reader.counters.read().out_msgs, turns * 100, "all arrived");
        assert_eq!(wire.0.load(Ordering::Relaxed), turns, "what a turn has for a client is one write");
    }
}

/// What the server allocates for a request that it answers itself, by message, with its answer and this client.
#[track_caller]
fn check(user: &str, subject: &str, allocations_max: u64) {
    const REQUESTS: u64 = 50;
    let _counter = COUNTER.lock();
    let config =
        "accounts { SYS { users: [ { user: sys } ] }, A { users: [ { user: a } ] } }, system_account: SYS";
    let server = start(options(config));
    let mut client = Client::connect(&server, user);
    client.send("SUB reply 1\r\n");
    client.sync();
    let request = format!("PUB {subject} reply 0\r\n\r\n");
    let mut line = String::with_capacity(64 * 1024);
    let mut next = |client: &mut Client| {
        line.clear();
        assert!(client.0.read_line(&mut line).expect("a line") > 0, "the connection ended");
        line.starts_with("MSG ")
    };
    let allocations = count(|| {
        for _ in 0..REQUESTS {
            client.0.get_mut().write_all(request.as_bytes()).expect("sent");
            // What is not a message is a PING.
            wait_until("a message", || next(&mut client));
            next(&mut client);
        }
    });
    let each = allocations / REQUESTS;
    assert!(each <= allocations_max, "{subject}: {each}, of which most are for the document");
}

#[test]
fn requests_to_the_server_allocate_no_more_than_this() {
    check("a", "$SYS.REQ.USER.INFO", 121);
    check("sys", "$SYS.REQ.SERVER.PING.IDZ", 19);
    check("sys", "$SYS.REQ.SERVER.PING", 122);
}
