//! What a consumer does, by examples. The official server was asked for each.

mod pulls;
mod starts;
mod times;

use super::testing::*;
use super::*;

fn three() -> MapLog {
    let mut log = MapLog::default();
    for subject in ["s.1", "s.2", "s.3"] {
        log.store(subject, 7);
    }
    log
}

#[track_caller]
fn check(lines: Vec<String>, expected: &[&str]) {
    assert_eq!(lines, expected);
}

const TIMEOUT: &str = "r <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0||";

#[test]
fn requests_are_served_and_refused() {
    let mut bench = Bench::new(pull_settings(), three());
    check(bench.pull("2"), &["r <- s.1 $JS.ACK.S.C.1.1.1.7.2", "r <- s.2 $JS.ACK.S.C.1.2.2.7.1"]);
    check(
        bench.pull(r#"{"batch":5,"no_wait":true}"#),
        &["r <- s.3 $JS.ACK.S.C.1.3.3.7.0", "r <- NATS/1.0 404 No Messages||"],
    );
    check(bench.pull(r#"{"no_wait":true}"#), &["r <- NATS/1.0 404 No Messages||"]);
    check(bench.pull(r#"{"batch":1,"expires":5}"#), &[]);
    check(bench.until(4), &[]);
    check(bench.until(6), &[TIMEOUT]);
    check(
        bench.pull(r#"{"batch":1,"expires":9,"idle_heartbeat":5}"#),
        &["r <- NATS/1.0 400 Bad Request - heartbeat value too large||"],
    );
    check(bench.pull(r#"{"batch":1,"expires":9,"idle_heartbeat":4}"#), &[]);
    let heartbeat = "r <- NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: 3|Nats-Last-Stream: 3||";
    check(bench.until(20), &[heartbeat, heartbeat, TIMEOUT]);
    assert_eq!(bench.floors(), [3, 3, 0, 0]);
}

#[test]
fn acknowledgements_move_the_floor() {
    let mut bench = Bench::new(pull_settings(), three());
    bench.pull("3");
    check(bench.ack("1.2.2", ""), &["a <- ok"]);
    assert_eq!(bench.floors(), [3, 3, 0, 0]);
    check(bench.ack("1.1.1", "+ACK"), &["a <- ok"]);
    assert_eq!(bench.floors(), [3, 3, 2, 2]);
    check(bench.ack("1.1.1", "+ACK"), &["a <- ok"]);
    check(bench.ack("1.4.4", "+ACK"), &[]);
    check(bench.ack("1.3.3", "+NXT"), &[]);
    assert_eq!(bench.floors(), [3, 3, 3, 3]);
    check(bench.store("s.4"), &["a <- s.4 $JS.ACK.S.C.1.4.4.0.0"]);
}

#[test]
fn what_is_not_acknowledged_comes_again_until_its_last_delivery() {
    let settings = pull_settings();
    let retry = Retry { deliver_max: Some(2), ..settings.retry.clone() };
    let mut bench = Bench::new(Settings { retry, ..settings }, three());
    bench.pull("2");
    check(bench.pull("2"), &["r <- s.3 $JS.ACK.S.C.1.3.3.7.0"]);
    check(
        bench.ack("1.3.3", "-NAK"),
        &[
            "Nak(Handled { consumer_seq: 3, stream_seq: 3, deliveries: 1 })",
            "a <- ok",
            "r <- s.3 $JS.ACK.S.C.2.3.4.7.0",
        ],
    );
    check(bench.until(30 * SECOND - 1), &[]);
    check(bench.pull("9"), &[]);
    check(
        bench.until(30 * SECOND),
        &[
            "MaxDeliveries { stream_seq: 3, deliveries: 2 }",
            "r <- s.1 $JS.ACK.S.C.2.1.5.7.0",
            "r <- s.2 $JS.ACK.S.C.2.2.6.7.0",
        ],
    );
    let info = bench.consumer.info_at(bench.now);
    assert_eq!((info.num_ack_pending, info.num_redelivered, info.num_pending), (2, 3, 0));
    assert!(bench.consumer.needs(3), "it was never acknowledged");
    bench.ack("1.3.3", "");
    assert!(!bench.consumer.needs(3));
}

#[test]
fn a_nak_may_ask_for_a_delay_and_progress_for_time() {
    let mut bench = Bench::new(pull_settings(), three());
    bench.pull("1");
    bench.ack("1.1.1", "-NAK 40s");
    bench.now = 10 * SECOND;
    bench.pull("1");
    bench.now = 20 * SECOND;
    check(bench.ack("1.2.2", "+WPI"), &["a <- ok"]);
    bench.pull(r#"{"batch":9}"#);
    check(bench.until(40 * SECOND), &["r <- s.1 $JS.ACK.S.C.2.1.4.7.0"]);
    check(bench.until(50 * SECOND), &["r <- s.2 $JS.ACK.S.C.2.2.5.7.0", "r <- s.3 $JS.ACK.S.C.2.3.6.7.0"]);
}

#[test]
fn a_push_consumer_sends_while_somebody_listens() {
    let settings = push_settings();
    let Mode::Push(push) = settings.mode.clone() else { unreachable!("it is one") };
    let mode = Mode::Push(PushSettings { idle_heartbeat: Some(5 * SECOND), flow_control: true, ..push });
    let mut bench = Bench::new(Settings { mode, ack: AckPolicy::None, ..settings }, three());
    check(bench.work(|_, _| {}), &[]);
    let delivered = [
        "d <- s.1 $JS.ACK.S.C.1.1.1.7.2",
        "d <- s.2 $JS.ACK.S.C.1.2.2.7.1",
        "d <- s.3 $JS.ACK.S.C.1.3.3.7.0",
    ];
    check(bench.work(|consumer, ctx| consumer.set_interest(ctx, true)), &delivered);
    assert_eq!(bench.floors(), [3, 3, 3, 3]);
    let heartbeat = "d <- NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: 3|Nats-Last-Stream: 3||";
    check(bench.until(5 * SECOND), &[heartbeat]);
    check(bench.work(|consumer, ctx| consumer.set_interest(ctx, false)), &[]);
    check(bench.store("s.4"), &[]);
    check(bench.until(20 * SECOND), &[]);
}
