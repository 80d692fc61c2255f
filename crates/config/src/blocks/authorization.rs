//! Users of the default account, or one user, or a token; or a service that is asked who may connect.

use super::block;
use super::keys::Status;
use super::permissions::{Permissions, permissions};
use super::rate_limits::{RateLimit, rate_limits};
use super::reader::{self, Block, Notes, noted};
use super::rule::LogForm::Words;
use super::rule::Rule::{Reloads, Restarts, Within};
use super::rule::{Change, LogForm, show};
use super::user::{User, public_key, users};
use crate::Secret;
use crate::error::{ConfigError, Position};
use crate::language::Value;
use std::time::Duration;

block! {
    /// Users of the default account, or one user, or a token.
    pub struct Authorization in "authorization" {
        /// The only user.
        user: Option<String> = None,
            user | "username": "The only user.",
            read (|v| reader::credential(v, "user").map(Some)), Reloads(Change::Users, Words("authorization username"));
        password: Option<Secret> = None,
            pass | "password": "Its password, plain or bcrypt.",
            read (|v| reader::text(v).map(|p| Some(Secret::new(p)))), Reloads(Change::Users, Words("authorization password"));
        token: Option<Secret> = None,
            token: "A token instead of users.",
            read (|v| reader::credential(v, "token").map(|t| Some(Secret::new(t)))), Reloads(Change::Users, Words("authorization token"));
        users: Vec<User> = Vec::new(),
            users: "Users.", block (users), Reloads(Change::Users, Words("authorization users"));
        /// `None`: the usual.
        timeout: Option<Duration> = None,
            timeout: "How long a client may take to say who it is. Default 2s.",
            noting (|v, notes: &mut Notes| reader::auth_timeout(v, &mut notes.doubts)),
            Reloads(Change::Limits, LogForm::Named("authorization timeout", show_timeout));
        default_permissions: Option<Permissions> = None,
            default_permission | "default_permissions" | "permissions": "Permissions of users that have none.",
            block (permissions), Reloads(Change::Users, Words("authorization users"));
        proxy_required: bool = false,
            proxy_required: "The only user, or the token, must come through a trusted proxy.",
            read (reader::boolean), Restarts("ProxyRequired", show);
        callout: Option<AuthCallout> = None,
            auth_callout | "auth_hook": "Ask a service who may connect.",
            block (auth_callout), Restarts("AuthCallout", super::rule::hidden);
        default_rate_limits: Option<Vec<RateLimit>> = None,
            default_rate_limits: "How much each user of the default account may publish that has no `rate_limits`. Not an official key.",
            block (|v, notes| Some(rate_limits(v, notes))), Reloads(Change::Limits, Words("rate limits"));
    }
}

block! {
    /// A service that is asked who may connect.
    pub struct AuthCallout in "auth_callout" {
        /// Where it stands.
        at: Position = Position::default();
        issuer: String = String::new(),
            issuer: "Public NKey of the account that signs the answers.", read (issuer), Within(Status::Reloads);
        account: String = "$G".into(),
            account | "acc": "Account whose service is asked. Default: the default account.",
            read (reader::text), Within(Status::Reloads);
        /// By name or NKey.
        auth_users: Vec<String> = Vec::new(),
            auth_users | "users": "Users of that account that the service itself is.",
            read (reader::text_list), Within(Status::Reloads);
        xkey: Option<String> = None,
            xkey | "key": "Public curve key; requests and answers are sealed for it.", read (xkey), Within(Status::Reloads);
        /// Empty: all.
        allowed_accounts: Vec<String> = Vec::new(),
            allowed_accounts: "Accounts that answers may name. Default: all.", read (reader::texts), Within(Status::Reloads);
    }
}

fn show_timeout(timeout: &Option<Duration>) -> String {
    timeout.map_or(String::new(), |timeout| timeout.as_secs_f64().to_string())
}

/// Reads the block.
pub(crate) fn authorization(value: &Value, notes: &mut Notes) -> Authorization {
    let mut out = Authorization::default();
    let Some(map) = noted(reader::map(value), &mut notes.errors) else { return out };
    let block = Block::new("authorization", map, &mut notes.errors);
    out.read(&block, notes);
    if out.user.is_none() && block.is_variable("pass") {
        // `PASS: …` beside users is there for their `$PASS`.
        out.password = None;
    }
    if let Some(value) = block.get("users") {
        // An empty list is one too, for the official server; checks across keys see only what is in it.
        let problem = match (&out.user, &out.token) {
            (Some(_), _) => "Can not have a single user/pass and a users array",
            (None, Some(_)) => "Can not have a token and a users array",
            (None, None) => "",
        };
        if out.users.is_empty() && !problem.is_empty() {
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
    }
    out
}

fn auth_callout(value: &Value, notes: &mut Notes) -> Option<AuthCallout> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let block = Block::new("auth_callout", map, &mut notes.errors);
    let mut out = AuthCallout { at: value.at.clone().into(), ..AuthCallout::default() };
    out.read(&block, notes);
    for (key, what, given) in
        [("issuer", "an issuer", true), ("auth_users", "authorized users", !out.auth_users.is_empty())]
    {
        if block.get(key).is_none() || !given {
            let problem = format!("Authorization callouts require {what} to be specified");
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
    }
    Some(out)
}

fn issuer(value: &Value) -> Result<String, ConfigError> {
    public_key(value, 'A', "Expected callout user to be a valid public account nkey")
}

fn xkey(value: &Value) -> Result<Option<String>, ConfigError> {
    public_key(value, 'X', "Expected callout xkey to be a valid public xkey").map(Some)
}
