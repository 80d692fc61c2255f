//! What servers of a cluster say to each other once they know each other: interest, and messages.

use super::{NO_CONNECT, RouteConnection, Side};
use crate::conduct::Conduct;
use crate::lines::{self, Reading, Speaker};
use crate::log::Event;
use crate::protocol::{self, Progress, send_pong};
use crate::relayed::{self, Batch};
use crate::routes::Share;
use crate::unclaimed::{Wanted, is_here};
use crate::walk::Ping;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::deliver::interest::Relayed;
use dialtone_broker::permission::{self, Subscribe};
use dialtone_mesh::Event as MeshEvent;
use dialtone_subject::is_valid_filter;
use dialtone_wire::CloseReason;
use dialtone_wire::interserver::{Interest, Op, RoutedMessage};
use std::sync::Arc;

impl Speaker for RouteConnection {
    type Batch = Batch;

    fn conduct(&self) -> &Conduct {
        &self.conduct
    }

    fn reading(&mut self) -> &mut Reading {
        &mut self.reading
    }

    fn is_joined(&self) -> bool {
        self.route.is_some()
    }

    fn is_stranger(&self) -> bool {
        self.side == Side::Accepted
    }

    fn may_become_valid(&self, begin: &[u8]) -> bool {
        relayed::may_become_connect(begin)
    }

    #[inline(always)]
    fn take_message(&mut self, routed: &RoutedMessage<'_>, batch: &mut Batch, turn: &mut Turn) {
        let bytes = routed.message.body_bytes() as u64;
        batch.add(bytes);
        if self.conduct.traced {
            relayed::trace_message(&self.conduct, routed);
        }
        let is_last = match (&self.last_account, routed.account) {
            (Some(last), Some(name)) => last.name.as_bytes() == name,
            (last, None) => last.is_some(),
            (None, Some(_)) => false,
        };
        if !is_last {
            batch.count_in_account(&self.conduct, self.last_account.as_ref());
            if !self.find_account(routed.account) {
                return;
            }
        }
        let Some(account) = &self.last_account else { return };
        batch.add_in_account(bytes);
        relayed::deliver(&self.conduct, account, routed, turn);
    }

    #[inline(never)]
    fn operate(&mut self, op: Op<'_>, batch: &mut Batch, turn: &mut Turn) {
        if self.is_stranger() && !matches!(op, Op::Connect(_)) {
            return self.turn_away(turn);
        }
        if self.remote.is_none() && matches!(op, Op::Message(_) | Op::Subscribe { .. } | Op::Unsubscribe(_)) {
            return self.out_of_place(turn);
        }
        match op {
            Op::Message(routed) => self.take_message(&routed, batch, turn),
            Op::Subscribe { interest, weight } => self.subscribe(&interest, weight.get(), turn),
            Op::Unsubscribe(interest) => self.unsubscribe(&interest, turn),
            Op::Connect(json) => self.take_connect(json, turn),
            Op::Info(json) => self.take_info(json, turn),
            Op::Ping => send_pong(&self.conduct, turn),
            Op::Pong => self.pong(turn),
            // Only gateways say these.
            Op::AccountSubscribe(_) | Op::AccountUnsubscribe(_) | Op::Ok => {}
            Op::Err(text) => {
                self.log(Event::ClientError, format_args!("Route Error {}", String::from_utf8_lossy(text)));
                self.peer().close(CloseReason::ParseError);
            }
        }
    }

    fn begins_framing(&mut self) -> bool {
        self.compression.take_begun()
    }

    #[cold]
    fn turn_away(&mut self, turn: &mut Turn) {
        self.log(Event::AuthenticationFailed, format_args!("authentication error"));
        self.refuse(NO_CONNECT.text(), CloseReason::AuthenticationViolation, turn);
    }
}

impl RouteConnection {
    /// Takes all whole operations at the front of what came in.
    pub(super) fn take(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        self.conduct.heard(turn.now());
        if self.conduct.is_outdated() {
            self.renew(turn);
        }
        self.take_rights(turn);
        let mut batch = Batch::default();
        let progress = lines::read(self, input, &mut batch, turn);
        batch.count(&self.conduct, self.last_account.as_ref(), turn);
        progress
    }

    /// Something of a server that has not said which one it is.
    #[cold]
    fn out_of_place(&mut self, turn: &mut Turn) {
        const BEFORE_INFO: &str = "Received interest or a message before INFO";
        self.log(Event::ProtocolError, format_args!("{BEFORE_INFO}"));
        self.refuse(BEFORE_INFO, CloseReason::ProtocolViolation, turn);
    }

    fn pong(&mut self, turn: &mut Turn) {
        match self.pings.answered() {
            Ping::Taken => {
                if let Some(route) = &self.route {
                    route.walk.lock().answered();
                }
                self.announce(turn);
                return self.ask_arrival(turn);
            }
            Ping::Arrived => {
                self.arriving.drain(..).for_each(|waiting| waiting.heard(turn));
                return self.ask_arrival(turn);
            }
            Ping::Alive => {}
        }
        let now = turn.now();
        self.conduct.pong(now);
        self.compression.measured(self.conduct.session.rtt());
        if self.side == Side::Dialed && self.route.is_some() {
            self.report(|link| MeshEvent::Confirmed { link }, turn);
        }
    }

    pub(super) fn send_ping(&mut self, turn: &mut Turn) {
        self.pings.alive();
        protocol::send_ping(&self.conduct, turn);
    }

    /// Tells the other server on what interest there is here, if it has not been told all.
    pub(super) fn announce(&mut self, turn: &mut Turn) {
        if let Some(route) = &self.route {
            let delivery = &self.conduct.node.delivery;
            let more = delivery.routes.go_on(&delivery.gate, route, turn);
            self.pings.ask_behind(more, self.conduct.peer(), turn);
        }
    }

    /// Asks the other server whether it has taken what it was told, if somebody waits for that. One question is under way at a time, for all
    /// who waited when it began.
    pub(super) fn ask_arrival(&mut self, turn: &mut Turn) {
        let Some(route) = &self.route else { return };
        if !self.arriving.is_empty() || route.walk.lock().is_under_way() {
            return;
        }
        self.arriving = route.arrival.lock().take();
        if !self.arriving.is_empty() {
            self.pings.ask_arrived(self.conduct.peer(), turn);
        }
    }

    /// Finds the account of a message. False: there is none of this name.
    #[cold]
    fn find_account(&mut self, name: Option<&[u8]>) -> bool {
        let found = self.account_of(name);
        if found.is_some() {
            self.last_account = found;
            return true;
        }
        let name = String::from_utf8_lossy(name.unwrap_or_default());
        let text = format_args!("Unknown account {name:?} for routed message");
        self.log(Event::ProtocolError, text);
        false
    }

    fn account_of(&self, name: Option<&[u8]>) -> Option<Arc<Account>> {
        let Some(name) = name else { return self.conduct.place.account.clone() };
        relayed::account_of(&self.conduct, name)
    }

    /// RS+: the other server has interest.
    fn subscribe(&mut self, interest: &Interest<'_>, weight: u32, turn: &mut Turn) {
        let Interest { account, filter, queue, .. } = *interest;
        if self.route.is_none() || !is_valid_filter(filter) {
            return;
        }
        let Some(found) =
            self.account_of(account).or_else(|| relayed::account_to_come(&self.conduct, account?))
        else {
            return self.unclaimed.wait(&self.conduct, interest, weight);
        };
        let cluster = interest.origin.map_or(&[][..], |origin| origin.name());
        self.hear(&found, cluster, (filter, queue, weight), turn);
    }

    /// The other server has interest in an account that is here, if it may have any.
    pub(super) fn hear(
        &self,
        account: &Arc<Account>,
        cluster: &[u8],
        (filter, queue, weight): (&[u8], Option<&[u8]>, u32),
        turn: &mut Turn,
    ) {
        let Some(route) = &self.route else { return };
        let wish = Subscribe { filter, queue, sid: b"" };
        if permission::subscribe(self.conduct.place.permissions.as_deref(), wish).is_err() {
            let filter = String::from_utf8_lossy(filter);
            let text = format_args!("Can not export {filter:?}, ignoring remote subscription request");
            return self.log(Event::RouteDenied, text);
        }
        if self.conduct.traced {
            let (filter, name) = (String::from_utf8_lossy(filter), &account.name);
            self.log(Event::TraceIn, format_args!("<<- [RS+ {name} {filter}]"));
        }
        let relayed = Relayed { peer: self.peer(), account, cluster, filter, queue };
        let gate = &self.conduct.node.delivery.gate;
        gate.subscribe_relay(&mut route.interest.lock(), &relayed, weight, Some(turn));
    }

    /// Accounts may have come and gone: what the other server wants in them waits for those that are not here, and counts in the others.
    pub(super) fn claim(&mut self, turn: &mut Turn) {
        let Some(route) = self.route.clone() else { return };
        let node = self.conduct.node.clone();
        self.last_account = None;
        if matches!(&route.share, Share::Dedicated(account) if !is_here(&node, account)) {
            // The next one is for the account of this name that is here then.
            return self.peer().close(CloseReason::RouteRemoved);
        }
        for (account, all) in self.unclaimed.follow(&node, &route.interest, turn) {
            for (Wanted { filter, queue, cluster }, weight) in all {
                self.hear(&account, &cluster, (&filter, queue.as_deref(), weight), turn);
            }
        }
    }

    /// RS-: it has none any more.
    fn unsubscribe(&mut self, interest: &Interest<'_>, turn: &mut Turn) {
        let Some(route) = &self.route else { return };
        let Interest { account, filter, queue, .. } = *interest;
        let own = self.conduct.place.account.as_ref().map(|account| account.name.as_bytes());
        let Some(account) = account.or(own) else { return };
        if self.conduct.traced {
            let (filter, name) = (String::from_utf8_lossy(filter), String::from_utf8_lossy(account));
            self.log(Event::TraceIn, format_args!("<<- [RS- {name} {filter}]"));
        }
        let mut known = route.interest.lock();
        self.unclaimed.end(interest);
        let Some(found) = known.account(account).cloned() else { return };
        let cluster = match interest.origin {
            Some(origin) => origin.name().into(),
            None if known.has(account, filter, queue) => Box::default(),
            // Some servers do not name the leaf node whose interest ends.
            None => known.cluster_of(account, filter, queue).unwrap_or_default(),
        };
        let relayed = Relayed { peer: self.peer(), account: &found, cluster: &cluster, filter, queue };
        self.conduct.node.delivery.gate.unsubscribe_relay(&mut known, &relayed, Some(turn));
    }
}
