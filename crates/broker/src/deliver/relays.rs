//! Delivering where relays have a part: what comes from one says in which queue groups it was chosen, and what goes to one is sent once,
//! with the groups that were drawn for it.

use super::observe::{Candidate, Observe};
use super::staging::Staging;
use super::{Delivery, Origin, Turn};
use crate::account::Account;
use crate::format::RelayHead;
use crate::kind::{Kind, Via, Zone};
use crate::peer::Peer;
use crate::permission::Authorized;
use crate::route::{RelayGroup, RelayTarget, Relays, Route};
use crate::sharing::parts;
use crate::trace::Onward;
use dialtone_wire::gateway::reply;
use dialtone_wire::message::Message;
use std::sync::Arc;

/// The queue groups of the message being delivered.
#[derive(Default)]
pub(super) struct Chosen {
    /// Those in which the relay that it came from was chosen, with a blank behind each.
    named: Vec<u8>,
    /// All groups are served, though none is named.
    serves_all: bool,
    /// The cluster of leaf nodes that the message came from, if a relay brought it.
    cluster: Vec<u8>,
    /// Draws so far: which relay was drawn, and for which group.
    drawn: Vec<(usize, usize)>,
    replies: Replies,
}

/// The reply of the message being delivered, as relays get it; empty where that is as it stands in the message.
#[derive(Default)]
struct Replies {
    /// With what leads back to another cluster, for other servers of this one and leaf nodes.
    from_other_cluster: Vec<u8>,
    /// With what leads back to this server, for other clusters.
    to_other_clusters: Vec<u8>,
    /// With the subject that a message was stored under, for every relay.
    of_stored: Vec<u8>,
}

impl Replies {
    /// What a relay of a kind gets.
    fn of<'a>(&'a self, kind: Kind, reply: &'a [u8]) -> &'a [u8] {
        if !self.of_stored.is_empty() && self.of_stored.starts_with(reply) {
            return &self.of_stored;
        }
        let with_way =
            if kind.is_of_other_cluster() { &self.to_other_clusters } else { &self.from_other_cluster };
        // It is that of this very message: a service is asked with another one.
        if with_way.ends_with(reply) { with_way } else { reply }
    }
}

/// What a message that a relay brought has with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carried<'a> {
    /// The cluster of leaf nodes that it came from, or empty.
    pub cluster: &'a [u8],
    /// It is for one member of every queue group, whether the relay named it or not.
    pub serves_all: bool,
}

impl Chosen {
    fn names(&self, queue: Option<&[u8]>) -> bool {
        self.serves_all
            || queue.is_some_and(|queue| self.named.split(|&byte| byte == b' ').any(|name| name == queue))
    }
}

impl Turn {
    /// Delivers a message that came from a relay, which was chosen in these queue groups. How many got it.
    pub fn publish_relayed<'q>(
        &mut self,
        origin: Origin<'_>,
        queues: impl Iterator<Item = &'q [u8]>,
        carried: Carried<'_>,
        message: Authorized<&Message<'_>>,
    ) -> usize {
        self.chosen.cluster.clear();
        self.chosen.cluster.extend_from_slice(carried.cluster);
        self.chosen.serves_all = carried.serves_all;
        self.chosen.named.clear();
        for queue in queues {
            self.chosen.named.extend_from_slice(queue);
            self.chosen.named.push(b' ');
        }
        let delivered = self.publish(origin, message);
        if delivered > 0
            && let Some(reply) = message.get().reply.filter(|reply| parts::is_measured(reply))
        {
            self.service_requests.begin_part(origin.account, reply, self.now);
        }
        delivered
    }

    /// The same for a message whose answers are led back to another cluster by a reply that ends with the message's.
    pub fn publish_from_cluster<'q>(
        &mut self,
        origin: Origin<'_>,
        queues: impl Iterator<Item = &'q [u8]>,
        (way_back, carried): (&[u8], Carried<'_>),
        message: Authorized<&Message<'_>>,
    ) -> usize {
        if let Some(reply) = message.get().reply {
            origin.account.note_way_back(reply, way_back, self.now);
        }
        self.chosen.replies.from_other_cluster.extend_from_slice(way_back);
        let delivered = self.publish_relayed(origin, queues, carried, message);
        self.chosen.replies.from_other_cluster.clear();
        delivered
    }

    /// Relays get the message that is delivered next with this reply, which begins with the message's.
    pub(super) fn pass_reply(&mut self, reply: Option<&[u8]>) {
        self.chosen.replies.of_stored.clear();
        self.chosen.replies.of_stored.extend_from_slice(reply.unwrap_or_default());
    }

    /// Sends a message on to one relay, as it came.
    pub fn pass_on(&mut self, account: &Arc<Account>, peer: &Arc<Peer>, message: &Message<'_>) {
        let onward = self.trace.as_mut().map_or(Onward::Unchanged, |trace| trace.passes_on(peer, message));
        self.pass_on_as(account, peer, message, &onward);
    }

    /// The same as it goes on. Whether it does.
    fn pass_on_as(
        &mut self,
        account: &Arc<Account>,
        peer: &Arc<Peer>,
        message: &Message<'_>,
        onward: &Onward,
    ) -> bool {
        let Some(message) = &onward.message(message) else { return false };
        let head = peer.relay_head(account, message.subject);
        let passed_on = PassedOn { message, replies: &Replies::default(), cluster: &[], shared: None };
        passed_on.stage(&mut self.staging, (peer, &head), std::iter::empty());
        self.count_relayed(account, peer, message);
        true
    }

    /// Sends a message on whose subject leads to another cluster, to relays that take such subjects: leaf nodes on the way there. How many
    /// got it.
    pub fn pass_on_led(&mut self, origin: Origin<'_>, cluster: &[u8], message: &Message<'_>) -> usize {
        let takers = self.takers(origin, cluster, message.subject);
        takers.iter().for_each(|peer| self.pass_on(origin.account, peer, message));
        takers.len()
    }

    /// The relays that take a subject which leads to another cluster.
    fn takers(&mut self, origin: Origin<'_>, cluster: &[u8], subject: &[u8]) -> Vec<Arc<Peer>> {
        self.chosen.cluster.clear();
        self.chosen.cluster.extend_from_slice(cluster);
        let route = self.routes.route(origin.account, subject, origin.entry(Via::Publish));
        let takes = |target: &&RelayTarget| target.is_plain && self.chosen.can_have(target, &origin);
        route.relays.targets.iter().filter(takes).map(|target| target.peer.clone()).collect()
    }

    /// Counts what goes to a relay that is in all accounts; those of one account count by themselves.
    fn count_relayed(&mut self, account: &Arc<Account>, peer: &Peer, message: &Message<'_>) {
        if peer.kind().is_in_all_accounts() {
            self.staging.count_relayed(account, peer.kind(), message.body_bytes());
        }
    }

    /// Delivers a message that other servers get, too: to the cluster that waits for it as an answer, or by the route. Apart, so that the
    /// loop that delivers stays small where there are no other servers.
    #[inline(never)]
    pub(super) fn deliver_beyond<O: Observe>(
        &mut self,
        account: &Arc<Account>,
        route: &Route,
        own: (&[O::Candidate], &[Vec<O::Candidate>]),
        delivery: &Delivery<'_>,
        observer: &mut O,
    ) -> usize {
        match self.lead_back(account, &route.relays, delivery, observer) {
            Some(sent) => sent,
            None => self.deliver_with_relays(account, route, own, delivery, observer),
        }
    }

    /// Sends an answer to the cluster that waits for it, if that is known and can be reached. How many got it.
    fn lead_back<O: Observe>(
        &mut self,
        account: &Arc<Account>,
        relays: &Relays,
        delivery: &Delivery<'_>,
        observer: &mut O,
    ) -> Option<usize> {
        let way = relays.way_back.as_ref().filter(|way| way.until > self.now)?;
        let leads = self.neighbours.gateways.as_ref();
        let led = reply::unwrap(&way.subject)?;
        let Some(peer) = leads.and_then(|leads| leads.to_cluster(&led)) else {
            // The request came by a leaf node connection, or its cluster is gone.
            let message = Message { subject: &way.subject, ..*delivery.message };
            let takers = self.takers(*delivery.origin, b"", &way.subject);
            let mut sent = 0;
            for peer in &takers {
                let onward = observer.passes_on(peer, &message);
                sent += usize::from(self.pass_on_as(account, peer, &message, &onward));
            }
            return (!takers.is_empty()).then_some(sent);
        };
        let onward = observer.passes_on(&peer, delivery.message);
        let Some(message) = &onward.message(delivery.message) else { return Some(0) };
        self.prepare_reply(account, message);
        let head = peer.relay_head(account, &way.subject);
        let shared = delivery.shared.as_ref().filter(|_| matches!(onward, Onward::Unchanged));
        let passed_on = PassedOn { message, replies: &self.chosen.replies, cluster: &[], shared };
        passed_on.stage(&mut self.staging, (&peer, &head), std::iter::empty());
        self.count_relayed(account, &peer, message);
        Some(1)
    }

    /// Works out the reply that other clusters get: with what leads back here, if they may not know of the interest in it yet.
    #[cold]
    fn prepare_reply(&mut self, account: &Account, message: &Message<'_>) {
        self.chosen.replies.to_other_clusters.clear();
        let (Some(gateways), Some(reply)) = (&self.neighbours.gateways, message.reply) else { return };
        if account.is_interest_new(reply, self.now) {
            gateways.wrap(reply, &mut self.chosen.replies.to_other_clusters);
        }
    }

    /// Delivers to targets here, and once to each relay that somebody behind has it from.
    fn deliver_with_relays<O: Observe>(
        &mut self,
        account: &Arc<Account>,
        route: &Route,
        (plain, groups): (&[O::Candidate], &[Vec<O::Candidate>]),
        delivery: &Delivery<'_>,
        observer: &mut O,
    ) -> usize {
        let mut delivered = self.deliver_to(plain, &[], delivery, observer);
        let must_be_named = delivery.origin.peer.kind().is_relay() && route.entry().by == Via::Publish;
        self.chosen.drawn.clear();
        let may_draw = |chosen: &Chosen, name: Option<&[u8]>| !must_be_named || chosen.names(name);
        for (number, group) in route.relays.groups.iter().enumerate() {
            if !may_draw(&self.chosen, Some(&group.name)) {
                continue;
            }
            let here = group.here.and_then(|at| groups.get(at)).map_or(&[][..], |members| members);
            let spilled =
                group.spills.then(|| self.spill(&route.relays, group, here, delivery.origin)).flatten();
            match spilled {
                Some(at) => self.chosen.drawn.push((at, number)),
                None => self.draw_as_here(&route.relays, number, group, delivery.origin),
            }
        }
        let mut missed = Vec::new();
        for (at, members) in groups.iter().enumerate() {
            if !may_draw(&self.chosen, members.first().and_then(Candidate::queue)) {
                continue;
            }
            if self.is_drawn(&route.relays, |group| group.here == Some(at)) {
                continue;
            }
            let got = self.deliver_to(&[], std::slice::from_ref(members), delivery, observer);
            if got == 0 {
                missed.push(at);
            }
            delivered += got;
        }
        if route.relays.is_empty() {
            return delivered;
        }
        self.draw_relays(&route.relays, must_be_named, &missed, delivery.origin);
        if route.relays.targets.iter().any(|target| target.peer.kind().is_of_other_cluster()) {
            self.prepare_reply(account, delivery.message);
        }
        delivered + self.stage_relays(account, &route.relays, delivery, observer)
    }

    /// Draws one of a group's members here and behind relays that are drawn as if they were here, if it has both. Notes the relay.
    fn draw_as_here(&mut self, relays: &Relays, number: usize, group: &RelayGroup, origin: &Origin<'_>) {
        if group.members_here == 0 || group.weight_as_here == 0 {
            return;
        }
        let drawn = self.draws.choices.below(group.members_here + group.weight_as_here);
        let Some(at) = drawn.checked_sub(group.members_here).and_then(|drawn| group.relay_of(drawn)) else {
            return;
        };
        // If it has just gone, somebody here gets the message.
        if relays.targets.get(at).is_some_and(|target| self.chosen.can_have(target, origin)) {
            self.chosen.drawn.push((at, number));
        }
    }

    /// Draws a relay in another zone for a group of which each member in this one is slow, if not all of those elsewhere are.
    #[cold]
    fn spill<C: Candidate>(
        &mut self,
        relays: &Relays,
        group: &RelayGroup,
        here: &[C],
        origin: &Origin<'_>,
    ) -> Option<usize> {
        let is_quick = |peer: &Arc<Peer>| !peer.is_closing() && !peer.is_slow();
        let is_served_here = here.iter().any(|member| member.target().is_some() && is_quick(member.peer()));
        let mut near = group.in_zone(&relays.targets, Zone::Own);
        if is_served_here || near.any(|(target, _)| is_quick(&target.peer)) {
            return None;
        }
        let elsewhere = group.in_zone(&relays.targets, Zone::Other);
        let quick = elsewhere.filter(|(target, _)| is_quick(&target.peer)).map(|(_, member)| member);
        let quick: Vec<(usize, u32)> = quick.collect();
        self.draw_of(relays, &quick, origin)
    }

    /// Whether a relay was drawn for such a group.
    fn is_drawn(&self, relays: &Relays, is_it: impl Fn(&RelayGroup) -> bool) -> bool {
        self.chosen.drawn.iter().any(|(_, group)| relays.groups.get(*group).is_some_and(&is_it))
    }

    /// Draws a relay for each group in which nobody got the message or was drawn.
    fn draw_relays(&mut self, relays: &Relays, must_be_named: bool, missed: &[usize], origin: &Origin<'_>) {
        for (number, group) in relays.groups.iter().enumerate() {
            if (must_be_named && !self.chosen.names(Some(&group.name)))
                || group.here.is_some_and(|at| !missed.contains(&at))
                || self.chosen.drawn.iter().any(|(_, drawn)| *drawn == number)
            {
                continue;
            }
            let drawn =
                group.by_distance(&relays.targets).find_map(|near| self.draw_of(relays, near, origin));
            self.chosen.drawn.extend(drawn.map(|at| (at, number)));
        }
    }

    /// Draws one of the relays that are as far as each other, of those that can take the message.
    fn draw_of(&mut self, relays: &Relays, near: &[(usize, u32)], origin: &Origin<'_>) -> Option<usize> {
        let chosen = &self.chosen;
        let able = || {
            near.iter().filter(|(_, weight)| *weight > 0).filter_map(|(at, weight)| {
                let target = relays.targets.get(*at).filter(|target| chosen.can_have(target, origin))?;
                Some((*at, *weight as usize, &target.peer))
            })
        };
        if able().next()?.2.kind().is_chosen_by_distance() {
            // Of one that has not answered yet nothing is known.
            let nearest = able().min_by_key(|(_, _, peer)| (peer.rtt().is_zero(), peer.rtt()));
            return nearest.map(|(at, ..)| at);
        }
        let mut left = self.draws.choices.below(able().map(|(_, weight, _)| weight).sum());
        for (at, weight, _) in able() {
            match left.checked_sub(weight) {
                None => return Some(at),
                Some(rest) => left = rest,
            }
        }
        None
    }

    fn stage_relays<O: Observe>(
        &mut self,
        account: &Arc<Account>,
        relays: &Relays,
        delivery: &Delivery<'_>,
        observer: &mut O,
    ) -> usize {
        let mut delivered = 0;
        for (at, target) in relays.targets.iter().enumerate() {
            let is_drawn = self.chosen.drawn.iter().any(|(drawn, _)| *drawn == at);
            if !(target.is_plain || is_drawn) || !self.chosen.can_have(target, delivery.origin) {
                continue;
            }
            match observer.passes_on(&target.peer, delivery.message) {
                Onward::Withheld => continue,
                Onward::Unchanged => self.stage_relay(relays, at, target, delivery),
                Onward::As(body) => {
                    let message = body.message(delivery.message);
                    self.stage_relay(relays, at, target, &Delivery::copied(&message, delivery.origin));
                }
            }
            self.count_relayed(account, &target.peer, delivery.message);
            delivered += 1;
        }
        delivered
    }

    fn stage_relay(&mut self, relays: &Relays, at: usize, target: &RelayTarget, delivery: &Delivery<'_>) {
        let RelayTarget { peer, head, .. } = target;
        if !peer.is_usual() {
            self.stalled.get_or_insert_with(|| peer.clone());
        }
        if let Some(reply) = delivery.message.reply
            && peer.tracks_replies()
        {
            peer.expect_answer(delivery.origin, reply, self.now);
        }
        let groups = self.chosen.drawn.iter().filter(|(drawn, _)| *drawn == at);
        let queues = groups.filter_map(|(_, group)| relays.groups.get(*group)).map(|group| &*group.name);
        let cluster = match delivery.origin.peer.kind().is_leaf_connection() && peer.knows_origins() {
            true => &*self.chosen.cluster,
            false => &[],
        };
        let Delivery { message, shared, .. } = delivery;
        let passed_on = PassedOn { message, replies: &self.chosen.replies, cluster, shared: shared.as_ref() };
        passed_on.stage(&mut self.staging, (peer, head), queues);
    }
}

/// A message as it goes to one relay.
struct PassedOn<'a> {
    message: &'a Message<'a>,
    replies: &'a Replies,
    /// The cluster of leaf nodes that is named.
    cluster: &'a [u8],
    /// The body, if it is shared.
    shared: Option<&'a Arc<[u8]>>,
}

impl PassedOn<'_> {
    fn stage<'q>(
        &self,
        staging: &mut Staging,
        (peer, head): (&Arc<Peer>, &RelayHead),
        queues: impl Iterator<Item = &'q [u8]>,
    ) {
        let Self { replies, cluster, shared, .. } = *self;
        let reply = self.message.reply.map(|reply| replies.of(peer.kind(), reply));
        let message = &Message { reply, ..*self.message };
        let with_headers = message.has_headers() && peer.understands_headers();
        let stage = staging.stage(peer);
        let before = stage.bytes.len();
        if cluster.is_empty() {
            head.append(with_headers, &mut stage.bytes);
        } else {
            head.append_with_origin(cluster, &mut stage.bytes);
        }
        let form = (with_headers, !cluster.is_empty());
        peer.relay_format().append_middle(queues, message, form, &mut stage.bytes);
        let body = if with_headers { message.framed } else { message.framed_payload() };
        stage.count(body.len().saturating_sub(2));
        let staged = match shared {
            Some(shared) if shared.len() == body.len() => {
                let staged = stage.bytes.len().wrapping_sub(before);
                stage.share(shared);
                staged
            }
            _ => {
                stage.bytes.extend_from_slice(body);
                stage.bytes.len().wrapping_sub(before)
            }
        };
        staging.note(staged);
    }
}

impl Chosen {
    /// Whether a relay may have the message: not who it came from, nor other leaf nodes of the cluster that it came from, which have it.
    fn can_have(&self, target: &RelayTarget, origin: &Origin<'_>) -> bool {
        let is_of_origin = || {
            let cluster = target.peer.leaf_cluster();
            !cluster.is_empty() && origin.peer.kind().is_relay() && *self.cluster == *cluster
        };
        !target.peer.is_closing() && !origin.excepts(&target.peer) && !is_of_origin()
    }
}
