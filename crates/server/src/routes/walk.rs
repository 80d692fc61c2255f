//! How a route is told all interest that there is here: a piece at a time, and the next when the other end has taken the last. So little
//! waits for a slow one, however much there is.
//!
//! Pieces and changes are in one order, that of the gate. What changes where the walk has been is told at once; what changes ahead of it
//! is told when the walk comes there, as it is then.

use dialtone_broker::account::Account;
use dialtone_broker::deliver::interest::{Delta, Mark};

/// Bytes of a piece: it ends with the first that has as many.
pub(super) const PIECE_BYTES: usize = 256 * 1024;

/// How far a route has been told what there is.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    under_way: Option<UnderWay>,
    /// A piece was sent, and a PING behind it that is not answered.
    is_asked: bool,
}

#[derive(Debug)]
pub(super) struct UnderWay {
    pub mark: Mark,
    /// It is told all once more, since what it may know has changed: also what it may not know any more.
    pub is_repeated: bool,
}

/// What a change is to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The other end goes by it.
    News,
    /// Nothing: the walk comes to it, and the other end has not heard of it.
    Ahead,
    /// The walk comes to it, and what the other end has heard before may be true no longer.
    AheadAgain,
}

impl Walk {
    /// It is told all from the beginning.
    pub(super) fn begin(&mut self) {
        self.under_way = Some(UnderWay { mark: Mark::default(), is_repeated: false });
    }

    /// It is told all again, once somebody goes on with it.
    pub(super) fn repeat(&mut self) {
        // Who has not been told all has perhaps been told of what is ahead now.
        self.under_way = Some(UnderWay { mark: Mark::default(), is_repeated: true });
    }

    /// What a change of interest is to the route.
    pub(super) fn meets(&self, account: &Account, delta: &Delta<'_>) -> Change {
        match &self.under_way {
            Some(walk) if !delta.is_before(&walk.mark, account) && walk.is_repeated => Change::AheadAgain,
            Some(walk) if !delta.is_before(&walk.mark, account) => Change::Ahead,
            _ => Change::News,
        }
    }

    /// The walk, if a piece may be sent.
    pub(super) fn next(&mut self) -> Option<&mut UnderWay> {
        self.under_way.as_mut().filter(|_| !self.is_asked)
    }

    /// A piece was sent, which was the last or is followed by PING.
    pub(super) fn sent(&mut self, is_last: bool) {
        self.is_asked = !is_last;
        if is_last {
            self.under_way = None;
        }
    }

    /// The other end has taken the last piece.
    pub(crate) fn answered(&mut self) {
        self.is_asked = false;
    }
}
