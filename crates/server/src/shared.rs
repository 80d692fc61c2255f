//! What all threads of a server share.

use crate::connection_failures::ConnectionFailures;
use crate::internal::Internal;
use crate::log::{Event, Logger};
use crate::policy::{Identity, Policy};
use crate::process::Load;
use crate::rates::Rates;
use crate::registry::Registry;
use crate::system;
use crate::tls::PeerCache;
use crate::trust::AccountJwts;
use crate::trust::resolver::Resolver;
use crate::usage::Usage;
use crate::verifier::Verifier;
use dialtone_broker::account::{Account, AccountId, GLOBAL, SYSTEM};
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::sharing::service_requests::ServiceRequests;
use dialtone_broker::stats::Totals;
use dialtone_broker::trace::SamplingRule;
use dialtone_config::options::{AccountLimits, MsgTrace};
use dialtone_config::{ConfigErrors, Options};
use dialtone_identity::jwt::sharing::Claims;
use dialtone_net::Threads;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

/// What reads the options again for a reload.
pub(crate) type Reader = Box<dyn Fn() -> Result<Options, ConfigErrors> + Send + Sync>;

/// One server's state. Each part guards itself; nothing here is held while another part is asked.
pub struct Shared {
    /// What the server is called.
    pub identity: Identity,
    policy: RwLock<Arc<Policy>>,
    generation: AtomicU32,
    accounts: Mutex<BTreeMap<Box<str>, Arc<Account>>>,
    /// The account of those who are in no other.
    pub global: Arc<Account>,
    /// The account for system events, if there is one.
    system: OnceLock<Arc<Account>>,
    /// Who is connected.
    pub registry: Registry,
    /// What the server received and sent.
    pub totals: Arc<Totals>,
    /// Where interest changes.
    pub gate: Arc<Gate>,
    /// What went wrong.
    pub failures: ConnectionFailures,
    /// How busy the process is.
    pub(crate) load: Load,
    /// Where it is logged.
    pub log: Logger,
    /// What it runs on.
    pub(crate) threads: Threads,
    /// Rate limits, and how much of each is used.
    pub(crate) rates: Rates,
    /// What accounts and users used since it was last told.
    pub(crate) usage: Usage,
    /// Checks that take long.
    pub verifier: Verifier,
    /// What responders said of clients' certificates.
    pub(crate) peer_cache: PeerCache,
    /// What the turns of all loops share.
    pub service_requests: Arc<ServiceRequests>,
    /// Accounts that are known by their tokens.
    pub account_jwts: AccountJwts,
    /// Where their tokens come from.
    pub resolver: Resolver,
    /// Held while a reload is carried out.
    pub(crate) reloading: Mutex<()>,
    /// Reads the options again, if there is a way.
    pub(crate) reader: OnceLock<Reader>,
    /// Called when the server has ended.
    pub(crate) at_end: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// The client inside the server.
    pub internal: Internal,
    /// Messages so far in which the server spoke of itself.
    pub(crate) told: AtomicU64,
    /// When the server started.
    pub start: SystemTime,
    /// The same, to measure by.
    pub start_instant: Instant,
    config_loaded: Mutex<SystemTime>,
    requests: Mutex<BTreeMap<&'static str, u64>>,
    monitor_ports: Mutex<(u16, u16)>,
    /// Connections by WebSocket that are no clients yet.
    pub(crate) upgrading: AtomicUsize,
    /// The server lets its clients go.
    pub lame_duck: AtomicBool,
    next_client: AtomicU64,
    next_account: AtomicU32,
}

impl Shared {
    /// A server's state before it listens.
    pub fn new(
        identity: Identity,
        policy: Policy,
        log: Logger,
        threads: Threads,
        resolver: Resolver,
    ) -> Arc<Self> {
        let global = Account::new(AccountId(0), GLOBAL);
        let (totals, gate): (Arc<Totals>, Arc<Gate>) = Default::default();
        let service_requests = ServiceRequests::new(&identity.name);
        let shared = Arc::new(Self {
            service_requests,
            identity,
            policy: RwLock::new(Arc::new(policy)),
            generation: AtomicU32::new(0),
            accounts: Mutex::new(BTreeMap::from([(GLOBAL.into(), global.clone())])),
            global,
            system: OnceLock::new(),
            registry: Registry::default(),
            totals: totals.clone(),
            gate: gate.clone(),
            failures: ConnectionFailures::default(),
            load: Load::default(),
            log,
            threads,
            rates: Rates::default(),
            usage: Usage::default(),
            verifier: Verifier::default(),
            peer_cache: PeerCache::default(),
            account_jwts: AccountJwts::default(),
            resolver,
            reloading: Mutex::default(),
            reader: OnceLock::new(),
            at_end: OnceLock::new(),
            internal: Internal::new(totals, gate.clone()),
            told: AtomicU64::new(0),
            start: SystemTime::now(),
            start_instant: Instant::now(),
            config_loaded: Mutex::new(SystemTime::now()),
            requests: Mutex::default(),
            monitor_ports: Mutex::default(),
            upgrading: AtomicUsize::new(0),
            lame_duck: AtomicBool::new(false),
            // The first four numbers are those of the official server's own connections.
            next_client: AtomicU64::new(5),
            next_account: AtomicU32::new(1),
        });
        shared.make_accounts();
        shared
    }

    /// What the configuration means now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().clone()
    }

    /// Changes whenever [`Shared::policy`] does.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// What decides who may be here: changes with the policy and with the JWT of any account. Whoever applies a decision
    /// compares it with that from before, and decides again if it is another.
    pub fn version(&self) -> (u32, u64) {
        (self.generation(), self.account_jwts.version())
    }

    /// Puts another policy in force.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.write() = Arc::new(policy);
        *self.config_loaded.lock() = SystemTime::now();
        self.make_accounts();
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// When the configuration was read.
    pub fn config_loaded(&self) -> SystemTime {
        *self.config_loaded.lock()
    }

    /// Counts a request to the monitoring port.
    pub fn count_request(&self, path: &'static str) {
        *self.requests.lock().entry(path).or_default() += 1;
    }

    /// Requests to the monitoring port, by path.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.requests.lock().clone()
    }

    /// Says where monitoring listens.
    pub fn monitor_at(&self, port: u16, encrypted: bool) {
        let mut ports = self.monitor_ports.lock();
        *(if encrypted { &mut ports.1 } else { &mut ports.0 }) = port;
    }

    /// The ports of monitoring, plain and encrypted; 0: none.
    pub fn monitor_ports(&self) -> (u16, u16) {
        *self.monitor_ports.lock()
    }

    /// The account with this name.
    pub fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.lock().get(name).cloned()
    }

    /// All accounts, by name.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.lock().values().cloned().collect()
    }

    /// Finds the account for system events. Once: another one needs a restart.
    pub(crate) fn find_system(&self) {
        if let Some(system) = self.system_account().and_then(|name| self.account(&name)) {
            system.set_system();
            let _ = self.system.set(system);
        }
    }

    /// The account for system events.
    pub fn system(&self) -> Option<Arc<Account>> {
        self.system.get().cloned()
    }

    /// Whether there is an account for system events.
    pub fn has_system(&self) -> bool {
        self.system.get().is_some()
    }

    /// The name of the account for system events.
    pub fn system_account(&self) -> Option<String> {
        let policy = self.policy();
        if let Some(operators) = policy.authenticator.operators() {
            return operators.system_account().map(str::to_owned);
        }
        let named = policy.options.system_account.clone().unwrap_or_else(|| SYSTEM.to_owned());
        (!policy.options.no_system_account).then_some(named)
    }

    /// The account with this name, made if there is none.
    pub(crate) fn make_account(&self, name: &str) -> Arc<Account> {
        let mut is_new = false;
        let make = || {
            is_new = true;
            self.new_account(name)
        };
        let account = self.accounts.lock().entry(name.into()).or_insert_with(make).clone();
        if is_new {
            system::equip(self, &account);
        }
        account
    }

    fn new_account(&self, name: &str) -> Arc<Account> {
        if self.system_account().is_none_or(|system| system != name) {
            // The official server gives a number to its own end in each account; so clients get the same ones here.
            self.next_client();
        }
        Account::new(AccountId(self.next_account.fetch_add(1, Ordering::Relaxed)), name)
    }

    /// The limits of an account: its token's, or the configuration's.
    pub fn account_limits(&self, name: &str) -> AccountLimits {
        match self.account_jwts.find(name) {
            Some(verified) => verified.claims.limits,
            None => self.policy().account_limits(name),
        }
    }

    /// Lets an account share what its token says.
    pub(crate) fn share(&self, account: &Arc<Account>, claims: &Claims) {
        account.set_exports(&claims.exports);
        account.set_trace_rule(claims.msg_trace.as_ref().map(trace_rule));
        let bad = account.set_mappings(&claims.mappings).into_iter().map(|error| error.to_string());
        let imports = account.set_imports(&claims.imports, &|name| self.account(name));
        for why in bad.chain(imports.into_iter().map(|(_, error)| error.to_string())) {
            let text = format_args!("Account {}: {why}", account.name);
            self.log.emit(Event::AccountFault, "", text);
        }
    }

    /// Makes the accounts of the policy, and lets them share what they agreed on.
    fn make_accounts(&self) {
        let policy = self.policy();
        let system = self.system_account();
        let mut new = Vec::new();
        let configured = &policy.options.accounts;
        self.drop_accounts(&policy, system.as_deref());
        let accounts = {
            let mut accounts = self.accounts.lock();
            for name in configured.iter().map(|a| a.name.as_str()).chain(system.as_deref()) {
                accounts.entry(name.into()).or_insert_with(|| {
                    let account = self.new_account(name);
                    new.push(account.clone());
                    account
                });
            }
            accounts.clone()
        };
        let find = |name: &str| accounts.get(name).cloned();
        let all = || configured.iter().filter_map(|claims| Some((find(&claims.name)?, claims)));
        // Exports come first: imports are bound to them.
        for (account, claims) in all() {
            account.set_exports(&claims.exports);
            account.set_trace_rule(claims.msg_trace.as_ref().map(trace_rule));
            // What can not be compiled was refused with the configuration.
            account.set_mappings(&claims.mappings);
        }
        self.global.set_mappings(&policy.options.mappings);
        for (account, claims) in all() {
            account.set_imports(&claims.imports, &find);
        }
        // Before the start there is no system account yet; it equips those that are there.
        new.iter().for_each(|account| system::equip(self, account));
    }

    /// Lets go of accounts that are configured no longer; who is still in one is closed by the reload. Accounts that
    /// are known by their tokens stay.
    fn drop_accounts(&self, policy: &Policy, system: Option<&str>) {
        if policy.authenticator.operators().is_some() {
            return;
        }
        let configured = policy.options.accounts.iter().map(|account| account.name.as_str());
        let stay: HashSet<&str> = configured.chain(system).chain([GLOBAL]).collect();
        let gone: Vec<Arc<Account>> = {
            let mut accounts = self.accounts.lock();
            let names = accounts.keys().filter(|name| !stay.contains(&***name)).cloned();
            let names: Vec<Box<str>> = names.collect();
            names.iter().filter_map(|name| accounts.remove(name)).collect()
        };
        for account in gone {
            account.set_imports(&[], &|_| None);
            account.set_mappings(&[]);
            account.set_exports(&[]);
            account.set_granted_services(Vec::new());
            self.internal.forget(&self.registry, &account);
        }
    }

    /// A number for a new connection.
    pub fn next_client(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }
}

/// What an account has traced whose headers do not say where to.
fn trace_rule(claims: &MsgTrace) -> SamplingRule {
    SamplingRule { destination: claims.destination.clone(), percent: claims.sampling }
}
