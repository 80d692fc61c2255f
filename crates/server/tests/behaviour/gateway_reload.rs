//! Gateways of running servers: what a reload changes.

use crate::common::waiting::wait_until;
use crate::common::{Client, options, start};
use dialtone_config::Options;
use dialtone_server::Server;
use dialtone_server::gateways::{Direction, Gateway};
use dialtone_server::policy::ListenerKind;
use std::sync::Arc;

/// A server of the cluster `name`, with this in its block.
fn gateway(name: &str, block: &str) -> Options {
    options(&format!("server_name: {name}, gateway {{ name: {name}, host: localhost, port: -1, {block} }}"))
}

fn port(server: &Server) -> u16 {
    server.node().settings.identity.port(ListenerKind::Gateway)
}

/// A remote by which a server is dialled.
fn named(name: &str, server: &Server) -> String {
    format!("gateways: [ {{ name: {name}, url: 'nats://u:p@localhost:{}' }} ]", port(server))
}

fn open(server: &Server, direction: Direction) -> Vec<Arc<Gateway>> {
    let open = server.node().delivery.gateways.open();
    open.iter().filter(|gateway| gateway.direction == direction).cloned().collect()
}

#[track_caller]
fn wait_for(server: &Server, direction: Direction, names: &[&str]) {
    wait_until(format!("{direction:?}: {names:?}"), || {
        let open = open(server, direction);
        open.iter().map(|gateway| gateway.name.as_str()).eq(names.iter().copied())
    });
}

/// A cluster that a reload names is dialled and messages go there, one that stays named is kept, and one that is named no longer is left.
#[test]
fn a_reload_names_other_clusters() {
    // X does not dial back, so that nothing but Y's configuration decides.
    let x = start(gateway("X", "authorization { user: u, password: p }"));
    let y = start(gateway("Y", ""));
    let mut subscriber = Client::connect(&x, "");
    subscriber.send("SUB foo 1\r\n");
    subscriber.sync();
    y.reload(Ok(gateway("Y", &named("X", &x))));
    wait_for(&y, Direction::Outbound, &["X"]);
    let mut publisher = Client::connect(&y, "");
    wait_until("interest", || {
        publisher.send("PUB foo 1\r\nx\r\n");
        publisher.sync();
        !subscriber.sync().is_empty()
    });
    let id = |server: &Server| open(server, Direction::Outbound).first().map(|g| g.session.peer.id);
    let before = id(&y);
    y.reload(Ok(gateway("Y", &format!("connect_retries: 3, {}", named("X", &x)))));
    assert_eq!(id(&y), before, "nothing else concerns it");
    // X dialled back; as long as it does, Y would be where it would be without a configuration: connected.
    x.reload(Ok(gateway("X", "authorization { user: u, password: p }, reject_unknown_cluster: true")));
    wait_for(&x, Direction::Outbound, &[]);
    wait_for(&x, Direction::Inbound, &[]);
    y.reload(Ok(gateway("Y", "connect_backoff: true")));
    wait_for(&y, Direction::Outbound, &[]);
    for server in [x, y] {
        server.stop();
    }
}

/// Who is let in no longer does not stay, and who is let in again comes.
#[test]
fn a_reload_of_the_password_is_for_who_is_connected_too() {
    let user = |password: &str| format!("authorization {{ user: u, password: {password} }}");
    let x = start(gateway("X", &user("p")));
    let y = start(gateway("Y", &named("X", &x)));
    wait_for(&x, Direction::Inbound, &["Y"]);
    x.reload(Ok(gateway("X", &user("other"))));
    wait_for(&x, Direction::Inbound, &[]);
    x.reload(Ok(gateway("X", &user("p"))));
    wait_for(&x, Direction::Inbound, &["Y"]);
    // Its name and where it listens stay as they are, and nothing of such a reload is taken over.
    for other in ["name: Z, port: -1", "name: X, port: 1", "name: X, port: -1, advertise: 'h:1'"] {
        x.reload(Ok(options(&format!("server_name: X, gateway {{ host: localhost, {other} }}"))));
    }
    wait_for(&x, Direction::Inbound, &["Y"]);
    assert!(
        x.node()
            .settings
            .policy()
            .options
            .gateway
            .as_ref()
            .is_some_and(|own| own.authorization.user.is_some())
    );
    for server in [x, y] {
        server.stop();
    }
}
