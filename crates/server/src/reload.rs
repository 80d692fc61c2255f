//! Reload: other options are taken over all at once, or not at all.

use crate::cluster;
use crate::log::Event as Logged;
use crate::node::Node;
use crate::policy::Policy;
use crate::review::{self, end};
use crate::supercluster;
use crate::tls::{News, Stop};
use crate::verifier::Chore;
use dialtone_config::options::AccountLimits;
use dialtone_config::plan::{self, Change, plan};
use dialtone_config::{ConfigErrors, Options};
use dialtone_mesh::Event;
use dialtone_mesh::gateways::Event as GatewayEvent;
use dialtone_wire::{CloseReason, ProtocolError};
use std::sync::Arc;
use std::time::Instant;

/// Reads the options again and takes them over.
///
/// Errors: as for [`reload`], or there is nothing to read.
pub(crate) fn reread(node: &Arc<Node>) -> Result<(), String> {
    match node.settings.reader.get() {
        Some(read) => reload(node, read()),
        None => Err("can only reload config when a file is provided using -c or --config".into()),
    }
}

/// Takes over other options.
///
/// Errors: why not, which the log says too.
pub(crate) fn reload(node: &Arc<Node>, options: Result<Options, ConfigErrors>) -> Result<(), String> {
    // A signal and a request may come at once; one reload follows the other.
    let _turn = node.settings.reloading.lock();
    let result = take_over(node, options);
    if let Err(why) = &result {
        node.log.emit_problem(Logged::ReloadFailed, "Failed to reload server configuration: ", why);
    }
    result
}

fn take_over(node: &Arc<Node>, options: Result<Options, ConfigErrors>) -> Result<(), String> {
    let new = options.map_err(|errors| errors.to_string())?;
    let old = node.settings.policy();
    let mut changes = plan(&old.options, &new).map_err(|refusal| refusal.to_string())?;
    if changes.contains(&Change::Cluster) {
        // That looks at the routes, too.
        changes.retain(|change| *change != Change::Routes);
    }
    let begins_jetstream = changes.contains(&Change::JetStream);
    let steps: Vec<Step> = changes.into_iter().map(carried_out_by).collect::<Result<_, _>>()?;
    let policy = Policy::new(new, &node.settings.identity).map_err(|error| error.to_string())?;
    if begins_jetstream {
        crate::jetstream::prepare(node, &policy)?;
    }
    // From here on nothing can fail.
    node.set_policy(policy);
    crate::jetstream::follow(node);
    steps.into_iter().for_each(|step| step(node));
    node.delivery.routes.wake();
    node.delivery.gateways.wake();
    begin_peer_check(node);
    crate::system::renew_usage(node);
    if !old.rates.are_empty() {
        // Who waits by the old rules goes on by the new ones.
        node.connections.registry.open().iter().for_each(|session| session.peer.wake_owner());
    }
    let new = &node.settings.policy().options;
    for line in plan::lines(&old.options, new) {
        node.log.emit(Logged::Reloaded, "", format_args!("Reloaded: {line}"));
    }
    let digest = &new.source.digest;
    node.log.emit(Logged::Reloaded, "", format_args!("Reloaded server configuration ({digest})"));
    Ok(())
}

/// What a change asks for beside the new policy, which says all of most of them.
type Step = fn(&Arc<Node>);

/// What carries out a change. An error says that nothing does: the reload is refused, with all that it changes.
fn carried_out_by(change: Change) -> Result<Step, String> {
    Ok(match change {
        Change::Log => |node| node.log.configure(&node.settings.policy().options.log),
        Change::Users => review_users,
        Change::Limits => |node| enforce_connections_max(node),
        Change::Tls | Change::Process => |_| {},
        Change::Presentation => renew_zone,
        Change::Cluster => renew_cluster,
        Change::Routes => renew_routes,
        Change::Gateways => renew_gateways,
        Change::LeafNodes => renew_leaf_nodes,
        Change::JetStream => crate::jetstream::renew,
    })
}

/// Reads certificates again if their files were written.
pub(crate) fn certificates(node: &Arc<Node>) {
    let policy = node.settings.policy();
    if !policy.has_outdated_certificates() {
        return;
    }
    match Policy::new(policy.options.clone(), &node.settings.identity) {
        Ok(policy) => {
            node.set_policy(policy);
            node.log.emit(Logged::CertificatesReloaded, "", format_args!("Certificates were read again"));
        }
        Err(e) => {
            let head = "Certificates cannot be read again, the old ones stay: ";
            node.log.emit_problem(Logged::CertificatesFailed, head, &e);
        }
    }
}

/// Goes by what the policy says of the check of clients' certificates by OCSP. The cache is looked at only where they are checked.
pub(crate) fn begin_peer_check(node: &Node) {
    let policy = node.settings.policy();
    if policy.all_tls().any(|tls| tls.peer_check().is_some()) {
        let options = policy.options.operation.staples.peers.as_ref();
        if let Err(problem) = node.connections.peer_cache.configure(options) {
            node.log.emit(Logged::Warning, "", format_args!("OCSP peer cache: {problem}"));
        }
        let kind = if options.is_some() { "local" } else { "none" };
        node.log.emit(Logged::Starting, "", format_args!("OCSP peer cache online, type [{kind}]"));
    }
}

/// Gets the OCSP staples that are due. Whether the server has to stop: one of its certificates is revoked.
pub(crate) fn staples(node: &Arc<Node>) -> Stop {
    let policy = node.settings.policy();
    if let Err(cause) = node.connections.peer_cache.look_after(Instant::now()) {
        node.log.emit(Logged::Warning, "", format_args!("OCSP peer cache cannot be written: {cause}"));
    }
    let news = policy.all_tls().map(|tls| tls.look_after_staples(Instant::now()));
    let mut stop = Stop::No;
    for news in news.into_iter().flatten() {
        let (event, text) = match news {
            News::Good(text) => (Logged::StapleGood, text),
            News::Failed(text) => (Logged::StapleFailed, text),
            News::Bad(text, and) => {
                if and == Stop::Yes {
                    stop = and;
                }
                (Logged::StapleBad, text)
            }
        };
        node.log.emit(event, "", format_args!("{text}"));
    }
    stop
}

/// Goes by what is said of routes: what passes over them, and who may be at the other end.
fn renew_cluster(node: &Arc<Node>) {
    let (delivery, options) = (&node.delivery, &node.settings.policy().options);
    if delivery.routes.set_permissions(cluster::permissions(options), &delivery.gate) {
        // What goes to whom was worked out by the old rights.
        node.accounts.all().iter().for_each(|account| account.forget_matches());
    }
    renew_routes(node);
    // Whose compression changes carries that out itself.
    delivery.routes.open().iter().for_each(|route| route.session.peer.wake_owner());
}

/// One of the server's tags may be its zone, which other servers are told.
fn renew_zone(node: &Arc<Node>) {
    if node.settings.policy().options.zone().is_some() {
        renew_routes(node);
    }
}

/// Has hubs dialled as they are named, and the compression of spokes changed.
fn renew_leaf_nodes(node: &Arc<Node>) {
    let policy = node.settings.policy();
    // Later on, whoever changes what accounts share announces it.
    if policy.options.leafnodes.is_some() && node.delivery.tell_leafs(|| node.accounts.all()) {
        node.accounts.all().iter().for_each(|account| node.announce_shared(account));
    }
    node.hubs.follow(&policy);
    node.delivery.leafs.wake();
}

/// Has the cluster look at which servers are to be connected, and how.
fn renew_routes(node: &Arc<Node>) {
    let policy = node.settings.policy();
    if let Some(settings) = cluster::settings(&policy, &node.settings.identity, &node.accounts) {
        node.delivery.routes.set_pool_size(settings.pool_size);
        node.cluster.handle(Event::Reloaded(Box::new(settings)));
    }
}

/// Has the supercluster look at which clusters are to be connected, and how. Who is connected is looked at by its own loop.
fn renew_gateways(node: &Arc<Node>) {
    if let Some(settings) = supercluster::settings(&node.settings.policy(), &node.settings.identity) {
        node.supercluster.handle(GatewayEvent::Reloaded(Box::new(settings)));
    }
}

fn review_users(node: &Arc<Node>) {
    // Other threads may have tokens to look up for this; a reload does not wait for them.
    node.verifier.raise(Chore::RenewTokens);
    review_all(node);
    node.delivery.leafs.wake();
    enforce_account_limits(node);
}

/// Who may be here by the new policy stays, with the rights that it gives.
fn review_all(node: &Node) {
    for session in node.connections.registry.open() {
        review::session(node, &session);
    }
    for account in node.accounts.all() {
        account.forget_matches();
    }
}

/// Closes the youngest connections beyond the new limit.
fn enforce_connections_max(node: &Node) {
    let max = node.settings.policy().options.limits.connections_max;
    if max > 0 {
        for session in node.connections.registry.open().iter().skip(max) {
            end(
                node,
                session,
                Some(ProtocolError::ServerConnectionsExceeded),
                CloseReason::MaxConnectionsExceeded,
            );
        }
    }
}

/// Closes those who are beyond the limits of their accounts: the youngest connections, and those with too many
/// subscriptions.
fn enforce_account_limits(node: &Node) {
    for options in &node.settings.policy().options.access.accounts {
        let AccountLimits { connections_max, subscriptions_max, .. } = options.limits;
        if (connections_max, subscriptions_max) == (None, None) {
            continue;
        }
        let Some(account) = node.accounts.find(&options.name) else { continue };
        let mut sessions = node.connections.registry.open_in(Some(account.id));
        sessions.retain(|session| session.peer.closing().is_none());
        let connections_max =
            connections_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        for (number, session) in sessions.iter().enumerate() {
            if number >= connections_max {
                end(
                    node,
                    session,
                    Some(ProtocolError::AccountConnectionsExceeded),
                    CloseReason::MaxAccountConnectionsExceeded,
                );
                continue;
            }
            let subscriptions = session.peer.subscriptions().len() as u64;
            if subscriptions_max.is_some_and(|max| subscriptions > max) {
                end(
                    node,
                    session,
                    Some(ProtocolError::SubscriptionsExceeded),
                    CloseReason::MaxSubscriptionsExceeded,
                );
            }
        }
    }
}
