//! Who waits until the other servers of the cluster have heard of interest: each server that has answered a PING behind it has.

use super::{Route, Routes};
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::Turn;
use dialtone_broker::inlet::Publish as _;
use dialtone_wire::message::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Questions of one account that may wait at a route, and of all accounts together. A further one is refused.
const OF_ACCOUNT_MAX: usize = 1024;
const WAITING_MAX: usize = 65_536;

/// What is answered, and where.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whose interest it is about.
    pub asker: AccountId,
    /// In which account, and to which subject, it is answered.
    pub to: (Arc<Account>, Box<str>),
    /// Headers.
    pub headers: &'static [u8],
    /// Payload.
    pub payload: Vec<u8>,
}

impl Answer {
    /// Answers.
    pub(crate) fn send(&self, turn: &mut Turn) {
        let (account, subject) = &self.to;
        let framed = [self.headers, &self.payload, b"\r\n"].concat();
        let header_bytes = self.headers.len();
        turn.emit(
            account,
            &Message { subject: subject.as_bytes(), reply: None, header_bytes, framed: &framed },
        );
    }
}

/// An answer that waits until all servers have heard.
#[derive(Debug)]
pub(crate) struct Waiting {
    answer: Answer,
    /// Servers that have not heard yet, and one more until all were asked.
    left: AtomicUsize,
}

impl Waiting {
    fn new(answer: Answer, servers: usize) -> Self {
        Self { answer, left: AtomicUsize::new(servers + 1) }
    }

    /// One more has heard. The last one answers.
    pub(crate) fn heard(&self, turn: &mut Turn) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.answer.send(turn);
        }
    }
}

/// Who waits for one route.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    waiting: Vec<Arc<Waiting>>,
    is_over: bool,
}

impl Arrival {
    fn has_room(&self, asker: AccountId) -> bool {
        let own = self.waiting.iter().filter(|waiting| waiting.answer.asker == asker);
        self.waiting.len() < WAITING_MAX && own.count() < OF_ACCOUNT_MAX
    }

    /// One more waits. False: the route is over, and nobody waits for it.
    fn add(&mut self, waiting: &Arc<Waiting>) -> bool {
        if !self.is_over {
            self.waiting.push(waiting.clone());
        }
        !self.is_over
    }

    /// Those who wait now; the route is about to ask the other server.
    pub(crate) fn take(&mut self) -> Vec<Arc<Waiting>> {
        std::mem::take(&mut self.waiting)
    }

    /// The route is over.
    pub(crate) fn end(&mut self) -> Vec<Arc<Waiting>> {
        self.is_over = true;
        self.take()
    }
}

/// So much waits already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Routes {
    /// Answers once all servers of the cluster have heard of what the account is interested in now; `answer` says what, from their number.
    ///
    /// # Errors
    /// [`Full`]
    pub(crate) fn answer_on_arrival(
        &self,
        account: &Account,
        turn: &mut Turn,
        answer: impl FnOnce(usize) -> Answer,
    ) -> Result<(), Full> {
        let open = self.open();
        let routes: Vec<&Arc<Route>> = open.iter().filter(|route| self.carries(route, account)).collect();
        if routes.iter().any(|route| !route.arrival.lock().has_room(account.id)) {
            return Err(Full);
        }
        let waiting = Arc::new(Waiting::new(answer(routes.len()), routes.len()));
        for route in routes {
            if route.arrival.lock().add(&waiting) {
                route.session.peer.wake_owner();
            } else {
                waiting.heard(turn);
            }
        }
        waiting.heard(turn);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(asker: u32) -> Arc<Waiting> {
        let to = (Account::new(AccountId(9), "SYS"), Box::from("r"));
        Arc::new(Waiting::new(Answer { asker: AccountId(asker), to, headers: b"", payload: Vec::new() }, 1))
    }

    #[test]
    fn an_account_takes_no_more_than_its_share_and_nobody_waits_for_what_is_over() {
        let mut arrival = Arrival::default();
        let (greedy, modest) = (waiting(1), waiting(2));
        for _ in 0..OF_ACCOUNT_MAX {
            assert!(arrival.has_room(AccountId(1)) && arrival.add(&greedy));
        }
        assert!(!arrival.has_room(AccountId(1)));
        assert!(arrival.has_room(AccountId(2)) && arrival.add(&modest));
        assert_eq!(arrival.take().len(), OF_ACCOUNT_MAX + 1);
        assert!(arrival.has_room(AccountId(1)) && arrival.add(&greedy));
        assert_eq!(arrival.end().len(), 1);
        assert!(!arrival.add(&greedy));
        assert_eq!(arrival.end().len(), 0);
    }
}
