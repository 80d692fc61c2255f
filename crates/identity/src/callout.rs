//! Asking a service who a connection is: what is asked, and whether the answer can be believed.
//!
//! The question and the answer are tokens. The question is signed by this server for a key that was made for this
//! question alone, and the answer must be for that key and this server; so no answer serves twice.

use crate::authenticator::{Grant, Surroundings};
use crate::jwt::authorization::{AuthorizationRequest, REQUEST_AUDIENCE};
use crate::jwt::encode::{self, EncodeError};
use crate::jwt::trust::{Presented, TrustError};
use crate::jwt::{self, Body, Token};
use crate::nkey::{Kind, Public, Seed};
use crate::operator::{Claimed, Operators, UserToken, configured};
use crate::permission::Permissions;
use crate::xkey;
use dialtone_config::options::{AuthCallout, Options, Permissions as Source};
use std::sync::Arc;
use std::time::Duration;

/// Where the service listens. Nobody else in its account may publish there.
pub const SUBJECT: &str = "$SYS.REQ.USER.AUTH";
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

/// Whose answer is believed.
#[derive(Clone, Debug)]
enum Rule {
    /// The issuer's of the configuration.
    Configured { issuer: String, allowed: Vec<String> },
    /// The account's own, by its token.
    Account { token: Arc<Token>, allowed: Vec<String> },
}

/// A connection that is to be asked about.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The account whose service is asked; `None`: the default one.
    pub account: Option<Arc<str>>,
    /// Whom the question is about.
    subject: Public,
    /// The service's curve key.
    xkey: Option<Public>,
    rule: Rule,
}

/// A question on its way, and what is needed to understand the answer.
#[derive(Debug)]
pub struct Question {
    /// What is sent.
    pub payload: Vec<u8>,
    /// Whether it is sealed, and answers must be.
    pub sealed: bool,
    inquiry: Inquiry,
    user: Public,
}

/// Why an answer is not believed, or what it says.
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

impl Inquiry {
    /// By the configuration. `None`: its keys are none, which was refused before.
    pub(crate) fn configured(callout: &AuthCallout) -> Option<Self> {
        let key = |text: &str| Public::parse(text).ok();
        Some(Self {
            account: Some(callout.account.as_str().into()),
            subject: key(&callout.issuer)?,
            xkey: callout.xkey.as_deref().map(key).map_or(Some(None), |key| key.map(Some))?,
            rule: Rule::Configured {
                issuer: callout.issuer.clone(),
                allowed: callout.allowed_accounts.clone(),
            },
        })
    }

    /// By the token of an account that asks about its users.
    pub(crate) fn account(token: &Arc<Token>) -> Result<Self, TrustError> {
        let Body::Account(body) = &token.body else { return Err(TrustError::Kind("an account")) };
        let external = &body.authorization;
        let xkey = match external.xkey.as_str() {
            "" => None,
            text => Some(Public::parse(text).map_err(|_| jwt::JwtError::Keys)?),
        };
        let allowed = external.allowed_accounts.clone();
        let rule = Rule::Account { token: token.clone(), allowed };
        Ok(Self { account: Some(token.subject.to_string().into()), subject: token.subject, xkey, rule })
    }

    /// Makes the question. `user` and `nonce` are random bytes that are used this once, `now` is in seconds since 1970.
    pub fn ask(
        self,
        mut request: AuthorizationRequest,
        keys: &Keys,
        (user, nonce): ([u8; 32], [u8; xkey::NONCE_BYTES]),
        (now, timeout): (i64, Duration),
    ) -> Result<Question, EncodeError> {
        // Nobody has the seed of this key: it stands for the question.
        let user = Seed::from_bytes(Kind::User, user).public();
        request.user_nkey = user.to_string();
        if self.xkey.is_some() {
            request.server.xkey = keys.curve.public().to_string();
        }
        let seconds = timeout.as_secs_f64().ceil() as i64;
        let expires = now.saturating_add(seconds);
        let token =
            encode::sign_question(&request, REQUEST_AUDIENCE, &self.subject, &keys.seed, (now, expires))?;
        let payload = match &self.xkey {
            None => token.into_bytes(),
            Some(key) => xkey::seal(&keys.curve, key, nonce, token.as_bytes())
                .map_err(|error| EncodeError::Json(error.to_string()))?,
        };
        Ok(Question { payload, sealed: self.xkey.is_some(), inquiry: self, user })
    }
}

/// What an answer is judged by.
pub struct Judging<'a> {
    /// Who is believed, in operator mode.
    pub operators: Option<&'a Operators>,
    /// How the connection came.
    pub presented: &'a Presented<'a>,
    /// What tokens are judged by.
    pub surroundings: &'a dyn Surroundings,
}

/// What a service said of a connection: good for as long as the service may say so.
#[derive(Clone, Debug)]
pub struct Answered {
    asked: Inquiry,
    issuer: Public,
    issuer_account: String,
    user: Arc<Token>,
    jwt: Arc<str>,
}

impl Answered {
    /// The account whose service it is.
    pub(crate) fn service(&self) -> Option<&str> {
        self.asked.account.as_deref()
    }

    /// Whether it is the answer of the service that this inquiry is for.
    pub(crate) fn is_by(&self, inquiry: &Inquiry) -> bool {
        let Inquiry { account, subject, xkey, rule } = &self.asked;
        let same_rule = matches!(
            (rule, &inquiry.rule),
            (Rule::Configured { .. }, Rule::Configured { .. }) | (Rule::Account { .. }, Rule::Account { .. })
        );
        *account == inquiry.account && *subject == inquiry.subject && *xkey == inquiry.xkey && same_rule
    }
}

impl Question {
    /// Reads an answer, and verifies that it is the service's answer to this question and lets the connection in.
    ///
    /// `server` is this server's public key.
    pub fn judge(
        &self,
        answer: &[u8],
        server: &str,
        keys: &Keys,
        by: &Judging<'_>,
    ) -> Result<Answered, CalloutError> {
        let opened;
        let text = match &self.inquiry.xkey {
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
        self.inquiry.check_issuer(&token.issuer, &answer.issuer_account)?;
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
        let answered = Answered {
            asked: self.inquiry.clone(),
            issuer: token.issuer,
            issuer_account: answer.issuer_account.clone(),
            user,
            jwt: answer.jwt.as_str().into(),
        };
        self.inquiry.admit(&answered, by).map(|_| answered)
    }
}

impl Inquiry {
    /// Who a connection is by an answer of this service, as long as the service may say so.
    pub(crate) fn admit(&self, answered: &Answered, by: &Judging<'_>) -> Result<Grant, CalloutError> {
        self.check_issuer(&answered.issuer, &answered.issuer_account)?;
        let (user, jwt) = (&answered.user, &answered.jwt);
        let claimed = match &self.rule {
            Rule::Configured { issuer, allowed } => configured_user(user, jwt, issuer, allowed, by)?,
            Rule::Account { token, allowed } => account_user(user, jwt, token, allowed, by)?,
        };
        let name = if user.name.is_empty() { user.subject.to_string() } else { user.name.clone() };
        let (asked, mut permissions) = (self.account.as_deref(), claimed.permissions.clone());
        if matches!(self.rule, Rule::Configured { .. }) && asked == Some(&*claimed.account) {
            permissions = Some(guarded(permissions.as_deref()));
        }
        let account = Some(claimed.account.clone());
        let claimed = Claimed { permissions: permissions.clone(), ..claimed };
        Ok(Grant { account, user: name.into(), permissions, claimed: Some(Arc::new(claimed)) })
    }

    fn check_issuer(&self, issuer: &Public, issuer_account: &str) -> Result<(), CalloutError> {
        let issuer = issuer.to_string();
        let trusted = match &self.rule {
            Rule::Configured { issuer: configured, .. } => issuer == *configured,
            Rule::Account { token: account, .. } => {
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
    user: &Arc<Token>,
    jwt: &Arc<str>,
    issuer: &str,
    allowed: &[String],
    by: &Judging<'_>,
) -> Result<Claimed, CalloutError> {
    if user.issuer.to_string() != issuer {
        return Err(CalloutError::Issuer);
    }
    let account = user.audience.as_str();
    let named = !account.is_empty() && by.surroundings.has_account(account);
    if !named || !(allowed.is_empty() || allowed.iter().any(|name| name == account || name == ANY)) {
        return Err(CalloutError::Account(account.to_owned()));
    }
    let claimed = configured(user, by.presented)?;
    Ok(Claimed { jwt: jwt.clone(), account: account.into(), account_name: account.into(), ..claimed })
}

/// A user that an account puts into itself or into another account that its token names.
fn account_user(
    user: &Arc<Token>,
    jwt: &Arc<str>,
    asked: &Token,
    allowed: &[String],
    by: &Judging<'_>,
) -> Result<Claimed, CalloutError> {
    let operators = by.operators.ok_or(CalloutError::Issuer)?;
    let key = user.account_key().unwrap_or_default();
    let itself = key == asked.subject.to_string();
    if !itself && !allowed.iter().any(|name| *name == key || name == ANY) {
        return Err(CalloutError::Account(key));
    }
    let account = by.surroundings.account(&key).ok_or(CalloutError::AccountMissing(key))?;
    let user = UserToken { token: user.clone(), jwt: jwt.clone() };
    Ok(operators.admit(&user, &account, by.presented)?)
}

/// Rights without the subject on which services are asked: nobody in their account asks in the server's place.
pub fn guarded(permissions: Option<&Permissions>) -> Arc<Permissions> {
    let mut source = permissions.map_or_else(Source::default, |permissions| permissions.source().clone());
    source.publish.deny.push(SUBJECT.to_owned());
    Arc::new(Permissions::new(&source))
}

/// The service that the configuration has asked, and who it is itself.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) inquiry: Inquiry,
    /// Users that are known as always.
    users: Vec<String>,
    /// The accounts whose users the service decides about; empty: all.
    allowed: Vec<String>,
}

impl Service {
    pub(crate) fn new(options: &Options) -> Option<Self> {
        let callout = options.authorization.callout.as_ref()?;
        let (users, allowed) = (callout.auth_users.clone(), callout.allowed_accounts.clone());
        Some(Self { inquiry: Inquiry::configured(callout)?, users, allowed })
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
