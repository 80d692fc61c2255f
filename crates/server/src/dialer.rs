//! Does, on threads of their own, what the state machines of the network ask for beside what connections do: dials other servers, whose
//! names may take long to look up, tells clients where they may go, and keeps the machines' time.

use crate::client;
use crate::cluster::Task;
use crate::dialed::{Dialed, Dials};
use crate::hubs::{self, Hub};
use crate::log::Event as Logged;
use crate::machine::{Driven, Machine};
use crate::node::Node;
use crate::policy::{ListenerKind, Policy, first_name};
use crate::supercluster::{Dial as GatewayDial, Task as GatewayTask};
use crate::verifier::Host;
use dialtone_mesh::gateways::{Event as GatewayEvent, Note as GatewayNote};
use dialtone_mesh::{DialFailure, DialId, Event, HubEvent, Note, RouteUrl};
use dialtone_net::{ClientTls, Loops};
use parking_lot::Mutex;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long an address may take to answer. The official figure.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Begins, until the server ends.
///
/// # Errors
/// The system refuses a thread.
pub(crate) fn start(node: &Arc<Node>, loops: &Arc<Mutex<Loops>>) -> io::Result<()> {
    run(node, loops, "routes", &node.cluster, |node, loops, task| route_task(node, loops, task))?;
    run(node, loops, "leaf nodes", &node.hubs, |node, loops, task| hub_task(node, loops, &task))?;
    run(node, loops, "gateways", &node.supercluster, |node, loops, task| gateway_task(node, loops, task))
}

/// Does what the cluster asks for.
pub(crate) fn route_task(node: &Arc<Node>, dialer: &dyn Dials, task: Task) {
    match task {
        Task::Dial { dial, url, tls_name, attempt } => {
            log_attempt(node, &url, attempt);
            self::dial(node, dialer, dial, &url, tls_name.as_deref());
        }
        Task::ClientUrls => client::send_urls(node),
        Task::LeafUrls => node.delivery.leafs.wake(),
        Task::Dedicate(account, yes) => node.delivery.routes.dedicate(&account, yes, &node.delivery.gate),
        Task::Named(name) => {
            let _turn = node.settings.reloading.lock();
            node.accounts.set_cluster_name(&name, &node.settings.policy());
        }
        Task::Note(note) => log(node, &note),
    }
}

/// Does what is asked for where this server is a leaf node.
pub(crate) fn hub_task(node: &Arc<Node>, dialer: &dyn Dials, task: &hubs::Task) {
    let hubs::Task::Dial { dial, hub, url, attempt } = task;
    if let Err(why) = dial_hub(node, dialer, *dial, hub, url, *attempt) {
        let text = format_args!("Error trying to connect as leafnode to remote server {url}: {why}");
        node.log.emit(Logged::LeafFailed, "", text);
        node.hubs.handle(HubEvent::DialFailed(*dial));
    }
}

/// Does what the supercluster asks for.
pub(crate) fn gateway_task(node: &Arc<Node>, dialer: &dyn Dials, task: GatewayTask) {
    match task {
        GatewayTask::Dial(dial) => dial_gateway(node, dialer, &dial),
        GatewayTask::TellRoutes(info) => node.delivery.routes.broadcast(&info),
        GatewayTask::Note(note) => log_gateway(node, &note),
    }
}

fn dial_hub(
    node: &Node,
    dialer: &dyn Dials,
    dial: DialId,
    hub: &Hub,
    url: &RouteUrl,
    attempt: u32,
) -> Result<(), String> {
    let address = url.address();
    let text =
        format_args!("Trying to connect as leafnode to remote server on {address:?} (attempt {attempt})");
    node.log.emit(Logged::LeafDialed, "", text);
    hub.read_keys()?;
    if let Some(account) =
        hub.own.account.as_deref().filter(|_| node.settings.policy().authenticator.operators().is_some())
    {
        // Its JWT has to be here before anybody can be in it.
        Host::look_up(node, account);
    }
    let timeout = hub.dial_timeout(&node.settings.policy().options);
    let dialed = Dialed { kind: ListenerKind::LeafNodes, number: dial.0 };
    let tls = hub
        .needs_tls(url)
        .then(|| node.settings.policy().of(ListenerKind::LeafNodes).hub_tls(&hub.own, &url.host));
    // What it takes to do TLS later is read here, off the event loops, and what is wrong with it is found before anybody is connected to.
    let tls = tls.transpose()?;
    let (to, first) = match hub.own.proxy().and_then(|proxy| proxy.url.as_ref()) {
        // Where the hub is, the proxy finds out, and TLS comes in its tunnel.
        Some(proxy) => ((proxy.host.as_str(), proxy.port.unwrap_or_default()), None),
        None => ((url.host.as_str(), url.port), tls.filter(|_| hub.begins_with_tls(url))),
    };
    dialed.begin(dialer, to, first, timeout).map_err(|why| why.to_string())
}

/// Does what a state machine wants on a thread of its own, so that names that are slow to look up hold up no other.
fn run<M: Machine + Send + 'static>(
    node: &Arc<Node>,
    loops: &Arc<Mutex<Loops>>,
    name: &str,
    machine: &Arc<Driven<M>>,
    run: impl Fn(&Arc<Node>, &Mutex<Loops>, M::Task) + Send + 'static,
) -> io::Result<()>
where
    M::Order: Send,
    M::Task: Send,
{
    let (weak, loops): (Weak<Node>, Weak<Mutex<Loops>>) = (Arc::downgrade(node), Arc::downgrade(loops));
    let machine = machine.clone();
    let tasks = move || {
        while let Some(task) = machine.next_task() {
            let (Some(node), Some(loops)) = (weak.upgrade(), loops.upgrade()) else { return };
            run(&node, &loops, task);
        }
    };
    node.threads.spawn(name, tasks).map(drop)
}

fn dial_gateway(node: &Node, dialer: &dyn Dials, wanted: &GatewayDial) {
    let GatewayDial { dial, gateway, url, is_configured, attempt } = wanted;
    let way = if *is_configured { "explicit" } else { "implicit" };
    let text =
        format_args!("Connecting to {way} gateway {gateway:?} at {} (attempt {attempt})", url.address());
    node.log.emit(Logged::GatewayDialed, "", text);
    let tls = gateway_tls(&node.settings.policy(), gateway, &url.host);
    let dialed = Dialed { kind: ListenerKind::Gateway, number: dial.0 };
    let begun = tls.map_err(io::Error::other);
    let begun = begun.and_then(|tls| dialed.begin(dialer, (&url.host, url.port), tls, DIAL_TIMEOUT));
    if let Err(why) = begun {
        let text = format_args!("Error connecting to {way} gateway {gateway:?} at {}: {why}", url.address());
        node.log.emit(Logged::GatewayFailed, "", text);
        node.supercluster.handle(GatewayEvent::DialFailed { dial: *dial });
    }
}

/// TLS to a server of another cluster, by the block of its remote if that has one. Servers of clusters that others tell of have the usual one.
fn gateway_tls(policy: &Policy, gateway: &str, host: &str) -> Result<Option<ClientTls>, String> {
    let remote = policy.options.gateway.as_ref().and_then(|own| own.remote(gateway));
    let name = remote.and_then(|remote| first_name(remote.urls.iter().map(|url| url.host.as_str())));
    let block = remote.and_then(|remote| remote.tls.as_ref());
    policy.of(ListenerKind::Gateway).client_tls(block, host, name)
}

fn log_gateway(node: &Node, note: &GatewayNote) {
    let emit = |event, text: std::fmt::Arguments<'_>| node.log.emit(event, "", text);
    match note {
        GatewayNote::Rejected { gateway } => {
            emit(Logged::GatewayFailed, format_args!("Rejecting connection from gateway {gateway:?}"));
        }
        GatewayNote::WrongName { wanted, found } => {
            let text =
                format_args!("Failing connection to gateway {wanted:?}, remote gateway name is {found:?}");
            emit(Logged::GatewayFailed, text);
        }
        GatewayNote::WrongPort { wanted } => {
            let text = format_args!("Attempt to connect to gateway {wanted:?} using wrong port");
            emit(Logged::GatewayFailed, text);
        }
        GatewayNote::Learned { gateway } => {
            emit(Logged::GatewayDialed, format_args!("Heard of gateway {gateway:?}"));
        }
        GatewayNote::Forgotten { gateway } => {
            emit(Logged::GatewayDialed, format_args!("Gateway {gateway:?} is forgotten"));
        }
        GatewayNote::InfoTooFast(_) => {
            emit(Logged::GatewayFailed, format_args!("INFO of a gateway comes too fast"));
        }
    }
}

fn log_attempt(node: &Node, url: &RouteUrl, attempt: u32) {
    let text = format_args!("Trying to connect to route on {url} (attempt {attempt})");
    node.log.emit(Logged::RouteDialed, "", text);
}

fn dial(node: &Node, dialer: &dyn Dials, dial: DialId, url: &RouteUrl, tls_name: Option<&str>) {
    let policy = node.settings.policy();
    let routes = policy.of(ListenerKind::Cluster);
    let tls = routes.client_tls(None, &url.host, tls_name).map_err(io::Error::other);
    let dialed = Dialed { kind: ListenerKind::Cluster, number: dial.0 };
    let begun = tls.and_then(|tls| dialed.begin(dialer, (&url.host, url.port), tls, DIAL_TIMEOUT));
    if let Err(why) = begun {
        let text = format_args!("Error trying to connect to route {url}: {why}");
        node.log.emit(Logged::RouteFailed, "", text);
        node.cluster.handle(Event::DialFailed { dial, failure: DialFailure::Unreachable });
    }
}

fn log(node: &Node, note: &Note) {
    let emit = |event, text: std::fmt::Arguments<'_>| node.log.emit(event, "", text);
    match note {
        Note::RouteToSelf(url) => {
            emit(Logged::RouteDialed, format_args!("Route {url} leads to this server itself"))
        }
        Note::ClusterNameConflict { theirs, .. } => {
            let ours = node.cluster.name().unwrap_or_default();
            let text = format_args!("Rejecting connection, cluster name {theirs:?} does not match {ours:?}");
            emit(Logged::RouteFailed, text);
        }
        Note::DuplicateServerName { name, .. } => {
            emit(Logged::RouteFailed, format_args!("Remote server has a duplicate name: {name:?}"));
        }
        Note::Learned { server, by } => {
            emit(Logged::RouteDialed, format_args!("Heard of server {server} from {by}"))
        }
        Note::Forgotten(server) => emit(Logged::RouteDialed, format_args!("Server {server} is forgotten")),
        Note::Retired(url) => {
            let text =
                format_args!("Server at {url} left for good, and is not dialed until it connects by itself");
            emit(Logged::RouteRetired, text);
        }
        Note::InfoTooFast(_) => emit(Logged::RouteFailed, format_args!("INFO of a route comes too fast")),
        Note::UrlInvalid { server, url } => {
            emit(
                Logged::RouteFailed,
                format_args!("Server {server} has no URL that can be dialled: {url:?}"),
            );
        }
    }
}
