//! The thread of a domain: it takes one work after the other, and publishes what comes of it.

use super::mailbox::Work;
use super::{Domain, Host, Listener, Message, Outgoing, Publisher};
use crate::share::Share;
use crate::share::line::{Line, Next};
use crate::share::table::FairTable;
use dialtone_broker::account::{Account, AccountId};
use dialtone_net::threads::Progress;
use std::collections::{BTreeMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Works that are done before what they published is written out.
const WORKS_PER_TURN_MAX: usize = 64;
/// Questions that wait for their answers at most; for another one the newest of who has most is given up.
const REQUESTS_MAX: usize = 64 * 1024;
/// How long the thread sleeps if no timer is set.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Work for the thread of a domain.
pub(super) type Task<N> = Box<dyn FnOnce(&mut Executor<N>) + Send>;
type ReplyHandler<N> = Box<dyn FnOnce(&mut Executor<N>, Reply) + Send>;

/// What came of a question.
#[derive(Debug)]
pub enum Reply {
    /// Somebody answered.
    Message(Message),
    /// Nobody is there to answer.
    NoResponders,
    /// Nobody answered in time.
    TimedOut,
    /// It is not waited for: too many questions wait for their answers, most of them of the same share.
    Overloaded,
}

struct OpenRequest<N: Host> {
    /// Whether an answer is one that is waited for; others are passed over.
    is_wanted: fn(&Message) -> bool,
    on_reply: ReplyHandler<N>,
    timer: Timer,
}

/// Something that is done later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer(Instant, u64);

/// What the thread of a domain works at. It publishes as any [`Publisher`] does.
pub struct Executor<N: Host> {
    domain: Domain,
    publisher: Publisher<N>,
    timers: BTreeMap<Timer, Task<N>>,
    next_timer: u64,
    /// What is done when the works of a turn are done, before anything is written.
    last: Vec<Task<N>>,
    /// By the last token of the subject that the answer goes to.
    requests: FairTable<Share, OpenRequest<N>>,
    /// `$SYS._INBOX.xxxxxxxx`: what answers' subjects begin with.
    inbox: String,
    /// Accounts in which the inbox is subscribed.
    asking_in: HashSet<AccountId>,
    /// What those remember whose work it does.
    pub(crate) state: N::State,
}

impl<N: Host> Deref for Executor<N> {
    type Target = Publisher<N>;

    fn deref(&self) -> &Publisher<N> {
        &self.publisher
    }
}

impl<N: Host> DerefMut for Executor<N> {
    fn deref_mut(&mut self) -> &mut Publisher<N> {
        &mut self.publisher
    }
}

impl<N: Host> Executor<N> {
    pub(super) fn new(node: Arc<N>, domain: Domain) -> Self {
        Self {
            domain,
            publisher: Publisher::new(node),
            timers: BTreeMap::new(),
            next_timer: 0,
            last: Vec::new(),
            requests: FairTable::new(REQUESTS_MAX),
            inbox: format!("$SYS._INBOX.{:016x}", rand::random::<u64>()),
            asking_in: HashSet::new(),
            state: N::State::default(),
        }
    }

    /// Works until the line is closed and empty.
    pub(super) fn work(mut self, works: &Line<Work<N>>, progress: &Progress) {
        let mut has_more = false;
        loop {
            let timer = self.timers.keys().next().map(|timer| timer.0);
            let sleep_end = Instant::now() + if has_more { Duration::ZERO } else { SLEEP_MAX };
            let mut next = works.next(Some(timer.map_or(sleep_end, |timer| timer.min(sleep_end))));
            progress.begin();
            self.turn.begin(Instant::now());
            if matches!(next, Next::TimedOut) {
                self.turn.idle();
            }
            for left in (0..WORKS_PER_TURN_MAX).rev() {
                match next {
                    Next::Item(job, work) => {
                        // There is one thread: no other item is begun before this one is done.
                        works.done(job);
                        progress.next();
                        self.do_work(work);
                    }
                    Next::Closed => {
                        self.do_last();
                        self.turn.finish();
                        return;
                    }
                    Next::Flags(_) | Next::TimedOut => break,
                }
                if left == 0 {
                    break;
                }
                next = works.try_next();
            }
            self.expire();
            self.do_last();
            has_more = self.turn.finish();
            progress.end();
        }
    }

    fn do_work(&mut self, work: Work<N>) {
        match work {
            Work::Message(message) => self.hand_over(&message),
            Work::Login(session, _) if session.peer.closing().is_some() => {}
            Work::Login(session, task) => {
                session.set_waiting(false);
                task(self);
            }
            Work::Task(task) => task(self),
        }
    }

    fn hand_over(&mut self, message: &Message) {
        if let Some(handler) = self.node.internal().handler(message.sid) {
            handler(self, message);
        }
    }

    fn do_last(&mut self) {
        for task in std::mem::take(&mut self.last) {
            task(self);
        }
    }

    /// Runs `task` on this thread when the other works of this turn are done, before what they published is written: they can wait together
    /// for what each would wait for. In the order in which they were handed over.
    pub fn at_last(&mut self, task: impl FnOnce(&mut Self) + Send + 'static) {
        self.last.push(Box::new(task));
    }

    fn expire(&mut self) {
        let now = self.now();
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            entry.remove()(self);
        }
    }

    /// Publishes in an account and calls `on_reply` with the first answer, on this thread. The message's reply is set here. While
    /// it is open the question counts for `share`.
    pub fn ask(
        &mut self,
        account: &Arc<Account>,
        message: Outgoing,
        timeout: Duration,
        share: Share,
        on_reply: impl FnOnce(&mut Self, Reply) + Send + 'static,
    ) {
        self.ask_for(account, message, timeout, share, |_| true, on_reply);
    }

    /// The same with the first answer that `is_wanted`: several servers answer, and not all of them know.
    pub fn ask_for(
        &mut self,
        account: &Arc<Account>,
        mut message: Outgoing,
        timeout: Duration,
        share: Share,
        is_wanted: fn(&Message) -> bool,
        on_reply: impl FnOnce(&mut Self, Reply) + Send + 'static,
    ) {
        self.listen(account);
        let number = self.requests.next_number();
        message.reply = format!("{}.{number}", self.inbox);
        if self.publish(account, &message) == 0 {
            return on_reply(self, Reply::NoResponders);
        }
        let timer = self.after(timeout, move |executor| {
            if let Some(request) = executor.requests.remove(number) {
                (request.on_reply)(executor, Reply::TimedOut);
            }
        });
        let given_up =
            self.requests.insert(share, OpenRequest { is_wanted, on_reply: Box::new(on_reply), timer });
        if let Some(request) = given_up {
            self.cancel(request.timer);
            (request.on_reply)(self, Reply::Overloaded);
        }
    }

    /// Gets ready for answers in an account.
    pub(crate) fn listen(&mut self, account: &Arc<Account>) {
        if self.asking_in.insert(account.id) {
            let filter = format!("{}.*", self.inbox);
            let listener = Listener::Answers(self.domain, Arc::new(Self::answered));
            self.node.internal().serve(self.node.registry(), account, &filter, None, listener);
        }
    }

    fn answered(&mut self, message: &Message) {
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let Some(number) = number else { return };
        let nobody = message.payload.is_empty() && message.headers.starts_with(b"NATS/1.0 503");
        let is_wanted = self.requests.get(number).is_some_and(|request| (request.is_wanted)(message));
        if !(nobody || is_wanted) {
            return;
        }
        let Some(request) = self.requests.remove(number) else { return };
        self.cancel(request.timer);
        let answer = message.clone();
        (request.on_reply)(self, if nobody { Reply::NoResponders } else { Reply::Message(answer) });
    }

    /// Runs `task` on this thread when `span` has passed.
    pub fn after(&mut self, span: Duration, task: impl FnOnce(&mut Self) + Send + 'static) -> Timer {
        self.next_timer += 1;
        let timer = Timer(self.now() + span, self.next_timer);
        self.timers.insert(timer, Box::new(task));
        timer
    }

    /// Stops a timer that has not run out.
    pub fn cancel(&mut self, timer: Timer) {
        self.timers.remove(&timer);
    }

    /// Runs `task` on this thread again and again: first after `span`, then after what it returns.
    pub fn repeat(
        &mut self,
        span: Duration,
        mut task: impl FnMut(&mut Self) -> Option<Duration> + Send + 'static,
    ) {
        self.after(span, move |executor| {
            if let Some(next) = task(executor) {
                executor.repeat(next, task);
            }
        });
    }
}
