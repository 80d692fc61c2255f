//! What a reload changes: everything that can be changed, or every reason why not.
//!
//! One table names each field of the options, the key that sets it and the part of the server that it belongs to;
//! whether a reload may change it stands with the key ([`crate::blocks::keys`]). A field left out does not compile.

use crate::blocks::keys::{self, Status};
use crate::blocks::reader::go_duration;
pub use crate::blocks::rule::Change;
use crate::blocks::rule::{self, Difference, Rule, Show, hidden};
use crate::operator::OperatorMode;
use crate::options::cluster::RouteUrl;
use crate::options::websocket::WebSocket;
use crate::options::{
    self, Authorization, Clients, Cluster, Http, LameDuck, LeafNodes, Limits, Log, Options, Process, Server,
    Staples, TlsFirst, Usage,
};
use std::time::Duration;

/// Why a reload is refused: nothing of it is applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Refusal(pub Vec<String>);

/// A field of the options.
struct Field {
    /// The key that sets it, in the block.
    key: (&'static str, &'static str),
    /// What the official server calls it when it refuses to change it.
    name: &'static str,
    /// What it belongs to.
    change: Change,
    /// How a change of it is logged.
    said: LogForm,
    same: fn(&Options, &Options) -> bool,
    /// Its value in the notation of Go.
    show: fn(&Options) -> String,
}

/// How a change is told in the log.
enum LogForm {
    /// `key = value`
    Value,
    /// These words, whatever the value.
    Words(&'static str),
    /// These words, and which of the names went and came.
    Names(&'static str, fn(&Options) -> &[String]),
}

use Change::{Limits as L, Presentation, Tls, Users};
use LogForm::{Names, Value, Words};

/// Fields by the structs that hold them; `show` is left out where the value has its own way to be shown.
macro_rules! fields {
    (@show $of:ident, $field:ident, $show:expr) => { $show };
    (@show $of:ident, $field:ident) => { |o| $of(o).$field.show() };
    ($($struct:ident by $of:ident {
        $($field:ident: $block:literal $key:literal, $name:literal, $change:expr, $said:expr $(, $show:expr)?;)*
        $(- $skipped:ident;)*
    })*) => {
        const FIELDS: &[Field] = &[$($(Field {
            key: ($block, $key),
            name: $name,
            change: $change,
            said: $said,
            same: |old, new| $of(old).$field == $of(new).$field,
            show: fields!(@show $of, $field $(, $show)?),
        },)*)*];
        /// Holds the table to be complete: a struct's field that is not in it fails to compile here.
        #[allow(dead_code, clippy::large_types_passed_by_value)]
        mod complete {
            $(#[allow(non_snake_case)]
            fn $struct(it: super::$struct) {
                let super::$struct { $($field: _,)* $($skipped: _,)* } = it;
            })*
        }
    };
}

fn all(options: &Options) -> &Options {
    options
}
fn authorization(options: &Options) -> &Authorization {
    &options.authorization
}
fn operator_mode(options: &Options) -> &OperatorMode {
    &options.operator_mode
}
fields! {
    Options by all {
        headers: "" "no_header_support", "NoHeaderSupport", Presentation, Value, |o| (!o.headers).show();
        tls: "" "tls", "TLSConfig", Tls, Words("tls"), hidden;
        accounts: "" "accounts", "Accounts", Users, Words("accounts"), hidden;
        mappings: "" "mappings", "Mappings", Users, Words("mappings"), hidden;
        system_account: "" "system_account", "SystemAccount", Users, Value;
        no_system_account: "" "no_system_account", "NoSystemAccount", Users, Value;
        no_auth_user: "" "no_auth_user", "NoAuthUser", Users, Value;
        trusted_proxies: "" "proxies", "Proxies", Users, Names("proxies trusted keys", |o| &o.trusted_proxies), hidden;
        - operator_mode; - clients; - server; - process; - staples; - usage; - source; - http; - limits; - lame_duck; - log; - authorization; - websocket; - cluster; - gateway; - leafnodes;
    }
    Authorization by authorization {
        user: "authorization" "user", "Username", Users, Words("authorization username"), hidden;
        password: "authorization" "pass", "Password", Users, Words("authorization password"), hidden;
        token: "authorization" "token", "Authorization", Users, Words("authorization token"), hidden;
        users: "authorization" "users", "Users", Users, Words("authorization users"), hidden;
        default_permissions: "authorization" "default_permissions", "Users", Users, Words("authorization users"), hidden;
        proxy_required: "authorization" "proxy_required", "ProxyRequired", Users, Words("authorization users");
        callout: "authorization" "auth_callout", "AuthCallout", Users, Words("auth callout"), hidden;
        default_rate_limits: "authorization" "default_rate_limits", "RateLimits", L, Words("rate limits"), hidden;
    }
    OperatorMode by operator_mode {
        operators: "" "operator", "TrustedOperators", Users, Words("trusted operators"), hidden;
        trusted_keys: "" "trusted", "TrustedKeys", Users, Words("trusted keys"), hidden;
        resolver: "" "resolver", "AccountResolver", Users, Words("account resolver"), hidden;
        tls: "" "resolver_tls", "AccountResolverTLSConfig", Users, Words("account resolver"), hidden;
        preload: "" "resolver_preload", "ResolverPreloads", Users, Words("accounts"), hidden;
        pinned: "" "resolver_pinned_accounts", "ResolverPinnedAccounts", Users, Words("pinned accounts"), hidden;
        default_sentinel: "" "default_sentinel", "DefaultSentinel", Users, Words("default sentinel"), hidden;
    }
}

/// What stands in the `tls` block of each listener, which reloads else.
const TLS_RATES: [Field; 2] = [
    Field {
        key: ("tls", "connection_rate_limit"),
        name: "TLSRateLimit",
        change: Tls,
        said: Value,
        same: |old, new| tls_rate(old.tls.as_ref()) == tls_rate(new.tls.as_ref()),
        show: |o| tls_rate(o.tls.as_ref()).show(),
    },
    Field {
        key: ("tls", "connection_rate_limit"),
        name: "Websocket TLSRateLimit",
        change: Tls,
        said: Value,
        same: |old, new| tls_rate(websocket_tls(old)) == tls_rate(websocket_tls(new)),
        show: |o| tls_rate(websocket_tls(o)).show(),
    },
];

/// The listener for WebSocket, of which only TLS may change.
const WEBSOCKET: Field = Field {
    key: ("websocket", "listen"),
    name: "Websocket",
    change: Presentation,
    said: Value,
    same: |old, new| websocket(old) == websocket(new),
    show: hidden,
};

const WEBSOCKET_TLS: Field = Field {
    key: ("websocket", "tls"),
    name: "Websocket",
    change: Tls,
    said: Value,
    same: |old, new| websocket_tls(old) == websocket_tls(new),
    show: hidden,
};

/// The cluster: all may change but where it listens.
const CLUSTER: [Field; 4] = [
    Field {
        key: ("cluster", "host"),
        name: "cluster host",
        change: Change::Cluster,
        said: Value,
        same: |old, new| cluster_host(old) == cluster_host(new),
        show: |o| cluster_host(o).to_owned(),
    },
    Field {
        key: ("cluster", "port"),
        name: "cluster port",
        change: Change::Cluster,
        said: Value,
        same: |old, new| cluster_port(old) == cluster_port(new),
        show: |o| cluster_port(o).map_or(-1, i32::from).to_string(),
    },
    Field {
        key: ("", "cluster"),
        name: "cluster",
        change: Change::Cluster,
        said: Words("cluster"),
        same: |old, new| cluster(old) == cluster(new),
        show: hidden,
    },
    Field {
        key: ("cluster", "routes"),
        name: "cluster routes",
        change: Change::Routes,
        said: Words("cluster routes"),
        same: |old, new| routes(old) == routes(new),
        show: hidden,
    },
];

/// The gateway, of which nothing may change.
const GATEWAY: Field = Field {
    key: ("gateway", "listen"),
    name: "Gateway",
    change: Change::Cluster,
    said: Value,
    same: |old, new| old.gateway == new.gateway,
    show: hidden,
};

/// Leaf nodes, of which TLS, compression and the remotes may change.
const LEAF_NODES: [Field; 2] = [
    Field {
        key: ("leafnodes", "listen"),
        name: "LeafNode",
        change: Change::LeafNodes,
        said: Value,
        same: |old, new| fixed_leaf_nodes(old) == fixed_leaf_nodes(new),
        show: hidden,
    },
    Field {
        key: ("", "leafnodes"),
        name: "LeafNode",
        change: Change::LeafNodes,
        said: Words("leaf nodes"),
        same: |old, new| old.leafnodes == new.leafnodes,
        show: hidden,
    },
];

/// What only a restart changes of leaf nodes.
fn fixed_leaf_nodes(options: &Options) -> LeafNodes {
    let mut own = options.leafnodes.clone().unwrap_or_default();
    own.remotes.clear();
    own.listener.tls = None;
    own.listener.compression = LeafNodes::default().listener.compression;
    own
}

/// Fields that are parts of what stands elsewhere as a whole.
fn beside() -> impl Iterator<Item = &'static Field> {
    [&WEBSOCKET, &WEBSOCKET_TLS, &GATEWAY].into_iter().chain(&TLS_RATES).chain(&CLUSTER).chain(&LEAF_NODES)
}

fn cluster_host(options: &Options) -> &str {
    options.cluster.as_ref().filter(|own| own.is_on()).map_or("", |own| &own.listener.host)
}

fn cluster_port(options: &Options) -> Option<u16> {
    options.cluster.as_ref().map_or(Some(0), |own| own.listener.port)
}

/// All but the routes and where it listens.
fn cluster(options: &Options) -> Cluster {
    let mut own = options.cluster.clone().unwrap_or_default();
    own.routes.clear();
    (own.listener.host, own.listener.port) = (String::new(), None);
    own
}

fn routes(options: &Options) -> &[RouteUrl] {
    options.cluster.as_ref().map_or(&[], |own| &own.routes)
}

fn websocket(options: &Options) -> Option<WebSocket> {
    let own = options.websocket.as_ref()?;
    Some(WebSocket { tls: None, ..own.clone() })
}

fn websocket_tls(options: &Options) -> Option<&options::Tls> {
    options.websocket.as_ref()?.tls.as_ref()
}

fn tls_rate(tls: Option<&options::Tls>) -> u32 {
    tls.map_or(0, |tls| tls.rate_max)
}

/// What changes from `old` to `new`.
///
/// # Errors
///
/// All options that only a restart can change.
pub fn plan(old: &Options, new: &Options) -> Result<Vec<Change>, Refusal> {
    let parts = of_blocks(old, new);
    let different = FIELDS.iter().chain(beside()).filter(|field| !(field.same)(old, new));
    let (reloads, fixed): (Vec<_>, Vec<_>) =
        different.partition(|field| field.reloads() || field.may_go(old, new));
    let of_fields = fixed.iter().map(|field| field.refusal(old, new));
    let refusals: Vec<String> =
        of_fields.chain(parts.iter().filter_map(|part| part.refusal.clone())).collect();
    if !refusals.is_empty() {
        return Err(Refusal(refusals));
    }
    let mut changes: Vec<Change> = reloads.iter().map(|field| field.change).collect();
    changes.extend(parts.iter().filter_map(|part| part.change));
    changes.sort_unstable();
    changes.dedup();
    Ok(changes)
}

/// What differs in the blocks that declare their own rules.
fn of_blocks(old: &Options, new: &Options) -> Vec<Difference> {
    let mut out = Vec::new();
    Clients::compare(&old.clients, &new.clients, &mut out);
    Server::compare(&old.server, &new.server, &mut out);
    Process::compare(&old.process, &new.process, &mut out);
    Staples::compare(&old.staples, &new.staples, &mut out);
    Usage::compare(&old.usage, &new.usage, &mut out);
    Http::compare(&old.http, &new.http, &mut out);
    Limits::compare(&old.limits, &new.limits, &mut out);
    compare_auth_timeout(&old.limits, &new.limits, &mut out);
    compare_cluster_name(old, new, &mut out);
    LameDuck::compare(&old.lame_duck, &new.lame_duck, &mut out);
    Log::compare(&old.log, &new.log, &mut out);
    out
}

/// `authorization.timeout`, which is kept with the limits.
fn compare_auth_timeout(old: &Limits, new: &Limits, out: &mut Vec<Difference>) {
    const RULE: Rule<Option<Duration>> = Rule::Reloads(
        Change::Limits,
        rule::LogForm::Named("authorization timeout", |timeout| {
            timeout.map_or(String::new(), |timeout| timeout.as_secs_f64().to_string())
        }),
    );
    RULE.compare("timeout", &old.auth_timeout, &new.auth_timeout, out);
}

/// The name of a cluster that has one: the servers that know it by that name would have to change at the same moment.
fn compare_cluster_name(old: &Options, new: &Options, out: &mut Vec<Difference>) {
    let name = |options: &Options| options.cluster.as_ref().filter(|own| own.is_on())?.name.clone();
    if let (Some(old), Some(own), Some(name)) = (name(old), &new.cluster, name(new))
        && old != name
    {
        let refusal =
            format!("{}: config reload not supported for cluster name: old={old}, new={name}", *own.at);
        out.push(Difference { change: None, line: None, refusal: Some(refusal) });
    }
}

/// What a reload from `old` to `new` says in the log, a line each, in the words of the official server and without
/// its `Reloaded: `.
pub fn lines(old: &Options, new: &Options) -> Vec<String> {
    let different = FIELDS.iter().chain(&CLUSTER).chain(&LEAF_NODES).filter(|field| !(field.same)(old, new));
    let mut lines: Vec<String> = different.flat_map(|field| field.lines(old, new)).collect();
    lines.extend(of_blocks(old, new).into_iter().filter_map(|part| part.line));
    lines.dedup();
    lines
}

impl Field {
    fn reloads(&self) -> bool {
        let (block, key) = self.key;
        // What is refused at start has its default, before as after.
        keys::find(block, key).is_none_or(|key| key.status != Status::Restarts)
    }

    /// Why a change of it is refused.
    fn refusal(&self, old: &Options, new: &Options) -> String {
        let at = match (self.change, &new.cluster) {
            (Change::Cluster, Some(own)) if self.key.0 == "cluster" => format!("{}: ", *own.at),
            _ => String::new(),
        };
        let (old, new) = ((self.show)(old), (self.show)(new));
        format!("{at}config reload not supported for {}: old={old}, new={new}", self.name)
    }

    /// `no_auth_user` may be taken away together with the user that it names.
    fn may_go(&self, old: &Options, new: &Options) -> bool {
        let (Some(name), None) = (&old.no_auth_user, &new.no_auth_user) else { return false };
        let in_accounts = new.accounts.iter().flat_map(|account| &account.users);
        let mut users = new.authorization.users.iter().chain(in_accounts);
        self.key.1 == "no_auth_user" && !users.any(|user| user.name == *name)
    }

    fn lines(&self, old: &Options, new: &Options) -> Vec<String> {
        let line = match self.said {
            Names(words, names) => return went_and_came(words, names(old), names(new)),
            Value => format!("{} = {}", self.key.1, (self.show)(new)),
            Words("tls") => return tls_lines(old.tls.as_ref(), new.tls.as_ref()),
            Words(words) => words.to_owned(),
        };
        vec![line]
    }
}

/// What changed about TLS: what has a line of its own in the official log, or else that it is on.
fn tls_lines(old: Option<&options::Tls>, new: Option<&options::Tls>) -> Vec<String> {
    let Some(new) = new else { return vec!["tls = disabled".into()] };
    let mut lines = Vec::new();
    let mut told = new.clone();
    if let Some(old) = old {
        if old.timeout != new.timeout {
            lines.push(format!("tls timeout = {}", new.timeout.as_secs_f64()));
        }
        if old.pinned_certs != new.pinned_certs {
            lines.push(format!("{} pinned_certs", new.pinned_certs.len()));
        }
        if old.first != new.first {
            let first = match new.first {
                TlsFirst::No => "false".into(),
                TlsFirst::Yes => "true".into(),
                TlsFirst::Within(delay) => format!("auto ({})", go_duration(delay)),
            };
            lines.push(format!("Client TLS handshake first: {first}"));
        }
        (told.timeout, told.first) = (old.timeout, old.first);
        told.pinned_certs.clone_from(&old.pinned_certs);
        told.at.clone_from(&old.at);
    }
    if old != Some(&told) {
        lines.insert(0, "tls = enabled".into());
    }
    lines
}

/// Which names are not there any more, and which were not there before.
fn went_and_came(words: &str, old: &[String], new: &[String]) -> Vec<String> {
    let only = |of: &[String], not: &[String]| -> Vec<String> {
        of.iter().filter(|name| !not.contains(name)).map(|name| format!("{name:?}")).collect()
    };
    [(only(old, new), "removed"), (only(new, old), "added")]
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{words} [{}] were {what}", names.join(" ")))
        .collect()
}

#[cfg(test)]
mod tests;
