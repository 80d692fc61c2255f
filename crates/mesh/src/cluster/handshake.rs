//! From a connection to one that may join.

use super::info::bound_urls;
use super::{Cluster, State};
use crate::event::{Action, Note};
use crate::id::{DialId, LinkId, ServerId};
use crate::limits::{NAME_BYTES_MAX, UNJOINED_MAX};
use crate::link::{Allowance, Link, Origin, Phase};
use crate::name::ClusterName;
use crate::target::{LanePhase, TargetKey};
use crate::url::RouteUrl;
use dialtone_wire::CloseReason;
use dialtone_wire::route::{Connect, Info};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

impl Cluster {
    pub(super) fn accepted(&mut self, link: LinkId, address: IpAddr, now: Instant, out: &mut Vec<Action>) {
        self.make_room(now, out);
        self.insert(link, Origin::Accepted, Phase::AwaitConnect, address, now);
        out.push(Action::SendInfo { link, info: Box::new(self.first_info(link)) });
    }

    pub(super) fn dialled(
        &mut self,
        dial: DialId,
        link: LinkId,
        address: IpAddr,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let wanted = self.state.dials.open.remove(&dial);
        let Some((key, lane, target)) = wanted.and_then(|(key, lane)| {
            let target = self.state.targets.get_mut(&key)?;
            Some((key, lane, target))
        }) else {
            // It was forgotten, or taken out of the configuration.
            out.push(Action::Close { link, reason: CloseReason::RouteRemoved, error: None });
            return;
        };
        let state = target.lane(&lane);
        state.failures = 0;
        state.phase = LanePhase::Open(link);
        let credentials = target.url.credentials.clone();
        self.insert(link, Origin::Dialled { target: key, lane }, Phase::AwaitInfo(None), address, now);
        let (user, pass) = credentials.map(|who| (who.user, who.password)).unwrap_or_default();
        let connect = Connect {
            echo: true,
            user,
            pass,
            headers: self.settings.info.headers,
            name: self.me.id.clone(),
            cluster: self.name.text.clone(),
            cluster_dynamic: self.name.dynamic,
            lnoc: self.settings.info.lnoc,
            lnocu: self.settings.info.lnocu,
            ln: self.settings.info.ln,
            ..Connect::default()
        };
        out.push(Action::SendConnect { link, connect: Box::new(connect) });
    }

    fn insert(&mut self, link: LinkId, origin: Origin, phase: Phase, address: IpAddr, now: Instant) {
        let deadline = now + self.settings.handshake_timeout;
        let allowance = Allowance::new(now);
        let own_info = self.state.own_infos;
        self.state.links.insert(link, Link { origin, address, phase, deadline, allowance, own_info });
    }

    /// Closes the oldest of the address with most connections that have not joined, when there are too many.
    fn make_room(&mut self, now: Instant, out: &mut Vec<Action>) {
        let waiting =
            self.state.links.iter().filter(|(_, link)| !link.is_dialled() && link.joined().is_none());
        let mut by_address: BTreeMap<IpAddr, Vec<LinkId>> = BTreeMap::new();
        for (id, link) in waiting {
            by_address.entry(link.address).or_default().push(*id);
        }
        if by_address.values().map(Vec::len).sum::<usize>() < UNJOINED_MAX {
            return;
        }
        let most = by_address.values().max_by_key(|links| links.len());
        if let Some(oldest) = most.and_then(|links| links.first().copied()) {
            self.close(oldest, CloseReason::MaxConnectionsExceeded, None, now, out);
        }
    }

    pub(super) fn connect(&mut self, link: LinkId, connect: &Connect, now: Instant, out: &mut Vec<Action>) {
        let Some(entry) = self.state.links.get(&link) else { return };
        match entry.phase {
            Phase::AwaitConnect => {}
            // Once more: official servers take that.
            _ if !entry.is_dialled() => return,
            _ => return self.close(link, CloseReason::ProtocolViolation, None, now, out),
        }
        if connect.name == self.me.id {
            return self.close(link, CloseReason::DuplicateRoute, None, now, out);
        }
        let theirs = ClusterName { text: connect.cluster.clone(), dynamic: connect.cluster_dynamic };
        let server = ServerId::new(&connect.name);
        if connect.name.len() > NAME_BYTES_MAX {
            return self.close(link, CloseReason::ProtocolViolation, None, now, out);
        }
        if theirs != self.name
            && theirs.text != self.name.text
            && !self.agree_on_name(&theirs, &server, now, out)
        {
            let (theirs, ours) = (theirs.text, &self.name.text);
            let error = format!("Rejecting connection, cluster name {theirs:?} does not match {ours:?}");
            out.push(Action::Note(Note::ClusterNameConflict { link, theirs }));
            return self.close(link, CloseReason::ClusterNameConflict, Some(error), now, out);
        }
        if let Some(entry) = self.state.links.get_mut(&link) {
            entry.phase = Phase::AwaitInfo(Some(server));
        }
    }

    /// Takes the other server's name for the cluster if it counts more; then those that know the old one have to come again.
    fn agree_on_name(
        &mut self,
        theirs: &ClusterName,
        server: &ServerId,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> bool {
        if theirs.text.is_empty() || theirs.text.len() > NAME_BYTES_MAX || !self.name.yields_to(theirs) {
            return false;
        }
        self.name = theirs.clone();
        out.push(Action::ClusterNamed(theirs.text.clone()));
        let others: Vec<LinkId> = self
            .state
            .links
            .iter()
            .filter(|(_, link)| link.joined().is_some_and(|(joined, _)| joined != server))
            .map(|(id, _)| *id)
            .collect();
        for other in others {
            self.close(other, CloseReason::ClusterNameConflict, None, now, out);
        }
        true
    }

    pub(super) fn info_came(&mut self, link: LinkId, info: &Info, now: Instant, out: &mut Vec<Action>) {
        let Some(entry) = self.state.links.get_mut(&link) else { return };
        match &entry.phase {
            Phase::AwaitConnect => self.close(link, CloseReason::ProtocolViolation, None, now, out),
            Phase::AwaitInfo(_) => self.introduced(link, info, now, out),
            Phase::Joined { server, .. } => {
                let server = server.clone();
                let was_spent = entry.allowance.spent;
                if entry.allowance.take(now) {
                    self.told(link, &server, info, now, out);
                } else if !was_spent {
                    out.push(Action::Note(Note::InfoTooFast(link)));
                }
            }
        }
    }

    /// The first INFO: who the other end is, and whether it may be that.
    fn introduced(&mut self, link: LinkId, info: &Info, now: Instant, out: &mut Vec<Action>) {
        let Some(entry) = self.state.links.get(&link) else { return };
        if info.server_id == self.me.id {
            self.found_oneself(link, now, out);
            return self.close(link, CloseReason::DuplicateRoute, None, now, out);
        }
        let fits = |text: &str| text.len() <= NAME_BYTES_MAX;
        if info.server_id.is_empty()
            || ![&info.server_id, &info.server_name, &info.cluster].into_iter().all(|s| fits(s))
        {
            return self.close(link, CloseReason::ProtocolViolation, None, now, out);
        }
        let address = entry.address;
        let server = ServerId::new(&info.server_id);
        let theirs = ClusterName { text: info.cluster.clone(), dynamic: info.cluster_dynamic };
        let differs = !theirs.text.is_empty() && theirs.text != self.name.text;
        if differs && !self.agree_on_name(&theirs, &server, now, out) {
            out.push(Action::Note(Note::ClusterNameConflict { link, theirs: theirs.text }));
            return self.close(link, CloseReason::ClusterNameConflict, None, now, out);
        }
        // Who was dialled says so, as it is whose operator would look: official servers do not look where they dialled.
        let was_dialled = self.state.links.get(&link).is_some_and(Link::is_dialled);
        if info.server_name == self.me.name && !was_dialled {
            out.push(Action::Note(Note::DuplicateServerName { link, name: info.server_name.clone() }));
            return self.close(link, CloseReason::DuplicateServerName, None, now, out);
        }
        let mut passed_on = info.clone();
        passed_on.nonce.clear();
        if passed_on.ip.is_empty() {
            passed_on.ip = format!("nats-route://{}/", SocketAddr::new(address, info.port));
        }
        bound_urls(&mut passed_on);
        self.answered(link, &server, &passed_on);
        self.place(link, &server, passed_on, now, out);
    }

    /// Notes who answered at a URL.
    fn answered(&mut self, link: LinkId, server: &ServerId, info: &Info) {
        let State { links, targets, peers, .. } = &mut self.state;
        let Some(Origin::Dialled { target: key, .. }) = links.get_mut(&link).map(|link| &mut link.origin)
        else {
            return;
        };
        let Some(target) = targets.get_mut(key) else { return };
        target.answered(info);
        let before = target.server.replace(server.clone());
        let is_other = before.as_ref().is_some_and(|before| before != server);
        if !is_other {
            return;
        }
        if matches!(key, TargetKey::Configured(_)) {
            target.is_shared |= before.is_some_and(|before| peers.contains_key(&before));
        } else if let Some(target) = targets.remove(key) {
            // The one that was learned is gone, and this one has its address.
            *key = TargetKey::Learned(server.clone());
            targets.entry(key.clone()).or_insert(target);
        }
    }

    /// A dial led to this server.
    fn found_oneself(&mut self, link: LinkId, now: Instant, out: &mut Vec<Action>) {
        let State { links, targets, .. } = &mut self.state;
        let Some(Origin::Dialled { target, .. }) = links.get(&link).map(|link| &link.origin) else { return };
        let Some(target) = targets.get_mut(target) else { return };
        if target.leads_to_self(now) {
            out.push(Action::Note(Note::RouteToSelf(RouteUrl { credentials: None, ..target.url.clone() })));
        }
    }
}
