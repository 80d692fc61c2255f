//! Archives of streams, of 2.15 and before: the first byte is the size of pieces, the rest what was compressed. They are read or refused, alike in pieces of any size.
#![no_main]

use dialtone_jetstream::backup::BackupReader;
use dialtone_wire::s2;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((size, plain)) = input.split_first() else { return };
    let (mut archive, mut scratch) = (Vec::new(), s2::Scratch::default());
    s2::Writer::new(s2::Level::Fast).frame(std::iter::once(plain), &mut scratch, &mut archive);
    let read = |piece_bytes: usize| {
        let (mut entries, mut reader) = (Vec::new(), BackupReader::new("S", 1 << 20));
        for piece in archive.chunks(piece_bytes) {
            if let Err(error) = reader.read(piece, &mut |entry| entries.push(entry)) {
                return (entries, Err(error));
            }
        }
        (entries, reader.finish())
    };
    assert_eq!(read(usize::from(*size) + 1), read(usize::MAX));
});
