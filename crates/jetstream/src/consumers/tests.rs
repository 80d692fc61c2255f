//! The index against a look at every consumer.

use super::*;
use crate::consumer::testing::{MapLog, Recorder, pull_settings, push_settings};
use crate::consumer::{Changes, Filters, Prefixes, Settings, Start};
use proptest::prelude::*;

const SUBJECTS: [&str; 5] = ["a", "a.b", "a.c", "b.b", "c.d.e"];
const FILTERS: [&str; 7] = ["a", "a.*", "*.b", ">", "c.>", "*", "a.b"];

fn consumer(id: u64, filters: &[&str], log: &MapLog) -> Consumer {
    let settings =
        Settings { filters: Filters::new(filters.iter().map(|f| f.as_bytes())), ..pull_settings() };
    let start = Start::of(&settings, log);
    Consumer::new(ConsumerId(id), Prefixes::new("S", &format!("C{id}")), settings, start, log, 0)
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<usize>),
    Remove(usize),
    Update(usize, Vec<usize>),
    Store(usize),
    Take(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let filters = || proptest::collection::vec(0..FILTERS.len(), 0..4);
    prop_oneof![
        2 => filters().prop_map(Op::Insert),
        1 => (0_usize..9).prop_map(Op::Remove),
        1 => (0_usize..9, filters()).prop_map(|(at, filters)| Op::Update(at, filters)),
        6 => (0..SUBJECTS.len()).prop_map(Op::Store),
        2 => (0_usize..20).prop_map(Op::Take),
    ]
}

proptest! {
    #[test]
    fn each_consumer_knows_what_is_pending(ops in proptest::collection::vec(op(), 1..60)) {
        let mut consumers = Consumers::default();
        let mut log = MapLog::default();
        let mut next_id = 0;
        let names = |filters: Vec<usize>| filters.into_iter().map(|at| FILTERS[at]).collect::<Vec<_>>();
        for op in ops {
            let ids: Vec<ConsumerId> = consumers.by_name(None).map(|(_, id)| id).collect();
            match op {
                Op::Insert(filters) => {
                    next_id += 1;
                    consumers.insert(format!("C{next_id}"), consumer(next_id, &names(filters), &log), ());
                }
                Op::Remove(at) => {
                    let removed = ids.get(at).and_then(|id| consumers.remove(*id));
                    prop_assert_eq!(removed.is_some(), at < ids.len());
                }
                Op::Update(at, filters) => if let Some(id) = ids.get(at) {
                    let settings = consumer(0, &names(filters), &log).settings();
                    consumers.update(*id, settings, |consumer, settings| consumer.apply_update(settings, &log));
                },
                Op::Store(at) => {
                    let seq = log.store(SUBJECTS[at], 0);
                    consumers.stored(seq, SUBJECTS[at].as_bytes());
                }
                Op::Take(at) => if let Some(seq) = log.messages.keys().nth(at).copied() {
                    let (subject, _) = log.messages.remove(&seq).unwrap();
                    consumers.removed(seq, subject.as_bytes(), None, |_, _| {});
                },
            }
            for (_, id) in consumers.by_name(None).collect::<Vec<_>>() {
                let consumer = consumers.get(id).unwrap();
                let expected = log.count(consumer.filters(), 1.max(consumer.state().next_seq()));
                prop_assert_eq!(consumer.info_at(0).num_pending, expected);
            }
            for subject in SUBJECTS {
                let expected = consumers.by_name(None).any(|(_, id)| {
                    consumers.get(id).is_some_and(|consumer| consumer.filters().matches(subject.as_bytes()))
                });
                prop_assert_eq!(consumers.has_interest(subject.as_bytes()), expected);
            }
        }
    }
}

/// Lets all that are ready deliver.
fn run(consumers: &mut Consumers<()>, log: &MapLog, now: i64) -> Vec<String> {
    let (mut host, mut changes) = (Recorder::default(), Changes::new(now));
    for id in consumers.due(now) {
        consumers.with(id, |consumer| {
            consumer.expire(&mut Context { now, log, host: &mut host, changes: &mut changes });
        });
    }
    while let Some(id) = consumers.next_ready() {
        let mut ctx = Context { now, log, host: &mut host, changes: &mut changes };
        consumers.poll(id, &mut ctx, Budget { messages: 1, bytes: 100 });
    }
    host.lines
}

fn ask(consumers: &mut Consumers<()>, id: u64, log: &MapLog, request: &str) {
    let (mut host, mut changes) = (Recorder::default(), Changes::new(0));
    let mut ctx = Context { now: 0, log, host: &mut host, changes: &mut changes };
    let reply = format!("r{id}");
    consumers.with(ConsumerId(id), |c| c.request(&mut ctx, reply.as_bytes(), None, request.as_bytes()));
}

#[test]
fn consumers_take_turns_and_wake_when_messages_are_committed() {
    let (mut consumers, mut log) = (Consumers::default(), MapLog::default());
    consumers.insert("C1", consumer(1, &["a.*"], &log), ());
    consumers.insert("C2", consumer(2, &[], &log), ());
    consumers.insert("C3", consumer(3, &["b.*"], &log), ());
    for id in 1..=3 {
        ask(&mut consumers, id, &log, "2");
    }
    assert_eq!(run(&mut consumers, &log, 0), [""; 0]);
    for subject in ["a.b", "a.c"] {
        let seq = log.store(subject, 0);
        consumers.stored(seq, subject.as_bytes());
    }
    assert_eq!(consumers.ready(), 0, "nothing is committed");
    consumers.committed(1);
    assert_eq!(consumers.ready(), 2);
    let turns: Vec<String> =
        run(&mut consumers, &log, 0).into_iter().map(|line| line[..6].to_owned()).collect();
    assert_eq!(turns[..2], turns[2..], "one message each, in turn");
    assert_ne!(turns[0], turns[1]);
    consumers.committed(2);
    assert!(consumers.awaiting.is_empty() && consumers.ready() == 0);
}

#[test]
fn who_is_due_is_found_by_its_deadline() {
    let (mut consumers, log) = (Consumers::default(), MapLog::default());
    for id in 1..=3 {
        consumers.insert(format!("C{id}"), consumer(id, &[], &log), ());
    }
    let settings = push_settings();
    let push = Consumer::new(
        ConsumerId(4),
        Prefixes::new("S", "P"),
        settings,
        Start { next: 1, first: vec![] },
        &log,
        0,
    );
    consumers.insert("P", push, ());
    assert_eq!(consumers.deadline(), None);
    assert_eq!(consumers.pushing().collect::<Vec<_>>(), [ConsumerId(4)]);
    for (id, expires) in [(1, 30), (2, 10), (3, 20)] {
        ask(&mut consumers, id, &log, &format!(r#"{{"batch":1,"expires":{expires}}}"#));
        run(&mut consumers, &log, 0);
    }
    for (at, who) in [(10, "r2"), (20, "r3"), (30, "r1")] {
        assert_eq!(consumers.deadline(), Some(at));
        assert_eq!(run(&mut consumers, &log, at - 1), [""; 0]);
        let lines = run(&mut consumers, &log, at);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(&format!("{who} <- NATS/1.0 408")), "{lines:?}");
    }
    assert_eq!(consumers.deadline(), None);
}

#[test]
fn one_that_is_idle_is_small() {
    let bytes = (size_of::<Slot<()>>(), size_of::<Consumer>());
    assert!(bytes <= (432, 376), "there may be a million of them: {bytes:?}");
}

#[test]
fn those_that_are_configured_alike_share_it() {
    let (mut consumers, log) = (Consumers::default(), MapLog::default());
    for id in 1..=3 {
        consumers.insert(format!("C{id}"), consumer(id, &[&format!("s.{id}")], &log), ());
    }
    assert_eq!(consumers.shared.len(), 1);
    for id in 1..=3 {
        let filters: Vec<_> = consumers.get(ConsumerId(id)).expect("it is there").filters().iter().collect();
        assert_eq!(filters, [format!("s.{id}").as_bytes()]);
    }
    let other =
        Settings { sample_percent: 1, ..consumers.get(ConsumerId(1)).expect("it is there").settings() };
    consumers.update(ConsumerId(1), other, |machine, settings| machine.apply_update(settings, &log));
    let samples = |id| consumers.get(ConsumerId(id)).expect("it is there").settings().sample_percent;
    assert_eq!((consumers.shared.len(), [1, 2, 3].map(samples)), (2, [1, 0, 0]));
}
