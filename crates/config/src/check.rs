//! What must hold across keys.

mod cluster;
mod gateway;
mod jetstream;
mod leafnodes;
mod mqtt;
mod mqtt_sn;
mod own_users;
mod websocket;

use crate::blocks::reader::{Errors, go_duration};
use crate::error::{ConfigError, Location};
use crate::operator;
use crate::options::Options;
use crate::sharing;
use std::collections::BTreeSet;

/// Checks options as a whole. `place` says where a top-level key stands, for what has no place of its own.
pub(crate) fn check(options: &Options, place: &dyn Fn(&str) -> Location, errors: &mut Errors) {
    let is_good = errors.is_empty();
    let mut say = |at: &Location, problem: String| errors.push(ConfigError::new(at, problem));
    let limits = &options.limits;
    if limits.payload_bytes_max > limits.pending_bytes_max {
        let (payload, pending) = (limits.payload_bytes_max, limits.pending_bytes_max);
        let problem = format!("max_payload ({payload}) cannot be higher than max_pending ({pending})");
        say(&first(place, &["max_payload", "max_pending"]), problem);
    }
    let duck = &options.operation.lame_duck;
    if duck.grace_period >= duck.duration {
        let (grace, duration) = (go_duration(duck.grace_period), go_duration(duck.duration));
        let problem = format!(
            "lame duck grace period ({grace}) should be strictly lower than lame duck duration ({duration})"
        );
        say(&first(place, &["lame_duck_grace_period", "lame_duck_duration"]), problem);
    }
    if options.server.name.as_deref().is_some_and(|name| name.contains(' ')) {
        say(&place("server_name"), "server name cannot contain spaces".into());
    }
    if let Err(problem) = options.advertised() {
        say(&place("client_advertise"), problem);
    }
    let https = first(place, &["https_port", "https"]);
    if options.operation.http.port.is_some() && options.operation.http.tls_port.is_some() {
        say(&https, "can't specify both HTTP and HTTPs ports".into());
    }
    if options.operation.http.tls_port.is_some() && options.clients.tls.is_none() {
        say(&https, "TLS cert and key required for HTTPS".into());
    }
    if options.operation.usage.interval.is_some() && options.access.no_system_account {
        say(&place("usage_interval"), "usage_interval needs a system account to tell it in".into());
    }
    check_users(options, place, &mut say);
    websocket::check(options, &mut say);
    mqtt::check(options, &mut say);
    mqtt_sn::check(options, &mut say);
    cluster::check(options, &mut say);
    gateway::check(options, &mut say);
    leafnodes::check(options, &mut say);
    operator::check(options, place, is_good, &mut say);
    for mapping in &options.access.mappings {
        sharing::check_mapping(mapping, &mut say);
    }
    sharing::check(&options.access.accounts, !options.access.no_system_account, errors);
    jetstream::check(options, place, errors);
}

/// Where the first of these keys stands that stands anywhere.
fn first(place: &dyn Fn(&str) -> Location, keys: &[&str]) -> Location {
    let mut places = keys.iter().map(|key| place(key));
    places.find(|at| at.line > 0).unwrap_or_else(|| place(""))
}

fn check_users(options: &Options, place: &dyn Fn(&str) -> Location, say: &mut impl FnMut(&Location, String)) {
    let mut names = BTreeSet::new();
    let in_accounts = options.access.accounts.iter().flat_map(|account| &account.users);
    for user in options.access.authorization.users.iter().chain(in_accounts) {
        let name = user.nkey.as_deref().unwrap_or(&user.name);
        if !names.insert(name) {
            say(
                &user.at,
                format!("Duplicate {} {name:?} detected", if user.nkey.is_some() { "nkey" } else { "user" }),
            );
        }
    }
    let authorization = &options.access.authorization;
    let problem = match (&authorization.user, &authorization.token) {
        (Some(_), Some(_)) => "Cannot have a user/pass and token",
        (Some(_), None) if !names.is_empty() => "Can not have a single user/pass and a users array",
        (None, Some(_)) if !names.is_empty() => "Can not have a token and a users array",
        // The official server ignores it, and everybody may connect.
        (None, _) if authorization.password.is_some() => "a password needs a user",
        _ => "",
    };
    if !problem.is_empty() {
        say(&place("authorization"), problem.into());
    }
    let by_signature = options.access.operator_mode.is_on();
    if let Some(name) = options.access.no_auth_user.as_ref().filter(|_| !by_signature) {
        if names.is_empty() {
            let problem = format!("no_auth_user: {name:?} present, but users/nkeys are not defined");
            say(&place("no_auth_user"), problem);
        } else if !names.contains(name.as_str()) {
            let problem = format!(
                "no_auth_user: {name:?} not present as user or nkey in authorization block or account configuration"
            );
            say(&place("no_auth_user"), problem);
        }
    }
    let mut accounts = BTreeSet::new();
    for account in &options.access.accounts {
        if !accounts.insert(account.name.as_str()) {
            say(&account.at, format!("Duplicate Account Entry: {}", account.name));
        }
    }
    if let Some(callout) = &options.access.authorization.callout {
        if callout.account != "$G" && !accounts.contains(callout.account.as_str()) {
            let problem =
                format!("auth_callout account {:?} not found in configured accounts", callout.account);
            say(&callout.at, problem);
        }
        for name in callout.allowed_accounts.iter().filter(|name| !accounts.contains(name.as_str())) {
            let problem = format!("auth_callout allowed account {name:?} not found in configured accounts");
            say(&callout.at, problem);
        }
    }
    if let Some(system) = options.access.system_account.as_ref().filter(|_| !by_signature)
        && system != "$SYS"
        && !accounts.contains(system.as_str())
    {
        say(
            &place("system_account"),
            format!("system_account is {system:?}, which is no account of this configuration"),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// What is wrong with a configuration, a line for each.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let result = crate::load_text(text, "t.conf", &mut files, &|_| None);
        assert_eq!(result.map_or_else(|e| e.to_string(), |_| String::new()), expected, "{text}");
    }

    #[test]
    fn jetstream_of_accounts_and_beside_other_servers() {
        for value in ["enabled", "true", "{}", "{ max_mem: 1mb, max_streams: 5 }", "disabled", "false"] {
            check(&format!("accounts {{ A {{ jetstream: {value} }} }}"), "");
        }
        check(
            "accounts { A { jetstream: 5 } }",
            "t.conf:1:27: Expected map, bool or string to define JetStream",
        );
        check(
            "accounts { A { jetstream { max_memry: 1 } } }",
            "t.conf:1:28: unknown field \"max_memry\"\n  did you mean `max_memory`?",
        );
        check("jetstream { domain: d }\nleafnodes { port: -1 }", "");
        check("jetstream { domain: 'a.b' }", "t.conf:1:11: invalid domain name: may not contain ., * or >");
        check("store_dir: a\njetstream { store_dir: b }", "t.conf:2:11: Duplicate 'store_dir' configuration");
        for (block, text) in
            [("cluster", "cluster { port: -1 }"), ("gateway", "gateway { name: G, port: -1 }")]
        {
            check(
                &format!("jetstream: true\n{text}"),
                &format!(
                    "t.conf:2:1: `jetstream` cannot be carried out together with `{block}`: replication of streams is not part of this version\n  \
                     take one of them out, or connect this server as a leaf node, with a domain of its own"
                ),
            );
        }
    }

    #[test]
    fn what_does_not_go_together_names_the_place_of_its_key() {
        check(
            "max_pending: 1mb\nmax_payload: 2mb",
            "t.conf:2:1: max_payload (2097152) cannot be higher than max_pending (1048576)",
        );
        check(
            "max_pending: 1k",
            "t.conf:1:1: max_payload (1048576) cannot be higher than max_pending (1000)",
        );
        check("max_payload: 3g", "t.conf:1:14: max_payload value is too big");
        check(
            "lame_duck_duration: 30s\nlame_duck_grace_period: 1m",
            "t.conf:2:1: lame duck grace period (1m0s) should be strictly lower than lame duck duration (30s)",
        );
        check(
            "lame_duck_duration: 29s",
            "t.conf:1:21: invalid lame_duck_duration of 29s, minimum is 30 seconds",
        );
        for good in ["x", "x:5", ":5", "x:0", "[::1]:5", "1.2.3.4"] {
            check(&format!("client_advertise: '{good}'"), "");
        }
        for (bad, why) in [
            ("x:y", "\"y\" is no port"),
            ("x:", "\"\" is no port"),
            ("x:99999", "\"99999\" is no port"),
            ("h:5:6", "an IPv6 address stands in brackets"),
            ("::1", "an IPv6 address stands in brackets"),
        ] {
            check(
                &format!("client_advertise: '{bad}'"),
                &format!("t.conf:1:1: client_advertise is {bad:?}, which is no `host:port`: {why}"),
            );
        }
        check("server_name: 'a b'", "t.conf:1:1: server name cannot contain spaces");
        check(
            "http: 1\nhttps: 2",
            "t.conf:2:1: can't specify both HTTP and HTTPs ports\nt.conf:2:1: TLS cert and key required for HTTPS",
        );
        check(
            "no_system_account: true\nusage_interval: 1m",
            "t.conf:2:1: usage_interval needs a system account to tell it in",
        );
        check(
            "no_system_account: true\ncluster { port: -1, rebalance: true }",
            "t.conf:2:9: rebalance needs a system account, in which servers report how many clients they have",
        );
        check("usage_interval: 10ms", "t.conf:1:17: usage_interval is too short\n  it is at least 1s");
        check("max_sub_tokens: 256", "t.conf:1:17: max_sub_tokens value is too big\n  it is at most 255");
    }

    #[test]
    fn users_are_told_apart() {
        check(
            "accounts {\n A { users: [{user: a}] }\n B { users: [{user: a}] }\n}",
            "t.conf:3:14: Duplicate user \"a\" detected",
        );
        check(
            "accounts { A { users: [{user: a}] } }\nauthorization { users: [{user: a}] }",
            "t.conf:1:24: Duplicate user \"a\" detected",
        );
        check(
            "authorization { user: a, pass: b, token: c }",
            "t.conf:1:1: Cannot have a user/pass and token",
        );
        check(
            "authorization { token: c, users: [{user: a}] }",
            "t.conf:1:1: Can not have a token and a users array",
        );
        check(
            "authorization { user: a, users: [] }",
            "t.conf:1:33: Can not have a single user/pass and a users array",
        );
        check(
            "accounts { A { users: [{user: a}] } }\nauthorization { user: b }",
            "t.conf:2:1: Can not have a single user/pass and a users array",
        );
        check(
            "accounts { A { users: [{user: a}] } }\nauthorization { token: b }",
            "t.conf:2:1: Can not have a token and a users array",
        );
        check("authorization { PASS: b, users: [ {user: a, password: $PASS} ] }", "");
        check("authorization { password: b }", "t.conf:1:1: a password needs a user");
        check(
            "authorization { token: '' }",
            "t.conf:1:24: the token is empty\n  take it out if everybody may connect",
        );
        check("authorization { users: [{password: a}] }", "t.conf:1:25: User entry requires a user");
        check(
            "authorization { users: [{nkey: UX}] }",
            "t.conf:1:32: Not a valid public nkey for a user\n  it begins with `U` and has 56 characters",
        );
        check("no_auth_user: x", "t.conf:1:1: no_auth_user: \"x\" present, but users/nkeys are not defined");
        check(
            "system_account: x",
            "t.conf:1:1: system_account is \"x\", which is no account of this configuration",
        );
        check("accounts: [A, A]", "t.conf:1:15: Duplicate Account Entry: A");
    }

    #[test]
    fn ocsp_is_a_switch_or_a_block() {
        for good in [
            "true",
            "false",
            "{}",
            "{ mode: AUTO }",
            "{ mode: never, url: '' }",
            "{ mode: must, url: 'http://a/', urls: ['http://b', 'http://c'] }",
        ] {
            check(&format!("ocsp: {good}"), "");
        }
        check(
            "ocsp: 5",
            "t.conf:1:7: error parsing ocsp config: unsupported type an integer\n  `true`, `false` or a block is expected",
        );
        check(
            "ocsp { mode: foo }",
            "t.conf:1:14: error parsing ocsp config: unsupported ocsp mode\n  known are `auto`, `must`, `always` and `never`",
        );
        check(
            "ocsp { url: 'ldap://x' }",
            "t.conf:1:13: \"ldap://x\" is no address of an OCSP responder\n  it begins with `http://`; what responders say is signed",
        );
        check("ocsp { foo: 5 }", "t.conf:1:8: unknown field \"foo\"");
        for good in
            ["true", "false", "{}", "{ type: NONE }", "{ type: local, local_store: x, save_interval: 0 }"]
        {
            check(&format!("ocsp_cache: {good}"), "");
        }
        check(
            "ocsp_cache { type: x }",
            "t.conf:1:20: unknown OCSP response cache type \"x\"\n  known are `local` and `none`",
        );
        let tls = |peer: &str| {
            format!("tls {{ cert_file: a, key_file: b, ca_file: c, verify: true, ocsp_peer: {peer} }}")
        };
        for good in ["true", "false", "{}", "{ verify: true, ca_timeout: '1s', warn_only: true }"] {
            check(&tls(good), "");
        }
        check(
            &tls("true").replace("verify: true", "verify: false"),
            "t.conf:1:72: OCSP peer verification for client connections requires TLS verify (mTLS) to be enabled",
        );
    }

    #[test]
    fn several_errors_come_in_the_order_of_the_file() {
        check(
            "port: x\nfoo: 1\nmax_payload: yes\n",
            "t.conf:1:7: expected an integer, found a string\nt.conf:2:1: unknown field \"foo\"\nt.conf:3:14: expected an integer, found a boolean",
        );
    }
}
