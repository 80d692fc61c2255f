//! What becomes of it when a connection is not let in, or may not stay: the reason that monitoring shows, and what is kept of it.

use crate::accounts::Accounts;
use crate::registry::Session;
use crate::rejection::{Holder, Rejection, cut};
use crate::settings::Settings;
use dialtone_identity::authenticator::Refusal;
use dialtone_wire::CloseReason;

/// How monitoring calls it when a connection is not let in.
pub(crate) fn close_reason(refusal: &Refusal) -> CloseReason {
    match refusal {
        Refusal::Credentials(_) | Refusal::Token(_) | Refusal::Callout(_) => {
            CloseReason::AuthenticationViolation
        }
        Refusal::ProxyNotTrusted => CloseReason::ProxyNotTrusted,
        Refusal::ProxyRequired => CloseReason::ProxyRequired,
    }
}

/// Notes a refusal for a connection, if there is anything to report. Only the first counts.
///
/// `jwt` is the user JWT of the CONNECT; empty where there was none.
pub(crate) fn note(
    settings: &Settings,
    accounts: &Accounts,
    session: &Session,
    refusal: &Refusal,
    jwt: &str,
) {
    if refusal.is_of_others() {
        session.rejection.get_or_init(|| Box::new(Rejection::new(refusal, holder(settings, accounts, jwt))));
    }
}

fn holder(settings: &Settings, accounts: &Accounts, jwt: &str) -> Option<Holder> {
    let policy = settings.policy();
    let user = policy.authenticator.operators()?.presented(jwt).ok()?;
    let account = user.token.account_key().unwrap_or_default();
    Some(Holder {
        user: user.token.subject.to_string(),
        name: cut(&user.token.name),
        account_name: accounts.name_of(&account).to_string(),
        account: cut(&account),
    })
}
