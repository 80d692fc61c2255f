//! Compression between servers: streams of S2, the framing of Snappy with larger blocks and a denser format in them.
//!
//! [`Reader`] and [`Writer`] are the two directions of one connection, and independent: each end compresses as it likes, or not at all;
//! whether both do it is agreed on by [`Mode`]s. A stream is chunks: a byte that says of which kind it is, three bytes of length, and a
//! body. The first chunk is an identifier, which may come again anywhere; the official server begins anew with each write. Blocks are
//! compressed and expanded by the crate `minlz`.
//!
//! Invariants: no block is expanded before its size is known and within the bound; what a reader keeps is one chunk, and grows no faster
//! than bytes come. Source: the framing format of Snappy, the format of S2, and streams of the official server (`samples`).

mod agreement;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use agreement::{Agreed, Mode, UnknownMode};
pub use reader::{Decoded, Reader, S2Error};
pub use writer::{Framed, Level, Scratch, Writer};

/// Bytes of a block that every reader of S2 takes. The official server writes at most 1 MiB.
pub const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The identifier of S2 as a chunk.
const IDENTIFIER: &[u8] = b"\xff\x06\x00\x00S2sTwO";
/// What the chunk of an identifier begins with.
const IDENTIFIER_KIND: u8 = 0xff;
const IDENTIFIER_S2: &[u8] = b"S2sTwO";
const IDENTIFIER_SNAPPY: &[u8] = b"sNaPpY";
const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;
/// Kind and length.
const CHUNK_HEAD_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 4;

/// CRC-32C, changed so that a checksum among what is summed up does no harm.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
