//! What takes long, on threads of its own: no event loop waits for bcrypt, the disk, or an answer from elsewhere.
//!
//! Each kind has a line of its own, so that a slow one does not hold up the others.

use crate::log::Event;
use crate::registry::Session;
use crate::shared::Shared;
use crate::tokens::resolver::Reach;
use dialtone_broker::peer::Peer;
use dialtone_identity::authenticator::{Grant, Refusal, SlowCheck};
use dialtone_net::threads::Watch;
use parking_lot::Mutex;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What waits in a line; a connection that finds it full is refused.
const LINE_MAX: usize = 1024;
/// How long one piece of work may take before its thread is said to stand still: bcrypt has any cost, and disks and others'
/// servers take their time.
const STALL: Duration = Duration::from_secs(60);
/// How many accounts are asked for at others at a time: one that gets no answer takes seconds.
const LOOKUP_THREADS: usize = 4;

/// Something that takes long, and that a connection waits for.
pub enum Check {
    /// Whether a password is the one.
    Password(SlowCheck),
    /// The token of the account with this key; what was presented is then looked at again.
    Account(String),
}

/// What is done by a thread of a line.
type Work = Box<dyn FnOnce(&Arc<Shared>) + Send>;

/// What came of a check.
#[derive(Debug)]
pub enum Verdict {
    /// Come in.
    Granted(Grant),
    /// No, for this reason.
    Refused(Refusal),
    /// The account's token is at hand, or not to be had.
    LookAgain,
}

/// Work that waits for its thread.
#[derive(Default)]
struct Line(OnceLock<SyncSender<Work>>);

impl Line {
    fn start(&self, shared: &Arc<Shared>, name: &str, threads: usize) -> io::Result<()> {
        let (queue, line) = sync_channel::<Work>(LINE_MAX);
        let line = Arc::new(Mutex::new(line));
        for _ in 0..threads {
            let (line, server) = (line.clone(), Arc::downgrade(shared));
            shared.threads.spawn_watched(name, Watch::new(STALL), move |progress| {
                while let Some(work) = next(&line) {
                    progress.begin();
                    if let Some(server) = server.upgrade() {
                        work(&server);
                    }
                    progress.end();
                }
            })?;
        }
        // Set once: a server starts once.
        let _ = self.0.set(queue);
        Ok(())
    }

    /// False if there is too much, or no such line.
    fn take(&self, work: Work) -> bool {
        self.0.get().is_some_and(|queue| queue.try_send(work).is_ok())
    }
}

/// The next work, which one of the threads waits for; the others wait for that thread.
fn next(line: &Mutex<Receiver<Work>>) -> Option<Work> {
    line.lock().recv().ok()
}

/// The lines.
#[derive(Default)]
pub struct Verifier {
    passwords: Line,
    /// Where accounts are asked for at others. Elsewhere looking one up is quick, and is work like any other.
    lookups: Line,
    work: Line,
}

impl Verifier {
    /// Starts the threads.
    ///
    /// Errors: the system refuses them.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<()> {
        let verifier = &shared.verifier;
        verifier.passwords.start(shared, "passwords", 1)?;
        verifier.work.start(shared, "work", 1)?;
        if shared.resolver.asks_others() {
            verifier.lookups.start(shared, "lookups", LOOKUP_THREADS)?;
        }
        Ok(())
    }

    /// Takes a check; its verdict will be in the session. False if there are too many.
    pub fn take(&self, check: Check, session: Arc<Session>) -> bool {
        match check {
            Check::Password(check) => {
                let run = move || {
                    let refused = || Verdict::Refused(Refusal::Credentials("wrong password"));
                    check.run().map_or_else(refused, Verdict::Granted)
                };
                self.passwords.take(Box::new(move |_| decide(&session, run)))
            }
            Check::Account(key) => self.take_lookup(move |shared| decide(&session, || look_up(shared, &key))),
        }
    }

    /// Takes work for which accounts may have to be looked up. False if too much waits.
    pub fn take_lookup(&self, work: impl FnOnce(&Arc<Shared>) + Send + 'static) -> bool {
        let line = if self.lookups.0.get().is_some() { &self.lookups } else { &self.work };
        line.take(Box::new(work))
    }

    /// Takes work that no connection waits for, such as writing to the disk. False if too much waits.
    pub fn take_work(&self, work: impl FnOnce(&Arc<Shared>) + Send + 'static) -> bool {
        self.work.take(Box::new(work))
    }
}

/// Tells a connection what came of its check, if it still waits.
fn decide(session: &Arc<Session>, run: impl FnOnce() -> Verdict) {
    if session.peer.closing().is_none() {
        session.put_verdict(run());
        Peer::call_owner(&session.peer);
    }
}

fn look_up(shared: &Shared, key: &str) -> Verdict {
    if let Err(why) = shared.look_up(key, Reach::Anywhere) {
        shared.log.say(Event::ClientCreated, "", format_args!("Account {key}: {why}"));
    }
    Verdict::LookAgain
}
