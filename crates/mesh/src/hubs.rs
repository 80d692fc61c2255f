//! The hubs that this server is a leaf node of: which of their URLs is dialled, and when. Like [`crate::Cluster`] a state machine without
//! I/O, clock or source of randomness.
//!
//! Each hub has one connection at a time. Its URLs are those that are configured and, behind them, those that the hub spoke of; one is
//! tried after the other, each after the reconnect interval with some jitter, so that spokes that lost a hub together do not come together.

use crate::id::{DialId, LinkId};
use crate::limits::{HUB_URLS_MAX, JITTER};
use crate::random::Random;
use crate::url::RouteUrl;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A configured hub. Whoever configures them numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubId(pub u64);

/// What the configuration says of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSettings {
    /// Where it is.
    pub urls: Vec<RouteUrl>,
    /// The URLs are tried in their order; otherwise in any.
    pub in_order: bool,
    /// URLs that the hub speaks of are not dialled.
    pub ignores_learned: bool,
    /// How long after a connection or an attempt the next one begins.
    pub reconnect: Duration,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum HubEvent {
    /// These are the hubs from here on; with those that stay nothing happens.
    Configured(BTreeMap<HubId, HubSettings>),
    /// The dial has become a connection.
    Dialed {
        /// Which one.
        dial: DialId,
        /// The connection.
        link: LinkId,
    },
    /// There is no connection.
    DialFailed(DialId),
    /// The hub speaks of these URLs.
    Learned {
        /// Its connection.
        link: LinkId,
        /// Other servers of its cluster; those that cannot be read are left out.
        urls: Vec<RouteUrl>,
    },
    /// When the connection is over the next one begins no earlier than after this time.
    Delay {
        /// The connection.
        link: LinkId,
        /// The time.
        delay: Duration,
    },
    /// The connection is over.
    Lost(LinkId),
    /// It is time.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubAction {
    /// Connect.
    Dial {
        /// Which attempt of all.
        dial: DialId,
        /// To whom.
        hub: HubId,
        /// Where.
        url: RouteUrl,
        /// Which attempt in a row.
        attempt: u32,
    },
    /// The hub is not configured any more.
    Close(LinkId),
}

/// How far it is with a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Waiting(Instant),
    Dialing(DialId),
    Connected { link: LinkId, delay: Option<Duration> },
}

#[derive(Clone, Debug)]
struct Hub {
    settings: HubSettings,
    learned: Vec<RouteUrl>,
    /// The place of the URL that is tried next, among all.
    next: usize,
    /// Attempts since the last connection.
    attempts: u32,
    phase: Phase,
}

impl Hub {
    fn new(mut settings: HubSettings, now: Instant, random: &mut Random) -> Self {
        if !settings.in_order {
            shuffle(&mut settings.urls, random);
        }
        Self { settings, learned: Vec::new(), next: 0, attempts: 0, phase: Phase::Waiting(now) }
    }

    /// The URL whose turn it is.
    fn take_url(&mut self) -> Option<RouteUrl> {
        let all = self.settings.urls.iter().chain(&self.learned);
        let count = self.settings.urls.len() + self.learned.len();
        let url = all.clone().nth(self.next.checked_rem(count)?)?.clone();
        self.next = (self.next + 1) % count;
        Some(url)
    }

    fn wait(&mut self, least: Duration, now: Instant, random: &mut Random) {
        let delay = self.settings.reconnect.max(least);
        self.phase = Phase::Waiting(now + delay + random.up_to(JITTER.max(delay / 10)));
    }

    fn learn(&mut self, urls: Vec<RouteUrl>) {
        let is_same = |a: &RouteUrl, b: &RouteUrl| (&a.host, a.port) == (&b.host, b.port);
        self.learned.clear();
        for url in urls.into_iter().take(HUB_URLS_MAX) {
            let mut known = self.settings.urls.iter().chain(&self.learned);
            if !known.any(|known| is_same(known, &url)) {
                self.learned.push(url);
            }
        }
    }
}

fn shuffle(urls: &mut [RouteUrl], random: &mut Random) {
    for last in (1..urls.len()).rev() {
        let other = (random.number() % (last as u64 + 1)) as usize;
        urls.swap(last, other);
    }
}

/// All hubs of a server.
#[derive(Debug)]
pub struct Hubs {
    hubs: BTreeMap<HubId, Hub>,
    dials: u64,
    random: Random,
}

impl Hubs {
    /// None yet.
    pub fn new(seed: u64) -> Self {
        Self { hubs: BTreeMap::new(), dials: 0, random: Random::new(seed) }
    }

    /// Takes in what happened; appends what is to be done.
    pub fn handle(&mut self, event: HubEvent, now: Instant, out: &mut Vec<HubAction>) {
        match event {
            HubEvent::Configured(configured) => self.configure(configured, now, out),
            HubEvent::Dialed { dial, link } => self.dialed(dial, link, out),
            HubEvent::DialFailed(dial) => {
                if let Some(hub) = self.hubs.values_mut().find(|hub| hub.phase == Phase::Dialing(dial)) {
                    hub.wait(Duration::ZERO, now, &mut self.random);
                }
            }
            HubEvent::Learned { link, urls } => {
                if let Some(hub) = self.of(link)
                    && !hub.settings.ignores_learned
                {
                    hub.learn(urls);
                }
            }
            HubEvent::Delay { link, delay } => {
                if let Some(hub) = self.of(link) {
                    hub.phase = Phase::Connected { link, delay: Some(delay) };
                }
            }
            HubEvent::Lost(link) => self.lost(link, now),
            HubEvent::Timeout => {}
        }
        self.dial_due(now, out);
    }

    /// When it is time, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = self.hubs.values().filter_map(|hub| match hub.phase {
            Phase::Waiting(until) => Some(until),
            Phase::Dialing(_) | Phase::Connected { .. } => None,
        });
        due.min()
    }

    /// Which hub a connection is to.
    pub fn hub_of(&self, link: LinkId) -> Option<HubId> {
        let is_its = |hub: &Hub| matches!(hub.phase, Phase::Connected { link: own, .. } if own == link);
        self.hubs.iter().find(|(_, hub)| is_its(hub)).map(|(id, _)| *id)
    }

    fn of(&mut self, link: LinkId) -> Option<&mut Hub> {
        let id = self.hub_of(link)?;
        self.hubs.get_mut(&id)
    }

    fn configure(
        &mut self,
        mut configured: BTreeMap<HubId, HubSettings>,
        now: Instant,
        out: &mut Vec<HubAction>,
    ) {
        self.hubs.retain(|id, hub| {
            let stays = configured.contains_key(id);
            if let Phase::Connected { link, .. } = hub.phase
                && !stays
            {
                out.push(HubAction::Close(link));
            }
            stays
        });
        configured.retain(|id, _| !self.hubs.contains_key(id));
        for (id, settings) in configured {
            let hub = Hub::new(settings, now, &mut self.random);
            self.hubs.insert(id, hub);
        }
    }

    fn dialed(&mut self, dial: DialId, link: LinkId, out: &mut Vec<HubAction>) {
        match self.hubs.values_mut().find(|hub| hub.phase == Phase::Dialing(dial)) {
            Some(hub) => hub.phase = Phase::Connected { link, delay: None },
            // The hub went meanwhile.
            None => out.push(HubAction::Close(link)),
        }
    }

    fn lost(&mut self, link: LinkId, now: Instant) {
        let Some(id) = self.hub_of(link) else { return };
        let Some(hub) = self.hubs.get_mut(&id) else { return };
        let Phase::Connected { delay, .. } = hub.phase else { return };
        hub.attempts = 0;
        hub.wait(delay.unwrap_or_default(), now, &mut self.random);
    }

    fn dial_due(&mut self, now: Instant, out: &mut Vec<HubAction>) {
        for (id, hub) in &mut self.hubs {
            let is_due = matches!(hub.phase, Phase::Waiting(until) if until <= now);
            let Some(url) = is_due.then(|| hub.take_url()).flatten() else { continue };
            self.dials += 1;
            hub.attempts = hub.attempts.saturating_add(1);
            let dial = DialId(self.dials);
            hub.phase = Phase::Dialing(dial);
            out.push(HubAction::Dial { dial, hub: *id, url, attempt: hub.attempts });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn url(text: &str) -> RouteUrl {
        RouteUrl::parse(text).expect(text)
    }

    fn settings(urls: &[&str], in_order: bool) -> HubSettings {
        HubSettings {
            urls: urls.iter().map(|text| url(text)).collect(),
            in_order,
            ignores_learned: false,
            reconnect: SECOND,
        }
    }

    struct World {
        hubs: Hubs,
        start: Instant,
        now: Instant,
    }

    impl World {
        fn new(configured: &[(u64, HubSettings)]) -> (Self, Vec<HubAction>) {
            let start = Instant::now();
            let mut world = Self { hubs: Hubs::new(7), start, now: start };
            let actions = world.configure(configured);
            (world, actions)
        }

        fn configure(&mut self, configured: &[(u64, HubSettings)]) -> Vec<HubAction> {
            let configured = configured.iter().map(|(id, settings)| (HubId(*id), settings.clone()));
            self.happen(HubEvent::Configured(configured.collect()))
        }

        fn happen(&mut self, event: HubEvent) -> Vec<HubAction> {
            let mut out = Vec::new();
            self.hubs.handle(event, self.now, &mut out);
            out
        }

        /// Lets time pass until something is due: after how long, and what.
        fn wait(&mut self) -> (Duration, Vec<HubAction>) {
            let before = self.now;
            self.now = self.hubs.next_timeout().expect("something is due");
            (self.now - before, self.happen(HubEvent::Timeout))
        }
    }

    #[track_caller]
    fn dialed(actions: &[HubAction]) -> (DialId, String, u32) {
        match actions {
            [HubAction::Dial { dial, url, attempt, .. }] => (*dial, url.to_string(), *attempt),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn urls_are_tried_one_after_the_other_at_the_interval() {
        let (mut world, first) = World::new(&[(1, settings(&["a:1", "b:2"], true))]);
        let (mut dial, mut seen) = (dialed(&first).0, vec![dialed(&first).1]);
        for attempt in 2..=4 {
            assert_eq!(world.happen(HubEvent::DialFailed(dial)), []);
            let (waited, actions) = world.wait();
            assert!(waited >= SECOND && waited < SECOND * 11 / 10, "{waited:?}");
            assert_eq!(dialed(&actions).2, attempt);
            (dial, _) = (dialed(&actions).0, seen.push(dialed(&actions).1));
        }
        let hosts: Vec<&str> = seen.iter().map(|url| if url.contains("a:1") { "a" } else { "b" }).collect();
        assert_eq!(hosts, ["a", "b", "a", "b"]);
        // A failure that is not of the attempt under way changes nothing.
        assert_eq!(world.happen(HubEvent::DialFailed(DialId(1))), []);
        assert_eq!(world.hubs.next_timeout(), None);
    }

    #[test]
    fn what_a_hub_speaks_of_comes_behind_what_is_configured() {
        let (mut world, first) = World::new(&[(1, settings(&["a:1"], true))]);
        let link = LinkId(9);
        assert_eq!(world.happen(HubEvent::Dialed { dial: dialed(&first).0, link }), []);
        assert_eq!((world.hubs.hub_of(link), world.hubs.hub_of(LinkId(8))), (Some(HubId(1)), None));
        let urls = ["b:2", "a:1", "b:2"].map(url).to_vec();
        world.happen(HubEvent::Learned { link, urls });
        assert_eq!(world.happen(HubEvent::Lost(link)), []);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (_, actions) = world.wait();
            seen.push(dialed(&actions).1);
            world.happen(HubEvent::DialFailed(dialed(&actions).0));
        }
        let hosts: Vec<bool> = seen.iter().map(|url| url.contains("b:2")).collect();
        assert_eq!(hosts.iter().filter(|is_b| **is_b).count() + usize::from(!hosts[0]), 2, "{seen:?}");
        assert_ne!(hosts[0], hosts[1]);
    }

    #[test]
    fn many_urls_of_a_hub_are_not_kept() {
        let (mut world, first) = World::new(&[(1, settings(&["a:1"], true))]);
        let link = LinkId(9);
        world.happen(HubEvent::Dialed { dial: dialed(&first).0, link });
        let urls = (0..10_000).map(|n| url(&format!("h{n}:1"))).collect();
        world.happen(HubEvent::Learned { link, urls });
        assert_eq!(world.hubs.hubs[&HubId(1)].learned.len(), HUB_URLS_MAX);
    }

    #[test]
    fn a_loop_makes_the_next_attempt_wait_once() {
        let (mut world, first) = World::new(&[(1, settings(&["a:1"], true))]);
        let (link, delay) = (LinkId(9), SECOND * 30);
        world.happen(HubEvent::Dialed { dial: dialed(&first).0, link });
        world.happen(HubEvent::Delay { link, delay });
        world.happen(HubEvent::Lost(link));
        let (waited, actions) = world.wait();
        assert!(waited >= delay && waited < delay * 11 / 10, "{waited:?}");
        let link = LinkId(10);
        world.happen(HubEvent::Dialed { dial: dialed(&actions).0, link });
        world.happen(HubEvent::Lost(link));
        assert!(world.wait().0 < SECOND * 2);
        assert!(world.now > world.start);
    }

    #[test]
    fn a_reload_keeps_those_that_stay() {
        let (a, b) = (settings(&["a:1"], true), settings(&["b:1"], true));
        let (mut world, first) = World::new(&[(1, a.clone())]);
        let link = LinkId(9);
        world.happen(HubEvent::Dialed { dial: dialed(&first).0, link });
        let added = world.configure(&[(1, a), (2, b.clone())]);
        let (dial, url, _) = dialed(&added);
        assert!(url.contains("b:1"));
        assert_eq!(world.configure(&[]), [HubAction::Close(link)]);
        // What was under way then is not wanted any more.
        let late = LinkId(10);
        assert_eq!(world.happen(HubEvent::Dialed { dial, link: late }), [HubAction::Close(late)]);
        assert_eq!((world.happen(HubEvent::Lost(link)), world.hubs.next_timeout()), (vec![], None));
        assert_eq!(dialed(&world.configure(&[(3, b)])).2, 1);
    }

    #[test]
    fn the_order_is_any_unless_it_is_asked_for() {
        let urls = ["a:1", "b:1", "c:1", "d:1"];
        let firsts = |in_order| {
            let first = |seed| {
                let mut hubs = Hubs::new(seed);
                let configured = [(HubId(1), settings(&urls, in_order))].into();
                let mut out = Vec::new();
                hubs.handle(HubEvent::Configured(configured), Instant::now(), &mut out);
                dialed(&out).1
            };
            (0..64).map(first).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((firsts(true), firsts(false)), (1, urls.len()));
    }
}
