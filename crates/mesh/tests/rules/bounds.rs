//! What others cannot make grow, and times that are up.

use crate::SECOND;
use crate::bench::{Bench, gossip, info, settings};
use dialtone_mesh::limits::{INFO_BURST, LEARNED_MAX, UNJOINED_MAX};
use dialtone_mesh::{Event, LinkId};
use dialtone_wire::route::Info;

#[test]
fn who_does_not_join_in_time_is_closed() {
    let mut m = Bench::new(settings());
    m.accept(1, 9);
    let late = "close 1 Authentication Timeout 'Authentication Timeout'";
    assert_eq!(m.after(SECOND * 2), [late]);
}

#[test]
fn one_address_keeps_out_nobody_else() {
    let mut m = Bench::new(settings());
    assert_eq!(m.accept(1, 8), ["info 1"]);
    for link in 2..=UNJOINED_MAX as u64 {
        assert_eq!(m.accept(link, 9), [format!("info {link}")]);
    }
    assert_eq!(m.accept(9999, 9), ["close 2 Maximum Connections Exceeded", "info 9999"]);
    assert_eq!(m.connect(1, "B", "C", false), [""; 0]);
}

#[test]
fn who_tells_of_most_servers_loses_one_of_them() {
    let mut m = Bench::new(settings());
    m.joins(1, 9, &info("A"));
    m.joins(2, 8, &info("B"));
    assert_eq!(m.info(2, &gossip("first", 200)).len(), 2);
    for number in 0..LEARNED_MAX {
        m.info(1, &gossip(&format!("N{number:05}"), (number % 100) as u8));
    }
    // The one that the other told of is known: it is dialled again when that fails.
    let failed = Event::DialFailed {
        dial: dialtone_mesh::DialId(1),
        failure: dialtone_mesh::DialFailure::Unreachable,
    };
    m.event(failed);
    assert!(m.after(SECOND * 2).iter().any(|done| done.contains("10.0.0.200:6222")));
}

#[test]
fn info_that_comes_too_fast_is_not_heard() {
    let mut m = Bench::new(settings());
    m.joins(1, 9, &info("A"));
    for _ in 0..INFO_BURST {
        m.info(1, &info("A"));
    }
    assert_eq!(m.info(1, &gossip("B", 7)), [""; 0]);
    m.after(SECOND);
    assert_eq!(m.info(1, &gossip("B", 7)).len(), 2);
}

#[test]
fn an_official_server_that_does_not_decide_has_one_connection_in_the_end() {
    let mut m = Bench::new(settings());
    let official = Info { go: "go1.26".into(), ..info("A") };
    m.joins(1, 9, &official);
    assert_eq!(m.joins(2, 9, &official), ["join 2 A 0 of 2"]);
    assert_eq!(m.joins(3, 9, &official), ["close 3 Duplicate Route"]);
    assert!(m.after(SECOND * 5).contains(&"close 1 Duplicate Route".to_owned()));
}

#[test]
fn what_is_heard_of_a_connection_that_is_closed_changes_nothing() {
    let mut m = Bench::new(settings());
    assert_eq!(m.joins(1, 9, &Info { server_name: "me".into(), ..info("B") }).len(), 1);
    assert_eq!(m.info(1, &info("B")), [""; 0]);
    assert_eq!(m.event(Event::Confirmed { link: LinkId(1) }), [""; 0]);
    assert_eq!(m.event(Event::Lost { link: LinkId(1) }), [""; 0]);
}
