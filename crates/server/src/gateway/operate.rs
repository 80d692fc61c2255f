//! What servers of different clusters say to each other once they know each other: interest by who was dialled, messages by who dialled.

use super::GatewayConnection;
use crate::conduct::{Conduct, Handshake};
use crate::gateways::{Direction, Optimism};
use crate::lines::{self, Reading, Speaker};
use crate::log::Event;
use crate::protocol::{Progress, send_pong};
use crate::relayed::{self, Batch};
use crate::unclaimed::Wanted;
use crate::walk::Ping;
use dialtone_broker::account::Account;
use dialtone_broker::assumed::Assumed;
use dialtone_broker::deliver::Turn;
use dialtone_broker::deliver::interest::Relayed;
use dialtone_mesh::gateways::Event as MeshEvent;
use dialtone_subject::is_valid_filter;
use dialtone_wire::interserver::encode::account_unsubscribe;
use dialtone_wire::interserver::{Interest, Op, RoutedMessage};
use dialtone_wire::{CloseReason, ProtocolError};
use std::sync::Arc;

impl Speaker for GatewayConnection {
    type Batch = Batch;

    fn conduct(&self) -> &Conduct {
        &self.conduct
    }

    fn reading(&mut self) -> &mut Reading {
        &mut self.reading
    }

    fn is_joined(&self) -> bool {
        self.gateway.is_some()
    }

    fn is_stranger(&self) -> bool {
        self.is_stranger
    }

    fn may_become_valid(&self, begin: &[u8]) -> bool {
        relayed::may_become_connect(begin)
    }

    fn take_message(&mut self, routed: &RoutedMessage<'_>, batch: &mut Batch, turn: &mut Turn) {
        let bytes = routed.message.body_bytes() as u64;
        batch.add(bytes);
        if self.gateway.is_none() || self.direction == Direction::Outbound {
            return self.out_of_place("RMSG");
        }
        if self.conduct.traced {
            relayed::trace_message(&self.conduct, routed);
        }
        let name = routed.account.unwrap_or_default();
        if self.last_account.as_ref().is_none_or(|last| last.name.as_bytes() != name) {
            batch.count_in_account(&self.conduct, self.last_account.as_ref());
            self.last_account = relayed::account_of(&self.conduct, name);
            self.introduce(turn);
        }
        // What is in no account here nobody has interest in.
        let Some(account) = &self.last_account else {
            let mut out = Vec::new();
            account_unsubscribe(&mut out, name);
            return turn.send(self.peer(), &out);
        };
        batch.add_in_account(bytes);
        relayed::deliver(&self.conduct, account, routed, turn);
    }

    #[inline(never)]
    fn operate(&mut self, op: Op<'_>, batch: &mut Batch, turn: &mut Turn) {
        if self.is_stranger && !matches!(op, Op::Connect(_)) {
            return self.turn_away(turn);
        }
        match op {
            Op::Message(routed) => self.take_message(&routed, batch, turn),
            Op::Subscribe { interest, weight } => self.subscribe(&interest, weight.get(), turn),
            Op::Unsubscribe(interest) => self.unsubscribe(&interest, turn),
            Op::AccountSubscribe(name) => self.take_account(name, true),
            Op::AccountUnsubscribe(name) => self.take_account(name, false),
            Op::Connect(json) => self.take_connect(json, turn),
            Op::Info(json) => self.take_info(json, turn),
            Op::Ping => send_pong(&self.conduct, turn),
            Op::Pong => self.pong(turn),
            Op::Ok => {}
            Op::Err(text) => {
                let text = String::from_utf8_lossy(text);
                self.log(Event::ClientError, format_args!("Gateway Error {text}"));
                self.peer().close(CloseReason::ParseError);
            }
        }
    }

    fn begins_framing(&mut self) -> bool {
        false
    }

    #[cold]
    fn turn_away(&mut self, turn: &mut Turn) {
        self.log(Event::AuthenticationFailed, format_args!("authentication error"));
        self.refuse(ProtocolError::Authorization.text(), CloseReason::AuthenticationViolation, turn);
    }
}

impl GatewayConnection {
    /// Takes all whole operations at the front of what came in.
    pub(super) fn take(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        self.conduct.heard(turn.now());
        if self.conduct.is_outdated() {
            self.renew(turn);
        }
        let mut batch = Batch::default();
        let progress = lines::read(self, input, &mut batch, turn);
        batch.count(&self.conduct, self.last_account.as_ref(), turn);
        progress
    }

    fn pong(&mut self, turn: &mut Turn) {
        if self.pings.answered() == Ping::Taken {
            return self.announce(turn);
        }
        self.conduct.pong(turn.now());
        if self.direction == Direction::Outbound && self.gateway.is_some() {
            self.report(|link| MeshEvent::Confirmed { link }, turn);
        }
    }

    /// It has taken a piece of what it is told, and there is more.
    fn announce(&mut self, turn: &mut Turn) {
        if let Some(gateway) = &self.gateway {
            gateway.walk.lock().answered();
            let delivery = &self.conduct.node.delivery;
            let more = delivery.gateways.go_on(&delivery.gate, gateway, turn);
            self.pings.ask_behind(more, self.conduct.peer(), turn);
        }
    }

    /// Who sends to an account that it was told nothing of does so because it knows nothing of it: it is told that all interest comes.
    #[cold]
    fn introduce(&self, turn: &mut Turn) {
        if let (Some(gateway), Some(account)) = (&self.gateway, &self.last_account)
            && !gateway.named.lock().contains(&account.id)
        {
            let delivery = &self.conduct.node.delivery;
            delivery.gateways.introduce(&delivery.gate, gateway, account, turn);
        }
    }

    /// Something that the other end must not say on such a connection.
    #[cold]
    fn out_of_place(&self, verb: &str) {
        let way = if self.direction == Direction::Outbound { "outbound" } else { "inbound" };
        let text = format_args!("Received {verb} from gateway on {way} connection");
        self.log(Event::ProtocolError, text);
        self.peer().close(CloseReason::ProtocolViolation);
    }

    /// RS+: the other cluster has interest, of which it tells by connections that this server dialled.
    fn subscribe(&mut self, interest: &Interest<'_>, weight: u32, turn: &mut Turn) {
        if self.gateway.is_none() || self.direction == Direction::Inbound {
            return self.out_of_place("RS+");
        }
        let name = interest.account.unwrap_or_default();
        if !is_valid_filter(interest.filter) {
            return;
        }
        let found = relayed::account_of(&self.conduct, name);
        let Some(account) = found.or_else(|| relayed::account_to_come(&self.conduct, name)) else {
            return self.unclaimed.wait(&self.conduct, interest, weight);
        };
        if interest.queue.is_none() {
            self.in_assumed(name, |assumed| assumed.wants(interest.filter));
        }
        self.hear(&account, (interest.filter, interest.queue, weight), turn);
    }

    /// What is assumed of the other cluster's interest, if it does not send all of that from the beginning.
    fn optimism(&self) -> Option<&Optimism> {
        self.gateway.as_ref()?.optimism.as_ref()
    }

    /// Does something with what is assumed of the other cluster's interest in an account, if anything is.
    fn in_assumed(&self, account: &[u8], act: impl FnOnce(&Assumed)) {
        if let Some(optimism) = self.optimism() {
            optimism.in_account(account, act);
        }
    }

    /// The other cluster has interest in an account that is here.
    fn hear(
        &self,
        account: &Arc<Account>,
        (filter, queue, weight): (&[u8], Option<&[u8]>, u32),
        turn: &mut Turn,
    ) {
        let Some(gateway) = &self.gateway else { return };
        if self.conduct.traced {
            let (filter, name) = (String::from_utf8_lossy(filter), &account.name);
            self.log(Event::TraceIn, format_args!("<<- [RS+ {name} {filter}]"));
        }
        let relayed = Relayed { peer: self.peer(), account, cluster: &[], filter, queue };
        let gate = &self.conduct.node.delivery.gate;
        gate.subscribe_relay(&mut gateway.interest.lock(), &relayed, weight, Some(turn));
    }

    /// Whether the other end's certificate is one of those that are pinned, if any are. It is closed otherwise.
    fn is_pinned(&self) -> bool {
        match (self.direction, &self.gateway) {
            (Direction::Inbound, _) => self.conduct.is_pinned(Handshake::Accepted),
            (Direction::Outbound, None) => true,
            (Direction::Outbound, Some(gateway)) => {
                let own = self.conduct.policy.options.gateway.as_ref();
                self.conduct.is_pinned_by(own.and_then(|own| own.tls_to(&gateway.name)))
            }
        }
    }

    /// Goes by what is in force: accounts may have come and gone, and who is let in no longer does not stay.
    #[cold]
    pub(super) fn renew(&mut self, turn: &mut Turn) {
        self.conduct.renew();
        self.last_account = None;
        if !self.is_pinned() {
            return;
        }
        let login = self.conduct.review_server(turn);
        self.go_on(login, turn);
        let Some(gateway) = self.gateway.clone() else { return };
        let node = self.conduct.node.clone();
        if let Some(optimism) = &gateway.optimism {
            optimism.follow(&node.accounts.all());
        }
        for (account, all) in self.unclaimed.follow(&node, &gateway.interest, turn) {
            for (Wanted { filter, queue, .. }, weight) in all {
                self.hear(&account, (&filter, queue.as_deref(), weight), turn);
            }
        }
    }

    /// RS-: it has none any more.
    fn unsubscribe(&mut self, interest: &Interest<'_>, turn: &mut Turn) {
        let Some(gateway) = self.gateway.clone().filter(|_| self.direction == Direction::Outbound) else {
            return self.out_of_place("RS-");
        };
        let Interest { filter, queue, account, .. } = *interest;
        if queue.is_none() {
            self.in_assumed(account.unwrap_or_default(), |assumed| assumed.except(filter));
        }
        self.unclaimed.end(interest);
        let mut known = gateway.interest.lock();
        let Some(account) = known.account(account.unwrap_or_default()).cloned() else { return };
        if self.conduct.traced {
            let (filter, name) = (String::from_utf8_lossy(filter), &account.name);
            self.log(Event::TraceIn, format_args!("<<- [RS- {name} {filter}]"));
        }
        let relayed = Relayed { peer: self.peer(), account: &account, cluster: &[], filter, queue };
        self.conduct.node.delivery.gate.unsubscribe_relay(&mut known, &relayed, Some(turn));
    }

    /// A+, A-: whether the other cluster has any interest in an account. Where it sends all its interest, nothing is assumed anyway.
    fn take_account(&self, name: &[u8], has_interest: bool) {
        if self.direction == Direction::Inbound {
            return self.out_of_place("A+ or A-");
        }
        let Some(optimism) = self.optimism() else { return };
        if has_interest {
            optimism.begin_again(name);
            optimism.follow(&self.conduct.node.accounts.all());
        } else {
            optimism.end(name);
        }
    }

    /// The other end has sent all its interest in an account.
    #[cold]
    pub(super) fn has_all_interest(&self, account: &[u8]) {
        if let Some(optimism) = self.optimism() {
            optimism.end(account);
        }
    }
}
