//! Operator mode: whose signatures are trusted, which accounts may connect, and which users were verified lately.

pub use crate::grant::Claimed;
use crate::jwt::claims::Limit;
use crate::jwt::trust::{Presented, Trust, TrustError, admit, comes_rightly, permissions};
use crate::jwt::{self, Body, DecodedJwt};
use crate::nkey::{Kind, Public};
use crate::permission::guarded;
use dialtone_config::operator::{OperatorMode, Resolver};
use dialtone_config::{ConfigError, Options, Secret};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The version that an operator may ask for at most: the official server's that this one stands in for.
pub const VERSION: [u32; 3] = [2, 15, 0];
/// Bytes of users' tokens that are remembered as verified.
const RECENT_BYTES_MAX: usize = 8 << 20;
/// About what a remembered token takes beside its text.
const RECENT_ENTRY_BYTES: usize = 1024;

/// A user's token, read, and its text; all who present the same one share it.
#[derive(Clone)]
pub struct UserJwt {
    /// What it says.
    pub token: Arc<DecodedJwt>,
    /// As it was presented. A bearer token is a secret.
    pub jwt: Arc<str>,
}

impl std::fmt::Debug for UserJwt {
    /// Without the text, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserJwt").field("subject", &self.token.subject).finish_non_exhaustive()
    }
}

/// The operators of the configuration. Immutable but for what it remembers.
#[derive(Default)]
pub struct Operators {
    trust: Trust,
    tokens: Vec<DecodedJwt>,
    pinned: HashSet<String>,
    system_account: Option<String>,
    sentinel: Option<Secret>,
    recent: Mutex<Recent>,
}

impl std::fmt::Debug for Operators {
    /// Without tokens: the sentinel is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operators").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Operators {
    /// Reads the tokens of the configuration. `now` is in seconds since 1970. `None`: there is no operator mode.
    ///
    /// # Errors
    ///
    /// What cannot be meant, with its place.
    pub fn new(options: &Options, now: i64) -> Result<Option<Self>, Vec<ConfigError>> {
        let mode = &options.access.operator_mode;
        if !mode.is_on() {
            return Ok(None);
        }
        let mut errors = Vec::new();
        let mut tokens = Vec::new();
        for operator in &mode.operators {
            match operator_token(&operator.jwt, now) {
                Ok(token) => tokens.push(token),
                Err(problem) => errors.push(ConfigError::new(&operator.at, problem)),
            }
        }
        let first = mode.operators.first().map(|operator| operator.at.clone()).unwrap_or_default();
        let keys: Vec<Public> = mode.trusted_keys.iter().filter_map(|key| Public::parse(key).ok()).collect();
        let trust = Trust::new(&tokens, &keys).unwrap_or_else(|error| {
            errors.push(ConfigError::new(&first, format!("error parsing operator JWT: {error}")));
            Trust::default()
        });
        let system_account = system_account(options, &tokens).unwrap_or_else(|problem| {
            errors.push(ConfigError::new(&first, problem));
            None
        });
        if mode.resolver.is_none() && address(&tokens).is_none() && errors.is_empty() {
            let problem = "operators require an account resolver to be configured";
            errors.push(ConfigError::new(&first, problem));
        }
        if let (None, Some(Resolver::Folder(folder)), true) =
            (&system_account, &mode.resolver, errors.is_empty())
        {
            let problem = "Could not start resolver: system account not setup";
            let help = "resolvers of type `full` and `cache` are asked and filled through the system account: name it by \
                        `system_account`";
            errors.push(ConfigError::new(&folder.at, problem).help(help));
        }
        for preload in &mode.preload {
            if let Err(error) = jwt::decode(&preload.jwt) {
                errors.push(ConfigError::new(&preload.at, "invalid account JWT").help(error.to_string()));
            }
        }
        if let Some(Err(problem)) = mode.default_sentinel.as_ref().map(|jwt| check_sentinel(jwt.expose())) {
            errors.push(ConfigError::new(&first, problem));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let pinned = pinned(mode, system_account.as_deref());
        let sentinel = mode.default_sentinel.clone();
        Ok(Some(Self { trust, tokens, pinned, system_account, sentinel, recent: Mutex::default() }))
    }

    /// The operators' tokens.
    pub fn tokens(&self) -> &[DecodedJwt] {
        &self.tokens
    }

    /// The account for system events, by public key.
    pub fn system_account(&self) -> Option<&str> {
        self.system_account.as_deref()
    }

    /// Where the operator publishes its accounts' tokens, if it says so.
    pub fn address(&self) -> Option<&str> {
        address(&self.tokens)
    }

    /// Whether this key signs for an operator.
    pub fn is_operator(&self, key: &Public) -> bool {
        self.trust.is_operator(key)
    }

    /// Whether users of this account may come at all.
    pub fn may_come(&self, account: &str) -> bool {
        self.pinned.is_empty() || self.pinned.contains(account)
    }

    /// Believes an account's token: [`Trust::account`].
    pub fn account(&self, jwt: &str, key: &str, now: i64) -> Result<DecodedJwt, TrustError> {
        self.trust.account(jwt, key, now)
    }

    /// The token that a connection presents, with its text. What is no user's token is taken for none, so that an
    /// authorization service can be asked about it: in its place stands the sentinel, if there is one.
    pub fn presented(&self, jwt: &str) -> Result<UserJwt, TrustError> {
        match (self.user(jwt), &self.sentinel) {
            (Err(_), Some(sentinel)) => self.user(sentinel.expose()),
            (found, _) => found,
        }
    }

    /// Reads a user's token and verifies its signature, or remembers that it did so.
    pub fn user(&self, jwt: &str) -> Result<UserJwt, TrustError> {
        let key: [u8; 32] = Sha256::digest(jwt.as_bytes()).into();
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = recent().find(&key) {
            return Ok(user);
        }
        let token = Arc::new(jwt::decode(jwt)?);
        if !matches!(token.body, Body::User(_)) {
            return Err(TrustError::Kind("a user"));
        }
        let user = UserJwt { token, jwt: jwt.into() };
        recent().insert(key, user.clone());
        Ok(user)
    }

    /// Believes that a connection is the user of a token, which [`Operators::user`] read, in an account, which
    /// [`Operators::account`] believed.
    pub fn admit(
        &self,
        UserJwt { token, jwt }: &UserJwt,
        account: &DecodedJwt,
        presented: &Presented<'_>,
    ) -> Result<Claimed, TrustError> {
        if token.issuer == account.subject && self.trust.is_strict(account) {
            return Err(TrustError::Issuer);
        }
        let admitted = admit(token, account, presented)?;
        if !self.may_come(&admitted.account) {
            return Err(TrustError::Pinned);
        }
        let mut permissions = admitted.permissions;
        if let Body::Account(body) = &account.body
            && !body.authorization.auth_users.is_empty()
        {
            // It has an authorization service, and nobody but the server asks that.
            permissions = Some(guarded(permissions.as_deref()));
        }
        Ok(Claimed {
            token: token.clone(),
            jwt: jwt.clone(),
            account: admitted.account.into(),
            account_name: account.name.clone(),
            name: admitted.name,
            subscriptions_max: limit(admitted.limits.subs),
            payload_bytes_max: limit(admitted.limits.payload),
            permissions,
            bearer: admitted.limits.bearer_token,
            until: admitted.until,
            account_until: admitted.account_until,
        })
    }
}

fn limit(limit: Limit) -> Option<u64> {
    match limit {
        Limit::Unlimited => None,
        Limit::AtMost(max) => Some(max),
    }
}

/// Believes that a connection is a user that an authorization service of the configuration vouches for. Whose it is
/// the caller knows.
pub(crate) fn configured(user: &Arc<DecodedJwt>, presented: &Presented<'_>) -> Result<Claimed, TrustError> {
    let Body::User(claims) = &user.body else { return Err(TrustError::Kind("a user")) };
    user.check_time(presented.now)?;
    if !claims.issuer_account.is_empty() {
        return Err(TrustError::Issuer);
    }
    let stays = comes_rightly(&claims.limits, presented)?;
    Ok(Claimed {
        token: user.clone(),
        jwt: "".into(),
        account: "".into(),
        account_name: String::new(),
        name: user.name.clone(),
        subscriptions_max: limit(claims.limits.subs),
        payload_bytes_max: limit(claims.limits.payload),
        permissions: permissions(&claims.limits.permissions)?.map(Arc::new),
        bearer: claims.limits.bearer_token,
        until: [user.expires, stays].into_iter().flatten().min(),
        account_until: None,
    })
}

/// Reads the token of an operator that the configuration names.
fn operator_token(jwt: &str, now: i64) -> Result<DecodedJwt, String> {
    let token = jwt::decode(jwt).map_err(|error| format!("error parsing operator JWT: {error}"))?;
    let Body::Operator(operator) = &token.body else {
        return Err("error parsing operator JWT: not operator claim".into());
    };
    let key = token.subject;
    if token.check_time(now).is_err() {
        return Err(format!(
            "operator {key} is not valid at this time: its JWT has expired, or is for later"
        ));
    }
    check_version(&operator.assert_server_version).map_err(|problem| format!("operator {key} {problem}"))?;
    Ok(token)
}

/// Whether a server of [`VERSION`] will do for an operator that asks for this one. `""`: any will.
fn check_version(asserted: &str) -> Result<(), String> {
    if asserted.is_empty() {
        return Ok(());
    }
    let parts: Option<Vec<u32>> = asserted.split('.').map(|part| part.parse().ok()).collect();
    let Some([major, minor, update]) = parts.and_then(|parts| <[u32; 3]>::try_from(parts).ok()) else {
        return Err(format!(
            "expects version {asserted} got error instead: asserted server version must be of the form \
             <major>.<minor>.<update>"
        ));
    };
    for (name, asked, ours) in
        [("major", major, VERSION[0]), ("minor", minor, VERSION[1]), ("update", update, VERSION[2])]
    {
        if asked > ours {
            return Err(format!("expected {name} version {asked} > server {name} version {ours}"));
        }
        if asked < ours {
            break;
        }
    }
    Ok(())
}

/// The account for system events: the configuration's, or the only operator's.
fn system_account(options: &Options, tokens: &[DecodedJwt]) -> Result<Option<String>, String> {
    let named: Vec<&str> = tokens
        .iter()
        .filter_map(|token| match &token.body {
            Body::Operator(operator) => Some(operator.system_account.as_str()),
            _ => None,
        })
        .filter(|name| !name.is_empty())
        .collect();
    match &options.access.system_account {
        Some(name) if named.iter().any(|other| other != name) => {
            Err("system_account in config and operator JWT must be identical".into())
        }
        Some(name) if !is_account(name) => {
            Err(format!("system_account {name:?} is not a valid public account nkey"))
        }
        Some(name) => Ok(Some(name.clone())),
        None => match named.as_slice() {
            [name] if tokens.len() == 1 && !is_account(name) => {
                Err(format!("system_account {name:?} of the operator is not a valid public account nkey"))
            }
            [name] if tokens.len() == 1 => Ok(Some((*name).to_owned())),
            _ => Ok(None),
        },
    }
}

/// Whether this is the public key of an account. Nothing else ever names a file or a subject (CVE-2022-28357).
pub fn is_account(key: &str) -> bool {
    Public::parse(key).is_ok_and(|key| key.kind == Kind::Account)
}

/// The only operator's address.
fn address(tokens: &[DecodedJwt]) -> Option<&str> {
    match tokens {
        [DecodedJwt { body: Body::Operator(operator), .. }] => {
            Some(operator.account_server_url.as_str()).filter(|address| !address.is_empty())
        }
        _ => None,
    }
}

fn check_sentinel(jwt: &str) -> Result<(), String> {
    let token = jwt::decode(jwt).map_err(|_| "default sentinel JWT not valid")?;
    match &token.body {
        Body::User(user) if user.limits.bearer_token => Ok(()),
        Body::User(_) => Err("default sentinel must be a bearer token".into()),
        _ => Err("default sentinel JWT not valid".into()),
    }
}

fn pinned(mode: &OperatorMode, system_account: Option<&str>) -> HashSet<String> {
    if mode.pinned.is_empty() {
        return HashSet::new();
    }
    mode.pinned.iter().map(String::as_str).chain(system_account).map(str::to_owned).collect()
}

/// Tokens that were verified lately, by the hash of their text: two generations, so that what is used stays.
#[derive(Default)]
struct Recent {
    young: HashMap<[u8; 32], UserJwt>,
    old: HashMap<[u8; 32], UserJwt>,
    young_bytes: usize,
}

impl Recent {
    fn find(&mut self, key: &[u8; 32]) -> Option<UserJwt> {
        if let Some(user) = self.young.get(key) {
            return Some(user.clone());
        }
        let user = self.old.remove(key)?;
        self.insert(*key, user.clone());
        Some(user)
    }

    fn insert(&mut self, key: [u8; 32], user: UserJwt) {
        if self.young_bytes > RECENT_BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += user.jwt.len() + RECENT_ENTRY_BYTES;
        self.young.insert(key, user);
    }
}

#[cfg(test)]
mod tests;
