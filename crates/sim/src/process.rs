//! What takes part in a simulation.

use crate::link::End;
use std::time::Duration;

/// A process that is connected to others: a server's event loop, or a client. All times are since the simulation began.
///
/// What it writes goes to the [`End`]s that it was given. It may write to an end that another process was given: event loops of one server
/// do.
pub trait Process {
    /// A connection is there. Bytes that come by it are told with the number of this end.
    fn opened(&mut self, now: Duration, end: End);

    /// Bytes came.
    fn received(&mut self, now: Duration, end: usize, bytes: &[u8]);

    /// An end that took no more bytes takes some again.
    fn writable(&mut self, now: Duration, end: usize);

    /// The other end is closed, or the connection is broken. The end is not spoken of any more.
    fn closed(&mut self, now: Duration, end: usize);

    /// When [`Process::expire`] is to be called. Asked when something has happened to it, or to one of its ends.
    fn deadline(&self) -> Option<Duration>;

    /// The deadline has passed.
    fn expire(&mut self, now: Duration);

    /// Whether somebody, perhaps another process, wants it to be woken. Asked after each event.
    fn is_called(&self) -> bool {
        false
    }

    /// It is woken.
    fn called(&mut self, _now: Duration) {}
}
