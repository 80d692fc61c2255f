//! docs/configuration.md, made from the tables of keys and of flags.

use crate::blocks::keys::{self, KEYS, Status};
use crate::flags;
use std::fmt::Write as _;

/// Kinds of blocks in the order of the page: name, heading, what it is.
const BLOCKS: &[(&str, &str, &str)] = &[
    ("", "The top level", ""),
    ("tls", "tls", "TLS of the client listener."),
    ("cert", "tls.certs[]", ""),
    (
        "websocket",
        "websocket",
        "A listener for clients by WebSocket, such as pages in a browser. A reload may change `tls` alone. [websocket.md](websocket.md) begins at zero.",
    ),
    ("websocket_authorization", "websocket.authorization, mqtt.authorization", ""),
    (
        "mqtt",
        "mqtt",
        "A listener for MQTT clients. It needs JetStream, here or in a domain that a leaf node or cluster connects to.",
    ),
    (
        "mqtt_sn",
        "mqtt_sn",
        "A gateway for clients of MQTT-SN 1.2, by UDP. They have the sessions, streams and rights of MQTT clients, so there has to be a `mqtt` block.",
    ),
    ("mqtt_sn_client", "mqtt_sn.clients[]", ""),
    (
        "mqtt_sn_dtls",
        "mqtt_sn.dtls",
        "DTLS 1.2. Clients that share a key speak TLS_PSK_WITH_AES_128_CCM_8, others ECDHE-ECDSA with AES-GCM or ChaCha20-Poly1305.",
    ),
    ("mqtt_sn_psk", "mqtt_sn.dtls.psk[]", ""),
    (
        "cluster",
        "cluster",
        "Routes to other servers. `tls` is for both ends of a route. A reload that changes any of it is refused so far.",
    ),
    (
        "cluster_authorization",
        "cluster.authorization",
        "What the two servers of a route show each other. A route in `routes` may name others.",
    ),
    ("compression", "cluster.compression", "The same in `leafnodes`."),
    ("gateway", "gateway", "Connections to other clusters."),
    ("gateway_authorization", "gateway.authorization", ""),
    ("gateway_remote", "gateway.gateways[]", "Another cluster."),
    ("leafnodes", "leafnodes", "Leaf nodes that connect here, and servers that this one is a leaf node of."),
    ("leafnodes_authorization", "leafnodes.authorization", "Who leaf nodes may be: one user, or users."),
    ("leafnodes_user", "leafnodes.authorization.users[]", ""),
    ("leafnodes_remote", "leafnodes.remotes[]", "A server that this one is a leaf node of."),
    ("leafnodes_proxy", "leafnodes.remotes[].proxy", ""),
    ("leafnodes_migrate", "leafnodes.remotes[].jetstream_cluster_migrate", ""),
    ("jetstream", "jetstream", "Streams that keep messages. `true` or `enabled` stands for the defaults."),
    ("jetstream_limits", "jetstream.limits", ""),
    ("jetstream_batch", "jetstream.limits.batch", ""),
    (
        "ocsp",
        "ocsp",
        "OCSP stapling of the client listener's certificates. `true` stands for `auto`, `false` for `never`.",
    ),
    ("ocsp_peer", "tls.ocsp_peer", "The check of clients' certificates by OCSP."),
    ("ocsp_cache", "ocsp_cache", "`true` stands for `local`, `false` for `none`."),
    ("authorization", "authorization", "Users of the default account, or one user, or a token."),
    ("auth_callout", "authorization.auth_callout", ""),
    ("user", "authorization.users[], accounts.NAME.users[]", "One user."),
    ("permissions", "permissions, default_permissions", "What a user may do."),
    (
        "rules",
        "permissions.publish, permissions.subscribe",
        "A subject or a list of subjects stands for `allow`. Those to subscribe to may name a queue group behind a blank.",
    ),
    ("responses", "permissions.allow_responses", "`true` stands for the defaults."),
    (
        "account",
        "accounts.NAME",
        "An account. A list of names instead of a map makes accounts without users.",
    ),
    ("limits", "accounts.NAME.limits", "-1 is no limit."),
    ("account_jetstream", "accounts.NAME.jetstream", "-1 is no limit."),
    (
        "rate_limit",
        "rate_limits, default_rate_limits",
        "One rule, or a list of rules, each of which holds by itself. [limits.md](limits.md) has examples.",
    ),
    ("msg_trace", "accounts.NAME.msg_trace", "A subject alone stands for `dest`."),
    ("export", "accounts.NAME.exports[]", "Something that others may import: a stream or a service."),
    ("latency", "accounts.NAME.exports[].latency", ""),
    ("import", "accounts.NAME.imports[]", "Something that another account exports: a stream or a service."),
    ("source", "accounts.NAME.imports[].stream, accounts.NAME.imports[].service", ""),
    ("destination", "mappings.SUBJECT[]", "A subject alone stands for one destination with weight 100."),
    ("resolver", "resolver", "A resolver that keeps account JWTs in a folder."),
    ("resolver_tls", "resolver_tls", ""),
    ("proxies", "proxies", ""),
    ("proxy", "proxies.trusted[]", ""),
];

/// The page.
pub fn configuration() -> String {
    let mut out = String::from(
        "# Configuration\n\nMade from the tables of keys and of flags (crates/config); `UPDATE_EXPECT=1 cargo test -p dialtone-config` makes it anew.\n\n\
         The language is that of `nats-server`: `key: value`, `key = value` or `key value`, maps in `{ }`, lists in `[ ]`, comments behind\n\
         `#` or `//`, `include FILE`, `$VARIABLE` from an enclosing block or the environment; JSON works too. `k m g t p e` multiply by\n\
         powers of 1000, `kb mb …` and `ki mi …` by powers of 1024. Durations are `500ms`, `2s`, `1m30s`, or seconds as a number.\n\n\
         A key that is unknown, or known but not carried out, is an error at start with its file, line and column. *Reload* says whether\n\
         a reload may change the key; a reload that changes another one is refused as a whole.\n",
    );
    for (block, heading, text) in BLOCKS {
        // Nothing is said about the inside of a block that is refused as a whole.
        if heading.split('.').next().is_some_and(|outer| keys::refusal("", outer).is_some()) {
            continue;
        }
        let _ = write!(out, "\n## {heading}\n\n");
        if !text.is_empty() {
            let _ = write!(out, "{text}\n\n");
        }
        out.push_str("| key | meaning | reload |\n|---|---|---|\n");
        for key in KEYS.iter().filter(|key| key.block == *block) {
            let reload = match key.status {
                Status::Reloads => "yes",
                Status::Restarts => "no",
                Status::Refused(_) => continue,
            };
            let mut names = format!("`{}`", key.name);
            for alias in key.aliases {
                let _ = write!(names, ", `{alias}`");
            }
            let _ = writeln!(out, "| {names} | {} | {reload} |", key.doc);
        }
        let refused: Vec<_> = KEYS.iter().filter(|key| key.block == *block).collect();
        let mut refused = refused.iter().filter_map(|key| match key.status {
            Status::Refused(why) => Some((key.name, why)),
            _ => None,
        });
        if let Some(first) = refused.next() {
            out.push_str("\nRefused:\n\n");
            for (name, why) in std::iter::once(first).chain(refused) {
                let _ = writeln!(out, "- `{name}`: {why}");
            }
        }
    }
    out.push_str(&flags::page());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_table_says() {
        expect_test::expect_file!["../../../docs/configuration.md"].assert_eq(&configuration());
    }

    #[test]
    fn every_block_is_on_the_page() {
        for key in KEYS.iter() {
            assert!(BLOCKS.iter().any(|(block, ..)| *block == key.block), "{}", key.block);
        }
    }
}
