//! What a reload changes: everything that can be changed, or every reason why not.

use crate::options::Options;
use std::fmt::Debug;

/// A part of the options that a reload gives a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Limits of connections.
    Limits,
    /// Who may connect, and what they may do.
    Users,
    /// Certificates and what goes with them.
    Tls,
    /// Logging.
    Log,
    /// What INFO and monitoring say of the server.
    Presentation,
    /// Lame duck mode, process files.
    Process,
}

/// Why a reload is refused: nothing of it is applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Refusal(pub Vec<String>);

/// What changes from `old` to `new`.
///
/// Errors: all options that only a restart can change; the table of keys says which these are.
pub fn plan(old: &Options, new: &Options) -> Result<Vec<Change>, Refusal> {
    // Taken apart, so that an option that is added here must be placed below.
    let Options {
        config_file: _,
        config_digest: _,
        host,
        port,
        client_advertise,
        unix_socket,
        proxy_protocol,
        server_name,
        server_tags,
        server_metadata,
        http,
        limits,
        lame_duck,
        log,
        pid_file,
        ports_file_dir,
        headers,
        stall_fast_producers,
        tls,
        allow_non_tls,
        authorization,
        accounts,
        mappings,
        system_account,
        no_system_account,
        no_auth_user,
        trusted_proxies,
    } = new;
    let mut refusals = Vec::new();
    macro_rules! fixed {
        ($($name:literal: $old:expr => $new:expr;)*) => {$(
            if $old != $new {
                refusals.push(format!(
                    "config reload not supported for {}: old={}, new={}", $name, shown(&$old), shown(&$new)
                ));
            }
        )*};
    }
    fixed! {
        "Host": &old.host => host;
        "Port": &old.port => port;
        "UnixSocket": &old.unix_socket => unix_socket;
        "ProxyProtocol": &old.proxy_protocol => proxy_protocol;
        "ServerName": &old.server_name => server_name;
        "HTTPHost": &old.http.host => &http.host;
        "HTTPPort": &old.http.port => &http.port;
        "HTTPSPort": &old.http.tls_port => &http.tls_port;
        "HTTPBasePath": &old.http.base_path => &http.base_path;
        "MaxSubs": old.limits.subscriptions_max => limits.subscriptions_max;
        "MaxClosedClients": old.limits.closed_clients_max => limits.closed_clients_max;
        "NoHeaderSupport": !old.headers => !headers;
        "SystemAccount": &old.system_account => system_account;
        "NoSystemAccount": &old.no_system_account => no_system_account;
    }
    if old.tls.is_some() != tls.is_some() {
        refusals.push(
            "config reload not supported for TLS: it can be changed, but not switched on or off".into(),
        );
    }
    if !refusals.is_empty() {
        return Err(Refusal(refusals));
    }
    let mut changes = Vec::new();
    let mut note = |changed: bool, change: Change| changes.extend(changed.then_some(change));
    note(&old.limits != limits || old.stall_fast_producers != *stall_fast_producers, Change::Limits);
    note(
        &old.authorization != authorization
            || &old.accounts != accounts
            || &old.mappings != mappings
            || &old.no_auth_user != no_auth_user
            || &old.trusted_proxies != trusted_proxies,
        Change::Users,
    );
    note(&old.tls != tls || old.allow_non_tls != *allow_non_tls, Change::Tls);
    note(&old.log != log, Change::Log);
    note(
        &old.client_advertise != client_advertise
            || &old.server_tags != server_tags
            || &old.server_metadata != server_metadata,
        Change::Presentation,
    );
    note(
        &old.lame_duck != lame_duck || &old.pid_file != pid_file || &old.ports_file_dir != ports_file_dir,
        Change::Process,
    );
    Ok(changes)
}

/// A value as the official server shows it: no quotes, nothing for what is not set.
fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let text = text.strip_prefix("Some(").and_then(|text| text.strip_suffix(')')).unwrap_or(&text);
    if text == "None" { String::new() } else { text.trim_matches('"').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KEYS, Status};
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
        ("syslog", "on"),
        ("remote_syslog", "'udp://x:1'"),
        ("pid_file", "/x"),
        ("ports_file_dir", "/x"),
        ("no_header_support", "on"),
        ("no_fast_producer_stall", "on"),
        ("proxy_protocol", "on"),
        ("allow_non_tls", "on"),
        ("tls", "{ cert_file: a, key_file: b, timeout: 3 }"),
        ("authorization", "{ user: a, password: b }"),
        ("accounts", "{ A: { } }"),
        ("system_account", "'$SYS'"),
        ("no_system_account", "on"),
        ("no_auth_user", "u"),
    ];
    /// Keys that are understood and change nothing.
    const WITHOUT_EFFECT: [&str; 3] =
        ["disable_sublist_cache", "connect_error_reports", "reconnect_error_reports"];
    /// What stands around a sample that needs it: TLS that is changed rather than switched on, a user to be named.
    const AROUND: &str = "tls { cert_file: a, key_file: b }\naccounts { U { users: [ { user: u } ] } }\n";

    fn load(text: &str) -> Options {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        crate::load_text(text, "t.conf", &mut files, &|_| None).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// The table and the plan agree on each key: what only restarts is refused by a reload, what reloads is a change.
    #[test]
    fn the_table_and_the_plan_agree() {
        let old = load(AROUND);
        for key in KEYS.iter().filter(|key| key.block.is_empty()) {
            if matches!(key.status, Status::Refused(_)) || WITHOUT_EFFECT.contains(&key.name) {
                continue;
            }
            let (name, value) = SAMPLES.iter().find(|(name, _)| *name == key.name).expect(key.name);
            let value = if *name == "system_account" { "U" } else { value };
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

    #[test]
    fn refusals_are_told_as_the_official_server_tells_them() {
        let refused = |old: &str, new: &str| plan(&load(old), &load(new)).expect_err(new).to_string();
        assert_eq!(
            refused("port: 4222", "port: 4333\nserver_name: x"),
            "config reload not supported for Port: old=4222, new=4333; config reload not supported for ServerName: old=, new=x"
        );
        assert_eq!(
            refused("", "max_subscriptions: 5"),
            "config reload not supported for MaxSubs: old=0, new=5"
        );
        assert_eq!(
            refused("", "tls { cert_file: a, key_file: b }"),
            "config reload not supported for TLS: it can be changed, but not switched on or off"
        );
    }

    #[test]
    fn secrets_are_in_no_plan() {
        let old = load("authorization { user: a, password: hunter1 }");
        let new = load("authorization { user: a, password: hunter2 }\nport: 1");
        let text = format!("{:?} {:?}", plan(&old, &new), plan(&old, &old));
        assert!(!text.contains("hunter"), "{text}");
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
                    !["http", "no_auth"].iter().any(|not| line.starts_with(not))
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
}
