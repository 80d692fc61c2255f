//! Dials other servers, on a thread of its own: looking up a name may take long.

use crate::node::Node;
use dialtone_net::{Dial, Loops};
use parking_lot::Mutex;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long an address may take to answer. The official figure.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Dials what is to be dialled, until the server ends.
pub(crate) fn start(node: &Arc<Node>, loops: &Arc<Mutex<Loops>>) -> io::Result<()> {
    let (node, loops): (Weak<Node>, Weak<Mutex<Loops>>) = (Arc::downgrade(node), Arc::downgrade(loops));
    let Some(strong) = node.upgrade() else { return Ok(()) };
    let run = move || {
        while let Some(cluster) = node.upgrade().map(|node| node.cluster.clone()) {
            let Some(dialed) = cluster.next() else { return };
            let address = (dialed.url.host.as_str(), dialed.url.port.unwrap_or_default());
            let addresses = address.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
            let dial = Dial { number: dialed.number, addresses, timeout: DIAL_TIMEOUT };
            match loops.upgrade() {
                Some(loops) => loops.lock().dial(dial),
                None => return,
            }
        }
    };
    strong.threads.spawn("routes", run).map(drop)
}
