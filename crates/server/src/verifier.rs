//! Checks that take long, on a thread of their own: no event loop waits for bcrypt, or for an account's token.

use crate::log::Event;
use crate::registry::Session;
use crate::shared::Shared;
use dialtone_broker::peer::Peer;
use dialtone_identity::authenticator::{Grant, Refusal, SlowCheck};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};

/// Checks that wait; a connection that finds the queue full is refused.
const QUEUE_MAX: usize = 1024;

/// Something that takes long.
pub enum Check {
    /// Whether a password is the one.
    Password(SlowCheck),
    /// The token of the account with this key; what was presented is then looked at again.
    Account(String),
}

/// Something else that takes long, such as writing to the disk.
pub type Work = Box<dyn FnOnce(&Arc<Shared>) + Send>;

/// What waits for the thread.
enum Waiting {
    Check(Check, Arc<Session>),
    Work(Work),
}

/// What came of it.
#[derive(Debug)]
pub enum Verdict {
    /// Come in.
    Granted(Grant),
    /// No, for this reason.
    Refused(Refusal),
    /// The account's token is at hand, or not to be had.
    LookAgain,
}

/// The queue of checks.
#[derive(Default)]
pub struct Verifier {
    queue: OnceLock<SyncSender<Waiting>>,
}

impl Verifier {
    /// Starts the thread.
    ///
    /// Errors: the system refuses it.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
        let (queue, checks) = sync_channel::<Waiting>(QUEUE_MAX);
        let server = Arc::downgrade(shared);
        std::thread::Builder::new().name("verifier".into()).spawn(move || {
            while let Ok(next) = checks.recv() {
                match next {
                    Waiting::Check(check, session) if session.peer.closing().is_none() => {
                        session.put_verdict(run(check, &server));
                        Peer::call_owner(&session.peer);
                    }
                    Waiting::Check(..) => {}
                    Waiting::Work(work) => {
                        if let Some(server) = server.upgrade() {
                            work(&server);
                        }
                    }
                }
            }
        })?;
        // Set once: a server starts once.
        let _ = shared.verifier.queue.set(queue);
        Ok(())
    }

    /// Takes a check; its verdict will be in the session. False if there are too many.
    pub fn take(&self, check: Check, session: Arc<Session>) -> bool {
        self.queue.get().is_some_and(|queue| queue.try_send(Waiting::Check(check, session)).is_ok())
    }

    /// Takes work that no connection waits for. False if too much waits.
    pub fn take_work(&self, work: impl FnOnce(&Arc<Shared>) + Send + 'static) -> bool {
        self.queue.get().is_some_and(|queue| queue.try_send(Waiting::Work(Box::new(work))).is_ok())
    }
}

fn run(check: Check, server: &Weak<Shared>) -> Verdict {
    match check {
        Check::Password(check) => {
            check.run().map_or(Verdict::Refused(Refusal::Credentials("wrong password")), Verdict::Granted)
        }
        Check::Account(key) => {
            if let Some(server) = server.upgrade()
                && let Err(why) = server.look_up(&key)
            {
                server.log.say(Event::ClientCreated, "", format_args!("Account {key}: {why}"));
            }
            Verdict::LookAgain
        }
    }
}
