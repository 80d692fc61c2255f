//! What time brings: deadlines, paces, pauses, ends.

use super::*;

fn with(change: impl FnOnce(&mut Settings)) -> Bench {
    let mut settings = pull_settings();
    change(&mut settings);
    Bench::new(settings, three())
}

#[test]
fn backoff_decides_when_a_message_comes_again() {
    let mut bench = with(|settings| settings.retry.backoff = [SECOND, 5 * SECOND].into());
    bench.pull("1");
    bench.pull(r#"{"batch":9}"#);
    bench.ack("1.2.2", "");
    bench.ack("1.3.3", "");
    for (at, delivery) in [(1, "2.1.4"), (6, "3.1.5"), (11, "4.1.6")] {
        check(bench.until(at * SECOND - 1), &[]);
        check(bench.until(at * SECOND), &[&format!("r <- s.1 $JS.ACK.S.C.{delivery}.7.0")]);
    }
}

#[test]
fn a_replay_keeps_the_pace() {
    let mut log = MapLog::default();
    for at in [0, 2, 2, 5] {
        log.store("s.1", at * SECOND);
    }
    let settings = Settings { replay_original: true, ..push_settings() };
    let mut bench = Bench::new(settings, log);
    bench.now = 100 * SECOND;
    assert_eq!(bench.work(|consumer, ctx| consumer.set_interest(ctx, true)).len(), 1);
    assert_eq!(bench.until(102 * SECOND - 1).len(), 0);
    assert_eq!(bench.until(102 * SECOND).len(), 2);
    assert_eq!(bench.until(105 * SECOND - 1).len(), 0);
    assert_eq!(bench.until(105 * SECOND).len(), 1);
    bench.now = 200 * SECOND;
    assert_eq!(bench.store("s.1").len(), 1, "what comes later goes at once");
}

#[test]
fn a_rate_is_kept() {
    let mut settings = push_settings();
    // 27 bytes a message: one a second, and what was saved is one.
    let limit = RateLimit { bits_per_second: 27 * 8, burst_bytes: 27 };
    if let Mode::Push(push) = &mut settings.mode {
        push.rate_limit = Some(limit);
    }
    let mut bench = Bench::new(settings, three());
    bench.now = 100 * SECOND;
    let lines = bench.work(|consumer, ctx| consumer.set_interest(ctx, true));
    assert_eq!(lines.len(), 1, "{lines:?}");
    for second in [101, 102] {
        assert_eq!(bench.until(second * SECOND - 1).len(), 0);
        assert_eq!(bench.until(second * SECOND).len(), 1);
    }
}

#[test]
fn a_paused_consumer_goes_on_by_itself() {
    let mut bench = with(|settings| settings.pause_until = Some(10 * SECOND));
    check(bench.pull(r#"{"no_wait":true}"#), &["r <- NATS/1.0 404 No Messages||"]);
    check(bench.pull("1"), &[]);
    assert_eq!(bench.consumer.info_at(SECOND).pause_remaining, Some(9 * SECOND));
    check(bench.until(10 * SECOND - 1), &[]);
    check(bench.until(10 * SECOND), &["r <- s.1 $JS.ACK.S.C.1.1.1.7.2"]);
    assert_eq!(bench.consumer.info_at(10 * SECOND).pause_remaining, None);
}

#[test]
fn who_is_not_used_asks_to_be_deleted() {
    let mut bench = with(|settings| settings.inactive_threshold = Some(5 * SECOND));
    check(bench.until(5 * SECOND - 1), &[]);
    bench.pull(r#"{"batch":9,"expires":7000000000}"#);
    check(
        bench.until(12 * SECOND),
        &["r <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 6|Nats-Pending-Bytes: 0||"],
    );
    // Somebody may be at work on the messages until they come again, at 35 s.
    check(bench.until(40 * SECOND - 2), &[]);
    check(bench.until(40 * SECOND), &["inactive"]);
    // Its time begins when the last request ends, be it at the moment at which it is looked.
    let mut bench =
        Bench::new(Settings { inactive_threshold: Some(SECOND), ..pull_settings() }, MapLog::default());
    bench.pull(r#"{"batch":1,"expires":4000000000}"#);
    check(
        bench.until(5 * SECOND - 1),
        &["r <- NATS/1.0 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0||"],
    );
    check(bench.until(5 * SECOND), &["inactive"]);
    let settings = Settings { inactive_threshold: Some(5 * SECOND), ..push_settings() };
    let mut bench = Bench::new(settings, MapLog::default());
    bench.work(|consumer, ctx| consumer.set_interest(ctx, true));
    check(bench.until(20 * SECOND), &[]);
    bench.work(|consumer, ctx| consumer.set_interest(ctx, false));
    check(bench.until(25 * SECOND - 1), &[]);
    check(bench.until(25 * SECOND), &["inactive"]);
}

#[test]
fn flow_control_stalls_and_goes_on() {
    let mut settings = push_settings();
    if let Mode::Push(push) = &mut settings.mode {
        (push.flow_control, push.idle_heartbeat) = (true, Some(SECOND));
    }
    settings.ack_pending_max = None;
    let mut log = MapLog::default();
    for _ in 0..70_000 {
        log.store("s.1", 0);
    }
    let mut bench = Bench::new(settings, log);
    bench.budget.messages = usize::MAX;
    let lines = bench.work(|consumer, ctx| consumer.set_interest(ctx, true));
    let questions: Vec<&String> = lines.iter().filter(|line| line.contains("FlowControl Request")).collect();
    let [question] = questions[..] else { panic!("{questions:?}") };
    let subject = question.split(' ').nth(2).unwrap().trim_end_matches("NATS/1.0").to_owned();
    assert!(subject.starts_with("$JS.FC.S.C.") && subject.len() == 15, "{subject}");
    let sent = lines.len();
    assert!(sent < 70_000, "it stalls");
    check(
        bench.until(SECOND),
        &[&format!(
            "d <- NATS/1.0 100 Idle Heartbeat|Nats-Last-Consumer: {0}|Nats-Last-Stream: {0}|Nats-Consumer-Stalled: {subject}||",
            sent - 1
        )],
    );
    check(bench.work(|consumer, ctx| consumer.flow_control_answer(ctx, b"$JS.FC.S.C.xxxx", None)), &[]);
    let lines = bench.work(|consumer, ctx| consumer.flow_control_answer(ctx, subject.as_bytes(), None));
    assert!(!lines.is_empty());
}

#[test]
fn answers_to_flow_control_acknowledge() {
    let mut settings = push_settings();
    if let Mode::Push(push) = &mut settings.mode {
        (push.flow_control, push.idle_heartbeat) = (true, Some(SECOND));
    }
    (settings.ack, settings.ack_pending_max) = (AckPolicy::FlowControl, Some(2));
    let mut bench = Bench::new(settings, three());
    let lines = bench.work(|consumer, ctx| consumer.set_interest(ctx, true));
    assert!(lines.len() == 3 && lines[2].contains("FlowControl Request"), "{lines:?}");
    let subject = lines[2].split(' ').nth(2).unwrap().to_owned();
    let acked = Some(Position { consumer: 2, stream: 2 });
    let lines = bench.work(|consumer, ctx| consumer.flow_control_answer(ctx, subject.as_bytes(), acked));
    check(lines, &["d <- s.3 $JS.ACK.S.C.1.3.3.7.0"]);
    assert_eq!(bench.floors(), [3, 3, 2, 2]);
}

#[test]
fn a_delivery_that_reached_nobody_does_not_count() {
    let mut bench = with(|settings| settings.retry.deliver_max = Some(1));
    check(bench.pull("1"), &["r <- s.1 $JS.ACK.S.C.1.1.1.7.2"]);
    check(bench.work(|consumer, ctx| consumer.undelivered(ctx, 1)), &[]);
    check(bench.pull("1"), &["r <- s.1 $JS.ACK.S.C.1.1.2.7.2"]);
    let damaged = format!(
        "Terminated(Handled {{ consumer_seq: 1, stream_seq: 1, deliveries: 1 }}, {:?})",
        b"Message is damaged"
    );
    check(bench.work(|consumer, ctx| consumer.damaged(ctx, 1)), &[&damaged]);
    check(bench.work(|consumer, ctx| consumer.damaged(ctx, 1)), &[]);
    assert_eq!(bench.consumer.info_at(0).num_ack_pending, 0);
}

#[test]
fn another_ack_wait_holds_for_what_waits() {
    let mut bench = with(|settings| settings.retry.ack_wait = 60 * SECOND);
    bench.pull(r#"{"batch":9,"expires":50000000000}"#);
    let settings = {
        let mut settings = bench.consumer.settings();
        settings.retry.ack_wait = 2 * SECOND;
        settings
    };
    check(bench.work(|consumer, ctx| consumer.update(ctx, settings)), &[]);
    assert_eq!(bench.until(2 * SECOND - 1).len(), 0);
    assert_eq!(bench.until(2 * SECOND).len(), 3);
}

#[test]
fn a_consumer_rests_while_its_receiver_does_not_read() {
    const MS: i64 = 1_000_000;
    let mut bench = Bench::new(push_settings(), MapLog::default());
    bench.work(|consumer, ctx| consumer.set_interest(ctx, true));
    assert_eq!(bench.store("s.a").len(), 1);
    assert_eq!(bench.consumer.pushes_to(), Some(&b"d"[..]));
    // Each time it finds the same it rests twice as long, up to some 100 ms.
    for (rest, at) in [(3, 3), (6, 9), (12, 21), (24, 45), (48, 93), (96, 189), (96, 285)] {
        bench.consumer.rest(bench.now);
        assert_eq!(bench.consumer.info_at(bench.now).held_by, Some(Hold::Receiver));
        assert_eq!(bench.store("s.b"), [""; 0], "what is stored meanwhile waits");
        bench.consumer.rest(bench.now + MS);
        assert_eq!(bench.consumer.deadline(), Some(bench.now + rest * MS), "a rest is not longer for that");
        bench.now = at * MS;
    }
    assert_eq!(bench.work(|consumer, ctx| consumer.expire(ctx)).len(), 7, "it goes on with all of it");
    bench.consumer.rest(bench.now);
    assert_eq!(bench.consumer.deadline(), Some(bench.now + 3 * MS), "and is as before");
    bench.work(|consumer, ctx| consumer.set_interest(ctx, false));
    assert_eq!(bench.consumer.pushes_to(), None);
}
