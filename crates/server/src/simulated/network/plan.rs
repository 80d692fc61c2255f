//! What a world is and what happens in it, as data that a seed makes.

use dialtone_sim::random::Random;
use std::fmt::Write as _;
use std::time::Duration;

pub(super) const ACCOUNTS: [&str; 2] = ["A", "B"];
/// What is subscribed to.
const FILTERS: [&str; 7] = ["a", "a.b", "a.*", "a.>", "*.b", ">", "b.c.d"];
/// What is published to.
pub(super) const SUBJECTS: [&str; 4] = ["a", "a.b", "b.c.d", "b.b"];
const QUEUES: [&str; 2] = ["q", "r"];

/// Until when steps happen. Then all is whole again.
pub(super) const TROUBLE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Decides delays, and what servers draw at random.
    pub seed: u64,
    pub domains: Vec<Domain>,
    pub clients: Vec<ClientPlan>,
    pub steps: Vec<(Duration, Step)>,
    /// The longest time that a piece of bytes travels.
    pub delay_max: Duration,
    pub piece_bytes_max: usize,
    /// Servers start within this time.
    pub starts_within: Duration,
    /// Servers show each other a password.
    pub is_guarded: bool,
    /// What else all servers are configured with.
    pub more: &'static str,
}

/// Servers that are one cluster, or one server alone.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub servers: usize,
    /// 0: without pools.
    pub pool_size: u32,
    /// Whether the first account has routes of its own.
    pub is_dedicated: bool,
    pub is_compressed: bool,
    /// Whether it is one of the clusters that are connected by gateways.
    pub has_gateway: bool,
    pub uplinks: Vec<Uplink>,
}

/// The domain is a leaf node of another one, for an account. Each of its servers connects: they do not pass on what the others send.
#[derive(Clone, Debug)]
pub(super) struct Uplink {
    /// An earlier domain.
    pub to: usize,
    /// The account here, and that there.
    pub accounts: [usize; 2],
    /// They know all servers of the other domain, not the first one only.
    pub to_all: bool,
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    pub domain: usize,
    pub index: usize,
}

impl Site {
    pub fn name(self) -> String {
        format!("s{}-{}", self.domain, self.index)
    }
}

#[derive(Clone, Debug)]
pub(super) struct ClientPlan {
    pub site: Site,
    pub account: usize,
    pub subs: Vec<Sub>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sub {
    pub filter: &'static str,
    pub queue: Option<&'static str>,
}

impl Sub {
    fn of(random: &mut Random) -> Self {
        let filter = FILTERS[random.below(FILTERS.len())];
        let queue = random.chance(45).then(|| QUEUES[random.below(QUEUES.len())]);
        Self { filter, queue }
    }
}

/// Servers and clients are named by their numbers.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Is gone without a word; with `silent`, the others notice late.
    Crash {
        server: usize,
        silent: bool,
    },
    /// Comes again, as another server at the same address.
    Start(usize),
    /// Those whose bit is set and the others do not reach each other.
    Cut(u64),
    CutPair(usize, usize),
    /// What the first sends does not reach the other.
    CutOneWay(usize, usize),
    Heal,
    /// All connections between two break.
    Break(usize, usize),
    Subscribe(usize, Sub),
    Unsubscribe(usize),
    /// A request, perhaps.
    Publish(usize, &'static str, bool),
    Disconnect(usize),
}

impl Plan {
    /// A few servers, and all that can happen to them.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let most = if random.chance(30) { 10 } else { 5 };
        let servers = 3 + random.below(most);
        let mut plan = Self::whole(seed, servers, &mut random);
        for _ in 0..random.below(14) {
            let step = plan.step(&mut random);
            let at = Duration::from_millis(random.below(TROUBLE.as_millis() as usize) as u64);
            plan.steps.push((at, step));
        }
        plan.steps.sort_by_key(|(at, _)| *at);
        plan
    }

    /// So many servers.
    pub fn large(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut plan = Self::whole(seed, 100, &mut random);
        plan.piece_bytes_max = 16 * 1024;
        for _ in 0..20 {
            let step = plan.step(&mut random);
            let at = Duration::from_millis(random.below(TROUBLE.as_millis() as usize) as u64);
            plan.steps.push((at, step));
        }
        plan.steps.sort_by_key(|(at, _)| *at);
        plan
    }

    /// Servers and clients without anything that happens to them.
    fn whole(seed: u64, servers: usize, random: &mut Random) -> Self {
        let mut domains: Vec<Domain> = Vec::new();
        let mut left = servers;
        let size_max = if servers > 20 { 6 } else { 4 };
        let gateways = random.chance(60);
        while left > 0 {
            let size = (1 + random.below(size_max)).min(left);
            left -= size;
            let share = if domains.is_empty() { 80 } else { 40 };
            let has_gateway = gateways && domains.len() < 6 && random.chance(share);
            // What a hub wants is for the servers that are connected to it alone, not for other clusters.
            let uplinks = if has_gateway { Vec::new() } else { uplinks(&domains, random) };
            let pool_size = [0, 1, 1, 2, 3][random.below(5)];
            domains.push(Domain {
                servers: size,
                pool_size,
                is_dedicated: pool_size > 0 && random.chance(25),
                is_compressed: random.chance(15),
                has_gateway,
                uplinks,
            });
        }
        let mut plan = Self {
            seed,
            domains,
            clients: Vec::new(),
            steps: Vec::new(),
            delay_max: Duration::from_millis([1, 20, 150][random.below(3)]),
            piece_bytes_max: [40, 4096, 16 * 1024][random.below(3)],
            starts_within: Duration::from_millis([0, 3000][random.below(2)]),
            is_guarded: random.chance(30),
            more: "",
        };
        let sites = plan.sites();
        for _ in 0..3 + random.below(servers.min(20)) {
            let site = sites[random.below(sites.len())];
            let account = usize::from(random.chance(30));
            let subs = (0..random.below(5)).map(|_| Sub::of(random)).collect();
            plan.clients.push(ClientPlan { site, account, subs });
        }
        plan
    }

    fn step(&self, random: &mut Random) -> Step {
        let (servers, clients) = (self.sites().len(), self.clients.len());
        let (one, other) = (random.below(servers), random.below(servers));
        match random.below(16) {
            0 | 1 => Step::Crash { server: one, silent: random.chance(40) },
            2 => Step::Start(one),
            3 => Step::Cut(random.number()),
            4 => Step::CutPair(one, other),
            5 => Step::CutOneWay(one, other),
            6 => Step::Heal,
            7 | 8 => Step::Break(one, other),
            9 | 10 => Step::Subscribe(random.below(clients), Sub::of(random)),
            11 => Step::Unsubscribe(random.below(clients)),
            12 => Step::Disconnect(random.below(clients)),
            _ => {
                let subject = SUBJECTS[random.below(SUBJECTS.len())];
                Step::Publish(random.below(clients), subject, random.chance(50))
            }
        }
    }

    /// All servers, in the order of their numbers.
    pub fn sites(&self) -> Vec<Site> {
        let of = |(domain, its): (usize, &Domain)| (0..its.servers).map(move |index| Site { domain, index });
        self.domains.iter().enumerate().flat_map(of).collect()
    }

    /// Where a client connects. A plan that was made smaller may lack the server that it was made with.
    pub fn site_of(&self, client: &ClientPlan) -> usize {
        let index = client.site.index % self.domains[client.site.domain].servers;
        let site = Site { index, ..client.site };
        self.sites().iter().position(|other| *other == site).expect("there")
    }

    pub fn config(&self, site: Site) -> String {
        let own = &self.domains[site.domain];
        let at = |index: usize, domain: usize| super::server::address(Site { domain, index }).to_string();
        let me = at(site.index, site.domain);
        let mut text = format!("server_name: {:?}\nlisten: \"{me}:4222\"\n", site.name());
        text += "ping_interval: \"5s\", ping_max: 1\naccounts {\n";
        for account in ACCOUNTS {
            let _ = writeln!(text, "{account} {{ users: [ {{ user: {account}, password: p }} ] }}");
        }
        text += "SYS {}\n}\nsystem_account: SYS\n";
        text += self.more;
        let compression = if own.is_compressed { "s2_fast" } else { "off" };
        let (login, guard) = match self.is_guarded {
            true => ("r:p@", "authorization { user: r, password: p }, "),
            false => ("", ""),
        };
        if own.servers > 1 || own.has_gateway {
            let routes: Vec<String> = (0..own.servers.min(2))
                .map(|index| format!("\"nats-route://{login}{}:6222\"", at(index, site.domain)))
                .collect();
            let pool = if own.pool_size == 0 { "-1".into() } else { own.pool_size.to_string() };
            let dedicated = if own.is_dedicated { "[A]" } else { "[]" };
            let _ = writeln!(
                text,
                "cluster {{ {guard}name: c{}, listen: \"{me}:6222\", pool_size: {pool}, accounts: {dedicated}, compression: {compression}, routes: [ {} ] }}",
                site.domain,
                routes.join(", ")
            );
        }
        if own.has_gateway {
            let others = self.domains.iter().enumerate().filter(|(_, other)| other.has_gateway);
            let gateways: Vec<String> = others
                .map(|(number, _)| {
                    format!("{{ name: c{number}, url: \"nats://{login}{}:7222\" }}", at(0, number))
                })
                .collect();
            let _ = writeln!(
                text,
                "gateway {{ {guard}name: c{}, listen: \"{me}:7222\", gateways: [ {} ] }}",
                site.domain,
                gateways.join(", ")
            );
        }
        let _ = writeln!(
            text,
            "leafnodes {{ listen: \"{me}:7422\", compression: {compression}, remotes: [ {} ] }}",
            self.remotes(site, compression)
        );
        text
    }

    fn remotes(&self, site: Site, compression: &str) -> String {
        let mut remotes = Vec::new();
        for uplink in &self.domains[site.domain].uplinks {
            let [own, other] = uplink.accounts.map(|account| ACCOUNTS[account]);
            let count = if uplink.to_all { self.domains[uplink.to].servers } else { 1 };
            let urls: Vec<String> = (0..count)
                .map(|index| super::server::address(Site { domain: uplink.to, index }))
                .map(|host| format!("\"nats-leaf://{other}:p@{host}:7422\""))
                .collect();
            remotes.push(format!(
                "{{ account: {own}, compression: {compression}, urls: [ {} ] }}",
                urls.join(", ")
            ));
        }
        remotes.join(", ")
    }

    /// The same with a little less in it, each way.
    pub fn smaller(&self) -> Vec<Self> {
        let change = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            plan
        };
        let mut all = Vec::new();
        if self.domains.len() > 1 {
            let last = self.domains.len() - 1;
            all.push(change(&|plan| {
                plan.domains.pop();
                plan.clients.iter_mut().filter(|client| client.site.domain == last).for_each(|client| {
                    client.subs.clear();
                    client.site.domain = 0;
                });
            }));
        }
        for (domain, its) in self.domains.iter().enumerate() {
            if its.servers > 1 {
                all.push(change(&|plan| plan.domains[domain].servers -= 1));
            }
            for uplink in 0..its.uplinks.len() {
                all.push(change(&|plan| {
                    plan.domains[domain].uplinks.remove(uplink);
                }));
            }
            if its.has_gateway {
                all.push(change(&|plan| plan.domains[domain].has_gateway = false));
            }
            if self.is_guarded {
                all.push(change(&|plan| plan.is_guarded = false));
            }
            if its.is_compressed || its.is_dedicated || its.pool_size > 1 {
                all.push(change(&|plan| {
                    let own = &mut plan.domains[domain];
                    (own.is_compressed, own.is_dedicated, own.pool_size) = (false, false, 1);
                }));
            }
        }
        for step in 0..self.steps.len() {
            all.push(change(&|plan| {
                plan.steps.remove(step);
            }));
        }
        for (client, its) in self.clients.iter().enumerate() {
            for sub in 0..its.subs.len() {
                all.push(change(&|plan| {
                    plan.clients[client].subs.remove(sub);
                }));
            }
        }
        all
    }
}

/// The ways in which a domain is a leaf node of others. Each account has one way at most, so that there is no loop.
fn uplinks(domains: &[Domain], random: &mut Random) -> Vec<Uplink> {
    let mut uplinks = Vec::new();
    if domains.is_empty() {
        return uplinks;
    }
    let crosses = random.chance(15);
    for account in 0..ACCOUNTS.len() {
        if random.chance(if account == 0 { 90 } else { 50 }) {
            let other = if crosses { 1 - account } else { account };
            uplinks.push(Uplink {
                to: random.below(domains.len()),
                accounts: [account, other],
                to_all: random.chance(50),
            });
        }
    }
    uplinks
}
