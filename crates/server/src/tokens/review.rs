//! What a change of an account's token means for those who are connected.

use super::clock::now;
use crate::registry::Session;
use crate::reload::{give, tell};
use crate::shared::Shared;
use dialtone_identity::authenticator::Surroundings;
use dialtone_identity::jwt::trust::{Presented, Proof, TrustError};
use dialtone_wire::{CloseReason, ProtocolError};
use std::sync::Arc;

/// Looks at one connection of which it is not sure that its rights are those of its account's newest token.
pub(crate) fn connection(shared: &Shared, session: &Session) {
    let Some(claimed) = session.claimed() else { return };
    if let Err(end) = again(shared, session, &claimed.account) {
        end.close(session);
    }
}

/// Closes each connection of an account that is none any more.
pub(super) fn refuse(shared: &Shared, key: &str) {
    for session in shared.registry.open() {
        if session.is_of(key) && session.peer.closing().is_none() {
            End::REFUSED.close(&session);
        }
    }
}

/// Looks at each connection of an account: who may be here by the account's present token stays, with the rights that
/// it gives now; the others are closed.
pub(super) fn connections(shared: &Shared, key: &str) {
    let stays = |session: &Arc<Session>| session.is_of(key) && session.peer.closing().is_none();
    let sessions: Vec<Arc<Session>> = shared.registry.open().into_iter().filter(stays).collect();
    for session in &sessions {
        if let Err(end) = again(shared, session, key) {
            end.close(session);
        }
    }
    if let Some(account) = shared.account(key) {
        account.forget_matches();
    }
    let Some(max) = shared.tokens.find(key).and_then(|believed| believed.claims.limits.connections_max)
    else {
        return;
    };
    // The youngest go first.
    let open = sessions.iter().filter(|session| session.peer.closing().is_none());
    for session in open.skip(usize::try_from(max).unwrap_or(usize::MAX)) {
        tell(session, ProtocolError::AccountConnectionsExceeded);
        session.peer.close(CloseReason::MaxAccountConnectionsExceeded);
    }
}

/// How a connection ends that may not stay.
struct End(Option<ProtocolError>, CloseReason);

impl End {
    const REFUSED: Self = Self(Some(ProtocolError::Authorization), CloseReason::AuthenticationViolation);
    const ACCOUNT_OVER: Self = Self(Some(ProtocolError::AccountExpired), CloseReason::AuthenticationExpired);

    fn close(&self, session: &Session) {
        if let Some(error) = self.0 {
            tell(session, error);
        }
        session.peer.close(self.1);
    }
}

/// What a connection presents whose proof was seen before.
pub(crate) fn shown<'a>(session: &Session, time_of_day: &'a dyn Fn(&str) -> Option<i64>) -> Presented<'a> {
    Presented {
        proof: Proof::Shown,
        connection_type: session.way.connection_type(),
        proxied: session.proxy.get().is_some(),
        address: session.remote().map(|remote| remote.ip()),
        now: now(),
        time_of_day,
    }
}

fn again(shared: &Shared, session: &Session, key: &str) -> Result<(), End> {
    let policy = shared.policy();
    let operators = policy.authenticator.operators().ok_or(End::REFUSED)?;
    let Some(believed) = shared.tokens.find(key) else { return Err(End::ACCOUNT_OVER) };
    let Some(claimed) = session.claimed() else { return Ok(()) };
    let time_of_day = |zone: &str| shared.time_of_day(zone);
    let claimed = operators.again(&claimed, &believed.token, &shown(session, &time_of_day)).map_err(
        |error| match error {
            TrustError::Revoked => End(Some(ProtocolError::AuthenticationRevoked), CloseReason::Revocation),
            TrustError::Time if believed.token.check_time(now()).is_err() => End::ACCOUNT_OVER,
            TrustError::Time => {
                End(Some(ProtocolError::AuthenticationExpired), CloseReason::AuthenticationExpired)
            }
            // A signing key that is one no longer: closed without a word, as by the official server.
            TrustError::Issuer => End(None, CloseReason::AuthenticationViolation),
            _ => End::REFUSED,
        },
    )?;
    let permissions = claimed.permissions.clone();
    session.set_claimed(Arc::new(claimed));
    give(session, permissions);
    let max = [believed.claims.limits.subscriptions_max, session.claimed().and_then(|c| c.subscriptions_max)];
    if max.into_iter().flatten().min().is_some_and(|max| session.peer.subscriptions().len() as u64 >= max) {
        tell(session, ProtocolError::SubscriptionsExceeded);
    }
    // Its loop takes over the limits, and the second in which it ends.
    session.peer.call_owner();
    Ok(())
}
