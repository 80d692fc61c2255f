//! The one function that lets in: what a connection presents against the users of the configuration.

use crate::permission::Permissions;
use crate::{certificate, nkey, password};
use dialtone_config::options::{Options, User};
use dialtone_config::{ConfigError, Secret};
use std::collections::HashMap;
use std::sync::Arc;

/// What is wrong with the users of the configuration: NKeys that are none.
pub fn check(options: &Options) -> Vec<ConfigError> {
    let is = |key: &str, kind| nkey::Public::parse(key).is_ok_and(|public| public.kind == kind);
    let users = options.authorization.users.iter().chain(options.accounts.iter().flat_map(|a| &a.users));
    let users =
        users.filter(|user| user.nkey.as_deref().is_some_and(|key| !is(key, nkey::Kind::User))).map(|user| {
            ConfigError::new(&user.at, "Not a valid public nkey for a user").help("it begins with U")
        });
    let accounts = options
        .accounts
        .iter()
        .filter(|account| account.nkey.as_deref().is_some_and(|key| !is(key, nkey::Kind::Account)))
        .map(|account| {
            let problem = format!("Not a valid public nkey for an account: {:?}", account.name);
            ConfigError::new(&account.at, problem).help("it begins with A")
        });
    users.chain(accounts).collect()
}

/// What a connection presents.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// A user name.
    pub user: String,
    /// A password.
    pub password: Secret,
    /// A token.
    pub token: Secret,
    /// A public NKey.
    pub nkey: String,
    /// Its signature of the nonce.
    pub signature: String,
}

impl Credentials {
    /// Whether nothing is presented.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
            && self.password.expose().is_empty()
            && self.token.expose().is_empty()
            && self.nkey.is_empty()
    }
}

/// How the connection came.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The nonce it was given.
    pub nonce: &'a [u8],
    /// The kind of connection, as in `allowed_connection_types`.
    pub connection_type: &'a str,
    /// Its verified certificate, DER.
    pub certificate: Option<&'a [u8]>,
}

/// Who the connection is.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The account; `None` for the default one.
    pub account: Option<Arc<str>>,
    /// The user as monitoring shows it: a name, an NKey, or `[REDACTED]` for a token.
    pub user: Arc<str>,
    /// Its rights; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
}

/// The answer.
#[derive(Debug)]
pub enum Outcome {
    /// Come in.
    Granted(Grant),
    /// No, for this reason, which is for the log alone.
    Refused(&'static str),
    /// The answer takes long: run it elsewhere.
    Slow(SlowCheck),
}

/// A check that takes long.
#[derive(Debug)]
pub struct SlowCheck {
    stored: Secret,
    given: Secret,
    grant: Grant,
}

impl SlowCheck {
    /// Does the work: about a tenth of a second of CPU. `None`: refused.
    pub fn run(self) -> Option<Grant> {
        password::verify(&self.stored, &self.given).then_some(self.grant)
    }
}

#[derive(Debug)]
struct Known {
    grant: Grant,
    password: Option<Secret>,
    connection_types: Vec<String>,
}

/// Everyone who may connect. Immutable; a reload makes another.
#[derive(Debug, Default)]
pub struct Authenticator {
    users: HashMap<String, Known>,
    nkeys: HashMap<String, Known>,
    token: Option<Secret>,
    no_auth_user: Option<String>,
    map_certificates: bool,
}

impl Authenticator {
    /// Compiles the users of the configuration.
    pub fn new(options: &Options) -> Self {
        let mut out = Self {
            token: options.authorization.token.clone(),
            no_auth_user: options.no_auth_user.clone(),
            map_certificates: options.tls.as_ref().is_some_and(|tls| tls.map),
            ..Self::default()
        };
        let authorization = &options.authorization;
        let defaults = authorization.default_permissions.as_ref();
        let compile = |p: &dialtone_config::options::Permissions| Arc::new(Permissions::new(p));
        let default = defaults.map(compile);
        if let Some(name) = &authorization.user {
            let user =
                User { name: name.clone(), password: authorization.password.clone(), ..User::default() };
            out.add(&user, None, default.clone());
        }
        for user in &authorization.users {
            out.add(user, None, user.permissions.as_ref().map(compile).or_else(|| default.clone()));
        }
        for account in &options.accounts {
            let default = account.default_permissions.as_ref().map(compile);
            let name: Arc<str> = account.name.as_str().into();
            for user in &account.users {
                let permissions = user.permissions.as_ref().map(compile).or_else(|| default.clone());
                out.add(user, Some(name.clone()), permissions);
            }
        }
        out
    }

    fn add(&mut self, user: &User, account: Option<Arc<str>>, permissions: Option<Arc<Permissions>>) {
        let name = user.nkey.as_deref().unwrap_or(&user.name);
        let known = Known {
            grant: Grant { account, user: name.into(), permissions },
            password: user.password.clone(),
            connection_types: user.connection_types.clone(),
        };
        let table = if user.nkey.is_some() { &mut self.nkeys } else { &mut self.users };
        table.insert(name.to_owned(), known);
    }

    /// Whether a connection must present something, or be known otherwise.
    pub fn required(&self) -> bool {
        !self.users.is_empty() || !self.nkeys.is_empty() || self.token.is_some() || self.map_certificates
    }

    /// Whether someone may have to sign.
    pub fn nonce_required(&self) -> bool {
        !self.nkeys.is_empty()
    }

    /// Whether connections without credentials are someone.
    pub fn no_auth_user(&self) -> Option<&str> {
        self.no_auth_user.as_deref()
    }

    /// The rights that a user has now, by the name in its grant. `None`: there is no such user any more.
    pub fn find(&self, name: &str) -> Option<&Grant> {
        self.users.get(name).or_else(|| self.nkeys.get(name)).map(|known| &known.grant)
    }

    /// The password that a user has now; a connection whose user has another one must go.
    pub fn password(&self, name: &str) -> Option<&Secret> {
        self.users.get(name).and_then(|known| known.password.as_ref())
    }

    /// Whether this connection may come in, and as whom.
    pub fn authenticate(&self, credentials: &Credentials, context: &Context<'_>) -> Outcome {
        if !self.required() {
            return Outcome::Granted(Grant { account: None, user: "".into(), permissions: None });
        }
        if self.map_certificates {
            return self.by_certificate(context);
        }
        if !credentials.nkey.is_empty() {
            return self.by_nkey(credentials, context);
        }
        if credentials.is_empty()
            && let Some(known) = self.no_auth_user.as_ref().and_then(|name| self.known(name))
        {
            return known.admit(context);
        }
        if let Some(token) = &self.token {
            let grant = Grant { account: None, user: "[REDACTED]".into(), permissions: None };
            return compare(token, &credentials.token, grant);
        }
        match self.users.get(&credentials.user) {
            Some(known) => known.by_password(&credentials.password, context),
            None => Outcome::Refused("unknown user"),
        }
    }

    fn known(&self, name: &str) -> Option<&Known> {
        self.users.get(name).or_else(|| self.nkeys.get(name))
    }

    fn by_nkey(&self, credentials: &Credentials, context: &Context<'_>) -> Outcome {
        let Some(known) = self.nkeys.get(&credentials.nkey) else { return Outcome::Refused("unknown NKey") };
        if credentials.signature.is_empty() {
            return Outcome::Refused("signature missing");
        }
        if !nkey::verify_nonce(&credentials.nkey, context.nonce, &credentials.signature) {
            return Outcome::Refused("signature not verified");
        }
        known.admit(context)
    }

    /// The user is the first name in the certificate that is one. Nothing that CONNECT says counts.
    fn by_certificate(&self, context: &Context<'_>) -> Outcome {
        let Some(der) = context.certificate else { return Outcome::Refused("no client certificate") };
        match certificate::names(der).iter().find_map(|name| self.users.get(name)) {
            Some(known) => known.admit(context),
            None => Outcome::Refused("no user has a name in the certificate"),
        }
    }
}

impl Known {
    fn by_password(&self, given: &Secret, context: &Context<'_>) -> Outcome {
        if !self.may_connect_by(context) {
            return Outcome::Refused("connection type not allowed");
        }
        match &self.password {
            Some(stored) => compare(stored, given, self.grant.clone()),
            // A user without password is known by something else, such as a certificate.
            None if given.expose().is_empty() => Outcome::Granted(self.grant.clone()),
            None => Outcome::Refused("wrong password"),
        }
    }

    fn admit(&self, context: &Context<'_>) -> Outcome {
        if self.may_connect_by(context) {
            Outcome::Granted(self.grant.clone())
        } else {
            Outcome::Refused("connection type not allowed")
        }
    }

    fn may_connect_by(&self, context: &Context<'_>) -> bool {
        self.connection_types.is_empty() || self.connection_types.iter().any(|t| t == context.connection_type)
    }
}

fn compare(stored: &Secret, given: &Secret, grant: Grant) -> Outcome {
    if password::is_slow(stored) {
        Outcome::Slow(SlowCheck { stored: stored.clone(), given: given.clone(), grant })
    } else if password::verify(stored, given) {
        Outcome::Granted(grant)
    } else {
        Outcome::Refused("wrong password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_config::options::{Account, Authorization};

    const CONTEXT: Context<'_> = Context { nonce: b"n", connection_type: "STANDARD", certificate: None };

    fn user(name: &str, password: &str) -> User {
        User { name: name.into(), password: Some(Secret::new(password)), ..User::default() }
    }

    fn given(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: Secret::new(password), ..Credentials::default() }
    }

    #[track_caller]
    fn check(options: &Options, credentials: &Credentials, expected: Option<(&str, Option<&str>)>) {
        let outcome = Authenticator::new(options).authenticate(credentials, &CONTEXT);
        let grant = match outcome {
            Outcome::Granted(grant) => Some(grant),
            Outcome::Refused(_) => None,
            Outcome::Slow(check) => check.run(),
        };
        let got = grant.as_ref().map(|g| (&*g.user, g.account.as_deref()));
        assert_eq!(got, expected);
    }

    #[test]
    fn who_is_let_in() {
        let mut options = Options::default();
        check(&options, &given("any", "x"), Some(("", None)));
        options.authorization = Authorization { users: vec![user("u", "p")], ..Authorization::default() };
        options.accounts =
            vec![Account { name: "A".into(), users: vec![user("a", "q")], ..Account::default() }];
        check(&options, &given("u", "p"), Some(("u", None)));
        check(&options, &given("a", "q"), Some(("a", Some("A"))));
        for (name, password) in [("u", "q"), ("u", ""), ("x", "p"), ("", ""), ("", "p")] {
            check(&options, &given(name, password), None);
        }
        options.no_auth_user = Some("a".into());
        check(&options, &Credentials::default(), Some(("a", Some("A"))));
        check(&options, &given("u", "wrong"), None);
    }

    #[test]
    fn connection_types_are_kept() {
        let mut mqtt = user("m", "p");
        mqtt.connection_types = vec!["MQTT".into()];
        let mut options = Options::default();
        options.authorization.users = vec![mqtt];
        check(&options, &given("m", "p"), None);
        // GHSA-hmmp-q8cx-v964: the way without credentials is no way round it.
        options.no_auth_user = Some("m".into());
        check(&options, &Credentials::default(), None);
    }

    #[test]
    fn tokens() {
        let mut options = Options::default();
        options.authorization.token = Some(Secret::new("t"));
        let token = |t: &str| Credentials { token: Secret::new(t), ..Credentials::default() };
        check(&options, &token("t"), Some(("[REDACTED]", None)));
        check(&options, &token("x"), None);
        check(&options, &Credentials::default(), None);
    }
}
