//! What a reload may change, against the table of keys and the words of the official server.

use super::*;
use crate::blocks::keys::{KEYS, Status};
use proptest::prelude::*;
use std::path::Path;

/// A value for each honoured key of the top level that differs from its default, and the blocks it needs around it.
const SAMPLES: &[(&str, &str)] = &[
    ("listen", "'127.0.0.1:4333'"),
    ("host", "127.0.0.1"),
    ("port", "4333"),
    ("client_advertise", "x:1"),
    ("server_name", "n"),
    ("server_tags", "[a, b]"),
    ("server_metadata", "{ a: b }"),
    ("http", "8222"),
    ("https", "8222"),
    ("http_port", "8222"),
    ("https_port", "8222"),
    ("http_base_path", "/x"),
    ("unix_socket", "/x"),
    ("max_control_line", "1k"),
    ("max_payload", "1k"),
    ("max_pending", "2mb"),
    ("max_connections", "3"),
    ("max_subscriptions", "3"),
    ("max_sub_tokens", "3"),
    ("max_closed_clients", "3"),
    ("max_traced_msg_len", "3"),
    ("write_deadline", "3s"),
    ("write_timeout", "retry"),
    ("ping_interval", "3s"),
    ("ping_max", "3"),
    ("lame_duck_duration", "30s"),
    ("lame_duck_grace_period", "3s"),
    ("debug", "on"),
    ("trace", "on"),
    ("trace_verbose", "on"),
    ("trace_headers", "on"),
    ("logtime", "off"),
    ("logtime_utc", "on"),
    ("log_file", "/x"),
    ("log_size_limit", "1k"),
    ("log_max_num", "3"),
    ("log_format", "json"),
    ("connect_error_reports", "3"),
    ("reconnect_error_reports", "3"),
    ("syslog", "on"),
    ("remote_syslog", "'udp://x:1'"),
    ("pid_file", "/x"),
    ("ports_file_dir", "/x"),
    ("cluster", "{ name: c }"),
    ("gateway", "{ name: c, port: 7222 }"),
    ("leafnodes", "{ remotes: [ { url: 'nats://a' } ] }"),
    ("no_header_support", "on"),
    ("no_fast_producer_stall", "on"),
    ("proxy_protocol", "on"),
    ("allow_non_tls", "on"),
    ("tls", "{ cert_file: a, key_file: b, timeout: 3 }"),
    ("ocsp", "false"),
    ("ocsp_cache", "false"),
    ("store_dir", "/x"),
    ("websocket", "{ port: 4333, no_tls: true, tls { cert_file: a, key_file: b } }"),
    ("authorization", "{ users: [ { user: b } ] }"),
    ("accounts", "{ A: { } }"),
    ("system_account", "'$SYS'"),
    ("no_system_account", "on"),
    ("no_auth_user", "u"),
    ("proxies", "{ trusted: [ { key: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 } ] }"),
    ("mappings", "{ a: b }"),
    ("rate_limits", "{ msgs_per_sec: 1 }"),
    ("usage_interval", "5s"),
    ("denied_publish_status", "true"),
    ("default_rate_limits", "[ { bytes_per_sec: 1 } ]"),
    ("feature_flags", "{ js_ack_fc_v2: true }"),
    ("jetstream", "true"),
];
/// Keys that are understood and change nothing.
const WITHOUT_EFFECT: [&str; 3] = ["disable_sublist_cache", "prof_port", "prof_block_rate"];
/// What stands around a sample that needs it: a user to be named.
const AROUND: &str = "tls { cert_file: a, key_file: b }\naccounts { U { users: [ { user: u } ] } }\n";

/// What excludes users and accounts has samples of its own: a configuration, and one that differs in this key.
const OPERATOR_MODE: &[(&str, &str, &str)] = &[
    ("operator", "operator: eyJa", "operator: eyJb"),
    ("resolver", "operator: eyJa, resolver: MEM", "operator: eyJa"),
    ("resolver_tls", "operator: eyJa, resolver_tls { ca_file: a }", "operator: eyJa"),
    (
        "resolver_preload",
        "operator: eyJa, resolver: MEM",
        "operator: eyJa, resolver: MEM, resolver_preload { ADUB7VVVWTZIB7UBKXT623WGDQ7REMQDDVKSCZCUHCXESGTMGOEH3RXS: a }",
    ),
    (
        "resolver_pinned_accounts",
        "operator: eyJa",
        "operator: eyJa, resolver_pinned_accounts: ADUB7VVVWTZIB7UBKXT623WGDQ7REMQDDVKSCZCUHCXESGTMGOEH3RXS",
    ),
    (
        "trusted",
        "trusted: OAYOUATZV4ODWE6YAJAZHRJM33VNLIVRIQPNS26WBQCPBFOEZQOBICQR, resolver: MEM",
        "operator: eyJa, resolver: MEM",
    ),
    ("default_sentinel", "operator: eyJa", "operator: eyJa, default_sentinel: eyJb"),
];

/// What a configuration says, carried out or not.
fn load(text: &str) -> Options {
    let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let partial = crate::load_partial_text(text, "t.conf", &mut files, &|_| None);
    partial.unwrap_or_else(|e| panic!("{text}: {e}")).options
}

/// The table and the plan agree on each key: what only restarts is refused by a reload, what reloads is a change.
#[test]
fn the_table_and_the_plan_agree() {
    let keys = || KEYS.iter().filter(|key| key.block.is_empty());
    for (name, from, to) in OPERATOR_MODE {
        let key = keys().find(|key| key.name == *name).expect(name);
        let planned = plan(&load(from), &load(to));
        assert_eq!(planned.is_ok(), key.status == Status::Reloads, "{name}: {planned:?}");
    }
    let old = load(AROUND);
    for key in keys().filter(|key| OPERATOR_MODE.iter().all(|(name, ..)| *name != key.name)) {
        if matches!(key.status, Status::Refused(_)) || WITHOUT_EFFECT.contains(&key.name) {
            continue;
        }
        if key.name == "mqtt" {
            // TLS may change in it, and what streams are asked for.
            let around = "tls { cert_file: a, key_file: b }\nserver_name: A\njetstream: true\n";
            let with = |block: &str| load(&format!("{around}mqtt {{ port: 4334, {block} }}"));
            let tls = "tls { cert_file: a, key_file: b }";
            assert_eq!(plan(&with(tls), &with("")), Ok(vec![Change::Tls]));
            assert!(plan(&with(""), &with("ack_wait: '7s'")).is_ok_and(|changes| changes.len() == 1));
            assert!(plan(&with(""), &with("js_domain: d")).is_err());
            assert!(plan(&load(around), &with("")).is_err());
            continue;
        }
        if key.name == "mqtt_sn" {
            let around = "server_name: A\njetstream: true\nmqtt { port: 4334 }\n";
            let with = |block: &str| load(&format!("{around}mqtt_sn {{ port: 4335, {block} }}"));
            assert!(plan(&with(""), &with("gateway_id: 2")).is_err());
            assert!(plan(&load(around), &with("")).is_err());
            continue;
        }
        let (name, value) = SAMPLES.iter().find(|(name, _)| *name == key.name).expect(key.name);
        let value = if *name == "system_account" { "U" } else { value };
        if *name == "websocket" {
            // TLS alone may change in it.
            let with =
                |block: &str| load(&format!("{AROUND}websocket {{ port: 4333, no_tls: true, {block} }}"));
            let tls = "tls { cert_file: a, key_file: b }";
            assert_eq!(plan(&with(tls), &with("")), Ok(vec![Change::Tls]));
            assert!(plan(&with(tls), &with("compress: true")).is_err());
            continue;
        }
        match (key.status, plan(&old, &load(&format!("{AROUND}{name}: {value}")))) {
            (Status::Restarts, Err(refusal)) => {
                let text = refusal.to_string();
                assert!(text.starts_with("config reload not supported for "), "{text}");
                assert!(text.contains(": old=") && text.contains(", new="), "{text}");
            }
            (Status::Reloads, Ok(changes)) => assert_eq!(changes.len(), 1, "{name}: {changes:?}"),
            (status, planned) => panic!("{name} {status:?}: {planned:?}"),
        }
    }
}

proptest! {
    /// Any mixture of keys: nothing changes to itself, a refusal names exactly what restarts, and changes come in one order.
    #[test]
    fn a_mixture_is_refused_or_planned_as_its_parts(
        before in proptest::collection::btree_set(0..SAMPLES.len(), 0..6),
        after in proptest::collection::btree_set(0..SAMPLES.len(), 0..6),
    ) {
        let text = |keys: &std::collections::BTreeSet<usize>| {
            let of = |i: &usize| SAMPLES.get(*i).map(|(name, value)| format!("{name}: {value}\n"));
            let text: String = keys.iter().filter_map(of).filter(|line| {
                !["http", "no_auth", "usage_interval"].iter().any(|not| line.starts_with(not))
            }).collect();
            text
        };
        let (old, new) = (load(&text(&before)), load(&text(&after)));
        prop_assert_eq!(plan(&old, &old), Ok(vec![]));
        match (plan(&old, &new), plan(&new, &old)) {
            (Ok(there), Ok(back)) => prop_assert_eq!(there, back),
            (Err(there), Err(back)) => prop_assert_eq!(there.0.len(), back.0.len()),
            (there, back) => prop_assert!(false, "{:?} {:?}", there, back),
        }
    }
}

/// Asked of the official server, which shows all that it holds of the block when it refuses.
#[test]
fn mqtt_may_change_what_it_asks_of_streams() {
    let on = |more: &str| format!("server_name: A\njetstream: enabled\nmqtt {{ port: 18833, {more} }}");
    let lines = [
        "MQTT ack_wait = 5s",
        "MQTT max_ack_pending = 7",
        "MQTT stream_replicas = 0",
        "MQTT consumer_memory_storage = false",
        "MQTT consumer_inactive_threshold = 0s",
    ];
    changed(&on(""), &on("ack_wait: '5s', max_ack_pending: 7"), &[Change::Presentation], &lines);
    let tls = "tls { cert_file: a, key_file: b }";
    assert_eq!(plan(&load(&on("")), &load(&on(tls))), Ok(vec![Change::Tls]));
    for other in ["js_domain: x", "reject_qos2_publish: true", "js_api_timeout: '1s'", "host: h"] {
        refused(&on(""), &on(other), "MQTT: old=…, new=…");
    }
    refused(&on(""), "server_name: A\njetstream: enabled", "MQTT: old=…, new=…");
}

#[track_caller]
fn refused(old: &str, new: &str, expected: &str) {
    let refusal = plan(&load(old), &load(new)).expect_err("refused").to_string();
    assert_eq!(refusal, format!("config reload not supported for {expected}"));
}

#[track_caller]
fn changed(old: &str, new: &str, changes: &[Change], said: &[&str]) {
    let (old, new) = (load(old), load(new));
    assert_eq!(plan(&old, &new), Ok(changes.to_vec()));
    assert_eq!(lines(&old, &new), said);
}

#[test]
fn nothing_changes_nothing() {
    changed("", "", &[], &[]);
    changed("max_payload: 1MiB", "# the default\n", &[], &[]);
}

/// A line that is inserted above moves all that stands below, and changes nothing of it.
#[test]
fn where_an_option_stands_changes_nothing() {
    let samples = SAMPLES.iter().map(|(name, value)| {
        let value = if *name == "system_account" { "U" } else { value };
        format!("{AROUND}{name}: {value}")
    });
    let operator_mode = OPERATOR_MODE.iter().flat_map(|(_, from, to)| [*from, *to]).map(str::to_owned);
    let blocks = [
        "accounts { A { users: [ { user: a } ] } }
         authorization { auth_callout {
             issuer: ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA, auth_users: [ a ], account: A
         } }",
        "operator: eyJa, resolver { type: full, dir: '/x' }",
        "accounts {
             A { users: [ { user: a, permissions { publish: [ x, y ], subscribe { deny: z } } } ]
                 exports: [ { service: s }, { stream: t } ], mappings: { m: n } }
             B { users: [ { user: b } ], imports: [ { service { account: A, subject: s } } ] }
         }",
    ];
    for text in samples.chain(operator_mode).chain(blocks.map(str::to_owned)) {
        let (old, new) = (load(&text), load(&format!("# moved\n  {text}")));
        assert_eq!(plan(&old, &new), Ok(vec![]), "{text}");
        assert_eq!(lines(&old, &new), [""; 0], "{text}");
    }
}

/// Asked of the official server.
#[test]
fn refusals_in_the_official_words() {
    refused("", "host: 127.0.0.1", "Host: old=0.0.0.0, new=127.0.0.1");
    refused("port: -1", "port: 4333", "Port: old=-1, new=4333");
    refused("", "server_name: x", "ServerName: old=, new=x");
    refused("max_subs: 5", "max_subs: 6", "MaxSubs: old=5, new=6");
    refused("http: 18222", "", "HTTPPort: old=18222, new=0");
    refused("", "no_header_support: true", "NoHeaderSupport: old=false, new=true");
    refused("", "proxy_protocol: true", "ProxyProtocol: old=false, new=true");
    refused("", "http_base_path: '/x'", "HTTPBasePath: old=, new=/x");
    refused("", "max_pending: 2mb", "MaxPending: old=67108864, new=2097152");
    refused("", "max_sub_tokens: 5", "MaxSubTokens: old=0, new=5");
    refused("", "write_timeout: retry", "WriteTimeout: old=, new=retry");
    refused("", "log_size_limit: 1k", "LogSizeLimit: old=0, new=1000");
    refused("", "log_max_num: 5", "LogMaxFiles: old=0, new=5");
    refused("", "lame_duck_duration: 40s", "LameDuckDuration: old=2m0s, new=40s");
    refused("", "lame_duck_grace_period: 1s", "LameDuckGracePeriod: old=10s, new=1s");
    refused(
        "accounts { A { users: [{user: a}, {user: b}] } }, no_auth_user: a",
        "accounts { A { users: [{user: a}, {user: b}] } }, no_auth_user: b",
        "NoAuthUser: old=a, new=b",
    );
    const NO_AUTH: &str = "authorization { users: [{user: a}] }, no_auth_user: a";
    refused(NO_AUTH, "authorization { users: [{user: a}] }", "NoAuthUser: old=a, new=");
    refused(NO_AUTH, "accounts { A { users: [{user: a}] } }", "NoAuthUser: old=a, new=");
    refused("authorization { users: [{user: a}] }", NO_AUTH, "NoAuthUser: old=, new=a");
    const TLS: &str = "tls { cert_file: a, key_file: b }";
    refused(TLS, &format!("{TLS}, allow_non_tls: true"), "AllowNonTLS: old=false, new=true");
    refused(TLS, "tls { cert_file: a, key_file: b, connection_rate_limit: 5 }", "TLSRateLimit: old=0, new=5");
    const WSS: &str = "websocket { port: 1, tls { cert_file: a, key_file: b, connection_rate_limit: 2 } }";
    refused(WSS, &WSS.replace("limit: 2", "limit: 5"), "Websocket TLSRateLimit: old=2, new=5");
    refused(WSS, &WSS.replace("connection_rate_limit: 2", ""), "Websocket TLSRateLimit: old=2, new=0");
    refused("", "authorization { token: a, proxy_required: true }", "ProxyRequired: old=false, new=true");
}

/// Asked of the official server: all of a cluster may change but where it listens. Its name may officially, and then no server that comes
/// finds it any more.
#[test]
fn a_cluster_stays_where_it_listens() {
    const ON: &str = "cluster { listen: '127.0.0.1:-1', name: c }";
    refused(
        ON,
        "",
        "cluster host: old=127.0.0.1, new=; config reload not supported for cluster port: old=-1, new=0",
    );
    let refused_at = |new: &str, expected: &str| {
        let refusal = plan(&load(ON), &load(new)).expect_err("refused").to_string();
        assert_eq!(refusal, format!("t.conf:1:9: config reload not supported for {expected}"));
    };
    refused_at("cluster { listen: '0.0.0.0:-1', name: c }", "cluster host: old=127.0.0.1, new=0.0.0.0");
    refused_at("cluster { listen: '127.0.0.1:5', name: c }", "cluster port: old=-1, new=5");
    refused_at("cluster { listen: '127.0.0.1:-1', name: d }", "cluster name: old=c, new=d");
    const UNNAMED: &str = "cluster { listen: '127.0.0.1:-1' }";
    changed(ON, UNNAMED, &[Change::Cluster], &["cluster"]);
    changed(UNNAMED, ON, &[Change::Cluster], &["cluster"]);
    changed("", "cluster { name: c }", &[Change::Cluster], &["cluster"]);
    let with = |more: &str| format!("cluster {{ listen: '127.0.0.1:-1', name: c, {more} }}");
    changed(ON, &with("routes: ['nats://a:1']"), &[Change::Routes], &["cluster routes"]);
    changed(
        ON,
        &with("pool_size: 5, routes: ['nats://a:1']"),
        &[Change::Cluster, Change::Routes],
        &["cluster", "cluster routes"],
    );
    for key in [
        "authorization { user: a, password: b }",
        "permissions { import: a }",
        "tls { cert_file: a, key_file: b }",
        "tls { cert_file: a, key_file: b, connection_rate_limit: 3 }",
        "advertise: 'x:1'",
        "no_advertise: true",
        "connect_retries: 5",
        "connect_backoff: true",
        "pool_size: 5",
        "accounts: [A]",
        "compression: off",
        "ping_interval: '5s'",
        "ping_max: 5",
        "write_deadline: '5s'",
        "write_timeout: close",
    ] {
        changed(ON, &with(key), &[Change::Cluster], &["cluster"]);
    }
}

#[test]
fn gateways_and_leaf_nodes_may_change_in_part() {
    const GATEWAY: &str = "gateway { name: a, port: 5 }";
    refused(GATEWAY, "", "Gateway: old=…, new=…");
    for other in ["name: b, port: 5", "name: a, port: 6", "name: a, port: 5, advertise: 'h:1'"] {
        refused(GATEWAY, &format!("gateway {{ {other} }}"), "Gateway: old=…, new=…");
    }
    for more in [
        "connect_retries: 3",
        "gateways: [ { name: b, url: 'nats://b:1' } ]",
        "authorization { user: u, password: p }",
        "reject_unknown_cluster: true",
        "tls { cert_file: a, key_file: b }",
    ] {
        changed(
            GATEWAY,
            &format!("gateway {{ name: a, port: 5, {more} }}"),
            &[Change::Gateways],
            &["gateway"],
        );
    }
    const LEAFS: &str = "leafnodes { port: 5 }";
    refused(LEAFS, "", "LeafNode: old=…, new=…");
    refused(LEAFS, "leafnodes { port: 5, no_advertise: true }", "LeafNode: old=…, new=…");
    for more in ["compression: off", "tls { cert_file: a, key_file: b }", "remotes: [ { url: 'nats://a' } ]"]
    {
        changed(LEAFS, &format!("leafnodes {{ port: 5, {more} }}"), &[Change::LeafNodes], &["leaf nodes"]);
    }
}

#[test]
fn all_reasons_at_once_and_nothing_of_the_rest() {
    let refusal = plan(&load(""), &load("port: 1, debug: true, server_name: x")).expect_err("refused");
    assert_eq!(refusal.0.len(), 2);
}

/// Asked of the official server; what did not change is not told.
#[test]
fn changes_in_the_official_words() {
    use Change::{Limits, Log, Presentation, Process, Users};
    changed("", "max_control_line: 3000", &[Limits], &["max_control_line = 3000"]);
    // With its user gone, it may go.
    let old = "authorization { users: [{user: a}] }, no_auth_user: a";
    changed(
        old,
        "authorization { users: [{user: b}] }",
        &[Users],
        &["no_auth_user = ", "authorization users"],
    );
    changed("", "ping_interval: 5s", &[Limits], &["ping_interval = 5s"]);
    changed("", "no_fast_producer_stall: true", &[Limits], &["fast producers will not be stalled"]);
    changed("", "connect_error_reports: 5", &[Log], &["connect_error_reports = 5"]);
    changed("", "trace_verbose: true", &[Log], &["trace = true", "trace_verbose = true"]);
    changed("", "server_tags: [a]", &[Presentation], &["tags"]);
    changed("", "server_metadata: {a: b}", &[Presentation], &["metadata"]);
    changed("", "pid_file: '/run/x'", &[Process], &["pid_file = /run/x"]);
    changed("", "authorization { token: a }", &[Users], &["authorization token"]);
    changed("", "authorization { timeout: 7 }", &[Limits], &["authorization timeout = 7"]);
    changed(
        "",
        "authorization { user: a, pass: b }",
        &[Users],
        &["authorization username", "authorization password"],
    );
    changed(
        "",
        "authorization { users: [{user: a}], default_permissions: {} }",
        &[Users],
        &["authorization users"],
    );
    const KEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    const OTHER: &str = "UCX2LDE4XQAULPZAHXSAVZADP7D76UN336WMZIC2N3GNWMWN3S4SSKMW";
    changed(
        &format!("proxies {{ trusted: [ {{ key: {KEY} }} ] }}"),
        &format!("proxies {{ trusted: [ {{ key: {OTHER} }} ] }}"),
        &[Users],
        &[
            &format!("proxies trusted keys [\"{KEY}\"] were removed"),
            &format!("proxies trusted keys [\"{OTHER}\"] were added"),
        ],
    );
    const PLAIN: &str = "tls { cert_file: a, key_file: b }";
    let tls = |new: &str, said: &[&str]| {
        let new = format!("\ntls {{ cert_file: a, key_file: b, {new} }}");
        changed(PLAIN, &new, &[Change::Tls], said);
    };
    tls("timeout: 3", &["tls timeout = 3"]);
    tls("handshake_first: true", &["Client TLS handshake first: true"]);
    tls(
        "pinned_certs: ['a8f407340dcc719864214b85ed96f98d16cbffa8f509d9fa4ca237b7bb3f9c32']",
        &["1 pinned_certs"],
    );
    tls("min_version: 1.3, timeout: 0.5", &["tls = enabled", "tls timeout = 0.5"]);
    changed("", PLAIN, &[Change::Tls], &["tls = enabled"]);
    changed(PLAIN, "", &[Change::Tls], &["tls = disabled"]);
    changed("", "max_payload: 5, debug: true", &[Log, Limits], &["max_payload = 5", "debug = true"]);
}

#[test]
fn secrets_are_not_shown() {
    let new = load(
        "authorization { users: [{user: a, password: hush}] }, accounts { A { users: [{user: b, password: hush}] } }
         cluster { port: 5, authorization { user: a, password: hush }, routes: ['nats://a:hush@b:5'] }",
    );
    assert!(lines(&load(""), &new).iter().all(|line| !line.contains("hush")));
    for field in beside() {
        assert!(!(field.show)(&new).contains("hush"), "{}", field.name);
    }
    for part in of_blocks(&load(""), &new) {
        assert!(!part.lines.concat().contains("hush"));
    }
}

#[test]
fn every_field_has_a_key() {
    for field in beside() {
        assert!(keys::find(field.key.0, field.key.1).is_some(), "{:?}", field.key);
    }
}
