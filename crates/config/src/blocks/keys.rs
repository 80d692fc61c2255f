//! The table of keys: where each stands, what else it is called, whether a reload may change it, and what it means.
//! Reading, refusing, docs and tests all go by this table.

use crate::blocks::clients::Clients;
use crate::blocks::cluster::{Cluster, RouteDialing, RouteLimits, RouteListener, RoutePool, RouteUser};
use crate::blocks::compression::Compression;
use crate::blocks::gateway::{Gateway, GatewayListener, GatewayUser, RemoteGateway};
use crate::blocks::http::Http;
use crate::blocks::lame_duck::LameDuck;
use crate::blocks::leaf_remote::{LeafLink, LeafProxy, LeafRemote, Migration};
use crate::blocks::leafnodes::{LeafAuthorization, LeafListener, LeafNodes, LeafUser};
use crate::blocks::limits::Limits;
use crate::blocks::log::Log;
use crate::blocks::ocsp::{Ocsp, OcspCache, OcspPeer};
use crate::blocks::process::Process;
use crate::blocks::resolver_tls::ResolverTls;
use crate::blocks::server::Server;
use crate::blocks::staples::Staples;
use crate::blocks::tls::{CertPair, Tls};
use crate::blocks::usage::Usage;
use crate::blocks::websocket::{CookieNames, OwnUsers, WebSocket};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Whether a key is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is, and a reload may change it.
    Reloads,
    /// It is; a change needs a restart.
    Restarts,
    /// It is known and refused at start, for this reason.
    Refused(&'static str),
}

/// A key in one kind of block.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The kind of block; empty at the top.
    pub block: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Whether it is carried out.
    pub status: Status,
    /// One line for the docs.
    pub doc: &'static str,
}

use Status::{Refused, Reloads, Restarts};

const GATEWAYS: &str = "superclusters are not part of this version";
const OF_LEAFS: &str = "this part of leaf nodes is not part of this version";
const JETSTREAM: &str = "JetStream is not part of this version";
const MQTT: &str = "MQTT is not part of this version";

/// The parts of the table, those of one block behind each other. Each block declares its own (`crate::blocks`).
static PARTS: &[&[Key]] = &[
    Clients::KEYS,
    Server::KEYS,
    Http::KEYS,
    Limits::KEYS,
    LameDuck::KEYS,
    Log::KEYS,
    Process::KEYS,
    TOP,
    Staples::KEYS,
    Usage::KEYS,
    Tls::KEYS,
    CertPair::KEYS,
    WebSocket::KEYS,
    CookieNames::KEYS,
    OwnUsers::KEYS,
    Cluster::KEYS,
    RouteListener::KEYS,
    RouteDialing::KEYS,
    RoutePool::KEYS,
    RouteLimits::KEYS,
    RouteUser::KEYS,
    Compression::KEYS,
    Gateway::KEYS,
    GatewayListener::KEYS,
    GatewayUser::KEYS,
    RemoteGateway::KEYS,
    LeafNodes::KEYS,
    LeafListener::KEYS,
    LeafAuthorization::KEYS,
    LeafUser::KEYS,
    LeafRemote::KEYS,
    LeafLink::KEYS,
    LeafProxy::KEYS,
    Migration::KEYS,
    Ocsp::KEYS,
    OcspPeer::KEYS,
    OcspCache::KEYS,
    ResolverTls::KEYS,
    USERS_AND_ACCOUNTS,
];

/// Keys that are read and checked, and not yet carried out: block, key, why. What has no row here is on, in files and
/// by flags. Rows of keys inside a block that is refused as a whole say nothing: the block is refused, and once.
const NOT_CARRIED_OUT: &[(&str, &str, &str)] = &[
    ("", "gateway", GATEWAYS),
    ("leafnodes", "tls", OF_LEAFS),
    ("leafnodes", "compression", OF_LEAFS),
    ("leafnodes_remote", "tls", OF_LEAFS),
    ("leafnodes_remote", "hub", OF_LEAFS),
    ("leafnodes_remote", "jetstream_cluster_migrate", JETSTREAM),
    ("leafnodes_remote", "ws_compression", OF_LEAFS),
    ("leafnodes_remote", "ws_no_masking", OF_LEAFS),
    ("leafnodes_remote", "compression", OF_LEAFS),
    ("leafnodes_remote", "proxy", OF_LEAFS),
];

/// All keys, by their blocks.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let find = |block: &str, name: &str| NOT_CARRIED_OUT.iter().find(|row| (row.0, row.1) == (block, name));
    let keys = PARTS.iter().copied().flatten().copied();
    keys.map(|key| match (find("", key.block), find(key.block, key.name)) {
        (None, Some(&(_, _, why))) => Key { status: Refused(why), ..key },
        _ => key,
    })
    .collect()
});

macro_rules! keys {
    ($($part:ident: $($block:literal { $($name:ident $(| $alias:literal)* : $status:expr, $doc:literal;)* })*)*) => {
        $(const $part: &[Key] = &[$($(Key {
            block: $block, name: stringify!($name), aliases: &[$($alias),*], status: $status, doc: $doc,
        },)*)*];)*
    };
}

keys! {
    TOP: "" {
        prof_port: Reloads, "Accepted, and nothing listens there: there is no Go profiler.";
        prof_block_rate: Reloads, "Accepted without effect: there is no Go profiler.";
        no_header_support: Restarts, "Turn headers off.";
        disable_sublist_cache | "no_sublist_cache": Reloads, "Accepted; matches are cached per event loop, and never wrong.";
        tls: Reloads, "TLS for clients.";
        authorization: Reloads, "Users of the default account, or one user or token.";
        accounts: Reloads, "Accounts with their users.";
        system_account | "system": Restarts, "The account for system events.";
        no_system_account | "no_system" | "no_sys_acc": Restarts, "Have no system account.";
        no_auth_user: Restarts, "The user that a connection without credentials is.";
        mappings | "maps": Reloads, "Subject mappings of the default account.";
        proxies: Reloads, "Keys of trusted proxies.";
        cluster: Reloads, "Routes to other servers.";
        gateway: Restarts, "Connections to other clusters.";
        leafnodes | "leaf": Reloads, "Leaf nodes.";
        jetstream: Refused(JETSTREAM), "Streams.";
        default_js_domain: Refused(JETSTREAM), "Domains of accounts.";
        feature_flags: Refused(JETSTREAM), "Behaviour that is being introduced.";
        websocket | "ws": Reloads, "A listener for clients by WebSocket.";
        mqtt: Refused(MQTT), "MQTT listener.";
        operator | "operators" | "root" | "roots" | "root_operator" | "root_operators": Restarts, "JWTs of operators, or files that hold them.";
        resolver | "account_resolver" | "accounts_resolver": Restarts, "Where account JWTs come from: `MEMORY`, `URL(…)`, or a block.";
        resolver_tls: Restarts, "TLS to a URL resolver.";
        resolver_preload: Reloads, "Account JWTs to begin with, by public key.";
        resolver_pinned_accounts: Reloads, "The only accounts that users may be of, beside the system account.";
        trusted | "trusted_keys": Restarts, "Public keys of operators, instead of their JWTs.";
        default_sentinel: Reloads, "Bearer JWT of connections without credentials.";
    }
    USERS_AND_ACCOUNTS: "resolver" {
        type: Restarts, "`full` keeps every JWT, `cache` those used lately, `memory` those that are preloaded.";
        dir: Restarts, "Folder of the JWTs, one file an account.";
        allow_delete: Restarts, "A request signed by the operator may delete JWTs.";
        hard_delete: Restarts, "Deleted files are removed, not renamed.";
        limit: Restarts, "JWTs that are kept. Default: any number; of a cache 1000.";
        ttl: Restarts, "How long a cache keeps a JWT. Default 2h.";
        interval: Restarts, "How often a full resolver compares itself with others. Default 1m.";
        timeout: Restarts, "How long others are asked for a JWT. Default 1.9s.";
    }
    "proxies" {
        trusted: Reloads, "Proxies that are trusted.";
    }
    "proxy" {
        key | "public_key": Reloads, "Its public NKey.";
    }
    "authorization" {
        user | "username": Reloads, "The only user.";
        pass | "password": Reloads, "Its password, plain or bcrypt.";
        token: Reloads, "A token instead of users.";
        users: Reloads, "Users.";
        timeout: Reloads, "How long a client may take to say who it is. Default 2s.";
        default_permission | "default_permissions" | "permissions": Reloads, "Permissions of users that have none.";
        proxy_required: Restarts, "The only user, or the token, must come through a trusted proxy.";
        auth_callout | "auth_hook": Restarts, "Ask a service who may connect.";
        default_rate_limits: Reloads, "How much each user of the default account may publish that has no `rate_limits`. Not an official key.";
    }
    "auth_callout" {
        issuer: Reloads, "Public NKey of the account that signs the answers.";
        account | "acc": Reloads, "Account whose service is asked. Default: the default account.";
        auth_users | "users": Reloads, "Users of that account that the service itself is.";
        xkey | "key": Reloads, "Public curve key; requests and answers are sealed for it.";
        allowed_accounts: Reloads, "Accounts that answers may name. Default: all.";
    }
    "user" {
        user | "username": Reloads, "Name.";
        pass | "password": Reloads, "Password, plain or bcrypt.";
        nkey: Reloads, "Public NKey instead of name and password.";
        permissions | "permission" | "authorization": Reloads, "What it may do.";
        allowed_connection_types | "connection_types" | "clients": Reloads, "Kinds of connections it may use.";
        proxy_required: Reloads, "It must come through a trusted proxy.";
        rate_limits: Reloads, "How much its connections may publish together. Not an official key.";
    }
    "permissions" {
        publish | "pub" | "import": Reloads, "Subjects it may publish to.";
        subscribe | "sub" | "export": Reloads, "Subjects it may subscribe to.";
        publish_allow_responses | "allow_responses": Reloads, "It may answer what it is asked.";
    }
    "rules" {
        allow: Reloads, "These only.";
        deny: Reloads, "None of these.";
    }
    "responses" {
        max | "max_msgs" | "max_messages" | "max_responses": Reloads, "Answers to one request. Default 1.";
        expires | "expiration" | "ttl": Reloads, "How long answers may take. Default 2m.";
    }
    "account" {
        nkey: Reloads, "Public NKey of the account.";
        users: Reloads, "Its users.";
        default_permissions: Reloads, "Permissions of users that have none.";
        limits: Reloads, "Limits of the account.";
        exports: Reloads, "What it shares.";
        imports: Reloads, "What others share with it.";
        mappings | "maps": Reloads, "Subject mappings.";
        jetstream: Refused(JETSTREAM), "Streams of the account.";
        msg_trace | "trace_dest": Reloads, "Where traces of messages go that ask for it by `traceparent`: a subject, or a block.";
        rate_limits: Reloads, "How much its connections may publish together. Not an official key.";
        denied_publish_status: Reloads, "The same as at the top level, for this account. Not an official key.";
        default_rate_limits: Reloads, "How much each of its users may publish that has no `rate_limits`. Not an official key.";
    }
    "rate_limit" {
        subjects | "subject": Reloads, "Subjects that it is for, as clients write them. Default: all.";
        msgs_per_sec: Reloads, "Messages a second.";
        msgs_burst: Reloads, "Messages at once. Default: those of a second.";
        bytes_per_sec: Reloads, "Bytes of headers and payloads a second.";
        bytes_burst: Reloads, "Bytes at once. Default: those of a second.";
        action: Reloads, "What happens to messages that are more: `delay` or `refuse`. Default `delay`.";
    }
    "msg_trace" {
        dest: Reloads, "Subject that traces go to.";
        sampling: Reloads, "Percent of the messages that ask for it by `traceparent`. Default 100.";
    }
    "export" {
        stream: Reloads, "Subject of a stream that others may import.";
        service: Reloads, "Subject of a service that others may import.";
        accounts: Reloads, "Accounts that may import it. Default: all.";
        response_type | "response": Reloads, "Answers of a service: `single`, `stream` or `chunked`. Default `single`.";
        response_threshold | "threshold" | "response_max_time" | "response_time": Reloads, "How long an answer of a service may take. Default 2m.";
        latency: Reloads, "Where the latency of a service is told: a subject, or a block.";
        account_token_position: Reloads, "Which token of the subject is the importing account, from 1.";
        allow_trace: Reloads, "Message traces may go on into the account of the service.";
    }
    "latency" {
        sampling: Reloads, "Percent of requests, or `headers` for those that ask for it. Default 100.";
        subject: Reloads, "Subject to tell it on.";
    }
    "import" {
        stream: Reloads, "Account and subject of a stream.";
        service: Reloads, "Account and subject of a service.";
        prefix: Reloads, "Tokens before the subject of a stream.";
        to: Reloads, "Subject that it has in this account.";
        share: Reloads, "The service may know who asks.";
        allow_trace: Reloads, "Message traces may go on into this account.";
    }
    "source" {
        account: Reloads, "Account that exports it.";
        subject: Reloads, "Subject that it has there.";
    }
    "destination" {
        destination | "dest": Reloads, "Subject that takes the place of the original one.";
        weight: Reloads, "Percent of messages.";
        cluster: Reloads, "Only in this cluster.";
    }
    "limits" {
        max_connections | "max_conn": Reloads, "Connections of the account.";
        max_subscriptions | "max_subs": Reloads, "Subscriptions of the account.";
        max_payload | "max_pay": Reloads, "Bytes of a message.";
        max_leafnodes | "max_leafs": Reloads, "Leaf node connections of the account.";
    }
}

/// How a key that is refused can be written without asking for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    /// It can't.
    Never,
    /// `false`.
    False,
    /// A block with nothing in it.
    Empty,
    /// A block in which all is `false`.
    AllFalse,
    /// `false`, `disabled`, or a block that says `enabled: false`.
    Disabled,
}

impl Key {
    /// How this key is written without asking for anything. What the official server refuses asks for something.
    pub fn off(&self) -> Off {
        match (self.block, self.name) {
            ("", "cluster" | "gateway" | "leafnodes" | "mqtt" | "default_js_domain") => Off::Empty,
            ("", "feature_flags") => Off::AllFalse,
            (_, "jetstream") => Off::Disabled,
            ("tls", "cert_match_skip_invalid" | "ca_certs_match")
            | ("cluster" | "leafnodes" | "leafnodes_remote", "compression")
            | (
                "leafnodes_remote",
                "hub" | "jetstream_cluster_migrate" | "ws_compression" | "ws_no_masking",
            )
            | ("resolver_tls", "insecure") => Off::False,
            _ => Off::Never,
        }
    }
}

/// The key with this name in a kind of block. Names are known in any case.
pub fn find(block: &str, name: &str) -> Option<&'static Key> {
    BLOCKS.get(block)?.iter().find(|key| {
        key.name.eq_ignore_ascii_case(name) || key.aliases.iter().any(|a| a.eq_ignore_ascii_case(name))
    })
}

/// The keys of each kind of block.
static BLOCKS: LazyLock<HashMap<&str, &[Key]>> = LazyLock::new(|| {
    let blocks = KEYS.chunk_by(|a, b| a.block == b.block);
    blocks.filter_map(|keys| Some((keys.first()?.block, keys))).collect()
});

/// Why a key is not carried out, if it is not.
pub(crate) fn refusal(block: &str, name: &str) -> Option<&'static str> {
    match find(block, name)?.status {
        Refused(why) => Some(why),
        Reloads | Restarts => None,
    }
}

/// The name in a kind of block that is most like this one, if any is.
pub fn nearest(block: &str, name: &str) -> Option<&'static str> {
    near(name, KEYS.iter().filter(|key| key.block == block).map(|key| key.name))
}

/// The one of these names that is most like `name`, if any is: what is suggested for a mistyped one.
pub(crate) fn near(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    known
        .map(|known| (distance(known, &name), known))
        .min()
        .filter(|&(distance, near)| distance <= 1 + near.len() / 4)
        .map(|(_, near)| near)
}

/// How many letters must change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.bytes().enumerate() {
            let (left, up) = (row.get(j).copied().unwrap_or(0), row.get(j + 1).copied().unwrap_or(0));
            let best = (corner + usize::from(x != y)).min(left + 1).min(up + 1);
            corner = up;
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = best;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_in_their_block() {
        for key in KEYS.iter() {
            for name in key.aliases.iter().chain([&key.name]) {
                let same = KEYS
                    .iter()
                    .filter(|k| k.block == key.block && (k.name == *name || k.aliases.contains(name)));
                assert_eq!(same.count(), 1, "{}.{name}", key.block);
            }
        }
    }

    /// The official server knows 74 keys at the top level, by 99 names; the others are ours.
    #[test]
    fn every_official_key_of_the_top_level_is_known() {
        let top = KEYS.iter().filter(|k| k.block.is_empty() && !k.doc.ends_with("Not an official key."));
        let (keys, names) = top.fold((0, 0), |(keys, names), k| (keys + 1, names + 1 + k.aliases.len()));
        assert_eq!((keys, names), (74, 99));
    }

    #[test]
    fn a_slip_finds_its_key() {
        assert_eq!(nearest("", "max_paylod"), Some("max_payload"));
        assert_eq!(nearest("", "jetstrem"), Some("jetstream"));
        assert_eq!(nearest("", "completely_other"), None);
    }
}
