//! Compression of connections between servers: both directions are streams of S2 behind the line by which the two ends agreed on it.

use dialtone_broker::peer::Peer;
use dialtone_config::options::{Compression as Options, CompressionMode};
use dialtone_net::Link;
use dialtone_net::framing::{Decoded, Ended, Framed, Framing, FramingError};
use dialtone_wire::CloseReason;
use dialtone_wire::s2::{
    self, Agreed, BLOCK_BYTES_MAX, Level, Mode, Reader, S2Error, Scratch, UnknownMode, Writer,
};
use std::cell::RefCell;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

thread_local! {
    /// Tables of the compressor, which are large: one for all connections that a thread writes to.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Bytes of a block of whoever has not shown who it is: enough for what is to be said then, and for all that this server writes.
const STRANGE_BLOCK_BYTES_MAX: usize = 64 * 1024;

/// What may be done to what is sent, in the order of the numbers that [`State`] keeps.
const STATES: [Mode; 6] = [
    Mode::NotSupported,
    Mode::Off,
    Mode::At(Level::Uncompressed),
    Mode::At(Level::Fast),
    Mode::At(Level::Better),
    Mode::At(Level::Best),
];

/// What the configuration wants, as INFO says it.
pub(crate) fn wanted(options: &Options) -> Mode {
    match options.mode {
        CompressionMode::NotSupported => Mode::NotSupported,
        CompressionMode::Off => Mode::Off,
        CompressionMode::Accept => Mode::Accept,
        CompressionMode::S2Fast => Mode::At(Level::Fast),
        CompressionMode::S2Better => Mode::At(Level::Better),
        CompressionMode::S2Best => Mode::At(Level::Best),
        CompressionMode::S2Auto => Mode::Auto,
    }
}

/// How what one connection sends is compressed at the moment, and how much that has saved. Shared by its framing, who changes it and who shows
/// it.
#[derive(Debug, Default)]
pub struct State {
    mode: AtomicU8,
    plain_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// The other end has not shown who it is.
    is_strange: AtomicBool,
}

/// Bytes that were sent in S2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// As the protocol has them.
    pub(crate) plain_bytes: u64,
    /// As they went.
    pub(crate) bytes: u64,
}

impl Sent {
    /// How many times less than the protocol's bytes were sent; `None`: nothing was compressed.
    pub(crate) fn ratio(&self) -> Option<f64> {
        (self.bytes > 0).then(|| self.plain_bytes as f64 / self.bytes as f64)
    }
}

impl State {
    fn mode(&self) -> Mode {
        STATES.get(usize::from(self.mode.load(Ordering::Relaxed))).copied().unwrap_or(Mode::NotSupported)
    }

    fn set(&self, mode: Mode) {
        let number = STATES.iter().position(|known| *known == mode).unwrap_or_default();
        self.mode.store(number as u8, Ordering::Relaxed);
    }

    fn level(&self) -> Level {
        match self.mode() {
            Mode::At(level) => level,
            _ => Level::Uncompressed,
        }
    }

    /// Whether the other end has yet to show who it is: of a stranger little is expanded at a time.
    pub(crate) fn set_strange(&self, is_strange: bool) {
        self.is_strange.store(is_strange, Ordering::Relaxed);
    }

    fn block_bytes_max(&self) -> usize {
        if self.is_strange.load(Ordering::Relaxed) { STRANGE_BLOCK_BYTES_MAX } else { BLOCK_BYTES_MAX }
    }

    /// Counts bytes that went. Only the framing does, under the lock of its link.
    fn count(&self, plain_bytes: usize, bytes: usize) {
        self.plain_bytes.fetch_add(plain_bytes as u64, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What went so far.
    pub(crate) fn sent(&self) -> Sent {
        Sent {
            plain_bytes: self.plain_bytes.load(Ordering::Relaxed),
            bytes: self.sent_bytes.load(Ordering::Relaxed),
        }
    }

    /// As monitoring calls it.
    pub(crate) fn text(&self) -> &'static str {
        match self.mode() {
            Mode::NotSupported => "not supported",
            mode => mode.text(),
        }
    }
}

/// Whether a connection goes on as it is when the configuration has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// It does.
    Yes,
    /// Its ends have to agree again, which takes another connection.
    No,
}

/// One connection's compression.
#[derive(Debug, Default)]
pub(crate) struct Compression {
    /// What the configuration said when the ends agreed, and what came of it.
    agreed: Option<(Options, Agreed)>,
    state: Arc<State>,
    begins: bool,
}

impl Compression {
    /// What is done at the moment, for others to see.
    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// What came of both ends' wishes, as INFO says it; `None`: that of the other end is not known yet.
    pub(crate) fn agreed(&self) -> Option<Mode> {
        self.agreed.as_ref().map(|(_, agreed)| agreed.mode())
    }

    /// Whether both ends go on in S2.
    pub(crate) fn is_on(&self) -> bool {
        matches!(self.agreed, Some((_, Agreed::Auto | Agreed::At(_))))
    }

    /// The other end wants `theirs`, as it says in INFO. Whether the connection is to go on in S2.
    ///
    /// # Errors
    /// No such mode is known.
    pub(crate) fn agree(&mut self, options: &Options, theirs: &str) -> Result<bool, UnknownMode> {
        let agreed = wanted(options).agree(Mode::from_text(theirs)?);
        // As if the other end were near, until it is known how far it is.
        self.state.set(outcome(agreed, Duration::ZERO, options));
        self.agreed = Some((options.clone(), agreed));
        Ok(self.is_on())
    }

    /// The other end goes on without, whatever this one wants: it says so, or it knows no compression.
    pub(crate) fn leave_out(&mut self, options: &Options, theirs: &str) {
        let knows_some = Mode::from_text(theirs).is_ok_and(|mode| mode != Mode::NotSupported);
        let agreed = wanted(options).agree(if knows_some { Mode::Off } else { Mode::NotSupported });
        self.state.set(agreed.mode());
        self.agreed = Some((options.clone(), agreed));
    }

    /// The connection goes on in S2 behind what is being read, and behind what waits for the socket. By WebSocket it is the frames that
    /// are compressed, and nothing may wait: whoever does not take the first lines is closed.
    pub(crate) fn begin(&mut self, link: &Link, peer: &Peer) {
        let framing = Box::new(S2Framing::new(self.state.clone()));
        self.begins = link.begin_framing_behind(framing, peer.pending_bytes());
        if !self.begins {
            peer.close(CloseReason::WriteError);
        }
    }

    /// Whether it has begun just now, once.
    pub(crate) fn take_begun(&mut self) -> bool {
        std::mem::take(&mut self.begins)
    }

    /// The round trip took so long.
    pub(crate) fn measured(&self, rtt: Duration) {
        if let Some((options, agreed @ Agreed::Auto)) = &self.agreed {
            self.state.set(outcome(*agreed, rtt, options));
        }
    }

    /// The configuration may have changed. As official servers do it: what this end sends is its own affair.
    pub(crate) fn follow(&mut self, options: &Options, rtt: Duration) -> Followed {
        let Some((known, agreed)) = &mut self.agreed else { return Followed::Yes };
        let wanted = wanted(options);
        if known == options
            || *agreed == Agreed::NotSupported
            || agreed.mode() == wanted && wanted != Mode::Auto
        {
            return Followed::Yes;
        }
        *known = options.clone();
        *agreed = match (&*agreed, wanted) {
            (Agreed::Auto | Agreed::At(_), Mode::Auto) => Agreed::Auto,
            (Agreed::Auto | Agreed::At(_), Mode::At(level)) => Agreed::At(level),
            _ => return Followed::No,
        };
        self.state.set(outcome(*agreed, rtt, options));
        Followed::Yes
    }
}

/// What is done with what was agreed on, at such a distance.
fn outcome(agreed: Agreed, rtt: Duration, options: &Options) -> Mode {
    match agreed {
        Agreed::Auto => Mode::At(Level::by_rtt(rtt, &options.rtt_thresholds)),
        fixed => fixed.mode(),
    }
}

/// The streams of one connection.
struct S2Framing {
    reader: Reader,
    writer: Writer,
    state: Arc<State>,
}

impl S2Framing {
    fn new(state: Arc<State>) -> Self {
        Self { reader: Reader::new(BLOCK_BYTES_MAX), writer: Writer::new(state.level()), state }
    }
}

impl Framing for S2Framing {
    fn decode(&mut self, input: &mut [u8], extra: &mut Vec<u8>) -> Decoded {
        self.reader.set_block_bytes_max(self.state.block_bytes_max());
        let s2::Decoded { used, ended } = self.reader.decode(input, extra);
        let ended = ended.map(|problem| match problem {
            S2Error::TooLarge { .. } => Ended::Broken(FramingError::TooLarge),
            problem => Ended::Broken(FramingError::Invalid(problem.to_string())),
        });
        Decoded { used, plain: 0, ended }
    }

    fn frame(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> Framed {
        self.writer.set_level(self.state.level());
        let slices = slices.iter().map(|slice| &**slice);
        let before = out.len();
        let framed = SCRATCH.with_borrow_mut(|scratch| self.writer.frame(slices, scratch, out));
        let written = out.len() - before;
        match framed {
            s2::Framed::Head(bytes) => {
                self.state.count(bytes, written + bytes);
                Framed::Head(bytes)
            }
            s2::Framed::Whole(bytes) => {
                self.state.count(bytes, written);
                Framed::Whole(bytes)
            }
        }
    }

    fn take_control(&mut self, _: &mut Vec<u8>) {}

    /// A stream just ends.
    fn take_farewell(&mut self, _: Option<&[u8]>) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests;
