//! What goes out: one chunk a write.

use super::{CHECKSUM_BYTES, CHUNK_HEAD_BYTES, COMPRESSED, IDENTIFIER, UNCOMPRESSED, masked};
use minlz::s2::Encoder;

/// Bytes of a block at most. Larger ones are little smaller, and are copied for readers that do not read.
const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Blocks smaller than this are compressed `better` where `best` is wanted, whose tables take longer to clear than the rest.
const BEST_FROM_BYTES: usize = 16 * 1024;
/// Room that is kept for the next block.
const BLOCK_ROOM_BYTES: usize = BLOCK_BYTES_MAX;

/// How much is done to compress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Nothing: chunks and checksums only.
    Uncompressed,
    /// Little.
    #[default]
    Fast,
    /// More, for about half the speed.
    Better,
    /// All there is to do.
    Best,
}

/// How bytes of the protocol are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    /// A head was written for so many bytes, which follow it as they are.
    Head(usize),
    /// A whole chunk was written, with so many bytes in it.
    Whole(usize),
}

/// What compressing takes besides the stream: tables, and a block in one piece. One for each thread that writes.
#[derive(Default)]
pub struct Scratch {
    encoder: Encoder,
    block: Vec<u8>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// A stream that is written.
#[derive(Debug)]
pub struct Writer {
    level: Level,
    identified: bool,
}

impl Writer {
    /// A stream that begins.
    pub fn new(level: Level) -> Self {
        Self { level, identified: false }
    }

    /// From the next chunk on so much is done.
    pub fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Frames bytes from the front of `slices`, behind `out`.
    pub fn frame<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]> + Clone,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Framed {
        if !self.identified {
            out.extend_from_slice(IDENTIFIER);
            self.identified = true;
        }
        if self.level == Level::Uncompressed {
            let (crc, bytes) = pieces(slices)
                .fold((0, 0), |(crc, bytes), piece| (crc32c::crc32c_append(crc, piece), bytes + piece.len()));
            head(out, UNCOMPRESSED, masked(crc), bytes);
            return Framed::Head(bytes);
        }
        let mut pieces = pieces(slices).filter(|piece| !piece.is_empty()).peekable();
        let first = pieces.next().unwrap_or_default();
        let Scratch { encoder, block } = scratch;
        let whole = if pieces.peek().is_none() {
            first
        } else {
            block.clear();
            block.extend_from_slice(first);
            pieces.for_each(|piece| block.extend_from_slice(piece));
            block.as_slice()
        };
        chunk(out, whole, self.level, encoder);
        let bytes = whole.len();
        block.shrink_to(BLOCK_ROOM_BYTES);
        Framed::Whole(bytes)
    }
}

/// The front of the slices, as much as one block holds.
fn pieces<'a>(slices: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    slices.scan(BLOCK_BYTES_MAX, |left, slice| {
        let piece = slice.get(..slice.len().min(*left)).unwrap_or_default();
        let goes_on = *left > 0;
        *left -= piece.len();
        goes_on.then_some(piece)
    })
}

/// Appends a block as a chunk: compressed if that saves a 32nd of it, as it is otherwise.
fn chunk(out: &mut Vec<u8>, block: &[u8], level: Level, encoder: &mut Encoder) {
    let crc = masked(crc32c::crc32c(block));
    let compressed = match level {
        Level::Uncompressed => Vec::new(),
        Level::Fast => encoder.encode(block),
        Level::Best if block.len() >= BEST_FROM_BYTES => encoder.encode_best(block),
        Level::Better | Level::Best => encoder.encode_better(block),
    };
    let saves = !compressed.is_empty() && compressed.len() + block.len() / 32 < block.len();
    let (kind, body) = if saves { (COMPRESSED, compressed.as_slice()) } else { (UNCOMPRESSED, block) };
    head(out, kind, crc, body.len());
    out.extend_from_slice(body);
}

/// Appends what stands in front of a block: kind, length and checksum.
fn head(out: &mut Vec<u8>, kind: u8, checksum: u32, block_bytes: usize) {
    const _: () =
        assert!(BLOCK_BYTES_MAX + CHECKSUM_BYTES < 1 << 24, "the length of a chunk has three bytes");
    let [low, middle, high, ..] = ((CHECKSUM_BYTES + block_bytes) as u32).to_le_bytes();
    let head: [u8; CHUNK_HEAD_BYTES] = [kind, low, middle, high];
    out.extend_from_slice(&head);
    out.extend_from_slice(&checksum.to_le_bytes());
}
