//! Accounts that get connections of their own while servers run, or lose them.

use super::{Cluster, Moving};
use crate::event::Action;
use crate::id::{Account, LinkId, ServerId};
use crate::limits::{DEDICATED_MAX, MOVE_TIMEOUT, NAME_BYTES_MAX};
use crate::pool::{Place, index_of};
use dialtone_wire::CloseReason;
use dialtone_wire::route::Info;
use std::collections::BTreeSet;
use std::time::Instant;

impl Cluster {
    /// A reload gave these accounts connections of their own. Each other server is asked, by the connection that the account's interest
    /// went by, and answers once it is ready: then they are dialled.
    pub(super) fn move_accounts(&mut self, accounts: BTreeSet<Account>, now: Instant, out: &mut Vec<Action>) {
        let size = self.settings.pool_size();
        let request = format!("{:016x}", self.state.random.number());
        let mut waits_for = BTreeSet::new();
        for account in &accounts {
            if !self.state.adopted.contains(account) {
                out.push(Action::AccountMoves { account: account.clone() });
            }
            let index = index_of(account.as_bytes(), size);
            for peer in self.state.peers.values().filter(|peer| peer.pooled) {
                let Some(link) = peer.pool_link(index) else { continue };
                let info = Info {
                    route_pool_size: size,
                    route_account: account.to_string(),
                    route_acc_add_reqid: request.clone(),
                    ..Info::default()
                };
                out.push(Action::SendInfo { link, info: Box::new(info) });
                waits_for.insert(link);
            }
        }
        if !waits_for.is_empty() {
            self.state.moving = Some(Moving { request, accounts, waits_for, until: now + MOVE_TIMEOUT });
        }
    }

    /// INFO about such a move: another server's, which waits for an answer, or the answer to this server's own.
    pub(super) fn account_moves(&mut self, link: LinkId, by: &ServerId, info: &Info, out: &mut Vec<Action>) {
        if info.route_account.is_empty() {
            return self.answer_to_move(link, &info.route_acc_add_reqid);
        }
        let pooled = self.state.peers.get(by).is_some_and(|peer| peer.pooled);
        let fits = info.route_account.len() <= NAME_BYTES_MAX && self.state.adopted.len() < DEDICATED_MAX;
        if !pooled || !fits {
            return;
        }
        let account: Account = info.route_account.as_str().into();
        if !self.is_dedicated(&account) {
            self.state.adopted.insert(account.clone());
            out.push(Action::AccountMoves { account });
        }
        let answer = Info { route_account: String::new(), ..info.clone() };
        out.push(Action::SendInfo { link, info: Box::new(answer) });
    }

    fn answer_to_move(&mut self, link: LinkId, request: &str) {
        if self.state.moving.as_ref().is_some_and(|moving| moving.request == request) {
            self.no_more_answer(link);
        }
    }

    /// Nobody has to answer by this connection any more.
    pub(super) fn no_more_answer(&mut self, link: LinkId) {
        let Some(moving) = &mut self.state.moving else { return };
        moving.waits_for.remove(&link);
        if moving.waits_for.is_empty() {
            self.state.moving = None;
        }
    }

    /// A reload took their connections from these accounts.
    pub(super) fn return_accounts(
        &mut self,
        accounts: &BTreeSet<Account>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        self.state.adopted.retain(|account| !accounts.contains(account));
        let is_theirs =
            |place: &Place| matches!(place, Place::Dedicated(account) if accounts.contains(account));
        let links = self.joined(is_theirs);
        for link in links {
            self.close(link, CloseReason::RouteRemoved, None, now, out);
        }
        out.extend(accounts.iter().map(|account| Action::AccountReturns { account: account.clone() }));
    }

    /// Connections that have such a place.
    pub(super) fn joined(&self, which: impl Fn(&Place) -> bool) -> Vec<LinkId> {
        let links = self.state.links.iter();
        links
            .filter(|(_, link)| link.joined().is_some_and(|(_, place)| which(place)))
            .map(|(id, _)| *id)
            .collect()
    }
}
