//! From a connection to one that joined. Who is dialled sends INFO at once; who dials answers with CONNECT and its own INFO.

use super::{Action, Gateways, Note, is_name};
use crate::id::{DialId, LinkId};
use crate::limits::{NAME_BYTES_MAX, UNJOINED_MAX};
use crate::link::Allowance;
use dialtone_wire::CloseReason;
use dialtone_wire::gateway::{Command, Connect, Info};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

/// One connection.
#[derive(Debug)]
pub struct Link {
    pub origin: Origin,
    phase: Phase,
    /// Closed if it has not joined until then.
    pub deadline: Instant,
    allowance: Allowance,
    /// The other end has let this server in.
    pub is_confirmed: bool,
}

/// Who dialled.
#[derive(Debug)]
pub enum Origin {
    Accepted(IpAddr),
    /// This server did, for this cluster.
    Dialled {
        wanted: String,
    },
}

#[derive(Debug)]
enum Phase {
    /// Of one that was accepted.
    AwaitConnect,
    /// The cluster at the other end, as far as it has said.
    AwaitInfo(Option<String>),
    Joined(String),
}

impl Link {
    fn new(origin: Origin, phase: Phase, deadline: Instant, now: Instant) -> Self {
        Self { origin, phase, deadline, allowance: Allowance::new(now), is_confirmed: false }
    }

    /// The cluster at the other end, once it joined.
    pub fn gateway(&self) -> Option<&str> {
        match &self.phase {
            Phase::Joined(name) => Some(name),
            Phase::AwaitConnect | Phase::AwaitInfo(_) => None,
        }
    }

    /// The cluster at the other end, as far as it has said.
    pub fn name(&self) -> Option<&str> {
        match &self.phase {
            Phase::Joined(name) | Phase::AwaitInfo(Some(name)) => Some(name),
            Phase::AwaitConnect | Phase::AwaitInfo(None) => None,
        }
    }

    /// The cluster that this server dialled.
    pub fn wanted(&self) -> Option<&str> {
        match &self.origin {
            Origin::Dialled { wanted } => Some(wanted),
            Origin::Accepted(_) => None,
        }
    }

    pub fn is_inbound(&self) -> bool {
        matches!(self.origin, Origin::Accepted(_))
    }

    /// Whether that cluster is connected by it.
    pub fn is_inbound_of(&self, name: &str) -> bool {
        self.is_inbound() && self.gateway() == Some(name)
    }
}

impl Gateways {
    pub(super) fn accepted(&mut self, link: LinkId, address: IpAddr, now: Instant, out: &mut Vec<Action>) {
        self.make_room(now, out);
        let deadline = now + self.settings.handshake_timeout;
        let entry = Link::new(Origin::Accepted(address), Phase::AwaitConnect, deadline, now);
        self.links.insert(link, entry);
        out.push(Action::SendInfo { link, info: Box::new(self.info()) });
    }

    /// Closes the oldest of the address with most connections that have not joined, when there are too many.
    fn make_room(&mut self, now: Instant, out: &mut Vec<Action>) {
        let mut by_address: BTreeMap<IpAddr, Vec<LinkId>> = BTreeMap::new();
        for (id, link) in self.links.iter().filter(|(_, link)| link.gateway().is_none()) {
            if let Origin::Accepted(address) = link.origin {
                by_address.entry(address).or_default().push(*id);
            }
        }
        if by_address.values().map(Vec::len).sum::<usize>() < UNJOINED_MAX {
            return;
        }
        let most = by_address.values().max_by_key(|links| links.len());
        if let Some(oldest) = most.and_then(|links| links.first().copied()) {
            self.close(oldest, (CloseReason::MaxConnectionsExceeded, None), now, out);
        }
    }

    pub(super) fn dialled(&mut self, dial: DialId, link: LinkId, now: Instant, out: &mut Vec<Action>) {
        let wanted = self.dials.remove(&dial);
        let remote = wanted.as_ref().and_then(|wanted| self.remotes.get_mut(wanted));
        let (Some(wanted), Some(remote)) = (wanted, remote) else {
            return out.push(Action::Close { link, reason: CloseReason::RouteRemoved, error: None });
        };
        remote.phase = super::remote::Phase::Open(link);
        let deadline = now + self.settings.handshake_timeout;
        let entry = Link::new(Origin::Dialled { wanted }, Phase::AwaitInfo(None), deadline, now);
        self.links.insert(link, entry);
    }

    pub(super) fn connect(&mut self, link: LinkId, connect: &Connect, now: Instant, out: &mut Vec<Action>) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        match &entry.phase {
            Phase::AwaitConnect => {}
            // Once more: official servers take that.
            _ if entry.is_inbound() => return,
            _ => return self.close(link, (CloseReason::ProtocolViolation, None), now, out),
        }
        let name = &connect.gateway;
        if !is_name(name) || connect.name.len() > NAME_BYTES_MAX {
            return self.close(link, (CloseReason::ProtocolViolation, None), now, out);
        }
        let is_known = self.settings.remotes.iter().any(|remote| remote.name == *name);
        // A server of the own cluster has no business here: messages would come twice.
        if *name == self.settings.name || (self.settings.reject_unknown && !is_known) {
            out.push(Action::Note(Note::Rejected { gateway: name.clone() }));
            return self.close(link, (CloseReason::WrongGateway, Some(self.rejection())), now, out);
        }
        entry.phase = Phase::AwaitInfo(Some(name.clone()));
    }

    pub(super) fn info_came(&mut self, link: LinkId, info: &Info, now: Instant, out: &mut Vec<Action>) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        match (&entry.phase, &entry.origin) {
            (Phase::AwaitConnect, _) => self.close(link, (CloseReason::ProtocolViolation, None), now, out),
            (Phase::AwaitInfo(_), Origin::Dialled { wanted }) => {
                let wanted = wanted.clone();
                self.reached(link, &wanted, info, now, out);
            }
            (Phase::AwaitInfo(name), Origin::Accepted(_)) => {
                let name = name.clone().unwrap_or_default();
                self.met(link, &name, info, now, out);
            }
            (Phase::Joined(name), origin) => {
                let (name, is_outbound) = (name.clone(), matches!(origin, Origin::Dialled { .. }));
                let was_spent = entry.allowance.spent;
                if !entry.allowance.take(now) {
                    if !was_spent {
                        out.push(Action::Note(Note::InfoTooFast(link)));
                    }
                    return;
                }
                match info.command() {
                    Ok(Some(Command::Gossip)) => {
                        self.learn(&info.gateway, &info.gateway_urls, false, now, out);
                    }
                    // What it says of its own cluster is so, and who has left it is not dialled any more.
                    Ok(None) if info.gateway == name => {
                        self.learn(&name, &info.gateway_urls, is_outbound, now, out);
                    }
                    _ => {}
                }
            }
        }
    }

    /// What is said to a cluster that may not connect.
    pub(super) fn rejection(&self) -> String {
        format!("Connection to gateway {:?} rejected", self.settings.name)
    }

    /// The server that was dialled says what it is.
    fn reached(&mut self, link: LinkId, wanted: &str, info: &Info, now: Instant, out: &mut Vec<Action>) {
        if info.gateway.is_empty() {
            let error = format!("Attempt to connect to gateway {wanted:?} using wrong port");
            out.push(Action::Note(Note::WrongPort { wanted: wanted.to_owned() }));
            return self.close(link, (CloseReason::WrongPort, Some(error)), now, out);
        }
        if info.gateway != wanted {
            let (own, found) = (&self.settings.name, info.gateway.clone());
            let error = format!(
                "Connection from {own:?} rejected, wanted to connect to {wanted:?}, this is {found:?}"
            );
            out.push(Action::Note(Note::WrongName { wanted: wanted.to_owned(), found }));
            return self.close(link, (CloseReason::WrongGateway, Some(error)), now, out);
        }
        let Some(remote) = self.remotes.get(wanted) else {
            return self.close(link, (CloseReason::RouteRemoved, None), now, out);
        };
        let configured = remote.is_configured();
        let credentials = remote.credentials().or_else(|| self.settings.credentials.clone());
        let (user, pass) = credentials.map(|who| (who.user, who.password)).unwrap_or_default();
        let connect = Connect {
            user,
            pass,
            name: self.me.id.clone(),
            gateway: self.settings.name.clone(),
            ..Connect::default()
        };
        out.push(Action::SendConnect { link, connect: Box::new(connect) });
        out.push(Action::SendInfo { link, info: Box::new(self.info()) });
        self.join(link, wanted, configured, out);
        self.learn(wanted, &info.gateway_urls, true, now, out);
        if let Some(remote) = self.remotes.get(wanted) {
            out.push(Action::TellRoutes(Box::new(self.telling(wanted, remote))));
        }
    }

    /// The server that dialled says what it is: it is told of the other clusters, and interest in this one.
    fn met(&mut self, link: LinkId, name: &str, info: &Info, now: Instant, out: &mut Vec<Action>) {
        for (other, remote) in self.remotes.iter().filter(|(other, _)| *other != name) {
            let urls = remote.urls();
            if !urls.is_empty() {
                let info = Box::new(Info::gossip(&self.me.id, other, urls));
                out.push(Action::SendInfo { link, info });
            }
        }
        // Official servers look at those that they dialled only.
        self.join(link, name, false, out);
        self.learn(name, &info.gateway_urls, false, now, out);
    }

    fn join(&mut self, link: LinkId, name: &str, configured: bool, out: &mut Vec<Action>) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.phase = Phase::Joined(name.to_owned());
        }
        out.push(Action::Join { link, gateway: name.to_owned(), configured });
    }
}
