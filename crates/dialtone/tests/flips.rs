//! One bit is flipped in one of the files that a server has left: whoever reads all of it is told, or finds everything as it was.
//!
//! `FLIPS=2000 cargo test -p dialtone --test flips` flips so many; without it there are some.

mod life;
#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use dialtone_server::offline::{Format, check, export};
use life::{Life, has_checkpoint};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use waiting::wait_until;

/// Flips where nobody says how many.
const FLIPS: usize = 120;

/// A folder with streams in segments and in the log behind them.
fn prepared(dir: &Path) {
    let mut life = Life::begin_with_checkpoints(dir);
    for (name, compression) in [("PLAIN", "none"), ("PACKED", "s2")] {
        let config = json!({ "name": name, "subjects": [format!("{name}.*")], "compression": compression });
        let made = life.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &config);
        assert_eq!(made["config"]["name"], name, "{made}");
        let asked =
            json!({ "stream_name": name, "config": { "durable_name": "C", "ack_policy": "explicit" } });
        life.ask(&format!("$JS.API.CONSUMER.DURABLE.CREATE.{name}.C"), &asked);
    }
    publish(&mut life, 1..=30);
    wait_until("there is a checkpoint", || has_checkpoint(&dir.join("jetstream/dialtone")));
    life.kill();
    // Without checkpoints, what follows stays in the log.
    let mut life = Life::begin(dir);
    publish(&mut life, 31..=40);
    let deleted = life.ask("$JS.API.STREAM.MSG.DELETE.PLAIN", &json!({ "seq": 35, "no_erase": true }));
    assert_eq!(deleted["success"], true, "{deleted}");
    // Of a last batch behind which nothing stands nobody can say whether it was whole.
    life.stop();
}

/// Over so many subjects that debug builds have their table in runs.
fn publish(life: &mut Life, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        for name in ["PLAIN", "PACKED"] {
            let text = json!(format!("message {number} ").repeat(10));
            assert_eq!(life.ask(&format!("{name}.{}", number % 7), &text)["seq"], number);
        }
    }
}

/// All that can be read of it; an error: something is named that cannot.
fn read(dir: &Path) -> Result<(Value, Vec<Vec<u8>>), String> {
    let found = check(dir, None).map_err(|error| error.to_string())?;
    if !found.is_whole() {
        return Err(format!("{:?} {:?}", found.damage, found.problems));
    }
    let out = tempfile::tempdir().expect("a folder");
    let exported = export((dir, None), out.path(), Format::Tar).map_err(|error| error.to_string())?;
    let archives = exported.iter().map(|one| {
        let folder = one.folder.as_ref().expect("it can be read");
        fs::read(folder.join("stream.tar.s2")).expect("it was written")
    });
    let archives = archives.collect();
    Ok((serde_json::to_value(&found.streams).expect("JSON"), archives))
}

/// The files that hold something, by the folder that they are in.
fn files(dir: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut all: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for part in ["", "log", "segments"] {
        for entry in fs::read_dir(dir.join(part)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let is_nothing =
                path.is_dir() || ["lock", "reserve"].contains(&&*name) || name.starts_with("spare-");
            if !is_nothing {
                all.entry(part.to_owned()).or_default().push(path);
            }
        }
    }
    all.values_mut().for_each(|paths| paths.sort());
    all
}

#[test]
fn every_flip_is_named_or_harmless() {
    let dir = tempfile::tempdir().expect("a folder");
    prepared(dir.path());
    let whole = read(dir.path()).expect("nothing is damaged");
    assert!(read(dir.path()).as_ref() == Ok(&whole), "it is read alike each time");
    let files: Vec<Vec<PathBuf>> = files(&dir.path().join("jetstream/dialtone")).into_values().collect();
    assert_eq!(files.len(), 3, "{files:?}");
    let flips = std::env::var("FLIPS").ok().and_then(|flips| flips.parse().ok()).unwrap_or(FLIPS);
    let (mut random, mut named) = (StdRng::seed_from_u64(7), 0);
    for flip in 0..flips {
        // Files of each kind come as often, whatever their number and size.
        let kind = &files[flip % files.len()];
        let path = &kind[random.random_range(0..kind.len())];
        let bytes = fs::read(path).expect("read");
        // Room ahead of the log is all zeros, and says nothing; some flips go there all the same.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        let at =
            if flip % 10 == 9 { random.random_range(0..bytes.len()) } else { random.random_range(0..used) };
        let bit = 1_u8 << random.random_range(0..8);
        let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
        file.write_all_at(&[bytes[at] ^ bit], at as u64).expect("written");
        match read(dir.path()) {
            Err(_) => named += 1,
            Ok(found) => assert!(
                found == whole,
                "{} byte {at} bit {bit}: not named, and not as it was",
                path.display()
            ),
        }
        file.write_all_at(&[bytes[at]], at as u64).expect("written");
    }
    println!("{flips} flips, {named} named, {} harmless", flips - named);
    assert!(named > flips / 4, "{named} of {flips} are named");
    assert!(read(dir.path()).as_ref() == Ok(&whole), "all flips were taken back");
}
