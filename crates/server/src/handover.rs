//! Hands clients over to other servers of the cluster that have fewer, where `rebalance` is set: [`dialtone_mesh::balance`] decides how many.
//!
//! Servers that take part report how many clients they have in their STATSZ ([`crate::system`]), which official servers pass over, so none
//! of them is counted or is a target. A client that is to go is sent what all clients are sent in lame duck mode: INFO with `ldm` and the
//! addresses of those servers. If it is still connected after `lame_duck_grace_period`, it is closed, as most clients go elsewhere only then.

use crate::client;
use crate::log::Event;
use crate::node::{Executor, Node};
use crate::policy::ListenerKind;
use crate::registry::Session;
use crate::system;
use dialtone_mesh::ClientUrls;
use dialtone_wire::CloseReason;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Another server has so many clients, and takes part in this as this one does.
pub(crate) fn reported(executor: &mut Executor, server: &str, clients: u64) {
    let node = executor.node.clone();
    // Servers of other clusters are heard of, too.
    if !node.delivery.routes.leads_to(server) {
        return;
    }
    let (now, rebalance) = (executor.now(), &mut executor.state.rebalance);
    rebalance.reported(server, clients, now);
    if rebalance.is_active() && !rebalance.is_ticking {
        rebalance.is_ticking = true;
        executor.repeat(SECOND, |executor| {
            let goes_on = tick(executor);
            executor.state.rebalance.is_ticking = goes_on;
            goes_on.then_some(SECOND)
        });
    }
}

/// Another server is connected no longer.
pub(crate) fn lost(node: &Node, server: &str) {
    if node.settings.policy().options.rebalances() {
        let server = server.to_owned();
        node.internal.run(move |executor| executor.state.rebalance.gone(&server));
    }
}

/// What is done each second. Whether there is more to do.
fn tick(executor: &mut Executor) -> bool {
    let node = executor.node.clone();
    let (now, rebalance) = (executor.now(), &mut executor.state.rebalance);
    for session in rebalance.overdue(now) {
        session.peer.close(CloseReason::Kicked);
    }
    if !node.settings.policy().options.rebalances() {
        rebalance.stop();
    }
    // While a server lets its clients go, figures say little, and whoever is handed over may have to go on at once.
    let is_pausing = node.connections.lame_duck.load(Ordering::Acquire) || node.cluster.has_lame_duck();
    if !is_pausing {
        hand_over(executor, &node);
        if executor.state.rebalance.is_report_due(now) {
            system::broadcast(executor);
        }
    }
    executor.state.rebalance.is_active()
}

fn hand_over(executor: &mut Executor, node: &Node) {
    let (now, rebalance) = (executor.now(), &mut executor.state.rebalance);
    let Some(handover) = rebalance.next(&node.connections.registry, now) else { return };
    let urls = node.cluster.client_urls_of(&handover.to);
    let going = rebalance.choose(&node.connections.registry, &handover, |session| can_go(session, &urls));
    for session in &going {
        client::send_away_to(session, node, &urls);
    }
    let is_any = !going.is_empty();
    let closed_by = now + node.settings.policy().options.operation.lame_duck.grace_period;
    if rebalance.asked(going, closed_by, now) == 0 && is_any {
        let to = handover.to.len();
        node.log.emit(
            Event::Rebalancing,
            "",
            format_args!("Handing clients over to {to} servers that have fewer"),
        );
    }
}

/// Whether a client understands that it is to go, and reaches the other servers as it came here.
fn can_go(session: &Session, urls: &ClientUrls) -> bool {
    let urls = match session.listener() {
        ListenerKind::Clients => &urls.plain,
        ListenerKind::WebSocket => &urls.websocket,
        _ => return false,
    };
    !urls.is_empty() && session.peer.takes_info() && !session.peer.is_closing()
}
