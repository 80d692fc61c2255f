//! Reload: other options are taken over all at once, or not at all.

use crate::log::Event;
use crate::policy::Policy;
use crate::review::{self, end};
use crate::shared::Shared;
use crate::tls::{News, Stop};
use crate::verifier::Chore;
use dialtone_config::options::AccountLimits;
use dialtone_config::plan::{self, Change, plan};
use dialtone_config::{ConfigErrors, Options};
use dialtone_wire::{CloseReason, ProtocolError};
use std::sync::Arc;
use std::time::Instant;

/// Reads the options again and takes them over.
///
/// Errors: as for [`reload`], or there is nothing to read.
pub(crate) fn reread(shared: &Arc<Shared>) -> Result<(), String> {
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
        shared.log.emit_problem(Event::ReloadFailed, "Failed to reload server configuration: ", why);
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
    begin_peer_check(shared);
    if changes.contains(&Change::Users) {
        // Other threads may have tokens to look up for this; a reload does not wait for them.
        shared.verifier.raise(Chore::RenewTokens);
        review_all(shared);
        enforce_account_limits(shared);
    }
    if changes.contains(&Change::Limits) {
        enforce_connections_max(shared);
    }
    crate::system::renew_usage(shared);
    if !old.rates.are_empty() {
        // Who waits by the old rules goes on by the new ones.
        shared.registry.open().iter().for_each(|session| session.peer.wake_owner());
    }
    let new = &shared.policy().options;
    for line in plan::lines(&old.options, new) {
        shared.log.emit(Event::Reloaded, "", format_args!("Reloaded: {line}"));
    }
    let digest = &new.config_digest;
    shared.log.emit(Event::Reloaded, "", format_args!("Reloaded server configuration ({digest})"));
    Ok(())
}

/// Reads certificates again if their files were written.
pub(crate) fn certificates(shared: &Arc<Shared>) {
    let policy = shared.policy();
    if !policy.all_tls().any(crate::tls::TlsSetup::is_outdated) {
        return;
    }
    match Policy::new(policy.options.clone(), &shared.identity) {
        Ok(policy) => {
            shared.set_policy(policy);
            shared.log.emit(Event::CertificatesReloaded, "", format_args!("Certificates were read again"));
        }
        Err(e) => {
            let head = "Certificates cannot be read again, the old ones stay: ";
            shared.log.emit_problem(Event::CertificatesFailed, head, &e);
        }
    }
}

/// Goes by what the policy says of the check of clients' certificates by OCSP. The cache is looked at only where they are checked.
pub(crate) fn begin_peer_check(shared: &Shared) {
    let policy = shared.policy();
    if policy.all_tls().any(|tls| tls.peer_check().is_some()) {
        let options = policy.options.ocsp_cache.as_ref();
        if let Err(problem) = shared.peer_cache.configure(options) {
            shared.log.emit(Event::Warning, "", format_args!("OCSP peer cache: {problem}"));
        }
        let kind = if options.is_some() { "local" } else { "none" };
        shared.log.emit(Event::Starting, "", format_args!("OCSP peer cache online, type [{kind}]"));
    }
}

/// Gets the OCSP staples that are due. Whether the server has to stop: one of its certificates is revoked.
pub(crate) fn staples(shared: &Arc<Shared>) -> Stop {
    let policy = shared.policy();
    if let Err(cause) = shared.peer_cache.look_after(Instant::now()) {
        shared.log.emit(Event::Warning, "", format_args!("OCSP peer cache cannot be written: {cause}"));
    }
    let news = policy.all_tls().map(|tls| tls.look_after_staples(Instant::now()));
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
        shared.log.emit(event, "", format_args!("{text}"));
    }
    stop
}

/// Who may be here by the new policy stays, with the rights that it gives.
fn review_all(shared: &Shared) {
    for session in shared.registry.open() {
        review::session(shared, &session);
    }
    for account in shared.accounts() {
        account.forget_matches();
    }
}

/// Closes the youngest connections beyond the new limit.
fn enforce_connections_max(shared: &Shared) {
    let max = shared.policy().options.limits.connections_max;
    if max > 0 {
        for session in shared.registry.open().iter().skip(max) {
            end(
                shared,
                session,
                Some(ProtocolError::ServerConnectionsExceeded),
                CloseReason::MaxConnectionsExceeded,
            );
        }
    }
}

/// Closes those who are beyond the limits of their accounts: the youngest connections, and those with too many
/// subscriptions.
fn enforce_account_limits(shared: &Shared) {
    for options in &shared.policy().options.accounts {
        let AccountLimits { connections_max, subscriptions_max, .. } = options.limits;
        if (connections_max, subscriptions_max) == (None, None) {
            continue;
        }
        let Some(account) = shared.account(&options.name) else { continue };
        let mut sessions = shared.registry.open_in(Some(account.id));
        sessions.retain(|session| session.peer.closing().is_none());
        let connections_max =
            connections_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        for (number, session) in sessions.iter().enumerate() {
            if number >= connections_max {
                end(
                    shared,
                    session,
                    Some(ProtocolError::AccountConnectionsExceeded),
                    CloseReason::MaxAccountConnectionsExceeded,
                );
                continue;
            }
            let subscriptions = session.peer.subscriptions().len() as u64;
            if subscriptions_max.is_some_and(|max| subscriptions > max) {
                end(
                    shared,
                    session,
                    Some(ProtocolError::SubscriptionsExceeded),
                    CloseReason::MaxSubscriptionsExceeded,
                );
            }
        }
    }
}
