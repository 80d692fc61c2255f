//! What leaf nodes are told of interest here: LS+ and LS-.

use super::{Leaf, Leafs};
use crate::asked_here::is_asked_here;
use crate::session::Session;
use crate::walk::{self, Change, More, Recipient, Walk};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::deliver::interest::{Delta, Gate, Watch};
use dialtone_wire::gateway::reply;
use dialtone_wire::interserver::{Interest, encode};
use parking_lot::Mutex;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Tells the leaf nodes of an account of each change of interest in it.
pub(crate) struct Announcer(pub(crate) Arc<Leafs>);

impl Watch for Announcer {
    fn changed(&self, account: &Arc<Account>, delta: Delta<'_>, mut turn: Option<&mut Turn>) {
        let Some(leafs) = self.0.of(account.id).filter(|_| !is_asked_here(account, delta.filter)) else {
            return;
        };
        for leaf in leafs.iter() {
            let group = |source: &_| leaf.hears(source, delta.filter).then_some(());
            let Some(((), sum)) = delta.sum(group) else { continue };
            let is_ahead = leaf.walk.lock().meets(account, &delta) == Change::Ahead;
            if is_ahead || !sum.is_news(delta.queue) || !leaf.may_hear(&delta.source, delta.filter) {
                continue;
            }
            let mut line = Vec::with_capacity(64);
            append(&mut line, delta.filter, delta.queue, sum.now);
            walk::tell(&leaf.session, &line, turn.as_deref_mut());
        }
    }
}

fn append(out: &mut Vec<u8>, filter: &[u8], queue: Option<&[u8]>, now: u32) {
    let interest = Interest { origin: None, account: None, filter, queue };
    match NonZeroU32::new(now) {
        Some(weight) => encode::leaf_subscribe(out, &interest, weight),
        None => encode::leaf_unsubscribe(out, &interest),
    }
}

impl Leafs {
    /// A connection begins: it is told the own name of this server, all that there is, and from then on what changes.
    pub(crate) fn begin(&self, gate: &Gate, leaf: &Arc<Leaf>, turn: &mut Turn) -> More {
        let loop_subject = self.loop_subject(&leaf.account);
        gate.hold(|_| {
            let mut bytes = Vec::with_capacity(128);
            append(&mut bytes, &loop_subject, None, 1);
            let mut told = 1;
            if self.has_gateways {
                reply::ALL.iter().for_each(|filter| append(&mut bytes, filter, None, 1));
                told += reply::ALL.len() as u64;
            }
            leaf.session.count_interest_told(told);
            turn.enqueue(&leaf.session.peer, &bytes);
            leaf.walk.lock().begin();
            self.add(leaf.clone());
        });
        walk::go_on(gate, &**leaf, turn)
    }
}

impl Recipient for Leaf {
    fn walk(&self) -> &Mutex<Walk> {
        &self.walk
    }

    fn session(&self) -> &Session {
        &self.session
    }

    fn wants(&self, account: &Account) -> bool {
        account.id == self.account.id
    }

    fn append(&self, _: &Account, delta: &Delta<'_>, _: bool, out: &mut Vec<u8>) -> bool {
        let group = |source: &_| self.hears(source, delta.filter).then_some(());
        if let Some(((), sum)) = delta.first_sum(group)
            && self.may_hear(&delta.source, delta.filter)
            && !is_asked_here(&self.account, delta.filter)
        {
            append(out, delta.filter, delta.queue, sum.now);
            return true;
        }
        false
    }
}
