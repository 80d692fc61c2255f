//! Whether a session may stay: the function that lets in is asked again, with what the session has shown.
//!
//! It is asked for every session after a reload, for those of an account whose JWT changed, and for one that was let in
//! while either happened. Nothing else ends a session for who it is, or changes its rights.

use crate::accounts::Accounts;
use crate::callout;
use crate::clock;
use crate::log::{Event, Logger};
use crate::node::{Executor, Node};
use crate::profile::Profile;
use crate::refusal::{self, close_reason};
use crate::registry::Session;
use crate::settings::Settings;
use crate::system;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::peer::Place;
use dialtone_identity::authenticator::{Checked, Context, Grant, Outcome, Refusal, Shown};
use dialtone_identity::callout::{CalloutGrant, CalloutRequest};
use dialtone_identity::jwt::trust::TrustError;
use dialtone_identity::permission::{Permissions, Subscribing};
use dialtone_wire::client::encode;
use dialtone_wire::{CloseReason, Connect, ProtocolError};
use std::sync::Arc;

/// Asks again whether a session may stay, and carries the answer out: other rights, or its end.
///
/// A session that is not in yet is not asked about: its CONNECT will be.
pub(crate) fn session(node: &Node, session: &Arc<Session>) {
    if session.is_solicited() {
        return;
    }
    loop {
        let version = node.version();
        let Some(account) = session.peer.place().account else { return };
        if session.peer.is_closing() {
            return;
        }
        match decide(node, session, &account) {
            Ok(()) if node.version() == version => return,
            // Something changed meanwhile, and whoever changed it may have been here before.
            Ok(()) => {}
            Err(end) => return end.close(node, session),
        }
    }
}

/// A check of what a session came in with is done.
pub(crate) fn checked(node: &Node, session: &Arc<Session>, checked: Checked) {
    let (kept, version) = session.shown_and_version();
    // Who presents nothing is checked too where a hash is asked for.
    let mut shown = kept.unwrap_or_else(Shown::silence);
    if shown.learn(checked) {
        session.remember(version, shown);
        self::session(node, session);
    }
}

/// An authorization service has answered about a session that is in.
pub(crate) fn answered(node: &Node, session: &Arc<Session>, outcome: Result<CalloutGrant, Refusal>) {
    match outcome {
        Ok(answered) => {
            let mut shown = session.shown().unwrap_or_else(Shown::silence);
            shown.answered(answered);
            node.connections.registry.let_in(session, shown);
            self::session(node, session);
        }
        Err(why) => End::of(&node.settings, &node.accounts, session, &why).close(node, session),
    }
}

/// Whether a session may stay could not be found out: too much waits. What is not known to be allowed ends.
pub(crate) fn overloaded(node: &Node, session: &Arc<Session>) {
    End::OVERLOADED.close(node, session);
}

/// How a session came, and what its credentials are judged by.
pub(crate) fn context<'a>(node: &'a Node, profile: &'a Profile) -> Context<'a> {
    Context {
        connection_type: profile.listener.connection_type(),
        certificate: profile.certificate(),
        address: profile.remote.map(|remote| remote.ip()),
        jwt_context: node,
    }
}

/// The account that is granted.
pub(crate) fn account_of(accounts: &Accounts, grant: &Grant) -> Option<Arc<Account>> {
    match &grant.account {
        None => Some(accounts.global.clone()),
        Some(name) => accounts.find(name),
    }
}

fn decide(node: &Node, session: &Arc<Session>, account: &Arc<Account>) -> Result<(), End> {
    let (kept, version) = session.shown_and_version();
    let is_kept = kept.is_some();
    let mut shown = kept.unwrap_or_else(Shown::silence);
    let profile = session.profile();
    let outcome = node
        .settings
        .policy()
        .authenticator_of(profile.listener)
        .authenticate(&mut shown, &context(node, &profile));
    let of_account = |grant: &Grant| {
        let is_same = account_of(&node.accounts, grant).is_some_and(|granted| Arc::ptr_eq(&granted, account));
        is_same.then_some(()).ok_or(End::MOVED)
    };
    match outcome {
        Outcome::Granted(grant) => {
            of_account(&grant)?;
            stay(node, session, grant);
            if is_kept {
                session.remember(version, shown);
            }
        }
        Outcome::Slow(check, grant) => {
            of_account(&grant)?;
            // Its rights are the new ones at once; whether it may have any is known when the check is done.
            set_permissions(&node.delivery.gate, &node.log, session, grant.permissions);
            node.verifier.take_review(check, session.clone());
        }
        Outcome::Ask(callout_request) => ask(node, session, *callout_request, &shown),
        Outcome::AccountNeeded(_) => return Err(End::ACCOUNT_OVER),
        Outcome::Refused(refusal) => return Err(End::of(&node.settings, &node.accounts, session, &refusal)),
    }
    Ok(())
}

fn stay(node: &Node, session: &Arc<Session>, grant: Grant) {
    let by_token = grant.claimed.is_some();
    session.set_claimed(grant.claimed);
    session.set_user(&grant.user);
    set_permissions(&node.delivery.gate, &node.log, session, grant.permissions);
    if by_token {
        // Its loop takes over the limits, and the second in which it ends.
        session.peer.wake_owner();
    }
}

/// A service decides that was not asked about this session.
fn ask(node: &Node, session: &Arc<Session>, callout_request: CalloutRequest, shown: &Shown) {
    let known = session.profile().known().cloned().unwrap_or_default();
    let said = Connect {
        name: known.name.to_string(),
        lang: known.lang.to_string(),
        version: known.version.to_string(),
        protocol: known.protocol,
        ..Connect::NOTHING
    };
    let request = callout::request(&node.settings, node.cluster_name(), session, &said, shown);
    let (asked, bytes) = (session.clone(), callout::waiting_bytes(&request));
    let ask = move |executor: &mut Executor| callout::ask(executor, asked, callout_request, request);
    node.internal.run_review(session, bytes, ask);
}

/// How a session ends that may not stay.
struct End {
    error: Option<ProtocolError>,
    reason: CloseReason,
    refusal: Option<Refusal>,
}

impl End {
    const OVERLOADED: Self =
        Self::new(Some(ProtocolError::ConnectionThrottled), CloseReason::MaxConnectionsExceeded);
    const ACCOUNT_OVER: Self =
        Self::new(Some(ProtocolError::AccountExpired), CloseReason::AuthenticationExpired);
    /// Without a word, as by the official server: its user is gone, or is in another account.
    const MOVED: Self = Self::new(None, CloseReason::ClientClosed);

    const fn new(error: Option<ProtocolError>, reason: CloseReason) -> Self {
        Self { error, reason, refusal: None }
    }

    fn of(settings: &Settings, accounts: &Accounts, session: &Session, refusal: &Refusal) -> Self {
        if matches!(refusal, Refusal::Credentials(_)) && has_moved(settings, accounts, session) {
            return Self::MOVED;
        }
        let end = match refusal {
            Refusal::Token(TrustError::Revoked) => {
                Self::new(Some(ProtocolError::AuthenticationRevoked), CloseReason::Revocation)
            }
            Refusal::Token(TrustError::Time) => {
                Self::new(Some(ProtocolError::AuthenticationExpired), CloseReason::AuthenticationExpired)
            }
            // A signing key that is one no longer: closed without a word, as by the official server.
            Refusal::Token(TrustError::Issuer) if settings.policy().authenticator.operators().is_some() => {
                Self::new(None, CloseReason::AuthenticationViolation)
            }
            refusal => Self::new(Some(ProtocolError::Authorization), close_reason(refusal)),
        };
        Self { refusal: Some(refusal.clone()), ..end }
    }

    fn close(&self, node: &Node, session: &Arc<Session>) {
        if let Some(refusal) = self.refusal.as_ref().filter(|_| !session.peer.is_closing()) {
            self.log(node, session, refusal);
        }
        end(node, session, self.error, self.reason);
    }

    fn log(&self, node: &Node, session: &Session, refusal: &Refusal) {
        let who = session.label();
        node.log.emit(Event::ClientCreated, &who, format_args!("{}", refusal.text()));
        if self.error == Some(ProtocolError::Authorization) {
            let shown = session.shown();
            let jwt = shown.as_ref().map_or("", |shown| &shown.credentials.jwt);
            refusal::note(&node.settings, &node.accounts, session, refusal, jwt);
            let why = session.rejection.get().map(ToString::to_string).unwrap_or_default();
            let text = format_args!("authentication error - {}{why}", named(session));
            node.log.emit(Event::AuthenticationFailed, &who, text);
        }
    }
}

/// Whether the user that a session named, or was taken for, is gone or in another account.
fn has_moved(settings: &Settings, accounts: &Accounts, session: &Session) -> bool {
    if session.claimed().is_some() {
        return false;
    }
    let shown = session.shown();
    let named = match shown.as_ref().map(|shown| &shown.credentials) {
        Some(credentials) if !credentials.nkey.is_empty() => Some(credentials.nkey.clone()),
        Some(credentials) if !credentials.user.is_empty() => Some(credentials.user.clone()),
        Some(credentials) if !credentials.token.expose().is_empty() => None,
        _ => session.user().map(|user| user.to_string()).filter(|user| !user.is_empty()),
    };
    let Some(named) = named else { return false };
    let policy = settings.policy();
    let account = policy
        .authenticator_of(session.listener())
        .find(&named)
        .and_then(|grant| account_of(accounts, grant));
    !account.zip(session.peer.place().account).is_some_and(|(now, before)| Arc::ptr_eq(&now, &before))
}

/// Ends a session from outside its loop. Several threads may find out that it has to go: it gets one error.
///
/// Where it is refused, its account and the system account get an event, as for a refused login.
pub(crate) fn end(node: &Node, session: &Arc<Session>, error: Option<ProtocolError>, reason: CloseReason) {
    if !session.begins_to_end() {
        return;
    }
    if error == Some(ProtocolError::Authorization) && node.accounts.has_system() {
        let account = session.peer.place().account.unwrap_or_else(|| node.accounts.global.clone());
        let refused = session.clone();
        node.internal.report(&account.clone(), 0, move |executor| {
            let (node, turn) = executor.parts();
            system::refused(node, turn, &refused, &account, reason);
        });
    }
    if let Some(error) = error {
        report(session, error);
    }
    session.peer.close(reason);
}

/// Sends a session an error.
pub(crate) fn report(session: &Session, error: ProtocolError) {
    let mut bytes = Vec::new();
    encode::error(&mut bytes, error.text());
    session.peer.send(&bytes, clock::moment());
}

/// Gives a session other rights; subscriptions that they do not cover end.
pub(crate) fn set_permissions(
    gate: &Gate,
    log: &Logger,
    session: &Session,
    permissions: Option<Arc<Permissions>>,
) {
    let peer = &session.peer;
    let account = peer.place().account;
    peer.set_place(Place { account: account.clone(), permissions: permissions.clone() });
    let (Some(account), Some(permissions)) = (account, permissions) else { return };
    let all: Vec<_> = peer.subscriptions().iter().cloned().collect();
    for subscription in all {
        if permissions.can_subscribe(subscription.filter(), subscription.queue()) != Subscribing::Denied {
            continue;
        }
        if !gate.unsubscribe(&account, &subscription, None) {
            // Its client or another thread was first.
            continue;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let queue =
            subscription.queue().map_or(String::new(), |queue| format!(" using queue {:?}", text(queue)));
        let what = format!("{:?}{queue} (sid {:?})", text(subscription.filter()), text(subscription.sid()));
        let line = format_args!("Removed sub {what} for {} - not authorized", named(session));
        log.emit(Event::SubscriptionRemoved, "", line);
        let mut bytes = Vec::new();
        encode::error(&mut bytes, &format!("Permissions Violation for Subscription to {what}"));
        peer.send(&bytes, clock::moment());
    }
}

/// Whom the log says that a session is, in the official words.
fn named(session: &Session) -> String {
    let shown = session.shown().unwrap_or_default();
    let credentials = &shown.credentials;
    match (&*credentials.nkey, &*credentials.user, session.claimed()) {
        ("", "", Some(claimed)) => format!("JWT User {:?}", claimed.token.subject.to_string()),
        ("", "", None) if !credentials.token.expose().is_empty() => "Token \"[REDACTED]\"".to_owned(),
        ("", "", None) => {
            format!("User {:?}", session.user().filter(|user| !user.is_empty()).as_deref().unwrap_or("N/A"))
        }
        ("", user, _) => format!("User {user:?}"),
        (nkey, ..) => format!("Nkey {nkey:?}"),
    }
}
