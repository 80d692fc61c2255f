//! What a stream takes, refuses and removes.

use super::*;

struct Wanted(bool);

impl Room for Wanted {
    fn is_wanted(&self, _: &[u8]) -> bool {
        self.0
    }
}

fn settings() -> Settings {
    Settings {
        name: "S".into(),
        duplicate_window: 120_000_000_000,
        hot_bytes_max: 1 << 20,
        ..Settings::default()
    }
}

/// Publishes at second `at`: the sequence that it got, `dup`, or the error.
fn publish(stream: &mut Stream, at: i64, subject: &str, headers: &str, payload: &str) -> String {
    let block = match headers {
        "" => String::new(),
        lines => format!("NATS/1.0\r\n{}\r\n\r\n", lines.replace(';', "\r\n")),
    };
    let publish =
        Publish { subject: subject.as_bytes(), headers: block.as_bytes(), payload: payload.as_bytes() };
    match stream.admit_publish(&publish, &Wanted(true), at * 1_000_000_000) {
        Err(refusal) => format!("{} {refusal}", refusal.code()),
        Ok(Admitted::Duplicate(seq)) => format!("dup {seq}"),
        Ok(Admitted::Proposal(proposal)) => {
            let mut effects = Effects::default();
            stream.apply(&proposal, &mut effects);
            effects.stored.expect("a publish gets a sequence").last.to_string()
        }
    }
}

/// Plays lines `second subject [headers] > answer`.
#[track_caller]
fn play(stream: &mut Stream, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (asked, expected) = line.split_once(" > ").expect("a line has an answer");
        let mut words = asked.splitn(3, ' ');
        let at = words.next().and_then(|at| at.parse().ok()).expect("a line begins with a second");
        let (subject, headers) = (words.next().expect("a line has a subject"), words.next().unwrap_or(""));
        assert_eq!(publish(stream, at, subject, headers, "x").trim_end(), expected, "{line}");
    }
}

/// The live messages as `seq subject`.
fn live(stream: &Stream) -> String {
    let line = |head: Head<'_>| format!("{} {}", head.seq, String::from_utf8_lossy(head.subject));
    stream.messages().iter_from(0).map(line).collect::<Vec<_>>().join(", ")
}

#[test]
fn headers_are_checked_in_the_official_order() {
    let mut stream = Stream::new(settings());
    play(
        &mut stream,
        "1 a Nats-Msg-Id: 1 > 1
         2 a Nats-Msg-Id: 1 > dup 1
         2 a Nats-Expected-Last-Sequence: 5;Nats-Msg-Id: 1 > 10071 wrong last sequence: 1
         2 a Nats-Expected-Last-Sequence: 1 > 2
         2 a Nats-Expected-Last-Msg-Id: 1 > 10070 wrong last msg ID:
         2 b Nats-Expected-Last-Subject-Sequence: 0 > 3
         2 b Nats-Expected-Last-Subject-Sequence: 0 > 10071 wrong last sequence: 3
         2 c Nats-Expected-Last-Subject-Sequence: 3;Nats-Expected-Last-Subject-Sequence-Subject: b > 4
         2 c Nats-Expected-Last-Subject-Sequence-Subject: b > 10193 missing sequence for expected last sequence per subject
         2 c Nats-Expected-Stream: T > 10060 expected stream does not match
         2 c Nats-TTL: 5 > 10166 per-message TTL is disabled
         2 c Nats-Rollup: sub > 10111 rollup not permitted
         2 c Nats-Incr: 1 > 10168 message counters is disabled
         2 c Nats-Expected-Last-Sequence: x > 10071 wrong last sequence: 4
         200 a Nats-Msg-Id: 1 > 5",
    );
}

#[test]
fn limits_take_the_oldest_or_refuse() {
    let limits = Limits { messages: Some(3), per_subject: Some(2), ..Limits::default() };
    let mut stream = Stream::new(Settings { limits: limits.clone(), ..settings() });
    play(&mut stream, "1 a > 1\n1 a > 2\n1 a > 3\n1 b > 4\n1 b > 5");
    assert_eq!(live(&stream), "3 a, 4 b, 5 b");
    let mut stream =
        Stream::new(Settings { limits, discard: Discard::New { per_subject: true }, ..settings() });
    play(
        &mut stream,
        "1 a > 1\n1 a > 2\n1 a > 10077 maximum messages per subject exceeded\n1 b > 3\n1 c > 10077 maximum messages exceeded",
    );
}

#[test]
fn a_marker_takes_the_place_of_a_subject_that_expires() {
    let limits = Limits { age: Some(10_000_000_000), ..Limits::default() };
    let features = Features { rollup: true, ttl: true, ..Features::default() };
    let mut stream = Stream::new(Settings { limits, features, marker_ttl: 60, ..settings() });
    play(&mut stream, "1 a > 1\n2 a > 2\n3 b Nats-TTL: never > 3\n4 c Nats-TTL: 100 > 4");
    assert_eq!(stream.next_expiry(), Some(11_000_000_000));
    let mut effects = Effects::default();
    let mut steps = 0;
    while let Some(proposal) = stream.admit_expiry(20_000_000_000) {
        stream.apply(&proposal, &mut effects);
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!(live(&stream), "3 b, 5 a, 6 c");
    let (head, body) = stream.get(5).expect("the marker is there");
    assert!(head.is_marker);
    let headers = "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1m0s\r\nNats-Rollup: sub\r\n\r\n";
    assert_eq!(body, Body::Hot(headers.as_bytes()));
    // Markers expire without another one, by the age limit here.
    while let Some(proposal) = stream.admit_expiry(31_000_000_000) {
        stream.apply(&proposal, &mut effects);
    }
    assert_eq!(live(&stream), "3 b");
}

#[test]
fn nothing_is_stored_that_nobody_wants() {
    let mut stream = Stream::new(Settings { retention: Retention::Interest, ..settings() });
    let publish = Publish { subject: b"a", headers: b"", payload: b"x" };
    let Ok(Admitted::Proposal(proposal)) = stream.admit_publish(&publish, &Wanted(false), 1) else {
        panic!("it is taken")
    };
    let mut effects = Effects::default();
    stream.apply(&proposal, &mut effects);
    assert!(effects.skipped);
    let totals = stream.totals();
    assert_eq!((totals.first, totals.last, totals.count), (2, 1, 0));
}

#[test]
fn a_purge_keeps_what_it_is_told_to() {
    #[track_caller]
    fn check(filter: Option<&str>, before: u64, keep: u64, expected: &str) {
        let mut stream = Stream::new(settings());
        play(&mut stream, "1 a > 1\n1 b > 2\n1 a > 3\n1 b > 4\n1 a > 5");
        let filter = filter.map(|filter| filter.as_bytes().into());
        let purge = stream.admit_purge(Purge { filter, before, keep }).expect("it is allowed");
        let mut effects = Effects::default();
        stream.apply(&purge, &mut effects);
        assert_eq!(live(&stream), expected);
    }
    check(None, 0, 0, "");
    check(None, 0, 2, "4 b, 5 a");
    check(None, 3, 0, "3 a, 4 b, 5 a");
    check(None, 1, 0, "1 a, 2 b, 3 a, 4 b, 5 a");
    check(Some("a"), 0, 0, "2 b, 4 b");
    check(Some("a"), 0, 1, "2 b, 4 b, 5 a");
    check(Some("*"), 0, 1, "5 a");
    check(Some("a"), 5, 0, "2 b, 4 b, 5 a");
    check(None, 9, 0, "");
}

/// A batch by the bytes of its proposal.
fn through_bytes(stores: Vec<Store<'static>>) -> Proposal<'static> {
    let (mut bytes, proposal) = (Vec::new(), Proposal::Batch(stores));
    proposal.encode(&mut bytes);
    assert_eq!(Proposal::decode(&bytes), Ok(proposal.clone()));
    proposal
}

/// Plays messages of batches, `second subject headers > answer`: staged, how many up to which sequence, or the error.
#[track_caller]
fn play_batches(stream: &mut Stream, batches: &mut Batches, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (asked, expected) = line.split_once(" > ").expect("a line has an answer");
        let mut words = asked.splitn(3, ' ');
        let at: i64 = words.next().and_then(|at| at.parse().ok()).expect("a line begins with a second");
        let (subject, headers) = (words.next().expect("a line has a subject"), words.next().unwrap_or(""));
        let block = format!(
            "NATS/1.0\r\n{}\r\n\r\n",
            headers
                .replace("BATCH:", "Nats-Batch-Id:")
                .replace(";Seq:", ";Nats-Batch-Sequence:")
                .replace(';', "\r\n")
        );
        let publish = Publish { subject: subject.as_bytes(), headers: block.as_bytes(), payload: b"x" };
        let answer = match stream.admit(batches, &publish, &Wanted(true), at * 1_000_000_000) {
            Err(refusal) => format!("{} {refusal}", refusal.code()),
            Ok(None) => "staged".into(),
            Ok(Some(Admitted::Proposal(Proposal::Batch(stores)))) => {
                let count = stores.len();
                let proposal = through_bytes(stores.into_iter().map(Store::into_owned).collect());
                let mut effects = Effects::default();
                stream.apply(&proposal, &mut effects);
                format!("{count} to {}", effects.stored.expect("a batch gets sequences").last)
            }
            Ok(other) => panic!("{other:?}"),
        };
        assert_eq!(answer, expected, "{line}");
    }
}

#[test]
fn a_batch_is_stored_at_once_or_not() {
    let features = Features { atomic: true, rollup: true, ..Features::default() };
    let mut stream = Stream::new(Settings { features, ..settings() });
    let mut batches = Batches::default();
    play_batches(
        &mut stream,
        &mut batches,
        "1 a BATCH: p;Seq: 1 > staged
         1 b BATCH: p;Seq: 2 > staged
         1 a BATCH: p;Seq: 3;Nats-Batch-Commit: 1 > 3 to 3
         1 a BATCH: p;Seq: 3 > 10176 atomic publish batch is incomplete
         1 a BATCH: q > 10175 atomic publish sequence is missing
         1 a BATCH: q;Seq: 1 > staged
         1 a BATCH: q;Seq: 3 > 10176 atomic publish batch is incomplete
         1 a BATCH: q;Seq: 1;Nats-Batch-Commit: x > 10200 atomic publish batch commit is invalid
         1 a BATCH: q;Seq: 1;Nats-Batch-Commit: eob > 10176 atomic publish batch is incomplete
         1 a BATCH: q;Seq: 1 > staged
         1 a BATCH: q;Seq: 2;Nats-Batch-Commit: eob > 1 to 4
         1 a BATCH: r;Seq: 1;Nats-Expected-Last-Sequence: 4 > staged
         1 b BATCH: r;Seq: 2;Nats-Expected-Last-Sequence: 5;Nats-Batch-Commit: 1 > 10164 wrong last sequence
         1 a BATCH: r;Seq: 1 > staged
         1 a BATCH: r;Seq: 2;Nats-Rollup: sub;Nats-Batch-Commit: 1 > 10111 batch rollup sub invalid
         1 a BATCH: r;Seq: 1;Nats-Msg-Id: 1 > staged
         1 a BATCH: r;Seq: 2;Nats-Msg-Id: 1;Nats-Batch-Commit: 1 > 10201 atomic publish batch contains duplicate message id
         1 a BATCH: r;Seq: 1;Nats-Expected-Last-Msg-Id: 1;Nats-Batch-Commit: 1 > 10177 atomic publish unsupported header used: Nats-Expected-Last-Msg-Id
         1 a BATCH: r;Seq: 1;Nats-Required-Api-Level: 99 > 10185 JetStream minimum api level required
         1 a BATCH: r;Seq: 1 > staged",
    );
    assert_eq!(live(&stream), "1 a, 2 b, 3 a, 4 a");
    let (head, body) = stream.get(4).expect("it is there");
    let Body::Hot(body) = body else { panic!("it is in memory") };
    assert!(
        String::from_utf8_lossy(&body[..head.header_bytes as usize])
            .ends_with("\r\nNats-Batch-Commit: 1\r\n\r\n")
    );
    batches.expire(10_000_000_000);
    assert_eq!(batches.len(), 1);
    batches.expire(11_000_000_000);
    assert!(batches.is_empty());
    let abandoned: Vec<&str> = batches.take_abandoned().iter().map(|(_, why)| why.name()).collect();
    assert_eq!(abandoned, ["incomplete", "incomplete", "unsupported", "timeout"]);
}

#[test]
fn a_counter_counts() {
    let features = Features { counter: true, atomic: true, ..Features::default() };
    let mut stream = Stream::new(Settings { features, payload_max: 1 << 20, ..settings() });
    let value = |stream: &Stream, seq: u64| {
        let (head, body) = stream.get(seq).expect("it is there");
        let Body::Hot(body) = body else { panic!("it is in memory") };
        String::from_utf8_lossy(&body[head.header_bytes as usize..]).into_owned()
    };
    let mut count = |headers: &str, payload: &str| publish(&mut stream, 1, "c", headers, payload);
    assert_eq!(count("Nats-Incr: +5", ""), "1");
    assert_eq!(count("Nats-Incr: -7", ""), "2");
    assert_eq!(count("", ""), "10169 message counter increment is missing");
    assert_eq!(count("Nats-Incr: 1", "x"), "10170 message counter has payload");
    assert_eq!(count("Nats-Incr: x", ""), "10171 message counter increment is invalid");
    assert_eq!(
        count("Nats-Incr: 1;Nats-Expected-Last-Sequence: 2", ""),
        "10171 message counter increment is invalid"
    );
    assert_eq!((value(&stream, 1), value(&stream, 2)), (r#"{"val":"5"}"#.into(), r#"{"val":"-2"}"#.into()));
}

/// Has due schedules make their messages at second `at`: what they are, with the headers that are the server's.
fn fire(stream: &mut Stream, at: i64) -> Vec<String> {
    let mut made = Vec::new();
    while let Some(proposal) = stream.admit_schedule(&Wanted(true), at * 1_000_000_000) {
        let mut bytes = Vec::new();
        proposal.encode(&mut bytes);
        assert_eq!(Proposal::decode(&bytes), Ok(proposal.clone()));
        let Proposal::Store(store) = &proposal else { panic!("{proposal:?}") };
        let headers = String::from_utf8_lossy(&store.headers).replace("\r\n", "|");
        made.push(format!(
            "{} {} {}",
            String::from_utf8_lossy(&store.subject),
            headers,
            String::from_utf8_lossy(&store.payload)
        ));
        stream.apply(&proposal, &mut Effects::default());
        assert!(made.len() < 10);
    }
    made
}

#[test]
fn schedules_make_messages_at_their_times() {
    let features = Features { schedules: true, rollup: true, ttl: true, ..Features::default() };
    let settings = Settings { features, subjects: vec!["s.>".into()], ..settings() };
    let mut stream = Stream::new(settings.clone());
    play(
        &mut stream,
        "1 s.a Nats-Schedule: @every 5s > 10190 message schedules target is invalid
         1 s.a Nats-Schedule: @every 5s;Nats-Schedule-Target: s.a > 10190 message schedules target is invalid
         1 s.a Nats-Schedule: @every 5s;Nats-Schedule-Target: t.a > 10190 message schedules target is invalid
         1 s.a Nats-Schedule: @every 5;Nats-Schedule-Target: s.o > 10189 message schedules pattern is invalid
         1 s.a Nats-Schedule: @every 5s;Nats-Schedule-Target: s.o;Nats-Schedule-TTL: x > 10191 message schedules invalid per-message TTL
         1 s.a Nats-Schedule: @every 5s;Nats-Schedule-Target: s.o;Nats-Schedule-Rollup: all > 10192 message schedules invalid rollup
         1 s.a Nats-Schedule: @every 5s;Nats-Schedule-Target: s.o;Nats-Schedule-Source: s.o > 10203 message schedules source is invalid
         1 s.a Nats-Schedule: @every 5s;Nats-Schedule-Target: s.o;Nats-Rollup: all > 10192 message schedules invalid rollup
         1 s.a Nats-Scheduler: s.b > 10212 message schedules invalid scheduler
         1 s.a Nats-Schedule: @every 5s;Nats-Schedule-Target: s.o;K: v;Nats-Msg-Id: 1 > 1
         1 s.b Nats-Schedule: @at 1970-01-01T00:00:03Z;Nats-Schedule-Target: s.o;Nats-Schedule-TTL: 60;Nats-Schedule-Rollup: sub > 2",
    );
    assert_eq!(stream.next_expiry(), Some(3_000_000_000));
    assert_eq!(fire(&mut stream, 2), Vec::<String>::new());
    let once = "s.o NATS/1.0|Nats-Scheduler: s.b|Nats-Schedule-Next: purge|Nats-TTL: 60|Nats-Rollup: sub|| x";
    assert_eq!(fire(&mut stream, 4), [once]);
    assert_eq!(live(&stream), "1 s.a, 3 s.o");
    let mut bytes = Vec::new();
    stream.snapshot(Whole::Bodies, &mut bytes);
    stream = Stream::restore(settings, &bytes).expect("a snapshot is read");
    let again = "s.o NATS/1.0|K: v|Nats-Scheduler: s.a|Nats-Schedule-Next: 1970-01-01T00:00:11Z|| x";
    assert_eq!(fire(&mut stream, 6), [again]);
    // What was missed fires once.
    assert_eq!(fire(&mut stream, 100), [again.replace("00:11Z", "01:45Z")]);
    play(
        &mut stream,
        "101 s.q Nats-Schedule-Next: purge;Nats-Scheduler: s.o > 10212 message schedules invalid scheduler",
    );
    play(&mut stream, "101 s.q Nats-Schedule-Next: purge;Nats-Scheduler: s.a > 6");
    assert_eq!(fire(&mut stream, 200), Vec::<String>::new());
    assert_eq!(live(&stream), "3 s.o, 4 s.o, 5 s.o, 6 s.q");
    play(&mut stream, "200 s.a Nats-Schedule: @hourly;Nats-Schedule-Target: s.o > 7\n201 s.a > 8");
    assert_eq!(stream.next_expiry(), Some(64_000_000_000), "the schedule is gone, a TTL is left");
}

#[test]
fn a_clients_own_marker_expires_without_another() {
    let limits = Limits { age: Some(10_000_000_000), ..Limits::default() };
    let features = Features { rollup: true, ..Features::default() };
    let mut stream = Stream::new(Settings { limits, features, marker_ttl: 60, ..settings() });
    play(
        &mut stream,
        "1 a KV-Operation: PURGE > 1\n1 b Nats-Marker-Reason: Remove > 2\n1 c KV-Operation: DEL > 3",
    );
    while let Some(proposal) = stream.admit_expiry(11_000_000_000) {
        stream.apply(&proposal, &mut Effects::default());
    }
    assert_eq!(live(&stream), "4 c");
}
