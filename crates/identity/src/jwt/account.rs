//! What the token of an account holds.

use super::claims::{ExportKind, Limit, Permissions, UserLimits, unlimited_unless_said};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an account is, by its token.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Account {
    /// What it takes from other accounts.
    pub imports: Vec<Import>,
    /// What it gives to them.
    pub exports: Vec<Export>,
    /// What its operator allows it.
    pub limits: AccountLimits,
    /// Further keys that sign for it, some with a role that their users have.
    #[serde(deserialize_with = "signing_keys")]
    pub signing_keys: BTreeMap<String, Option<Role>>,
    /// Users that are revoked if they were issued by then; `*` for all.
    pub revocations: BTreeMap<String, i64>,
    /// What users may do that say nothing themselves.
    pub default_permissions: Permissions,
    /// Subjects that are published to as others.
    pub mappings: BTreeMap<String, Vec<WeightedMapping>>,
    /// The service that says who its users are.
    pub authorization: ExternalAuthorization,
    /// Where traces of its messages go.
    pub trace: Option<Trace>,
    /// `system` or `owner`: who carries its replication.
    pub cluster_traffic: String,
    /// A text for people.
    pub description: String,
    /// Where there is more of it.
    pub info_url: String,
}

/// Whether what was issued to this key in that second is revoked: by then or later, for the key or for all.
pub fn is_revoked(revocations: &BTreeMap<String, i64>, key: &str, issued_at: i64) -> bool {
    [key, "*"].iter().any(|key| revocations.get(*key).is_some_and(|&until| until >= issued_at))
}

/// The role that a signing key gives to its users.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Role {
    /// The signing key.
    pub key: String,
    /// Its name.
    pub role: String,
    /// What its users may do, with places for what their tokens say.
    pub template: UserLimits,
    /// A text for people.
    pub description: String,
}

/// A list of keys and roles.
fn signing_keys<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Option<Role>>, D::Error> {
    let entries = Vec::<Value>::deserialize(from)?;
    let entry = |value: Value| match value {
        Value::String(key) => Ok((key, None)),
        Value::Object(mut scope) if scope.get("kind").and_then(Value::as_str) == Some("user_scope") => {
            let template = scope.entry("template").or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Some(template) = template.as_object_mut() {
                unlimited_unless_said(template);
            }
            let role: Role = serde_json::from_value(Value::Object(scope)).map_err(D::Error::custom)?;
            Ok((role.key.clone(), Some(role)))
        }
        _ => Err(D::Error::custom("a signing key of an unknown kind")),
    };
    entries.into_iter().map(entry).collect()
}

/// What an operator allows an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AccountLimits {
    /// Subscriptions of a connection.
    pub subs: Limit,
    /// Bytes in all.
    pub data: Limit,
    /// Bytes of a message.
    pub payload: Limit,
    /// Imports.
    pub imports: Limit,
    /// Exports.
    pub exports: Limit,
    /// Whether exports may have wildcards.
    pub wildcards: bool,
    /// Whether its users always need a key.
    pub disallow_bearer: bool,
    /// Connections.
    pub conn: Limit,
    /// Connections of leaf nodes.
    pub leaf: Limit,
    /// Streams, if there are no tiers.
    #[serde(flatten)]
    pub jetstream: JetStreamLimits,
    /// Streams by tier, `R1`, `R3`.
    pub tiered_limits: BTreeMap<String, JetStreamLimits>,
}

/// What streams may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JetStreamLimits {
    /// Bytes in memory; 0: none.
    pub mem_storage: Limit,
    /// Bytes on disk; 0: none.
    pub disk_storage: Limit,
    /// Streams.
    pub streams: Limit,
    /// Consumers.
    pub consumer: Limit,
    /// Unacknowledged messages of a consumer.
    pub max_ack_pending: Limit,
    /// Bytes of a stream in memory; 0: any number.
    pub mem_max_stream_bytes: Limit,
    /// Bytes of a stream on disk; 0: any number.
    pub disk_max_stream_bytes: Limit,
    /// Whether streams must say how many bytes they take.
    pub max_bytes_required: bool,
}

/// What an account takes from another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Import {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The exporter's subject.
    #[serde(default)]
    pub subject: String,
    /// The exporter.
    #[serde(default)]
    pub account: String,
    /// An activation, as a token.
    #[serde(default)]
    pub token: String,
    /// The importer's subject, in the old form.
    #[serde(default)]
    pub to: String,
    /// The importer's subject.
    #[serde(default)]
    pub local_subject: String,
    /// Stream or service.
    #[serde(rename = "type")]
    pub kind: ExportKind,
    /// Whether the exporter learns who asks.
    #[serde(default)]
    pub share: bool,
    /// Whether traces go on in the exporter.
    #[serde(default)]
    pub allow_trace: bool,
}

/// What an account gives to others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Export {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its subject.
    #[serde(default)]
    pub subject: String,
    /// Stream or service.
    #[serde(rename = "type")]
    pub kind: ExportKind,
    /// Whether importers need an activation.
    #[serde(default)]
    pub token_req: bool,
    /// Accounts whose activation is revoked if it was issued by then; `*` for all.
    #[serde(default)]
    pub revocations: BTreeMap<String, i64>,
    /// `Singleton`, `Stream` or `Chunked`.
    #[serde(default)]
    pub response_type: String,
    /// Nanoseconds that an answer may take.
    #[serde(default)]
    pub response_threshold: i64,
    /// Measurement of how long answers take.
    #[serde(default)]
    pub service_latency: Option<ServiceLatency>,
    /// The token, from 1, that is the importer's key; 0: none.
    #[serde(default)]
    pub account_token_position: u64,
    /// Whether it is shown to all.
    #[serde(default)]
    pub advertise: bool,
    /// Whether traces go on in here.
    #[serde(default)]
    pub allow_trace: bool,
}

/// Measurement of how long answers take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServiceLatency {
    /// Percent of requests that are measured; 0: those whose headers ask for it.
    #[serde(deserialize_with = "sampling")]
    pub sampling: u8,
    /// Where results are published.
    pub results: String,
}

fn sampling<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) if text.eq_ignore_ascii_case("headers") => Ok(0),
        Value::Number(number) => number
            .as_u64()
            .and_then(|n| u8::try_from(n).ok())
            .filter(|n| *n <= 100)
            .ok_or_else(|| D::Error::custom("sampling is no percentage")),
        _ => Err(D::Error::custom("sampling is no percentage")),
    }
}

/// One of the subjects that a message is published to instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WeightedMapping {
    /// The subject.
    pub subject: String,
    /// Percent; 0: what is left.
    pub weight: u8,
    /// Only in this cluster.
    pub cluster: String,
}

/// The service that says who an account's users are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExternalAuthorization {
    /// The users that are the service itself.
    pub auth_users: Vec<String>,
    /// Accounts that it may put users into; `*` for all.
    pub allowed_accounts: Vec<String>,
    /// Its curve key.
    pub xkey: String,
}

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// The subject.
    pub dest: String,
    /// Percent; 0 is 100.
    pub sampling: u8,
}
