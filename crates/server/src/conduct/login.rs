//! How a connection is let in, or refused, by what it has shown.

use super::{Conduct, Phase};
use crate::callout;
use crate::connection_failures::LoginFailure;
use crate::log::Event;
use crate::node::Executor;
use crate::profile::{ClientDetails, Source};
use crate::refusal::{self, close_reason};
use crate::review;
use crate::system::{self, Proof};
use crate::verdict::Verdict;
use crate::verifier::Check;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Place;
use dialtone_identity::authenticator::{Credentials, Grant, Outcome, Refusal, Shown};
use dialtone_identity::callout::CalloutRequest;
use dialtone_identity::jwt::authorization::AuthorizationRequest;
use dialtone_identity::jwt::trust::TrustError;
use dialtone_wire::{CloseReason, Connect, ProtocolError};
use std::sync::Arc;
use std::time::Instant;

/// What a connection without credentials says.
static NOTHING: Connect = Connect::NOTHING;

/// What a connection says of itself beside its credentials.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Claim<'a> {
    /// What it says while it is being let in; `None`: nothing, it goes on as who says nothing.
    pub(crate) said: Option<&'a Connect>,
    /// It is in by what it said before.
    pub(crate) is_repeated: bool,
}

impl<'a> Claim<'a> {
    fn connect(&self) -> &'a Connect {
        self.said.unwrap_or(&NOTHING)
    }
}

/// How far a login is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a refusal has to be said"]
pub(crate) enum Login {
    /// Nothing has happened.
    Nothing,
    /// It waits for an answer from elsewhere.
    Waiting,
    /// It is in.
    In,
    /// This error, and then it is closed.
    Refused(ProtocolError, CloseReason),
}

impl Conduct {
    /// It shows this.
    pub(crate) fn present(&mut self, shown: Shown) {
        self.proof.presented = Some(Box::new(shown));
    }

    /// It shows nothing: it is the user that connections without credentials are, if there is one.
    pub(crate) fn present_nothing(&mut self) {
        self.present(Shown::silence());
    }

    /// Asks whether it may come in by what it has shown so far, and carries the answer out.
    pub(crate) fn authenticate(&mut self, claim: &Claim<'_>, turn: &mut Turn) -> Login {
        if self.is_outdated() {
            self.renew();
        }
        let version = self.node.version();
        let Some(mut shown) = self.proof.presented.take() else { return Login::Nothing };
        let outcome = self
            .policy
            .authenticator_of(self.session.listener())
            .authenticate(&mut shown, &review::context(&self.node, &self.session.profile()));
        if let Some(proxy) = shown.proxy() {
            self.session.set_proxy(proxy);
        }
        let shown = self.proof.presented.insert(shown);
        match outcome {
            Outcome::Granted(grant) => {
                let login = self.let_in(grant, claim, turn);
                self.review(version, turn);
                login
            }
            Outcome::Refused(why) => self.refuse_user(&why, claim, turn),
            Outcome::Slow(check, _) => self.check_elsewhere(Check::Password(check), turn.now()),
            Outcome::Ask(callout_request) => {
                let request = callout::request(
                    &self.node.settings,
                    self.node.cluster_name(),
                    &self.session,
                    claim.connect(),
                    shown,
                );
                self.ask_service(*callout_request, request, turn.now())
            }
            Outcome::AccountNeeded(key) if self.proof.looked_up.as_deref() == Some(&key) => {
                self.refuse_user(&Refusal::Token(TrustError::Unknown), claim, turn)
            }
            Outcome::AccountNeeded(key) => {
                self.proof.looked_up = Some(key.as_str().into());
                self.check_elsewhere(Check::Account(key), turn.now())
            }
        }
    }

    /// If what decides who may be here changed since `version`, whoever changed it may not have seen this connection in its
    /// place: it is asked about again.
    pub(super) fn review(&mut self, version: (u32, u64), turn: &mut Turn) {
        if self.node.version() != version {
            review::session(&self.node, &self.session);
            self.take_place(turn.now());
        }
    }

    /// From here on nothing is read. One check may follow another; the time for all begins with the first.
    pub(crate) fn begin_check(&mut self, now: Instant) {
        if !self.phase.is_checking() {
            self.phase = Phase::Checking { until: now + self.own_policy().auth_timeout };
        }
    }

    /// A service is asked who this is. Nothing more is read until it has answered, or time is over.
    fn ask_service(
        &mut self,
        callout_request: CalloutRequest,
        request: AuthorizationRequest,
        now: Instant,
    ) -> Login {
        self.begin_check(now);
        let session = self.session.clone();
        let bytes = callout::waiting_bytes(&request);
        let ask = move |executor: &mut Executor| callout::ask(executor, session, callout_request, request);
        self.node.internal.run_login(&self.session, bytes, ask);
        Login::Waiting
    }

    /// Nothing more is read until the verdict is there.
    pub(super) fn check_elsewhere(&mut self, check: Check, now: Instant) -> Login {
        self.begin_check(now);
        self.node.verifier.take(check, self.session.clone());
        Login::Waiting
    }

    /// Takes the answers of checks that took long.
    ///
    /// They are evidence: the policy in force decides, of a login that is being checked as of a session that is in.
    pub(crate) fn take_verdicts(&mut self, claim: &Claim<'_>, turn: &mut Turn) -> Login {
        let mut login = Login::Nothing;
        while let Some(verdict) = self.session.take_verdict() {
            let pending = self.proof.presented.as_mut().filter(|_| self.phase.is_checking());
            match (verdict, pending) {
                (Verdict::Checked(checked), pending) => {
                    if pending.is_some_and(|shown| shown.learn(checked.clone())) {
                        login = self.authenticate(claim, turn);
                    } else {
                        review::checked(&self.node, &self.session, checked);
                    }
                }
                (Verdict::Answered(Ok(answered)), Some(shown)) => {
                    shown.answered(*answered);
                    login = self.authenticate(claim, turn);
                }
                (Verdict::Answered(Err(why)), Some(_)) => login = self.refuse_user(&why, claim, turn),
                (Verdict::Answered(outcome), None) => {
                    review::answered(&self.node, &self.session, outcome.map(|answered| *answered));
                }
                (Verdict::LookAgain, Some(_)) => login = self.authenticate(claim, turn),
                (Verdict::LookAgain, None) => {}
                (Verdict::Overloaded, Some(_)) => {
                    self.node.connections.failures.count_failed_login(LoginFailure::Overloaded);
                    // Nobody looked at what it presents: it is not called wrong, and is to come again.
                    let text = format_args!("too many logins wait, most of them from its address");
                    self.log(Event::LimitReached, text);
                    login = Login::Refused(
                        ProtocolError::ConnectionThrottled,
                        CloseReason::MaxConnectionsExceeded,
                    );
                }
                (Verdict::Overloaded, None) => review::overloaded(&self.node, &self.session),
            }
            if matches!(login, Login::Refused(..)) {
                break;
            }
        }
        login
    }

    fn let_in(&mut self, grant: Grant, claim: &Claim<'_>, turn: &mut Turn) -> Login {
        let Some(account) = review::account_of(&self.node.accounts, &grant) else {
            return self.refuse_user(&Refusal::Credentials("unknown account"), claim, turn);
        };
        let before = self.place.account.clone();
        if let Some(before) = &before {
            // A second login is checked like the first, and changes neither the account nor, once it is said, the user:
            // what is subscribed belongs to them.
            let another = claim.is_repeated && *self.user != *grant.user;
            if !Arc::ptr_eq(before, &account) || another {
                return self.refuse_user(
                    &Refusal::Credentials("another user on this connection"),
                    claim,
                    turn,
                );
            }
        }
        let presented = self.proof.presented.take();
        let by_nkey = presented.as_ref().is_some_and(|shown| *shown.credentials.nkey == *grant.user);
        if let Some(shown) = presented.filter(|shown| !shown.silent) {
            self.node.connections.registry.let_in(&self.session, *shown);
        }
        let by_nkey = by_nkey && !grant.user.is_empty();
        let proof = match (&grant.claimed, by_nkey) {
            (Some(_), _) if self.policy.authenticator.operators().is_some() => Proof::Jwt,
            (Some(_), _) | (None, true) => Proof::Nkey,
            (None, false) => Proof::Password,
        };
        self.session.set_claimed(grant.claimed);
        self.user = grant.user;
        if before.is_none() && self.is_full(&account) {
            return self.refuse_for_room(&account, proof, claim, turn);
        }
        let who = ClientDetails { by_nkey, ..self.client_details(&account.name, claim) };
        self.introduce_as(&who, claim);
        if before.is_some() {
            self.session.set_user(&self.user);
            review::set_permissions(
                &self.node.delivery.gate,
                &self.node.log,
                &self.session,
                grant.permissions,
            );
            account.forget_matches();
            system::rejoined(&self.node, turn, &account);
        } else {
            self.enter(Place { account: Some(account), permissions: grant.permissions }, turn);
            self.set_expiry(turn.now());
        }
        system::connected(&self.node, turn, &self.session, &who);
        self.phase = Phase::Open;
        Login::In
    }

    /// Whether an account has as many connections, on all servers of the network, as it may have of this kind.
    fn is_full(&self, account: &Account) -> bool {
        let limits = self.node.accounts.limits(&account.name, &self.policy);
        let elsewhere = || self.node.connections.elsewhere.connections(account.id);
        if self.peer().kind().is_leaf_connection() {
            let here = u64::from(account.leaf_nodes.connections());
            return limits.leaf_nodes_max.is_some_and(|max| here + elsewhere().leaf_nodes >= max);
        }
        let here = u64::from(account.connections());
        limits.connections_max.is_some_and(|max| here + elsewhere().clients >= max)
    }

    /// Its account has as many connections as it may.
    #[cold]
    fn refuse_for_room(
        &mut self,
        account: &Arc<Account>,
        proof: Proof,
        claim: &Claim<'_>,
        turn: &mut Turn,
    ) -> Login {
        self.log(Event::LimitReached, format_args!("maximum account active connections exceeded"));
        match proof {
            // Nothing shows the user of a JWT that is not in.
            Proof::Jwt => self.user = "".into(),
            Proof::Nkey => {
                let text = format_args!("authentication error - Nkey {:?}", self.user);
                self.log(Event::AuthenticationFailed, text);
            }
            Proof::Password => {}
        }
        let who = self.client_details(&account.name, claim);
        self.introduce_as(&who, claim);
        system::refused_for_room(&self.node, turn, &self.session, &who, account, proof);
        Login::Refused(ProtocolError::AccountConnectionsExceeded, CloseReason::MaxAccountConnectionsExceeded)
    }

    fn introduce_as(&self, who: &ClientDetails, claim: &Claim<'_>) {
        let source = if claim.said.is_some() { Source::Connect } else { Source::Assumed };
        self.session.set_details(source, who.clone());
    }

    /// What is known of it, from the login that is being checked.
    fn client_details(&self, account: &str, claim: &Claim<'_>) -> ClientDetails {
        let said = claim.connect();
        let before = self.session.profile().connect().map(|details| (**details).clone()).unwrap_or_default();
        // What a second login leaves out stays what the first said.
        let or = |said: &str, before: Box<str>| if said.is_empty() { before } else { said.into() };
        ClientDetails {
            name: or(&said.name, before.name),
            lang: or(&said.lang, before.lang),
            version: or(&said.version, before.version),
            protocol: said.protocol,
            user: self.user.clone(),
            account: account.into(),
            by_nkey: false,
        }
    }

    /// How the log calls it from now on: with its library and its user.
    pub(crate) fn describe(&self, connect: &Connect) {
        let account = self.place.account.as_ref().map_or("", |account| &*account.name);
        let profile = self.session.profile();
        let mut who = profile.label.to_string();
        let version =
            if connect.version.is_empty() { String::new() } else { format!("v{}", connect.version) };
        let library: Vec<&str> = [&version, &connect.lang, &connect.name]
            .into_iter()
            .map(String::as_str)
            .filter(|s| !s.is_empty())
            .collect();
        if !library.is_empty() {
            who += &format!(" - {:?}", library.join(":"));
        }
        let user = &self.user;
        if let Some(claimed) = &profile.claimed {
            who += &format!(" - \"{account}/{}/jwt:{user}\"", claimed.account_name);
        } else if profile.known().is_some_and(|known| known.by_nkey) {
            who += &format!(" - \"{account}/nkey:{user}\"");
        } else if **user == *"[REDACTED]" {
            who += &format!(" - \"{account}/token\"");
        } else if !user.is_empty() {
            who += &format!(" - \"{account}/user:{user}\"");
        }
        self.session.set_label(who);
    }

    /// It may not come in. The other end learns nothing of why; log, events and monitoring do.
    pub(crate) fn refuse_user(&mut self, refusal: &Refusal, claim: &Claim<'_>, turn: &mut Turn) -> Login {
        // Of a connection that says nothing of itself nothing more is shown, not even by monitoring.
        let reason = claim.said.map_or(CloseReason::AuthenticationViolation, |_| close_reason(refusal));
        let mut credentials = self.proof.presented.take().map(|shown| shown.credentials).unwrap_or_default();
        if claim.said.is_some()
            && credentials.names_nobody()
            && let Some(user) = self.policy.authenticator_of(self.session.listener()).no_auth_user()
        {
            user.clone_into(&mut credentials.user);
        }
        let said = claim.connect();
        let Credentials { user, token, nkey, jwt, .. } = credentials;
        // Monitoring shows who it claimed to be, or would have been.
        let (shown, labelled) = match (&*nkey, &*user, token.expose()) {
            ("", "", "") => ("", String::new()),
            ("", "", _) => ("[REDACTED]", " - Token \"[REDACTED]\"".to_owned()),
            ("", user, _) => (user, format!(" - User {user:?}")),
            (nkey, ..) => (nkey, format!(" - Nkey {nkey:?}")),
        };
        let claimed = ClientDetails {
            name: said.name.as_str().into(),
            lang: said.lang.as_str().into(),
            version: said.version.as_str().into(),
            protocol: said.protocol,
            user: shown.into(),
            account: "".into(),
            by_nkey: false,
        };
        self.session.set_details(Source::Connect, claimed);
        self.node.connections.failures.count_failed_login(refusal.into());
        refusal::note(&self.node.settings, &self.node.accounts, &self.session, refusal, &jwt);
        self.log(Event::ClientCreated, format_args!("{}", refusal.text()));
        let why = self.session.rejection.get().map(ToString::to_string).unwrap_or_default();
        self.log(Event::AuthenticationFailed, format_args!("authentication error{labelled}{why}"));
        system::refused(&self.node, turn, &self.session, &self.node.accounts.global, reason);
        self.phase = Phase::AwaitingLogin { until: turn.now() };
        Login::Refused(ProtocolError::Authorization, reason)
    }
}
