//! What tokens hold: operators, users and activations.
//!
//! The order of the fields is that of the official library, so that the same claims make the same token.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(match self {
            Self::Unlimited => -1,
            Self::AtMost(limit) => i64::try_from(*limit).unwrap_or(i64::MAX),
        })
    }
}

/// Whether a field is left out of a token because it says nothing.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Sets limits of a user to "unlimited" that are not there.
pub(super) fn unlimited_unless_said(user: &mut Map<String, Value>) {
    for field in ["subs", "data", "payload"] {
        user.entry(field).or_insert(Value::from(-1));
    }
}

/// What an operator says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operator {
    /// Further keys that sign for it.
    #[serde(skip_serializing_if = "is_default")]
    pub signing_keys: Vec<String>,
    /// Where its accounts' tokens are published.
    #[serde(skip_serializing_if = "is_default")]
    pub account_server_url: String,
    /// Where its servers are.
    #[serde(skip_serializing_if = "is_default")]
    pub operator_service_urls: Vec<String>,
    /// The account for system events.
    #[serde(skip_serializing_if = "is_default")]
    pub system_account: String,
    /// The lowest version of a server that may serve it.
    #[serde(skip_serializing_if = "is_default")]
    pub assert_server_version: String,
    /// Only signing keys sign; the operator's own key does not.
    #[serde(skip_serializing_if = "is_default")]
    pub strict_signing_key_usage: bool,
}

/// Subjects that are allowed and denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// Only these, if there are any.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<String>,
    /// None of these.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Vec<String>,
}

/// Answers to requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponsePermission {
    /// Answers to one request; 0: the default, less: any number.
    pub max: i64,
    /// Nanoseconds to answer in; 0: the default, less: for ever.
    pub ttl: i64,
}

/// What someone may publish and subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// Subjects to publish to.
    #[serde(rename = "pub")]
    pub publish: Permission,
    /// Subjects to subscribe to.
    #[serde(rename = "sub")]
    pub subscribe: Permission,
    /// Answers to requests.
    #[serde(rename = "resp", skip_serializing_if = "Option::is_none")]
    pub responses: Option<ResponsePermission>,
}

/// A time of the day, `15:04:05`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeRange {
    /// From then on.
    #[serde(skip_serializing_if = "is_default")]
    pub start: String,
    /// Until then.
    #[serde(skip_serializing_if = "is_default")]
    pub end: String,
}

/// What a user may do, or the role of a signing key gives to its users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserLimits {
    /// What it may publish and subscribe to.
    #[serde(flatten)]
    pub permissions: Permissions,
    /// Networks it may come from; empty: any.
    #[serde(deserialize_with = "networks", skip_serializing_if = "is_default")]
    pub src: Vec<String>,
    /// When it may be there; empty: always.
    #[serde(skip_serializing_if = "is_default")]
    pub times: Vec<TimeRange>,
    /// The time zone of that.
    #[serde(skip_serializing_if = "is_default")]
    pub times_location: String,
    /// Subscriptions.
    #[serde(skip_serializing_if = "is_default")]
    pub subs: Limit,
    /// Bytes in all. Nothing enforces it, here or in the official server.
    #[serde(skip_serializing_if = "is_default")]
    pub data: Limit,
    /// Bytes of a message.
    #[serde(skip_serializing_if = "is_default")]
    pub payload: Limit,
    /// Who has the token needs no key.
    #[serde(skip_serializing_if = "is_default")]
    pub bearer_token: bool,
    /// It must come through a trusted proxy.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_required: bool,
    /// Kinds of connections; empty: all.
    #[serde(skip_serializing_if = "is_default")]
    pub allowed_connection_types: Vec<String>,
}

impl UserLimits {
    /// Everything, at any time and from anywhere.
    pub fn unlimited() -> Self {
        let none = Limit::Unlimited;
        Self { subs: none, data: none, payload: none, ..Self::default() }
    }
}

/// What a user's token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// What it may do.
    #[serde(flatten)]
    pub limits: UserLimits,
    /// Its account, if a signing key of that issued it.
    #[serde(skip_serializing_if = "is_default")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportKind {
    /// Messages flow from the exporter to importers.
    Stream,
    /// Requests flow from importers to the exporter.
    Service,
}

impl<'de> Deserialize<'de> for ExportKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.as_str() {
            "stream" => Ok(Self::Stream),
            "service" => Ok(Self::Service),
            other => Err(D::Error::custom(format!("unknown export type {other:?}"))),
        }
    }
}

/// That an account may import something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Activation {
    /// What.
    #[serde(skip_serializing_if = "is_default")]
    pub subject: String,
    /// Of which kind.
    #[serde(skip_serializing_if = "is_default")]
    pub kind: Option<ExportKind>,
    /// The exporting account, if a signing key of that issued it.
    #[serde(skip_serializing_if = "is_default")]
    pub issuer_account: String,
}
