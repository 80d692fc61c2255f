//! What the token of an account holds.
//!
//! The order of the fields is that of the official library, so that the same claims make the same token.

use super::claims::{ExportKind, Limit, Permissions, UserLimits, is_default, unlimited_unless_said};
use serde::de::Error;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an account is, by its token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// What it takes from other accounts.
    #[serde(skip_serializing_if = "is_default")]
    pub imports: Vec<Import>,
    /// What it gives to them.
    #[serde(skip_serializing_if = "is_default")]
    pub exports: Vec<Export>,
    /// What its operator allows it.
    pub limits: AccountLimits,
    /// Further keys that sign for it, some with a role that their users have.
    #[serde(
        deserialize_with = "signing_keys",
        serialize_with = "write_signing_keys",
        skip_serializing_if = "is_default"
    )]
    pub signing_keys: BTreeMap<String, Option<Role>>,
    /// Users that are revoked if they were issued by then; `*` for all.
    #[serde(skip_serializing_if = "is_default")]
    pub revocations: BTreeMap<String, i64>,
    /// What users may do that say nothing themselves.
    pub default_permissions: Permissions,
    /// Subjects that are published to as others.
    #[serde(skip_serializing_if = "is_default")]
    pub mappings: BTreeMap<String, Vec<WeightedMapping>>,
    /// The service that says who its users are.
    pub authorization: ExternalAuthorization,
    /// Where traces of its messages go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// `system` or `owner`: who carries its replication.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_traffic: String,
    /// A text for people.
    #[serde(skip_serializing_if = "is_default")]
    pub description: String,
    /// Where there is more of it.
    #[serde(skip_serializing_if = "is_default")]
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

fn write_signing_keys<S: Serializer>(
    keys: &BTreeMap<String, Option<Role>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Scope<'a> {
        kind: &'static str,
        key: &'a str,
        role: &'a str,
        template: Value,
        description: &'a str,
    }
    let mut list = to.serialize_seq(Some(keys.len()))?;
    for (key, role) in keys {
        match role {
            None => list.serialize_element(key)?,
            Some(Role { role, template, description, .. }) => {
                let mut template = serde_json::to_value(template).map_err(serde::ser::Error::custom)?;
                if let Some(template) = template.as_object_mut() {
                    // What a role does not say is unlimited, so none must be said.
                    for field in ["subs", "data", "payload"] {
                        template.entry(field).or_insert(Value::from(0));
                    }
                }
                list.serialize_element(&Scope { kind: "user_scope", key, role, template, description })?;
            }
        }
    }
    list.end()
}

/// What an operator allows an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountLimits {
    /// Subscriptions of a connection.
    #[serde(skip_serializing_if = "is_default")]
    pub subs: Limit,
    /// Bytes in all.
    #[serde(skip_serializing_if = "is_default")]
    pub data: Limit,
    /// Bytes of a message.
    #[serde(skip_serializing_if = "is_default")]
    pub payload: Limit,
    /// Imports.
    #[serde(skip_serializing_if = "is_default")]
    pub imports: Limit,
    /// Exports.
    #[serde(skip_serializing_if = "is_default")]
    pub exports: Limit,
    /// Whether exports may have wildcards.
    #[serde(skip_serializing_if = "is_default")]
    pub wildcards: bool,
    /// Whether its users always need a key.
    #[serde(skip_serializing_if = "is_default")]
    pub disallow_bearer: bool,
    /// Connections.
    #[serde(skip_serializing_if = "is_default")]
    pub conn: Limit,
    /// Connections of leaf nodes.
    #[serde(skip_serializing_if = "is_default")]
    pub leaf: Limit,
    /// Streams, if there are no tiers.
    #[serde(flatten)]
    pub jetstream: JetStreamLimits,
    /// Streams by tier, `R1`, `R3`.
    #[serde(skip_serializing_if = "is_default")]
    pub tiered_limits: BTreeMap<String, JetStreamLimits>,
}

impl AccountLimits {
    /// Whether it may have streams, of any kind or tier.
    pub fn allows_streams(&self) -> bool {
        let none = Limit::AtMost(0);
        let allows = |limits: &JetStreamLimits| limits.mem_storage != none || limits.disk_storage != none;
        allows(&self.jetstream) || !self.tiered_limits.is_empty()
    }

    /// Everything but streams.
    pub fn unlimited() -> Self {
        let (none, all) = (Limit::Unlimited, true);
        Self {
            subs: none,
            data: none,
            payload: none,
            imports: none,
            exports: none,
            wildcards: all,
            conn: none,
            leaf: none,
            ..Self::default()
        }
    }
}

/// What streams may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JetStreamLimits {
    /// Bytes in memory; 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub mem_storage: Limit,
    /// Bytes on disk; 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub disk_storage: Limit,
    /// Streams.
    #[serde(skip_serializing_if = "is_default")]
    pub streams: Limit,
    /// Consumers.
    #[serde(skip_serializing_if = "is_default")]
    pub consumer: Limit,
    /// Unacknowledged messages of a consumer.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: Limit,
    /// Bytes of a stream in memory; 0: any number.
    #[serde(skip_serializing_if = "is_default")]
    pub mem_max_stream_bytes: Limit,
    /// Bytes of a stream on disk; 0: any number.
    #[serde(skip_serializing_if = "is_default")]
    pub disk_max_stream_bytes: Limit,
    /// Whether streams must say how many bytes they take.
    #[serde(skip_serializing_if = "is_default")]
    pub max_bytes_required: bool,
}

/// What an account takes from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: String,
    /// The exporter's subject.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subject: String,
    /// The exporter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub account: String,
    /// An activation, as a token.
    #[serde(default, skip_serializing_if = "is_default")]
    pub token: String,
    /// The importer's subject, in the old form.
    #[serde(default, skip_serializing_if = "is_default")]
    pub to: String,
    /// The importer's subject.
    #[serde(default, skip_serializing_if = "is_default")]
    pub local_subject: String,
    /// Stream or service.
    #[serde(rename = "type")]
    pub kind: ExportKind,
    /// Whether the exporter learns who asks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub share: bool,
    /// Whether traces go on in the exporter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_trace: bool,
}

/// What an account gives to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: String,
    /// Its subject.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subject: String,
    /// Stream or service.
    #[serde(rename = "type")]
    pub kind: ExportKind,
    /// Whether importers need an activation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub token_req: bool,
    /// Accounts whose activation is revoked if it was issued by then; `*` for all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub revocations: BTreeMap<String, i64>,
    /// `Singleton`, `Stream` or `Chunked`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_type: String,
    /// Nanoseconds that an answer may take.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_threshold: i64,
    /// Measurement of how long answers take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_latency: Option<ServiceLatency>,
    /// The token, from 1, that is the importer's key; 0: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub account_token_position: u64,
    /// Whether it is shown to all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub advertise: bool,
    /// Whether traces go on in here.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_trace: bool,
    /// A text for people.
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: String,
    /// Where there is more of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub info_url: String,
}

impl Import {
    /// An import that says nothing yet.
    pub fn new(kind: ExportKind) -> Self {
        Self {
            name: String::new(),
            subject: String::new(),
            account: String::new(),
            token: String::new(),
            to: String::new(),
            local_subject: String::new(),
            kind,
            share: false,
            allow_trace: false,
        }
    }
}

impl Export {
    /// An export that says nothing yet.
    pub fn new(kind: ExportKind) -> Self {
        Self {
            name: String::new(),
            subject: String::new(),
            kind,
            token_req: false,
            revocations: BTreeMap::new(),
            response_type: String::new(),
            response_threshold: 0,
            service_latency: None,
            account_token_position: 0,
            advertise: false,
            allow_trace: false,
            description: String::new(),
            info_url: String::new(),
        }
    }
}

/// Measurement of how long answers take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLatency {
    /// Percent of requests that are measured; 0: those whose headers ask for it.
    #[serde(deserialize_with = "sampling", serialize_with = "write_sampling")]
    pub sampling: u8,
    /// Where results are published.
    pub results: String,
}

fn write_sampling<S: Serializer>(sampling: &u8, to: S) -> Result<S::Ok, S::Error> {
    if *sampling == 0 { to.serialize_str("headers") } else { to.serialize_u8(*sampling) }
}

fn sampling<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) if text.eq_ignore_ascii_case("headers") => Ok(0),
        Value::Number(number) => number
            .as_i64()
            // What is no percentage is seen when the account is validated.
            .map(|n| u8::try_from(n).unwrap_or(u8::MAX))
            .ok_or_else(|| D::Error::custom("sampling is no percentage")),
        _ => Err(D::Error::custom("sampling is no percentage")),
    }
}

/// One of the subjects that a message is published to instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightedMapping {
    /// The subject.
    pub subject: String,
    /// Percent; 0: what is left.
    #[serde(skip_serializing_if = "is_default")]
    pub weight: u8,
    /// Only in this cluster.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster: String,
}

/// The service that says who an account's users are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExternalAuthorization {
    /// The users that are the service itself.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_users: Vec<String>,
    /// Accounts that it may put users into; `*` for all.
    #[serde(skip_serializing_if = "is_default")]
    pub allowed_accounts: Vec<String>,
    /// Its curve key.
    #[serde(skip_serializing_if = "is_default")]
    pub xkey: String,
}

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// The subject.
    #[serde(skip_serializing_if = "is_default")]
    pub dest: String,
    /// Percent; 0 is 100.
    #[serde(skip_serializing_if = "is_default")]
    pub sampling: u8,
}
