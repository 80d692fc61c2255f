//! A connection after its upgrade: bytes of frames in, bytes of the protocol out, and back.

use super::close::{self, INVALID_PAYLOAD, PROTOCOL_ERROR, TOO_BIG};
use super::deflate::{self, InflateError, Inflater};
use super::frame::{self, Agreed, Decoder, FrameError, Opcode, Piece};
use crate::CloseReason;

/// Bytes of the protocol that one frame holds at most: a control frame waits for the end of the frame before it.
const FRAME_BYTES_MAX: usize = 256 * 1024;
/// The same if they are compressed, since they are copied then.
const COMPRESSED_BYTES_MAX: usize = 64 * 1024;
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

/// A connection by WebSocket.
#[derive(Debug)]
pub struct Stream {
    decoder: Decoder,
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
    pub fn new(agreed: Agreed, message_bytes_max: usize) -> Self {
        Self {
            decoder: Decoder::new(agreed),
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
                frame::head(&mut self.pongs, Opcode::Pong, false, payload.len());
                self.pongs.extend_from_slice(payload);
            }
            Opcode::Close => {
                let mut answer = Vec::new();
                match payload {
                    [] => frame::head(&mut answer, Opcode::Close, false, 0),
                    [high, low, text @ ..] if close::is_valid(u16::from_be_bytes([*high, *low])) => {
                        let status = u16::from_be_bytes([*high, *low]);
                        match std::str::from_utf8(text) {
                            Ok(text) => close::encode(&mut answer, status, text),
                            Err(_) => {
                                let text = "invalid utf8 body in close frame";
                                close::encode(&mut answer, INVALID_PAYLOAD, text);
                            }
                        }
                    }
                    _ => return Some(self.invalid(&FrameError::CloseStatus)),
                }
                return Some(self.end(answer, Ended::Closed));
            }
            _ => {}
        }
        None
    }

    fn invalid(&mut self, problem: &FrameError) -> Ended {
        let mut answer = Vec::new();
        close::encode(&mut answer, PROTOCOL_ERROR, &problem.to_string());
        self.end(answer, Ended::Invalid(problem.to_string()))
    }

    fn cannot_inflate(&mut self, problem: InflateError) -> Ended {
        let mut answer = Vec::new();
        let ended = match problem {
            InflateError::TooLarge => {
                close::encode(&mut answer, TOO_BIG, CloseReason::MaxPayloadExceeded.text());
                Ended::TooLarge
            }
            InflateError::Invalid => {
                close::encode(&mut answer, PROTOCOL_ERROR, &problem.to_string());
                Ended::Invalid(problem.to_string())
            }
        };
        self.end(answer, ended)
    }

    fn end(&mut self, farewell: Vec<u8>, ended: Ended) -> Ended {
        self.ended = true;
        self.farewell.get_or_insert(farewell);
        ended
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

    /// The last frame, once: an answer to what the peer sent, or else the one that is wanted.
    pub fn take_farewell(&mut self, wanted: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let farewell = match &mut self.farewell {
            Some(farewell) => farewell,
            none => none.insert(wanted?),
        };
        (!farewell.is_empty()).then(|| std::mem::take(farewell))
    }

    /// Frames bytes from the front of `pieces`: a message of its own, or the head of one.
    pub fn frame<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) -> Framed {
        let total: usize = pieces.clone().map(<[u8]>::len).sum();
        if self.deflate && total > COMPRESS_ABOVE_BYTES {
            let (begin, taken) = (out.len(), total.min(COMPRESSED_BYTES_MAX));
            let some = pieces.scan(taken, |left, piece| {
                let piece = piece.get(..(*left).min(piece.len())).unwrap_or_default();
                *left -= piece.len();
                Some(piece)
            });
            if deflate::deflate(some.filter(|piece| !piece.is_empty()), out) {
                let mut head = Vec::with_capacity(frame::HEAD_BYTES_MAX);
                frame::head(&mut head, Opcode::Binary, true, out.len() - begin);
                out.splice(begin..begin, head);
                return Framed::Whole(taken);
            }
        }
        let bytes = total.min(FRAME_BYTES_MAX);
        frame::head(out, Opcode::Binary, false, bytes);
        Framed::Head(bytes)
    }
}

#[cfg(test)]
mod tests;
