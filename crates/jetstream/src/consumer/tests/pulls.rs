//! Requests: their limits, their order, their priorities.

use super::*;

/// A pull consumer of three messages whose pull settings are changed.
fn bench(change: impl FnOnce(&mut PullSettings)) -> Bench {
    let mut settings = pull_settings();
    if let Mode::Pull(pull) = &mut settings.mode {
        change(pull);
    }
    Bench::new(settings, three())
}

impl Bench {
    fn pull_to(&mut self, reply: &str, request: &str) -> Vec<String> {
        self.work(|consumer, ctx| consumer.request(ctx, reply.as_bytes(), None, request.as_bytes()))
    }
}

/// Who got what, of deliveries.
fn who(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.split(" $JS").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn requests_beyond_the_limits_are_refused() {
    let mut bench = bench(|pull| {
        (pull.batch_max, pull.expires_max, pull.bytes_max) = (Some(2), Some(SECOND), Some(1000));
        pull.waiting_max = 1;
    });
    check(bench.pull("3"), &["r <- NATS/1.0 409 Exceeded MaxRequestBatch of 2||"]);
    check(
        bench.pull(r#"{"batch":1,"expires":1000000001}"#),
        &["r <- NATS/1.0 409 Exceeded MaxRequestExpires of 1s||"],
    );
    check(
        bench.pull(r#"{"batch":1,"max_bytes":1001}"#),
        &["r <- NATS/1.0 409 Exceeded MaxRequestMaxBytes of 1000||"],
    );
    bench.pull("2");
    bench.pull("1");
    check(bench.pull("1"), &[]);
    check(bench.pull("1"), &["r <- NATS/1.0 409 Exceeded MaxWaiting||"]);
    check(bench.pull(r#"{"batch":1,"expires":10,"idle_heartbeat":5}"#), &[]);
    // A look for requests that nobody listens for makes room, once a second.
    bench.host.deaf.insert("r".into());
    bench.now = 2 * SECOND;
    check(bench.pull_to("q", "1"), &[]);
    bench.host.deaf.clear();
    check(bench.store("s.4"), &["q <- s.4 $JS.ACK.S.C.1.4.4.2000000000.0"]);
}

#[test]
fn bytes_are_counted_with_subjects() {
    // 3 of the subject, 21 of the reply subject, 3 of the payload.
    let mut bench = bench(|_| {});
    check(
        bench.pull(r#"{"batch":2,"max_bytes":59}"#),
        &[
            "r <- s.1 $JS.ACK.S.C.1.1.1.7.2",
            "r <- s.2 $JS.ACK.S.C.1.2.2.7.1",
            "r <- NATS/1.0 409 Batch Completed|Nats-Pending-Messages: 0|Nats-Pending-Bytes: 5||",
        ],
    );
    check(
        bench.pull(r#"{"batch":2,"max_bytes":26}"#),
        &[
            "r <- NATS/1.0 409 Message Size Exceeds MaxBytes|Nats-Pending-Messages: 2|Nats-Pending-Bytes: 26||",
        ],
    );
    check(bench.pull(r#"{"batch":2,"max_bytes":27}"#), &["r <- s.3 $JS.ACK.S.C.1.3.3.7.0"]);
    assert_eq!(bench.consumer.info_at(0).num_waiting, 0);
}

#[test]
fn requests_take_messages_in_turn() {
    let mut bench = Bench::new(pull_settings(), MapLog::default());
    bench.pull_to("a", "2");
    bench.pull_to("b", "1");
    let mut lines = vec![];
    for _ in 0..3 {
        lines.extend(bench.store("s.1"));
    }
    check(who(&lines), &["a <- s.1", "b <- s.1", "a <- s.1"]);
}

#[test]
fn a_request_that_nobody_listens_for_is_dropped() {
    let mut bench = Bench::new(pull_settings(), MapLog::default());
    bench.pull_to("a", "1");
    bench.work(|consumer, ctx| consumer.request(ctx, b"_R_.x", Some(b"there"), b"1"));
    bench.pull_to("b", "1");
    bench.host.deaf.extend(["a".to_owned(), "there".to_owned()]);
    let lines = bench.store("s.1");
    check(
        lines,
        &[
            "_R_.x <- NATS/1.0 408 Interest Expired|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0||",
            "b <- s.1 $JS.ACK.S.C.1.1.1.0.0",
        ],
    );
}

#[test]
fn priorities_are_checked() {
    let groups = || ["g".into()].into();
    for (priority, request, refusal) in [
        (Priority::None, r#"{"min_pending":1}"#, "400 Bad Request - Not a Overflow Priority consumer"),
        (Priority::None, r#"{"id":"x"}"#, "400 Bad Request - Not a Pinned Client Priority consumer"),
        (Priority::None, r#"{"priority":10}"#, "400 Bad Request - Priority must be between 0 and 9"),
        (Priority::Overflow { groups: groups() }, "{}", "400 Bad Request - Priority Group missing"),
        (
            Priority::Overflow { groups: groups() },
            r#"{"group":"h"}"#,
            "400 Bad Request - Invalid Priority Group",
        ),
    ] {
        let mut bench = bench(|pull| pull.priority = priority);
        check(bench.pull(request), &[&format!("r <- NATS/1.0 {refusal}||")]);
        assert_eq!(bench.pull("1").len(), 1, "a number says nothing about priorities");
    }
}

#[test]
fn overflow_requests_wait_for_a_threshold() {
    let overflow = || bench(|pull| pull.priority = Priority::Overflow { groups: ["g".into()].into() });
    let mut bench = overflow();
    check(
        bench.pull_to("a", r#"{"batch":5,"group":"g","min_pending":3,"min_ack_pending":2}"#),
        &["a <- s.1 $JS.ACK.S.C.1.1.1.7.2"],
    );
    check(
        bench.pull_to("b", r#"{"batch":1,"group":"g"}"#),
        &["b <- s.2 $JS.ACK.S.C.1.2.2.7.1", "a <- s.3 $JS.ACK.S.C.1.3.3.7.0"],
    );
    bench.ack("1.1.1", "");
    bench.ack("1.2.2", "");
    check(bench.store("s.4"), &[]);
    let mut bench = overflow();
    check(
        bench.pull_to("c", r#"{"batch":1,"group":"g","no_wait":true,"min_pending":9}"#),
        &["c <- NATS/1.0 404 No Messages||"],
    );
}

#[test]
fn the_lowest_number_is_served_first_and_equals_in_turn() {
    let mut bench = Bench::new(pull_settings(), MapLog::default());
    let Mode::Pull(pull) = &mut std::sync::Arc::make_mut(&mut bench.consumer.settings).mode else {
        unreachable!("it is one")
    };
    pull.priority = Priority::Prioritized { groups: ["g".into()].into() };
    for (reply, batch, priority) in [("a", 2, 1), ("b", 2, 1), ("c", 2, 0), ("d", 1, 3)] {
        let request = format!(r#"{{"batch":{batch},"group":"g","priority":{priority}}}"#);
        check(bench.pull_to(reply, &request), &[]);
    }
    let mut order = String::new();
    for _ in 0..7 {
        order.push_str(&bench.store("s.1")[0][..1]);
    }
    assert_eq!(order, "ccababd");
}

#[test]
fn a_pinned_client_is_served_alone() {
    let timeout = 60 * SECOND;
    let mut bench =
        bench(|pull| pull.priority = Priority::PinnedClient { groups: ["g".into()].into(), timeout });
    let lines = bench.pull_to("a", r#"{"batch":1,"group":"g"}"#);
    let id = match &bench.consumer.info_at(0).priority_group {
        Some(PriorityGroupInfo { pinned: Some((id, 0)), .. }) => id.clone(),
        other => panic!("{other:?}"),
    };
    let pinned = format!("Pinned {{ group: \"g\", id: \"{id}\" }}");
    check(lines, &[&pinned, "a <- s.1 $JS.ACK.S.C.1.1.1.7.2 pinned"]);
    check(bench.pull_to("b", r#"{"batch":1,"group":"g"}"#), &[]);
    check(
        bench.pull_to("x", r#"{"batch":1,"group":"g","id":"x"}"#),
        &["x <- NATS/1.0 423 Nats-Pin-Id mismatch||"],
    );
    bench.now = 30 * SECOND;
    let request = format!(r#"{{"batch":1,"group":"g","id":"{id}"}}"#);
    check(bench.pull_to("a", &request), &["a <- s.2 $JS.ACK.S.C.1.2.2.7.1 pinned"]);
    check(bench.pull_to("a", &request), &["a <- s.3 $JS.ACK.S.C.1.3.3.7.0 pinned"]);
    check(bench.pull_to("a", &request), &[]);
    bench.ack("1.1.1", "");
    bench.ack("1.2.2", "");
    bench.ack("1.3.3", "");
    let lines = bench.until(90 * SECOND);
    check(lines, &[r#"Unpinned { group: "g", reason: "timeout" }"#]);
    let lines = bench.store("s.4");
    assert!(lines[0].starts_with("Pinned"), "{lines:?}");
    assert!(lines[1].starts_with("b <- s.4"), "{lines:?}");
    check(
        bench.work(|consumer, ctx| assert!(consumer.unpin(ctx))),
        &[r#"Unpinned { group: "g", reason: "admin" }"#],
    );
    bench.work(|consumer, ctx| assert!(!consumer.unpin(ctx)));
    let lines = bench.store("s.5");
    let wrong = "a <- NATS/1.0 423 Nats-Wrong-Pin-Id|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0||";
    check(lines, &[wrong]);
}

#[test]
fn deletion_answers_who_waits() {
    let mut bench = Bench::new(pull_settings(), MapLog::default());
    bench.pull("1");
    check(bench.work(|consumer, ctx| consumer.deleted(ctx)), &["r <- NATS/1.0 409 Consumer Deleted||"]);
    let mut bench = Bench::new(push_settings(), three());
    check(bench.pull("1"), &["r <- NATS/1.0 409 Consumer is push based||"]);
}

#[test]
fn a_request_waits_for_one_message_at_least_if_it_may() {
    let mut bench = Bench::new(Settings { ack_pending_max: Some(1), ..pull_settings() }, three());
    check(bench.pull_to("a", "2"), &["a <- s.1 $JS.ACK.S.C.1.1.1.7.2"]);
    check(bench.pull_to("b", r#"{"batch":9,"no_wait":true}"#), &[]);
    check(bench.pull_to("c", r#"{"batch":1,"no_wait":true}"#), &["c <- NATS/1.0 408 Requests Pending||"]);
    let mut bench = Bench::new(pull_settings(), MapLog::default());
    check(bench.pull(r#"{"batch":5,"no_wait":true,"expires":1000000000}"#), &[]);
    check(bench.store("s.1"), &["r <- s.1 $JS.ACK.S.C.1.1.1.0.0", "r <- NATS/1.0 404 No Messages||"]);
}
