//! A reload: other clusters are named, or nobody but those may connect.

use super::handshake::Link;
use super::remote::Phase;
use super::{Action, Gateways, Note, Settings};
use crate::id::LinkId;
use dialtone_wire::CloseReason;
use std::time::Instant;

impl Gateways {
    /// Goes on as if it had begun so, but keeps the connections that there would be.
    pub(super) fn reloaded(&mut self, settings: Settings, now: Instant, out: &mut Vec<Action>) {
        let urls = self.urls();
        let before = std::mem::replace(&mut self.settings, settings);
        let was_named = |name: &str| before.remotes.iter().any(|remote| remote.name == name);
        for (name, remote) in &mut self.remotes {
            remote.configured.clear();
            // Whoever is named now does not wait for what was decided about one that was learned.
            if let (Phase::Idle(at), false) = (&mut remote.phase, was_named(name)) {
                *at = now.min(*at);
            }
        }
        self.configure(now, now);
        let gone = self.remotes.iter().filter(|(name, remote)| {
            let is_learned = !was_named(name) || self.links.values().any(|link| link.is_inbound_of(name));
            !remote.is_configured() && (self.settings.reject_unknown || !is_learned)
        });
        for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.leave(&name, now, out);
        }
        if self.settings.reject_unknown {
            self.turn_out_unknown(now, out);
        }
        if self.urls() != urls {
            self.say_urls(out);
        }
    }

    /// Nothing is dialled there any more.
    fn leave(&mut self, name: &str, now: Instant, out: &mut Vec<Action>) {
        let to_it = self.links.iter().find(|(_, link)| link.wanted() == Some(name)).map(|(link, _)| *link);
        if let Some(link) = to_it {
            self.close(link, (CloseReason::RouteRemoved, None), now, out);
        }
        self.dials.retain(|_, wanted| wanted != name);
        self.remotes.remove(name);
        out.push(Action::Note(Note::Forgotten { gateway: name.to_owned() }));
    }

    /// Clusters that are not named may not be connected here.
    fn turn_out_unknown(&mut self, now: Instant, out: &mut Vec<Action>) {
        let is_unknown = |link: &Link| {
            link.is_inbound() && link.name().is_some_and(|name| !self.remotes.contains_key(name))
        };
        let unknown = self.links.iter().filter(|(_, link)| is_unknown(link));
        let unknown: Vec<(LinkId, String)> =
            unknown.map(|(id, link)| (*id, link.name().unwrap_or_default().to_owned())).collect();
        for (link, gateway) in unknown {
            out.push(Action::Note(Note::Rejected { gateway }));
            self.close(link, (CloseReason::WrongGateway, Some(self.rejection())), now, out);
        }
    }
}
