//! Where JWTs of accounts come from that are not at hand.

pub mod folder;
pub mod url;

use crate::log::Logger;
use crate::policy::Policy;
use dialtone_config::Options;
use dialtone_config::operator::{self as config, Folder, Keeps};
use dialtone_identity::jwt;
use dialtone_identity::operator::{Operators, is_account};
use folder::Store;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use url::Address;

/// How long an account that was not to be had is not asked for again.
const MISSING_TIME: Duration = Duration::from_secs(1);
/// Accounts of which that is remembered.
const MISSING_MAX: usize = 1024;

/// Where tokens come from.
#[derive(Debug)]
pub struct Resolver {
    source: Source,
    missing: Mutex<HashMap<String, Instant>>,
}

/// One kind of resolver.
#[derive(Debug)]
pub enum Source {
    /// From the configuration alone.
    Memory,
    /// By HTTP.
    Url(Address),
    /// From a folder; if it does not hold everything, from other servers too.
    Folder {
        /// The folder.
        store: Store,
        /// Whether it holds everything.
        full: bool,
        /// Whether other servers are asked for what it does not hold: a full one may have been away when that was pushed.
        asks: bool,
        /// How long other servers are asked.
        timeout: Duration,
        /// How often it is compared with theirs.
        interval: Option<Duration>,
    },
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] url::FetchError),
    /// The folder cannot be used.
    #[error("cannot use the folder {folder:?} of the resolver: {cause}")]
    Folder {
        /// The folder.
        folder: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

/// Who is asked for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine alone.
    Here,
    /// Others too, which takes as long as they do.
    Anywhere,
}

impl Resolver {
    /// The resolver of a configuration; tokens that are to begin with are put into its folder.
    ///
    /// Errors: the folder or the address cannot be used.
    pub fn new(
        options: &Options,
        operators: Option<&Operators>,
        log: &Logger,
    ) -> Result<Self, ResolverError> {
        let mode = &options.access.operator_mode;
        let address = operators.and_then(Operators::address);
        let source = match (&mode.resolver, address) {
            (Some(config::Resolver::Url(address)), _) => Source::url(address, mode)?,
            (None, Some(address)) => {
                Source::url(&format!("{}/accounts", address.trim_end_matches('/')), mode)?
            }
            (Some(config::Resolver::Folder(folder)), _) => {
                let has_neighbours = options.cluster.as_ref().is_some_and(|cluster| cluster.is_on());
                Source::folder(folder, mode, has_neighbours, log)?
            }
            (Some(config::Resolver::Memory) | None, _) => Source::Memory,
        };
        Ok(Self { source, missing: Mutex::default() })
    }

    /// The kind of resolver that it is.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether it may take long to fetch a token: others have it.
    pub fn asks_others(&self) -> bool {
        matches!(self.source, Source::Url(_) | Source::Folder { asks: true, .. })
    }

    /// The JWT of the account with this key, as it is kept there; it is not verified. `ask` asks other servers for it, for at
    /// most that long.
    pub fn fetch(
        &self,
        policy: &Policy,
        key: &str,
        reach: Reach,
        ask: impl FnOnce(Duration) -> Option<String>,
    ) -> Option<String> {
        if !is_account(key) {
            return None;
        }
        match &self.source {
            Source::Memory => {
                let mut all = policy.options.access.operator_mode.preload.iter();
                all.find(|preload| preload.account == key).map(|preload| preload.jwt.clone())
            }
            Source::Url(address) if reach == Reach::Anywhere => {
                self.unless_missing(key, || address.fetch(key))
            }
            Source::Url(_) => None,
            Source::Folder { store, asks, timeout, .. } => store.load(key).or_else(|| {
                let asks = *asks && reach == Reach::Anywhere;
                let jwt = asks.then(|| self.unless_missing(key, || ask(*timeout)))??;
                let token = jwt::decode(&jwt).ok()?;
                if token.subject.to_string() == key && folder::is_current(&token) {
                    // What cannot be kept is still an answer.
                    let _ = store.save(key, &jwt, &token);
                }
                Some(jwt)
            }),
        }
    }

    /// Asks, unless that was in vain a moment ago.
    fn unless_missing(&self, key: &str, ask: impl FnOnce() -> Option<String>) -> Option<String> {
        let lately = |at: &Instant| at.elapsed() < MISSING_TIME;
        if self.missing.lock().get(key).is_some_and(lately) {
            return None;
        }
        let answer = ask();
        if answer.is_none() {
            let mut missing = self.missing.lock();
            if missing.len() >= MISSING_MAX {
                missing.retain(|_, at| lately(at));
            }
            if missing.len() < MISSING_MAX {
                missing.insert(key.to_owned(), Instant::now());
            }
        }
        answer
    }
}

impl Source {
    fn url(address: &str, mode: &config::OperatorMode) -> Result<Self, ResolverError> {
        let address = Address::new(address, &mode.tls)?;
        address.check()?;
        Ok(Self::Url(address))
    }

    fn folder(
        folder: &Folder,
        mode: &config::OperatorMode,
        has_neighbours: bool,
        log: &Logger,
    ) -> Result<Self, ResolverError> {
        let fail = |cause| ResolverError::Folder { folder: folder.dir.clone(), cause };
        let store = Store::open(folder, log).map_err(fail)?;
        for preload in &mode.preload {
            // What is no token was refused with the configuration.
            let Ok(token) = jwt::decode(&preload.jwt) else { continue };
            let is_newer = store.issued_at(&preload.account).is_none_or(|kept| kept < token.issued_at);
            if token.subject.to_string() == preload.account && is_newer {
                let saved = store.save(&preload.account, &preload.jwt, &token);
                saved.map_err(|error| fail(std::io::Error::other(error)))?;
            }
        }
        let (full, interval) = match folder.keeps {
            Keeps::All { interval, .. } => (true, Some(interval)),
            Keeps::Some { .. } => (false, None),
        };
        // Alone a full folder holds everything there is.
        let asks = !full || has_neighbours;
        Ok(Self::Folder { store, full, asks, timeout: folder.timeout, interval })
    }
}
