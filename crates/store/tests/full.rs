//! A disk without room, the reserve used up, too: nobody waits for ever, and what frees room is taken.

mod common;
#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use std::sync::Arc;
use std::sync::mpsc;

use common::{App, Op, options};
use dialtone_store::{CheckpointError, Disk, Refused, SimulatedDisk, Store, Urgency};
use waiting::{receive, wait_until};

/// A store with a thread that writes, and some messages behind a checkpoint.
fn prepared() -> (SimulatedDisk, Arc<Store>, App, std::thread::JoinHandle<()>) {
    let disk = SimulatedDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (store, mut app) = App::open(&shared, options()).expect("a store");
    for op in
        [Op::NewGroup(1), Op::NewGroup(2), Op::Publish(1, 20, 900), Op::Checkpoint, Op::Publish(1, 2, 300)]
    {
        app.run(&store, &op).expect("it works");
    }
    let writer = store.writer().expect("nobody has it");
    let thread = std::thread::spawn(move || writer.run());
    (disk, Arc::new(store), app, thread)
}

/// Does something on a thread of its own, which must end.
#[track_caller]
fn bounded<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(act()));
    receive(&result, what)
}

/// Publishes until there is no room for it.
fn fill(store: &Store, app: &mut App) {
    let id = *app.groups.keys().next().expect("a group");
    let bytes = [7; 4000];
    let mut is_full = false;
    for seq in 1_000.. {
        wait_until("it is taken", || match store.batch(Urgency::Ordinary) {
            Ok(mut batch) => {
                batch.message(id, seq, b"x", &[&bytes]);
                batch.submit();
                true
            }
            Err(Refused::Busy) => false,
            Err(Refused::Full) => {
                is_full = true;
                true
            }
            Err(error) => panic!("{error}"),
        });
        if is_full {
            return;
        }
    }
}

#[test]
fn who_waits_on_a_disk_without_any_room_is_told() {
    let (disk, store, mut app, thread) = prepared();
    // Somebody else takes all room, that of the reserve as soon as it is given up.
    let full = disk.used();
    disk.set_room(Some(full));
    let filling = disk.clone();
    let at = Arc::clone(&store);
    fill(&at, &mut app);
    filling.set_room(Some(filling.used()));
    wait_until("what was taken waits for room", || {
        if let Ok(mut batch) = store.batch(Urgency::FreesRoom) {
            batch.record(*app.groups.keys().next().expect("a group"), &[b'n'; 600]);
            batch.submit();
        }
        disk.set_room(Some(disk.used()));
        store.is_stuck()
    });
    let waiting = Arc::clone(&store);
    let waited = bounded("who waits is told", move || waiting.wait(waiting.position()));
    assert!(matches!(waited, Err(Refused::Full)), "{waited:?}");
    // A checkpoint could not count before what was taken is durable.
    let checked = Arc::clone(&store);
    let done = bounded("a checkpoint ends", move || checked.checkpoint(&mut Nobody).map(|_| ()));
    assert!(matches!(done, Err(CheckpointError::Full)), "{done:?}");
    assert!(store.failure().is_none());
    // With room, everything that was taken becomes durable.
    disk.set_room(None);
    let end = store.position();
    wait_until("it is durable", || store.committed() >= end);
    store.wait(end).expect("it is durable");
    drop(at);
    drop(Arc::into_inner(store).expect("nobody else has it"));
    thread.join().expect("the writer ends");
}

/// Has no group.
struct Nobody;

impl dialtone_store::Checkpointed for Nobody {
    fn capture(
        &mut self,
        _: dialtone_store::GroupId,
        _: &dialtone_store::Plan<'_>,
        _: &mut dialtone_store::Captured,
    ) -> bool {
        false
    }

    fn moved(
        &mut self,
        _: dialtone_store::GroupId,
        _: &[dialtone_store::Moved],
        _: &mut Vec<dialtone_store::Place>,
    ) {
    }
}

#[test]
fn a_store_on_a_disk_without_room_can_be_closed() {
    let (disk, store, mut app, thread) = prepared();
    disk.set_room(Some(disk.used()));
    fill(&store, &mut app);
    disk.set_room(Some(0));
    wait_until("what was taken waits for room", || {
        if let Ok(mut batch) = store.batch(Urgency::FreesRoom) {
            batch.record(*app.groups.keys().next().expect("a group"), &[b'n'; 600]);
            batch.submit();
        }
        store.is_stuck()
    });
    bounded("it is closed", move || drop(store));
    thread.join().expect("the writer ends");
}

#[test]
fn what_is_deleted_on_a_full_disk_makes_room() {
    let disk = SimulatedDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (store, mut app) = App::open(&shared, options()).expect("a store");
    for op in [Op::NewGroup(1), Op::NewGroup(2), Op::Publish(1, 40, 900), Op::Checkpoint] {
        app.run(&store, &op).expect("it works");
    }
    disk.set_room(Some(disk.used() + 6_000));
    // What does not fit is taken as far as the reserve goes, and refused then.
    let id = *app.groups.keys().next_back().expect("a group");
    let mut taken = 0;
    while let Ok(mut batch) = store.batch(Urgency::Ordinary) {
        batch.record(id, &[b'n'; 300]);
        store.wait(batch.submit()).expect("the reserve has room");
        taken += 1;
        assert!(taken < 1_000, "the disk is full some time");
    }
    assert!(store.is_low() && !store.is_stuck());
    let mut batch = store.batch(Urgency::FreesRoom).expect("it frees room");
    let gone = *app.groups.keys().next().expect("a group");
    batch.delete_group(gone);
    store.wait(batch.submit()).expect("the reserve has room for it");
    for _ in 0..3 {
        store.checkpoint(&mut Nobody).expect("there is room for it");
    }
    assert!(!store.is_low(), "there is a reserve again");
    let mut batch = store.batch(Urgency::Ordinary).expect("there is room");
    batch.record(id, b"n1");
    store.wait(batch.submit()).expect("it is taken again");
}
