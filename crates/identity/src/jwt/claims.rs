//! What tokens hold: operators, users, activations, and the questions and answers of authorization services.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// How much there may be. Where a token does not say, there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Any number.
    Unlimited,
    /// This many.
    AtMost(u64),
}

impl Default for Limit {
    fn default() -> Self {
        Self::AtMost(0)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = i64::deserialize(deserializer)?;
        Ok(u64::try_from(limit).map_or(Self::Unlimited, Self::AtMost))
    }
}

/// Sets limits of a user to "unlimited" that are not there.
pub(super) fn unlimited_unless_said(user: &mut Map<String, Value>) {
    for field in ["subs", "data", "payload"] {
        user.entry(field).or_insert(Value::from(-1));
    }
}

/// What an operator says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Operator {
    /// Further keys that sign for it.
    pub signing_keys: Vec<String>,
    /// Where its accounts' tokens are published.
    pub account_server_url: String,
    /// Where its servers are.
    pub operator_service_urls: Vec<String>,
    /// The account for system events.
    pub system_account: String,
    /// The lowest version of a server that may serve it.
    pub assert_server_version: String,
    /// Only signing keys sign; the operator's own key does not.
    pub strict_signing_key_usage: bool,
}

/// Subjects that are allowed and denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// Only these, if there are any.
    pub allow: Vec<String>,
    /// None of these.
    pub deny: Vec<String>,
}

/// Answers to requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ResponsePermission {
    /// Answers to one request; 0: the default, less: any number.
    pub max: i64,
    /// Nanoseconds to answer in; 0: the default, less: for ever.
    pub ttl: i64,
}

/// What someone may publish and subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// Subjects to publish to.
    #[serde(rename = "pub")]
    pub publish: Permission,
    /// Subjects to subscribe to.
    #[serde(rename = "sub")]
    pub subscribe: Permission,
    /// Answers to requests.
    #[serde(rename = "resp")]
    pub responses: Option<ResponsePermission>,
}

/// A time of the day, `15:04:05`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TimeRange {
    /// From then on.
    pub start: String,
    /// Until then.
    pub end: String,
}

/// What a user may do, or the role of a signing key gives to its users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UserLimits {
    /// What it may publish and subscribe to.
    #[serde(flatten)]
    pub permissions: Permissions,
    /// Networks it may come from; empty: any.
    #[serde(deserialize_with = "networks")]
    pub src: Vec<String>,
    /// When it may be there; empty: always.
    pub times: Vec<TimeRange>,
    /// The time zone of that.
    pub times_location: String,
    /// Subscriptions.
    pub subs: Limit,
    /// Bytes in all. Nothing enforces it, here or in the official server.
    pub data: Limit,
    /// Bytes of a message.
    pub payload: Limit,
    /// Who has the token needs no key.
    pub bearer_token: bool,
    /// It must come through a trusted proxy.
    pub proxy_required: bool,
    /// Kinds of connections; empty: all.
    pub allowed_connection_types: Vec<String>,
}

/// What a user's token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct User {
    /// What it may do.
    #[serde(flatten)]
    pub limits: UserLimits,
    /// Its account, if a signing key of that issued it.
    pub issuer_account: String,
}

/// A list, or a text with commas.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Networks {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Networks::deserialize(deserializer)? {
        Networks::List(list) => list,
        Networks::Text(text) => {
            text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_lowercase).collect()
        }
    })
}

/// Streams or services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportKind {
    /// Messages flow from the exporter to importers.
    Stream,
    /// Requests flow from importers to the exporter.
    Service,
}

/// That an account may import something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Activation {
    /// What.
    pub subject: String,
    /// Of which kind.
    pub kind: Option<ExportKind>,
    /// The exporting account, if a signing key of that issued it.
    pub issuer_account: String,
}

/// A question to an authorization service. What the client sent, its password included, is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AuthorizationRequest {
    /// The key that the answer must be for.
    pub user_nkey: String,
}

/// The answer of an authorization service: a user's token or an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AuthorizationResponse {
    /// The user's token.
    pub jwt: String,
    /// Why there is none.
    pub error: String,
    /// The account, if a signing key of that issued it.
    pub issuer_account: String,
}
