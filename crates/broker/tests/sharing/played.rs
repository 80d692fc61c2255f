//! A world in the broker: its accounts and peers, and what each peer got.

use crate::world::World;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::kind::Kind;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place, Wake};
use dialtone_broker::permission;
use dialtone_broker::subscription::Subscription;
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

#[derive(Default)]
pub struct Wire(pub Mutex<Vec<u8>>);

impl Sink for Wire {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut all = self.0.lock();
        let before = all.len();
        slices.iter().for_each(|slice| all.extend_from_slice(slice));
        Ok(all.len() - before)
    }
}

pub struct Deaf;

impl Wake for Deaf {
    fn wake(&self) {}
}

/// A world in the broker.
pub struct Played {
    pub accounts: Vec<Arc<Account>>,
    pub peers: Vec<Vec<(Arc<Peer>, Arc<Wire>)>>,
    pub turn: Turn,
}

/// A message that a peer got: sid, subject, reply, payload.
pub type Got = (usize, String, Option<String>, String);

impl Played {
    pub fn new(world: &World, now: Instant) -> Self {
        let accounts: Vec<_> =
            (0..world.0.len()).map(|n| Account::new(AccountId(n as u32), &n.to_string())).collect();
        let mut slot = 0;
        let mut turn = Turn::new([7; 32], now);
        let mut peers = Vec::new();
        for (tenant, account) in world.0.iter().zip(&accounts) {
            let peer = |subscriptions: &Vec<(String, Option<&str>)>| {
                let wire = Arc::new(Wire::default());
                slot += 1;
                let id = ClientId(u64::from(slot));
                let peer = Peer::new(
                    Basics {
                        id,
                        kind: Kind::default(),
                        slot,
                        pending_bytes_max: 1 << 20,
                        start: Instant::now(),
                    },
                    Arc::default(),
                    wire.clone(),
                    Box::new(Deaf),
                );
                peer.set_place(Place { account: Some(account.clone()), permissions: None });
                peer.set_understands_headers(true);
                for (sid, (filter, queue)) in subscriptions.iter().enumerate() {
                    let (sid, queue) = (sid.to_string(), queue.map(str::as_bytes));
                    let subscription =
                        Subscription::new(peer.clone(), filter.as_bytes(), queue, sid.as_bytes());
                    assert!(turn.subscribe(account, &subscription));
                }
                (peer, wire)
            };
            peers.push(tenant.peers.iter().map(peer).collect());
        }
        let mut played = Self { accounts, peers, turn };
        played.share(world);
        played
    }

    pub fn share(&mut self, world: &World) {
        let find = |name: &str| self.accounts.get(name.parse::<usize>().ok()?).cloned();
        for (account, tenant) in self.accounts.iter().zip(&world.0) {
            account.set_exports(&tenant.exports);
            assert_eq!(account.set_mappings(&tenant.mappings, None), []);
        }
        for (account, tenant) in self.accounts.iter().zip(&world.0) {
            assert_eq!(account.set_imports(&tenant.imports, &find), []);
        }
    }

    pub fn publish(
        &mut self,
        account: usize,
        peer: usize,
        subject: &str,
        reply: Option<&str>,
        payload: &str,
    ) {
        let framed = format!("{payload}\r\n");
        let reply = reply.map(str::as_bytes);
        let (peer, _) = &self.peers[account][peer];
        let account = &self.accounts[account];
        let mut mapped = Vec::new();
        let subject = match self.turn.map(account, subject.as_bytes(), &mut mapped) {
            dialtone_broker::sharing::Mapped::To => mapped.as_slice(),
            _ => subject.as_bytes(),
        };
        let message = Message { subject, reply, header_bytes: 0, framed: framed.as_bytes() };
        let authorized = permission::publish(peer, None, &message, Instant::now()).expect("all is allowed");
        self.turn.publish(Origin { peer, account, echo: true }, authorized);
        self.turn.finish();
    }

    /// What a peer got since the last call.
    pub fn got(&self, account: usize, peer: usize) -> Vec<Got> {
        let bytes = std::mem::take(&mut *self.peers[account][peer].1.0.lock());
        let mut text = String::from_utf8(bytes).expect("text");
        let mut out = Vec::new();
        while let Some((line, rest)) = text.split_once("\r\n") {
            let words: Vec<&str> = line.split(' ').collect();
            let with_headers = words[0] == "HMSG";
            let reply = (words.len() == 5 + usize::from(with_headers)).then(|| words[3].to_owned());
            let size: usize = words[words.len() - 1].parse().expect("a size");
            let headers: usize =
                if with_headers { words[words.len() - 2].parse().expect("a size") } else { 0 };
            let sid = words[2].parse().expect("a sid");
            out.push((sid, words[1].to_owned(), reply, rest[headers..size].to_owned()));
            text = rest[size + 2..].to_owned();
        }
        out
    }

    pub fn all_got(&self) -> Vec<(usize, usize, Got)> {
        let mut out = Vec::new();
        for account in 0..self.peers.len() {
            for peer in 0..self.peers[account].len() {
                out.extend(self.got(account, peer).into_iter().map(|got| (account, peer, got)));
            }
        }
        out
    }
}
