//! What servers tell each other of third ones.

use super::Cluster;
use crate::event::{Action, Note};
use crate::id::{LinkId, ServerId};
use crate::limits::{LEARNED_FOR, LEARNED_MAX, NAME_BYTES_MAX, REGOSSIP_EVERY};
use crate::link::Origin;
use crate::target::{Learned, Target, TargetKey};
use crate::url::RouteUrl;
use dialtone_wire::route::{GossipMode, Info};
use std::collections::BTreeMap;
use std::time::Instant;

/// What others are told of a server that joined, if anything. As official servers do: whoever dialled because it was told of the server
/// tells nobody, since whoever told it told the others too. Those who cannot rely on that are told to tell on.
struct Told {
    /// Whether this server dialled the new one.
    dialled: bool,
    /// Whether that is because it is configured.
    configured: bool,
}

impl Told {
    fn mode(&self, is_configured: bool) -> GossipMode {
        match (self.dialled, self.configured, is_configured) {
            (true, true, _) | (false, _, true) => GossipMode::Override,
            (false, _, false) => GossipMode::Disabled,
            (true, false, _) => GossipMode::Default,
        }
    }
}

impl Cluster {
    /// A connection joined: tells the other servers, once for the pool and once for each account with connections of its own.
    pub(super) fn introduce(&mut self, link: LinkId, server: &ServerId, info: &Info, out: &mut Vec<Action>) {
        let (Some(entry), Some(peer)) = (self.state.links.get(&link), self.state.peers.get(server)) else {
            return;
        };
        let Some((_, place)) = entry.joined() else { return };
        let account = match place.lane() {
            crate::pool::Lane::Pool if peer.pool_links().count() > 1 => return,
            crate::pool::Lane::Pool => None,
            crate::pool::Lane::Dedicated(account) => Some(account),
        };
        let (told, from_gossip) = match &entry.origin {
            Origin::Accepted => (Told { dialled: false, configured: false }, None),
            Origin::Dialled { target, .. } => {
                let configured = matches!(target, TargetKey::Configured(_));
                let mode = self.state.targets.get(target).map(|target| target.gossip).unwrap_or_default();
                (Told { dialled: true, configured }, (!configured).then_some(mode))
            }
        };
        let is_told = from_gossip.is_none_or(|mode| mode == GossipMode::Override);
        if !is_told || info.gossip_mode == GossipMode::Disabled {
            return;
        }
        let mut info = passed_on(info, account.as_deref());
        for (other, peer) in &self.state.peers {
            if other == server || !peer.knows(account.as_ref()) {
                continue;
            }
            info.gossip_mode = told.mode(self.is_configured(other));
            let link = peer.first_link(account.as_deref());
            out.extend(link.map(|link| Action::SendInfo { link, info: Box::new(info.clone()) }));
        }
    }

    /// INFO on a connection that joined: of the other server, or of a third one.
    pub(super) fn told(
        &mut self,
        link: LinkId,
        by: &ServerId,
        info: &Info,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if !info.route_acc_add_reqid.is_empty() {
            return self.account_moves(link, by, info, out);
        }
        if !info.gateway.is_empty() || info.server_id == self.me.id {
            return;
        }
        if info.server_id != by.as_str() {
            return self.heard_of(info, by, now, out);
        }
        let Some(peer) = self.state.peers.get_mut(by) else { return };
        let mut latest = info.clone();
        super::info::bound_urls(&mut latest);
        peer.update(&latest);
    }

    fn heard_of(&mut self, info: &Info, by: &ServerId, now: Instant, out: &mut Vec<Action>) {
        let server = ServerId::new(&info.server_id);
        if info.server_id.is_empty() || info.server_id.len() > NAME_BYTES_MAX {
            return;
        }
        if self.state.forgotten.get(&server).is_some_and(|until| now < *until) {
            return;
        }
        let is_new = !self.state.targets.contains_key(&TargetKey::Learned(server.clone()));
        if !self.learn(info, by, now, out) {
            return;
        }
        if is_new {
            out.push(Action::Note(Note::Learned { server: server.clone(), by: by.clone() }));
        }
        let calls = |link: &crate::link::Link| matches!(&link.phase, crate::link::Phase::AwaitInfo(Some(id)) if *id == server);
        if self.state.links.values().any(calls) {
            // It is about to join by itself.
            self.hold(&server, now);
        }
        if let Some(target) = self.state.targets.get_mut(&TargetKey::Learned(server)) {
            target.gossip = info.gossip_mode;
        }
    }

    /// Notes where a server can be dialled, and that there is a sign of it. Whether it is known then.
    pub(super) fn learn(&mut self, info: &Info, by: &ServerId, now: Instant, out: &mut Vec<Action>) -> bool {
        let server = ServerId::new(&info.server_id);
        let key = TargetKey::Learned(server.clone());
        let Ok(mut url) = RouteUrl::parse(&info.ip) else {
            out.push(Action::Note(Note::UrlInvalid {
                server,
                url: info.ip.chars().take(NAME_BYTES_MAX).collect(),
            }));
            return self.state.targets.contains_key(&key);
        };
        for target in self.state.targets.values_mut() {
            target.restore_if_known(info, now);
        }
        // Whatever credentials a server tells of another one are not used.
        url.credentials = self.settings.credentials.clone().filter(|_| info.auth_required);
        if !self.state.targets.contains_key(&key) {
            self.forget_one_of_too_many(out);
        }
        let target = self.state.targets.entry(key).or_insert_with(|| Target::new(url.clone(), now));
        target.url = url;
        target.server = Some(server);
        target.learned = Some(Learned { told_by: by.clone(), until: now + LEARNED_FOR });
        true
    }

    /// When too many servers are known that are not connected, one of those goes that the server told of which told of most.
    fn forget_one_of_too_many(&mut self, out: &mut Vec<Action>) {
        let mut by_teller: BTreeMap<ServerId, Vec<TargetKey>> = BTreeMap::new();
        for (key, target) in &self.state.targets {
            let connected = target.server.as_ref().is_some_and(|id| self.state.peers.contains_key(id));
            if let (Some(learned), false) = (&target.learned, connected) {
                by_teller.entry(learned.told_by.clone()).or_default().push(key.clone());
            }
        }
        if by_teller.values().map(Vec::len).sum::<usize>() < LEARNED_MAX {
            return;
        }
        let most = by_teller.into_values().max_by_key(Vec::len).and_then(|keys| keys.into_iter().next());
        if let Some(key) = most {
            self.forget(&key, out);
        }
    }

    pub(super) fn forget(&mut self, key: &TargetKey, out: &mut Vec<Action>) {
        if self.state.targets.remove(key).is_some()
            && let TargetKey::Learned(server) = key
        {
            out.push(Action::Note(Note::Forgotten(server.clone())));
        }
    }

    /// Tells each server of one other that is connected, and next time of the next: whoever missed something learns of it in the end.
    /// They are told to tell nobody, so this makes no more of itself. Official servers get it a few times only: one that cannot join
    /// the third server dials it without a pause from then on, and once more for each time that it is told.
    pub(super) fn regossip(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.state.regossip_at.is_none_or(|at| now < at) {
            return;
        }
        self.state.regossip_at = Some(now + REGOSSIP_EVERY + self.state.random.up_to(REGOSSIP_EVERY / 5));
        let subjects: Vec<(ServerId, Option<crate::id::Account>)> = self
            .state
            .peers
            .iter()
            .filter(|(_, peer)| !peer.has_left)
            .flat_map(|(id, peer)| {
                let accounts = peer.dedicated().cloned().map(Some);
                std::iter::once(None).chain(accounts).map(move |account| (id.clone(), account))
            })
            .collect();
        let mut told = Vec::new();
        for (id, peer) in &mut self.state.peers {
            let fits = |subject: &&(ServerId, Option<_>)| {
                subject.0 != *id && peer.knows(subject.1.as_ref()) && peer.may_be_retold(subject)
            };
            let next = subjects.iter().cycle().skip(peer.told).take(subjects.len()).position_of(fits);
            let Some((steps, subject)) = next else { continue };
            peer.told = (peer.told + steps + 1) % subjects.len();
            peer.note_retold(subject);
            told.extend(peer.first_link(subject.1.as_deref()).map(|link| (link, subject)));
        }
        for (link, (other, account)) in told {
            let Some(peer) = self.state.peers.get(other) else { continue };
            let mut info = passed_on(&peer.info, account.as_deref());
            info.gossip_mode = GossipMode::Disabled;
            out.push(Action::SendInfo { link, info: Box::new(info) });
        }
    }
}

/// What a third server is told of one that is connected.
fn passed_on(info: &Info, account: Option<&str>) -> Info {
    let mut info = info.clone();
    info.route_pool_idx = 0;
    info.route_account = account.unwrap_or_default().to_owned();
    info
}

/// Where something is, and what.
trait PositionOf: Iterator + Sized {
    fn position_of(self, fits: impl Fn(&Self::Item) -> bool) -> Option<(usize, Self::Item)> {
        self.enumerate().find(|(_, item)| fits(item))
    }
}

impl<I: Iterator> PositionOf for I {}
