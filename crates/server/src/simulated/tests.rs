//! What the state machine of clients does, at which moment, whatever the links do.
#![cfg(test)]

use super::{AT_ONCE, World};
use dialtone_sim::link::Conditions;
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

const QUIET: &str = r#"{"verbose":false,"pedantic":false}"#;

#[test]
fn a_message_arrives_whatever_the_pieces_it_comes_in() {
    for seed in 0..20 {
        let mut world = World::new(seed, "", 2);
        let conditions = Conditions { piece_bytes_max: 3, window_bytes: 64, ..Conditions::default() };
        let (subscriber, _) = world.player(QUIET, conditions);
        let (publisher, _) = world.player(QUIET, conditions);
        world.send(subscriber, b"SUB a.* 1\r\nPING\r\n");
        world.pass(SECOND);
        world.send(publisher, b"PUB a.b 5\r\nhello\r\nPING\r\n");
        world.pass(SECOND);
        assert_eq!(world.got(subscriber), "PONG\r\nMSG a.b 1 5\r\nhello\r\n", "seed {seed}");
        assert_eq!(world.got(publisher), "PONG\r\n", "seed {seed}");
    }
}

#[test]
fn who_does_not_answer_pings_is_closed_and_who_does_stays() {
    let mut world = World::new(1, "ping_interval: 10s, ping_max: 2", 1);
    let (silent, _) = world.player(QUIET, AT_ONCE);
    let (alive, _) = world.player(QUIET, AT_ONCE);
    world.at(silent).is_silent = true;
    // The first PING measures the round trip after two seconds; two more go unanswered.
    world.pass(22 * SECOND);
    assert_eq!(world.got(silent), "PING\r\nPING\r\nPING\r\n".get(..12).unwrap_or_default());
    world.pass(11 * SECOND);
    assert!(world.got(silent).ends_with("-ERR 'Stale Connection'\r\n"));
    assert!(world.at(silent).closed_at.is_some());
    world.pass(3600 * SECOND);
    assert!(world.at(alive).closed_at.is_none());
}

/// What it answers is not read meanwhile.
#[test]
fn who_waits_for_its_password_to_be_checked_is_not_called_stale() {
    let hash = "$2a$04$abcdefghijklmnopqrstuudMegMbPN37MbpdEfAtP66w1z0RBCtLG";
    let config = format!(
        "authorization {{ user: u, password: \"{hash}\", timeout: 60 }}, ping_interval: 1s, ping_max: 2"
    );
    let mut world = World::new(1, &config, 1);
    // Nobody checks passwords here.
    let (waiting, _) = world.player(r#"{"user":"u","pass":"p","verbose":false}"#, AT_ONCE);
    world.pass(10 * SECOND);
    assert!(world.at(waiting).closed_at.is_none(), "{}", world.got(waiting));
    assert_eq!(world.got(waiting).matches("PING\r\n").count(), 10);
}

/// As the official server does: before CONNECT there is no hurry to measure the round trip.
#[test]
fn the_first_ping_comes_soon_after_connect_and_late_without() {
    let mut world = World::new(1, "ping_interval: 1m", 1);
    let silent = world.network.add(super::Actor::Player(super::Player::default()));
    world.network.connect(silent, 0, AT_ONCE);
    world.pass(30 * SECOND);
    let (connected, _) = world.player(QUIET, AT_ONCE);
    world.pass(3 * SECOND);
    assert_eq!((&*world.got(connected), &*world.got(silent)), ("PING\r\n", ""));
    world.pass(30 * SECOND);
    assert_eq!((&*world.got(connected), &*world.got(silent)), ("PING\r\n", "PING\r\n"));
}

#[test]
fn the_time_to_say_who_one_is_ends_to_the_millisecond() {
    let config = "authorization { user: u, password: p, timeout: 3 }";
    let mut world = World::new(1, config, 1);
    let (late, _) = world.player(r#"{"user":"u","pass":"p"}"#, AT_ONCE);
    world.pass(SECOND);
    let silent = world.network.add(super::Actor::Player(super::Player::default()));
    world.at(silent).is_silent = true;
    let began = world.network.now();
    world.network.connect(silent, 0, AT_ONCE);
    world.pass(10 * SECOND);
    assert_eq!(world.got(silent), "-ERR 'Authentication Timeout'\r\n");
    let after = world.at(silent).closed_at.expect("closed") - began;
    assert!(after >= 3 * SECOND && after < 3 * SECOND + Duration::from_millis(2), "{after:?}");
    assert!(world.at(late).closed_at.is_none());
}

/// Who reads nothing is closed when too much waits, and others do not notice.
#[test]
fn a_reader_that_stops_is_closed_at_its_bound() {
    let mut world = World::new(7, "max_payload: 50000, max_pending: 100000, write_deadline: \"5s\"", 2);
    let conditions = Conditions { window_bytes: 10_000, ..Conditions::default() };
    let (stopped, _) = world.player(QUIET, conditions);
    let (reading, _) = world.player(QUIET, Conditions::default());
    let (publisher, _) = world.player(QUIET, Conditions::default());
    for subscriber in [stopped, reading] {
        world.send(subscriber, b"SUB a 1\r\nPING\r\n");
    }
    world.pass(SECOND);
    world.at(stopped).end.as_ref().expect("open").set_reading(false);
    let message = [b"PUB a 1000\r\n".to_vec(), vec![b'x'; 1000], b"\r\n".to_vec()].concat();
    for _ in 0..200 {
        world.send(publisher, &message);
        world.pass(Duration::from_millis(1));
    }
    world.pass(SECOND);
    assert_eq!(world.got(reading).matches("MSG a 1 1000\r\n").count(), 200);
    world.at(stopped).end.as_ref().expect("open").set_reading(true);
    world.pass(SECOND);
    assert!(world.at(stopped).closed_at.is_some());
    let got = world.got(stopped).matches("MSG a 1 1000\r\n").count();
    assert!(got < 120, "{got}");
}

#[test]
fn a_reader_that_takes_nothing_is_closed_at_its_deadline() {
    for policy in ["close", "retry"] {
        reader_that_takes_nothing(policy);
    }
}

fn reader_that_takes_nothing(policy: &str) {
    let config = format!("write_deadline: '5s', write_timeout: {policy}, ping_interval: 1h");
    let mut world = World::new(7, &config, 1);
    let conditions = Conditions { window_bytes: 1000, ..AT_ONCE };
    let (stopped, _) = world.player(QUIET, conditions);
    let (publisher, _) = world.player(QUIET, AT_ONCE);
    world.send(stopped, b"SUB a 1\r\nPING\r\n");
    world.pass(SECOND);
    world.at(stopped).end.as_ref().expect("open").set_reading(false);
    let message = [b"PUB a 900\r\n".to_vec(), vec![b'x'; 900], b"\r\n".to_vec()].concat();
    world.send(publisher, &message.repeat(3));
    world.pass(4 * SECOND);
    world.send(publisher, b"PING\r\n");
    world.pass(4 * SECOND);
    assert_eq!(world.got(publisher).matches("PONG").count(), 1);
    world.at(stopped).end.as_ref().expect("open").set_reading(true);
    world.pass(SECOND);
    assert!(world.at(stopped).closed_at.is_some());
}

/// A slow reader takes something all the time. It is closed if that is not what waited a deadline ago, unless it is to be kept, which is
/// counted once for each time that it falls behind.
#[test]
fn a_reader_that_takes_too_little_is_closed_or_kept_as_configured() {
    for (policy, is_kept) in [("default", false), ("close", false), ("retry", true)] {
        let config = format!("write_deadline: '5s', write_timeout: {policy}, ping_interval: 1h");
        let mut world = World::new(7, &config, 1);
        let delay = Duration::from_millis(250);
        let conditions =
            Conditions { window_bytes: 1000, delay_min: delay, delay_max: delay, ..Conditions::default() };
        let (slow, _) = world.player(QUIET, conditions);
        let (publisher, _) = world.player(QUIET, AT_ONCE);
        world.send(slow, b"SUB a 1\r\nPING\r\n");
        world.pass(SECOND);
        let message = [b"PUB a 900\r\n".to_vec(), vec![b'x'; 900], b"\r\n".to_vec()].concat();
        world.send(publisher, &message.repeat(30));
        world.pass(30 * SECOND);
        let failures = &world.node.connections.failures;
        let kept = failures.slow_kept.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!((failures.slow.total(), kept), (1, u64::from(is_kept)), "{policy}");
        assert_eq!(world.at(slow).closed_at.is_none(), is_kept, "{policy}");
        let got = world.got(slow).matches("MSG a 1 900").count();
        assert_eq!(got == 30, is_kept, "{policy}: {got}");
    }
}

/// Plays a random world; what each subscriber got, by publisher, in order. Some connections break.
fn random_world(seed: u64) -> (u64, BTreeMap<usize, String>) {
    let mut world = World::new(seed, "", 1 + (seed % 3) as usize);
    let mut players = Vec::new();
    for _ in 0..6 {
        let random = world.network.random();
        let conditions = Conditions {
            delay_max: Duration::from_micros(1 + random.below(5000) as u64),
            delay_min: Duration::ZERO,
            piece_bytes_max: 1 + random.below(200),
            window_bytes: 200 + random.below(20_000),
        };
        players.push(world.player(QUIET, conditions));
    }
    for &(player, _) in &players {
        world.send(player, b"SUB all 1\r\nSUB work q 2\r\nPING\r\n");
    }
    world.pass(SECOND);
    let broken = if seed.is_multiple_of(2) { None } else { players.last().copied() };
    let mut published = BTreeMap::new();
    for round in 0..60 {
        let (player, _) = *world.network.random().pick(&players).expect("players");
        let subject = *world.network.random().pick(&["all", "work"]).expect("subjects");
        if Some(player) != broken.map(|(player, _)| player) {
            let body = format!("{player}.{round:03}");
            *published.entry((player, subject)).or_insert(0) += 1;
            world.send(player, format!("PUB {subject} {}\r\n{body}\r\n", body.len()).as_bytes());
        }
        let time = Duration::from_micros(world.network.random().below(2000) as u64);
        world.pass(time);
        if round == 30
            && let Some((_, link)) = broken
        {
            world.network.reset(link);
        }
    }
    world.pass(5 * SECOND);
    let whole = players.iter().filter(|player| Some(**player) != broken);
    let whole: Vec<usize> = whole.map(|&(player, _)| player).collect();
    let sent_to_all: usize =
        published.iter().filter(|((_, subject), _)| *subject == "all").map(|(_, count)| count).sum();
    let mut work: Vec<String> = Vec::new();
    for &player in &whole {
        let got = world.got(player);
        assert_eq!(got.matches("MSG all 1 ").count(), sent_to_all, "seed {seed}, player {player}");
        let lines: Vec<&str> = got.lines().collect();
        let bodies = |head: &str| -> Vec<String> {
            lines.windows(2).filter(|two| two[0].starts_with(head)).map(|two| two[1].to_owned()).collect()
        };
        for head in ["MSG all ", "MSG work "] {
            let all = bodies(head);
            for &publisher in &whole {
                let of_one: Vec<&String> =
                    all.iter().filter(|body| body.starts_with(&format!("{publisher}."))).collect();
                assert!(of_one.is_sorted(), "seed {seed}: {player} got {of_one:?} out of order");
            }
        }
        work.extend(bodies("MSG work "));
    }
    let (count, sent) =
        (work.len(), published.iter().filter(|((_, s), _)| *s == "work").map(|(_, n)| n).sum());
    work.sort();
    work.dedup();
    assert_eq!(work.len(), count, "seed {seed}: work was done twice");
    assert!(count <= sent && (count == sent || broken.is_some()), "seed {seed}: {count} of {sent}");
    let got = whole.iter().map(|&player| (player, world.got(player))).collect();
    (world.network.digest(), got)
}

#[test]
fn messages_arrive_once_and_in_order_in_random_worlds() {
    for seed in 0..100 {
        random_world(seed);
    }
}

#[test]
fn a_seed_replays_to_the_byte() {
    for seed in 0..10 {
        assert_eq!(random_world(seed), random_world(seed), "seed {seed}");
    }
}
