//! An account with connections and receivers inside, one loop, and a log of what all of them saw.

use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::inlet::{Batch, Inlet, Publish};
use dialtone_broker::kind::{Entry, Kind};
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place, Wake};
use dialtone_broker::permission;
use dialtone_broker::subscription::Subscription;
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

/// What happened, in order, seen by all.
pub type Log = Arc<Mutex<Vec<String>>>;

/// A connection: notes each write, which may hold several messages.
pub struct Wire {
    name: &'static str,
    log: Log,
}

impl Sink for Wire {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.log.lock().push(format!(
            "{}: {}",
            self.name,
            String::from_utf8_lossy(&bytes).replace("\r\n", "|")
        ));
        Ok(bytes.len())
    }
}

pub struct Unheard;

impl Wake for Unheard {
    fn wake(&self) {}
}

/// Notes each batch, and answers each message at its reply subject, or where it says.
pub struct Echo {
    account: Arc<Account>,
    log: Log,
    to: Option<&'static [u8]>,
}

impl Inlet for Echo {
    fn take(&self, batch: &Batch, turn: &mut dyn Publish) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = batch.messages().map(|received| {
            let message = received.message;
            let sid = text(received.subscription.sid());
            format!("{sid} {} {}+{}", text(message.subject), text(message.headers()), text(message.payload()))
        });
        self.log.lock().push(format!("inlet: {}", all.collect::<Vec<_>>().join(", ")));
        for received in batch.messages() {
            if let Some(to) = self.to.or(received.message.reply) {
                let framed = [received.message.payload(), b"!\r\n"].concat();
                turn.emit(
                    &self.account,
                    &Message { subject: to, reply: None, header_bytes: 0, framed: &framed },
                );
            }
        }
    }

    fn account(&self) -> Option<Arc<Account>> {
        Some(self.account.clone())
    }
}

pub struct World {
    pub account: Arc<Account>,
    pub log: Log,
    pub gate: Arc<Gate>,
    pub turn: Turn,
    slots: u32,
}

impl World {
    pub fn new() -> Self {
        let account = Account::new(AccountId(1), "A");
        let gate = Arc::<Gate>::default();
        let turn = Turn::new([1; 32], Instant::now()).with_gate(&gate);
        Self { account, log: Log::default(), gate, turn, slots: 0 }
    }

    pub fn basics(&mut self, kind: Kind) -> Basics {
        self.slots += 1;
        let id = ClientId(u64::from(self.slots));
        Basics { id, kind, slot: self.slots, pending_bytes_max: 1 << 20, start: Instant::now() }
    }

    pub fn client(&mut self, name: &'static str) -> Arc<Peer> {
        let sink = Arc::new(Wire { name, log: self.log.clone() });
        let peer = Peer::new(self.basics(Kind::default()), Arc::default(), sink, Box::new(Unheard));
        peer.set_place(Place { account: Some(self.account.clone()), permissions: None });
        peer.set_understands_headers(true);
        peer
    }

    pub fn echo(&mut self, to: Option<&'static [u8]>) -> Arc<Peer> {
        let inlet = Arc::new(Echo { account: self.account.clone(), log: self.log.clone(), to });
        let peer = Peer::inside(self.basics(Entry::OF_SERVER.from), Arc::default(), inlet);
        peer.set_understands_headers(true);
        peer
    }

    pub fn subscribe(
        &self,
        peer: &Arc<Peer>,
        filter: &str,
        queue: Option<&str>,
        sid: &str,
    ) -> Arc<Subscription> {
        let queue = queue.map(str::as_bytes);
        let subscription = Subscription::new(peer.clone(), filter.as_bytes(), queue, sid.as_bytes());
        self.gate.subscribe(&self.account, &subscription, None);
        subscription
    }

    pub fn publish(
        &mut self,
        from: &Arc<Peer>,
        subject: &str,
        reply: Option<&str>,
        headers: &str,
        payload: &str,
    ) -> usize {
        let framed = format!("{headers}{payload}\r\n");
        let message = Message {
            subject: subject.as_bytes(),
            reply: reply.map(str::as_bytes),
            header_bytes: headers.len(),
            framed: framed.as_bytes(),
        };
        let authorized = permission::publish(from, None, &message, Instant::now()).expect("allowed");
        self.turn.publish(Origin { peer: from, account: &self.account, echo: true }, authorized)
    }

    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }
}
