//! Several servers that are connected with each other: publishers are at the first, those who receive at the last.

use super::super::link::{Link as Client, READ_BYTES};
use super::super::operations::Operation;
use super::super::process::Process;
use super::super::target::{Target, Transport};
use super::server::{Server, Setup, free_port};
use anyhow::{Result, bail};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long it may take until what one server's clients subscribe to is known at the other.
const INTEREST_TIMEOUT: Duration = Duration::from_secs(30);
const INTEREST_POLL: Duration = Duration::from_millis(10);

/// What is between the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// One route.
    Route,
    /// One route that compresses with `s2_fast`.
    CompressedRoute,
    /// A third server: each has two routes.
    TwoRoutes,
    /// The first is the hub of the other.
    Leaf,
    /// Each is a cluster of its own.
    Gateway,
}

impl Link {
    /// What connects a server, which listens for others on `port`, with the first one, which does so on `seed`.
    pub(super) fn config(self, port: u16, seed: Option<u16>) -> String {
        let listen = format!("listen: \"127.0.0.1:{port}\"");
        let compression = if self == Self::CompressedRoute { "s2_fast" } else { "off" };
        match (self, seed) {
            (Self::Route | Self::CompressedRoute | Self::TwoRoutes, None) => {
                format!("cluster {{ name: bench, {listen}, compression: {compression} }}\n")
            }
            (Self::Route | Self::CompressedRoute | Self::TwoRoutes, Some(seed)) => format!(
                "cluster {{ name: bench, {listen}, compression: {compression}, routes: [\"nats://127.0.0.1:{seed}\"] }}\n"
            ),
            (Self::Gateway, None) => format!("gateway {{ name: first, {listen} }}\n"),
            (Self::Gateway, Some(seed)) => format!(
                "gateway {{ name: last, {listen}, gateways: [ {{ name: first, url: \"nats://127.0.0.1:{seed}\" }} ] }}\n"
            ),
            (Self::Leaf, None) => format!("leafnodes {{ {listen} }}\n"),
            (Self::Leaf, Some(seed)) => format!(
                "leafnodes {{ remotes: [ {{ url: \"nats-leaf://bench:bench@127.0.0.1:{seed}\", account: BENCH }} ] }}\n"
            ),
        }
    }
}

/// Running servers; they end with the value.
pub struct Network {
    servers: Vec<Server>,
    /// Where to publish, and where to receive.
    pub target: Target,
}

impl Network {
    /// Starts as many servers as the link takes, and waits until they are connected.
    ///
    /// Errors: one does not start, or they do not connect.
    pub fn start(binary: &Path, setup: Setup, link: Link) -> Result<Network> {
        let count = if link == Link::TwoRoutes { 3 } else { 2 };
        let mut servers = Vec::new();
        let mut seed = None;
        for _ in 0..count {
            let port = free_port()?;
            servers.push(Server::start(binary, setup, false, Transport::Stream, &link.config(port, seed))?);
            seed.get_or_insert(port);
        }
        let [first, .., last] = &*servers else { bail!("a network has at least two servers") };
        let target = Target { receivers: Some(Box::new(last.target.clone())), ..first.target.clone() };
        let network = Network { servers, target };
        network.wait_for_interest()?;
        Ok(network)
    }

    /// The processes of all servers.
    pub fn processes(&self) -> Vec<Process> {
        self.servers.iter().map(|server| server.process).collect()
    }

    /// Waits until the first server knows what clients of each other one have subscribed to so far: until a message arrives for
    /// which somebody subscribed after all that.
    ///
    /// Errors: none arrives.
    pub fn wait_for_interest(&self) -> Result<()> {
        for server in self.servers.iter().skip(1) {
            wait_for_interest(&self.target, &server.target)?;
        }
        Ok(())
    }
}

fn wait_for_interest(from: &Target, at: &Target) -> Result<()> {
    let (mut subscriber, mut operations) = Client::open(at, b"SUB bench.probe 1\r\n")?;
    let (mut publisher, _) = Client::open(from, b"")?;
    let mut buffer = vec![0; READ_BYTES];
    let started = Instant::now();
    while started.elapsed() < INTEREST_TIMEOUT {
        publisher.queue(b"PUB bench.probe 0\r\n\r\n");
        publisher.flush()?;
        std::thread::sleep(INTEREST_POLL);
        while let Some(found) = subscriber.read(&mut buffer)? {
            operations.push(buffer.get(..found.bytes).unwrap_or_default());
            while let Some(operation) = operations.next()? {
                if matches!(operation, Operation::Message { .. }) {
                    return Ok(());
                }
            }
            if !found.more {
                break;
            }
        }
    }
    bail!("nothing that is published at {} arrives at {}", from.address, at.address)
}
