//! Auth callout: what is asked of the authorization service, and whether its answer can be trusted.
//!
//! The question and the answer are JWTs. The question is signed by this server for a key that was made for this
//! question alone, and the answer must be for that key and this server; so no answer serves twice.

use crate::grant::{Grant, JwtContext};
use crate::jwt::authorization::{AuthorizationRequest, REQUEST_AUDIENCE};
use crate::jwt::encode::{self, EncodeError};
use crate::jwt::trust::{Presented, TrustError};
use crate::jwt::{self, Body, DecodedJwt};
use crate::nkey::{Kind, Public, Seed};
use crate::operator::{Claimed, Operators, UserJwt, configured};
use crate::permission::{CALLOUT_SUBJECT, guarded};
use crate::xkey;
use dialtone_config::options::{AuthCallout, Options};
use std::sync::Arc;
use std::time::Duration;

/// Where the service listens. Nobody else in its account may publish there.
pub const SUBJECT: &str = CALLOUT_SUBJECT;
/// The header that says with which key a question is sealed.
pub const XKEY_HEADER: &str = "Nats-Server-Xkey";
/// The default account.
const GLOBAL: &str = "$G";
/// Stands for every account.
const ANY: &str = "*";

/// What a server signs and seals with.
#[derive(Debug)]
pub struct Keys {
    /// Signs.
    pub seed: Seed,
    /// Seals.
    pub curve: Seed,
}

/// Whose answer is trusted.
#[derive(Clone, Debug)]
enum IssuerRule {
    /// The issuer's of the configuration.
    Configured { issuer: String, allowed: Vec<String> },
    /// The account's own, by its token.
    Account { token: Arc<DecodedJwt>, allowed: Vec<String> },
}

/// A connection that is to be asked about.
#[derive(Clone, Debug)]
pub struct CalloutRequest {
    /// The account whose service is asked; `None`: the default one.
    pub account: Option<Arc<str>>,
    /// Whom the question is about.
    subject: Public,
    /// The service's curve key.
    xkey: Option<Public>,
    rule: IssuerRule,
}

/// A question on its way, and what is needed to understand the answer.
#[derive(Debug)]
pub struct SentCallout {
    /// What is sent.
    pub payload: Vec<u8>,
    /// Whether it is sealed, and answers must be.
    pub sealed: bool,
    callout_request: CalloutRequest,
    user: Public,
}

/// Why an answer is rejected, or what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalloutError {
    /// There is no answer, for this reason.
    #[error("{0}")]
    NoAnswer(&'static str),
    /// It is not sealed for us by the service.
    #[error("the answer of the authorization service is not sealed as it must be")]
    Sealed,
    /// It is no answer.
    #[error("the answer of the authorization service is none: {0}")]
    Token(#[from] TrustError),
    /// It is the answer to another question.
    #[error("the answer of the authorization service is not for this {0}")]
    Other(&'static str),
    /// It is of somebody who may not answer.
    #[error("the answer of the authorization service has an issuer that is not trusted")]
    Issuer,
    /// The service says no.
    #[error("the authorization service refuses: {0}")]
    Refused(String),
    /// The account that the user is put into is not at hand.
    #[error("the answer of the authorization service names an account that is not there: {0:?}")]
    AccountMissing(String),
    /// The user is put where there is no place for it.
    #[error("the answer of the authorization service names an account that it may not: {0:?}")]
    Account(String),
}

impl From<jwt::JwtError> for CalloutError {
    fn from(error: jwt::JwtError) -> Self {
        Self::Token(error.into())
    }
}

impl CalloutRequest {
    /// By the configuration. `None`: its keys are none, which was refused before.
    pub(crate) fn configured(callout: &AuthCallout) -> Option<Self> {
        let key = |text: &str| Public::parse(text).ok();
        Some(Self {
            account: Some(callout.account.as_str().into()),
            subject: key(&callout.issuer)?,
            xkey: callout.xkey.as_deref().map(key).map_or(Some(None), |key| key.map(Some))?,
            rule: IssuerRule::Configured {
                issuer: callout.issuer.clone(),
                allowed: callout.allowed_accounts.clone(),
            },
        })
    }

    /// By the token of an account that asks about its users.
    pub(crate) fn account(token: &Arc<DecodedJwt>) -> Result<Self, TrustError> {
        let Body::Account(body) = &token.body else { return Err(TrustError::Kind("an account")) };
        let external = &body.authorization;
        let xkey = match external.xkey.as_str() {
            "" => None,
            text => Some(Public::parse(text).map_err(|_| jwt::JwtError::Keys)?),
        };
        let allowed = external.allowed_accounts.clone();
        let rule = IssuerRule::Account { token: token.clone(), allowed };
        Ok(Self { account: Some(token.subject.to_string().into()), subject: token.subject, xkey, rule })
    }

    /// Makes the question. `user` and `nonce` are random bytes that are used this once, `now` is in seconds since 1970.
    pub fn ask(
        self,
        mut request: AuthorizationRequest,
        keys: &Keys,
        (user, nonce): ([u8; 32], [u8; xkey::NONCE_BYTES]),
        (now, timeout): (i64, Duration),
    ) -> Result<SentCallout, EncodeError> {
        // Nobody has the seed of this key: it stands for the question.
        let user = Seed::from_bytes(Kind::User, user).public();
        request.user_nkey = user.to_string();
        if self.xkey.is_some() {
            request.server.xkey = keys.curve.public().to_string();
        }
        let seconds = timeout.as_secs_f64().ceil() as i64;
        let expires = now.saturating_add(seconds);
        let token = encode::sign_callout_request(
            &request,
            REQUEST_AUDIENCE,
            &self.subject,
            &keys.seed,
            (now, expires),
        )?;
        let payload = match &self.xkey {
            None => token.into_bytes(),
            Some(key) => xkey::seal(&keys.curve, key, nonce, token.as_bytes())
                .map_err(|error| EncodeError::Json(error.to_string()))?,
        };
        Ok(SentCallout { payload, sealed: self.xkey.is_some(), callout_request: self, user })
    }
}

/// What an answer is judged by.
pub struct CalloutContext<'a> {
    /// Who is believed, in operator mode.
    pub operators: Option<&'a Operators>,
    /// How the connection came.
    pub presented: &'a Presented<'a>,
    /// What tokens are judged by.
    pub jwt_context: &'a dyn JwtContext,
}

/// What a service said of a connection: good for as long as the service may say so.
#[derive(Clone, Debug)]
pub struct CalloutGrant {
    asked: CalloutRequest,
    issuer: Public,
    issuer_account: String,
    user: Arc<DecodedJwt>,
    jwt: Arc<str>,
}

impl CalloutGrant {
    /// The account whose service it is.
    pub(crate) fn service(&self) -> Option<&str> {
        self.asked.account.as_deref()
    }

    /// Whether it is the answer of the service that this inquiry is for.
    pub(crate) fn is_by(&self, callout_request: &CalloutRequest) -> bool {
        let CalloutRequest { account, subject, xkey, rule } = &self.asked;
        let same_rule = matches!(
            (rule, &callout_request.rule),
            (IssuerRule::Configured { .. }, IssuerRule::Configured { .. })
                | (IssuerRule::Account { .. }, IssuerRule::Account { .. })
        );
        *account == callout_request.account
            && *subject == callout_request.subject
            && *xkey == callout_request.xkey
            && same_rule
    }
}

impl SentCallout {
    /// Reads an answer, and verifies that it is the service's answer to this question and lets the connection in.
    ///
    /// `server` is this server's public key.
    pub fn judge(
        &self,
        answer: &[u8],
        server: &str,
        keys: &Keys,
        by: &CalloutContext<'_>,
    ) -> Result<CalloutGrant, CalloutError> {
        let opened;
        let text = match &self.callout_request.xkey {
            None => answer,
            Some(service) => {
                opened = xkey::open(&keys.curve, service, answer).map_err(|_| CalloutError::Sealed)?;
                &opened
            }
        };
        let token = jwt::decode(&String::from_utf8_lossy(text))?;
        let Body::AuthorizationResponse(answer) = &token.body else {
            return Err(TrustError::Kind("an authorization response").into());
        };
        token.check_time(by.presented.now)?;
        if token.subject != self.user {
            return Err(CalloutError::Other("user"));
        }
        if token.audience != server {
            return Err(CalloutError::Other("server"));
        }
        self.callout_request.check_issuer(&token.issuer, &answer.issuer_account)?;
        if !answer.error.is_empty() {
            return Err(CalloutError::Refused(answer.error.clone()));
        }
        let user = Arc::new(jwt::decode(&answer.jwt)?);
        if !matches!(user.body, Body::User(_)) {
            return Err(TrustError::Kind("a user").into());
        }
        if user.subject != self.user {
            return Err(CalloutError::Other("user"));
        }
        let answered = CalloutGrant {
            asked: self.callout_request.clone(),
            issuer: token.issuer,
            issuer_account: answer.issuer_account.clone(),
            user,
            jwt: answer.jwt.as_str().into(),
        };
        self.callout_request.admit(&answered, by).map(|_| answered)
    }
}

impl CalloutRequest {
    /// Who a connection is by an answer of this service, as long as the service may say so.
    pub(crate) fn admit(
        &self,
        answered: &CalloutGrant,
        by: &CalloutContext<'_>,
    ) -> Result<Grant, CalloutError> {
        self.check_issuer(&answered.issuer, &answered.issuer_account)?;
        let (user, jwt) = (&answered.user, &answered.jwt);
        let claimed = match &self.rule {
            IssuerRule::Configured { issuer, allowed } => configured_user(user, jwt, issuer, allowed, by)?,
            IssuerRule::Account { token, allowed } => account_user(user, jwt, token, allowed, by)?,
        };
        let name = if user.name.is_empty() { user.subject.to_string() } else { user.name.clone() };
        let (asked, mut permissions) = (self.account.as_deref(), claimed.permissions.clone());
        if matches!(self.rule, IssuerRule::Configured { .. }) && asked == Some(&*claimed.account) {
            permissions = Some(guarded(permissions.as_deref()));
        }
        let account = Some(claimed.account.clone());
        let claimed = Claimed { permissions: permissions.clone(), ..claimed };
        Ok(Grant { account, user: name.into(), permissions, claimed: Some(Arc::new(claimed)) })
    }

    fn check_issuer(&self, issuer: &Public, issuer_account: &str) -> Result<(), CalloutError> {
        let issuer = issuer.to_string();
        let trusted = match &self.rule {
            IssuerRule::Configured { issuer: configured, .. } => issuer == *configured,
            IssuerRule::Account { token: account, .. } => {
                let own = account.subject.to_string();
                let by_key =
                    matches!(&account.body, Body::Account(body) if body.signing_keys.contains_key(&issuer));
                (issuer == own || by_key) && (issuer_account.is_empty() || issuer_account == own)
            }
        };
        if trusted { Ok(()) } else { Err(CalloutError::Issuer) }
    }
}

/// A user that the issuer of the configuration puts into one of its accounts.
fn configured_user(
    user: &Arc<DecodedJwt>,
    jwt: &Arc<str>,
    issuer: &str,
    allowed: &[String],
    by: &CalloutContext<'_>,
) -> Result<Claimed, CalloutError> {
    if user.issuer.to_string() != issuer {
        return Err(CalloutError::Issuer);
    }
    let account = user.audience.as_str();
    let named = !account.is_empty() && by.jwt_context.has_account(account);
    if !named || !(allowed.is_empty() || allowed.iter().any(|name| name == account || name == ANY)) {
        return Err(CalloutError::Account(account.to_owned()));
    }
    let claimed = configured(user, by.presented)?;
    Ok(Claimed { jwt: jwt.clone(), account: account.into(), account_name: account.into(), ..claimed })
}

/// A user that an account puts into itself or into another account that its token names.
fn account_user(
    user: &Arc<DecodedJwt>,
    jwt: &Arc<str>,
    asked: &DecodedJwt,
    allowed: &[String],
    by: &CalloutContext<'_>,
) -> Result<Claimed, CalloutError> {
    let operators = by.operators.ok_or(CalloutError::Issuer)?;
    let key = user.account_key().unwrap_or_default();
    let itself = key == asked.subject.to_string();
    if !itself && !allowed.iter().any(|name| *name == key || name == ANY) {
        return Err(CalloutError::Account(key));
    }
    let account = by.jwt_context.account(&key).ok_or(CalloutError::AccountMissing(key))?;
    let user = UserJwt { token: user.clone(), jwt: jwt.clone() };
    Ok(operators.admit(&user, &account, by.presented)?)
}

/// The service that the configuration has asked, and who it is itself.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) callout_request: CalloutRequest,
    /// Users that are known as always.
    users: Vec<String>,
    /// The accounts whose users the service decides about; empty: all.
    allowed: Vec<String>,
}

impl Service {
    pub(crate) fn new(options: &Options) -> Option<Self> {
        let callout = options.access.authorization.callout.as_ref()?;
        let (users, allowed) = (callout.auth_users.clone(), callout.allowed_accounts.clone());
        Some(Self { callout_request: CalloutRequest::configured(callout)?, users, allowed })
    }

    /// Whether users that the file has in this account are for the service to decide about. Those of the default
    /// account always are, as users that the file does not have belong there too.
    pub(crate) fn decides(&self, account: Option<&str>) -> bool {
        match account {
            None | Some(GLOBAL) => true,
            Some(name) => self.allowed.is_empty() || self.allowed.iter().any(|allowed| allowed == name),
        }
    }

    /// Whether this is one of the users that the service itself is.
    pub(crate) fn is_itself(&self, user: &str) -> bool {
        !user.is_empty() && self.users.iter().any(|name| name == user)
    }
}

#[cfg(test)]
mod tests;
