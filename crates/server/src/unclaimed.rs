//! Interest of another server in accounts that are not here. It is announced once, and the account may come with a reload.

use crate::conduct::Conduct;
use crate::log::Event;
use crate::node::Node;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::relay::RelayInterest;
use dialtone_wire::interserver::Interest;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is kept of one connection at most. Interest beyond it is lost to accounts that come, as all is with the official server.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// What is counted for each beside its texts.
const ENTRY_BYTES: usize = 128;

/// Interest in accounts that are not here, by their names.
#[derive(Debug, Default)]
pub(crate) struct Unclaimed {
    accounts: BTreeMap<Box<[u8]>, BTreeMap<Wanted, u32>>,
    bytes: usize,
}

/// What is wanted in an account; its weight stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) filter: Box<[u8]>,
    pub(crate) queue: Option<Box<[u8]>>,
    /// Of leaf nodes, theirs.
    pub(crate) cluster: Box<[u8]>,
}

/// Whether an account is the one that is here by its name.
pub(crate) fn is_here(node: &Node, account: &Arc<Account>) -> bool {
    node.accounts.find(&account.name).is_some_and(|found| Arc::ptr_eq(&found, account))
}

impl Wanted {
    fn bytes(&self) -> usize {
        let queue = self.queue.as_ref().map_or(0, |queue| queue.len());
        ENTRY_BYTES + self.filter.len() + queue + self.cluster.len()
    }
}

impl Unclaimed {
    /// Keeps what begins, or has another weight. False: there is no room.
    fn keep(&mut self, account: &[u8], wanted: Wanted, weight: u32) -> bool {
        let is_known = |all: &BTreeMap<Wanted, u32>| all.contains_key(&wanted);
        if !self.accounts.get(account).is_some_and(is_known) {
            let bytes = wanted.bytes() + account.len();
            if self.bytes + bytes > BYTES_MAX {
                return false;
            }
            self.bytes += bytes;
        }
        self.accounts.entry(account.into()).or_default().insert(wanted, weight);
        true
    }

    /// It ends. Some servers do not name the cluster of the leaf node that it was of.
    pub(crate) fn end(&mut self, interest: &Interest<'_>) {
        let Some(account) = interest.account else { return };
        let Some(all) = self.accounts.get_mut(account) else { return };
        let mut wanted = wanted(interest);
        if interest.origin.is_none() && !all.contains_key(&wanted) {
            let is_it = |known: &&Wanted| known.filter == wanted.filter && known.queue == wanted.queue;
            let Some(known) = all.keys().find(is_it).cloned() else { return };
            wanted = known;
        }
        if all.remove(&wanted).is_some() {
            self.bytes -= wanted.bytes() + account.len();
        }
        if all.is_empty() {
            self.accounts.remove(account);
        }
    }

    /// Keeps interest that begins in an account that is not here.
    #[cold]
    pub(crate) fn wait(&mut self, conduct: &Conduct, interest: &Interest<'_>, weight: u32) {
        let account = interest.account.unwrap_or_default();
        let is_kept = self.keep(account, wanted(interest), weight);
        let (name, filter) = (String::from_utf8_lossy(account), String::from_utf8_lossy(interest.filter));
        let lost = if is_kept { "" } else { ": it is lost, for too much is kept of such accounts" };
        let text = format_args!("Unknown account {name:?} for remote subject {filter:?}{lost}");
        conduct.log(Event::ProtocolError, text);
    }

    /// Accounts may have come and gone: what is wanted in those that are gone waits for them. What was wanted in those that have come.
    #[cold]
    pub(crate) fn follow(
        &mut self,
        node: &Node,
        interest: &Mutex<RelayInterest>,
        turn: &mut Turn,
    ) -> Vec<(Arc<Account>, BTreeMap<Wanted, u32>)> {
        let gone = interest.lock().forget_where(|account| !is_here(node, account));
        for ended in &gone {
            for subscription in &ended.subscriptions {
                let wanted = Wanted {
                    filter: subscription.filter().into(),
                    queue: subscription.queue().map(Into::into),
                    cluster: ended.cluster.clone(),
                };
                self.keep(ended.account.name.as_bytes(), wanted, subscription.weight());
            }
        }
        node.delivery.gate.end_relay(gone, Some(turn));
        self.claim(|name| node.accounts.find(name))
    }

    /// Takes out what is wanted in an account that `find` finds.
    fn claim(
        &mut self,
        find: impl Fn(&str) -> Option<Arc<Account>>,
    ) -> Vec<(Arc<Account>, BTreeMap<Wanted, u32>)> {
        let here = |name: &[u8]| find(std::str::from_utf8(name).ok()?);
        let names: Vec<_> =
            self.accounts.keys().filter_map(|name| Some((name.clone(), here(name)?))).collect();
        let mut claimed = Vec::new();
        for (name, account) in names {
            let all = self.accounts.remove(&name).unwrap_or_default();
            self.bytes -= all.keys().map(|wanted| wanted.bytes() + name.len()).sum::<usize>();
            claimed.push((account, all));
        }
        claimed
    }
}

fn wanted(interest: &Interest<'_>) -> Wanted {
    Wanted {
        filter: interest.filter.into(),
        queue: interest.queue.map(Into::into),
        cluster: interest.origin.map_or(&[][..], |origin| origin.name()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_broker::account::AccountId;
    use dialtone_wire::interserver::Origin;

    fn interest<'a>(account: &'a [u8], filter: &'a [u8], cluster: Option<&'a [u8]>) -> Interest<'a> {
        Interest { origin: cluster.map(Origin::Cluster), account: Some(account), filter, queue: Some(b"q") }
    }

    #[test]
    fn what_is_kept_is_claimed_once_and_what_has_ended_is_not() {
        let mut unclaimed = Unclaimed::default();
        let mut keep = |account, filter, cluster, weight| {
            let interest = interest(account, filter, cluster);
            assert!(unclaimed.keep(account, wanted(&interest), weight));
        };
        keep(b"A", b"a", None, 1);
        keep(b"A", b"a", None, 3);
        keep(b"A", b"b", Some(b"L"), 1);
        keep(b"A", b"c", None, 1);
        keep(b"B", b"a", None, 1);
        unclaimed.end(&interest(b"A", b"c", None));
        unclaimed.end(&interest(b"A", b"nothing", None));
        // Who does not name the leaf node's cluster means the one that there is.
        unclaimed.end(&interest(b"A", b"b", None));
        let account = Account::new(AccountId(1), "A");
        let find = |name: &str| (name == "A").then(|| account.clone());
        let claimed = unclaimed.claim(find);
        let all: Vec<_> = claimed
            .iter()
            .flat_map(|(_, all)| all)
            .map(|(wanted, weight)| (&*wanted.filter, *weight))
            .collect();
        assert_eq!(all, [(&b"a"[..], 3)]);
        assert!(unclaimed.claim(find).is_empty());
        unclaimed.end(&interest(b"B", b"a", None));
        assert_eq!((unclaimed.bytes, unclaimed.accounts.len()), (0, 0));
    }

    #[test]
    fn there_is_a_bound_and_room_again_below_it() {
        let mut unclaimed = Unclaimed::default();
        let filter = [b'x'; 1000];
        let mut number = 0u32;
        let mut keep_next = |unclaimed: &mut Unclaimed| {
            number += 1;
            let account = number.to_string();
            unclaimed.keep(account.as_bytes(), wanted(&interest(account.as_bytes(), &filter, None)), 1)
        };
        while keep_next(&mut unclaimed) {}
        assert!(unclaimed.bytes <= BYTES_MAX && unclaimed.accounts.len() > 3000);
        assert!(unclaimed.keep(b"1", wanted(&interest(b"1", &filter, None)), 2), "it is there already");
        unclaimed.end(&interest(b"1", &filter, None));
        assert!(keep_next(&mut unclaimed) && !keep_next(&mut unclaimed));
    }
}
