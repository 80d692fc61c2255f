//! A connection inside the process without a file descriptor: two buffers, and two ends that are told when there is something to do.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::sync::{Arc, OnceLock};

/// Bytes that wait for an end to read them; then the other end waits, as at a socket.
const WAITING_BYTES_MAX: usize = 256 * 1024;
/// Room that is kept for what comes next.
const SPARE_BYTES_MAX: usize = 4 * 1024;

/// What an end may find at its pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signal {
    /// There are bytes, or the end of them, where there were none.
    pub(crate) is_readable: bool,
    /// There is room again where there was none.
    pub(crate) is_writable: bool,
    /// The other end is gone.
    pub(crate) is_over: bool,
}

type Watcher = Box<dyn Fn(Signal) + Send + Sync>;

/// Bytes on their way in one direction.
#[derive(Default)]
struct Direction {
    bytes: VecDeque<u8>,
    /// Nothing comes behind these.
    is_ended: bool,
    /// Nobody reads them any more.
    is_unread: bool,
    /// The writer was told to wait.
    is_full: bool,
}

#[derive(Default)]
struct Shared {
    /// To each end.
    to: [Mutex<Direction>; 2],
    watchers: [OnceLock<Watcher>; 2],
}

/// One end of a pipe. It is shut down when it is dropped.
pub struct PipeEnd {
    shared: Arc<Shared>,
    side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    One,
    Other,
}

impl Side {
    fn opposite(self) -> Self {
        match self {
            Self::One => Self::Other,
            Self::Other => Self::One,
        }
    }

    fn of<T>(self, both: &[T; 2]) -> &T {
        let [one, other] = both;
        match self {
            Self::One => one,
            Self::Other => other,
        }
    }
}

/// Two ends of a connection.
pub(crate) fn pipe() -> (PipeEnd, PipeEnd) {
    let shared = Arc::new(Shared::default());
    (PipeEnd { shared: shared.clone(), side: Side::One }, PipeEnd { shared, side: Side::Other })
}

impl PipeEnd {
    /// Has this end told of what happens from now on, and of what has. Only the first call counts.
    pub(crate) fn watch(&self, watcher: impl Fn(Signal) + Send + Sync + 'static) {
        if self.side.of(&self.shared.watchers).set(Box::new(watcher)).is_ok() {
            self.signal(self.side, Signal { is_readable: true, is_writable: true, is_over: false });
        }
    }

    fn signal(&self, to: Side, signal: Signal) {
        if let Some(watcher) = to.of(&self.shared.watchers).get() {
            watcher(signal);
        }
    }

    /// Reads what is there.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut direction = self.side.of(&self.shared.to).lock();
        if direction.bytes.is_empty() {
            return if direction.is_ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match direction.bytes.read(rest)? {
                0 => break,
                more => read += more,
            }
        }
        if direction.bytes.is_empty() && direction.bytes.capacity() > SPARE_BYTES_MAX {
            direction.bytes = VecDeque::new();
        }
        let was_full = std::mem::take(&mut direction.is_full);
        drop(direction);
        if was_full {
            self.signal(self.side.opposite(), Signal { is_writable: true, ..Signal::default() });
        }
        Ok(read)
    }

    /// Writes as many bytes as there is room for.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let to = self.side.opposite();
        let mut direction = to.of(&self.shared.to).lock();
        if direction.is_unread || direction.is_ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let was_empty = direction.bytes.is_empty();
        let mut written = 0;
        for slice in slices {
            let room = WAITING_BYTES_MAX.saturating_sub(direction.bytes.len());
            let piece = slice.get(..room.min(slice.len())).unwrap_or_default();
            direction.bytes.extend(piece);
            written += piece.len();
            if piece.len() < slice.len() {
                direction.is_full = true;
                break;
            }
        }
        drop(direction);
        if was_empty && written > 0 {
            self.signal(to, Signal { is_readable: true, ..Signal::default() });
        }
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        if written == 0 && wanted > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    /// Nothing more is written, or read.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        let other = self.side.opposite();
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            other.of(&self.shared.to).lock().is_ended = true;
        }
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            let mut direction = self.side.of(&self.shared.to).lock();
            (direction.is_unread, direction.is_ended) = (true, true);
            direction.bytes = VecDeque::new();
        }
        self.signal(other, Signal { is_readable: true, is_writable: true, is_over: true });
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for PipeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeEnd").field("side", &self.side).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn write(end: &PipeEnd, bytes: &[u8]) -> io::Result<usize> {
        end.write(&[IoSlice::new(bytes)])
    }

    fn read(end: &PipeEnd, room: usize) -> Result<Vec<u8>, io::ErrorKind> {
        let mut buffer = vec![0; room];
        end.read(&mut buffer).map(|bytes| buffer[..bytes].to_vec()).map_err(|e| e.kind())
    }

    #[test]
    fn bytes_come_in_order_and_the_end_behind_them() {
        let (one, other) = pipe();
        assert_eq!(read(&other, 9), Err(io::ErrorKind::WouldBlock));
        assert_eq!(one.write(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")]).expect("room"), 5);
        assert_eq!(read(&other, 3), Ok(b"abc".to_vec()));
        one.shutdown(Shutdown::Write);
        assert_eq!(read(&other, 3), Ok(b"de".to_vec()));
        assert_eq!(read(&other, 3), Ok(Vec::new()));
        // The other direction is open still.
        assert_eq!(write(&other, b"x").expect("room"), 1);
        assert_eq!(read(&one, 3), Ok(b"x".to_vec()));
        drop(one);
        assert_eq!(write(&other, b"x").map_err(|e| e.kind()), Err(io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn what_waits_is_bounded_and_room_is_told_of() {
        let (one, other) = pipe();
        let (to_signals, signals) = channel();
        // At the end nobody listens any more.
        one.watch(move |signal| {
            let _ = to_signals.send(signal);
        });
        assert_eq!(signals.try_iter().count(), 1);
        let much = vec![7; WAITING_BYTES_MAX + 1];
        assert_eq!(write(&one, &much).expect("room"), WAITING_BYTES_MAX);
        assert_eq!(write(&one, &much).map_err(|e| e.kind()), Err(io::ErrorKind::WouldBlock));
        assert_eq!(signals.try_iter().count(), 0);
        read(&other, 10).expect("bytes");
        read(&other, 10).expect("bytes");
        let writable = Signal { is_writable: true, ..Signal::default() };
        assert_eq!(signals.try_iter().collect::<Vec<_>>(), [writable], "once");
        assert_eq!(write(&one, &much).expect("room"), 20);
    }

    #[test]
    fn an_end_is_told_of_bytes_once_until_it_has_read_them() {
        let (one, other) = pipe();
        let (to_signals, signals) = channel();
        write(&other, b"before").expect("room");
        // At the end nobody listens any more.
        one.watch(move |signal| {
            let _ = to_signals.send(signal);
        });
        let first = signals.try_iter().collect::<Vec<_>>();
        assert!(first.len() == 1 && first[0].is_readable, "{first:?}");
        read(&one, 100).expect("bytes");
        write(&other, b"a").expect("room");
        write(&other, b"b").expect("room");
        let readable = Signal { is_readable: true, ..Signal::default() };
        assert_eq!(signals.try_iter().collect::<Vec<_>>(), [readable]);
        drop(other);
        assert!(signals.try_iter().any(|signal| signal.is_over));
        assert_eq!((read(&one, 100), read(&one, 100)), (Ok(b"ab".to_vec()), Ok(Vec::new())));
    }
}
