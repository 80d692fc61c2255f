//! Many checkpoints over groups that come and go: files stay few, what is deleted is freed, what is there can be read at any moment.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{App, Op, options, plain_and_sealed, script};
use dialtone_store::{After, Committed, Disk, Failure, Fault, Lost, Lsn, SimulatedDisk, Urgency};

#[test]
fn whatever_is_done_the_same_is_there_after_a_start() {
    plain_and_sealed(|| {
        for seed in 0..12 {
            let disk = SimulatedDisk::new();
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let (mut store, mut app) = App::open(&shared, options()).expect("a store");
            for (index, op) in script(seed, 400).iter().enumerate() {
                app.run(&store, op).expect("it works");
                if index % 37 == 0 {
                    assert_eq!(app.read_all(&store), [], "seed {seed}, operation {index}");
                    let digest = app.digest();
                    drop(store);
                    disk.restart(After::PowerLoss(seed * 1000 + index as u64));
                    (store, app) = App::open(&shared, options()).expect("it opens again");
                    assert_eq!(app.damage, [], "seed {seed}, operation {index}");
                    assert_eq!(app.digest(), digest, "seed {seed}, operation {index}");
                }
            }
            assert_eq!(app.read_all(&store), []);
        }
    });
}

#[test]
fn what_is_submitted_while_a_checkpoint_runs_is_there() {
    plain_and_sealed(|| {
        let disk = SimulatedDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (mut store, mut app) = App::open(&shared, options()).expect("a store");
        for op in [Op::NewGroup(1), Op::NewGroup(2)] {
            app.run(&store, &op).expect("it works");
        }
        for round in 0..30 {
            app.run(&store, &Op::Note(1, 1)).expect("it works");
            app.run(&store, &Op::Publish(2, 1, 40)).expect("it works");
            app.checkpoint_of(&store, true).expect("it works");
            // The log is cut behind what a checkpoint covers.
            (0..3).for_each(|_| app.run(&store, &Op::Publish(2, 9, 1500)).expect("it works"));
            app.checkpoint(&store).expect("it works");
            assert_eq!(app.read_all(&store), [], "round {round}");
            let digest = app.digest();
            drop(store);
            disk.restart(After::PowerLoss(round));
            (store, app) = App::open(&shared, options()).expect("it opens again");
            assert_eq!((app.digest(), &app.damage[..]), (digest, &[][..]), "round {round}");
        }
    });
}

#[test]
fn what_a_checkpoint_has_to_move_counts_with_the_memory_that_takes() {
    let shared: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
    let (store, mut app) = App::open(&shared, options()).expect("a store");
    app.run(&store, &Op::NewGroup(1)).expect("it works");
    app.checkpoint(&store).expect("it works");
    let before = (store.behind(), store.to_move_bytes());
    (0..10).for_each(|_| app.run(&store, &Op::Publish(1, 1, 1)).expect("it works"));
    let (log, all) = (store.behind() - before.0, store.to_move_bytes() - before.1);
    assert_eq!(all, log + 10 * 100);
    app.checkpoint(&store).expect("it works");
    assert!(store.to_move_bytes() < all, "{}", store.to_move_bytes());
}

/// Bytes of all segments, and how many there are.
fn segments(disk: &SimulatedDisk) -> (usize, usize) {
    let files = disk.files();
    let segments =
        files.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "seg"));
    segments.fold((0, 0), |(bytes, count), (_, more)| (bytes + more, count + 1))
}

fn log_bytes(disk: &SimulatedDisk) -> usize {
    let files = disk.files();
    files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "log"))
        .map(|(_, bytes)| bytes)
        .sum()
}

#[test]
fn the_log_is_cut_and_what_is_deleted_is_freed() {
    plain_and_sealed(|| {
        let disk = SimulatedDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (store, mut app) = App::open(&shared, options()).expect("a store");
        app.run(&store, &Op::NewGroup(1)).expect("it works");
        app.run(&store, &Op::NewGroup(2)).expect("it works");
        for _ in 0..40 {
            app.run(&store, &Op::Publish(1, 20, 100)).expect("it works");
            app.run(&store, &Op::Publish(2, 1, 10)).expect("it works");
            app.run(&store, &Op::Checkpoint).expect("it works");
            assert!(log_bytes(&disk) < 64 << 10, "{}", log_bytes(&disk));
        }
        let spare = |path: &std::path::Path| path.to_string_lossy().contains("spare-");
        let spares = disk.files().iter().filter(|(path, _)| spare(path)).count();
        assert!((1..=2).contains(&spares), "{:?}", disk.files());
        let (bytes, count) = segments(&disk);
        assert!(bytes < 400 << 10, "{bytes}");
        assert!(count < 40, "{count}");
        // Three of four go, each by a record of its own.
        for index in 0..600 {
            app.run(&store, &Op::Delete(1, (index % 4 + index / 300) as u8)).expect("it works");
        }
        for _ in 0..4 {
            app.run(&store, &Op::Note(1, 1)).expect("it works");
            app.run(&store, &Op::Checkpoint).expect("it works");
        }
        assert!(segments(&disk).0 < bytes * 3 / 4, "{} of {bytes}", segments(&disk).0);
        assert_eq!(app.read_all(&store), []);
        app.run(&store, &Op::DeleteGroup(1)).expect("it works");
        for _ in 0..4 {
            app.run(&store, &Op::Note(2, 1)).expect("it works");
            app.run(&store, &Op::Checkpoint).expect("it works");
        }
        assert!(segments(&disk).0 < 30 << 10, "{}", segments(&disk).0);
        assert_eq!(app.read_all(&store), []);
    });
}

#[test]
fn many_small_groups_share_few_files() {
    let disk = SimulatedDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let settings = dialtone_store::Options { log_file_bytes: 1 << 20, segment_bytes: 1 << 20, ..options() };
    let (store, mut app) = App::open(&shared, settings.clone()).expect("a store");
    let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
    let ids: Vec<_> = (0..2_000_u32).map(|name| (name, batch.new_group(&name.to_le_bytes()))).collect();
    for (name, id) in &ids {
        app.groups.insert(
            *id,
            common::Group { name: name.to_le_bytes().to_vec(), next: 1, ..common::Group::default() },
        );
    }
    let end = batch.submit();
    store.wait(end).expect("it works");
    app.run(&store, &Op::Checkpoint).expect("it works");
    assert!(disk.files().len() < 10, "{:?}", disk.files());
    let digest = app.digest();
    drop(store);
    let (_, app) = App::open(&shared, settings).expect("it opens again");
    assert_eq!(app.digest(), digest);
}

#[test]
fn what_is_erased_is_nowhere_and_damages_nothing() {
    plain_and_sealed(|| {
        let disk = SimulatedDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (store, mut app) = App::open(&shared, options()).expect("a store");
        let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
        let group = batch.new_group(b"S");
        let secret = b"the secret of the message";
        let in_segment = batch.message(group, 1, b"S.1", &[secret]);
        let beside = batch.message(group, 2, b"S.2", &[&common::body(b"S", 2, 40)]);
        let in_log = batch.message(group, 3, b"S.3", &[secret]);
        let end = batch.submit();
        store.wait(end).expect("it works");
        let messages = [(1, Some(in_segment)), (2, Some(beside)), (3, Some(in_log))];
        let known = common::Group {
            name: b"S".to_vec(),
            next: 4,
            messages: messages.into(),
            ..common::Group::default()
        };
        app.groups.insert(group, known);
        store.erase(group, 3, in_log).expect("it is erased");
        app.checkpoint(&store).expect("it works");
        let place = app.groups[&group].messages[&1].expect("it has a place");
        assert_eq!(place.lsn(), None);
        store.erase(group, 1, place).expect("it is erased");
        for (seq, bytes) in
            [(1, vec![0; secret.len()]), (2, common::body(b"S", 2, 40)), (3, vec![0; secret.len()])]
        {
            let mut body = Vec::new();
            let place = app.groups[&group].messages[&seq].expect("it has a place");
            store.read(group, seq, place, &mut body).expect("it can be read");
            assert_eq!(body, bytes, "{seq}");
        }
        let scrubbed = store.scrub(0).expect("it can be read").expect("a segment");
        assert_eq!(scrubbed.damage, []);
        assert!(store.scrub(scrubbed.segment).expect("it can be read").is_none());
        drop(store);
        for (path, bytes) in disk.files() {
            let name = path.to_string_lossy().into_owned();
            if name.ends_with(".seg") {
                assert!(
                    !disk.read(&path).windows(secret.len()).any(|window| window == secret),
                    "{name} of {bytes} bytes"
                );
            }
        }
    });
}

#[test]
fn nothing_is_erased_before_its_deletion_is_durable() {
    plain_and_sealed(|| {
        for place_of in ["log", "segment"] {
            let disk = SimulatedDisk::new();
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let (store, mut app) = App::open(&shared, options()).expect("a store");
            for op in [Op::NewGroup(1), Op::Publish(1, 1, 40)] {
                app.run(&store, &op).expect("it works");
            }
            if place_of == "segment" {
                app.checkpoint(&store).expect("it works");
            }
            let (&group, known) = app.groups.first_key_value().expect("a group");
            let (&seq, place) = known.messages.first_key_value().expect("a message");
            let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
            batch.record(group, &[b"d".as_slice(), &seq.to_le_bytes()].concat());
            batch.submit();
            // The deletion is written in part, or not at all, and all else would be.
            disk.fail_at(1, Fault::Error);
            store.erase(group, seq, place.expect("it has a place")).expect_err("its deletion is lost");
            drop(store);
            disk.restart(After::Kill);
            let (store, app) = App::open(&shared, options()).expect("it opens again");
            assert_eq!(app.read_all(&store), [], "{place_of}: the message is as it was, if it is there");
        }
    });
}

#[test]
fn scrubbing_finds_what_nobody_has_asked_for() {
    plain_and_sealed(|| {
        let disk = SimulatedDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (store, mut app) = App::open(&shared, options()).expect("a store");
        for op in [Op::NewGroup(1), Op::Publish(1, 9, 300), Op::Checkpoint] {
            app.run(&store, &op).expect("it works");
        }
        let scrubbed = store.scrub(0).expect("it can be read").expect("a segment");
        assert_eq!(scrubbed.damage, []);
        let (path, _) = disk
            .files()
            .into_iter()
            .find(|(path, _)| path.extension().is_some_and(|name| name == "seg"))
            .expect("one");
        // In the body of the second message.
        disk.flip(&path, 64 + 344 + 100, 1);
        let scrubbed = store.scrub(0).expect("it can be read").expect("a segment");
        let found: Vec<_> = scrubbed.damage.iter().map(|damage| damage.what).collect();
        let (&group, _) = app.groups.first_key_value().expect("a group");
        assert_eq!(found, [Lost::Message { group, seq: 2 }]);
        assert_eq!(app.read_all(&store), [(group, 2)]);
        // A checkpoint moves the others, and the damaged one keeps its place; nothing is deleted.
        for op in [
            Op::Delete(1, 0),
            Op::Delete(1, 1),
            Op::Delete(1, 1),
            Op::Delete(1, 1),
            Op::Delete(1, 1),
            Op::Delete(1, 1),
        ] {
            app.run(&store, &op).expect("it works");
        }
        app.checkpoint(&store).expect("it works");
        assert_eq!(app.read_all(&store), [(group, 2)]);
        assert!(disk.files().iter().any(|(name, _)| *name == path), "the damaged segment stays");
    });
}

struct Counts {
    last: AtomicU64,
    failed: AtomicU64,
}

impl Committed for Counts {
    fn committed(&self, upto: Lsn) {
        let before = self.last.swap(upto.0, Ordering::Relaxed);
        assert!(before < upto.0, "commits go up");
    }

    fn failed(&self, _failure: &Failure) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn many_threads_share_syncs_and_each_hears_of_its_own() {
    let disk = SimulatedDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (store, _) = App::open(&shared, options()).expect("a store");
    let writer = store.writer().expect("nobody has it");
    assert!(store.writer().is_none());
    let counts = Arc::new(Counts { last: AtomicU64::new(0), failed: AtomicU64::new(0) });
    store.on_commit(Arc::clone(&counts) as Arc<dyn Committed>);
    let writer = std::thread::spawn(move || writer.run());
    let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
    let groups: Vec<_> = (0..4_u8).map(|name| batch.new_group(&[name])).collect();
    batch.submit();
    std::thread::scope(|threads| {
        for group in groups {
            let store = &store;
            threads.spawn(move || {
                for seq in 1..=200_u64 {
                    let mut batch = store.batch(Urgency::Ordinary).expect("a batch");
                    let place = batch.message(group, seq, b"h", &[&seq.to_le_bytes()]);
                    let end = batch.submit();
                    let mut body = Vec::new();
                    store.read(group, seq, place, &mut body).expect("it can be read at once");
                    assert_eq!(body, seq.to_le_bytes());
                    if seq % 10 == 0 {
                        store.wait(end).expect("it becomes durable");
                        assert!(store.committed() >= end);
                    }
                }
            });
        }
    });
    drop(store);
    writer.join().expect("the writer ends well");
    assert_eq!(counts.failed.load(Ordering::Relaxed), 0);
    let mut messages = 0;
    let store =
        dialtone_store::Store::open(shared, std::path::Path::new("/store"), options(), &mut |found| {
            if let dialtone_store::Recovered::Message { .. } = found {
                messages += 1;
            }
        });
    assert!(store.is_ok());
    assert_eq!(messages, 800);
}
