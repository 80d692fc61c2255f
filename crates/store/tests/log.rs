//! What is appended to the log, read back, and there again when the store is opened anew.

use std::path::Path;
use std::sync::Arc;

use dialtone_store::{GroupId, OpenError, Options, Place, RealDisk, Recovered, Store, Urgency};

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
