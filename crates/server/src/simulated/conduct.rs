//! How a connection is treated whatever it publishes: what comes before its protocol, how long it may stay, how it is let go.
#![cfg(test)]

use super::event_loop::Begins;
use super::{AT_ONCE, World};
use crate::client;
use crate::resolver::Reach;
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::account::{Account, AccountLimits};
use dialtone_identity::jwt::claims::{Limit, Operator, User, UserLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_net::{Handler as _, Secured};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// It takes INFO at any time.
const MODERN: &str = r#"{"verbose":false,"protocol":1}"#;
/// It takes none after the first.
const OLD: &str = r#"{"verbose":false,"protocol":0}"#;

fn secured(certificates: &[&[u8]]) -> Secured {
    Secured {
        version: "1.3",
        cipher_suite: "TLS_AES_128_GCM_SHA256".into(),
        certificates: certificates.iter().map(|der| der.to_vec().into()).collect(),
    }
}

/// A server with this in its `tls` block.
fn with_tls(block: &str) -> World {
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let config = format!("ping_interval: 10s\ntls {{ cert_file: {cert:?}, key_file: {key:?}, {block} }}");
    World::new(1, &config, 1)
}

/// The other end would take a PING in plain for a failed handshake.
#[test]
fn nothing_is_pinged_before_its_handshake() {
    let mut world = with_tls("");
    let player = world.stranger();
    assert_eq!(world.infos(player).first().map(|info| info["tls_required"].clone()), Some(true.into()));
    world.pass(HOUR);
    assert_eq!(world.got(player), "");
    world.with_newest(|driver, connection| driver.secured(connection, secured(&[])));
    world.pass(9 * SECOND);
    assert_eq!(world.got(player), "");
    world.pass(2 * SECOND);
    assert_eq!(world.got(player), "PING\r\n");
}

#[test]
fn where_the_handshake_comes_first_nothing_is_sent_before_it() {
    let mut world = with_tls("handshake_first: true");
    let player = world.stranger();
    world.pass(HOUR);
    assert!(world.at(player).got.is_empty());
    world.with_newest(|driver, connection| {
        driver.secured(connection, secured(&[]));
        driver.greet(connection);
    });
    assert_eq!(world.infos(player).len(), 1);
    world.send(player, format!("CONNECT {MODERN}\r\nPING\r\n").as_bytes());
    world.pass(SECOND);
    assert_eq!(world.got(player), "PONG\r\n");
    let session = world.node.connections.registry.open().pop().expect("connected");
    assert_eq!(session.profile().secured.as_ref().map(|secured| secured.version), Some("1.3"));
}

#[test]
fn a_certificate_that_is_not_pinned_ends_the_connection() {
    let mut world = with_tls(&format!("pinned_certs: [\"{}\"]", "ab".repeat(32)));
    let player = world.stranger();
    world.with_newest(|driver, connection| driver.secured(connection, secured(&[b"another"])));
    world.pass(SECOND);
    assert!(world.at(player).closed_at.is_some());
    assert_eq!(world.got(player), "");
}

#[test]
fn handshakes_beyond_the_rate_are_throttled() {
    let mut world = with_tls("connection_rate_limit: 2");
    let players: Vec<usize> = (0..3).map(|_| world.stranger()).collect();
    world.pass(Duration::from_millis(1));
    let closed = players.iter().map(|&player| world.at(player).closed_at.is_some());
    assert_eq!(closed.collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(world.got(players[2]), "-ERR 'Connection throttling is active. Please try again later.'\r\n");
    // In the next second others may come.
    world.pass(SECOND);
    let next = world.stranger();
    world.pass(SECOND);
    assert!(world.at(next).closed_at.is_none());
}

#[test]
fn who_is_behind_a_proxy_is_known_by_its_header() {
    let mut world = World::new(1, "proxy_protocol: true", 1);
    world.event_loop().begins = Begins::Proxied;
    let player = world.stranger();
    world.pass(SECOND);
    assert!(world.at(player).got.is_empty(), "nothing is sent before the header");
    let source: SocketAddr = "192.0.2.7:4000".parse().expect("an address");
    world.with_newest(|driver, connection| {
        driver.proxied(connection, Some(source));
        driver.greet(connection);
    });
    world.send(player, format!("CONNECT {MODERN}\r\nPING\r\n").as_bytes());
    world.pass(SECOND);
    let infos = world.infos(player);
    let addresses: Vec<_> = infos.iter().map(|info| info.get("client_ip").cloned()).collect();
    assert_eq!(addresses, [None, Some("192.0.2.7".into())]);
    let profile = world.node.connections.registry.open().pop().expect("connected").profile();
    assert_eq!(profile.remote, Some(source));
    assert!(profile.label.starts_with("192.0.2.7:4000 - cid:"), "{}", profile.label);
}

/// A health check of a proxy has no source.
#[test]
fn a_proxys_own_connection_keeps_the_address_of_its_socket() {
    let mut world = World::new(1, "proxy_protocol: true", 1);
    world.event_loop().begins = Begins::Proxied;
    let player = world.stranger();
    world.with_newest(|driver, connection| {
        driver.proxied(connection, None);
        driver.greet(connection);
    });
    assert_eq!(world.infos(player).len(), 1);
    let profile = world.node.connections.registry.open().pop().expect("connected").profile();
    assert_eq!(profile.host().as_deref(), Some("127.0.0.1"));
}

#[test]
fn in_lame_duck_mode_clients_are_asked_to_go_if_they_understand_it() {
    let mut world = World::new(1, "", 1);
    let (modern, _) = world.player(MODERN, AT_ONCE);
    let (old, _) = world.player(OLD, AT_ONCE);
    let silent = world.stranger();
    for player in [modern, old] {
        world.send(player, b"PING\r\n");
    }
    world.pass(SECOND);
    let before = [modern, old, silent].map(|player| world.infos(player).len());
    assert_eq!(before, [2, 1, 1]);
    world.node.connections.lame_duck.store(true, Ordering::Release);
    for session in world.node.connections.registry.open() {
        client::send_away(&session, &world.node);
    }
    world.pass(SECOND);
    let after = [modern, old, silent].map(|player| world.infos(player).len());
    assert_eq!(after, [3, 1, 1]);
    assert_eq!(world.infos(modern).last().map(|info| info["ldm"].clone()), Some(true.into()));
    // Who came before the listener was closed learns it at once.
    let late = world.stranger();
    assert_eq!(world.infos(late).first().map(|info| info["ldm"].clone()), Some(true.into()));
}

#[test]
fn one_more_than_may_connect_is_refused() {
    let mut world = World::new(1, "max_connections: 1", 1);
    let (first, _) = world.player(MODERN, AT_ONCE);
    let second = world.stranger();
    world.pass(SECOND);
    assert_eq!(world.got(second), "-ERR 'maximum connections exceeded'\r\n");
    assert!(world.at(second).closed_at.is_some() && world.at(first).closed_at.is_none());
    // The place is free again.
    assert_eq!(world.node.connections.registry.len(), 1);
}

#[test]
fn who_is_refused_leaves_nothing_but_a_record() {
    let mut world = World::new(1, "authorization { user: u, password: p }", 1);
    let (wrong, _) = world.player(r#"{"user":"u","pass":"x","name":"n"}"#, AT_ONCE);
    world.pass(SECOND);
    assert_eq!(world.got(wrong), "-ERR 'Authorization Violation'\r\n");
    assert!(world.at(wrong).closed_at.is_some());
    assert!(world.node.connections.registry.is_empty());
    assert_eq!(world.node.accounts.global.connections(), 0);
    let closed = world.node.connections.registry.closed(|_| true);
    let known = closed.first().expect("remembered").session.profile();
    let known = known.known().expect("said");
    assert_eq!((&*known.name, &*known.user, &*known.account), ("n", "u", ""));
}

fn seed(kind: Kind) -> Seed {
    Seed::from_bytes(kind, [1; 32])
}

/// A server with an operator and one account, which knows the account's JWT; the user's ends at this second.
fn with_jwts(account_ends: Option<i64>, user_ends: Option<i64>) -> (World, String) {
    let now = crate::clock::now();
    let operator = Draft::new(seed(Kind::Operator).public(), "OP", Body::Operator(Operator::default()));
    let operator = operator.sign(&seed(Kind::Operator), now).expect("operator");
    let account = Account { limits: AccountLimits::unlimited(), ..Account::default() };
    let account = Draft::new(seed(Kind::Account).public(), "ACC", Body::Account(Box::new(account)));
    let account = Draft { expires: account_ends, ..account };
    let account = account.sign(&seed(Kind::Operator), now).expect("account");
    let all = Limit::Unlimited;
    let limits =
        UserLimits { subs: all, data: all, payload: all, bearer_token: true, ..UserLimits::default() };
    let user = Body::User(Box::new(User { limits, ..User::default() }));
    let user = Draft { expires: user_ends, ..Draft::new(seed(Kind::User).public(), "bob", user) };
    let user = user.sign(&seed(Kind::Account), now).expect("user");
    let key = seed(Kind::Account).public().to_string();
    let config = format!(
        "operator: {operator}\nresolver: MEMORY\nresolver_preload {{\n{key}: {account}\n}}\nping_interval: 1h"
    );
    let world = World::new(1, &config, 1);
    // Nobody looks accounts up here.
    world.node.look_up(&key, Reach::Anywhere).expect("the account");
    (world, format!(r#"{{"jwt":"{user}","verbose":false}}"#))
}

/// Plays until a JWT is over, and a little longer: what its user got.
fn until_it_ends(account_ends: Option<Duration>, user_ends: Option<Duration>) -> String {
    let at = |after: Duration| crate::clock::now() + after.as_secs() as i64;
    let (mut world, connect) = with_jwts(account_ends.map(at), user_ends.map(at));
    let (player, _) = world.player(&connect, AT_ONCE);
    // However slow this machine is, it is not slower than this.
    world.pass(9 * HOUR);
    assert!(world.at(player).closed_at.is_none(), "{}", world.got(player));
    world.pass(2 * HOUR);
    assert!(world.at(player).closed_at.is_some());
    assert!(world.node.connections.registry.is_empty());
    world.got(player).replace("PING\r\n", "")
}

#[test]
fn who_came_with_a_jwt_goes_when_it_is_over() {
    let (first, later) = (Some(10 * HOUR), Some(100 * HOUR));
    assert_eq!(until_it_ends(None, first), "-ERR 'User Authentication Expired'\r\n");
    assert_eq!(until_it_ends(later, first), "-ERR 'User Authentication Expired'\r\n");
    assert_eq!(until_it_ends(first, later), "-ERR 'Account Authentication Expired'\r\n");
}
