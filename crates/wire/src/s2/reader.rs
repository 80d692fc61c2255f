//! What comes in: chunks, of which any piece may be there.

use super::{
    CHECKSUM_BYTES, CHUNK_HEAD_BYTES, COMPRESSED, IDENTIFIER_KIND, IDENTIFIER_S2, IDENTIFIER_SNAPPY,
    UNCOMPRESSED, masked,
};

/// Expanded bytes after which the caller is to take them before more is expanded. One block may be larger.
const OUT_BYTES: usize = 64 * 1024;
/// Room that is kept for the next chunk that comes in pieces.
const KEPT_ROOM_BYTES: usize = 4 * 1024;
/// Bytes of a block of Snappy.
const SNAPPY_BLOCK_BYTES_MAX: usize = 64 * 1024;

/// What came of bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that were used. If not all were, what came out is to be taken before the others are decoded.
    pub used: usize,
    /// Nothing comes any more, for this reason.
    pub ended: Option<S2Error>,
}

/// Why a stream cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum S2Error {
    /// It does not begin with an identifier, or has another one.
    #[error("no stream of S2")]
    Identifier,
    /// A chunk of a kind that is reserved and may not be skipped.
    #[error("chunk of the reserved kind {0:#04x}")]
    Reserved(u8),
    /// A chunk with a length that none of its kind has.
    #[error("chunk of kind {kind:#04x} with {bytes} bytes")]
    Length {
        /// Of which kind.
        kind: u8,
        /// Its length.
        bytes: usize,
    },
    /// A block is larger than the bound when it is expanded.
    #[error("block of {bytes} bytes, more than {max}")]
    TooLarge {
        /// Bytes of the expanded block.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A block that cannot be expanded.
    #[error("corrupt block")]
    Corrupt,
    /// The checksum of a block is wrong.
    #[error("wrong checksum")]
    Checksum,
}

/// A stream that is read.
#[derive(Debug)]
pub struct Reader {
    /// Bytes of the chunk that has begun, if it was not whole in one piece.
    kept: Vec<u8>,
    /// Bytes that still belong to a chunk that means nothing.
    skip: usize,
    /// Bytes of an expanded block, by the identifier; `None` before that.
    block_bytes_max: Option<usize>,
    /// The same as the owner wants it.
    block_bytes_bound: usize,
    ended: bool,
}

/// What stands at the front of the input.
enum Chunk {
    /// One to look at, with its head.
    Whole { kind: u8, bytes: usize },
    /// One to pass over; so many bytes follow its head.
    Skipped(usize),
    /// Not all of one; the bytes that it has as far as is known.
    Partial(usize),
}

impl Reader {
    /// Of a stream whose blocks have at most so many bytes when expanded: [`super::BLOCK_BYTES_MAX`], or less as long as it is not known
    /// who writes.
    pub fn new(block_bytes_max: usize) -> Self {
        Self {
            kept: Vec::new(),
            skip: 0,
            block_bytes_max: None,
            block_bytes_bound: block_bytes_max,
            ended: false,
        }
    }

    /// From the next chunk on blocks may have so many bytes.
    pub fn set_block_bytes_max(&mut self, bytes: usize) {
        self.block_bytes_bound = bytes;
    }

    /// Expands what is at the front of `input` behind `out`. After an error what comes is passed over.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Decoded {
        if self.ended {
            return Decoded { used: input.len(), ended: None };
        }
        let (mut used, end) = (0, out.len().saturating_add(OUT_BYTES));
        while used < input.len() && out.len() < end {
            let rest = input.get(used..).unwrap_or_default();
            match self.step(rest, out) {
                Ok(bytes) => used += bytes,
                Err(problem) => {
                    self.ended = true;
                    self.kept = Vec::new();
                    return Decoded { used: input.len(), ended: Some(problem) };
                }
            }
        }
        Decoded { used, ended: None }
    }

    /// Uses some bytes of `input`, which is not empty.
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, S2Error> {
        if self.skip > 0 {
            let bytes = self.skip.min(input.len());
            self.skip -= bytes;
            return Ok(bytes);
        }
        if !self.kept.is_empty() {
            return self.step_kept(input, out);
        }
        match self.front(input)? {
            Chunk::Whole { kind, bytes } => {
                let body = input.get(CHUNK_HEAD_BYTES..bytes).unwrap_or_default();
                self.take(kind, body, out)?;
                Ok(bytes)
            }
            Chunk::Skipped(bytes) => {
                self.skip = bytes;
                Ok(CHUNK_HEAD_BYTES)
            }
            Chunk::Partial(_) => {
                self.kept.extend_from_slice(input);
                Ok(input.len())
            }
        }
    }

    /// Keeps what the chunk that has begun still wants, and uses it if it is whole then.
    fn step_kept(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, S2Error> {
        let kept = std::mem::take(&mut self.kept);
        let chunk = self.front(&kept);
        self.kept = kept;
        let Chunk::Partial(bytes) = chunk? else { return Err(S2Error::Corrupt) };
        let missing = input.get(..bytes.saturating_sub(self.kept.len()).min(input.len())).unwrap_or_default();
        self.kept.extend_from_slice(missing);
        let mut kept = std::mem::take(&mut self.kept);
        match self.front(&kept)? {
            Chunk::Whole { kind, bytes } => {
                self.take(kind, kept.get(CHUNK_HEAD_BYTES..bytes).unwrap_or_default(), out)?;
                kept.clear();
                kept.shrink_to(KEPT_ROOM_BYTES);
            }
            Chunk::Skipped(bytes) => {
                self.skip = bytes;
                kept.clear();
            }
            Chunk::Partial(_) => {}
        }
        self.kept = kept;
        Ok(missing.len())
    }

    /// What chunk `input` begins with. Its length is checked before its body is waited for.
    fn front(&self, input: &[u8]) -> Result<Chunk, S2Error> {
        let [kind, low, middle, high, ..] = *input else { return Ok(Chunk::Partial(CHUNK_HEAD_BYTES)) };
        let bytes = u32::from_le_bytes([low, middle, high, 0]) as usize;
        let wrong = Err(S2Error::Length { kind, bytes });
        match (kind, self.block_bytes_max) {
            (IDENTIFIER_KIND, _) if bytes != IDENTIFIER_S2.len() => return wrong,
            (IDENTIFIER_KIND, _) => {}
            (_, None) => return Err(S2Error::Identifier),
            (COMPRESSED | UNCOMPRESSED, Some(_)) => {
                let block_bytes_max = self.block_bytes_max();
                // What a block grows to at most when it cannot be compressed.
                let most = block_bytes_max + block_bytes_max / 6 + 32;
                if bytes < CHECKSUM_BYTES {
                    return wrong;
                }
                if bytes - CHECKSUM_BYTES > most {
                    return Err(S2Error::TooLarge { bytes: bytes - CHECKSUM_BYTES, max: block_bytes_max });
                }
            }
            (0x80.., Some(_)) => return Ok(Chunk::Skipped(bytes)),
            (_, Some(_)) => return Err(S2Error::Reserved(kind)),
        }
        let bytes = CHUNK_HEAD_BYTES + bytes;
        Ok(if input.len() >= bytes { Chunk::Whole { kind, bytes } } else { Chunk::Partial(bytes) })
    }

    /// Bytes that an expanded block may have.
    fn block_bytes_max(&self) -> usize {
        self.block_bytes_max.unwrap_or_default().min(self.block_bytes_bound)
    }

    /// Uses a whole chunk.
    fn take(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> Result<(), S2Error> {
        if kind == IDENTIFIER_KIND {
            self.block_bytes_max = Some(match body {
                IDENTIFIER_S2 => super::BLOCK_BYTES_MAX,
                IDENTIFIER_SNAPPY => SNAPPY_BLOCK_BYTES_MAX,
                _ => return Err(S2Error::Identifier),
            });
            return Ok(());
        }
        let Some((checksum, block)) = body.split_first_chunk::<CHECKSUM_BYTES>() else {
            return Err(S2Error::Corrupt);
        };
        let max = self.block_bytes_max();
        let begin = out.len();
        if kind == COMPRESSED {
            let (bytes, _) = minlz::s2::decode_len(block).map_err(|_| S2Error::Corrupt)?;
            if bytes > max {
                return Err(S2Error::TooLarge { bytes, max });
            }
            out.resize(begin + bytes, 0);
            let room = out.get_mut(begin..).unwrap_or_default();
            if minlz::s2::decode_into(room, block) != Ok(bytes) {
                out.truncate(begin);
                return Err(S2Error::Corrupt);
            }
        } else {
            if block.len() > max {
                return Err(S2Error::TooLarge { bytes: block.len(), max });
            }
            out.extend_from_slice(block);
        }
        if masked(crc32c::crc32c(out.get(begin..).unwrap_or_default())) != u32::from_le_bytes(*checksum) {
            out.truncate(begin);
            return Err(S2Error::Checksum);
        }
        Ok(())
    }

    /// Bytes that it has room for.
    #[cfg(test)]
    pub(super) fn kept_room(&self) -> usize {
        self.kept.capacity()
    }
}
