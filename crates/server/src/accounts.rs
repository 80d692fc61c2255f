//! The accounts of a server, by name: made with the configuration or with their JWTs, and what they share.

use crate::account_jwts::AccountJwts;
use crate::connections::Connections;
use crate::policy::Policy;
use dialtone_broker::account::{Account, AccountId, GLOBAL};
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::trace::SamplingRule;
use dialtone_config::options::{AccountLimits, MsgTrace};
use dialtone_identity::jwt::sharing::Claims;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// Gives an account the services of the system account, which comes second; the last is whether the account has JetStream.
pub(crate) type Grant = Box<dyn Fn(&Account, &Arc<Account>, bool) + Send + Sync>;

/// Whether each account of the configuration has JetStream, by name.
fn configured_jetstream(policy: &Policy) -> HashMap<&str, bool> {
    policy
        .options
        .access
        .accounts
        .iter()
        .map(|claims| (claims.name.as_str(), claims.jetstream.is_some()))
        .collect()
}

/// All accounts of a server.
pub struct Accounts {
    by_name: Mutex<BTreeMap<Box<str>, Arc<Account>>>,
    /// The account of those who are in no other.
    pub global: Arc<Account>,
    /// Accounts that are known by their JWTs.
    pub jwts: AccountJwts,
    /// The account for system events, if there is one, and what every account has of it.
    system: OnceLock<(Arc<Account>, Grant)>,
    next_number: AtomicU32,
    /// What the cluster is called: mappings may go by it.
    cluster: Mutex<Option<String>>,
}

impl Default for Accounts {
    fn default() -> Self {
        let global = Account::new(AccountId(0), GLOBAL);
        Self {
            by_name: Mutex::new(BTreeMap::from([(GLOBAL.into(), global.clone())])),
            global,
            jwts: AccountJwts::default(),
            system: OnceLock::new(),
            next_number: AtomicU32::new(1),
            cluster: Mutex::default(),
        }
    }
}

impl Accounts {
    /// The account with this name.
    pub fn find(&self, name: &str) -> Option<Arc<Account>> {
        self.by_name.lock().get(name).cloned()
    }

    /// All accounts, by name.
    pub fn all(&self) -> Vec<Arc<Account>> {
        self.by_name.lock().values().cloned().collect()
    }

    /// Finds the account for system events, and gives every account what it has of it. Once: another one needs a restart.
    pub(crate) fn begin_system(&self, policy: &Policy, grant: Grant) -> Option<Arc<Account>> {
        let system = policy.system_account().and_then(|name| self.find(name))?;
        system.set_system();
        let (system, grant) = self.system.get_or_init(|| (system, grant));
        let configured = configured_jetstream(policy);
        let has_jetstream = |account: &Account| self.has_jetstream(account, &configured);
        self.all().iter().for_each(|account| grant(account, system, has_jetstream(account)));
        Some(system.clone())
    }

    /// The account for system events.
    pub fn system(&self) -> Option<Arc<Account>> {
        self.system.get().map(|(system, _)| system.clone())
    }

    /// Whether there is an account for system events.
    pub fn has_system(&self) -> bool {
        self.system.get().is_some()
    }

    /// Before the start there is no system account yet; [`Accounts::begin_system`] looks after those that are there.
    fn grant(&self, account: &Account, has_jetstream: bool) {
        if let Some((system, grant)) = self.system.get() {
            grant(account, system, has_jetstream);
        }
    }

    /// Whether an account has JetStream: as its JWT says, or the configuration.
    fn has_jetstream(&self, account: &Account, configured: &HashMap<&str, bool>) -> bool {
        match self.jwts.find(&account.name) {
            Some(verified) => verified.claims.jetstream,
            None => configured.get(&*account.name).copied().unwrap_or_default(),
        }
    }

    /// The account with this name, which is made if it does not exist.
    pub(crate) fn make(&self, name: &str, policy: &Policy, connections: &Connections) -> Arc<Account> {
        let mut is_new = false;
        let make = || {
            is_new = true;
            self.new_account(name, policy, connections)
        };
        let account = self.by_name.lock().entry(name.into()).or_insert_with(make).clone();
        if is_new {
            self.grant(&account, self.has_jetstream(&account, &configured_jetstream(policy)));
        }
        account
    }

    fn new_account(&self, name: &str, policy: &Policy, connections: &Connections) -> Arc<Account> {
        if policy.system_account().is_none_or(|system| system != name) {
            // The official server gives a number to its own end in each account; so clients get the same ones here.
            connections.next_number();
        }
        Account::new(AccountId(self.next_number.fetch_add(1, Ordering::Relaxed)), name)
    }

    /// The name of an account, for people: its JWT's, or its own.
    pub fn name_of(&self, account: &str) -> String {
        match self.jwts.find(account) {
            Some(verified) if !verified.token.name.is_empty() => verified.token.name.clone(),
            _ => account.to_owned(),
        }
    }

    /// The limits of an account: its JWT's, or the configuration's.
    pub fn limits(&self, name: &str, policy: &Policy) -> AccountLimits {
        match self.jwts.find(name) {
            Some(verified) => verified.claims.limits,
            None => policy.account_limits(name),
        }
    }

    /// Lets an account share what its JWT says. What of it cannot be.
    pub(crate) fn share(&self, account: &Arc<Account>, claims: &Claims, gate: &Gate) -> Vec<String> {
        account.set_exports(&claims.exports);
        account.set_trace_rule(claims.msg_trace.as_ref().map(trace_rule));
        let errors = account.set_mappings(&claims.mappings, self.cluster.lock().as_deref());
        let mappings = errors.into_iter().map(|error| error.to_string());
        let imports = gate.change_imports(account, || {
            self.grant(account, claims.jetstream);
            account.set_imports(&claims.imports, &|name| self.find(name))
        });
        mappings.chain(imports.into_iter().map(|(_, error)| error.to_string())).collect()
    }

    /// Makes the accounts of the policy, and lets them share what they agreed on. Those that are gone; whoever is still in
    /// one is closed by the reload.
    pub(crate) fn follow(
        &self,
        policy: &Policy,
        connections: &Connections,
        gate: &Gate,
    ) -> Vec<Arc<Account>> {
        let configured = &policy.options.access.accounts;
        let system = policy.system_account();
        let gone = self.remove_unconfigured(policy, gate);
        let accounts = {
            let mut accounts = self.by_name.lock();
            for name in configured.iter().map(|a| a.name.as_str()).chain(system) {
                accounts.entry(name.into()).or_insert_with(|| self.new_account(name, policy, connections));
            }
            accounts.clone()
        };
        let find = |name: &str| accounts.get(name).cloned();
        let cluster = self.cluster_name(policy);
        let all = || configured.iter().filter_map(|claims| Some((find(&claims.name)?, claims)));
        // Exports come first: imports are bound to them.
        for (account, claims) in all() {
            account.set_exports(&claims.exports);
            account.set_trace_rule(claims.msg_trace.as_ref().map(trace_rule));
            // What can not be compiled was refused with the configuration.
            account.set_mappings(&claims.mappings, cluster.as_deref());
        }
        self.global.set_mappings(&policy.options.access.mappings, cluster.as_deref());
        for (account, claims) in all() {
            gate.change_imports(&account, || {
                self.grant(&account, claims.jetstream.is_some());
                account.set_imports(&claims.imports, &find)
            });
        }
        let configured = configured_jetstream(policy);
        for account in accounts.values().filter(|account| !configured.contains_key(&*account.name)) {
            self.grant(account, self.has_jetstream(account, &configured));
        }
        gone
    }

    /// What the cluster is called: as the configuration says, until it is found out.
    fn cluster_name(&self, policy: &Policy) -> Option<String> {
        let mut name = self.cluster.lock();
        if name.is_none() {
            name.clone_from(&policy.cluster_name);
        }
        name.clone()
    }

    /// The cluster is called so from here on, and mappings go by it. No reload is under way.
    pub(crate) fn set_cluster_name(&self, name: &str, policy: &Policy) {
        *self.cluster.lock() = Some(name.to_owned());
        let options = &policy.options;
        for account in self.all() {
            let verified = self.jwts.find(&account.name);
            let configured = options.access.accounts.iter().find(|claims| *claims.name == *account.name);
            let mappings = match (&verified, configured) {
                (Some(verified), _) => &verified.claims.mappings,
                (None, Some(claims)) => &claims.mappings,
                (None, None) if Arc::ptr_eq(&account, &self.global) => &options.access.mappings,
                (None, None) => continue,
            };
            account.set_mappings(mappings, Some(name));
        }
    }

    /// Takes out accounts that are configured no longer. Accounts that are known by their JWTs stay.
    fn remove_unconfigured(&self, policy: &Policy, gate: &Gate) -> Vec<Arc<Account>> {
        if policy.authenticator.operators().is_some() {
            return Vec::new();
        }
        let configured = policy.options.access.accounts.iter().map(|account| account.name.as_str());
        let stay: HashSet<&str> = configured.chain(policy.system_account()).chain([GLOBAL]).collect();
        let gone: Vec<Arc<Account>> = {
            let mut accounts = self.by_name.lock();
            let names = accounts.keys().filter(|name| !stay.contains(&***name)).cloned();
            let names: Vec<Box<str>> = names.collect();
            names.iter().filter_map(|name| accounts.remove(name)).collect()
        };
        for account in &gone {
            gate.change_imports(account, || account.set_imports(&[], &|_| None));
            account.set_mappings(&[], None);
            account.set_exports(&[]);
            account.set_granted_services(Vec::new());
        }
        gone
    }
}

/// What an account has traced whose headers do not say where to.
fn trace_rule(claims: &MsgTrace) -> SamplingRule {
    SamplingRule { destination: claims.destination.clone(), percent: claims.sampling }
}
