//! The chain of trust: operators are configured, they sign accounts, accounts sign users and activations.
//!
//! [`Trust::account`] believes an account's token, [`admit`] a user's, [`activation`] that something may be imported.

use super::account::{Account, Import, is_revoked};
use super::claims::{Permissions as Claimed, UserLimits};
use super::template::{self, TemplateError};
use super::time_of_day::seconds_of_day;
use super::validate::{Severity, ValidationContext, validate};
use super::{Body, DecodedJwt, JwtError, decode};
use crate::nkey::{self, Kind, Public};
use crate::permission::Permissions;
use dialtone_config::options;
use dialtone_subject::set;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// Answers that a permission allows that does not say, and how long for. The official figures.
const RESPONSES_DEFAULT: (u64, Duration) = (1, Duration::from_secs(120));

/// Why a token is not believed. For the log; the peer learns only that it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It is no token.
    #[error(transparent)]
    Token(#[from] JwtError),
    /// A role cannot be filled in.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A token of another kind.
    #[error("a JWT of another kind than {0}")]
    Kind(&'static str),
    /// Signed by a key that does not speak for whom it should.
    #[error("the JWT's issuer is not trusted")]
    Issuer,
    /// Of someone else than expected.
    #[error("the JWT is of another account")]
    Subject,
    /// Its time is over, or still to come.
    #[error("the JWT is not valid at this time")]
    Time,
    /// The account is not one of those that the configuration allows.
    #[error("the account is not listed as operator pinned account")]
    Pinned,
    /// It is revoked.
    #[error("the JWT is revoked")]
    Revoked,
    /// A user whose role comes from its signing key, but who claims rights of its own.
    #[error("the user's signing key gives it a role, but its JWT has permissions or limits of its own")]
    Scoped,
    /// Bearer tokens are not allowed in the account.
    #[error("the account does not allow bearer tokens")]
    Bearer,
    /// The nonce is not signed by the user's key.
    #[error("the nonce is not signed by the user's key")]
    Signature,
    /// Such connections are not allowed.
    #[error("connection type not allowed")]
    ConnectionType,
    /// It must come through a trusted proxy.
    #[error("the user must come through a trusted proxy")]
    Proxy,
    /// It comes from elsewhere.
    #[error("the user may not come from this address")]
    Address,
    /// Permissions that are no subjects.
    #[error("permissions with an invalid subject {0:?}")]
    Subjects(String),
    /// Its account has no JWT that is known or valid.
    #[error("the JWT's account is not known here, or its own JWT is not valid")]
    Unknown,
    /// An account that holds what it must not.
    #[error("the account is not valid: {0}")]
    Account(String),
    /// An activation for something else.
    #[error("the activation is not for this import")]
    Activation,
}

/// The keys whose signatures of accounts are believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: HashSet<String>,
    /// Those of operators that want only signing keys to sign: for them, and for their accounts.
    strict: HashSet<String>,
}

impl Trust {
    /// Trusts these operators, whose tokens are from the configuration, and these keys.
    ///
    /// With `strict_signing_key_usage` an operator's own key signs nothing but itself.
    pub fn new(operators: &[DecodedJwt], trusted_keys: &[Public]) -> Result<Self, TrustError> {
        let (mut keys, mut strict) = (HashSet::new(), HashSet::new());
        for token in operators {
            let Body::Operator(operator) = &token.body else { return Err(TrustError::Kind("an operator")) };
            for key in &operator.signing_keys {
                keys.insert(operator_key(Public::parse(key).map_err(|_| JwtError::Keys)?)?);
            }
            let own = token.subject.to_string();
            if token.issuer != token.subject && !operator.signing_keys.contains(&token.issuer.to_string()) {
                return Err(TrustError::Issuer);
            }
            if operator.strict_signing_key_usage {
                strict.extend(operator.signing_keys.iter().cloned());
            } else {
                keys.insert(own);
            }
        }
        for key in trusted_keys {
            keys.insert(operator_key(*key)?);
        }
        Ok(Self { keys, strict })
    }

    /// Believes an account's token, if it is of the account with this key, signed by an operator, and its time is now
    /// (seconds since 1970).
    pub fn account(&self, text: &str, key: &str, now: i64) -> Result<DecodedJwt, TrustError> {
        let token = decode(text)?;
        if !matches!(token.body, Body::Account(_)) {
            return Err(TrustError::Kind("an account"));
        }
        if token.subject.to_string() != key {
            return Err(TrustError::Subject);
        }
        if !self.keys.contains(&token.issuer.to_string()) {
            return Err(TrustError::Issuer);
        }
        token.check_time(now)?;
        check_account(&token)?;
        Ok(token)
    }

    /// Whether an account's own key does not sign its users: only its signing keys do.
    pub fn is_strict(&self, account: &DecodedJwt) -> bool {
        self.strict.contains(&account.issuer.to_string())
    }

    /// Whether this key signs for an operator.
    pub fn is_operator(&self, key: &Public) -> bool {
        self.keys.contains(&key.to_string())
    }
}

/// Whether an account holds nothing that it must not: what the official library refuses, and wildcard exports that its
/// operator does not allow.
fn check_account(token: &DecodedJwt) -> Result<(), TrustError> {
    let account = token.account()?;
    let is_wild = |subject: &str| subject.split('.').any(|token| token == "*" || token == ">");
    if !account.limits.wildcards && account.exports.iter().any(|export| is_wild(&export.subject)) {
        return Err(TrustError::Account("it exports wildcards, which its operator does not allow".into()));
    }
    // Times are looked at where they count, and what a zone is only a user's token needs to know.
    let issues = validate(token, &ValidationContext { now: None, is_time_zone: &|_| true });
    match issues.into_iter().find(|issue| issue.severity == Severity::Error) {
        Some(issue) => Err(TrustError::Account(issue.text)),
        None => Ok(()),
    }
}

fn operator_key(key: Public) -> Result<String, TrustError> {
    if key.kind == Kind::Operator { Ok(key.to_string()) } else { Err(JwtError::Keys.into()) }
}

impl DecodedJwt {
    /// Whether it is good in this second.
    pub fn check_time(&self, now: i64) -> Result<(), TrustError> {
        let begun = self.not_before.is_none_or(|from| from <= now);
        let lasts = self.expires.is_none_or(|until| now <= until);
        if begun && lasts { Ok(()) } else { Err(TrustError::Time) }
    }

    /// The account that a user's token or an activation is of: the one it names, else its issuer.
    pub fn account_key(&self) -> Option<String> {
        let named = match &self.body {
            Body::User(user) => &user.issuer_account,
            Body::Activation(activation) => &activation.issuer_account,
            _ => return None,
        };
        Some(if named.is_empty() { self.issuer.to_string() } else { named.clone() })
    }

    fn account(&self) -> Result<&Account, TrustError> {
        match &self.body {
            Body::Account(account) => Ok(account),
            _ => Err(TrustError::Kind("an account")),
        }
    }
}

/// That a connection has the key of its user.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// A signature of the nonce that it was given.
    Signature {
        /// The nonce.
        nonce: &'a [u8],
        /// The signature.
        signature: &'a str,
    },
    /// It has shown it before: a connection that is looked at again.
    Shown,
}

/// What a connection presents beside its token, and how it came.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// That it is the user.
    pub proof: Proof<'a>,
    /// The kind of connection, as in `allowed_connection_types`.
    pub connection_type: &'a str,
    /// Whether a trusted proxy signed for it.
    pub proxied: bool,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// Seconds since midnight, now, in a time zone (`""`: the server's). `None`: there is no such zone.
    pub time_of_day: &'a dyn Fn(&str) -> Option<i64>,
}

/// A user that may come in.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The account's key.
    pub account: String,
    /// The user's key.
    pub user: String,
    /// The user's name, for people.
    pub name: String,
    /// Its limits, its role's if it has one.
    pub limits: UserLimits,
    /// What it may do; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// The last second that it may stay, since 1970. `None`: for ever.
    pub until: Option<i64>,
    /// The last second that its account is one. `None`: for ever.
    pub account_until: Option<i64>,
}

/// Believes a user's token, if it is of this account, which must have been believed before.
pub fn admit(
    user: &DecodedJwt,
    account: &DecodedJwt,
    presented: &Presented<'_>,
) -> Result<Admitted, TrustError> {
    let body = account.account()?;
    user.check_time(presented.now)?;
    account.check_time(presented.now)?;
    let (limits, permissions) = rights(user, account)?;
    let user_key = user.subject.to_string();
    if !limits.bearer_token
        && let Proof::Signature { nonce, signature } = presented.proof
        && !nkey::verify_nonce(&user_key, nonce, signature)
    {
        return Err(TrustError::Signature);
    }
    if is_revoked(&body.revocations, &user_key, user.issued_at) {
        return Err(TrustError::Revoked);
    }
    let stays = comes_rightly(&limits, presented)?;
    let until = [user.expires, stays].into_iter().flatten().min();
    let account_until = account.expires;
    let permissions = permissions.map(Arc::new);
    let (account, name) = (account.subject.to_string(), user.name.clone());
    Ok(Admitted { account, user: user_key, name, limits, permissions, until, account_until })
}

/// What a user's token gives it in this account, whoever presents it, when and from where. `None`: it may do everything.
pub fn rights(
    user: &DecodedJwt,
    account: &DecodedJwt,
) -> Result<(UserLimits, Option<Permissions>), TrustError> {
    let Body::User(claims) = &user.body else { return Err(TrustError::Kind("a user")) };
    let body = account.account()?;
    if user.account_key() != Some(account.subject.to_string()) {
        return Err(TrustError::Subject);
    }
    let limits = match signs_for(&user.issuer, account)? {
        None => claims.limits.clone(),
        Some(_) if claims.limits != UserLimits::default() => return Err(TrustError::Scoped),
        Some(role) => template::fill(role, user, account)?,
    };
    if limits.bearer_token && body.limits.disallow_bearer {
        return Err(TrustError::Bearer);
    }
    let permissions = match permissions(&limits.permissions)? {
        None => permissions(&body.default_permissions)?,
        some => some,
    };
    Ok((limits, permissions))
}

/// Whether a connection comes by a way, from where and when its user may. The last second that it may stay, since
/// 1970; `None`: for ever.
pub(crate) fn comes_rightly(
    limits: &UserLimits,
    presented: &Presented<'_>,
) -> Result<Option<i64>, TrustError> {
    let types = &limits.allowed_connection_types;
    if !types.is_empty() && !types.iter().any(|t| t.eq_ignore_ascii_case(presented.connection_type)) {
        return Err(TrustError::ConnectionType);
    }
    if limits.proxy_required && !presented.proxied {
        return Err(TrustError::Proxy);
    }
    if !limits.src.is_empty()
        && !presented.address.is_some_and(|address| limits.src.iter().any(|net| is_within(address, net)))
    {
        return Err(TrustError::Address);
    }
    stays(limits, presented)
}

/// Whether a key signs for an account, and with which role.
fn signs_for<'a>(
    key: &Public,
    account: &'a DecodedJwt,
) -> Result<Option<&'a super::account::Role>, TrustError> {
    if *key == account.subject {
        return Ok(None);
    }
    let role = account.account()?.signing_keys.get(&key.to_string()).ok_or(TrustError::Issuer)?;
    Ok(role.as_ref())
}

/// Believes that `importer` may import this from `exporter`, both believed before, by the activation in the import.
/// What `revocations` of the export holds is revoked.
pub fn activation(
    import: &Import,
    revocations: &std::collections::BTreeMap<String, i64>,
    importer: &Public,
    exporter: &DecodedJwt,
    now: i64,
) -> Result<DecodedJwt, TrustError> {
    let token = decode(&import.token)?;
    let Body::Activation(claims) = &token.body else { return Err(TrustError::Kind("an activation")) };
    signs_for(&token.issuer, exporter)?;
    let exporter_key = exporter.subject.to_string();
    if token.account_key().as_ref() != Some(&exporter_key) || import.account != exporter_key {
        return Err(TrustError::Issuer);
    }
    let what = claims.subject.as_bytes();
    if token.subject != *importer
        || claims.kind != Some(import.kind)
        || !set::is_valid_filter(what)
        || !set::is_valid_filter(import.subject.as_bytes())
        || !set::contains(what, import.subject.as_bytes())
    {
        return Err(TrustError::Activation);
    }
    token.check_time(now)?;
    if is_revoked(revocations, &importer.to_string(), token.issued_at) {
        return Err(TrustError::Revoked);
    }
    Ok(token)
}

/// Compiles what a token permits. `None`: it says nothing.
pub fn permissions(claims: &Claimed) -> Result<Option<Permissions>, TrustError> {
    if *claims == Claimed::default() {
        return Ok(None);
    }
    let rules = |permission: &super::claims::Permission, queues: bool| {
        for text in permission.allow.iter().chain(&permission.deny) {
            let mut words = text.split_whitespace();
            let is_filter = |word: &str| set::is_valid_filter(word.as_bytes());
            let valid = words.next().is_some_and(is_filter)
                && words.next().is_none_or(|queue| queues && is_filter(queue))
                && words.next().is_none();
            if !valid {
                return Err(TrustError::Subjects(text.clone()));
            }
        }
        let allow = (!permission.allow.is_empty()).then(|| permission.allow.clone());
        Ok(options::Rules { allow, deny: permission.deny.clone(), ..options::Rules::default() })
    };
    let responses = claims.responses.map(|responses| options::Responses {
        max_msgs: if responses.max == 0 {
            Some(RESPONSES_DEFAULT.0)
        } else {
            u64::try_from(responses.max).ok()
        },
        expires: match u64::try_from(responses.ttl) {
            Ok(0) => Some(RESPONSES_DEFAULT.1),
            nanoseconds => nanoseconds.ok().map(Duration::from_nanos),
        },
    });
    Ok(Some(Permissions::new(&options::Permissions {
        publish: rules(&claims.publish, false)?,
        subscribe: rules(&claims.subscribe, true)?,
        responses,
    })))
}

/// Whether an address lies in a network such as `10.0.0.0/8`. What is no network has nothing in it.
fn is_within(address: IpAddr, network: &str) -> bool {
    let Some((base, bits)) = network.trim().split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let same = |a: u128, b: u128, width: u32| {
        bits <= width && a.checked_shr(width - bits).unwrap_or(0) == b.checked_shr(width - bits).unwrap_or(0)
    };
    match (address.to_canonical(), base.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// The last second of the range of times that it is in, since 1970. `None`: there are no ranges.
fn stays(limits: &UserLimits, presented: &Presented<'_>) -> Result<Option<i64>, TrustError> {
    if limits.times.is_empty() {
        return Ok(None);
    }
    let now = (presented.time_of_day)(&limits.times_location).ok_or(TrustError::Time)?;
    let mut left = None;
    for range in &limits.times {
        let start = seconds_of_day(&range.start).ok_or(TrustError::Time)?;
        let end = seconds_of_day(&range.end).ok_or(TrustError::Time)?;
        // A range may go over midnight: both distances are on the face of a clock.
        let (since, length) = ((now - start).rem_euclid(DAY_SECONDS), (end - start).rem_euclid(DAY_SECONDS));
        if since < length {
            left = left.max(Some(length - since));
        }
    }
    left.map(|seconds| Some(presented.now.saturating_add(seconds))).ok_or(TrustError::Time)
}
