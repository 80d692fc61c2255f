//! CONNECT and INFO: how a client gets in.

use super::{Client, Phase};
use crate::callout;
use crate::connection_failures::LoginFailure;
use crate::log::Event;
use crate::node::Executor;
use crate::refusal::{self, close_reason};
use crate::registry::ClientDetails;
use crate::review;
use crate::system::{self, Proof};
use crate::verdict::Verdict;
use crate::verifier::Check;
use data_encoding::BASE64URL_NOPAD;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Place;
use dialtone_config::Secret;
use dialtone_identity::authenticator::{Credentials, Grant, Outcome, Refusal, Shown};
use dialtone_identity::callout::CalloutRequest;
use dialtone_identity::jwt::authorization::AuthorizationRequest;
use dialtone_identity::jwt::trust::TrustError;
use dialtone_wire::{CloseReason, Connect, ProtocolError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Random bytes of a nonce. The official figure.
const NONCE_BYTES: usize = 11;

/// What a connection without credentials presents.
static NOTHING: Connect = Connect::NOTHING;

/// Takes what shows who the client is out of its CONNECT.
fn credentials(connect: &mut Connect) -> Credentials {
    use std::mem::take;
    Credentials {
        user: take(&mut connect.user),
        password: Secret::new(take(&mut connect.pass)),
        token: Secret::new(take(&mut connect.auth_token)),
        nkey: take(&mut connect.nkey),
        signature: take(&mut connect.sig),
        proxy_signature: take(&mut connect.proxy_sig),
        jwt: take(&mut connect.jwt).into(),
    }
}

impl Client {
    /// What shows who the client is: in its CONNECT, or else in cookies of its upgrade.
    fn credentials(&self, connect: &mut Connect) -> Credentials {
        let mut out = credentials(connect);
        if let Some(cookies) = &self.cookies {
            let secret = |cookie: &str| Secret::new(cookie.to_owned());
            if out.jwt.is_empty() {
                out.jwt = cookies.jwt.clone().into();
            }
            if out.user.is_empty() {
                out.user.clone_from(&cookies.user);
            }
            if out.password.expose().is_empty() {
                out.password = secret(&cookies.password);
            }
            if out.token.expose().is_empty() {
                out.token = secret(&cookies.token);
            }
        }
        out
    }

    /// A nonce for this connection, if someone may have to sign one.
    pub(super) fn make_nonce(nonce_required: bool) -> Box<str> {
        if !nonce_required {
            return "".into();
        }
        BASE64URL_NOPAD.encode(&rand::random::<[u8; NONCE_BYTES]>()).into()
    }

    pub(super) fn connect(&mut self, json: &[u8], turn: &mut Turn) {
        let connect = match self.options.as_connect(self.limits.headers).changed_by(json) {
            Ok(connect) => connect,
            Err(problem) => {
                self.log(Event::ProtocolError, format_args!("{problem}"));
                return self.peer().close(CloseReason::ProtocolViolation);
            }
        };
        if !self.options.sent_connect {
            self.session.set_rtt(turn.now().saturating_duration_since(self.peer().start));
        }
        self.take_connect(connect, turn);
    }

    /// A client that does not say CONNECT is the user that connections without credentials are, if there is one;
    /// otherwise it is refused. True if it may go on.
    pub(super) fn connect_without_credentials(&mut self, turn: &mut Turn) -> bool {
        self.presented = Some(Box::new(Shown::silence()));
        self.authenticate(turn);
        self.phase == Phase::Open
    }

    fn take_connect(&mut self, mut connect: Connect, turn: &mut Turn) {
        // An account in CONNECT is never obeyed (CVE-2022-24450).
        let in_account = !connect.account.is_empty() || connect.new_account;
        let only_options = self.options.sent_connect && !connect.has_credentials();
        if !only_options {
            self.presented = Some(Box::new(Shown::new(self.credentials(&mut connect), &self.nonce)));
        }
        self.pending = Some(Box::new(connect));
        if in_account {
            return self.refuse_user(Refusal::Credentials("account in CONNECT"), turn);
        }
        if only_options {
            // Who it is was asked and answered; only its manner changes.
            return self.finish_connect(turn);
        }
        self.begin_check(turn.now());
        self.authenticate(turn);
        if self.phase == Phase::Open {
            self.finish_connect(turn);
        }
    }

    /// Asks whether it may come in by what it has shown so far, and carries the answer out.
    fn authenticate(&mut self, turn: &mut Turn) {
        if self.generation != self.node.settings.generation() {
            self.renew(turn.now());
        }
        let version = self.node.version();
        let Some(mut shown) = self.presented.take() else { return };
        let outcome = self
            .policy
            .authenticator_of(self.session.transport)
            .authenticate(&mut shown, &review::context(&self.node, &self.session));
        if let Some(proxy) = shown.proxy() {
            // Set once: only a first CONNECT is checked.
            let _ = self.session.proxy.set(proxy.clone());
        }
        let shown = self.presented.insert(shown);
        match outcome {
            Outcome::Granted(grant) => {
                self.let_in(grant, turn);
                self.review(version, turn);
            }
            Outcome::Refused(why) => self.refuse_user(why, turn),
            Outcome::Slow(check, _) => self.check_elsewhere(Check::Password(check), turn.now()),
            Outcome::Ask(callout_request) => {
                let said = self.pending.as_deref().unwrap_or(&NOTHING);
                let request = callout::request(&self.node, &self.session, said, shown);
                self.ask_service(*callout_request, request, turn.now());
            }
            Outcome::AccountNeeded(key) if self.looked_up.as_deref() == Some(&key) => {
                self.refuse_user(Refusal::Token(TrustError::Unknown), turn);
            }
            Outcome::AccountNeeded(key) => {
                self.looked_up = Some(key.as_str().into());
                self.check_elsewhere(Check::Account(key), turn.now());
            }
        }
    }

    /// If what decides who may be here changed since `version`, whoever changed it may not have seen this client in its
    /// place: it is asked about again.
    pub(super) fn review(&mut self, version: (u32, u64), turn: &mut Turn) {
        if self.node.version() != version {
            review::session(&self.node, &self.session);
            self.take_place(turn.now());
        }
    }

    /// From here on nothing is read. One check may follow another; the time for all begins with the first.
    fn begin_check(&mut self, now: Instant) {
        if !self.phase.is_checking() {
            self.phase = Phase::Checking { until: now + self.policy.auth_timeout_of(self.session.transport) };
        }
    }

    /// A service is asked who this is. Nothing more is read until it has answered, or time is over.
    fn ask_service(&mut self, callout_request: CalloutRequest, request: AuthorizationRequest, now: Instant) {
        self.begin_check(now);
        let session = self.session.clone();
        let bytes = callout::waiting_bytes(&request);
        let ask = move |executor: &mut Executor| callout::ask(executor, session, callout_request, request);
        self.node.internal.run_login(&self.session, bytes, ask);
    }

    /// Nothing more is read until the verdict is there.
    fn check_elsewhere(&mut self, check: Check, now: Instant) {
        self.begin_check(now);
        self.node.verifier.take(check, self.session.clone());
    }

    /// Answers of checks that took long have come. True if the client may go on.
    ///
    /// They are evidence: the policy in force decides, of a CONNECT that is being checked as of a session that is in.
    pub(super) fn take_verdicts(&mut self, turn: &mut Turn) -> bool {
        let was_checking = self.phase.is_checking();
        while let Some(verdict) = self.session.take_verdict() {
            let pending = self.presented.as_mut().filter(|_| self.phase.is_checking());
            match (verdict, pending) {
                (Verdict::Checked(checked), pending) => {
                    if pending.is_some_and(|shown| shown.learn(checked.clone())) {
                        self.authenticate(turn);
                    } else {
                        review::checked(&self.node, &self.session, checked);
                    }
                }
                (Verdict::Answered(Ok(answered)), Some(shown)) => {
                    shown.answered(*answered);
                    self.authenticate(turn);
                }
                (Verdict::Answered(Err(why)), Some(_)) => self.refuse_user(why, turn),
                (Verdict::Answered(outcome), None) => {
                    review::answered(&self.node, &self.session, outcome.map(|answered| *answered));
                }
                (Verdict::LookAgain, Some(_)) => self.authenticate(turn),
                (Verdict::LookAgain, None) => {}
                (Verdict::Overloaded, Some(_)) => {
                    self.node.connections.failures.count_failed_login(LoginFailure::Overloaded);
                    // Nobody looked at what it presents: it is not called wrong, and is to come again.
                    self.log(
                        Event::LimitReached,
                        format_args!("too many logins wait, most of them from its address"),
                    );
                    let (error, reason) =
                        (ProtocolError::ConnectionThrottled, CloseReason::MaxConnectionsExceeded);
                    self.refuse(error, reason, turn);
                }
                (Verdict::Overloaded, None) => review::overloaded(&self.node, &self.session),
            }
        }
        self.take_place(turn.now());
        if was_checking && self.phase == Phase::Open {
            self.finish_connect(turn);
        }
        was_checking && self.phase == Phase::Open
    }

    fn let_in(&mut self, grant: Grant, turn: &mut Turn) {
        let Some(account) = review::account_of(&self.node, &grant) else {
            return self.refuse_user(Refusal::Credentials("unknown account"), turn);
        };
        let before = self.place.account.clone();
        if let Some(before) = &before {
            // A second CONNECT is checked like the first, and changes neither the account nor, once it is said, the user:
            // what is subscribed belongs to them.
            let another = self.options.sent_connect && *self.user != *grant.user;
            if !Arc::ptr_eq(before, &account) || another {
                return self.refuse_user(Refusal::Credentials("another user on this connection"), turn);
            }
        }
        let by_nkey = self.presented.as_ref().is_some_and(|shown| *shown.credentials.nkey == *grant.user);
        if let Some(shown) = self.presented.take().filter(|shown| !shown.silent) {
            self.node.connections.registry.let_in(&self.session, *shown);
        }
        let by_nkey = by_nkey && !grant.user.is_empty();
        let proof = match (&grant.claimed, by_nkey) {
            (Some(_), _) if self.policy.authenticator.operators().is_some() => Proof::Jwt,
            (Some(_), _) | (None, true) => Proof::Nkey,
            (None, false) => Proof::Password,
        };
        let limit = self.node.accounts.limits(&account.name, &self.policy).connections_max;
        self.session.set_claimed(grant.claimed);
        self.user = grant.user;
        if before.is_none() && limit.is_some_and(|max| u64::from(account.connections()) >= max) {
            return self.refuse_for_room(&account, proof, turn);
        }
        let who = ClientDetails { by_nkey, ..self.client_details(&account.name) };
        self.introduce_as(&who);
        if before.is_some() {
            self.session.set_user(&self.user);
            review::set_permissions(&self.node, &self.session, grant.permissions);
            account.forget_matches();
            system::rejoined(&self.node, turn, &account);
        } else {
            self.enter(Place { account: Some(account), permissions: grant.permissions }, turn);
            self.set_expiry(turn.now());
        }
        system::connected(&self.node, turn, &self.session, &who);
        self.phase = Phase::Open;
    }

    /// Its account has as many connections as it may.
    #[cold]
    fn refuse_for_room(&mut self, account: &Arc<Account>, proof: Proof, turn: &mut Turn) {
        self.log(Event::LimitReached, format_args!("maximum account active connections exceeded"));
        match proof {
            // Nothing shows the user of a token that is not in.
            Proof::Jwt => self.user = "".into(),
            Proof::Nkey => {
                let text = format_args!("authentication error - Nkey {:?}", self.user);
                self.log(Event::AuthenticationFailed, text);
            }
            Proof::Password => {}
        }
        let who = self.client_details(&account.name);
        self.introduce_as(&who);
        system::refused_for_room(&self.node, turn, &self.session, &who, account, proof);
        let (error, reason) =
            (ProtocolError::AccountConnectionsExceeded, CloseReason::MaxAccountConnectionsExceeded);
        self.refuse(error, reason, turn);
    }

    fn introduce_as(&self, who: &ClientDetails) {
        if self.pending.is_some() {
            // Set once, by the first CONNECT.
            self.session.set_client_details(who.clone());
        } else {
            self.session.assume(who.clone());
        }
    }

    /// What is known of it, from the CONNECT that is being checked.
    fn client_details(&self, account: &str) -> ClientDetails {
        let said = self.pending.as_deref().unwrap_or(&NOTHING);
        let before = self.session.client_details().map(Arc::unwrap_or_clone).unwrap_or_default();
        // What a second CONNECT leaves out stays what the first said.
        let or = |said: &str, before: Box<str>| if said.is_empty() { before } else { said.into() };
        ClientDetails {
            name: or(&said.name, before.name),
            lang: or(&said.lang, before.lang),
            version: or(&said.version, before.version),
            user: self.user.clone(),
            account: account.into(),
            by_nkey: false,
        }
    }

    /// The client is who it says: the rest of CONNECT counts.
    fn finish_connect(&mut self, turn: &mut Turn) {
        let Some(connect) = self.pending.take() else { return };
        if !self.options.sent_connect {
            let account = self.place.account.as_ref().map(|a| a.name.to_string()).unwrap_or_default();
            self.describe(&connect, &account);
        }
        if !(0..=1).contains(&connect.protocol) {
            self.log(Event::ProtocolError, format_args!("invalid client protocol"));
            return self.refuse(ProtocolError::InvalidProtocol, CloseReason::BadClientProtocolVersion, turn);
        }
        if connect.no_responders && !(connect.headers && self.policy.options.headers) {
            return self.refuse(
                ProtocolError::NoRespondersNeedsHeaders,
                CloseReason::NoRespondersRequiresHeaders,
                turn,
            );
        }
        self.adopt(&connect);
        if !self.options.sent_connect {
            self.alive.connected(turn.now(), self.ping_interval(), self.session.peer.id.0);
        }
        self.options.sent_connect = true;
        self.send_ok(turn);
    }

    /// How the log calls it from now on: with its library and its user.
    fn describe(&self, connect: &Connect, account: &str) {
        let mut who = self.session.who().to_string();
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
        if let Some(claimed) = self.session.claimed() {
            who += &format!(" - \"{account}/{}/jwt:{user}\"", claimed.account_name);
        } else if self.session.known().is_some_and(|known| known.by_nkey) {
            who += &format!(" - \"{account}/nkey:{user}\"");
        } else if **user == *"[REDACTED]" {
            who += &format!(" - \"{account}/token\"");
        } else if !user.is_empty() {
            who += &format!(" - \"{account}/user:{user}\"");
        }
        self.session.set_who(who);
    }

    fn refuse_user(&mut self, refusal: Refusal, turn: &mut Turn) {
        // Of a client without CONNECT nothing more is shown, not even by monitoring.
        let reason =
            self.pending.as_ref().map_or(CloseReason::AuthenticationViolation, |_| close_reason(&refusal));
        let mut credentials = self.presented.take().map(|shown| shown.credentials).unwrap_or_default();
        if self.pending.is_some()
            && credentials.names_nobody()
            && let Some(user) = self.policy.authenticator_of(self.session.transport).no_auth_user()
        {
            user.clone_into(&mut credentials.user);
        }
        let said = self.pending.take().map(|connect| *connect).unwrap_or_default();
        let Credentials { user, token, nkey, jwt, .. } = credentials;
        // Monitoring shows who it claimed to be, or would have been.
        let (shown, labelled) = match (&*nkey, &*user, token.expose()) {
            ("", "", "") => ("", String::new()),
            ("", "", _) => ("[REDACTED]", " - Token \"[REDACTED]\"".to_owned()),
            ("", user, _) => (user, format!(" - User {user:?}")),
            (nkey, ..) => (nkey, format!(" - Nkey {nkey:?}")),
        };
        let claimed = ClientDetails {
            name: said.name.into(),
            lang: said.lang.into(),
            version: said.version.into(),
            user: shown.into(),
            account: "".into(),
            by_nkey: false,
        };
        self.session.set_client_details(claimed);
        self.node.connections.failures.count_failed_login((&refusal).into());
        refusal::note(&self.node, &self.session, &refusal, &jwt);
        self.log(Event::ClientCreated, format_args!("{}", refusal.text()));
        let why = self.session.rejection.get().map(ToString::to_string).unwrap_or_default();
        self.log(Event::AuthenticationFailed, format_args!("authentication error{labelled}{why}"));
        system::refused(&self.node, turn, &self.session, &self.node.accounts.global, reason);
        self.phase = Phase::AwaitingConnect { until: turn.now() };
        self.refuse(ProtocolError::Authorization, reason, turn);
    }

    fn adopt(&mut self, connect: &Connect) {
        self.options.verbose = connect.verbose;
        self.options.pedantic = connect.pedantic;
        self.options.echo = connect.echo;
        self.options.asynchronous_info = connect.protocol >= 1;
        let headers = connect.headers && self.policy.options.headers;
        self.options.no_responders = connect.no_responders && headers;
        self.limits.headers = headers;
        self.session.peer.set_understands_headers(headers);
        self.session.peer.set_takes_info(connect.protocol >= 1);
    }

    /// Sends INFO: the first, or the one that answers CONNECT.
    pub(super) fn send_info(&self, turn: &mut Turn, answers_connect: bool) {
        let mut info = self.session.info(&self.policy);
        info.lame_duck = self.node.connections.lame_duck.load(Ordering::Relaxed);
        if !answers_connect {
            info.nonce = self.nonce.to_string();
            if self.may_be_proxied {
                info.client_ip.clear();
            }
        } else {
            info.connect_info = true;
            // Also where a first INFO did not ask for it, because others come in as `no_auth_user`.
            info.auth_required = self.policy.auth_required(self.session.transport);
            info.max_payload = self.limits.payload_bytes_max as i64;
            if let Some(account) = &self.place.account {
                info.acc_is_sys =
                    self.node.accounts.system().is_some_and(|system| Arc::ptr_eq(&system, account));
                info.remote_account = account.name.to_string();
            }
        }
        let mut bytes = Vec::with_capacity(512);
        info.encode(&mut bytes);
        turn.send(self.peer(), &bytes);
    }
}
