//! What is appended to the log, read back, and there again when the store is opened anew.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use dialtone_store::{
    Committed, Failure, GroupId, Lsn, OpenError, Options, Place, RealDisk, Recovered, Store, Urgency,
};

#[derive(Debug, PartialEq, Eq, Clone)]
enum Seen {
    Group(GroupId, Vec<u8>),
    Message(GroupId, u64, Vec<u8>, Vec<u8>),
    Record(GroupId, Vec<u8>),
    Deleted(GroupId),
    Other(String),
}

fn open(dir: &Path) -> (Store, Vec<Seen>) {
    let (mut seen, mut places) = (Vec::new(), Vec::<(usize, GroupId, u64, Place)>::new());
    let store = Store::open(Arc::new(RealDisk), dir, Options::default(), &mut |found| {
        seen.push(match found {
            Recovered::Group { id, meta, .. } => Seen::Group(id, meta.to_vec()),
            Recovered::Message { group, seq, head, place, .. } => {
                places.push((seen.len(), group, seq, place));
                Seen::Message(group, seq, head.to_vec(), Vec::new())
            }
            Recovered::Record { group, bytes } => Seen::Record(group, bytes.to_vec()),
            Recovered::Deleted { group } => Seen::Deleted(group),
            other => Seen::Other(format!("{other:?}")),
        });
    });
    let store = store.expect("the store opens");
    for (index, group, seq, place) in places {
        if let Seen::Message(_, _, _, body) = &mut seen[index] {
            store.read(group, seq, place, body).expect("a message is read");
        }
    }
    (store, seen)
}

#[test]
fn what_was_committed_is_there_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, seen) = open(dir.path());
    assert_eq!(seen, []);
    let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
    let group = batch.new_group(b"A.ORDERS");
    let first = batch.message(group, 1, b"head", &[b"he", b"llo"]);
    batch.record(group, b"change");
    let end = batch.submit();
    let mut body = b"before ".to_vec();
    store.read(group, 1, first, &mut body).expect("what is not durable yet can be read");
    assert_eq!(body, b"before hello");
    store.wait(end).expect("it becomes durable");
    body.clear();
    store.read(group, 1, first, &mut body).expect("what is in the file can be read");
    assert_eq!(body, b"hello");
    let other = {
        let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
        let other = batch.new_group(b"B");
        batch.delete_group(other);
        batch.submit();
        other
    };
    // A batch that is dropped leaves nothing.
    store.batch(Urgency::Ordinary).expect("a batch").record(group, b"never");
    drop(store);

    let expected = [
        Seen::Group(group, b"A.ORDERS".to_vec()),
        Seen::Message(group, 1, b"head".to_vec(), b"hello".to_vec()),
        Seen::Record(group, b"change".to_vec()),
        Seen::Group(other, b"B".to_vec()),
        Seen::Deleted(other),
    ];
    for _ in 0..3 {
        let (store, seen) = open(dir.path());
        assert_eq!(seen, expected);
        drop(store);
    }
    let (store, _) = open(dir.path());
    let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
    batch.record(group, b"later");
    batch.submit();
    drop(store);
    let (_, seen) = open(dir.path());
    assert_eq!(seen[5..], [Seen::Record(group, b"later".to_vec())]);
}

#[test]
fn a_store_is_opened_once_at_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open(dir.path());
    let second = Store::open(Arc::new(RealDisk), dir.path(), Options::default(), &mut |_| {});
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    drop(store);
    open(dir.path());
}

/// Tells what is durable.
struct Commits(Sender<u64>);

impl Committed for Commits {
    fn committed(&self, upto: Lsn) {
        // A test that has ended asks no more.
        let _ = self.0.send(upto.0);
    }

    fn failed(&self, failure: &Failure) {
        panic!("{failure}");
    }
}

#[test]
fn what_nobody_waits_for_is_written_with_what_somebody_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { linger: Duration::from_secs(3600), ..Options::default() };
    let store = Store::open(Arc::new(RealDisk), dir.path(), options, &mut |_| {}).expect("the store opens");
    let writer = store.writer().expect("nobody has it");
    let writer = thread::spawn(move || writer.run());
    let (commits, committed) = channel();
    store.on_commit(Arc::new(Commits(commits)));
    let until = |upto: Lsn| {
        let mut told = std::iter::from_fn(|| committed.recv_timeout(Duration::from_secs(60)).ok());
        let durable = told.find(|durable| *durable >= upto.0);
        assert!(durable.is_some(), "it becomes durable");
    };
    let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
    let group = batch.new_group(b"A");
    until(batch.submit());
    let later = |bytes: &[u8]| {
        let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
        batch.record(group, bytes);
        batch.submit_later()
    };
    // Somebody waits for what comes behind it.
    let first = later(b"1");
    assert!(store.written() < first, "it lingers");
    let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
    batch.record(group, b"2");
    let second = batch.submit();
    assert!(second > first);
    until(second);
    // Somebody waits for it after all.
    let third = later(b"3");
    assert!(store.written() < third, "it lingers");
    store.hasten();
    until(third);
    let fourth = later(b"4");
    store.wait(fourth).expect("it becomes durable");
    // It is much.
    let mut fifth = later(&[5; 600 << 10]);
    assert!(store.written() < fifth, "it lingers");
    fifth = later(&[5; 600 << 10]);
    until(fifth);
    // The store ends.
    later(b"6");
    store.stop();
    writer.join().expect("the writer ends");
    drop(store);
    let (_, seen) = open(dir.path());
    let records = seen.iter().filter(|seen| matches!(seen, Seen::Record(..)));
    assert_eq!(records.count(), 7);
    assert_eq!(seen.last(), Some(&Seen::Record(group, b"6".to_vec())));
}
