//! The parts of one server, put together.
//!
//! Functions take the part that they need; those that need several, or are handed to a thread, take the node.

use crate::accounts::Accounts;
use crate::cluster::Cluster;
use crate::connections::Connections;
use crate::delivery::Delivery;
use crate::hubs::Hubs;
use crate::internal::{self, Internal};
use crate::log::Logger;
use crate::monitoring::Monitoring;
use crate::policy::{Identity, Policy};
use crate::resolver::Resolver;
use crate::settings::Settings;
use crate::streams::Streams;
use crate::supercluster::Supercluster;
use crate::verifier::Verifier;
use dialtone_broker::account::Account;
use dialtone_net::Threads;
use std::sync::Arc;

/// What the thread of a domain works at.
pub type Executor = internal::Executor<Node>;
/// What publishes from inside.
pub type Publisher = internal::Publisher<Node>;
/// Who looks at the messages of a subscription from inside.
pub type Listener = internal::Listener<Node>;
/// What answers questions to a subject.
pub type QuestionHandler = internal::QuestionHandler<Node>;

/// One server. Each part guards itself; nothing of one is held while another is asked.
pub struct Node {
    /// What it is called and what it goes by.
    pub settings: Settings,
    /// Its accounts.
    pub accounts: Accounts,
    /// Its connections.
    pub connections: Connections,
    /// Its part in a cluster.
    pub(crate) cluster: Arc<Cluster>,
    /// The hubs that it is a leaf node of.
    pub(crate) hubs: Arc<Hubs>,
    /// Its cluster's part among others.
    pub(crate) supercluster: Arc<Supercluster>,
    /// What all turns deliver by.
    pub delivery: Delivery,
    /// What is kept for those who watch it.
    pub monitoring: Monitoring,
    /// The client inside the server.
    pub internal: Internal<Self>,
    /// Checks that take long.
    pub verifier: Verifier<Self>,
    /// Where accounts' JWTs come from.
    pub resolver: Resolver,
    /// Its streams.
    pub(crate) streams: Streams,
    /// Where it is logged.
    pub log: Logger,
    /// What it runs on.
    pub(crate) threads: Threads,
}

impl Node {
    /// What the cluster is called at present; `None`: this server is in none.
    pub(crate) fn cluster_name(&self) -> Option<String> {
        self.cluster.name().or_else(|| self.settings.policy().cluster_name.clone())
    }

    /// A server before it listens.
    pub fn new(
        identity: Identity,
        policy: Policy,
        log: Logger,
        threads: Threads,
        resolver: Resolver,
    ) -> Arc<Self> {
        let delivery = Delivery::new(&identity, &policy.options);
        let node = Self {
            internal: Internal::new(delivery.totals.clone(), delivery.gate.clone()),
            settings: Settings::new(identity, policy),
            accounts: Accounts::default(),
            connections: Connections::default(),
            cluster: Arc::default(),
            hubs: Arc::default(),
            supercluster: Arc::default(),
            delivery,
            monitoring: Monitoring::default(),
            verifier: Verifier::default(),
            resolver,
            streams: Streams::default(),
            log,
            threads,
        };
        node.have_accounts(&node.settings.policy());
        Arc::new(node)
    }

    /// What decides who may be here: changes with the policy and with the JWT of any account. Whoever applies a decision
    /// compares it with that from before, and decides again if it is another.
    pub fn version(&self) -> (u32, u64) {
        (self.settings.generation(), self.accounts.jwts.version())
    }

    /// Puts another policy in force.
    pub fn set_policy(&self, policy: Policy) {
        self.settings.replace(policy, |policy| self.have_accounts(policy));
    }

    /// Makes the accounts of the policy, and lets go of others.
    fn have_accounts(&self, policy: &Policy) {
        for gone in self.accounts.follow(policy, &self.connections, &self.delivery.gate) {
            self.internal.forget(&self.connections.registry, &gone);
        }
        for account in self.accounts.all() {
            self.announce_shared(&account);
        }
    }

    /// Has leaf nodes told of what an account asks of others as services, and maps: what they publish there has to come here.
    pub(crate) fn announce_shared(&self, account: &Arc<Account>) {
        if self.delivery.gate.counts_relays() {
            let filters = account.sharing().filters();
            self.delivery.gate.set_account_filters(account, &filters);
        }
    }
}
