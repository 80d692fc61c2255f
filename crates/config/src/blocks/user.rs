//! Users.

use super::block;
use super::keys::Status::Reloads;
use super::permissions::{Permissions, permissions};
use super::rate_limits::{RateLimit, rate_limits};
use super::reader::{self, Block, Notes, noted};
use super::rule::Rule::Within;
use crate::Secret;
use crate::error::{ConfigError, Position};
use crate::language::Value;
use crate::nkey;

/// Kinds of connections that a user can be kept to.
const CONNECTION_TYPES: [&str; 7] =
    ["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];

block! {
    /// A user.
    pub struct User in "user" {
        /// Where it stands.
        at: Position = Position::default();
        /// With `nkey`, empty.
        name: String = String::new(),
            user | "username": "Name.", read (reader::text), Within(Reloads);
        password: Option<Secret> = None,
            pass | "password": "Password, plain or bcrypt.",
            read (|v| reader::text(v).map(|p| Some(Secret::new(p)))), Within(Reloads);
        nkey: Option<String> = None,
            nkey: "Public NKey instead of name and password.", read (user_nkey), Within(Reloads);
        /// `None`: what the default says. Most users have none of their own, and a server may know a million of them.
        permissions: Option<Box<Permissions>> = None,
            permissions | "permission" | "authorization": "What it may do.",
            block (|v, notes| permissions(v, notes).map(Box::new)), Within(Reloads);
        /// Empty: all.
        connection_types: Vec<String> = Vec::new(),
            allowed_connection_types | "connection_types" | "clients": "Kinds of connections it may use.",
            read (connection_types), Within(Reloads);
        proxy_required: bool = false,
            proxy_required: "It must come through a trusted proxy.", read (reader::boolean), Within(Reloads);
        /// `None`: what the default says.
        rate_limits: Option<Vec<RateLimit>> = None,
            rate_limits: "How much its connections may publish together. Not an official key.",
            block (|v, notes| Some(rate_limits(v, notes))), Within(Reloads);
    }
}

/// Reads a list of users.
pub(crate) fn users(value: &Value, notes: &mut Notes) -> Vec<User> {
    let values = noted(reader::array(value), &mut notes.errors).unwrap_or_default();
    reader::each(values, |value| user(value, notes))
}

fn user(value: &Value, notes: &mut Notes) -> Option<User> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let before = notes.errors.len();
    let block = Block::new("user", map, &mut notes.errors);
    let mut out = User { at: value.at.clone().into(), ..User::default() };
    out.read(&block, notes);
    let problem = match (block.get("nkey"), out.name.is_empty(), &out.password) {
        (Some(_), false, _) | (Some(_), _, Some(_)) => "Nkey users do not take usernames or passwords",
        (None, true, _) => "User entry requires a user",
        _ => "",
    };
    if !problem.is_empty() {
        notes.errors.push(ConfigError::new(&value.at, problem));
    }
    (notes.errors.len() == before).then_some(out)
}

fn user_nkey(value: &Value) -> Result<Option<String>, ConfigError> {
    public_key(value, 'U', "Not a valid public nkey for a user").map(Some)
}

/// A public NKey of this kind; `problem` says what it should be.
pub(crate) fn public_key(value: &Value, kind: char, problem: &str) -> Result<String, ConfigError> {
    let key = reader::text(value)?;
    if nkey::is_public(&key, Some(kind)) {
        return Ok(key);
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
