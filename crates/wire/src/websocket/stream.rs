//! A connection after its upgrade: bytes of frames in, bytes of the protocol out, and back.

use super::close::{self, INVALID_PAYLOAD, PROTOCOL_ERROR, TOO_BIG};
use super::deflate::{self, InflateError, Inflater};
use super::frame::{self, Agreed, Decoder, FrameError, Opcode, Piece};
use crate::CloseReason;

/// Bytes of the protocol that one frame holds at most: a control frame waits for the end of the frame before it.
const FRAME_BYTES_MAX: usize = 256 * 1024;
/// The same if they are compressed or masked, since they are copied then.
const COPIED_BYTES_MAX: usize = 64 * 1024;
/// So many bytes go without compression. The official figure.
const COMPRESS_ABOVE_BYTES: usize = 64;
/// Bytes of PONGs that wait for a peer that does not read; to more PINGs there is no answer.
const PONG_BYTES_MAX: usize = 1024;

/// What came of bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that were used.
    pub used: usize,
    /// Bytes of the protocol that stand at the front of the input now. What was inflated follows them.
    pub plain: usize,
    /// Nothing comes any more.
    pub ended: Option<Ended>,
}

/// Why nothing comes any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer said so.
    Closed,
    /// What came are no frames; the text says why.
    Invalid(String),
    /// A message is too large.
    TooLarge,
}

/// How bytes of the protocol are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    /// A head was written for so many bytes, which follow it as they are.
    Head(usize),
    /// A whole frame was written, with so many bytes in it.
    Whole(usize),
}

/// How this end masks what it sends.
#[derive(Clone, Copy, Debug)]
pub enum Masking {
    /// Not at all: it is the server, or the ends agreed on that.
    Off,
    /// With what this returns, another key for each frame: whoever chose the payload must not be able to guess it (RFC 6455 §10.3).
    Keys(fn() -> [u8; 4]),
}

impl Masking {
    fn key(self) -> Option<[u8; 4]> {
        match self {
            Self::Off => None,
            Self::Keys(next) => Some(next()),
        }
    }
}

/// A connection by WebSocket.
#[derive(Debug)]
pub struct Stream {
    decoder: Decoder,
    masking: Masking,
    inflater: Inflater,
    deflate: bool,
    message_bytes_max: usize,
    pongs: Vec<u8>,
    /// The last frame. Only the first that is said is sent.
    farewell: Option<Vec<u8>>,
    ended: bool,
}

impl Stream {
    /// A connection on which this was agreed. No message may be larger than `message_bytes_max` when it is inflated.
    pub fn new(agreed: Agreed, masking: Masking, message_bytes_max: usize) -> Self {
        Self {
            decoder: Decoder::new(agreed),
            masking,
            inflater: Inflater::default(),
            deflate: agreed.deflate,
            message_bytes_max,
            pongs: Vec::new(),
            farewell: None,
            ended: false,
        }
    }

    /// Decodes from the front of `input`, in place; what was compressed goes to `inflated`, which is empty. Not all of the input may
    /// be used: then what came out of it is to be taken first.
    pub fn decode(&mut self, input: &mut [u8], inflated: &mut Vec<u8>) -> Decoded {
        let mut out = Decoded::default();
        while out.used < input.len() && out.ended.is_none() {
            if self.ended {
                out.used = input.len();
                break;
            }
            let rest = input.get_mut(out.used..).unwrap_or_default();
            let (used, piece) = match self.decoder.next(rest) {
                Ok(read) => read,
                Err(problem) => {
                    out.ended = Some(self.invalid(&problem));
                    break;
                }
            };
            let begin = out.used;
            out.used += used;
            match piece {
                None => {}
                Some(Piece::Data { at, compressed: false, .. }) => {
                    let bytes = at.len();
                    if begin + at.start > out.plain {
                        input.copy_within(begin + at.start..begin + at.end, out.plain);
                    }
                    out.plain += bytes;
                }
                Some(Piece::Data { at, last, .. }) => {
                    let bytes = rest.get(at).unwrap_or_default();
                    match self.inflater.inflate(bytes, last, self.message_bytes_max, inflated) {
                        Ok(()) => return out,
                        Err(problem) => out.ended = Some(self.cannot_inflate(problem)),
                    }
                }
                Some(Piece::Control(opcode)) => out.ended = self.control(opcode),
            }
        }
        out
    }

    fn control(&mut self, opcode: Opcode) -> Option<Ended> {
        let payload = self.decoder.control();
        match opcode {
            Opcode::Ping if self.pongs.len() < PONG_BYTES_MAX => {
                frame::control(&mut self.pongs, Opcode::Pong, payload, self.masking.key());
            }
            Opcode::Close => {
                let answer = match payload {
                    [] => Vec::new(),
                    [high, low, text @ ..] if close::is_valid(u16::from_be_bytes([*high, *low])) => {
                        match std::str::from_utf8(text) {
                            Ok(text) => close::encode(u16::from_be_bytes([*high, *low]), text),
                            Err(_) => close::encode(INVALID_PAYLOAD, "invalid utf8 body in close frame"),
                        }
                    }
                    _ => return Some(self.invalid(&FrameError::CloseStatus)),
                };
                return Some(self.end(&answer, Ended::Closed));
            }
            _ => {}
        }
        None
    }

    fn invalid(&mut self, problem: &FrameError) -> Ended {
        let text = problem.to_string();
        self.end(&close::encode(PROTOCOL_ERROR, &text), Ended::Invalid(text))
    }

    fn cannot_inflate(&mut self, problem: InflateError) -> Ended {
        match problem {
            InflateError::TooLarge => {
                let text = CloseReason::MaxPayloadExceeded.text();
                self.end(&close::encode(TOO_BIG, text), Ended::TooLarge)
            }
            InflateError::Invalid => {
                let text = problem.to_string();
                self.end(&close::encode(PROTOCOL_ERROR, &text), Ended::Invalid(text))
            }
        }
    }

    /// Nothing is decoded any more; this is what the last frame will hold, if none was sent.
    fn end(&mut self, farewell: &[u8], ended: Ended) -> Ended {
        self.ended = true;
        if self.farewell.is_none() {
            self.farewell = Some(self.close_frame(farewell));
        }
        ended
    }

    fn close_frame(&self, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame::control(&mut frame, Opcode::Close, payload, self.masking.key());
        frame
    }

    /// Moves frames that go between others, such as a PONG, behind `out`.
    pub fn take_control(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.pongs);
        if self.pongs.capacity() > 0 {
            self.pongs = Vec::new();
        }
    }

    /// Whether such frames wait.
    pub fn has_control(&self) -> bool {
        !self.pongs.is_empty()
    }

    /// The last frame, once: an answer to what the peer sent, or else one that holds what is wanted.
    pub fn take_farewell(&mut self, wanted: Option<&[u8]>) -> Option<Vec<u8>> {
        if self.farewell.is_none() {
            self.farewell = Some(self.close_frame(wanted?));
        }
        let frame = std::mem::take(self.farewell.as_mut()?);
        (!frame.is_empty()).then_some(frame)
    }

    /// Frames bytes from the front of `pieces`: a message of its own, or the head of one.
    pub fn frame<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) -> Framed {
        let total: usize = pieces.clone().map(<[u8]>::len).sum();
        let key = self.masking.key();
        if self.deflate && total > COMPRESS_ABOVE_BYTES {
            let (begin, taken) = (out.len(), total.min(COPIED_BYTES_MAX));
            if deflate::deflate(front(pieces.clone(), taken), out) {
                frame::mask_payload(out.get_mut(begin..).unwrap_or_default(), key);
                let mut head = Vec::with_capacity(frame::HEAD_BYTES_MAX);
                frame::head(&mut head, Opcode::Binary, true, out.len() - begin, key);
                out.splice(begin..begin, head);
                return Framed::Whole(taken);
            }
        }
        if key.is_none() {
            let bytes = total.min(FRAME_BYTES_MAX);
            frame::head(out, Opcode::Binary, false, bytes, None);
            return Framed::Head(bytes);
        }
        let bytes = total.min(COPIED_BYTES_MAX);
        frame::head(out, Opcode::Binary, false, bytes, key);
        let begin = out.len();
        front(pieces, bytes).for_each(|piece| out.extend_from_slice(piece));
        frame::mask_payload(out.get_mut(begin..).unwrap_or_default(), key);
        Framed::Whole(bytes)
    }
}

/// The first `bytes` of `pieces`, in pieces that are not empty.
fn front<'a>(pieces: impl Iterator<Item = &'a [u8]>, bytes: usize) -> impl Iterator<Item = &'a [u8]> {
    let mut left = bytes;
    let cut = pieces.map(move |piece| {
        let piece = piece.get(..left.min(piece.len())).unwrap_or_default();
        left -= piece.len();
        piece
    });
    cut.filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests;
