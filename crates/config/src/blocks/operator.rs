//! Operator mode: accounts that are known by signature.
//!
//! Tokens are texts here; what they hold is read where keys are known, in the `identity` room.

use super::block;
use super::reader::{self, Notes, noted};
use super::resolver::{Resolver, resolver};
use super::resolver_tls::{ResolverTls, resolver_tls};
use super::rule::Rule::{Reloads, Restarts};
use super::rule::{Change, LogForm::Words, hidden};
use crate::Secret;
use crate::error::{ConfigError, Position};
use crate::language::{Entry, Kind, Value};
use crate::nkey;

block! {
    /// Operator mode, as it is configured.
    pub struct OperatorMode in "" {
        /// Tokens.
        operators: Vec<OperatorJwt> = Vec::new(),
            operator | "operators" | "root" | "roots" | "root_operator" | "root_operators": "JWTs of operators, or files that hold them.",
            block (operators), Restarts("TrustedOperators", hidden);
        /// `None`: where the operator's token says.
        resolver: Option<Resolver> = None,
            resolver | "account_resolver" | "accounts_resolver": "Where account JWTs come from: `MEMORY`, `URL(…)`, or a block.",
            block (resolver), Restarts("AccountResolver", hidden);
        tls: ResolverTls = ResolverTls::default(),
            resolver_tls: "TLS to a URL resolver.", block (resolver_tls), Restarts("AccountResolverTLSConfig", hidden);
        preload: Vec<Preload> = Vec::new(),
            resolver_preload: "Account JWTs to begin with, by public key.",
            block (preload), Reloads(Change::Users, Words("accounts"));
        /// Empty: all.
        pinned: Vec<String> = Vec::new(),
            resolver_pinned_accounts: "The only accounts that users may be of, beside the system account.",
            read (pinned), Reloads(Change::Users, Words("pinned accounts"));
        trusted_keys: Vec<String> = Vec::new(),
            trusted | "trusted_keys": "Public keys of operators, instead of their JWTs.",
            read (trusted_keys), Restarts("TrustedKeys", hidden);
        default_sentinel: Option<Secret> = None,
            default_sentinel: "Bearer JWT of connections without credentials.",
            read (|v| Ok(reader::optional(v)?.map(Secret::new))), Reloads(Change::Users, Words("default sentinel"));
    }
}

impl OperatorMode {
    /// Whether accounts are trusted by signature instead of being configured.
    pub fn is_on(&self) -> bool {
        !self.operators.is_empty() || !self.trusted_keys.is_empty()
    }
}

/// The token of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorJwt {
    /// Where it is configured.
    pub at: Position,
    /// The token.
    pub jwt: String,
}

/// The token of an account to begin with.
#[derive(Clone, Debug, PartialEq)]
pub struct Preload {
    /// Where it stands.
    pub at: Position,
    /// The account's public key.
    pub account: String,
    /// Its token.
    pub jwt: String,
}

fn trusted_keys(value: &Value) -> Result<Vec<String>, ConfigError> {
    public_keys(value, 'O', |key| format!("trust key {key:?} required to be a valid public operator nkey"))
}

fn pinned(value: &Value) -> Result<Vec<String>, ConfigError> {
    public_keys(value, 'A', |key| format!("pinned account key {key:?} is not a valid public account nkey"))
}

fn public_keys(
    value: &Value,
    kind: char,
    problem: impl FnOnce(&str) -> String,
) -> Result<Vec<String>, ConfigError> {
    let keys = reader::texts(value)?;
    match keys.iter().find(|key| !nkey::is_public(key, Some(kind))) {
        None => Ok(keys),
        Some(key) => Err(ConfigError::new(&value.at, problem(key))),
    }
}

/// Tokens, or names of files that hold them; those are read when all is read.
fn operators(value: &Value, notes: &mut Notes) -> Vec<OperatorJwt> {
    let values = match &value.kind {
        Kind::Array(values) => values.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let one = |value: &Value| match &value.kind {
        Kind::String(text) => Ok(OperatorJwt { at: value.at.clone().into(), jwt: text.clone() }),
        _ => {
            let problem = format!("error parsing operators: unsupported type {}", value.kind.name());
            Err(ConfigError::new(&value.at, problem).help("a JWT, a file that holds one, or a list of them"))
        }
    };
    values.iter().filter_map(|value| noted(one(value), &mut notes.errors)).collect()
}

fn preload(value: &Value, notes: &mut Notes) -> Vec<Preload> {
    let Kind::Map(map) = &value.kind else {
        let problem = "preload should be a map of account_public_key:account_jwt";
        notes.errors.push(ConfigError::new(&value.at, problem));
        return Vec::new();
    };
    let entries = map.iter().filter(|entry| !entry.variable);
    let one = |entry: &Entry| {
        let jwt = reader::text(&entry.value)?;
        if !nkey::is_public(&entry.key, Some('A')) {
            let problem = format!("preload key {:?} is not a valid public account nkey", entry.key);
            return Err(ConfigError::new(&entry.at, problem));
        }
        Ok(Preload {
            at: entry.value.at.clone().into(),
            account: entry.key.clone(),
            jwt: jwt.trim().to_owned(),
        })
    };
    entries.filter_map(|entry| noted(one(entry), &mut notes.errors)).collect()
}
