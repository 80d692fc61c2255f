//! What other clusters are told of interest in this one: RS+ and RS-, each by every server that they dial, of the whole cluster.

use super::{Direction, Gateway, Gateways};
use crate::asked_here::stays_here;
use crate::clock;
use crate::session::Session;
use crate::walk::{self, Change, More, Recipient, Walk};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::deliver::interest::{Delta, Gate, Source, Watch};
use dialtone_broker::kind::Kind;
use dialtone_wire::gateway::Info;
use dialtone_wire::interserver::{Interest, LeafOrigins, encode};
use parking_lot::Mutex;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Tells all other clusters of each change of interest.
pub(crate) struct Announcer(pub(crate) Arc<Gateways>);

/// All interest is the cluster's, whoever has it.
fn is_told(source: &Source<'_>) -> Option<()> {
    source.is_told_to(Kind::Gateway).then_some(())
}

/// Whether requests of whoever has this interest leave the cluster by this server.
fn asks_here(source: &Source<'_>) -> bool {
    match source {
        Source::Here => true,
        Source::Behind(kind, _) => kind.is_leaf_connection(),
        Source::Account => false,
    }
}

impl Watch for Announcer {
    fn changed(&self, account: &Arc<Account>, delta: Delta<'_>, mut turn: Option<&mut Turn>) {
        let Some(((), sum)) = delta.sum(is_told) else { return };
        // How many members a queue group has is of no concern: it has some, or none.
        if (sum.before == 0) == (sum.now == 0) || stays_here(account, delta.filter) {
            return;
        }
        if sum.now > 0 && delta.queue.is_none() && asks_here(&delta.source) {
            let now = turn.as_deref().map_or_else(clock::moment, Turn::now);
            account.note_new_interest(delta.filter, now);
        }
        let mut line = Vec::with_capacity(64);
        append(&mut line, account, &delta, sum.now);
        for gateway in self.0.open().iter().filter(|gateway| gateway.direction == Direction::Inbound) {
            if gateway.walk.lock().meets(account, &delta) == Change::Ahead {
                continue;
            }
            let mut lines = self.0.introduction(gateway, account);
            lines.extend_from_slice(&line);
            walk::tell(&gateway.session, &lines, turn.as_deref_mut());
        }
    }
}

fn append(out: &mut Vec<u8>, account: &Account, delta: &Delta<'_>, now: u32) {
    let account = Some(account.name.as_bytes());
    let interest = Interest { origin: None, account, filter: delta.filter, queue: delta.queue };
    if now > 0 {
        encode::route_subscribe(out, &interest, NonZeroU32::MIN, LeafOrigins::Unknown);
    } else {
        encode::route_unsubscribe(out, &interest, LeafOrigins::Unknown);
    }
}

impl Gateways {
    /// What another cluster is told of an account before it is told of interest there, if it has not heard of the account: one that has come
    /// since. It sends nothing to an account that it has not heard of, and forgets interest there.
    fn introduction(&self, gateway: &Gateway, account: &Account) -> Vec<u8> {
        let mut lines = Vec::new();
        if gateway.named.lock().insert(account.id) {
            Info::all_interest_begins(&self.own_name, account.name.as_bytes()).encode(&mut lines);
            Info::all_interest_ends(&self.own_name, account.name.as_bytes()).encode(&mut lines);
        }
        lines
    }

    /// Tells another cluster of an account, if it has not heard of it.
    pub(crate) fn introduce(&self, gate: &Gate, gateway: &Gateway, account: &Account, turn: &mut Turn) {
        gate.hold(|_| {
            let lines = self.introduction(gateway, account);
            turn.enqueue(&gateway.session.peer, &lines);
        });
    }

    /// Another cluster begins to send here: it is told all interest that there is, and from then on what changes. It sends nothing else from
    /// the beginning.
    pub(crate) fn begin(
        &self,
        gate: &Gate,
        gateway: &Arc<Gateway>,
        accounts: Vec<Arc<Account>>,
        turn: &mut Turn,
    ) -> More {
        gate.hold(|_| {
            gateway.named.lock().extend(accounts.iter().map(|account| account.id));
            let mut bytes = Vec::new();
            for account in &accounts {
                Info::all_interest_begins(&self.own_name, account.name.as_bytes()).encode(&mut bytes);
            }
            turn.enqueue(&gateway.session.peer, &bytes);
            *gateway.unfinished.lock() = accounts;
            gateway.walk.lock().begin();
            self.add(gateway.clone());
        });
        self.go_on(gate, gateway, turn)
    }

    /// Tells it the next piece.
    pub(crate) fn go_on(&self, gate: &Gate, gateway: &Gateway, turn: &mut Turn) -> More {
        walk::go_on(gate, &ToGateway { gateways: self, gateway }, turn)
    }
}

/// A connection that is told what there is.
struct ToGateway<'a> {
    gateways: &'a Gateways,
    gateway: &'a Gateway,
}

impl Recipient for ToGateway<'_> {
    fn walk(&self) -> &Mutex<Walk> {
        &self.gateway.walk
    }

    fn session(&self) -> &Session {
        &self.gateway.session
    }

    fn wants(&self, _: &Account) -> bool {
        true
    }

    fn append(&self, account: &Account, delta: &Delta<'_>, _: bool, out: &mut Vec<u8>) -> bool {
        if let Some(((), sum)) = delta.first_sum(is_told).filter(|((), sum)| sum.now > 0)
            && !stays_here(account, delta.filter)
        {
            out.extend(self.gateways.introduction(self.gateway, account));
            append(out, account, delta, sum.now);
            return true;
        }
        false
    }

    fn append_end(&self, out: &mut Vec<u8>) {
        for account in std::mem::take(&mut *self.gateway.unfinished.lock()) {
            Info::all_interest_ends(&self.gateways.own_name, account.name.as_bytes()).encode(out);
        }
    }
}
