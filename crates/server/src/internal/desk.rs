//! The control thread: it takes one work after the other, and publishes what comes of it.

use super::mailbox::Work;
use super::{Handler, Message, Outgoing};
use crate::log::Event;
use crate::shared::Shared;
use crate::system::System;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::Turn;
use dialtone_net::threads::Progress;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Works that are done before what they published is written out.
const WORKS_PER_TURN_MAX: usize = 64;
/// Questions that wait for their answers at most; another one is answered as if nobody were there.
const QUESTIONS_MAX: usize = 64 * 1024;
/// How long the thread sleeps if no timer is set.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Work for the control thread.
pub(super) type Task = Box<dyn FnOnce(&mut Desk) + Send>;
type Asker = Box<dyn FnOnce(&mut Desk, Answer) + Send>;

/// What came of a question.
#[derive(Debug)]
pub enum Answer {
    /// Somebody answered.
    Message(Message),
    /// Nobody is there to answer.
    NoResponders,
    /// Nobody answered in time.
    TimedOut,
}

struct Question {
    asker: Asker,
    timer: Timer,
}

/// Something that is done later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer(Instant, u64);

/// What the control thread works at.
pub struct Desk {
    /// The server.
    pub shared: Arc<Shared>,
    turn: Turn,
    timers: BTreeMap<Timer, Task>,
    next_timer: u64,
    /// By the last token of the subject that the answer goes to.
    questions: HashMap<Box<str>, Question>,
    next_question: u64,
    /// `$SYS._INBOX.xxxxxxxx`: what answers' subjects begin with.
    inbox: String,
    /// Accounts in which the inbox is subscribed.
    asking_in: HashSet<AccountId>,
    /// What the system account's events remember.
    pub(crate) system: System,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            turn: Turn::new(rand::random(), Instant::now()).of(&shared.exchange),
            shared,
            timers: BTreeMap::new(),
            next_timer: 0,
            questions: HashMap::new(),
            next_question: 0,
            inbox: format!("$SYS._INBOX.{:016x}", rand::random::<u64>()),
            asking_in: HashSet::new(),
            system: System::default(),
        }
    }

    /// Works until it is told to stop.
    pub(super) fn work(mut self, works: &Receiver<Work>, progress: &Progress) {
        loop {
            let next =
                self.timers.keys().next().map(|timer| timer.0.saturating_duration_since(Instant::now()));
            let first = works.recv_timeout(next.unwrap_or(SLEEP_MAX).min(SLEEP_MAX));
            progress.begin();
            self.turn.begin(Instant::now());
            match first {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.turn.idle(),
                Ok(work) => {
                    for work in std::iter::once(work).chain(works.try_iter().take(WORKS_PER_TURN_MAX)) {
                        self.shared.internal.mailbox.taken(&work);
                        progress.next();
                        match work {
                            Work::Message(message) => self.hand_over(&message),
                            Work::Task(task) => task(&mut self),
                            Work::Stop(done) => {
                                self.turn.finish();
                                // Whoever waited may have given up.
                                let _ = done.try_send(());
                                return;
                            }
                        }
                    }
                }
            }
            self.expire();
            self.turn.finish();
            let lost = self.shared.internal.take_lost();
            if lost > 0 {
                let text = format_args!("{lost} internal messages or events were dropped: too much waits");
                self.shared.log.say(Event::Warning, "", text);
            }
            progress.end();
        }
    }

    fn hand_over(&mut self, message: &Message) {
        if let Some(handler) = self.shared.internal.handler(message.sid) {
            handler(self, message);
        }
    }

    fn expire(&mut self) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > self.turn.now() {
                return;
            }
            entry.remove()(self);
        }
    }

    /// The server, and the turn that messages are published in.
    pub(crate) fn parts(&mut self) -> (&Arc<Shared>, &mut Turn) {
        (&self.shared, &mut self.turn)
    }

    /// When this turn began.
    pub fn now(&self) -> Instant {
        self.turn.now()
    }

    /// Subscribes in an account: [`super::Internal::serve`].
    pub fn serve(&self, account: &Arc<Account>, filter: &str, handler: Handler) {
        self.shared.internal.serve(&self.shared.registry, account, filter, None, handler);
    }

    /// Publishes in an account. How many got it.
    pub fn publish(&mut self, account: &Arc<Account>, message: &Outgoing) -> usize {
        let shared = &self.shared;
        shared.internal.publish(&shared.registry, &mut self.turn, account, message)
    }

    /// Answers a message, if it wants an answer.
    pub fn reply(&mut self, message: &Message, payload: impl Into<Vec<u8>>) {
        if !message.reply.is_empty() {
            self.publish(&message.account, &Outgoing::new(&*message.reply, payload));
        }
    }

    /// Publishes in an account and hands the first answer to `asker`, on this thread. The message's reply is set here.
    pub fn ask(
        &mut self,
        account: &Arc<Account>,
        mut message: Outgoing,
        timeout: Duration,
        asker: impl FnOnce(&mut Self, Answer) + Send + 'static,
    ) {
        if self.questions.len() >= QUESTIONS_MAX {
            return asker(self, Answer::NoResponders);
        }
        self.listen(account);
        self.next_question += 1;
        let number = self.next_question.to_string();
        message.reply = format!("{}.{number}", self.inbox);
        if self.publish(account, &message) == 0 {
            return asker(self, Answer::NoResponders);
        }
        let token: Box<str> = number.into();
        let question = token.clone();
        let timer = self.after(timeout, move |desk| {
            if let Some(question) = desk.questions.remove(&question) {
                (question.asker)(desk, Answer::TimedOut);
            }
        });
        self.questions.insert(token, Question { asker: Box::new(asker), timer });
    }

    /// Gets ready for answers in an account.
    pub(crate) fn listen(&mut self, account: &Arc<Account>) {
        if self.asking_in.insert(account.id) {
            let filter = format!("{}.*", self.inbox);
            self.serve(account, &filter, Arc::new(Self::answered));
        }
    }

    fn answered(&mut self, message: &Message) {
        let token = message.subject.rsplit('.').next().unwrap_or_default();
        let Some(question) = self.questions.remove(token) else { return };
        self.cancel(question.timer);
        let answer = message.clone();
        let nobody = answer.payload.is_empty() && answer.headers.starts_with(b"NATS/1.0 503");
        (question.asker)(self, if nobody { Answer::NoResponders } else { Answer::Message(answer) });
    }

    /// Runs `task` on this thread when `span` has passed.
    pub fn after(&mut self, span: Duration, task: impl FnOnce(&mut Self) + Send + 'static) -> Timer {
        self.next_timer += 1;
        let timer = Timer(self.turn.now() + span, self.next_timer);
        self.timers.insert(timer, Box::new(task));
        timer
    }

    /// Stops a timer that has not run out.
    pub fn cancel(&mut self, timer: Timer) {
        self.timers.remove(&timer);
    }

    /// Runs `task` on this thread again and again: first after `span`, then after what it says.
    pub fn repeat(
        &mut self,
        span: Duration,
        mut task: impl FnMut(&mut Self) -> Option<Duration> + Send + 'static,
    ) {
        self.after(span, move |desk| {
            if let Some(next) = task(desk) {
                desk.repeat(next, task);
            }
        });
    }
}
