//! Users, permissions and accounts.

use crate::Secret;
use crate::blocks::permissions::permissions;
use crate::blocks::rate_limits::rate_limits;
use crate::blocks::reader::{self, Block, Errors, Notes, noted};
use crate::error::ConfigError;
use crate::language::{Kind, Map, Value};
use crate::nkey;
use crate::options::{Account, AuthCallout, Authorization, Limits, MsgTrace, User};
use crate::sharing;

/// Kinds of connections that a user can be kept to.
const CONNECTION_TYPES: [&str; 7] =
    ["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];
pub(crate) fn authorization(value: &Value, limits: &mut Limits, notes: &mut Notes) -> Authorization {
    let Notes { errors, doubts, .. } = notes;
    let mut out = Authorization::default();
    let Some(map) = noted(reader::map(value), errors) else { return out };
    let block = Block::new("authorization", map, errors);
    block.set("user", &mut out.user, errors, |v| reader::credential(v, "user").map(Some));
    block.set("pass", &mut out.password, errors, |v| reader::text(v).map(|p| Some(Secret::new(p))));
    if out.user.is_none() && block.is_variable("pass") {
        // `PASS: …` beside users is there for their `$PASS`.
        out.password = None;
    }
    block.set("token", &mut out.token, errors, |v| {
        reader::credential(v, "token").map(|t| Some(Secret::new(t)))
    });
    block.set("timeout", &mut limits.auth_timeout, errors, |v| reader::auth_timeout(v, doubts));
    block.set("proxy_required", &mut out.proxy_required, errors, reader::boolean);
    if let Some(value) = block.get("default_permissions") {
        out.default_permissions = permissions(value, errors);
    }
    if let Some(value) = block.get("users") {
        out.users = users(value, errors);
        // An empty list is one too, for the official server; checks across keys see only what is in it.
        let problem = match (&out.user, &out.token) {
            (Some(_), _) => "Can not have a single user/pass and a users array",
            (None, Some(_)) => "Can not have a token and a users array",
            (None, None) => "",
        };
        if out.users.is_empty() && !problem.is_empty() {
            errors.push(ConfigError::new(&value.at, problem));
        }
    }
    if let Some(value) = block.get("default_rate_limits") {
        out.default_rate_limits = Some(rate_limits(value, errors));
    }
    if let Some(value) = block.get("auth_callout") {
        out.callout = auth_callout(value, errors);
    }
    out
}

fn auth_callout(value: &Value, errors: &mut Errors) -> Option<AuthCallout> {
    let map = noted(reader::map(value), errors)?;
    let block = Block::new("auth_callout", map, errors);
    let mut out = AuthCallout { at: value.at.clone().into(), account: "$G".into(), ..AuthCallout::default() };
    block.set("issuer", &mut out.issuer, errors, |v| {
        let problem = "Expected callout user to be a valid public account nkey";
        public_key(v, 'A', problem).map(Option::unwrap_or_default)
    });
    block.set("account", &mut out.account, errors, reader::text);
    block.set("auth_users", &mut out.auth_users, errors, reader::text_list);
    block.set("xkey", &mut out.xkey, errors, |v| {
        public_key(v, 'X', "Expected callout xkey to be a valid public xkey")
    });
    block.set("allowed_accounts", &mut out.allowed_accounts, errors, reader::texts);
    for (key, what, given) in
        [("issuer", "an issuer", true), ("auth_users", "authorized users", !out.auth_users.is_empty())]
    {
        if block.get(key).is_none() || !given {
            let problem = format!("Authorization callouts require {what} to be specified");
            errors.push(ConfigError::new(&value.at, problem));
        }
    }
    Some(out)
}

fn users(value: &Value, errors: &mut Errors) -> Vec<User> {
    let values = noted(reader::array(value), errors).unwrap_or_default();
    reader::each(values, |value| user(value, errors))
}

fn user(value: &Value, errors: &mut Errors) -> Option<User> {
    let map = noted(reader::map(value), errors)?;
    let before = errors.len();
    let block = Block::new("user", map, errors);
    let mut out = User { at: value.at.clone().into(), ..User::default() };
    block.set("user", &mut out.name, errors, reader::text);
    block.set("pass", &mut out.password, errors, |v| reader::text(v).map(|p| Some(Secret::new(p))));
    block.set("nkey", &mut out.nkey, errors, |v| public_key(v, 'U', "Not a valid public nkey for a user"));
    block.set("proxy_required", &mut out.proxy_required, errors, reader::boolean);
    block.set("allowed_connection_types", &mut out.connection_types, errors, connection_types);
    if let Some(value) = block.get("permissions") {
        // Most users have none of their own, and a server may know a million of them.
        out.permissions = permissions(value, errors).map(Box::new);
    }
    if let Some(value) = block.get("rate_limits") {
        out.rate_limits = Some(rate_limits(value, errors));
    }
    let problem = match (block.get("nkey"), out.name.is_empty(), &out.password) {
        (Some(_), false, _) | (Some(_), _, Some(_)) => "Nkey users do not take usernames or passwords",
        (None, true, _) => "User entry requires a user",
        _ => "",
    };
    if !problem.is_empty() {
        errors.push(ConfigError::new(&value.at, problem));
    }
    (errors.len() == before).then_some(out)
}

fn public_key(value: &Value, kind: char, problem: &str) -> Result<Option<String>, ConfigError> {
    let key = reader::text(value)?;
    if nkey::is_public(&key, Some(kind)) {
        return Ok(Some(key));
    }
    Err(ConfigError::new(&value.at, problem).help(format!("it begins with `{kind}` and has 56 characters")))
}

fn connection_types(value: &Value) -> Result<Vec<String>, ConfigError> {
    let types: Vec<String> = reader::texts(value)?.into_iter().map(|t| t.to_ascii_uppercase()).collect();
    match types.iter().find(|t| !CONNECTION_TYPES.contains(&t.as_str())) {
        None => Ok(types),
        Some(unknown) => Err(ConfigError::new(&value.at, format!("unknown connection type {unknown:?}"))
            .help(format!("known are {}", CONNECTION_TYPES.join(", ")))),
    }
}

/// `{ NAME: { users: … }, … }`, or a list of names.
pub(crate) fn accounts(value: &Value, errors: &mut Errors) -> Vec<Account> {
    if let Kind::Array(values) = &value.kind {
        let names =
            values.iter().filter_map(|v| Some((noted(reader::text(v), errors)?, v))).collect::<Vec<_>>();
        return names
            .into_iter()
            .map(|(name, v)| Account { at: v.at.clone().into(), name, ..Account::default() })
            .collect();
    }
    let map = noted(reader::map(value), errors).unwrap_or(const { &Map::EMPTY });
    let entries = map.iter().filter(|entry| !entry.variable);
    entries.map(|entry| account(&entry.key, &entry.value, errors)).collect()
}

fn account(name: &str, value: &Value, errors: &mut Errors) -> Account {
    let mut out = Account { at: value.at.clone().into(), name: name.to_owned(), ..Account::default() };
    if name == "$G" {
        errors.push(ConfigError::new(&value.at, "\"$G\" is a Reserved Account"));
    }
    let Some(map) = noted(reader::map(value), errors) else { return out };
    let block = Block::new("account", map, errors);
    block
        .set("nkey", &mut out.nkey, errors, |v| public_key(v, 'A', "Not a valid public nkey for an account"));
    if let Some(value) = block.get("default_permissions") {
        out.default_permissions = permissions(value, errors);
    }
    if let Some(value) = block.get("users") {
        out.users = users(value, errors);
    }
    if let Some(value) = block.get("exports") {
        out.exports = sharing::exports(value, errors);
    }
    if let Some(value) = block.get("imports") {
        out.imports = sharing::imports(value, errors);
    }
    if let Some(value) = block.get("mappings") {
        out.mappings = sharing::mappings(value, errors);
    }
    if let Some(value) = block.get("msg_trace").filter(|value| !is_empty(value)) {
        out.msg_trace = noted(msg_trace(value), errors);
    }
    block.set("denied_publish_status", &mut out.denied_publish_status, errors, |v| {
        reader::boolean(v).map(Some)
    });
    if let Some(value) = block.get("rate_limits") {
        out.rate_limits = Some(rate_limits(value, errors));
    }
    if let Some(value) = block.get("default_rate_limits") {
        out.default_rate_limits = Some(rate_limits(value, errors));
    }
    if let Some(value) = block.get("limits")
        && let Some(map) = noted(reader::map(value), errors)
    {
        let block = Block::new("limits", map, errors);
        let limit = |v: &Value| Ok(u64::try_from(reader::integer(v)?).ok());
        block.set("max_connections", &mut out.limits.connections_max, errors, limit);
        block.set("max_subscriptions", &mut out.limits.subscriptions_max, errors, limit);
        block.set("max_payload", &mut out.limits.payload_bytes_max, errors, limit);
        block.set("max_leafnodes", &mut out.limits.leaf_nodes_max, errors, limit);
    }
    out
}

fn is_empty(value: &Value) -> bool {
    matches!(&value.kind, Kind::Map(map) if map.iter().next().is_none())
}

/// A subject, or `{ dest: …, sampling: … }`.
fn msg_trace(value: &Value) -> Result<MsgTrace, ConfigError> {
    let Kind::Map(map) = &value.kind else {
        return Ok(MsgTrace { destination: sharing::checked_literal(value)?, sampling: 100 });
    };
    let mut errors = Errors::new();
    let block = Block::new("msg_trace", map, &mut errors);
    let (mut destination, mut sampling) = (None, 100);
    block.set("dest", &mut destination, &mut errors, |v| sharing::checked_literal(v).map(Some));
    block.set("sampling", &mut sampling, &mut errors, |v| match sharing::percent(v)? {
        Some(n @ 1..=100) => Ok(n as u8),
        _ => Err(ConfigError::new(&v.at, "trace destination sampling is invalid, needs to be [1..100]")),
    });
    match (errors.into_iter().next(), destination) {
        (Some(error), _) => Err(error),
        (None, Some(destination)) => Ok(MsgTrace { destination, sampling }),
        (None, None) => Err(ConfigError::new(&value.at, "message tracing needs a `dest`")),
    }
}
