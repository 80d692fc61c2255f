//! Operator mode, and where account JWTs come from.

use crate::Secret;
pub use crate::blocks::resolver_tls::ResolverTls;
use crate::error::Position;
use std::path::PathBuf;
use std::time::Duration;

/// Operator mode, as it is configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorMode {
    /// Tokens of operators.
    pub operators: Vec<OperatorJwt>,
    /// Public keys of operators, instead of tokens.
    pub trusted_keys: Vec<String>,
    /// Where tokens of accounts come from; `None`: where the operator's token says.
    pub resolver: Option<Resolver>,
    /// TLS to a resolver's address.
    pub tls: ResolverTls,
    /// Tokens of accounts to begin with.
    pub preload: Vec<Preload>,
    /// The only accounts that users may be of, beside the system account; empty: all.
    pub pinned: Vec<String>,
    /// The token of connections that present none.
    pub default_sentinel: Option<Secret>,
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

/// Where tokens of accounts come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolver {
    /// From the configuration alone.
    Memory,
    /// By HTTP, from this address and the account's key behind it.
    Url(String),
    /// From a folder that is written by requests.
    Folder(Folder),
}

/// A resolver that keeps tokens in a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Folder {
    /// Where it is configured.
    pub at: Position,
    /// The folder.
    pub dir: PathBuf,
    /// Whether it holds all tokens, or some of them for a time.
    pub keeps: Keeps,
    /// How long other servers are asked for a token.
    pub timeout: Duration,
}

/// What a folder keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Keeps {
    /// Every token.
    All {
        /// Whether a request may delete one.
        allow_delete: bool,
        /// Whether that removes the file, instead of giving it another name.
        hard_delete: bool,
        /// How many; `None`: any number. One more is refused.
        limit: Option<u64>,
        /// How often the folder is compared with those of other servers.
        interval: Duration,
    },
    /// Those that were used lately.
    Some {
        /// How many; those used least give way.
        limit: u64,
        /// For how long; zero: for ever.
        ttl: Duration,
    },
}
