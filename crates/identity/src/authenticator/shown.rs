//! What a connection has shown: its credentials, and what was found out about them. By this alone it is decided whether
//! it may come in, and each time that something changes, whether it may stay.

use crate::callout::CalloutGrant;
use crate::operator::UserJwt;
use crate::password;
use dialtone_config::Secret;
use std::sync::Arc;

/// What a connection presents.
#[derive(Clone, Default)]
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
    /// A proxy's signature of the nonce.
    pub proxy_signature: String,
    /// A user JWT. A bearer's is a secret.
    pub jwt: Arc<str>,
}

impl std::fmt::Debug for Credentials {
    /// Without the JWT, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Whether it names no user and no token. An NKey or a JWT where neither is known counts for nothing, as officially.
    pub fn names_nobody(&self) -> bool {
        self.user.is_empty() && self.password.expose().is_empty() && self.token.expose().is_empty()
    }
}

/// What a connection has shown so far.
///
/// What is expensive to find out is remembered with what it was found out about, so that it holds for nothing else: a
/// password for one hash, a signature for one key, an answer for one service.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// What it presents.
    pub credentials: Credentials,
    /// The nonce that its signatures are of.
    pub nonce: Box<str>,
    /// It sent no CONNECT.
    pub silent: bool,
    /// The NKey whose signature was verified.
    pub(super) signed: Option<Box<str>>,
    /// The proxy whose signature was verified, by its public NKey.
    pub(super) proxy: Option<Arc<str>>,
    checked: Option<Checked>,
    /// The user that its JWT is of, verified.
    pub(super) user: Option<UserJwt>,
    pub(super) answered: Option<Arc<CalloutGrant>>,
}

impl Shown {
    /// What a connection shows that presents these credentials, signed with this nonce.
    pub fn new(credentials: Credentials, nonce: &str) -> Self {
        Self { credentials, nonce: nonce.into(), ..Self::default() }
    }

    /// What a connection shows that sends no CONNECT.
    pub fn silence() -> Self {
        Self { silent: true, ..Self::default() }
    }

    /// The proxy that signed for it, by its public NKey.
    pub fn proxy(&self) -> Option<&Arc<str>> {
        self.proxy.as_ref()
    }

    /// Remembers what came of a check of its password or token. False: it was a check of another one.
    pub fn learn(&mut self, checked: Checked) -> bool {
        let of_this = checked.given == self.credentials.password || checked.given == self.credentials.token;
        if of_this {
            self.checked = Some(checked);
        }
        of_this
    }

    /// Remembers what an authorization service said of it.
    pub fn answered(&mut self, answered: CalloutGrant) {
        self.answered = Some(Arc::new(answered));
    }

    /// The account whose authorization service answered about it.
    pub fn service(&self) -> Option<&str> {
        self.answered.as_ref()?.service()
    }

    /// Whether its password or token matches this hash, if that is known.
    pub(super) fn matches(&self, stored: &Secret, given: &Secret) -> Option<bool> {
        let checked = self.checked.as_ref()?;
        (checked.stored == *stored && checked.given == *given).then_some(checked.matches)
    }
}

/// [`Shown`] as it is kept for as long as a connection is open, in little room: nearly all show nothing, or a name and a
/// password that are compared at once, and there is nothing else to remember.
#[derive(Clone, Debug)]
pub struct Kept(Form);

#[derive(Clone, Debug)]
enum Form {
    Silence,
    Password { user: Box<str>, password: Secret },
    Whole(Box<Shown>),
}

impl Kept {
    /// What was shown.
    pub fn shown(&self) -> Shown {
        match &self.0 {
            Form::Silence => Shown::silence(),
            Form::Password { user, password } => Shown {
                credentials: Credentials {
                    user: user.to_string(),
                    password: password.clone(),
                    ..Credentials::default()
                },
                ..Shown::default()
            },
            Form::Whole(shown) => (**shown).clone(),
        }
    }
}

impl From<Shown> for Kept {
    fn from(shown: Shown) -> Self {
        // Every field is named, so that one that is added has its place here too. A nonce means nothing without a signature.
        let Shown { credentials, nonce: _, silent, signed, proxy, checked, user: token, answered } = &shown;
        let Credentials { user, password, token: secret, nkey, signature, proxy_signature, jwt } =
            credentials;
        let found_out = (signed, proxy, checked, token, answered);
        let is_bare = matches!(found_out, (None, None, None, None, None))
            && secret.expose().is_empty()
            && [nkey, signature, proxy_signature].iter().all(|text| text.is_empty())
            && jwt.is_empty();
        Self(match (is_bare, silent) {
            (true, true) if user.is_empty() && password.expose().is_empty() => Form::Silence,
            (true, false) => Form::Password { user: user.as_str().into(), password: password.clone() },
            _ => Form::Whole(Box::new(shown)),
        })
    }
}

/// A check that takes long: whether what was given matches a hash.
#[derive(Clone, Debug)]
pub struct SlowCheck {
    pub(super) stored: Secret,
    pub(super) given: Secret,
}

impl SlowCheck {
    /// Does the work: about a tenth of a second of CPU.
    pub fn run(self) -> Checked {
        let matches = password::verify(&self.stored, &self.given);
        Checked { stored: self.stored, given: self.given, matches }
    }
}

/// What came of a [`SlowCheck`]. It lets nobody in: it is evidence for [`super::Authenticator::authenticate`].
#[derive(Clone, Debug)]
pub struct Checked {
    stored: Secret,
    given: Secret,
    matches: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_shown() {
        let whole = |shown: &Shown| matches!(Kept::from(shown.clone()).0, Form::Whole(_));
        let checked =
            |given: &str| Checked { stored: Secret::new("$2a$"), given: Secret::new(given), matches: true };
        let by_name = Credentials { user: "u".into(), password: Secret::new("p"), ..Credentials::default() };
        let bare = Shown::new(by_name.clone(), "nonce");
        assert!(!whole(&bare) && !whole(&Shown::silence()) && !whole(&Shown::default()));
        let mut slow = bare.clone();
        assert!(slow.learn(checked("p")));
        let key = Credentials { nkey: "U".into(), signature: "s".into(), ..Credentials::default() };
        let token = Credentials { token: Secret::new("t"), ..Credentials::default() };
        let jwt = Credentials { jwt: "j".into(), ..by_name.clone() };
        let proxied = Credentials { proxy_signature: "s".into(), ..by_name };
        let more = [key, token, jwt, proxied].map(|credentials| Shown::new(credentials, "nonce"));
        for shown in more.iter().chain([&slow]) {
            assert!(whole(shown), "{shown:?}");
        }
        for shown in more.into_iter().chain([slow, bare, Shown::silence(), Shown::default()]) {
            let back = Kept::from(shown.clone()).shown();
            let (there, here) = (&shown.credentials, &back.credentials);
            assert_eq!((&there.user, &there.nkey, &there.jwt), (&here.user, &here.nkey, &here.jwt));
            assert_eq!((&there.password, &there.token), (&here.password, &here.token));
            assert_eq!((&there.signature, &there.proxy_signature), (&here.signature, &here.proxy_signature));
            assert_eq!((shown.silent, shown.checked.is_some()), (back.silent, back.checked.is_some()));
        }
    }
}
