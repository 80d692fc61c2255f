//! The cluster: which routes there should be.

use crate::accounts::Accounts;
use crate::policy::{COMPATIBLE_VERSION, Identity, ListenerKind};
use crate::routes::{Routes, Share};
use crate::settings::Settings;
use dialtone_broker::peer::ClientId;
use dialtone_config::options::cluster::Cluster as Block;
use dialtone_config::options::cluster::ServerUrl;
use dialtone_wire::CloseReason;
use dialtone_wire::route::Info;
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long after an attempt a server is dialled again. The official figure.
const REDIAL: Duration = Duration::from_secs(1);

/// A connection that this server dialled, and what for.
#[derive(Clone, Debug)]
pub(crate) struct Dialed {
    pub(crate) number: u64,
    pub(crate) url: ServerUrl,
    pub(crate) wanted: Wanted,
    pub(crate) is_configured: bool,
}

/// What a connection is to be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Place(usize),
    Account(String),
}

impl Dialed {
    /// The account that it is for, if it is for one.
    pub(crate) fn account(&self) -> Option<String> {
        match &self.wanted {
            Wanted::Place(_) => None,
            Wanted::Account(name) => Some(name.clone()),
        }
    }

    /// Its place in the pool.
    pub(crate) fn place(&self) -> Option<usize> {
        match &self.wanted {
            Wanted::Place(place) => Some(*place),
            Wanted::Account(_) => None,
        }
    }
}

/// What becomes of a connection to another server.
pub(crate) enum Verdict {
    /// It is a route.
    Joins(Share),
    /// It is closed, and this is logged.
    Closes(CloseReason, Option<String>),
    /// It is closed with this error.
    Refused(String, CloseReason),
}

#[derive(Debug)]
struct Slot {
    dialed: Dialed,
    state: SlotState,
}

#[derive(Debug, PartialEq, Eq)]
enum SlotState {
    Idle(Instant),
    Dialing,
    Up(ClientId),
    Over,
}

#[derive(Debug, Default)]
struct State {
    name: String,
    is_dynamic: bool,
    slots: Vec<Slot>,
    stops: bool,
}

/// One server's part in its cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    state: Mutex<State>,
    changed: Condvar,
}

impl Cluster {
    /// Its name, and whether that was made up.
    pub(crate) fn name(&self) -> (String, bool) {
        let state = self.state.lock();
        (state.name.clone(), state.is_dynamic)
    }

    /// Why a server of a cluster with this name may not join, if it may not. A name that was made up gives way.
    pub(crate) fn conflict(&self, name: &str, is_dynamic: bool) -> Option<String> {
        let mut state = self.state.lock();
        if state.name == name {
            return None;
        }
        match (state.is_dynamic, is_dynamic) {
            // Of two that were made up the one that comes first by its letters stays.
            (true, true) if state.name.as_str() < name => None,
            (true, _) => {
                name.clone_into(&mut state.name);
                state.is_dynamic = is_dynamic;
                None
            }
            (false, true) => None,
            (false, false) => {
                Some(format!("Rejecting connection, cluster name {name:?} does not match {:?}", state.name))
            }
        }
    }

    /// What this server says of itself to others.
    pub(crate) fn info(&self, settings: &Settings) -> Info {
        let policy = settings.policy();
        let identity = &settings.identity;
        let (cluster, cluster_dynamic) = self.name();
        let Some(own) = &policy.options.cluster else { return Info::default() };
        Info {
            server_id: identity.id.clone(),
            server_name: identity.name.clone(),
            version: COMPATIBLE_VERSION.into(),
            proto: 3,
            go: policy.clients().info.go.clone(),
            host: own.listener.host.clone(),
            port: identity.port(ListenerKind::Cluster),
            headers: policy.options.headers,
            auth_required: own.authorization.user.is_some(),
            max_payload: policy.options.limits.payload_bytes_max as i64,
            cluster,
            cluster_dynamic,
            route_pool_size: own.pool.size.unwrap_or(0) as u32,
            ..Info::default()
        }
    }

    /// Decides on a connection to a server that says this of itself.
    pub(crate) fn judge(
        &self,
        identity: &Identity,
        accounts: &Accounts,
        dialed: Option<&Dialed>,
        info: &Info,
    ) -> Verdict {
        if info.server_id == identity.id {
            if let Some(dialed) = dialed {
                let mut state = self.state.lock();
                state.slots.iter_mut().filter(|slot| slot.dialed.url == dialed.url).for_each(|slot| {
                    slot.state = SlotState::Over;
                });
            }
            return Verdict::Closes(CloseReason::DuplicateRoute, None);
        }
        if info.server_name == identity.name {
            let text = format!("Remote server has a duplicate name: {:?}", info.server_name);
            return Verdict::Closes(CloseReason::DuplicateServerName, Some(text));
        }
        if let Some(text) = self.conflict(&info.cluster, info.cluster_dynamic) {
            return Verdict::Closes(CloseReason::ClusterNameConflict, Some(text));
        }
        let account = dialed.map_or_else(|| info.route_account.clone(), |d| d.account().unwrap_or_default());
        if !account.is_empty() {
            return match accounts.find(&account) {
                Some(found) => Verdict::Joins(Share::Dedicated(found)),
                None => {
                    let text = format!("No route for account {account:?}");
                    Verdict::Refused(text, CloseReason::ProtocolViolation)
                }
            };
        }
        if info.route_pool_size == 0 {
            return Verdict::Joins(Share::All);
        }
        let place = dialed.map_or(info.route_pool_idx as usize, |d| d.place().unwrap_or_default());
        Verdict::Joins(Share::Pooled(place))
    }

    /// Another server spoke of a third one.
    pub(crate) fn hear_of(&self, _: &Info) {}

    /// The connection that was dialled with this number is there.
    pub(crate) fn dialed(&self, number: u64, id: ClientId) -> Option<Dialed> {
        let mut state = self.state.lock();
        let slot = state.slots.get_mut(number as usize)?;
        slot.state = SlotState::Up(id);
        Some(slot.dialed.clone())
    }

    /// Nobody answered.
    pub(crate) fn undialed(&self, number: u64) {
        let mut state = self.state.lock();
        if let Some(slot) = state.slots.get_mut(number as usize) {
            slot.state = SlotState::Idle(Instant::now() + REDIAL);
        }
        self.changed.notify_one();
    }

    /// A connection is over.
    pub(crate) fn lost(&self, id: ClientId) {
        let mut state = self.state.lock();
        for slot in state.slots.iter_mut().filter(|slot| slot.state == SlotState::Up(id)) {
            slot.state = SlotState::Idle(Instant::now() + REDIAL);
        }
        self.changed.notify_one();
    }

    /// Reads what the configuration says.
    pub(crate) fn begin(&self, identity: &Identity, accounts: &Accounts, routes: &Routes, own: &Block) {
        let mut state = self.state.lock();
        state.is_dynamic = own.name.is_none();
        state.name = own.name.clone().unwrap_or_else(|| identity.id.clone());
        let system = accounts.system().map(|account| account.name.clone());
        let size = own.pool.size;
        let dedicated: Vec<Box<str>> = match size {
            Some(_) => own.pool.accounts.iter().map(|name| name.as_str().into()).chain(system).collect(),
            None => Vec::new(),
        };
        routes.set_pools(size.unwrap_or(1), dedicated.iter().cloned());
        for route in &own.routes {
            let places = (0..size.unwrap_or(1)).map(Wanted::Place);
            let accounts = dedicated.iter().map(|name| Wanted::Account(name.to_string()));
            for wanted in places.chain(accounts) {
                let number = state.slots.len() as u64;
                let dialed = Dialed { number, url: route.url.clone(), wanted, is_configured: true };
                state.slots.push(Slot { dialed, state: SlotState::Idle(Instant::now()) });
            }
        }
    }

    /// Stops dialling.
    pub(crate) fn stop(&self) {
        self.state.lock().stops = true;
        self.changed.notify_one();
    }

    /// What is to be dialled now; waits until there is something. `None`: nothing any more.
    pub(crate) fn next(&self) -> Option<Dialed> {
        let mut state = self.state.lock();
        loop {
            if state.stops {
                return None;
            }
            let now = Instant::now();
            let mut first = now + Duration::from_secs(3600);
            for slot in &mut state.slots {
                match slot.state {
                    SlotState::Idle(at) if at <= now => {
                        slot.state = SlotState::Dialing;
                        return Some(slot.dialed.clone());
                    }
                    SlotState::Idle(at) => first = first.min(at),
                    SlotState::Dialing | SlotState::Up(_) | SlotState::Over => {}
                }
            }
            self.changed.wait_until(&mut state, first);
        }
    }
}
