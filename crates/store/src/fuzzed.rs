//! Files that anybody may have written: for the fuzz target, which passes checksums over where they are multiples of four, and a test.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::checkpoint::{Captured, Checkpointed, Moved, Plan};
use crate::commit::Urgency;
use crate::disk::Disk;
use crate::id::{GroupId, Place};
use crate::opening::Recovered;
use crate::options::Options;
use crate::seal::{Cipher, Encryption, Key};
use crate::simulated::{After, SimulatedDisk};
use crate::store::Store;

const FOLDER: &str = "/store";

struct All(Vec<(u64, Place)>);

impl Checkpointed for All {
    fn capture(&mut self, _group: GroupId, plan: &Plan<'_>, captured: &mut Captured) -> bool {
        captured.upto = crate::id::Lsn(0);
        let moves = self.0.iter().filter(|(_, place)| plan.moves(*place));
        captured.moves.extend(moves.map(|&(seq, place)| (seq, place, [1; crate::index::NOTE_BYTES])));
        true
    }

    fn moved(&mut self, _group: GroupId, _moved: &[Moved], _gone: &mut Vec<Place>) {}
}

fn options(is_sealed: bool) -> Options {
    let key = Key::new(b"key");
    let encryption = is_sealed.then_some(Encryption { cipher: Cipher::Aes256Gcm, key, previous: None });
    Options {
        log_file_bytes: 4 << 10,
        log_ahead_bytes: 512,
        reserve_bytes: 0,
        encryption,
        ..Options::default()
    }
}

/// A store with a checkpoint, and a log behind it.
fn prepared(is_sealed: bool) -> &'static (SimulatedDisk, Vec<PathBuf>) {
    static PREPARED: [OnceLock<(SimulatedDisk, Vec<PathBuf>)>; 2] = [OnceLock::new(), OnceLock::new()];
    PREPARED[usize::from(is_sealed)].get_or_init(|| {
        let disk = SimulatedDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        if let Ok(store) = Store::open(shared, Path::new(FOLDER), options(is_sealed), &mut |_| {})
            && let Ok(mut batch) = store.batch(Urgency::Ordinary)
        {
            let group = batch.new_group(b"meta");
            let places = (1..=6).map(|seq| (seq, batch.message(group, seq, b"head", &[&[9; 40]]))).collect();
            batch.submit();
            _ = store.checkpoint(&mut All(places));
            if let Ok(mut batch) = store.batch(Urgency::Ordinary) {
                batch.message(group, 7, b"head", &[b"body"]);
                batch.record(group, b"record");
                batch.submit();
            }
        }
        let files = disk.files().into_iter().map(|(path, _)| path).collect();
        (disk, files)
    })
}

/// Writes over the files of a store, of one that is encrypted where the first byte is odd, as `data` says, opens it and reads all. Whatever is
/// in them, nothing panics.
pub fn files_hold(data: &[u8]) {
    let Some((is_sealed, mut data)) = data.split_first().map(|(first, rest)| (first % 2 == 1, rest)) else {
        return;
    };
    let (disk, files) = prepared(is_sealed);
    let disk = disk.fork();
    disk.restart(After::Kill);
    // A file, an offset, and how many bytes are written there.
    while let [file, low, high, bytes, rest @ ..] = data {
        let (patch, rest) = rest.split_at(rest.len().min(usize::from(*bytes % 32)));
        data = rest;
        let path = &files[usize::from(*file) % files.len()];
        disk.overwrite(path, usize::from(u16::from_le_bytes([*low, *high])), patch);
    }
    let mut found = Vec::new();
    let opened =
        Store::open(
            Arc::new(disk),
            Path::new(FOLDER),
            options(is_sealed),
            &mut |recovered| match recovered {
                Recovered::Message { group, seq, place, .. } => found.push((group, seq, place)),
                Recovered::Group { id, heads, is_asked_for, .. } => {
                    is_asked_for.set(data.len() % 2 == 0);
                    _ = heads.read(0, u64::MAX, &mut |head| found.push((id, head.seq, head.place)));
                }
                _ => {}
            },
        );
    let Ok(store) = opened else { return };
    for (group, seq, place) in &found {
        _ = store.read(*group, *seq, *place, &mut Vec::new());
    }
    _ = store.scrub(0);
}

#[cfg(test)]
mod tests {
    #[test]
    fn whatever_is_in_the_files_nothing_panics() {
        let mut value = 1_u64;
        let mut next = move || {
            value ^= value << 13;
            value ^= value >> 7;
            value ^= value << 17;
            value
        };
        for _ in 0..2_000 {
            let data: Vec<u8> = (0..next() % 60).map(|_| next() as u8).collect();
            super::files_hold(&data);
        }
    }
}
