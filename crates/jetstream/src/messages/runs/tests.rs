//! Runs against a plain map, and what they cost.

use super::*;
use crate::messages::Found;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// By which a block is read: its number, and where it is.
type Key = (u64, [u8; 16]);

#[derive(Debug, Default)]
struct Disk {
    blocks: Mutex<HashMap<Key, Vec<u8>>>,
    used: Vec<Place>,
    /// Bytes that were written, in all.
    written: usize,
    moving: bool,
}

impl Heads for Disk {
    fn read(&self, _: u64, _: u64, _: &mut dyn FnMut(&Found<'_>)) -> bool {
        true
    }

    fn block(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), Unread> {
        let blocks = self.blocks.lock().expect("nobody panics with it");
        out.extend_from_slice(blocks.get(&(no, place.0)).ok_or(Unread::Damaged)?);
        Ok(())
    }
}

/// What is written, beside the disk that is read.
#[derive(Default)]
struct Sink {
    blocks: Vec<(Key, Vec<u8>)>,
    used: Vec<Place>,
    next: u64,
    moving: bool,
}

impl BlockSink for Sink {
    fn begin(&mut self, _: u64) -> Result<(), NotWritten> {
        Ok(())
    }

    fn add(&mut self, no: u64, bytes: &[u8]) -> Result<Place, NotWritten> {
        let mut place = Place::default();
        place.0[..8].copy_from_slice(&self.next.to_le_bytes());
        self.next += 1;
        self.blocks.push(((no, place.0), bytes.to_vec()));
        Ok(place)
    }

    fn uses(&mut self, place: Place) {
        self.used.push(place);
    }

    fn has_to_move(&self, _: Place) -> bool {
        self.moving
    }
}

impl Disk {
    /// A checkpoint of these changes, which is durable: the runs as a start reads them.
    fn checkpoint(&mut self, runs: &Runs, records: Vec<Arc<Records>>) -> Runs {
        let next = self.written as u64;
        let mut sink = Sink { next, moving: self.moving, ..Sink::default() };
        let outgoing = Outgoing { records, runs: runs.clone() };
        let mut state = Vec::new();
        let written = outgoing.write(self, &mut sink, &mut state).expect("all blocks are there");
        let mut blocks = self.blocks.lock().expect("nobody panics with it");
        for (key, bytes) in sink.blocks {
            self.written += bytes.len().max(1);
            blocks.insert(key, bytes);
        }
        blocks.retain(|(_, place), _| sink.used.contains(&Place(*place)));
        self.used = sink.used;
        drop(blocks);
        let read = Runs::read(&state, self).expect("it is read").expect("all blocks are there");
        assert_eq!(read.all.len(), written.all.len());
        assert!(read.all.len() <= RUNS_MAX);
        read
    }

    fn all(&self, runs: &Runs) -> BTreeMap<Vec<u8>, Numbers> {
        let mut merge = Merge::new(self, std::iter::empty(), &runs.all).expect("all blocks are there");
        let mut all = BTreeMap::new();
        while let Some((name, numbers)) = merge.next().expect("all blocks are there") {
            if numbers.count > 0 {
                all.insert(name.to_vec(), numbers);
            }
        }
        all
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn runs_are_what_a_map_is() {
    for seed in 1..60u64 {
        let (mut seed, mut disk) = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), Disk::default());
        let (mut runs, mut map, mut unsettled) = (Runs::default(), BTreeMap::new(), Vec::new());
        for _ in 0..30 {
            let mut records = Records::default();
            for _ in 0..random(&mut seed) % 12 {
                let name = format!("a.{}", random(&mut seed) % 40).into_bytes();
                let first = random(&mut seed) % 1000;
                let numbers = match random(&mut seed) % 3 {
                    0 => Numbers::default(),
                    count => Numbers { first, last: first + count, count },
                };
                records.push(&name, numbers);
                map.insert(name, numbers);
            }
            unsettled.insert(0, Arc::new(records));
            if random(&mut seed).is_multiple_of(4) {
                // This one did not happen.
                continue;
            }
            disk.moving = random(&mut seed).is_multiple_of(8);
            let before: Vec<Place> = disk.used.clone();
            runs = disk.checkpoint(&runs, std::mem::take(&mut unsettled));
            assert!(!disk.moving || before.iter().all(|place| !disk.used.contains(place)));
            map.retain(|_, numbers| numbers.count > 0);
            assert_eq!(disk.all(&runs), map);
            for number in 0..40 {
                let name = format!("a.{number}").into_bytes();
                let found = find(&runs.all, &name, &disk).expect("all blocks are there");
                assert_eq!(found.filter(|numbers| numbers.count > 0), map.get(&name).copied(), "{number}");
            }
        }
    }
}

#[test]
fn a_subject_is_written_a_few_times() {
    let (mut disk, mut runs) = (Disk::default(), Runs::default());
    let mut bytes = 0;
    for round in 0..200u64 {
        let mut records = Records::default();
        for number in 0..50 {
            let seq = round * 50 + number + 1;
            records.push(
                format!("a.{}", seq * 7919 % 10_000).as_bytes(),
                Numbers { first: seq, last: seq, count: 1 },
            );
        }
        bytes += records.bytes() as usize;
        runs = disk.checkpoint(&runs, vec![Arc::new(records)]);
    }
    assert_eq!(disk.all(&runs).len(), 10_000);
    // 200 runs are merged by twos: no more than eight times.
    assert!(disk.written < 8 * bytes, "{} of {bytes}", disk.written);
}

#[test]
fn every_cut_of_the_list_of_runs_is_refused() {
    let (mut disk, mut records) = (Disk::default(), Records::default());
    (1..20).for_each(|seq| {
        records.push(format!("{seq}").as_bytes(), Numbers { first: seq, last: seq, count: 1 })
    });
    let runs = disk.checkpoint(&Runs::default(), vec![Arc::new(records)]);
    let mut state = Vec::new();
    runs.put(&mut state);
    for end in 0..state.len() {
        assert!(Runs::read(&state[..end], &disk).is_err(), "cut at {end}");
    }
}

/// What servers wrote that had no filters on disk.
fn without_filters(runs: &Runs) -> Vec<u8> {
    let mut state = Vec::new();
    put(&mut state, runs.next);
    put(&mut state, runs.all.len() as u64);
    for run in &runs.all {
        let (mut with, mut filter) = (Vec::new(), Vec::new());
        run.put(&mut with);
        run.put_filter(&mut filter);
        state.extend_from_slice(with.strip_suffix(&*filter).expect("the filter stands behind all else"));
    }
    state
}

#[test]
fn a_run_without_its_filter_has_all_and_is_written_anew() {
    let (mut disk, mut records) = (Disk::default(), Records::default());
    let name = |seq: u64| format!("orders.{seq}").into_bytes();
    (1..200).for_each(|seq| records.push(&name(seq), Numbers { first: seq, last: seq, count: 1 }));
    let runs = disk.checkpoint(&Runs::default(), vec![Arc::new(records)]);
    let filters: Vec<Place> = runs.all[0].filter_places().collect();
    assert!(filters.len() > 1);
    let earlier = Runs::read(&without_filters(&runs), &disk).expect("it is read").expect("all is there");
    disk.blocks.lock().expect("nobody panics with it").retain(|(_, place), _| *place != filters[0].0);
    let mut state = Vec::new();
    runs.put(&mut state);
    let damaged = Runs::read(&state, &disk);
    let damaged = damaged.expect("it is read").expect("a start reads no filter");
    let blocks = disk.blocks.lock().expect("nobody panics with it").clone();
    for (runs, is_earlier) in [(earlier, true), (damaged, false)] {
        *disk.blocks.lock().expect("nobody panics with it") = blocks.clone();
        assert_eq!(runs.all[0].has_lost_filter(), is_earlier);
        for seq in 1..200 {
            let found = find(&runs.all, &name(seq), &disk).expect("all blocks are there");
            assert_eq!(found, Some(Numbers { first: seq, last: seq, count: 1 }), "{seq}");
        }
        assert!(runs.all[0].has_lost_filter());
        // Nothing changed, and still the next checkpoint writes it.
        let before = disk.all(&runs);
        let anew = disk.checkpoint(&runs, Vec::new());
        assert!(!anew.all[0].has_lost_filter());
        assert_eq!(disk.all(&anew), before);
        assert_eq!(find(&anew.all, b"none", &disk), Ok(None));
        assert!(!anew.all[0].has_lost_filter(), "all of it is there");
    }
}
