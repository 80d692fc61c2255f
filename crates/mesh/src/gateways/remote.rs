//! What is known of another cluster.

use crate::id::{DialId, LinkId};
use crate::limits::GATEWAY_URLS_MAX;
use crate::random::Random;
use crate::url::{Credentials, RouteUrl};
use std::collections::BTreeMap;
use std::time::Instant;

#[derive(Debug)]
pub struct Remote {
    /// What the configuration names; empty for one that was learned.
    pub configured: Vec<RouteUrl>,
    /// What others told of, by `host:port`.
    learned: BTreeMap<String, RouteUrl>,
    pub phase: Phase,
    /// Dials in a row that failed, or connections that ended before they joined.
    pub failures: u32,
    /// Which of its servers is dialled.
    turn: u64,
    /// One that was learned, and of which there is no sign, is forgotten then.
    pub until: Instant,
}

/// The connection to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is dialled then.
    Idle(Instant),
    Dialling(DialId),
    Open(LinkId),
}

impl Remote {
    pub fn new(configured: Vec<RouteUrl>, dial_at: Instant, until: Instant) -> Self {
        let phase = Phase::Idle(dial_at);
        Self { configured, learned: BTreeMap::new(), phase, failures: 0, turn: 0, until }
    }

    pub fn is_configured(&self) -> bool {
        !self.configured.is_empty()
    }

    /// Where its servers are, by their own account. True if something in it is other than before.
    pub fn learn(&mut self, urls: &[String], replaces: bool) -> bool {
        let before: Vec<String> = self.learned.keys().cloned().collect();
        if replaces && !urls.is_empty() {
            self.learned.clear();
        }
        for url in urls.iter().filter_map(|url| RouteUrl::parse(url).ok()) {
            if self.learned.len() < GATEWAY_URLS_MAX {
                self.learned.insert(url.address(), url);
            }
        }
        !self.learned.keys().eq(&before)
    }

    /// What others are told of its servers.
    pub fn urls(&self) -> Vec<String> {
        let configured = self.configured.iter().map(RouteUrl::address);
        match self.learned.is_empty() {
            true => configured.collect(),
            false => self.learned.keys().cloned().collect(),
        }
    }

    /// One of its servers, at random; as long as that fails the next one each time, so that one that is down holds up nothing.
    pub fn pick(&mut self, random: &mut Random) -> Option<RouteUrl> {
        self.turn = if self.failures == 0 { random.number() } else { self.turn.wrapping_add(1) };
        let learned = self.learned.values().filter(|url| {
            let address = url.address();
            self.configured.iter().all(|configured| configured.address() != address)
        });
        let all: Vec<&RouteUrl> = self.configured.iter().chain(learned).collect();
        let at = self.turn.checked_rem(all.len() as u64)?;
        let picked = (*all.get(at as usize)?).clone();
        let credentials = picked.credentials.clone().or_else(|| self.credentials());
        Some(RouteUrl { credentials, ..picked })
    }

    /// What is learned comes without credentials: those of a cluster are those of its configured URLs.
    pub fn credentials(&self) -> Option<Credentials> {
        self.configured.iter().find_map(|url| url.credentials.clone())
    }
}
