//! Files of official servers: the first byte says which, the rest is in it. They are read or refused, within a bounded memory.
#![no_main]

use dialtone_jetstream::official::{Block, FileKey, Index, Of, Record, consumer_state};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, file)) = input.split_first() else { return };
    match kind % 4 {
        0 => {
            let Ok(block) = Block::new("S", 1, file.to_vec()) else { return };
            block.records(&mut |record| {
                if let Record::Message { seq, .. } | Record::Deleted { seq, .. } = record {
                    assert!(seq < 1 << 62);
                }
            });
            _ = block.last_checksum();
        }
        1 => {
            if let Ok(index) = Index::read(file) {
                (0..4096).for_each(|seq| _ = index.has(seq));
                _ = index.has(u64::MAX);
            }
        }
        2 => _ = consumer_state(file),
        _ => assert!(FileKey::open(file, "A", &Of::Block("S", 1), &[b"key"]).is_none()),
    }
});
