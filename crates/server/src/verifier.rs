//! Checks that take long, on a thread of their own: no event loop waits for bcrypt.

use crate::registry::Session;
use dialtone_broker::peer::Peer;
use dialtone_identity::authenticator::SlowCheck;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Checks that wait; a connection that finds the queue full is refused.
const QUEUE_MAX: usize = 1024;

/// The queue of checks.
pub struct Verifier {
    queue: SyncSender<(SlowCheck, Arc<Session>)>,
}

impl Verifier {
    /// Starts the thread.
    ///
    /// Errors: the system refuses it.
    pub fn start() -> std::io::Result<Self> {
        let (queue, checks) = sync_channel::<(SlowCheck, Arc<Session>)>(QUEUE_MAX);
        std::thread::Builder::new().name("verifier".into()).spawn(move || {
            while let Ok((check, session)) = checks.recv() {
                if session.peer.closing().is_none() {
                    session.put_verdict(check.run());
                    Peer::call_owner(&session.peer);
                }
            }
        })?;
        Ok(Self { queue })
    }

    /// Takes a check; its verdict will be in the session. False if there are too many.
    pub fn take(&self, check: SlowCheck, session: Arc<Session>) -> bool {
        self.queue.try_send((check, session)).is_ok()
    }
}
