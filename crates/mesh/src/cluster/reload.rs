//! What a reload changes.

use super::Cluster;
use super::info::News;
use crate::event::Action;
use crate::id::{Account, LinkId, ServerId};
use crate::limits::FORGOTTEN_FOR;
use crate::link::{Link, Origin};
use crate::name::ClusterName;
use crate::pool::Place;
use crate::settings::Settings;
use crate::target::TargetKey;
use dialtone_wire::CloseReason;
use std::collections::BTreeSet;
use std::time::Instant;

impl Cluster {
    pub(super) fn reloaded(&mut self, settings: Settings, now: Instant, out: &mut Vec<Action>) {
        let old = std::mem::replace(&mut self.settings, settings);
        self.take_configured_name(now, out);
        self.remove_routes(now, out);
        if self.state.started {
            self.add_configured(now);
        }
        if old.pool_size != self.settings.pool_size {
            // Those too that have not joined: the other end was told of the former size.
            let is_dedicated = |link: &Link| matches!(link.joined(), Some((_, Place::Dedicated(_))));
            let others = self.state.links.iter().filter(|(_, link)| !is_dedicated(link));
            let others: Vec<LinkId> = others.map(|(id, _)| *id).collect();
            for link in others {
                self.close(link, CloseReason::RouteRemoved, None, now, out);
            }
        }
        let had = |account: &Account| old.pool_size.is_some() && old.dedicated.contains(account);
        let removed =
            old.dedicated.iter().filter(|account| had(account) && !self.is_configured_dedicated(account));
        let removed: BTreeSet<Account> = removed.cloned().collect();
        let added = self
            .settings
            .dedicated
            .iter()
            .filter(|account| !had(account) && self.is_configured_dedicated(account));
        let added: BTreeSet<Account> = added.cloned().collect();
        self.return_accounts(&removed, now, out);
        self.move_accounts(added, now, out);
        let lanes = self.lanes();
        for target in self.state.targets.values_mut() {
            target.keep_lanes(&lanes);
        }
        let may_pass = |settings: &Settings| (settings.info.import.clone(), settings.info.export.clone());
        let is_same = may_pass(&old) == may_pass(&self.settings);
        self.send_own_info(if is_same { News::Other } else { News::Permissions }, out);
    }

    /// A name that was given replaces one that was made up; all have to come again.
    fn take_configured_name(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(name) = &self.settings.cluster else { return };
        let given = ClusterName { text: name.clone(), dynamic: false };
        let is_other = given.text != self.name.text;
        self.name = given;
        if is_other {
            out.push(Action::ClusterNamed(self.name.text.clone()));
            let all: Vec<LinkId> = self.state.links.keys().copied().collect();
            for link in all {
                self.close(link, CloseReason::ClusterNameConflict, None, now, out);
            }
        }
    }

    /// Closes the routes of URLs that are configured no longer, and leaves their servers alone for a while.
    fn remove_routes(&mut self, now: Instant, out: &mut Vec<Action>) {
        let wanted: BTreeSet<TargetKey> =
            self.settings.routes.iter().map(|url| TargetKey::Configured(url.address())).collect();
        let removed: Vec<(TargetKey, Option<ServerId>)> = self
            .state
            .targets
            .iter()
            .filter(|(key, _)| matches!(key, TargetKey::Configured(_)) && !wanted.contains(key))
            .map(|(key, target)| (key.clone(), target.server.clone()))
            .collect();
        for (key, server) in removed {
            self.state.targets.remove(&key);
            let by_it: Vec<LinkId> = self
                .state
                .links
                .iter()
                .filter(|(_, link)| matches!(&link.origin, Origin::Dialled { target, .. } if *target == key))
                .map(|(id, _)| *id)
                .collect();
            for link in by_it {
                self.close(link, CloseReason::RouteRemoved, None, now, out);
            }
            let Some(server) = server.filter(|server| !self.is_configured(server)) else { continue };
            if !self.state.peers.contains_key(&server) {
                self.forget(&TargetKey::Learned(server.clone()), out);
                self.state.forgotten.insert(server, now + FORGOTTEN_FOR);
            }
        }
    }

    fn is_configured_dedicated(&self, account: &Account) -> bool {
        self.settings.pool_size.is_some() && self.settings.dedicated.contains(account)
    }
}
