//! The table of keys: where each stands, what else it is called, whether a reload may change it, and what it means.
//! Reading, refusing, docs and tests all go by this table.

use crate::blocks::access::{Access, Proxies, Proxy};
use crate::blocks::account::{Account, AccountJetStream, AccountLimits, MsgTraceKeys};
use crate::blocks::authorization::{AuthCallout, Authorization};
use crate::blocks::clients::Clients;
use crate::blocks::cluster::{Cluster, RouteLimits, RouteListener, RoutePool, RouteUser};
use crate::blocks::compression::Compression;
use crate::blocks::gateway::{Gateway, GatewayListener, GatewayUser, RemoteGateway};
use crate::blocks::http::Http;
use crate::blocks::jetstream::{BatchLimits, Encryption, JetStream, JetStreamLimits};
use crate::blocks::lame_duck::LameDuck;
use crate::blocks::leaf_remote::{LeafLink, LeafProxy, LeafRemote, Migration};
use crate::blocks::leafnodes::{LeafAuthorization, LeafListener, LeafNodes, LeafUser};
use crate::blocks::limits::Limits;
use crate::blocks::log::{ConnectErrors, Log};
use crate::blocks::mapping::Destination;
use crate::blocks::mqtt::{Mqtt, MqttStreams};
use crate::blocks::mqtt_sn::{MqttSn, MqttSnClient, MqttSnLimits};
use crate::blocks::mqtt_sn_dtls::{MqttSnDtls, MqttSnKey};
use crate::blocks::ocsp::{Ocsp, OcspCache, OcspPeer};
use crate::blocks::operator::OperatorMode;
use crate::blocks::permissions::{Permissions, Responses, RuleKeys};
use crate::blocks::rate_limits::RateKeys;
use crate::blocks::repeated::{Address, Dialing, Writing};
use crate::blocks::resolver::ResolverKeys;
use crate::blocks::resolver_tls::ResolverTls;
use crate::blocks::server::Server;
use crate::blocks::sharing::{ExportKeys, ImportKeys, LatencyKeys, SourceKeys};
use crate::blocks::staples::Staples;
use crate::blocks::tls::{CertPair, Tls, TlsAgreed, TlsServers};
use crate::blocks::usage::Usage;
use crate::blocks::user::User;
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

const REPLICATED: &str = "replication of streams is not part of this version";
const DOMAINS: &str = "domains of accounts are not part of this version";

/// The parts of the table, those of one block behind each other. Each block declares its own (`crate::blocks`).
static PARTS: &[&[Key]] = &[
    Clients::KEYS,
    Server::KEYS,
    Http::KEYS,
    Limits::KEYS,
    LameDuck::KEYS,
    Log::KEYS,
    ConnectErrors::KEYS,
    TOP,
    Access::KEYS,
    OperatorMode::KEYS,
    Staples::KEYS,
    Usage::KEYS,
    Tls::KEYS,
    TlsAgreed::KEYS,
    TlsServers::KEYS,
    CertPair::KEYS,
    WebSocket::KEYS,
    CookieNames::KEYS,
    OwnUsers::KEYS,
    Mqtt::KEYS,
    MqttStreams::KEYS,
    MqttSn::KEYS,
    MqttSnLimits::KEYS,
    MqttSnClient::KEYS,
    MqttSnDtls::KEYS,
    MqttSnKey::KEYS,
    Cluster::KEYS,
    RouteListener::KEYS,
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
    JetStream::KEYS,
    Encryption::KEYS,
    JetStreamLimits::KEYS,
    BatchLimits::KEYS,
    Ocsp::KEYS,
    OcspPeer::KEYS,
    OcspCache::KEYS,
    ResolverKeys::KEYS,
    ResolverTls::KEYS,
    Proxies::KEYS,
    Proxy::KEYS,
    Authorization::KEYS,
    AuthCallout::KEYS,
    User::KEYS,
    Permissions::KEYS,
    RuleKeys::KEYS,
    Responses::KEYS,
    Account::KEYS,
    AccountLimits::KEYS,
    AccountJetStream::KEYS,
    RateKeys::KEYS,
    MsgTraceKeys::KEYS,
    ExportKeys::KEYS,
    LatencyKeys::KEYS,
    ImportKeys::KEYS,
    SourceKeys::KEYS,
    Destination::KEYS,
];

/// Keys that stand in several blocks: the block, and whether a reload may change what stands there, where that is not as declared.
const REPEATED: &[(&str, Option<Status>, &[Key])] = &[
    ("websocket", None, Address::KEYS),
    ("mqtt", None, Address::KEYS),
    ("cluster", None, Address::KEYS),
    ("cluster", None, Dialing::KEYS),
    ("cluster", None, Writing::KEYS),
    ("gateway", None, Address::KEYS),
    ("gateway", None, Dialing::KEYS),
    ("gateway", None, Writing::KEYS),
    ("leafnodes", None, Address::KEYS),
    ("leafnodes", Some(Restarts), Writing::KEYS),
];

/// Keys that are read and checked, and not yet carried out: block, key, why. What has no row here is on, in files and
/// by flags. Rows of keys inside a block that is refused as a whole say nothing: the block is refused, and once.
const NOT_CARRIED_OUT: &[(&str, &str, &str)] =
    &[("leafnodes_remote", "jetstream_cluster_migrate", REPLICATED)];

/// All keys, by their blocks.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let find = |block: &str, name: &str| NOT_CARRIED_OUT.iter().find(|row| (row.0, row.1) == (block, name));
    let repeated = REPEATED.iter().flat_map(|&(block, status, keys)| {
        keys.iter().map(move |key| Key { block, status: status.unwrap_or(key.status), ..*key })
    });
    let own = || PARTS.iter().copied().flatten().copied();
    let mut keys: Vec<Key> = repeated.chain(own()).collect();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, key) in own().enumerate() {
        places.entry(key.block).or_insert(place);
    }
    keys.sort_by_key(|key| places.get(key.block).copied());
    keys.into_iter()
        .map(|key| match (find("", key.block), find(key.block, key.name)) {
            (None, Some(&(_, _, why))) => Key { status: Refused(why), ..key },
            _ => key,
        })
        .collect()
});

/// Keys of the top level that are not a field of a block: whole blocks, what has no effect, and what is refused.
const TOP: &[Key] = &[
    top("prof_port", &[], Reloads, "Accepted, and nothing listens there: there is no Go profiler."),
    top("prof_block_rate", &[], Reloads, "Accepted without effect: there is no Go profiler."),
    top(
        "disable_sublist_cache",
        &["no_sublist_cache"],
        Reloads,
        "Accepted; matches are cached per event loop, and never wrong.",
    ),
    top("cluster", &[], Reloads, "Routes to other servers."),
    top("gateway", &[], Restarts, "Connections to other clusters."),
    top("leafnodes", &["leaf"], Reloads, "Leaf nodes."),
    top("jetstream", &[], Reloads, "Streams that keep messages: `true`, or a block."),
    top("default_js_domain", &[], Refused(DOMAINS), "Domains of accounts."),
    top("websocket", &["ws"], Reloads, "A listener for clients by WebSocket."),
    top("mqtt", &[], Restarts, "A listener for MQTT clients."),
    top("mqtt_sn", &[], Restarts, "A gateway for MQTT-SN clients, by UDP. Not an official key."),
];

const fn top(name: &'static str, aliases: &'static [&'static str], status: Status, doc: &'static str) -> Key {
    Key { block: "", name, aliases, status, doc }
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
    /// `false`, `disabled`, or a block that says `enabled: false`.
    Disabled,
}

impl Key {
    /// How this key is written without asking for anything. What the official server refuses asks for something.
    pub fn off(&self) -> Off {
        match (self.block, self.name) {
            ("", "cluster" | "gateway" | "leafnodes" | "mqtt" | "mqtt_sn" | "default_js_domain") => {
                Off::Empty
            }
            (_, "jetstream") => Off::Disabled,
            ("tls", "cert_match_skip_invalid" | "ca_certs_match")
            | ("cluster" | "leafnodes" | "leafnodes_remote", "compression")
            | ("leafnodes_remote", "hub" | "jetstream_cluster_migrate")
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
