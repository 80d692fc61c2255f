//! Reload: other options are taken over all at once, or not at all.

use crate::log::Event;
use crate::policy::Policy;
use crate::registry::Session;
use crate::shared::Shared;
use crate::tls::{News, Stop};
use crate::verifier::Chore;
use dialtone_broker::account::AccountId;
use dialtone_broker::peer::Place;
use dialtone_config::options::AccountLimits;
use dialtone_config::plan::{self, Change, plan};
use dialtone_config::{ConfigErrors, Options};
use dialtone_identity::authenticator::Grant;
use dialtone_identity::permission::{Permissions, Subscribing};
use dialtone_wire::client::encode;
use dialtone_wire::{CloseReason, ProtocolError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Reads the options again and takes them over.
///
/// Errors: as for [`reload`], or there is nothing to read.
pub(crate) fn again(shared: &Arc<Shared>) -> Result<(), String> {
    match shared.reader.get() {
        Some(read) => reload(shared, read()),
        None => Err("can only reload config when a file is provided using -c or --config".into()),
    }
}

/// Takes over other options.
///
/// Errors: why not, which the log says too.
pub(crate) fn reload(shared: &Arc<Shared>, options: Result<Options, ConfigErrors>) -> Result<(), String> {
    // A signal and a request may come at once; one reload follows the other.
    let _turn = shared.reloading.lock();
    let result = take_over(shared, options);
    if let Err(why) = &result {
        shared.log.say_problem(Event::ReloadFailed, "Failed to reload server configuration: ", why);
    }
    result
}

fn take_over(shared: &Arc<Shared>, options: Result<Options, ConfigErrors>) -> Result<(), String> {
    let new = options.map_err(|errors| errors.to_string())?;
    let old = shared.policy();
    let changes = plan(&old.options, &new).map_err(|refusal| refusal.to_string())?;
    let policy = Policy::new(new, &shared.identity).map_err(|error| error.to_string())?;
    // From here on nothing can fail.
    if changes.contains(&Change::Log) {
        shared.log.configure(&policy.options.log);
    }
    shared.set_policy(policy);
    if changes.contains(&Change::Users) {
        // Other threads may have tokens to look up for this; a reload does not wait for them.
        shared.verifier.raise(Chore::RenewTokens);
        renew_rights(shared, &old);
        enforce_account_limits(shared);
    }
    if changes.contains(&Change::Limits) {
        enforce_connections_max(shared);
    }
    crate::system::renew_usage(shared);
    if !old.rates.are_empty() {
        // Who waits by the old rules goes on by the new ones.
        shared.registry.open().iter().for_each(|session| session.peer.call_owner());
    }
    let new = &shared.policy().options;
    for line in plan::lines(&old.options, new) {
        shared.log.say(Event::Reloaded, "", format_args!("Reloaded: {line}"));
    }
    let digest = &new.config_digest;
    shared.log.say(Event::Reloaded, "", format_args!("Reloaded server configuration ({digest})"));
    Ok(())
}

/// Reads certificates again if their files were written.
pub(crate) fn certificates(shared: &Arc<Shared>) {
    let policy = shared.policy();
    if !policy.tls.as_ref().is_some_and(crate::tls::TlsSetup::is_outdated) {
        return;
    }
    match Policy::new(policy.options.clone(), &shared.identity) {
        Ok(policy) => {
            shared.set_policy(policy);
            shared.log.say(Event::CertificatesReloaded, "", format_args!("Certificates were read again"));
        }
        Err(e) => {
            let head = "Certificates cannot be read again, the old ones stay: ";
            shared.log.say_problem(Event::CertificatesFailed, head, &e);
        }
    }
}

/// Gets the OCSP staples that are due. Whether the server has to stop: one of its certificates is revoked.
pub(crate) fn staples(shared: &Arc<Shared>) -> Stop {
    let policy = shared.policy();
    let news = policy.tls.as_ref().map(|tls| tls.look_after_staples(Instant::now()));
    let mut stop = Stop::No;
    for news in news.into_iter().flatten() {
        let (event, text) = match news {
            News::Good(text) => (Event::StapleGood, text),
            News::Failed(text) => (Event::StapleFailed, text),
            News::Bad(text, and) => {
                if and == Stop::Yes {
                    stop = and;
                }
                (Event::StapleBad, text)
            }
        };
        shared.log.say(event, "", format_args!("{text}"));
    }
    stop
}

/// Connections that still have the right to be here stay, with the rights they have now.
fn renew_rights(shared: &Arc<Shared>, old: &Policy) {
    let new = shared.policy();
    for session in shared.registry.open() {
        let Some(introduction) = session.known() else { continue };
        let user = introduction.user.as_str();
        if session.claimed().is_some() {
            // A service vouched for it, or its token does: users of the configuration are no matter.
            if old.options.authorization.callout != new.options.authorization.callout {
                tell(&session, ProtocolError::Authorization);
                session.peer.close(CloseReason::AuthenticationViolation);
            }
            continue;
        }
        let (before, now) = (old.authenticator.find(user), new.authenticator.find(user));
        let same_secret = old.authenticator.password(user) == new.authenticator.password(user)
            && old.options.authorization.token == new.options.authorization.token;
        let stays = match (before, now) {
            (Some(before), Some(now)) => before.account == now.account && same_secret,
            // It came without being a user: that must still be possible.
            (None, None) => same_secret && old.auth_required() == new.auth_required(),
            _ => false,
        };
        if !stays {
            // A user that is gone or is in another account is closed without a word, as by the official server.
            let same_place = |now: &Grant| before.is_some_and(|before| before.account == now.account);
            if now.is_some_and(same_place) || before.is_none() {
                tell(&session, ProtocolError::Authorization);
                session.peer.close(CloseReason::AuthenticationViolation);
            } else {
                session.peer.close(CloseReason::ClientClosed);
            }
            continue;
        }
        let proxy = session.proxy.get().map(|key| &**key);
        if let Some(refusal) = new.authenticator.refuses_way(user, proxy) {
            let who = session.who();
            shared.log.say(Event::ClientCreated, &who, format_args!("{}", refusal.text()));
            let text = format_args!("authentication error - User {user:?}");
            shared.log.say(Event::AuthenticationFailed, &who, text);
            tell(&session, ProtocolError::Authorization);
            session.peer.close(crate::client::close_reason(&refusal));
            continue;
        }
        if let Some(now) = now {
            give(&session, now.permissions.clone());
        }
    }
    for account in shared.accounts() {
        account.forget_matches();
    }
}

pub(crate) fn tell(session: &Session, error: ProtocolError) {
    let mut bytes = Vec::new();
    encode::error(&mut bytes, error.text());
    session.peer.send(&bytes, Instant::now());
}

/// Closes the youngest connections beyond the new limit.
fn enforce_connections_max(shared: &Shared) {
    let max = shared.policy().options.limits.connections_max;
    if max > 0 {
        for session in shared.registry.open().iter().skip(max) {
            tell(session, ProtocolError::ServerConnectionsExceeded);
            session.peer.close(CloseReason::MaxConnectionsExceeded);
        }
    }
}

/// Closes those who are beyond the limits of their accounts: the youngest connections, and those with too many
/// subscriptions.
fn enforce_account_limits(shared: &Shared) {
    let policy = shared.policy();
    let limits: HashMap<&str, AccountLimits> =
        policy.options.accounts.iter().map(|account| (account.name.as_str(), account.limits)).collect();
    let mut connections: HashMap<AccountId, u64> = HashMap::new();
    for session in shared.registry.open() {
        let Some(account) = session.peer.place().account.filter(|_| session.peer.closing().is_none()) else {
            continue;
        };
        let Some(limits) = limits.get(&*account.name) else { continue };
        let count = connections.entry(account.id).or_default();
        *count += 1;
        if limits.connections_max.is_some_and(|max| *count > max) {
            tell(&session, ProtocolError::AccountConnectionsExceeded);
            session.peer.close(CloseReason::MaxAccountConnectionsExceeded);
            continue;
        }
        let subscriptions = session.peer.subscriptions().len() as u64;
        if limits.subscriptions_max.is_some_and(|max| subscriptions > max) {
            tell(&session, ProtocolError::SubscriptionsExceeded);
            session.peer.close(CloseReason::MaxSubscriptionsExceeded);
        }
    }
}

/// Gives a connection other rights; subscriptions that they do not cover end.
pub(crate) fn give(session: &Session, permissions: Option<Arc<Permissions>>) {
    let peer = &session.peer;
    let place = peer.place();
    peer.set_place(Place { account: place.account, permissions: permissions.clone() });
    let Some(permissions) = permissions else { return };
    let all: Vec<_> = peer.subscriptions().iter().cloned().collect();
    for subscription in all {
        if permissions.can_subscribe(subscription.filter(), subscription.queue()) != Subscribing::Denied {
            continue;
        }
        peer.unsubscribe(&subscription);
        let filter = String::from_utf8_lossy(subscription.filter()).into_owned();
        let sid = String::from_utf8_lossy(subscription.sid()).into_owned();
        let mut bytes = Vec::new();
        encode::error(
            &mut bytes,
            &format!("Permissions Violation for Subscription to {filter:?} (sid {sid:?})"),
        );
        peer.send(&bytes, Instant::now());
    }
}
