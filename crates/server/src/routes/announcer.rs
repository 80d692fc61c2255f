//! What other servers of the cluster are told of interest here: RS+ and RS-.

use super::{Route, Routes, Share};
use crate::asked_here::stays_here;
use crate::session::Session;
use crate::walk::{self, Change, More, Recipient, Walk};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::deliver::interest::{Delta, Gate, Source, Watch};
use dialtone_broker::kind::Kind;
use dialtone_broker::peer::Place;
use dialtone_broker::permission;
use dialtone_wire::interserver::{Interest, Origin, encode};
use parking_lot::Mutex;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Tells all routes of each change of interest.
pub(crate) struct Announcer(pub(crate) Arc<Routes>);

impl Watch for Announcer {
    fn changed(&self, account: &Arc<Account>, delta: Delta<'_>, mut turn: Option<&mut Turn>) {
        if !delta.source.is_told_to(Kind::Route) || stays_here(account, delta.filter) {
            return;
        }
        let may = self.0.may_announce(account, delta.filter);
        let open = self.0.open();
        for route in open.iter().filter(|route| self.0.carries(route, account)) {
            let Some((origin, sum)) = delta.sum(|source| route.origin_of(source)) else { continue };
            let is_told = match route.walk.lock().meets(account, &delta) {
                Change::News => may,
                Change::Ahead => false,
                Change::AheadAgain => true,
            };
            if !is_told || !sum.is_news(delta.queue) {
                continue;
            }
            let now = if may { sum.now } else { 0 };
            let mut line = Vec::with_capacity(64);
            append(&mut line, route, account, &Announced { origin, delta: &delta, now });
            walk::tell(&route.session, &line, turn.as_deref_mut());
        }
    }
}

impl Route {
    /// Whose interest the other server is told that of a source is: that of leaf nodes, or this server's own. `None`: it is not told.
    fn origin_of<'a>(&self, source: &Source<'a>) -> Option<Option<Origin<'a>>> {
        let origin = match (source, source.cluster()) {
            (Source::Behind(..), Some(cluster)) => Some(Origin::Cluster(cluster)),
            (Source::Behind(..), None) => Some(Origin::Unnamed),
            (Source::Here | Source::Account, _) => None,
        };
        source.is_told_to(Kind::Route).then_some(origin.filter(|origin| self.origins().knows(*origin)))
    }
}

/// Interest as a route is told of it.
struct Announced<'a> {
    origin: Option<Origin<'a>>,
    delta: &'a Delta<'a>,
    now: u32,
}

fn append(out: &mut Vec<u8>, route: &Route, account: &Account, announced: &Announced<'_>) {
    let Announced { origin, delta, now } = *announced;
    let is_named = !matches!(route.share, Share::Dedicated(_));
    let interest = Interest {
        origin,
        account: is_named.then_some(account.name.as_bytes()),
        filter: delta.filter,
        queue: delta.queue,
    };
    match NonZeroU32::new(now) {
        Some(weight) => encode::route_subscribe(out, &interest, weight, route.origins()),
        None => encode::route_unsubscribe(out, &interest, route.origins()),
    }
}

impl Routes {
    /// Whether other servers are told of interest in this filter.
    fn may_announce(&self, account: &Account, filter: &[u8]) -> bool {
        let permissions = self.permissions.read();
        permission::announce(permissions.as_deref(), filter).is_ok() && !stays_here(account, filter)
    }

    /// A route begins: it has its rights, is told all that there is, and from then on what changes.
    pub(crate) fn begin(&self, gate: &Gate, route: &Arc<Route>, turn: &mut Turn) -> More {
        gate.hold(|_| {
            let account = match &route.share {
                Share::Dedicated(account) => Some(account.clone()),
                Share::All | Share::Pooled(_) => None,
            };
            route.session.peer.set_place(Place { account, permissions: self.permissions() });
            route.walk.lock().begin();
            self.add(route.clone());
        });
        self.go_on(gate, route, turn)
    }

    /// Tells a route the next piece of what there is.
    pub(crate) fn go_on(&self, gate: &Gate, route: &Route, turn: &mut Turn) -> More {
        walk::go_on(gate, &ToRoute { routes: self, route }, turn)
    }
}

/// A route that is told what there is.
struct ToRoute<'a> {
    routes: &'a Routes,
    route: &'a Route,
}

impl Recipient for ToRoute<'_> {
    fn walk(&self) -> &Mutex<Walk> {
        &self.route.walk
    }

    fn session(&self) -> &Session {
        &self.route.session
    }

    fn wants(&self, account: &Account) -> bool {
        self.routes.carries(self.route, account)
    }

    fn append(&self, account: &Account, delta: &Delta<'_>, is_repeated: bool, out: &mut Vec<u8>) -> bool {
        let may = self.routes.may_announce(account, delta.filter);
        if (may || is_repeated)
            && !stays_here(account, delta.filter)
            && let Some((origin, sum)) = delta.first_sum(|source| self.route.origin_of(source))
        {
            let now = if may { sum.now } else { 0 };
            append(out, self.route, account, &Announced { origin, delta, now });
            return true;
        }
        false
    }
}
