//! What is wrong with a token that can be read: every issue named, as the official library names them.
//!
//! Reading a token ([`super::decode`]) proves whose it is; [`validate`] looks at each field of it. Neither asks whether it is
//! trusted: that is [`super::trust`].

mod account;
mod subject;
#[cfg(test)]
mod tests;

use super::authorization::{AuthorizationRequest, AuthorizationResponse};
use super::claims::{Activation, ExportKind, Operator, Permission, Permissions, TimeRange, User, UserLimits};
use super::{Body, DecodedJwt};
use crate::nkey::{Kind, Public};
use std::fmt;
use std::net::IpAddr;

/// How bad an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The token can be used, but should be looked at.
    Warning,
    /// The token cannot be used at this time.
    Time,
    /// The token must not be used.
    Error,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// In words.
    pub text: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a token cannot know of the world.
#[derive(Clone, Copy)]
pub struct ValidationContext<'a> {
    /// Now, in seconds since 1970. `None`: times are not looked at.
    pub now: Option<i64>,
    /// Whether there is a time zone of this name.
    pub is_time_zone: &'a dyn Fn(&str) -> bool,
}

/// The issues found so far.
struct Issues {
    found: Vec<Issue>,
}

impl Issues {
    fn error(&mut self, text: impl Into<String>) {
        self.found.push(Issue { severity: Severity::Error, text: text.into() });
    }

    fn warning(&mut self, text: impl Into<String>) {
        self.found.push(Issue { severity: Severity::Warning, text: text.into() });
    }

    fn time(&mut self, text: &str) {
        self.found.push(Issue { severity: Severity::Time, text: text.to_owned() });
    }

    fn refuse_if(&mut self, wrong: bool, text: impl FnOnce() -> String) {
        if wrong {
            self.error(text());
        }
    }
}

/// All that is wrong with a token, in the order of its fields. Empty: it is good.
pub fn validate(token: &DecodedJwt, world: &ValidationContext<'_>) -> Vec<Issue> {
    let mut issues = Issues { found: Vec::new() };
    if let Some(now) = world.now {
        if token.expires.is_some_and(|until| until < now) {
            issues.time("claim is expired");
        }
        if token.not_before.is_some_and(|from| now < from) {
            issues.time("claim is not yet valid");
        }
    }
    match &token.body {
        Body::Operator(operator) => self::operator(operator, &mut issues),
        Body::Account(account) => account::account(account, token, &mut issues),
        Body::User(user) => self::user(user, world, &mut issues),
        Body::Activation(activation) => self::activation(activation, &mut issues),
        Body::AuthorizationRequest(request) => self::request(request, &mut issues),
        Body::AuthorizationResponse(response) => self::response(response, token, &mut issues),
    }
    issues.found
}

pub use subject::is_contained;

fn is_key(text: &str, kind: Kind) -> bool {
    Public::parse(text).is_ok_and(|key| key.kind == kind)
}

fn operator(operator: &Operator, issues: &mut Issues) {
    let server = &operator.account_server_url;
    if !server.is_empty() {
        match Url::parse(server) {
            None => issues.error("error parsing account server url: it has a space or a control character"),
            Some(url) => issues.refuse_if(url.scheme.is_empty(), || {
                format!("account server url {server:?} requires a protocol")
            }),
        }
    }
    for url in operator.operator_service_urls.iter().filter(|url| !url.is_empty()) {
        service_url(url, issues);
    }
    for key in &operator.signing_keys {
        issues.refuse_if(!is_key(key, Kind::Operator), || format!("{key} is not an operator public key"));
    }
    let system = &operator.system_account;
    issues.refuse_if(!system.is_empty() && !is_key(system, Kind::Account), || {
        format!("{system} is not an account public key")
    });
    server_version(&operator.assert_server_version, issues);
}

fn service_url(text: &str, issues: &mut Issues) {
    let Some(url) = Url::parse(text) else {
        issues.error(format!(
            "error parsing operator service url {text:?}: it has a space or a control character"
        ));
        return;
    };
    if url.has_user {
        issues.error(format!("operator service url {text:?} - credentials are not supported"));
    } else if url.has_path {
        issues.error(format!("operator service url {text:?} - paths are not supported"));
    } else if !["nats", "tls", "ws", "wss"].contains(&url.scheme.to_ascii_lowercase().as_str()) {
        issues.error(format!(
            "operator service url {text:?} - protocol not supported (only 'nats', 'tls', 'ws', 'wss' only)"
        ));
    }
}

/// `2.10.0`, or nothing.
fn server_version(version: &str, issues: &mut Issues) {
    if version.is_empty() {
        return;
    }
    let parts: Vec<&str> = version.split('.').collect();
    let problem = if parts.len() != 3 {
        "asserted server version must be of the form <major>.<minor>.<update>".to_owned()
    } else if let Some(part) = parts.iter().find(|part| part.parse::<i64>().is_err()) {
        format!("asserted server version cant parse {part} to int")
    } else if parts.iter().any(|part| part.starts_with('-')) {
        format!("asserted server version can'b contain negative values: {version}")
    } else {
        return;
    };
    issues.error(format!("assert server version error: {problem}"));
}

/// As much of a URL as the checks look at.
struct Url<'a> {
    scheme: &'a str,
    has_user: bool,
    host: &'a str,
    has_path: bool,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return None;
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        Some(Self { scheme, has_user: user.is_some(), host, has_path: path.starts_with('/') })
    }
}

fn user(user: &User, world: &ValidationContext<'_>, issues: &mut Issues) {
    user_limits(&user.limits, world, issues);
    issuer_account(&user.issuer_account, "account_id", issues);
}

fn issuer_account(key: &str, field: &str, issues: &mut Issues) {
    issues.refuse_if(!key.is_empty() && !is_key(key, Kind::Account), || {
        format!("{field} is not an account public key")
    });
}

fn user_limits(limits: &UserLimits, world: &ValidationContext<'_>, issues: &mut Issues) {
    permissions(&limits.permissions, issues);
    for network in &limits.src {
        issues.refuse_if(!is_network(network), || format!("invalid cidr {network:?} in user src limits"));
    }
    for range in &limits.times {
        time_range(range, issues);
    }
    let zone = &limits.times_location;
    issues.refuse_if(!zone.is_empty() && !(world.is_time_zone)(zone), || {
        format!("could not parse iana time zone by name: unknown time zone {zone}")
    });
}

fn permissions(permissions: &Permissions, issues: &mut Issues) {
    permission(&permissions.subscribe, Queues::Allowed, issues);
    permission(&permissions.publish, Queues::Refused, issues);
}

/// Whether a subject may be followed by the name of a queue group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queues {
    Allowed,
    Refused,
}

fn permission(permission: &Permission, queues: Queues, issues: &mut Issues) {
    for entry in permission.allow.iter().chain(&permission.deny) {
        let words: Vec<&str> = entry.split(' ').collect();
        if words.len() > 2 {
            issues.error(format!("Permission Subject \"{entry}\" contains too many spaces"));
            continue;
        }
        for word in &words {
            subject::check(word, issues);
        }
        issues.refuse_if(words.len() == 2 && queues == Queues::Refused, || {
            format!("Permission Subject \"{entry}\" is not allowed to contain queue")
        });
    }
}

fn time_range(range: &TimeRange, issues: &mut Issues) {
    for (name, time) in [("start", &range.start), ("end", &range.end)] {
        if time.is_empty() {
            let article = if name == "start" { "a" } else { "an" };
            issues.error(format!("time ranges {name} must contain {article} {name}"));
        } else if super::time_of_day::seconds_of_day(time).is_none() {
            issues.error(format!("{name} in time range is invalid {time:?}"));
        }
    }
}

/// `10.0.0.0/8`.
fn is_network(text: &str) -> bool {
    let Some((base, bits)) = text.split_once('/') else { return false };
    let Ok(bits) = bits.parse::<u8>() else { return false };
    match base.parse() {
        Ok(IpAddr::V4(_)) => bits <= 32,
        Ok(IpAddr::V6(_)) => bits <= 128,
        Err(_) => false,
    }
}

fn activation(activation: &Activation, issues: &mut Issues) {
    if activation.kind.is_none() {
        issues.error("invalid import type: \"unknown\"");
    }
    subject::check(&activation.subject, issues);
    issuer_account(&activation.issuer_account, "account_id", issues);
}

fn request(request: &AuthorizationRequest, issues: &mut Issues) {
    let key = &request.user_nkey;
    if key.is_empty() {
        issues.error("User nkey is required");
    } else if !is_key(key, Kind::User) {
        issues.error(format!("User nkey {key:?} is not a valid user public key"));
    }
}

fn response(response: &AuthorizationResponse, token: &DecodedJwt, issues: &mut Issues) {
    if !is_key(&token.audience, Kind::Server) {
        issues.error("Audience must be a server public key");
    }
    match (response.error.is_empty(), response.jwt.is_empty()) {
        (true, true) => issues.error("Error or Jwt is required"),
        (false, false) => issues.error("Only Error or Jwt can be set"),
        _ => {}
    }
    issuer_account(&response.issuer_account, "issuer_account", issues);
}

impl ExportKind {
    /// `stream` or `service`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Service => "service",
        }
    }
}
