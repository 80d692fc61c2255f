//! Where a message goes on to other servers, and whether those can be asked how it goes on there.

use super::context::{ExplainContext, text};
use super::report::{Link, Neighbor, What};
use crate::links::Link as OpenLink;
use crate::node::Node;
use dialtone_broker::account::Account;
use dialtone_broker::explain::Onward;
use dialtone_broker::kind::Kind;
use std::sync::Arc;

/// Servers that are named at one step.
pub(super) const SERVERS_MAX: usize = 100;

/// The steps of a message that goes on to these from `account`, and not back to who sent it; and how many more there are.
pub(super) fn steps(
    context: &ExplainContext<'_>,
    account: &Account,
    onward: &[Onward],
    sender: Option<&str>,
) -> (Vec<What>, usize) {
    let open = if onward.is_empty() { Vec::new() } else { context.node.delivery.links() };
    let is_sender = |link: &OpenLink| sender.is_some_and(|sender| *sender == *link.server.id);
    let link_of =
        |to: &Onward| open.iter().find(|link| Arc::ptr_eq(&link.session.peer, &to.peer) && !is_sender(link));
    let steps = onward.iter().filter_map(|to| step(context.node, account, to, link_of(to)?, &open));
    let all: Vec<What> = steps.collect();
    let more = all.len().saturating_sub(SERVERS_MAX);
    (all.into_iter().take(SERVERS_MAX).collect(), more)
}

fn step(node: &Node, account: &Account, to: &Onward, link: &OpenLink, open: &[OpenLink]) -> Option<What> {
    let groups = to.groups.iter().filter(|_| !to.is_plain).map(|name| text(name));
    Some(What::Onward { to: neighbor(node, account, link, open)?, queue_groups: groups.collect() })
}

/// The server at the other end of a link, as an answer about an account names it; `None`: it is no server.
pub(super) fn neighbor(
    node: &Node,
    account: &Account,
    link: &OpenLink,
    open: &[OpenLink],
) -> Option<Neighbor> {
    let kind = named(link.kind)?;
    Some(Neighbor {
        link: kind,
        server: link.server.name.clone(),
        id: link.server.id.clone(),
        cluster: (kind == Link::Gateway).then(|| link.remote.clone()),
        there: link.server.account.clone().unwrap_or_else(|| account.name.to_string()),
        not_asked: (!may_be_asked(node, link, open)).then(|| NOT_ASKED.to_owned()),
    })
}

/// What is said of a leaf node that is somebody else's.
const NOT_ASKED: &str =
    "it has no part in this system account, so it belongs to somebody else and is not asked";

/// Servers of a supercluster have one system account. A leaf node may have one of its own: only one that is linked to this system account
/// too is told what is asked here.
fn may_be_asked(node: &Node, link: &OpenLink, open: &[OpenLink]) -> bool {
    if !link.kind.is_leaf_connection() {
        return !link.server.id.is_empty();
    }
    let system = node.accounts.system();
    let is_in_system = |other: &OpenLink| {
        let account = other.session.peer.place().account;
        account.zip(system.as_ref()).is_some_and(|(account, system)| account.id == system.id)
    };
    let is_same = |other: &&OpenLink| other.kind.is_leaf_connection() && other.server.id == link.server.id;
    !link.server.id.is_empty() && open.iter().filter(is_same).any(is_in_system)
}

/// What a link is called in an answer; `None`: it is none.
fn named(kind: Kind) -> Option<Link> {
    Link::ALL.into_iter().find(|link| link.name() == kind.link_name())
}

/// The kind of a server that sends something by a link.
pub(super) fn kind_of(link: Link) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.link_name() == link.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_is_of_a_kind_of_its_own() {
        for link in Link::ALL {
            assert_eq!(kind_of(link).and_then(named), Some(link));
            assert_eq!(serde_json::to_value(link).expect("JSON"), link.name());
        }
        assert_eq!(
            Kind::ALL.into_iter().filter(|kind| kind.is_relay()).filter_map(named).count(),
            Link::ALL.len()
        );
    }
}
