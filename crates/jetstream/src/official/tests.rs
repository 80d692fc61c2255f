//! Files of the official server 2.15.0, whole, cut and with flipped bits.

use super::*;
use crate::json::{Strictness, from_slice};

/// A stream of 21 messages, of which the seventh was deleted.
const BLOCK: &[u8] = include_bytes!("../../tests/official-1.blk");
/// A consumer that delivered seven and has two of them pending.
const STATE: &[u8] = include_bytes!("../../tests/official-o.dat");

/// Sequences of messages, sequences deleted, damaged bytes.
fn read(bytes: &[u8]) -> (Vec<u64>, Vec<u64>, usize) {
    let block = Block::new("FILE", 1, bytes.to_vec()).unwrap();
    let (mut seqs, mut deleted, mut damaged) = (Vec::new(), Vec::new(), 0);
    block.records(&mut |record| match record {
        Record::Message { seq, .. } => seqs.push(seq),
        Record::Deleted { seq, .. } => deleted.push(seq),
        Record::Damaged { bytes, .. } => damaged += bytes,
    });
    (seqs, deleted, damaged)
}

#[test]
fn a_block_is_read_whole() {
    // It was erased where it stood, and a record says so besides.
    assert_eq!(read(BLOCK), ((1..=21).filter(|seq| *seq != 7).collect(), vec![7, 7], 0));
    let block = Block::new("FILE", 1, BLOCK.to_vec()).unwrap();
    let mut first = None;
    block.records(&mut |record| {
        if let Record::Message { seq: 1, headers, payload, .. } = record {
            first = Some((headers.to_vec(), payload.to_vec()));
        }
    });
    let (headers, payload) = first.unwrap();
    assert!(headers.starts_with(b"NATS/1.0\r\n") && headers.ends_with(b"\r\n\r\n"));
    assert_eq!(payload, b"hello 1");
}

#[test]
fn every_cut_and_every_flip_is_seen() {
    let whole = read(BLOCK);
    let mut boundaries = 0;
    for end in 0..BLOCK.len() {
        let (seqs, deleted, damaged) = read(&BLOCK[..end]);
        assert!(whole.0.starts_with(&seqs) && whole.1.starts_with(&deleted), "{end}");
        boundaries += usize::from(damaged == 0);
    }
    assert_eq!(boundaries, whole.0.len() + whole.1.len(), "a cut within a record is seen");
    for at in 0..BLOCK.len() {
        let mut flipped = BLOCK.to_vec();
        flipped[at] ^= 1 << (at % 8);
        let (seqs, deleted, damaged) = read(&flipped);
        // The checksum does not cover where the subject ends, and where headers do; so a record may say something else, but is there.
        assert!(damaged > 0 || (seqs.len(), deleted.len()) == (20, 2), "{at}");
    }
}

#[test]
fn another_key_is_damage() {
    let block = Block::new("FILE", 2, BLOCK.to_vec()).unwrap();
    block.records(&mut |record| assert!(matches!(record, Record::Damaged { .. })));
}

#[test]
fn a_consumer_is_read_and_cuts_are_refused() {
    let state = consumer_state(STATE).unwrap();
    assert_eq!((state.delivered.consumer_seq, state.delivered.stream_seq), (7, 7));
    assert_eq!((state.ack_floor.consumer_seq, state.ack_floor.stream_seq), (5, 5));
    // The seventh was deleted.
    assert_eq!(state.pending.0.keys().copied().collect::<Vec<_>>(), [6]);
    for end in 1..STATE.len() {
        assert!(consumer_state(&STATE[..end]).is_err(), "{end}");
    }
    assert_eq!(consumer_state(b""), Ok(Default::default()));
    assert_eq!(
        consumer_state(&[22, 2, 0, 0, 0, 0, 0xff, 0xff, 0x7f]),
        Err(MalformedState),
        "a count is no allocation"
    );
}

#[test]
fn what_a_stream_is_is_read_with_its_checksum() {
    let meta = br#"{"Created":"2026-11-30T01:50:43.087883877Z","name":"FILE","subjects":["file.\u003e"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"compression":"none","allow_direct":true,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"metadata":{"_nats.req.level":"0"}}"#;
    let mut file = StreamFile::default();
    from_slice(meta, StreamFile::GO, Strictness::Lax, &mut file).unwrap();
    assert_eq!((&*file.config.name, &*file.config.subjects[0]), ("FILE", "file.>"));
    assert_eq!(meta_sum("FILE", meta), "f1490b36dc1aee99");
}

/// A stream of 30 messages, of which a limit took the first ten, and three were deleted. The limit is no more.
const INDEX: &[u8] = include_bytes!("../../tests/official-index.db");
const INDEX_BLOCK: &[u8] = include_bytes!("../../tests/official-index.blk");

fn sequences(index: &Index) -> Vec<u64> {
    (0..64).filter(|seq| index.has(*seq)).collect()
}

fn left() -> Vec<u64> {
    (11..=30).filter(|seq| ![15, 16, 22].contains(seq)).collect()
}

#[test]
fn an_index_knows_what_limits_took() {
    let index = Index::read(Index::checked("S", INDEX).unwrap()).unwrap();
    assert_eq!(sequences(&index), left());
    let block = Block::new("S", 1, INDEX_BLOCK.to_vec()).unwrap();
    assert_eq!((index.last_file, Some(index.last_checksum)), (1, block.last_checksum()));
    assert_eq!(Index::checked("T", INDEX), Err(MalformedIndex));
    for at in 0..INDEX.len() {
        let mut flipped = INDEX.to_vec();
        flipped[at] ^= 1;
        assert_eq!(Index::checked("S", &flipped), Err(MalformedIndex), "{at}");
        // Whoever makes the checksum right says something else, or nothing.
        let read = Index::read(&flipped[..INDEX.len() - 8]);
        assert!(read.is_err() || read.is_ok_and(|index| sequences(&index).len() <= 64));
    }
    let whole = &INDEX[..INDEX.len() - 8];
    for end in 0..whole.len() {
        assert_eq!(Index::read(&whole[..end]), Err(MalformedIndex), "{end}");
    }
    assert_eq!(Index::read(&[11, 4, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]), Err(MalformedIndex));
}

/// The same stream with a consumer that was given three, encrypted: `meta.key`, `meta.inf`, `1.key`, `1.blk`, `index.db` of the stream, `meta.key`
/// and `o.dat` of the consumer, each behind its length.
const SEALED: [&[u8]; 2] =
    [include_bytes!("../../tests/official-aes.files"), include_bytes!("../../tests/official-cha.files")];
const KEY: &[u8] = b"s3cr3t-of-the-official-server";

fn files(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (file, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        out.push(file);
        bytes = rest;
    }
    out
}

#[test]
fn what_is_encrypted_opens_by_its_key() {
    for sealed in SEALED {
        let files = files(sealed);
        let [meta_key, meta, block_key, block, index, consumer_key, state] = files[..] else { panic!() };
        let keys: &[&[u8]] = &[b"another", KEY];
        let key = FileKey::open(meta_key, "A", &Of::Stream("S"), keys).unwrap();
        let mut file = StreamFile::default();
        from_slice(&key.open_file(meta).unwrap(), StreamFile::GO, Strictness::Lax, &mut file).unwrap();
        assert_eq!(&*file.config.name, "S");
        let index = key.open_file(Index::checked("S", index).unwrap()).unwrap();
        assert_eq!(sequences(&Index::read(&index).unwrap()), left());
        let mut block = block.to_vec();
        FileKey::open(block_key, "A", &Of::Block("S", 1), keys).unwrap().open_block(&mut block);
        let block = Block::new("S", 1, block).unwrap();
        let mut seqs = Vec::new();
        block.records(&mut |record| match record {
            Record::Message { seq, .. } => seqs.push(seq),
            Record::Deleted { .. } => {}
            Record::Damaged { .. } => panic!("{record:?}"),
        });
        assert_eq!(seqs, (1..=30).collect::<Vec<_>>());
        let key = FileKey::open(consumer_key, "A", &Of::Consumer("S", "C"), keys).unwrap();
        assert_eq!(consumer_state(&key.open_file(state).unwrap()).unwrap().delivered.consumer_seq, 3);
        // Another account, name, number or key, and what is cut or changed.
        assert!(FileKey::open(meta_key, "B", &Of::Stream("S"), keys).is_none());
        assert!(FileKey::open(meta_key, "A", &Of::Stream("T"), keys).is_none());
        assert!(FileKey::open(block_key, "A", &Of::Block("S", 2), keys).is_none());
        assert!(FileKey::open(meta_key, "A", &Of::Stream("S"), &keys[..1]).is_none());
        for end in 0..meta_key.len() {
            assert!(FileKey::open(&meta_key[..end], "A", &Of::Stream("S"), keys).is_none());
        }
        for end in 0..state.len() {
            assert!(key.open_file(&state[..end]).is_none());
            let mut flipped = state.to_vec();
            flipped[end] ^= 1;
            assert!(key.open_file(&flipped).is_none());
        }
    }
}
