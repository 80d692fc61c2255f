//! The gateway for MQTT-SN: a thread with its socket, whose clients come to the loops as clients of MQTT.

use crate::log::Event;
use crate::node::Node;
use crate::policy::ListenerKind;
use crate::tls::DtlsSetup;
use dialtone_config::Options;
use dialtone_config::options::{MqttSn, MqttSnClient, MqttSnDtls};
use dialtone_mqtt::sn::{self, Action, Gateway, Identities, Identity, Link, Predefined};
use dialtone_net::address::{self, canonical};
use dialtone_net::dtls::{self, Dtls};
use dialtone_net::{DatagramThread, Datagrams, Endpoint, ListenError, Outlet, Taker};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Who cannot come when it cannot be listened on.
pub(crate) const PART: &str = "clients of MQTT-SN";

/// A socket that is bound, with where that is.
pub(crate) type Bound = (UdpSocket, Endpoint);

/// Listens, where that is configured.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) fn listen(options: &Options) -> Result<Option<Bound>, ListenError> {
    let Some(own) = &options.mqtt_sn else { return Ok(None) };
    address::listen_udp(&own.host, own.port.unwrap_or(0)).map(Some)
}

/// Starts the gateway.
///
/// # Errors
/// The system refuses a thread.
pub(crate) fn start(node: &Arc<Node>, loops: Taker, (socket, endpoint): Bound) -> io::Result<()> {
    let policy = node.settings.policy();
    let Some(own) = &policy.options.mqtt_sn else { return Ok(()) };
    let announced = own.advertise_to.map(|to| announce_to(&socket, &endpoint, to));
    let announced_to = match announced.transpose() {
        Ok(to) => to,
        Err(why) => {
            node.log.emit(
                Event::Warning,
                "",
                format_args!("MQTT-SN: the gateway cannot announce itself: {why}"),
            );
            None
        }
    };
    let dtls = own.dtls.as_ref().map(|dtls| secured(node, dtls, own.limits.clients_max)).transpose()?;
    let gateway = Gateway::new(Instant::now(), options(own, announced_to.is_some()), rand::random());
    let scheme = if dtls.is_some() { "dtls" } else { "udp" };
    let bridge = Bridge { gateway, dtls, world: World { node: Arc::downgrade(node), loops, announced_to } };
    let thread = DatagramThread::start(&node.threads, "mqtt-sn", socket, bridge)?;
    *node.connections.mqtt_sn.lock() = Some(thread);
    node.log.emit(
        Event::Listening,
        "",
        format_args!("Listening for MQTT-SN clients on {scheme}://{endpoint}"),
    );
    Ok(())
}

/// What stands between the socket and the gateway.
fn secured(node: &Arc<Node>, dtls: &MqttSnDtls, peers_max: usize) -> io::Result<Dtls> {
    let setup = DtlsSetup::load(dtls).map_err(io::Error::other)?;
    let node = Arc::downgrade(node);
    let name_of = move |der: &[u8]| {
        let policy = node.upgrade()?.settings.policy();
        let users = policy.authenticator_of(ListenerKind::MqttSn);
        let name = users.certified_name(der, ListenerKind::MqttSn.connection_type())?;
        Some(Arc::from(name))
    };
    let options = setup.options(peers_max, Box::new(name_of));
    Dtls::new(Instant::now(), options, &rand::random()).map_err(io::Error::other)
}

/// Ends it: its clients are told.
pub(crate) fn stop(node: &Node) {
    let thread = node.connections.mqtt_sn.lock().take();
    drop(thread);
}

/// Prepares the socket for announcements to a group or a whole network. The address, as the socket has to be given it.
fn announce_to(socket: &UdpSocket, endpoint: &Endpoint, to: SocketAddr) -> io::Result<SocketAddr> {
    match to.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?
        }
        IpAddr::V6(group) if group.is_multicast() => socket.join_multicast_v6(&group, 0)?,
        _ => socket.set_broadcast(true)?,
    }
    Ok(match to.ip() {
        IpAddr::V4(ip) if endpoint.takes_v6() => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    })
}

fn options(own: &MqttSn, announces: bool) -> sn::Options {
    let mut predefined = Predefined::default();
    for (id, topic) in &own.predefined {
        // The configuration has been checked.
        let _ = predefined.insert(*id, topic);
    }
    sn::Options {
        gateway_id: own.gateway_id,
        advertise_interval: announces.then_some(own.advertise_interval),
        retry_interval: own.limits.retry_interval,
        retries_max: u32::try_from(own.limits.retries_max).unwrap_or(u32::MAX),
        clients_max: own.limits.clients_max,
        queue_messages_max: own.limits.waiting_messages_max,
        queue_bytes_max: own.limits.waiting_bytes_max,
        datagram_bytes_max: if own.dtls.is_some() { dtls::MESSAGE_BYTES_MAX } else { usize::MAX },
        predefined,
        identities: Identities(own.clients.iter().map(identity).collect()),
        ..sn::Options::default()
    }
}

fn identity(own: &MqttSnClient) -> Identity {
    let (client_id, user) = (own.client_id.as_deref().map(Into::into), own.user.as_str().into());
    Identity { client_id, network: own.network, user }
}

/// The gateway, and what it acts on.
struct Bridge {
    gateway: Gateway,
    dtls: Option<Dtls>,
    world: World,
}

struct World {
    node: Weak<Node>,
    loops: Taker,
    announced_to: Option<SocketAddr>,
}

impl World {
    fn act(&self, action: Action<'_>, dtls: Option<&mut Dtls>, now: Instant, out: &mut Outlet) {
        match action {
            Action::Send(to, bytes) => match dtls {
                Some(dtls) => dtls.send(now, to, bytes, &mut |to, bytes: &[u8]| out.send(to, bytes)),
                None => out.send(to, bytes),
            },
            Action::Broadcast(bytes) => {
                if let Some(to) = self.announced_to {
                    out.send(to, bytes);
                }
            }
            Action::Open(link, client) => self.open(link, client, out),
            Action::Server(link, bytes) => out.write(stream(link), bytes),
            Action::Close(link) => out.close(stream(link)),
        }
    }

    /// Connects to the server as a client of MQTT. If nobody is let in, the other end is closed at once, which the gateway learns.
    fn open(&self, link: Link, client: Option<SocketAddr>, out: &mut Outlet) {
        let lets_in =
            self.node.upgrade().is_some_and(|node| !node.connections.lame_duck.load(Ordering::Acquire));
        let socket = out.open(stream(link));
        if lets_in {
            self.loops.take(socket, client.map(canonical), ListenerKind::MqttSn.number());
        }
    }
}

/// The number of a connection to the server.
fn stream(link: Link) -> usize {
    link.0 as usize
}

impl Bridge {
    /// Calls the gateway, and does what it asks for.
    fn call(
        &mut self,
        now: Instant,
        out: &mut Outlet,
        call: impl FnOnce(&mut Gateway, &mut dyn FnMut(Action<'_>)),
    ) {
        let Self { gateway, dtls, world } = self;
        call(gateway, &mut |action| world.act(action, dtls.as_mut(), now, out));
        if let Some(node) = world.node.upgrade() {
            let asleep = gateway.asleep();
            let figures = [gateway.connected().saturating_sub(asleep), asleep];
            for (known, figure) in node.connections.client_ids.figures.gateway.iter().zip(figures) {
                known.store(figure, Ordering::Relaxed);
            }
        }
    }
}

impl Datagrams for Bridge {
    fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], out: &mut Outlet) {
        let Some(dtls) = &mut self.dtls else {
            return self.call(now, out, |gateway, act| gateway.datagram(now, from, None, bytes, act));
        };
        dtls.datagram(now, from, bytes, &mut |to, bytes: &[u8]| out.send(to, bytes));
        for dtls::Message { from, user, bytes } in dtls.messages() {
            self.call(now, out, |gateway, act| gateway.datagram(now, from, user.as_ref(), &bytes, act));
        }
    }

    fn received(&mut self, now: Instant, stream: usize, bytes: &[u8], out: &mut Outlet) {
        self.call(now, out, |gateway, act| gateway.server(now, Link(stream as u64), bytes, act));
    }

    fn closed(&mut self, now: Instant, stream: usize, out: &mut Outlet) {
        self.call(now, out, |gateway, act| gateway.server_closed(now, Link(stream as u64), act));
    }

    fn deadline(&self) -> Option<Instant> {
        let secured = self.dtls.as_ref().and_then(Dtls::deadline);
        self.gateway.deadline().into_iter().chain(secured).min()
    }

    fn expire(&mut self, now: Instant, out: &mut Outlet) {
        if let Some(dtls) = &mut self.dtls {
            let gateway = &self.gateway;
            dtls.expire(now, &mut |at| gateway.knows(at), &mut |to, bytes: &[u8]| out.send(to, bytes));
        }
        self.call(now, out, |gateway, act| gateway.expire(now, act));
    }

    fn stop(&mut self, now: Instant, out: &mut Outlet) {
        self.call(now, out, |gateway, act| gateway.shut_down(now, act));
        if let Some(dtls) = &mut self.dtls {
            dtls.shut_down(&mut |to, bytes: &[u8]| out.send(to, bytes));
        }
    }
}
