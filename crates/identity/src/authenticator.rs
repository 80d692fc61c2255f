//! The one function that admits a connection, and that decides whether it may stay: what a connection has shown against the
//! users of the configuration. Servers of the network are no users of an account: `servers` is for them.

mod servers;
mod shown;

pub use crate::grant::{Grant, JwtContext};
pub use servers::Servers;
pub use shown::{Checked, Credentials, Kept, Shown, SlowCheck};

use crate::callout::{CalloutContext, CalloutError, CalloutRequest, Service};
use crate::distinguished_name::DistinguishedName;
use crate::jwt::trust::{Presented, Proof, TrustError};
use crate::jwt::{Body, DecodedJwt};
use crate::operator::{Claimed, Operators};
use crate::permission::{Permissions, guarded};
use crate::{certificate, nkey, operator, password};
use dialtone_config::options::{Options, User};
use dialtone_config::{ConfigError, Secret};
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What is wrong with the users of the configuration: invalid NKeys and JWTs. `now` is in seconds since 1970.
pub fn check(options: &Options, now: i64) -> Vec<ConfigError> {
    let is = |key: &str, kind| nkey::Public::parse(key).is_ok_and(|public| public.kind == kind);
    let users = options
        .access
        .authorization
        .users
        .iter()
        .chain(options.access.accounts.iter().flat_map(|a| &a.users));
    let users =
        users.filter(|user| user.nkey.as_deref().is_some_and(|key| !is(key, nkey::Kind::User))).map(|user| {
            ConfigError::new(&user.at, "Not a valid public nkey for a user").help("it begins with U")
        });
    let accounts = options
        .access
        .accounts
        .iter()
        .filter(|account| account.nkey.as_deref().is_some_and(|key| !is(key, nkey::Kind::Account)))
        .map(|account| {
            let problem = format!("Not a valid public nkey for an account: {:?}", account.name);
            ConfigError::new(&account.at, problem).help("it begins with A")
        });
    let operators = Operators::new(options, now).err().unwrap_or_default();
    users.chain(accounts).chain(operators).collect()
}

/// How the connection came.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The kind of connection, as in `allowed_connection_types`.
    pub connection_type: &'a str,
    /// Its verified certificate, DER.
    pub certificate: Option<&'a [u8]>,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// What tokens are judged by.
    pub jwt_context: &'a dyn JwtContext,
}

/// Whether a connection may come in.
#[derive(Debug)]
pub enum Outcome {
    /// Come in.
    Granted(Grant),
    /// No.
    Refused(Refusal),
    /// A service is to be asked.
    Ask(Box<CalloutRequest>),
    /// The token of the account with this key is not at hand: ask again when it is, or is not to be had.
    AccountNeeded(String),
    /// The answer takes long: run it elsewhere, and ask again with what came of it. If it is good, this is granted.
    Slow(SlowCheck, Grant),
}

/// Why a connection may not come in. The text is for the log alone: the peer is told the same in every case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What it presents is not enough, for this reason.
    Credentials(&'static str),
    /// Its JWT is rejected.
    Token(TrustError),
    /// The authorization service refuses, or its answer is rejected.
    Callout(CalloutError),
    /// A proxy that is not trusted signed for it.
    ProxyNotTrusted,
    /// Its user must come through a trusted proxy, and did not.
    ProxyRequired,
}

impl Refusal {
    /// Whether others than the configuration decided: who signed the token, or the authorization service. Only the
    /// reason shows then what to change.
    pub fn is_of_others(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Callout(_))
    }

    /// The reason.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Credentials(why) => (*why).into(),
            Self::Token(why) => why.to_string().into(),
            Self::Callout(why) => why.to_string().into(),
            Self::ProxyNotTrusted => "proxy is not trusted".into(),
            Self::ProxyRequired => "proxy connection required".into(),
        }
    }
}

fn refused(why: &'static str) -> Outcome {
    Outcome::Refused(Refusal::Credentials(why))
}

#[derive(Debug)]
struct KnownUser {
    grant: Grant,
    password: Option<Secret>,
    connection_types: Vec<String>,
    proxy_required: bool,
}

/// How a connection came, with what is known of its proxy.
struct Attempt<'a> {
    context: &'a Context<'a>,
    /// A trusted proxy signed for it.
    proxied: bool,
    time_of_day: &'a dyn Fn(&str) -> Option<i64>,
}

impl Attempt<'_> {
    fn presented<'p>(&'p self, proof: Proof<'p>) -> Presented<'p> {
        let context = self.context;
        Presented {
            proof,
            connection_type: context.connection_type,
            proxied: self.proxied,
            address: context.address,
            now: context.jwt_context.now(),
            time_of_day: self.time_of_day,
        }
    }
}

/// Everyone who may connect. Immutable; a reload makes another.
#[derive(Debug, Default)]
pub struct Authenticator {
    users: HashMap<String, KnownUser>,
    nkeys: HashMap<String, KnownUser>,
    token: Option<Secret>,
    /// The token counts only through a trusted proxy.
    token_needs_proxy: bool,
    no_auth_user: Option<String>,
    /// Proxies that are trusted, by their public NKeys.
    proxies: Vec<Arc<str>>,
    /// Users are known by their certificates.
    map_certificates: bool,
    /// Users are known by their names alone.
    trusts_names: bool,
    /// Users whose name is one of a certificate's subject, if certificates are asked.
    distinguished: Vec<(DistinguishedName, String)>,
    /// Users are known by signature.
    operators: Option<Operators>,
    /// A service is asked who may connect.
    service: Option<Service>,
}

impl Authenticator {
    /// Compiles the users of the configuration, or its operators. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Tokens that cannot be meant, with their places.
    pub fn new(options: &Options, now: i64) -> Result<Self, Vec<ConfigError>> {
        Ok(Self { operators: Operators::new(options, now)?, ..Self::with_users(options) })
    }

    /// The same for connections that the server makes itself, having found out whose they are: the user that one names needs no password.
    pub fn trusting_names(self) -> Self {
        Self { trusts_names: true, ..self }
    }

    fn with_users(options: &Options) -> Self {
        let mut out = Self {
            token: options.access.authorization.token.clone(),
            token_needs_proxy: options.access.authorization.proxy_required,
            proxies: options.access.trusted_proxies.iter().map(|key| key.as_str().into()).collect(),
            no_auth_user: options.access.no_auth_user.clone(),
            service: Service::new(options),
            ..Self::default()
        };
        let authorization = &options.access.authorization;
        let defaults = authorization.default_permissions.as_ref();
        let compile = |p: &dialtone_config::options::Permissions| Arc::new(Permissions::new(p));
        let default = defaults.map(compile);
        if let Some(name) = &authorization.user {
            let user = User {
                name: name.clone(),
                password: authorization.password.clone(),
                proxy_required: authorization.proxy_required,
                ..User::default()
            };
            out.add(&user, None, default.clone());
        }
        for user in &authorization.users {
            out.add(user, None, user.permissions.as_deref().map(compile).or_else(|| default.clone()));
        }
        for account in &options.access.accounts {
            let default = account.default_permissions.as_ref().map(compile);
            let name: Arc<str> = account.name.as_str().into();
            for user in &account.users {
                let permissions = user.permissions.as_deref().map(compile).or_else(|| default.clone());
                out.add(user, Some(name.clone()), permissions);
            }
        }
        // A single user and a token stay what they are, and with no users at all a verified certificate is enough.
        let maps = options.clients.tls.as_ref().is_some_and(|tls| tls.map);
        let mut lists =
            options.access.accounts.iter().map(|account| &account.users).chain([&authorization.users]);
        out.map_certificates = maps && lists.any(|users| users.iter().any(|user| user.nkey.is_none()));
        if out.map_certificates {
            let names = out.users.keys();
            out.distinguished =
                names.filter_map(|name| Some((DistinguishedName::parse(name)?, name.clone()))).collect();
            out.distinguished.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        }
        out
    }

    fn add(&mut self, user: &User, account: Option<Arc<str>>, permissions: Option<Arc<Permissions>>) {
        let name = user.nkey.as_deref().unwrap_or(&user.name);
        let own = account.as_deref().unwrap_or("$G");
        let permissions = match &self.service {
            Some(service) if service.callout_request.account.as_deref() == Some(own) => {
                Some(guarded(permissions.as_deref()))
            }
            _ => permissions,
        };
        let known = KnownUser {
            grant: Grant { account, user: name.into(), permissions, claimed: None },
            password: user.password.clone(),
            connection_types: user.connection_types.clone(),
            proxy_required: user.proxy_required,
        };
        let table = if user.nkey.is_some() { &mut self.nkeys } else { &mut self.users };
        table.insert(name.to_owned(), known);
    }

    /// Whether a connection must present something, or be known otherwise.
    pub fn required(&self) -> bool {
        !self.users.is_empty()
            || !self.nkeys.is_empty()
            || self.token.is_some()
            || self.operators.is_some()
            || self.service.is_some()
    }

    /// Who is believed, in operator mode.
    pub fn operators(&self) -> Option<&Operators> {
        self.operators.as_ref()
    }

    /// Whether a connection that presents nothing may be someone without even saying so.
    pub fn takes_silence(&self) -> bool {
        self.operators.is_none()
            && self.service.as_ref().is_none_or(|service| self.is_left(service, self.silent()))
    }

    /// Whether someone may have to sign.
    pub fn nonce_required(&self) -> bool {
        !self.nkeys.is_empty() || !self.proxies.is_empty() || self.operators.is_some()
    }

    /// Whether connections without credentials are someone.
    pub fn no_auth_user(&self) -> Option<&str> {
        self.no_auth_user.as_deref()
    }

    /// The rights that a user has now, by the name in its grant. `None`: there is no such user any more.
    pub fn find(&self, name: &str) -> Option<&Grant> {
        self.users.get(name).or_else(|| self.nkeys.get(name)).map(|known| &known.grant)
    }

    /// The user that a verified certificate (DER) names.
    pub fn certified_name(&self, der: &[u8], connection_type: &str) -> Option<&str> {
        self.certified(der, connection_type).map(|known| &*known.grant.user)
    }

    /// The users of the configuration, in no order.
    pub fn users(&self) -> impl Iterator<Item = &Grant> {
        self.users.values().chain(self.nkeys.values()).map(|known| &known.grant)
    }

    /// Whether this connection may come in, or stay, and as whom. What is found out on the way is remembered in `shown`.
    pub fn authenticate(&self, shown: &mut Shown, context: &Context<'_>) -> Outcome {
        if shown.silent && !self.takes_silence() {
            return refused("no CONNECT");
        }
        if let Err(refusal) = self.find_proxy(shown) {
            return Outcome::Refused(refusal);
        }
        let time_of_day = |zone: &str| context.jwt_context.time_of_day(zone);
        let attempt = Attempt { context, proxied: shown.proxy.is_some(), time_of_day: &time_of_day };
        self.admit(shown, &attempt)
    }

    /// Finds the trusted proxy that signed for a connection. Where no proxy is trusted, none is looked for.
    fn find_proxy(&self, shown: &mut Shown) -> Result<(), Refusal> {
        if let Some(proxy) = &shown.proxy {
            return self.proxies.contains(proxy).then_some(()).ok_or(Refusal::ProxyNotTrusted);
        }
        let signature = &shown.credentials.proxy_signature;
        // Without a nonce there was nothing to sign: nobody was trusted when it came.
        if signature.is_empty() || shown.nonce.is_empty() || self.proxies.is_empty() {
            return Ok(());
        }
        let signed = |key: &&Arc<str>| nkey::verify_proxy(key, shown.nonce.as_bytes(), signature);
        shown.proxy = Some(self.proxies.iter().find(signed).cloned().ok_or(Refusal::ProxyNotTrusted)?);
        Ok(())
    }

    fn admit(&self, shown: &mut Shown, attempt: &Attempt<'_>) -> Outcome {
        if !self.required() {
            let nobody = Grant { account: None, user: "".into(), permissions: None, claimed: None };
            return Outcome::Granted(nobody);
        }
        if let Some(operators) = &self.operators {
            return by_jwt(operators, shown, attempt);
        }
        if let Some(service) = &self.service {
            return self.by_service(service, shown, attempt);
        }
        self.by_list(shown, attempt)
    }

    /// The users that the service itself is are known as always, and so are those in accounts that are not its to
    /// decide about: what they present is never passed on, right or wrong. It is asked about all others.
    fn by_service(&self, service: &Service, shown: &mut Shown, attempt: &Attempt<'_>) -> Outcome {
        let credentials = &shown.credentials;
        if service.is_itself(&credentials.nkey) || service.is_itself(&credentials.user) {
            return match self.by_list(shown, attempt) {
                // Who is known otherwise than by the name it says is not the service.
                Outcome::Granted(grant) if !service.is_itself(&grant.user) => {
                    refused("not a user of the service")
                }
                outcome => outcome,
            };
        }
        if self.is_left(service, self.meant(credentials, attempt)) {
            return self.by_list(shown, attempt);
        }
        if self.map_certificates
            && let Outcome::Granted(grant) = self.by_list(shown, attempt)
            && service.is_itself(&grant.user)
        {
            return Outcome::Granted(grant);
        }
        ask(service.callout_request.clone(), shown, attempt, None)
    }

    /// Whether this is a user about whom the service is not asked.
    fn is_left(&self, service: &Service, user: Option<&KnownUser>) -> bool {
        user.is_some_and(|known| !service.decides(known.grant.account.as_deref()))
    }

    /// The user of the configuration that these credentials are meant for, whether or not they are good.
    fn meant(&self, credentials: &Credentials, attempt: &Attempt<'_>) -> Option<&KnownUser> {
        if self.trusts_names && !credentials.names_nobody() {
            return self.known(&credentials.user);
        }
        if !credentials.nkey.is_empty() && !self.nkeys.is_empty() {
            return self.nkeys.get(&credentials.nkey);
        }
        if self.map_certificates {
            return self.certified(attempt.context.certificate?, attempt.context.connection_type);
        }
        if credentials.names_nobody() {
            return self.silent();
        }
        self.users.get(&credentials.user)
    }

    /// The user that connections without credentials are.
    fn silent(&self) -> Option<&KnownUser> {
        self.known(self.no_auth_user.as_ref()?)
    }

    /// By the users of the configuration.
    fn by_list(&self, shown: &mut Shown, attempt: &Attempt<'_>) -> Outcome {
        let credentials = &shown.credentials;
        if self.trusts_names {
            let nobody = credentials.names_nobody();
            let known = if nobody { self.silent() } else { self.known(&credentials.user) };
            return known.map_or(refused("unknown user"), |known| known.admit(attempt));
        }
        if !credentials.nkey.is_empty() && !self.nkeys.is_empty() {
            return self.by_nkey(shown, attempt);
        }
        if self.map_certificates {
            return self.by_certificate(shown, attempt);
        }
        if credentials.names_nobody()
            && let Some(known) = self.silent()
        {
            return known.admit(attempt);
        }
        if let Some(token) = &self.token {
            if self.token_needs_proxy && !attempt.proxied {
                return Outcome::Refused(Refusal::ProxyRequired);
            }
            let user = "[REDACTED]".into();
            let grant = Grant { account: None, user, permissions: None, claimed: None };
            return compare(shown, token, &credentials.token, grant);
        }
        match self.users.get(&credentials.user) {
            Some(known) => known.by_password(shown, attempt),
            None => refused("unknown user"),
        }
    }

    fn known(&self, name: &str) -> Option<&KnownUser> {
        self.users.get(name).or_else(|| self.nkeys.get(name))
    }

    fn by_nkey(&self, shown: &mut Shown, attempt: &Attempt<'_>) -> Outcome {
        let Credentials { nkey, signature, .. } = &shown.credentials;
        let Some(known) = self.nkeys.get(nkey) else { return refused("unknown NKey") };
        if shown.signed.as_deref() != Some(nkey) {
            if signature.is_empty() {
                return refused("signature missing");
            }
            if !nkey::verify_nonce(nkey, shown.nonce.as_bytes(), signature) {
                return refused("Signature not verified");
            }
            shown.signed = Some(nkey.as_str().into());
        }
        known.admit(attempt)
    }

    /// The name that CONNECT says does not count; the password does, if the certificate's user has one.
    fn by_certificate(&self, shown: &Shown, attempt: &Attempt<'_>) -> Outcome {
        let Some(der) = attempt.context.certificate else { return refused("no client certificate") };
        match self.certified(der, attempt.context.connection_type) {
            Some(known) => known.by_password(shown, attempt),
            None => refused("no user has a name in the certificate"),
        }
    }

    /// The user of a certificate: the first name in it that is one, or its subject.
    fn certified(&self, der: &[u8], connection_type: &str) -> Option<&KnownUser> {
        let known =
            |name: &String| self.users.get(name).filter(|known| known.may_connect_by(connection_type));
        certificate::names(der).iter().find_map(known).or_else(|| self.by_subject(der, connection_type))
    }

    /// The user whose name is the certificate's subject in another spelling: in its order if there is one, otherwise
    /// in any order. Where several users could be meant, none is.
    fn by_subject(&self, der: &[u8], connection_type: &str) -> Option<&KnownUser> {
        let subject = certificate::subject(der)?;
        let only = |is: fn(&DistinguishedName, &DistinguishedName) -> bool| {
            let mut found = self.distinguished.iter().filter(|(name, _)| is(name, &subject));
            let (first, another) = (found.next(), found.next());
            first.filter(|_| another.is_none())
        };
        let (_, name) = only(DistinguishedName::is).or_else(|| only(DistinguishedName::is_permutation_of))?;
        self.users.get(name).filter(|known| known.may_connect_by(connection_type))
    }
}

/// The user is the one that the token is of, if its account's token can be believed and it signed the nonce.
fn by_jwt(operators: &Operators, shown: &mut Shown, attempt: &Attempt<'_>) -> Outcome {
    let credentials = &shown.credentials;
    let known = shown.user.clone().map_or_else(|| operators.presented(&credentials.jwt), Ok);
    let user = match known {
        Ok(found) => found,
        Err(_) if credentials.jwt.is_empty() => return refused("authentication requires a user JWT"),
        Err(error) => return Outcome::Refused(Refusal::Token(error)),
    };
    let Some(key) = user.token.account_key().filter(|key| operator::is_account(key)) else {
        return refused("the JWT names no account");
    };
    if !operators.may_come(&key) {
        return Outcome::Refused(Refusal::Token(TrustError::Pinned));
    }
    let Some(account) = attempt.context.jwt_context.account(&key) else { return Outcome::AccountNeeded(key) };
    let subject = user.token.subject.to_string();
    let proof = match &shown.signed {
        Some(signed) if **signed == *subject => Proof::Shown,
        _ => Proof::Signature { nonce: shown.nonce.as_bytes(), signature: &credentials.signature },
    };
    let claimed = match operators.admit(&user, &account, &attempt.presented(proof)) {
        Err(TrustError::Proxy) => return Outcome::Refused(Refusal::ProxyRequired),
        Err(error) => return Outcome::Refused(Refusal::Token(error)),
        Ok(claimed) => claimed,
    };
    if !claimed.bearer {
        shown.signed = Some(subject.as_str().into());
    }
    if *user.jwt == *shown.credentials.jwt {
        // All who present the same one share its text.
        shown.credentials.jwt = user.jwt.clone();
        shown.user = Some(user);
    }
    if asks(&account, &claimed) {
        return match CalloutRequest::account(&account) {
            Ok(callout_request) => ask(callout_request, shown, attempt, Some(operators)),
            Err(error) => Outcome::Refused(Refusal::Token(error)),
        };
    }
    Outcome::Granted(Grant {
        account: Some(claimed.account.clone()),
        user: subject.into(),
        permissions: claimed.permissions.clone(),
        claimed: Some(Arc::new(claimed)),
    })
}

/// Whether an account has a service asked about this user.
fn asks(account: &DecodedJwt, claimed: &Claimed) -> bool {
    let Body::Account(body) = &account.body else { return false };
    let users = &body.authorization.auth_users;
    !users.is_empty() && !users.contains(&claimed.token.subject.to_string())
}

impl KnownUser {
    fn by_password(&self, shown: &Shown, attempt: &Attempt<'_>) -> Outcome {
        let given = &shown.credentials.password;
        if let Some(refusal) = self.refusal(attempt) {
            return Outcome::Refused(refusal);
        }
        match &self.password {
            Some(stored) => compare(shown, stored, given, self.grant.clone()),
            // A user without password is known by something else, such as a certificate.
            None if given.expose().is_empty() => Outcome::Granted(self.grant.clone()),
            None => refused("wrong password"),
        }
    }

    fn admit(&self, attempt: &Attempt<'_>) -> Outcome {
        match self.refusal(attempt) {
            None => Outcome::Granted(self.grant.clone()),
            Some(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Why this user may not come this way, whatever it presents.
    fn refusal(&self, attempt: &Attempt<'_>) -> Option<Refusal> {
        if self.proxy_required && !attempt.proxied {
            Some(Refusal::ProxyRequired)
        } else if !self.may_connect_by(attempt.context.connection_type) {
            Some(Refusal::Credentials("connection type not allowed"))
        } else {
            None
        }
    }

    fn may_connect_by(&self, connection_type: &str) -> bool {
        self.connection_types.is_empty() || self.connection_types.iter().any(|t| t == connection_type)
    }
}

fn compare(shown: &Shown, stored: &Secret, given: &Secret, grant: Grant) -> Outcome {
    let matches = match shown.matches(stored, given) {
        None if password::is_slow(stored) => {
            return Outcome::Slow(SlowCheck { stored: stored.clone(), given: given.clone() }, grant);
        }
        None => password::verify(stored, given),
        Some(matches) => matches,
    };
    if matches { Outcome::Granted(grant) } else { refused("wrong password") }
}

/// A service decides. What it said of this connection before is judged by the rules that it has now; another service is
/// asked anew.
fn ask(
    callout_request: CalloutRequest,
    shown: &Shown,
    attempt: &Attempt<'_>,
    operators: Option<&Operators>,
) -> Outcome {
    let Some(answered) = shown.answered.as_ref().filter(|answered| answered.is_by(&callout_request)) else {
        return Outcome::Ask(Box::new(callout_request));
    };
    let presented = attempt.presented(Proof::Shown);
    let by = CalloutContext { operators, presented: &presented, jwt_context: attempt.context.jwt_context };
    match callout_request.admit(answered, &by) {
        Ok(grant) => Outcome::Granted(grant),
        Err(CalloutError::AccountMissing(key)) => Outcome::AccountNeeded(key),
        Err(error) => Outcome::Refused(Refusal::Callout(error)),
    }
}

#[cfg(test)]
mod tests;
