//! Another server's bytes on a whole connection: through S2 and WebSocket into the protocols of routes, gateways and leaf nodes, dialled or
//! accepted, before and behind each step of the handshake. However they are cut, a client of the same server is served as ever, what they
//! make the server hold is bounded, and the connection ends or stays alike.
#![no_main]

#[path = "framed_link/carrier.rs"]
mod carrier;
#[path = "framed_link/peer.rs"]
mod peer;

use carrier::Wire;
use dialtone_config::Options;
use dialtone_net::{Origin, Readiness};
use dialtone_server::policy::ListenerKind;
use dialtone_server::stepped::{self, Settings, SteppedServer};
use libfuzzer_sys::fuzz_target;
use peer::{LINKS, Layers, Link, Protocol, Stage};
use std::alloc::{GlobalAlloc, Layout, System};
use std::os::fd::RawFd;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PENDING_BYTES_MAX: usize = 1 << 20;
/// What the bytes of one input may make the server hold: what waits for their sender, a block of S2 and what comes of it.
const HELD_BYTES_MAX: usize = PENDING_BYTES_MAX + (16 << 20);

const CONFIG: &str = "
server_name: S, listen: '10.0.0.1:4222', max_pending: 1MB, max_payload: 10KB
accounts { A { users: [ { user: A, password: p } ] }, B { users: [ { user: B, password: p } ] }, SYS {} }
system_account: SYS
cluster { name: C, listen: '10.0.0.1:6222', pool_size: -1, compression: s2_fast
          authorization { user: r, password: p }, routes: [ 'nats-route://r:p@10.0.0.9:1' ] }
gateway { name: C, listen: '10.0.0.1:7222', authorization { user: r, password: p }
          gateways: [ { name: D, url: 'nats://r:p@10.0.0.9:2' } ] }
leafnodes { listen: '10.0.0.1:7422', compression: s2_fast
            remotes: [ { account: B, url: 'nats-leaf://10.0.0.9:3', compression: s2_fast }
                       { account: B, url: 'ws://10.0.0.9:4', compression: s2_fast }
                       { account: B, url: 'ws://10.0.0.9:5', ws_compression: true } ] }
websocket { listen: '10.0.0.1:8080', no_tls: true, compression: true }
";
const PORTS: [(ListenerKind, u16); 5] = [
    (ListenerKind::Clients, 4222),
    (ListenerKind::Cluster, 6222),
    (ListenerKind::Gateway, 7222),
    (ListenerKind::LeafNodes, 7422),
    (ListenerKind::WebSocket, 8080),
];

/// Where the other end is.
const REMOTE: ([u8; 4], u16) = ([10, 0, 0, 9], 1000);
const PEER: RawFd = 1;
const CLIENT: RawFd = 2;

/// The system's allocator, which counts.
struct Counted;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// What is counted is what the system's allocator does, which is called as the caller called this.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

static OPTIONS: LazyLock<Options> = LazyLock::new(|| stepped::options(CONFIG));
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A server, its client in account B, and the other server.
struct World {
    server: SteppedServer,
    now: Instant,
    client: Wire,
    peer: Wire,
    layers: Layers,
}

impl World {
    fn new(link: Link, stage: Stage) -> Self {
        stepped::seed_random(Some(1));
        let settings = Settings { options: OPTIONS.clone(), name: "S", ports: &PORTS, seed: [1; 32] };
        let (client, peer, now) = (Wire::new(CLIENT), Wire::new(PEER), *BEGAN);
        let server = SteppedServer::start(settings, now);
        let mut world = Self { server, now, client, peer, layers: Layers::default() };
        let client = Box::new(world.client.clone());
        world.server.accept(now, client, REMOTE.into(), ListenerKind::Clients);
        world.client_sends(b"CONNECT {\"user\":\"B\",\"pass\":\"p\",\"verbose\":false}\r\nSUB w.> 1\r\nPING\r\n");
        assert!(world.client.state().outgoing.ends_with(b"PONG\r\n"));
        world.connect_peer(link);
        world.layers = peer::shake_hands(link, stage, &mut |bytes| {
            world.peer_sends(bytes);
            world.peer.state().outgoing.clone()
        });
        world
    }

    /// Makes the connection of the other server; nobody else is there.
    fn connect_peer(&mut self, link: Link) {
        let (peer, remote) = (Box::new(self.peer.clone()), REMOTE.into());
        if !link.is_dialed {
            return self.server.accept(self.now, peer, remote, peer::listener(link));
        }
        loop {
            let (wanted, others): (Vec<_>, Vec<_>) = self.server.take_dials().into_iter().partition(|dial| {
                dial.addresses.iter().any(|address| address.port() == peer::remote_port(link))
            });
            for dial in others {
                self.server.undialed(self.now, dial.number);
            }
            if let Some(dial) = wanted.first() {
                return self.server.open(self.now, peer, remote, Origin::Dialed(dial.number));
            }
            self.now = self.server.deadline().expect("it dials some time");
            assert!(self.now < *BEGAN + Duration::from_secs(60), "{link:?} is not dialled");
            self.server.turn(self.now, None);
        }
    }

    fn client_sends(&mut self, bytes: &[u8]) {
        self.client.state().incoming.extend_from_slice(bytes);
        self.readable(CLIENT);
    }

    fn peer_sends(&mut self, bytes: &[u8]) {
        self.peer.state().incoming.extend_from_slice(bytes);
        self.readable(PEER);
    }

    fn readable(&mut self, number: RawFd) {
        let happened = Readiness { is_readable: true, ..Readiness::default() };
        self.server.turn(self.now, Some((number, happened)));
    }

    /// Lets time pass; whom the server dials meanwhile it does not reach.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut turns = 0;
        while let Some(at) = self.server.deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.server.turn(self.now, None);
            for dial in self.server.take_dials() {
                self.server.undialed(self.now, dial.number);
            }
            turns += 1;
            assert!(turns < 10_000, "it is never done");
        }
        self.now = until;
    }

    /// Both others leave. What the server had of them is gone.
    fn end(mut self) {
        for (number, wire) in [(PEER, self.peer.clone()), (CLIENT, self.client.clone())] {
            wire.state().is_over = true;
            let happened = Readiness { is_readable: true, is_writable: true, is_over: true };
            self.server.turn(self.now, Some((number, happened)));
            assert!(wire.state().is_closed, "{number} has gone and is still there");
        }
    }

    /// The client is there, is heard, and hears itself.
    fn check_client(&mut self) {
        self.client.state().outgoing.clear();
        self.client_sends(b"PUB w.own 3\r\nown\r\nPING\r\n");
        self.pass(Duration::from_millis(50));
        let state = self.client.state();
        let came = |bytes: &[u8]| state.outgoing.windows(bytes.len()).any(|window| window == bytes);
        assert!(!state.is_closed, "the client was closed");
        assert!(came(b"MSG w.own 1 3\r\nown\r\n") && came(b"PONG\r\n"), "the client is not served");
    }
}

/// What the bytes do.
#[derive(Clone, Copy, Debug)]
struct Sent<'a> {
    bytes: &'a [u8],
    /// They are what is in the frames, not the frames.
    is_framed: bool,
    /// The other server takes nothing from here on.
    is_deaf: bool,
}

/// Whether the connection is over, and what its other end made the client hear.
fn play(link: Link, stage: Stage, sent: Sent<'_>, piece: usize) -> (bool, Vec<u8>) {
    let mut world = World::new(link, stage);
    world.client.state().outgoing.clear();
    world.peer.state().is_full = sent.is_deaf;
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let wire = if sent.is_framed {
        // Frames as long as the pieces would be no other frames when they are cut.
        sent.bytes.chunks(1000).flat_map(|frame| world.layers.wrap(frame)).collect()
    } else {
        sent.bytes.to_vec()
    };
    for piece in wire.chunks(piece.max(1)) {
        world.peer_sends(piece);
    }
    let end = (world.peer.state().is_closed, std::mem::take(&mut world.client.state().outgoing));
    world.check_client();
    world.pass(Duration::from_secs(4));
    world.check_client();
    let held = MOST.load(Ordering::Relaxed) - before;
    assert!(held < HELD_BYTES_MAX, "{} bytes made {held} be held", sent.bytes.len());
    assert!(world.server.pending_bytes() <= PENDING_BYTES_MAX + (64 << 10));
    world.end();
    end
}

/// That the handshakes are understood: without it, what is fuzzed is a connection that is over.
fn check_handshakes() {
    for link in LINKS {
        for stage in [Stage::Framed, Stage::Joined] {
            let world = World::new(link, stage);
            assert!(!world.peer.state().is_closed, "{link:?} ends at {stage:?}: {:?}", world.peer);
            world.end();
        }
        let line: &[u8] = match link.protocol {
            Protocol::Leaf => b"LMSG w.hi 2\r\nhi\r\n",
            Protocol::Route => b"RMSG B w.hi 2\r\nhi\r\n",
            // Only whom this cluster has dialled asks it for messages; who dialled it sends them.
            Protocol::Gateway if link.is_dialed => b"RS+ B w.far\r\n",
            Protocol::Gateway => b"RMSG B w.hi 2\r\nhi\r\n",
        };
        let sent = Sent { bytes: line, is_framed: true, is_deaf: false };
        let (is_closed, heard) = play(link, Stage::Joined, sent, usize::MAX);
        let is_heard = heard == b"MSG w.hi 1 2\r\nhi\r\n" || line.starts_with(b"RS+");
        assert!(!is_closed && is_heard, "{link:?}: {:?}", String::from_utf8_lossy(&heard));
    }
}

// The first byte is the link, the second the stage and what the bytes are, the third how long the pieces are that they are cut into.
fuzz_target!(
    init: check_handshakes(),
    |data: &[u8]| {
        let [link, how, piece, bytes @ ..] = data else { return };
        let link = LINKS[usize::from(*link) % LINKS.len()];
        let stage = [Stage::Connected, Stage::Framed, Stage::Joined][usize::from(how % 3)];
        let sent = Sent { bytes, is_framed: how & 0x40 != 0, is_deaf: how & 0x80 != 0 };
        let whole = play(link, stage, sent, usize::MAX);
        let cut = play(link, stage, sent, usize::from(*piece));
        if !sent.is_deaf {
            assert_eq!(cut.0, whole.0, "it ends by how the bytes are cut");
        }
        if !sent.is_deaf && !whole.0 {
            assert_eq!(cut.1, whole.1, "what comes of it depends on how the bytes are cut");
        }
    }
);
