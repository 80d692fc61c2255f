//! The hubs that this server is a leaf node of: [`dialtone_mesh::Hubs`] decides when which is dialled, and here is who is asked.

use crate::machine::{Driven, Machine, Outcome};
use crate::policy::Policy;
use dialtone_config::Secret;
use dialtone_config::options::{LeafNodes, LeafRemote, Options, ServerUrl};
use dialtone_identity::creds;
use dialtone_identity::nkey::Seed;
use dialtone_mesh::{
    Credentials, DialId, HubAction, HubEvent, HubId, HubSettings, LinkId, RouteUrl, WebSocketUrl,
};
use dialtone_wire::CloseReason;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The port of a hub whose URL has none. The official figure.
const PORT_DEFAULT: u16 = 7422;
/// How long an address may take to answer. The official figure.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// A hub as it is configured.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) own: LeafRemote,
    /// What its credentials file holds. It is read anew for each attempt, off the event loops.
    keys: Mutex<Option<Arc<Keys>>>,
}

/// Who this server is at a hub, if a signature shows it.
pub(crate) struct Keys {
    /// The user's JWT; empty with a plain NKey.
    pub(crate) jwt: String,
    /// Its key.
    pub(crate) seed: Seed,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Hub {
    /// Reads what shows who this server is.
    ///
    /// # Errors
    /// What is wrong with it; no secret.
    pub(crate) fn read_keys(&self) -> Result<(), String> {
        let keys = match (&self.own.credentials, &self.own.seed) {
            (Some(file), _) => Some(read_file(file)?),
            (None, Some(seed)) => {
                let seed = Seed::parse(seed.expose()).map_err(|why| why.to_string())?;
                Some(Keys { jwt: String::new(), seed })
            }
            (None, None) => None,
        };
        *self.keys.lock() = keys.map(Arc::new);
        Ok(())
    }

    /// How long connecting to it may take, or to its proxy and then that one's answer.
    pub(crate) fn dial_timeout(&self, options: &Options) -> Duration {
        let of_proxy = self.own.proxy().and_then(|proxy| proxy.timeout);
        let of_all = options.leafnodes.as_ref().and_then(|own| own.dial_timeout);
        of_proxy.or(self.own.link.dial_timeout).or(of_all).unwrap_or(DIAL_TIMEOUT)
    }

    /// Whether nothing is said to it at this URL without TLS, whatever it says of itself.
    pub(crate) fn needs_tls(&self, url: &RouteUrl) -> bool {
        match &url.websocket {
            Some(websocket) => websocket.is_secure || self.own.tls.is_some(),
            None => self.own.needs_tls(),
        }
    }

    /// Whether a connection to it at this URL begins with TLS.
    pub(crate) fn begins_with_tls(&self, url: &RouteUrl) -> bool {
        if url.websocket.is_some() { self.needs_tls(url) } else { self.own.begins_with_tls() }
    }

    /// What was read last.
    pub(crate) fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.lock().clone()
    }
}

fn read_file(file: &Path) -> Result<Keys, String> {
    let text = std::fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    let read = creds::parse(&text).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(Keys { jwt: read.jwt, seed: read.seed })
}

/// What a connection to a hub is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// It ends.
    Close(CloseReason),
}

/// What the dialer is to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Connect.
    Dial { dial: DialId, hub: Arc<Hub>, url: RouteUrl, attempt: u32 },
}

/// All hubs.
pub type Hubs = Driven<Dialing>;

/// What is known of the hubs.
pub struct Dialing {
    machine: dialtone_mesh::Hubs,
    configured: BTreeMap<HubId, Arc<Hub>>,
    next: u64,
    /// Where dials that are under way go.
    urls: BTreeMap<DialId, (Arc<Hub>, RouteUrl)>,
    /// The hubs of connections.
    links: BTreeMap<LinkId, (Arc<Hub>, RouteUrl)>,
}

impl Machine for Dialing {
    type Event<'e> = HubEvent;
    type Order = Order;
    type Task = Task;

    fn lost(link: LinkId) -> HubEvent {
        HubEvent::Lost(link)
    }

    fn timeout() -> HubEvent {
        HubEvent::Timeout
    }

    fn handle(&mut self, event: HubEvent, now: Instant, out: &mut Vec<Outcome<Order, Task>>) {
        match &event {
            HubEvent::Dialed { dial, link } => {
                if let Some(dialed) = self.urls.remove(dial) {
                    self.links.insert(*link, dialed);
                }
            }
            HubEvent::DialFailed(dial) => drop(self.urls.remove(dial)),
            HubEvent::Lost(link) => drop(self.links.remove(link)),
            _ => {}
        }
        let mut actions = Vec::new();
        self.machine.handle(event, now, &mut actions);
        out.extend(actions.into_iter().filter_map(|action| self.outcome(action)));
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.machine.next_timeout()
    }
}

impl Dialing {
    fn new() -> Self {
        Self {
            machine: dialtone_mesh::Hubs::new(crate::random::random()),
            configured: BTreeMap::new(),
            next: 0,
            urls: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    fn outcome(&mut self, action: HubAction) -> Option<Outcome<Order, Task>> {
        match action {
            HubAction::Dial { dial, hub, url, attempt } => {
                let hub = self.configured.get(&hub)?.clone();
                self.urls.insert(dial, (hub.clone(), url.clone()));
                Some(Outcome::Task(Task::Dial { dial, hub, url, attempt }))
            }
            HubAction::Close(link) => Some(Outcome::Order(link, Order::Close(CloseReason::ClientClosed))),
        }
    }

    /// Takes over what is configured: a hub that stays as it is keeps its number.
    fn configure(&mut self, own: Option<&LeafNodes>) -> BTreeMap<HubId, HubSettings> {
        let remotes = own.into_iter().flat_map(|own| &own.remotes).filter(|remote| !remote.disabled);
        let mut before = std::mem::take(&mut self.configured);
        let mut settings = BTreeMap::new();
        for remote in remotes {
            let known = before.iter().find(|(_, hub)| stays(&hub.own, remote)).map(|(id, _)| *id);
            let known = known.and_then(|id| before.remove_entry(&id));
            let id = known.as_ref().map_or_else(|| self.take_number(), |(id, _)| *id);
            let same = known.map(|(_, hub)| hub).filter(|hub| hub.own == *remote);
            let made = || Arc::new(Hub { own: remote.clone(), keys: Mutex::default() });
            self.configured.insert(id, same.unwrap_or_else(made));
            settings.insert(id, settings_of(remote, own.map_or(Duration::ZERO, |own| own.reconnect)));
        }
        settings
    }

    fn take_number(&mut self) -> HubId {
        self.next += 1;
        HubId(self.next)
    }
}

/// Whether a connection to a hub stays when this is what is configured of it. TLS may be another one, for the next connection, but not where
/// there was none, nor with other pins.
fn stays(old: &LeafRemote, new: &LeafRemote) -> bool {
    let pins =
        |remote: &LeafRemote| remote.tls.as_ref().map(|tls| tls.pinned_certs.clone()).unwrap_or_default();
    LeafRemote { tls: new.tls.clone(), ..old.clone() } == *new
        && old.needs_tls() == new.needs_tls()
        && pins(old) == pins(new)
}

fn settings_of(remote: &LeafRemote, reconnect: Duration) -> HubSettings {
    let url = |url: &ServerUrl| {
        let password = |secret: &Secret| secret.expose().to_owned();
        let credentials = url.user.as_ref().map(|user| Credentials {
            user: user.clone(),
            password: url.password.as_ref().map(password).unwrap_or_default(),
        });
        let websocket = LeafRemote::is_websocket_url(url)
            .then(|| WebSocketUrl { is_secure: url.scheme == "wss", path: url.path.clone() });
        let known = RouteUrl::of(&url.host, url.port.unwrap_or(PORT_DEFAULT), credentials)?;
        Some(RouteUrl { websocket, ..known })
    };
    HubSettings {
        urls: remote.urls.iter().filter_map(url).collect(),
        in_order: remote.link.in_order,
        // What a hub speaks of is where it listens for leaf nodes, which is not where it listens for WebSocket.
        ignores_learned: remote.link.ignore_discovered || remote.is_websocket(),
        reconnect,
    }
}

impl Hubs {
    /// Begins to dial what is configured.
    pub(crate) fn begin(&self, options: &Options) {
        let mut dialing = Dialing::new();
        let configured = dialing.configure(options.leafnodes.as_ref());
        self.start(dialing, HubEvent::Configured(configured));
    }

    /// Goes by other options.
    pub(crate) fn follow(&self, policy: &Policy) {
        let own = policy.options.leafnodes.as_ref();
        if let Some(configured) = self.change(|dialing| dialing.configure(own)) {
            self.handle(HubEvent::Configured(configured));
        }
    }

    /// The hub that is being dialled, and where.
    pub(crate) fn dialing(&self, dial: DialId) -> Option<(Arc<Hub>, RouteUrl)> {
        self.read(|dialing| dialing.urls.get(&dial).cloned()).flatten()
    }

    /// The hub that a connection is to, and where it was dialled.
    pub(crate) fn dialed(&self, link: LinkId) -> Option<(Arc<Hub>, RouteUrl)> {
        self.read(|dialing| dialing.links.get(&link).cloned()).flatten()
    }
}
