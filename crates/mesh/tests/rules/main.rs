//! Each rule by itself: one server, events, and what it does.

mod bench;
mod bounds;

use bench::{Bench, gossip, info, routes, settings};
use dialtone_mesh::limits::LEAF_URLS_MAX;
use dialtone_mesh::{ClientUrls, DialFailure, DialId, Event, LinkId, ServerId, Settings};
use dialtone_wire::route::{GossipMode, Info};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn with_routes(urls: &[&str]) -> Settings {
    Settings { routes: routes(urls), ..settings() }
}

#[test]
fn a_configured_server_is_dialled_until_its_pool_is_full() {
    let (mut m, done) = Bench::start(with_routes(&["nats://b:6222"]));
    assert_eq!(done, ["dial 1 b:6222 for pool, attempt 1", "dial 2 b:6222 for $SYS, attempt 1"]);
    assert_eq!(m.dialled(1, 1), ["connect 1 to C"]);
    let joined = ["peer B", "info 1", "join 1 B 0 of 2", "clients m:4222 B:4222"];
    assert_eq!(m.info(1, &info("B")), joined);
    assert_eq!(m.dialled(2, 2), ["connect 2 to C"]);
    assert_eq!(m.info(2, &info("B")), ["info 2 $SYS", "join 2 B $SYS"]);
    // The next only once the other server has answered PING.
    assert_eq!(m.event(Event::Confirmed { link: LinkId(1) }), ["dial 3 b:6222 for pool, attempt 1"]);
    m.dialled(3, 3);
    assert_eq!(m.info(3, &info("B")), ["info 3 index 1", "join 3 B 1 of 2"]);
    m.event(Event::Confirmed { link: LinkId(2) });
    assert_eq!(m.event(Event::Confirmed { link: LinkId(3) }), [""; 0]);
    assert_eq!(m.event(Event::Lost { link: LinkId(3) }), [""; 0]);
    assert_eq!(m.after(SECOND), [""; 0]);
    assert_eq!(m.after(SECOND / 5), ["dial 4 b:6222 for pool, attempt 1"]);
}

#[test]
fn a_server_that_does_not_answer_is_dialled_each_second_or_with_backoff() {
    for (connect_backoff, dials) in [(false, 12), (true, 5)] {
        let mut m =
            Bench::new(Settings { connect_backoff, pool_size: None, ..with_routes(&["nats://b:6222"]) });
        let mut done = Vec::new();
        for dial in 1.. {
            m.event(Event::DialFailed { dial: DialId(dial), failure: DialFailure::Unreachable });
            let more = m.after(SECOND * 60);
            assert_eq!(more.len(), 1, "{more:?}");
            done.extend(more);
            if done.len() == dials {
                break;
            }
        }
        assert_eq!(done.last(), Some(&format!("dial {} b:6222 for pool, attempt {}", dials + 1, dials + 1)));
    }
}

#[track_caller]
fn refused(info: &Info, expected: &str) {
    let mut m = Bench::new(settings());
    m.accept(1, 9);
    let mut done = m.connect(1, &info.server_id, "C", false);
    done.extend(m.info(1, info));
    assert_eq!(done, [expected]);
}

#[test]
fn who_may_not_join_learns_why_as_officially() {
    refused(&Info { server_name: "me".into(), ..info("B") }, "close 1 Duplicate Server Name");
    refused(&info("M"), "close 1 Duplicate Route");
    refused(&Info { server_id: "x".repeat(300), ..info("B") }, "close 1 Protocol Violation");
    let wrong_index = Info { route_pool_idx: 2, ..info("B") };
    let text = "close 1 Protocol Violation 'Invalid route pool index: 2 - pool size is 2'";
    refused(&wrong_index, text);
    let other_account = Info { route_account: "AA".into(), ..info("B") };
    refused(&other_account, "close 1 Protocol Violation 'No route for account \"AA\"'");
    let without_pool = Info { route_account: "$SYS".into(), route_pool_size: 0, ..info("B") };
    let text = "Not possible to have a dedicated route for account \"$SYS\" between those servers";
    refused(&without_pool, &format!("close 1 Protocol Violation '{text}'"));
    let huge = Info { route_pool_size: 5000, ..info("B") };
    refused(&huge, "close 1 Protocol Violation 'Invalid route pool index: 0 - pool size is 5000'");
}

#[test]
fn another_cluster_is_refused() {
    let mut m = Bench::new(with_routes(&["nats://b:6222"]));
    m.accept(1, 9);
    let error = "Rejecting connection, cluster name \"D\" does not match \"C\"";
    assert_eq!(m.connect(1, "B", "D", false), [format!("close 1 Cluster Name Conflict '{error}'")]);
    m.dialled(1, 2);
    let other = Info { cluster: "D".into(), ..info("B") };
    assert_eq!(m.info(2, &other), ["close 2 Cluster Name Conflict"]);
}

#[test]
fn a_made_up_name_yields_and_who_knew_it_has_to_come_again() {
    let made_up = Settings { cluster: None, ..settings() };
    let mut m = Bench::new(made_up.clone());
    let of = |name: &str| Info { cluster: name.into(), cluster_dynamic: true, ..info("B") };
    m.joins(1, 9, &of("made-up"));
    m.accept(2, 8);
    let left = "close 1 Cluster Name Conflict";
    assert_eq!(m.connect(2, "E", "named", false), ["cluster named", left, "no peer B", "clients m:4222"]);
    assert_eq!(m.cluster.name(), ("named", false));

    let mut m = Bench::new(made_up);
    m.accept(1, 9);
    let error = "Rejecting connection, cluster name \"lesser\" does not match \"made-up\"";
    assert_eq!(m.connect(1, "B", "lesser", true), [format!("close 1 Cluster Name Conflict '{error}'")]);
}

#[test]
fn an_address_that_leads_to_oneself_is_not_dialled_again() {
    let mut m = Bench::new(with_routes(&["nats://10.0.0.9:6222"]));
    m.dialled(1, 1);
    assert_eq!(m.info(1, &info("M")), ["close 1 Duplicate Route"]);
    m.event(Event::DialFailed { dial: DialId(2), failure: DialFailure::Unreachable });
    assert_eq!(m.after(SECOND * 600), [""; 0]);
    // What a name leads to may change.
    let mut m = Bench::new(with_routes(&["nats://seed:6222"]));
    for dial in [1, 2] {
        m.event(Event::DialFailed { dial: DialId(dial), failure: DialFailure::Oneself });
    }
    assert_eq!(m.after(SECOND * 29), [""; 0]);
    assert_eq!(m.after(SECOND), ["dial 3 seed:6222 for pool, attempt 2"]);
}

#[test]
fn a_name_with_many_addresses_leads_to_the_cluster_and_no_further() {
    let mut m = Bench::new(with_routes(&["nats://seed:6222"]));
    m.dialled(1, 1);
    m.info(1, &info("A"));
    m.dialled(2, 2);
    let second = Info { ip: "nats-route://10.0.0.8:6222/".into(), ..info("B") };
    let done = m.info(2, &second);
    // Each of the two that answered is dialled at its own address.
    let dials: Vec<_> = done.iter().filter(|done| done.starts_with("dial")).collect();
    assert!(!dials.is_empty() && dials.iter().all(|dial| dial.contains(" 10.0.0.")), "{done:?}");
    m.event(Event::Confirmed { link: LinkId(1) });
    m.event(Event::Confirmed { link: LinkId(2) });
    assert!(!m.after(SECOND * 12).iter().any(|done| done.contains("seed:6222")));
    m.event(Event::Lost { link: LinkId(1) });
    m.event(Event::Lost { link: LinkId(2) });
    assert!(m.after(SECOND * 12).iter().any(|done| done.contains("seed:6222 for pool")));
}

#[test]
fn a_server_without_pools_has_one_connection() {
    let mut m = Bench::new(with_routes(&["nats://b:6222"]));
    let old = Info { route_pool_size: 0, go: "go1.19".into(), ..info("B") };
    m.dialled(1, 1);
    assert_eq!(m.info(1, &old), ["peer B", "info 1", "join 1 B single", "clients m:4222 B:4222"]);
    m.dialled(2, 2);
    let error = "Not possible to have a dedicated route for account \"$SYS\" between those servers";
    assert_eq!(m.info(2, &old), [format!("close 2 Protocol Violation '{error}'")]);
    m.event(Event::Confirmed { link: LinkId(1) });
    assert!(!m.after(SECOND * 60).iter().any(|done| done.starts_with("dial")));
}

#[test]
fn a_new_server_is_told_to_the_others_and_how_loudly() {
    let mut m = Bench::new(with_routes(&["nats://a:6222"]));
    m.dialled(1, 1);
    m.info(1, &info("A"));
    m.event(Event::DialFailed { dial: DialId(2), failure: DialFailure::Unreachable });
    // To one that is configured: it is to tell on. Without the nonce, and with an address.
    let told = m.joins(3, 9, &info("B"));
    assert_eq!(told[..2], ["peer B", "join 3 B 0 of 2"]);
    assert_eq!(told[2], "info 1 B at nats-route://10.0.0.9:6222/ loudly");
    // To one that dialled: it is not.
    let told = m.joins(4, 8, &Info { ip: "nats-route://advertised:7/".into(), ..info("D") });
    let words = "D at nats-route://advertised:7/";
    assert_eq!(told[2..4], [format!("info 1 {words} loudly"), format!("info 3 {words} quietly")]);
    // The rest of its pool is no news, and nobody is told of one that asks for silence.
    let second = Info { route_pool_idx: 1, ..info("D") };
    assert_eq!(m.joins(5, 8, &second), ["join 5 D 1 of 2"]);
    let quiet = Info { gossip_mode: GossipMode::Disabled, ..info("E") };
    assert_eq!(m.joins(6, 7, &quiet)[..2], ["peer E", "join 6 E 0 of 2"]);
}

#[test]
fn a_server_that_was_told_of_is_dialled_with_the_own_credentials_if_it_wants_some() {
    let mut m = Bench::new(settings());
    m.joins(1, 9, &info("A"));
    let open = m.info(1, &gossip("B", 7));
    assert_eq!(
        open,
        ["dial 1 10.0.0.7:6222 for pool, attempt 1", "dial 2 10.0.0.7:6222 for $SYS, attempt 1"]
    );
    let closed = Info { auth_required: true, ..gossip("D", 8) };
    assert_eq!(m.info(1, &closed)[0], "dial 3 own@10.0.0.8:6222 for pool, attempt 1");
    assert_eq!(m.info(1, &gossip("M", 1)), [""; 0]);
    // One that is configured is dialled as that, with the credentials of its URL.
    let routes = Box::new(with_routes(&["nats://other@10.0.0.3:6222"]));
    assert!(
        m.event(Event::Reloaded(routes)).contains(&"dial 5 other@10.0.0.3:6222 for pool, attempt 1".into())
    );
    assert_eq!(m.info(1, &gossip("E", 3)), [""; 0]);
    assert_eq!(m.info(1, &Info { ip: "nats-route://10.0.0.3/".into(), ..gossip("E", 3) }), [""; 0]);
}

#[test]
fn a_server_that_left_is_forgotten_at_once() {
    let mut m = Bench::new(settings());
    m.joins(1, 9, &info("A"));
    m.joins(2, 8, &info("B"));
    assert_eq!(m.event(Event::Left { server: "B", for_good: false }), ["clients m:4222 A:4222"]);
    assert_eq!(m.event(Event::Lost { link: LinkId(2) }), ["no peer B"]);
    assert_eq!(m.info(1, &gossip("B", 8)), [""; 0]);
    assert!(!m.after(SECOND * 50).iter().any(|done| done.contains("10.0.0.8")));
}

#[test]
fn a_server_that_left_for_good_is_not_dialled_though_it_is_configured() {
    let mut m = Bench::new(with_routes(&["nats://10.0.0.9:6222", "nats://b:6222"]));
    m.joins(1, 7, &info("D"));
    for (link, id, last) in [(2, "A", 9), (3, "B", 8)] {
        m.accept(link, last);
        m.event(Event::Lost { link: LinkId(link) });
        m.dialled(2 * link - 3, link + 10);
        m.info(link + 10, &Info { ip: format!("nats-route://10.0.0.{last}:6222/"), ..info(id) });
    }
    for (id, link) in [("A", 12), ("B", 13)] {
        m.event(Event::Left { server: id, for_good: true });
        m.event(Event::Lost { link: LinkId(link) });
    }
    for dial in [2, 4, 5, 6, 7, 8] {
        m.event(Event::DialFailed { dial: DialId(dial), failure: DialFailure::Unreachable });
    }
    let dials = |done: Vec<String>| -> Vec<String> {
        done.into_iter().filter(|done| done.starts_with("dial") && !done.contains(" 10.0.0.7:")).collect()
    };
    assert_eq!(dials(m.after(SECOND * 100)), [""; 0]);
    // Alone it looks who has the name, but not at an address.
    let done = dials(m.event(Event::Lost { link: LinkId(1) }));
    assert!(!done.is_empty() && done.iter().all(|done| done.contains(" b:6222 ")), "{done:?}");
    // It is back, as another server with its name.
    let done = dials(m.joins(20, 9, &Info { server_name: "name of A".into(), ..info("A2") }));
    assert!(done.iter().any(|done| done.contains(" 10.0.0.9:6222 ")), "{done:?}");
}

#[test]
fn a_reload_dials_again_who_left_for_good() {
    let mut m = Bench::new(with_routes(&["nats://10.0.0.9:6222"]));
    m.dialled(1, 1);
    m.info(1, &info("A"));
    m.event(Event::DialFailed { dial: DialId(2), failure: DialFailure::Unreachable });
    // It may be heard behind the end of its routes.
    m.event(Event::Lost { link: LinkId(1) });
    m.event(Event::Left { server: "A", for_good: true });
    assert_eq!(m.after(SECOND * 300), [""; 0]);
    let done = m.event(Event::Reloaded(Box::new(with_routes(&["nats://10.0.0.9:6222"]))));
    assert_eq!(done[0], "dial 3 10.0.0.9:6222 for pool, attempt 1");
}

#[test]
fn a_server_that_is_lost_is_dialled_for_two_minutes() {
    let mut m = Bench::new(Settings { pool_size: None, ..settings() });
    m.joins(1, 9, &Info { route_pool_size: 0, ..info("B") });
    m.event(Event::Lost { link: LinkId(1) });
    assert_eq!(m.after(SECOND * 10), ["dial 1 10.0.0.9:6222 for pool, attempt 1"]);
    let mut dials = 1;
    while dials < 100 {
        m.event(Event::DialFailed { dial: DialId(dials), failure: DialFailure::Unreachable });
        let more = m.after(SECOND * 20);
        if more.is_empty() {
            break;
        }
        dials += 1;
    }
    assert!((5..25).contains(&dials), "{dials}");
}

#[test]
fn clients_are_handed_over_to_servers_that_keep_theirs() {
    let mut m = Bench::new(settings());
    let servers = ["B", "A", "none"].map(ServerId::new);
    m.joins(1, 9, &info("A"));
    m.joins(2, 8, &info("B"));
    assert_eq!(m.cluster.client_urls_of(&servers).plain, ["B:4222", "A:4222"]);
    assert!(!m.cluster.has_lame_duck());
    m.info(1, &Info { lame_duck: true, ..info("A") });
    assert_eq!(m.cluster.client_urls_of(&servers).plain, ["B:4222"]);
    assert!(m.cluster.has_lame_duck());
    m.event(Event::Lost { link: LinkId(1) });
    assert!(!m.cluster.has_lame_duck());
    let mut quiet = Bench::new(Settings { no_advertise: true, ..settings() });
    quiet.joins(1, 9, &info("A"));
    assert_eq!(quiet.cluster.client_urls_of(&servers), ClientUrls::default());
}

#[test]
fn clients_are_told_of_all_servers_but_those_that_send_theirs_away() {
    let mut m = Bench::new(settings());
    m.joins(1, 9, &info("A"));
    let moved = Info { connect_urls: vec!["A:5222".into()], ..info("A") };
    assert_eq!(m.info(1, &moved), ["clients m:4222 A:5222"]);
    assert_eq!(m.info(1, &Info { lame_duck: true, ..moved }), ["clients m:4222"]);
    m.joins(2, 8, &info("B"));
    let own = ClientUrls { plain: vec!["m:9".into()], ..ClientUrls::default() };
    assert_eq!(m.event(Event::ClientUrls(own)), ["info 1", "info 2", "clients m:9 B:4222"]);
    assert_eq!(m.event(Event::LameDuck), ["info 1 lame duck", "info 2 lame duck", "clients B:4222"]);
    assert_eq!(m.event(Event::LameDuck), [""; 0]);
}

#[test]
fn leaf_nodes_are_told_of_all_servers_and_of_this_one_last() {
    let urls = |all: &[&str]| all.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
    let mut own = settings();
    own.info.leafnode_urls = urls(&["m:7422"]);
    let mut m = Bench::new(own.clone());
    let told = |done: Vec<String>| done.into_iter().filter(|d| d.starts_with("leaf")).collect::<Vec<_>>();
    let with = |id: &str, all: &[&str]| Info { leafnode_urls: urls(all), ..info(id) };
    assert_eq!(told(m.joins(1, 9, &with("A", &["a:1", "a:2"]))), ["leaf nodes a:1 a:2 m:7422"]);
    // What is no news is not told again; who has no port for leaf nodes changes nothing.
    assert_eq!(told(m.joins(2, 8, &with("B", &[]))), [""; 0]);
    assert_eq!(told(m.info(2, &with("B", &["b:1"]))), ["leaf nodes a:1 a:2 b:1 m:7422"]);
    assert_eq!(told(m.info(2, &with("B", &["b:1"]))), [""; 0]);
    let many: Vec<String> = (0..1000).map(|n| format!("b:{n}")).collect();
    let many = Info { leafnode_urls: many, ..info("B") };
    let done = told(m.info(2, &many));
    assert_eq!(done[0].split(' ').count(), 2 + 2 + LEAF_URLS_MAX + 1, "{done:?}");
    assert_eq!(told(m.event(Event::Lost { link: LinkId(2) })), ["leaf nodes a:1 a:2 m:7422"]);
    own.info.leafnode_urls = urls(&["m:1"]);
    assert_eq!(told(m.event(Event::Reloaded(Box::new(own)))), ["leaf nodes a:1 a:2 m:1"]);
    // Those that send theirs away are not where to go.
    assert_eq!(told(m.event(Event::LameDuck)), ["leaf nodes a:1 a:2"]);
    assert_eq!(told(m.info(1, &Info { lame_duck: true, ..with("A", &["a:1"]) })), ["leaf nodes "]);
}

#[test]
fn with_no_advertise_nobody_is_told_of_clients_addresses() {
    let mut m = Bench::new(Settings { no_advertise: true, ..settings() });
    assert_eq!(m.joins(1, 9, &info("A")), ["peer A", "join 1 A 0 of 2"]);
    assert!(m.cluster.first_info(LinkId(1)).connect_urls.is_empty());
    let own = ClientUrls { plain: vec!["m:9".into()], ..ClientUrls::default() };
    assert_eq!(m.event(Event::ClientUrls(own)), ["clients m:9"]);
}

#[test]
fn a_route_that_is_configured_no_longer_is_closed() {
    let mut m = Bench::new(with_routes(&["nats://b:6222"]));
    m.dialled(1, 1);
    m.info(1, &info("B"));
    let done = m.event(Event::Reloaded(Box::new(settings())));
    assert_eq!(done, ["close 1 Route Removed", "no peer B", "clients m:4222"]);
    // The dial that was under way comes too late.
    assert_eq!(m.dialled(2, 2), ["close 2 Route Removed"]);
    assert_eq!(m.after(SECOND * 60), [""; 0]);
    let done = m.event(Event::Reloaded(Box::new(with_routes(&["nats://d:6222"]))));
    assert_eq!(done, ["dial 3 d:6222 for pool, attempt 1", "dial 4 d:6222 for $SYS, attempt 1"]);
}

#[test]
fn an_account_gets_connections_of_its_own_once_the_others_are_ready() {
    let mut m = Bench::new(settings());
    m.joins(1, 9, &info("A"));
    m.joins(2, 9, &Info { route_pool_idx: 1, ..info("A") });
    m.joins(3, 9, &Info { route_account: "$SYS".into(), ..info("A") });
    let mut new = settings();
    new.dedicated.insert("AA".into());
    m.after(SECOND * 10);
    // By the connection that the account's interest goes by.
    let done = m.event(Event::Reloaded(Box::new(new)));
    let index = u64::from(dialtone_mesh::pool::index_of(b"AA", 2));
    assert_eq!(done[..2], ["AA moves".to_owned(), format!("info {} AA moves", index + 1)]);
    assert!(!done.iter().any(|done| done.starts_with("dial")), "{done:?}");
    assert_eq!(m.after(SECOND * 3).last().unwrap(), "dial 1 10.0.0.9:6222 for AA, attempt 1");
    assert_eq!(m.event(Event::Reloaded(Box::new(settings())))[0], "AA returns");
}

#[test]
fn another_server_may_give_an_account_connections_of_its_own() {
    let mut m = Bench::new(settings());
    m.joins(1, 9, &info("A"));
    let request = Info {
        route_pool_size: 2,
        route_account: "AA".into(),
        route_acc_add_reqid: "r".into(),
        ..Info::default()
    };
    assert_eq!(m.info(1, &request), ["AA moves", "info 1 moves"]);
    assert!(m.cluster.is_dedicated("AA"));
    let dedicated = Info { route_account: "AA".into(), ..info("A") };
    assert_eq!(m.joins(2, 9, &dedicated), ["join 2 A AA"]);
}
