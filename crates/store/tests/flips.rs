//! A flip of bits anywhere: it is named, or it has done nothing; and what it did not touch is there.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{App, Op, named, options, plain_and_sealed, script};
use dialtone_store::{After, Disk, Lost, OpenError, SimulatedDisk};

/// A store with a checkpoint, a log behind it, and an orderly end.
fn prepared(seed: u64) -> (SimulatedDisk, App) {
    let disk = SimulatedDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (store, mut app) = App::open(&shared, options()).expect("a store");
    for op in script(seed, 30) {
        app.run(&store, &op).expect("it works");
    }
    for op in [
        Op::NewGroup(7),
        Op::Publish(7, 4, 200),
        Op::Checkpoint,
        Op::Note(7, 1),
        Op::Publish(7, 3, 100),
        Op::Delete(7, 1),
    ] {
        app.run(&store, &op).expect("it works");
    }
    drop(store);
    (disk, app)
}

/// Opens a damaged store and holds what it says against what was there.
fn check(disk: &SimulatedDisk, before: &App, context: &str) -> Vec<Lost> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (store, app) = match App::open(&shared, options()) {
        Ok(opened) => opened,
        // A version that is not known, or both manifests.
        Err(error) => panic!("{context}: {error}"),
    };
    let mut lost: Vec<Lost> = app.damage.iter().map(|damage| damage.what).collect();
    let unreadable = app.read_all(&store);
    lost.extend(unreadable.iter().map(|(group, seq)| Lost::Message { group: *group, seq: *seq }));
    let named = named(&app.damage);
    let only_messages = lost.iter().all(|lost| matches!(lost, Lost::Message { .. } | Lost::Nothing));
    if only_messages {
        for (id, group) in &before.groups {
            let found = app.groups.get(id).unwrap_or_else(|| panic!("{context}: {id:?} is gone"));
            assert_eq!((found.changes, &found.name), (group.changes, &group.name), "{context}");
            for seq in group.messages.keys() {
                let there = found.messages.contains_key(seq) || named.contains(&(*id, *seq));
                assert!(there, "{context}: {id:?} {seq} is gone, and {:?}", app.damage);
            }
            for seq in found.messages.keys() {
                assert!(group.messages.contains_key(seq), "{context}: {id:?} {seq} came back");
            }
        }
    }
    // Sequences do not come again: neither what is there nor what is named is below what was.
    let beyond: u64 = lost
        .iter()
        .map(|lost| match lost {
            Lost::Unknown { sequences_max } => *sequences_max,
            _ => 0,
        })
        .sum();
    let has_state = |id| !lost.iter().any(|lost| matches!(lost, Lost::State { group } if *group == id));
    for (id, group) in &before.groups {
        let Some(found) = app.groups.get(id) else { continue };
        let last_named =
            named.iter().filter(|(group, _)| group == id).map(|(_, seq)| seq + 1).max().unwrap_or(0);
        if has_state(*id) {
            let next = found.next.max(last_named) + beyond;
            assert!(
                next >= group.next,
                "{context}: {id:?} goes on at {next}, and was at {}: {lost:?}",
                group.next
            );
        }
    }
    lost
}

/// A file that holds nothing.
fn is_nothing(name: &str) -> bool {
    name.ends_with("reserve") || name.ends_with(".new") || name.contains("spare-")
}

fn each_byte(step: usize, mut check: impl FnMut(&SimulatedDisk, &App, &PathBuf, usize)) {
    let (disk, app) = prepared(1);
    for (path, bytes) in disk.files() {
        let name = path.to_string_lossy().into_owned();
        if is_nothing(&name) {
            continue;
        }
        for at in (0..bytes).step_by(step) {
            check(&disk, &app, &path, at);
        }
    }
}

#[test]
fn every_flip_is_named_or_harmless() {
    plain_and_sealed(|| {
        let (mut flips, mut harmless) = (0, 0);
        each_byte(1, |disk, app, path, at| {
            let disk = disk.fork();
            disk.restart(After::Kill);
            disk.flip(path, at, 1 << (at % 8));
            let lost = check(&disk, app, &format!("{} byte {at}", path.display()));
            flips += 1;
            if lost.is_empty() {
                harmless += 1;
            }
        });
        println!("{flips} flips, {harmless} harmless");
        assert!(flips > 5_000, "{flips}");
    });
}

#[test]
fn a_lost_file_is_named() {
    plain_and_sealed(|| {
        let (disk, app) = prepared(1);
        for (path, _) in disk.files() {
            let name = path.to_string_lossy().into_owned();
            if is_nothing(&name) {
                continue;
            }
            let disk = disk.fork();
            disk.lose(&path);
            let lost = check(&disk, &app, &format!("{name} is gone"));
            assert!(!lost.is_empty(), "{name}");
        }
    });
}

#[test]
fn a_shortened_file_is_named() {
    plain_and_sealed(|| {
        let (disk, app) = prepared(1);
        for (path, bytes) in disk.files() {
            let name = path.to_string_lossy().into_owned();
            if is_nothing(&name) {
                continue;
            }
            for keep in [0, bytes / 3, bytes / 2, bytes - 1] {
                let disk = disk.fork();
                disk.truncate(&path, keep);
                let lost = check(&disk, &app, &format!("{name} has {keep} of {bytes} bytes"));
                assert!(!lost.is_empty(), "{name} has {keep} of {bytes} bytes");
            }
        }
    });
}

#[test]
fn without_a_manifest_nothing_is_touched() {
    plain_and_sealed(|| {
        let (disk, _) = prepared(1);
        for (path, _) in disk.files() {
            if path.to_string_lossy().contains("manifest-") {
                disk.flip(&path, 20, 1);
            }
        }
        let before = disk.files();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = App::open(&shared, options());
        assert!(matches!(opened, Err(OpenError::NoManifest { .. })));
        drop(opened);
        assert_eq!(disk.files(), before);
    });
}
