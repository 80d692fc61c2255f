//! A WebSocket (RFC 6455) as the generator's connections use it: upgraded with blocking calls, then read and written as a byte stream.
//!
//! Frames are masked, as clients must, with a key of zeros: the server has the same work, and what is prepared stays as it is.

use anyhow::{Context as _, Result, bail, ensure};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;

/// Bytes of the largest frame that is sent: what client libraries write at once.
const FRAME_BYTES_MAX: usize = 32 * 1024;
/// Frames below this size are not compressed. What client libraries do.
const COMPRESS_BYTES_MIN: usize = 64;
/// What is read at once.
const READ_BYTES: usize = 64 * 1024;
/// The largest answer to an upgrade.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// What ends a compressed message, and is not sent. RFC 7692 §7.2.1.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const OPCODE: u8 = 0x0F;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const MASKED: u8 = 0x80;
const MASK_BYTES: usize = 4;

/// The connection, upgraded.
pub struct WebSocket {
    /// The socket itself.
    pub socket: mio::net::TcpStream,
    /// What was read and not looked at yet.
    raw: Vec<u8>,
    raw_used: usize,
    frame: Frame,
    compression: Option<Box<Compressed>>,
    /// A frame that is partly sent.
    unsent: Vec<u8>,
}

/// The frame that is being read.
#[derive(Default)]
struct Frame {
    left: u64,
    is_control: bool,
    is_last: bool,
}

struct Compressed {
    compress: Compress,
    decompress: Decompress,
    /// The message that is being read is compressed.
    reading: bool,
    inflated: Vec<u8>,
    inflated_used: usize,
    deflated: Vec<u8>,
}

impl WebSocket {
    /// Asks for the upgrade, and with `compression` for compression, with blocking calls. The socket stays blocking.
    ///
    /// Errors: the server refuses either.
    pub fn upgrade(mut stream: TcpStream, host: &str, compression: bool) -> Result<Self> {
        let extension = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let offer =
            if compression { format!("Sec-WebSocket-Extensions: {extension}\r\n") } else { String::new() };
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: ZGlhbHRvbmUgYmVuY2ghIQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        )?;
        let mut raw = Vec::new();
        let end = loop {
            if let Some(at) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            ensure!(raw.len() < ANSWER_BYTES_MAX, "the answer to the upgrade does not end");
            let mut buffer = [0; 1024];
            let bytes = stream.read(&mut buffer).context("waiting for the upgrade")?;
            ensure!(bytes > 0, "the server closed the connection instead of an upgrade");
            raw.extend_from_slice(buffer.get(..bytes).unwrap_or_default());
        };
        let answer = String::from_utf8_lossy(raw.get(..end).unwrap_or_default()).into_owned();
        if !answer.starts_with("HTTP/1.1 101 ") {
            bail!("no WebSocket: {}", answer.lines().next().unwrap_or_default());
        }
        let agreed = answer.to_ascii_lowercase().contains("permessage-deflate");
        ensure!(agreed == compression, "the server does not compress");
        let compression = compression.then(|| {
            Box::new(Compressed {
                compress: Compress::new(Compression::fast(), false),
                decompress: Decompress::new(false),
                reading: false,
                inflated: Vec::new(),
                inflated_used: 0,
                deflated: Vec::new(),
            })
        });
        let socket = mio::net::TcpStream::from_std(stream);
        Ok(Self { socket, raw, raw_used: end, frame: Frame::default(), compression, unsent: Vec::new() })
    }

    fn rest(&self) -> &[u8] {
        self.raw.get(self.raw_used..).unwrap_or_default()
    }

    /// Reads the head of the next frame, if it is whole.
    fn take_head(&mut self) -> io::Result<bool> {
        let (first, length, head) = match *self.rest() {
            [first, length @ 0..=125, ..] => (first, u64::from(length), 2),
            [first, 126, a, b, ..] => (first, u64::from(u16::from_be_bytes([a, b])), 4),
            [first, 127, a, b, c, d, e, f, g, h, ..] => {
                (first, u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10)
            }
            [_, 128..=255, ..] => return Err(io::Error::other("the server masks its frames")),
            _ => return Ok(false),
        };
        self.raw_used += head;
        let opcode = first & OPCODE;
        self.frame = Frame { left: length, is_control: opcode >= CLOSE, is_last: first & FIN != 0 };
        if let Some(compressed) = self.compression.as_mut().filter(|_| opcode == BINARY) {
            compressed.reading = first & COMPRESSED != 0;
        }
        if opcode == CLOSE {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(true)
    }

    /// Takes what is there of the frame's payload into `buffer`, or what was inflated.
    fn take_payload(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.rest().len().min(usize::try_from(self.frame.left).unwrap_or(usize::MAX));
        let is_inflated = self.compression.as_ref().is_some_and(|compressed| compressed.reading);
        let taken = if self.frame.is_control || is_inflated { there } else { there.min(buffer.len()) };
        let payload = self.raw.get(self.raw_used..self.raw_used + taken).unwrap_or_default();
        let mut bytes = 0;
        if self.frame.is_control {
            // A ping wants no answer from a generator: nobody waits so long for it.
        } else if let Some(compressed) = self.compression.as_mut().filter(|_| is_inflated) {
            let is_over = self.frame.is_last && taken as u64 == self.frame.left;
            compressed.inflate(payload, is_over)?;
        } else if let Some(front) = buffer.get_mut(..taken) {
            front.copy_from_slice(payload);
            bytes = taken;
        }
        self.raw_used += taken;
        self.frame.left -= taken as u64;
        Ok(bytes)
    }

    /// Sends frames of `bytes` until the socket takes no more; how much of them is taken. What the socket did not take of the last frame
    /// goes out first next time.
    ///
    /// Errors: the connection is broken.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.write(bytes.get(sent..).unwrap_or_default()) {
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Sends a frame that was begun; true when all of it is gone.
    ///
    /// Errors: the connection is broken.
    pub fn flush_frame(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Read for WebSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(bytes) = self.compression.as_mut().and_then(|compressed| compressed.take(buffer)) {
                return Ok(bytes);
            }
            let has_frame = self.frame.left > 0 || self.take_head()?;
            if has_frame && !self.rest().is_empty() {
                match self.take_payload(buffer)? {
                    0 => continue,
                    bytes => return Ok(bytes),
                }
            }
            let rest = self.raw.len() - self.raw_used;
            self.raw.copy_within(self.raw_used.., 0);
            self.raw.resize(rest + READ_BYTES, 0);
            self.raw_used = 0;
            let read = self.socket.read(self.raw.get_mut(rest..).unwrap_or_default());
            self.raw.truncate(rest + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(0);
            }
        }
    }
}

impl Write for WebSocket {
    /// Takes one frame's worth, and all of it: what the socket does not take at once goes out first next time.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.flush_frame()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = bytes.get(..bytes.len().min(FRAME_BYTES_MAX)).unwrap_or_default();
        let (payload, flag) = match self.compression.as_mut().filter(|_| taken.len() >= COMPRESS_BYTES_MIN) {
            Some(compressed) => (compressed.deflate(taken)?, COMPRESSED),
            None => (taken, 0),
        };
        let mut head = vec![FIN | flag | BINARY];
        match payload.len() {
            short @ 0..=125 => head.push(MASKED | short as u8),
            middle @ 126..=0xFFFF => {
                head.push(MASKED | 126);
                head.extend_from_slice(&(middle as u16).to_be_bytes());
            }
            long => {
                head.push(MASKED | 127);
                head.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        head.extend_from_slice(&[0; MASK_BYTES]);
        let sent = match self.socket.write_vectored(&[IoSlice::new(&head), IoSlice::new(payload)]) {
            Ok(sent) => sent,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        self.unsent.extend_from_slice(head.get(sent..).unwrap_or_default());
        self.unsent.extend_from_slice(payload.get(sent.saturating_sub(head.len())..).unwrap_or_default());
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.flush_frame()? {}
        Ok(())
    }
}

impl Compressed {
    /// Inflated bytes, if there are some.
    fn take(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let rest = self.inflated.get(self.inflated_used..).filter(|rest| !rest.is_empty())?;
        let bytes = rest.len().min(buffer.len());
        buffer.get_mut(..bytes)?.copy_from_slice(rest.get(..bytes)?);
        self.inflated_used += bytes;
        if self.inflated_used == self.inflated.len() {
            self.inflated.clear();
            self.inflated_used = 0;
        }
        Some(bytes)
    }

    fn inflate(&mut self, payload: &[u8], is_over: bool) -> io::Result<()> {
        let pieces = [payload, if is_over { &TAIL } else { &[] }];
        for mut piece in pieces {
            while !piece.is_empty() {
                self.inflated.reserve(READ_BYTES);
                let before = self.decompress.total_in();
                self.decompress.decompress_vec(piece, &mut self.inflated, FlushDecompress::Sync)?;
                piece = piece.get((self.decompress.total_in() - before) as usize..).unwrap_or_default();
            }
        }
        if is_over {
            self.decompress.reset(false);
        }
        Ok(())
    }

    fn deflate(&mut self, bytes: &[u8]) -> io::Result<&[u8]> {
        self.deflated.clear();
        self.deflated.reserve(bytes.len() + READ_BYTES);
        self.compress.reset();
        self.compress
            .compress_vec(bytes, &mut self.deflated, FlushCompress::Sync)
            .map_err(io::Error::other)?;
        Ok(self.deflated.strip_suffix(&TAIL).unwrap_or(&self.deflated))
    }
}
