//! CONNECT: how a client says who it is.

use super::Client;
use crate::conduct::{Claim, Login};
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_config::Secret;
use dialtone_identity::authenticator::{Credentials, Refusal, Shown};
use dialtone_wire::{CloseReason, Connect, ProtocolError};

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
        if let Some(cookies) = &self.arrival.cookies {
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
        crate::random::nonce().into()
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
            self.conduct.session.set_rtt(turn.now().saturating_duration_since(self.peer().start));
        }
        self.take_connect(connect, turn);
    }

    /// A client that does not say CONNECT is the user that connections without credentials are, if there is one;
    /// otherwise it is refused. True if it may go on.
    pub(super) fn connect_without_credentials(&mut self, turn: &mut Turn) -> bool {
        self.conduct.present_nothing();
        self.authenticate(turn);
        self.conduct.is_let_in()
    }

    /// Takes note of how far its login is.
    pub(super) fn carry_out(&mut self, login: Login, turn: &mut Turn) {
        match login {
            Login::Nothing => {}
            Login::Waiting | Login::In => self.take_limits(turn.now()),
            Login::Refused(error, reason) => {
                self.pending = None;
                self.refuse(error, reason, turn);
            }
        }
    }

    fn authenticate(&mut self, turn: &mut Turn) {
        let claim = Claim { said: self.pending.as_deref(), is_repeated: self.options.sent_connect };
        let login = self.conduct.authenticate(&claim, turn);
        self.carry_out(login, turn);
    }

    fn take_connect(&mut self, mut connect: Connect, turn: &mut Turn) {
        // An account in CONNECT is never obeyed (CVE-2022-24450).
        let in_account = !connect.account.is_empty() || connect.new_account;
        let only_options = self.options.sent_connect && !connect.has_credentials();
        if !only_options {
            self.conduct.present(Shown::new(self.credentials(&mut connect), &self.nonce));
        }
        self.pending = Some(Box::new(connect));
        if in_account {
            let claim = Claim { said: self.pending.as_deref(), is_repeated: self.options.sent_connect };
            let why = Refusal::Credentials("account in CONNECT");
            let login = self.conduct.refuse_user(&why, &claim, turn);
            return self.carry_out(login, turn);
        }
        if only_options {
            // Who it is was decided before; only its options change.
            return self.finish_connect(turn);
        }
        self.conduct.begin_check(turn.now());
        self.authenticate(turn);
        if self.conduct.is_let_in() {
            self.finish_connect(turn);
        }
    }

    /// Answers of checks that took long have come. True if the client may go on.
    pub(super) fn take_verdicts(&mut self, turn: &mut Turn) -> bool {
        let was_checking = self.conduct.phase.is_checking();
        let claim = Claim { said: self.pending.as_deref(), is_repeated: self.options.sent_connect };
        let login = self.conduct.take_verdicts(&claim, turn);
        self.carry_out(login, turn);
        self.take_place(turn.now());
        let goes_on = was_checking && self.conduct.is_let_in();
        if goes_on {
            self.finish_connect(turn);
        }
        goes_on
    }

    /// The client is who it says: the rest of CONNECT counts.
    fn finish_connect(&mut self, turn: &mut Turn) {
        let Some(connect) = self.pending.take() else { return };
        if !self.options.sent_connect {
            self.conduct.describe(&connect);
        }
        if !(0..=1).contains(&connect.protocol) {
            self.log(Event::ProtocolError, format_args!("invalid client protocol"));
            return self.refuse(ProtocolError::InvalidProtocol, CloseReason::BadClientProtocolVersion, turn);
        }
        if connect.no_responders && !(connect.headers && self.conduct.policy.options.clients.headers) {
            return self.refuse(
                ProtocolError::NoRespondersNeedsHeaders,
                CloseReason::NoRespondersRequiresHeaders,
                turn,
            );
        }
        self.adopt(&connect);
        if !self.options.sent_connect {
            self.conduct.ping_soon(turn.now());
        }
        self.options.sent_connect = true;
        self.send_ok(turn);
    }

    fn adopt(&mut self, connect: &Connect) {
        self.options.verbose = connect.verbose;
        self.options.pedantic = connect.pedantic;
        self.options.echo = connect.echo;
        self.options.asynchronous_info = connect.protocol >= 1;
        let headers = connect.headers && self.conduct.policy.options.clients.headers;
        self.options.no_responders = connect.no_responders && headers;
        self.limits.headers = headers;
        self.conduct.session.peer.set_understands_headers(headers);
        self.conduct.session.peer.set_takes_info(self.options.got_info && connect.protocol >= 1);
    }
}
