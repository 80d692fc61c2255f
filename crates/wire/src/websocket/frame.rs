//! Frames: their heads, read a byte at a time if need be, and what may follow what.

use super::mask::mask;
use std::ops::Range;

/// Bytes of a control frame's payload. RFC 6455 §5.5.
pub const CONTROL_BYTES_MAX: usize = 125;
/// Bytes of a head with a key, as clients write it.
pub const HEAD_BYTES_MAX: usize = 14;

/// Bytes of a compressed message that are handed out at once: a thousand times as much may come out of them.
const COMPRESSED_PIECE_BYTES: usize = 1024;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation = 0,
    /// A message of text.
    Text = 1,
    /// A message of bytes.
    Binary = 2,
    /// The last frame.
    Close = 8,
    /// A question whether the other end is there.
    Ping = 9,
    /// The answer.
    Pong = 10,
}

impl Opcode {
    fn of(byte: u8) -> Option<Self> {
        use Opcode as O;
        [O::Continuation, O::Text, O::Binary, O::Close, O::Ping, O::Pong]
            .into_iter()
            .find(|opcode| *opcode as u8 == byte & 0x0F)
    }

    fn is_control(self) -> bool {
        self as u8 >= Self::Close as u8
    }
}

/// What is wrong with a frame. The texts are the official server's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The peer must mask.
    #[error("mask bit missing")]
    NotMasked,
    /// The peer said that it does not mask.
    #[error("unexpected mask bit")]
    Masked,
    /// A control frame is too long.
    #[error("control frame length bigger than maximum allowed of {CONTROL_BYTES_MAX} bytes")]
    LongControl,
    /// A control frame is cut.
    #[error("control frame does not have final bit set")]
    CutControl,
    /// A message begins inside another.
    #[error("new message started before final frame for previous message was received")]
    MessageInMessage,
    /// There is no message that goes on, or only its first frame may say that it is compressed.
    #[error("invalid continuation frame")]
    Continuation,
    /// No such frame.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// Bits that mean nothing.
    #[error("reserved bits set")]
    Reserved,
    /// Compression was not agreed.
    #[error("compressed message but permessage-deflate was not negotiated")]
    NotNegotiated,
    /// A close frame with half a status, or one that must not stand in a frame.
    #[error("invalid close status")]
    CloseStatus,
    /// A length that is negative.
    #[error("invalid frame length")]
    Length,
}

/// What was agreed about the frames of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// It masks.
    pub masked: bool,
    /// Its messages may be compressed.
    pub deflate: bool,
}

/// A piece of what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of a message, unmasked, at this place of the input.
    Data {
        /// Where they stand.
        at: Range<usize>,
        /// They are compressed.
        compressed: bool,
        /// The message ends with them.
        last: bool,
    },
    /// A whole control frame; its payload is [`Decoder::control`].
    Control(Opcode),
}

/// Where the decoder is in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    None,
    Plain,
    Compressed,
}

/// Reads frames from bytes, however they are cut.
#[derive(Debug)]
pub struct Decoder {
    agreed: Agreed,
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: u8,
    /// The frame whose payload comes, if its head is whole.
    frame: Option<Opcode>,
    is_final: bool,
    key: [u8; 4],
    /// Bytes of the payload so far, and those that are left.
    payload_at: u64,
    payload_left: u64,
    message: Message,
    control: Vec<u8>,
}

impl Decoder {
    /// For a connection on which this was agreed.
    pub fn new(agreed: Agreed) -> Self {
        Self {
            agreed,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            frame: None,
            is_final: true,
            key: [0; 4],
            payload_at: 0,
            payload_left: 0,
            message: Message::None,
            control: Vec::new(),
        }
    }

    /// The payload of the last control frame.
    pub fn control(&self) -> &[u8] {
        &self.control
    }

    /// Reads from the front of `input` up to the end of a frame, or all of it. How much was read, and what it was; nothing if more
    /// is needed. Of a compressed message little is handed out at once.
    ///
    /// # Errors
    /// The bytes are no frames. Nothing must be decoded after that.
    pub fn next(&mut self, input: &mut [u8]) -> Result<(usize, Option<Piece>), FrameError> {
        let mut used = 0;
        let opcode = match self.frame {
            Some(opcode) => opcode,
            None => match self.read_head(input, &mut used)? {
                Some(opcode) => opcode,
                None => return Ok((used, None)),
            },
        };
        let rest = input.get_mut(used..).unwrap_or_default();
        let bytes = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(rest.len());
        let is_compressed = self.message == Message::Compressed && !opcode.is_control();
        let bytes = if is_compressed { bytes.min(COMPRESSED_PIECE_BYTES) } else { bytes };
        let payload = rest.get_mut(..bytes).unwrap_or_default();
        if self.agreed.masked {
            mask(payload, self.key, (self.payload_at % 4) as usize);
        }
        self.payload_at += bytes as u64;
        self.payload_left -= bytes as u64;
        let is_whole = self.payload_left == 0;
        if is_whole {
            self.frame = None;
        }
        if opcode.is_control() {
            self.control.extend_from_slice(payload);
            return Ok((used + bytes, is_whole.then_some(Piece::Control(opcode))));
        }
        if !is_whole && bytes == 0 {
            return Ok((used, None));
        }
        let last = is_whole && self.is_final;
        if last {
            self.message = Message::None;
        }
        Ok((used + bytes, Some(Piece::Data { at: used..used + bytes, compressed: is_compressed, last })))
    }

    /// Reads the head of a frame. The frame, if it is whole.
    fn read_head(&mut self, input: &[u8], used: &mut usize) -> Result<Option<Opcode>, FrameError> {
        loop {
            let have = usize::from(self.head_bytes);
            let want = self.head_want();
            if have >= want {
                break;
            }
            let fresh = input.get(*used..).unwrap_or_default();
            let take = (want - have).min(fresh.len());
            if take == 0 {
                return Ok(None);
            }
            if let (Some(to), Some(from)) = (self.head.get_mut(have..have + take), fresh.get(..take)) {
                to.copy_from_slice(from);
            }
            *used += take;
            self.head_bytes += take as u8;
            if have < 2 && self.head_bytes >= 2 {
                self.check_head()?;
            }
        }
        self.begin_frame().map(Some)
    }

    /// Bytes of the head, as far as they can be known.
    fn head_want(&self) -> usize {
        if self.head_bytes < 2 {
            return 2;
        }
        let [_, second, ..] = self.head;
        let length = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.agreed.masked { 4 } else { 0 }
    }

    /// Whether the first two bytes of a head may stand where they do.
    fn check_head(&mut self) -> Result<(), FrameError> {
        let [first, second, ..] = self.head;
        let opcode = Opcode::of(first).ok_or(FrameError::Opcode(first & 0x0F))?;
        match (self.agreed.masked, second & MASKED != 0) {
            (true, false) => return Err(FrameError::NotMasked),
            (false, true) => return Err(FrameError::Masked),
            _ => {}
        }
        if first & RESERVED != 0 {
            return Err(FrameError::Reserved);
        }
        let (is_final, compressed) = (first & FINAL != 0, first & COMPRESSED != 0);
        match opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                if usize::from(second & !MASKED) > CONTROL_BYTES_MAX {
                    return Err(FrameError::LongControl);
                }
                if !is_final {
                    return Err(FrameError::CutControl);
                }
                if compressed {
                    return Err(FrameError::Reserved);
                }
            }
            Opcode::Text | Opcode::Binary => {
                if self.message != Message::None {
                    return Err(FrameError::MessageInMessage);
                }
                if compressed && !self.agreed.deflate {
                    return Err(FrameError::NotNegotiated);
                }
            }
            Opcode::Continuation => {
                if self.message == Message::None || compressed {
                    return Err(FrameError::Continuation);
                }
            }
        }
        Ok(())
    }

    /// The head is whole: what it says holds from here on.
    fn begin_frame(&mut self) -> Result<Opcode, FrameError> {
        let [first, second, rest @ ..] = self.head;
        let (length, rest) = match second & !MASKED {
            126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => {
                let [a, b, c, d, e, f, g, h, ..] = rest;
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), &rest[8..])
            }
            length => (u64::from(length), &rest[..]),
        };
        // The most significant bit is 0. RFC 6455 §5.2.
        if length > i64::MAX as u64 {
            return Err(FrameError::Length);
        }
        if let (true, Some(key)) = (self.agreed.masked, rest.first_chunk()) {
            self.key = *key;
        }
        let opcode = Opcode::of(first).ok_or(FrameError::Opcode(first & 0x0F))?;
        (self.head_bytes, self.payload_at, self.payload_left) = (0, 0, length);
        self.frame = Some(opcode);
        if opcode.is_control() {
            self.control.clear();
            return Ok(opcode);
        }
        self.is_final = first & FINAL != 0;
        if opcode != Opcode::Continuation {
            self.message = if first & COMPRESSED != 0 { Message::Compressed } else { Message::Plain };
        }
        Ok(opcode)
    }
}

/// Appends the head of a frame that is a whole message or control frame. With a key the payload has to be masked ([`mask_payload`]).
pub fn head(out: &mut Vec<u8>, opcode: Opcode, compressed: bool, bytes: usize, key: Option<[u8; 4]>) {
    let masked = if key.is_some() { MASKED } else { 0 };
    out.push(FINAL | opcode as u8 | if compressed { COMPRESSED } else { 0 });
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(bytes @ ..126), _) => out.push(masked | bytes),
        (_, Ok(bytes)) => {
            out.push(masked | 126);
            out.extend_from_slice(&bytes.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(key.as_ref().map_or(&[], |key| key.as_slice()));
}

/// Masks a whole payload, if there is a key.
pub fn mask_payload(payload: &mut [u8], key: Option<[u8; 4]>) {
    if let Some(key) = key {
        mask(payload, key, 0);
    }
}

/// Appends a control frame.
pub fn control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) {
    head(out, opcode, false, payload.len(), key);
    let begin = out.len();
    out.extend_from_slice(payload);
    mask_payload(out.get_mut(begin..).unwrap_or_default(), key);
}
