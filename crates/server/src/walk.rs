//! How another server is told all interest that there is here: a piece at a time, and the next when it has taken the last. So little waits
//! for a slow one, however much there is.
//!
//! Pieces and changes are in one order, that of the gate. What changes where the walk has been is told at once; what changes ahead of it
//! is told when the walk comes there, as it is then.

use crate::clock;
use crate::session::Session;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::deliver::interest::{Delta, Gate, Mark};
use dialtone_broker::peer::Peer;
use dialtone_wire::client::encode;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of a piece: it ends with the first that has as many.
const PIECE_BYTES: usize = 256 * 1024;

/// How far another server has been told what there is.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    under_way: Option<UnderWay>,
    /// A piece was sent, and a PING behind it that is not answered.
    is_asked: bool,
}

#[derive(Debug)]
struct UnderWay {
    mark: Mark,
    is_repeated: bool,
}

/// What a change of interest is to who is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The other end goes by it.
    News,
    /// Nothing: the walk comes to it, and the other end has not heard of it.
    Ahead,
    /// The walk comes to it, and what the other end has heard before may be true no longer.
    AheadAgain,
}

/// Whether more is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the other end is to be asked for PONG"]
pub(crate) enum More {
    /// All has been told, or an answer is waited for already.
    No,
    /// When a PING is answered.
    BehindPong,
}

/// Who is told, and of what.
pub(crate) trait Recipient {
    /// How far it is.
    fn walk(&self) -> &Mutex<Walk>;

    /// The connection.
    fn session(&self) -> &Session;

    /// Whether it is told of the interest of an account.
    fn wants(&self, account: &Account) -> bool;

    /// Appends what it is told of this interest. `is_repeated`: it is told all once more, since what it may know has changed: also what it
    /// may not know any more. Whether there was something to append.
    fn append(&self, account: &Account, delta: &Delta<'_>, is_repeated: bool, out: &mut Vec<u8>) -> bool;

    /// Appends what follows the last piece.
    fn append_end(&self, _: &mut Vec<u8>) {}
}

impl Walk {
    /// It is told all from the beginning.
    pub(crate) fn begin(&mut self) {
        self.under_way = Some(UnderWay { mark: Mark::default(), is_repeated: false });
    }

    /// It is told all again, once somebody goes on with it.
    pub(crate) fn repeat(&mut self) {
        // Who has not been told all has perhaps been told of what is ahead now.
        self.under_way = Some(UnderWay { mark: Mark::default(), is_repeated: true });
    }

    /// What a change of interest is to it.
    pub(crate) fn meets(&self, account: &Account, delta: &Delta<'_>) -> Change {
        match &self.under_way {
            Some(walk) if !delta.is_before(&walk.mark, account) && walk.is_repeated => Change::AheadAgain,
            Some(walk) if !delta.is_before(&walk.mark, account) => Change::Ahead,
            _ => Change::News,
        }
    }

    /// Whether it has not been told all.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The walk, if a piece may be sent.
    fn next(&mut self) -> Option<&mut UnderWay> {
        self.under_way.as_mut().filter(|_| !self.is_asked)
    }

    /// A piece was sent, which was the last or is followed by PING.
    fn sent(&mut self, is_last: bool) {
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

/// Tells the next piece of what there is, if not all has been told, and the last piece was taken.
pub(crate) fn go_on(gate: &Gate, to: &impl Recipient, turn: &mut Turn) -> More {
    if to.walk().lock().next().is_none() {
        return More::No;
    }
    let more = gate.hold(|held| {
        let mut walk = to.walk().lock();
        let Some(UnderWay { mark, is_repeated }) = walk.next() else { return More::No };
        let (mut bytes, mut told) = (Vec::with_capacity(4096), 0);
        let wants = |account: &Account| to.wants(account);
        let is_last = held.read_on(mark, wants, |account, delta| {
            told += u64::from(to.append(account, &delta, *is_repeated, &mut bytes));
            bytes.len() < PIECE_BYTES
        });
        walk.sent(is_last);
        if is_last {
            to.append_end(&mut bytes);
        }
        to.session().count_interest_told(told);
        turn.enqueue(&to.session().peer, &bytes);
        if is_last { More::No } else { More::BehindPong }
    });
    more.unwrap_or(More::No)
}

/// Tells of one change of interest at once: with what the turn that made it sends besides, or alone.
pub(crate) fn tell(session: &Session, line: &[u8], turn: Option<&mut Turn>) {
    session.count_interest_told(1);
    match turn {
        Some(turn) => turn.enqueue(&session.peer, line),
        None => session.peer.send(line, clock::moment()),
    }
}

/// What PING asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ping {
    /// Whether the other end is there, and how far away.
    Alive,
    /// Whether it has taken what came before, so that it may be told more.
    Taken,
    /// Whether it has taken what came before, for those who wait for that.
    Arrived,
}

/// What the other end was asked that it has not answered, in its order.
#[derive(Debug, Default)]
pub(crate) struct Pings(VecDeque<Ping>);

impl Pings {
    /// It is sent PING to see whether it is there.
    pub(crate) fn alive(&mut self) {
        self.0.push_back(Ping::Alive);
    }

    /// Asks whether it has taken what it was told, if there is more.
    pub(crate) fn ask_behind(&mut self, more: More, peer: &Arc<Peer>, turn: &mut Turn) {
        if more == More::BehindPong {
            self.0.push_back(Ping::Taken);
            turn.enqueue(peer, encode::PING);
        }
    }

    /// Asks whether it has taken what it was told, for those who wait for that.
    pub(crate) fn ask_arrived(&mut self, peer: &Arc<Peer>, turn: &mut Turn) {
        self.0.push_back(Ping::Arrived);
        turn.enqueue(peer, encode::PING);
    }

    /// PONG: what was answered. Nobody may have asked.
    pub(crate) fn answered(&mut self) -> Ping {
        self.0.pop_front().unwrap_or(Ping::Alive)
    }
}
