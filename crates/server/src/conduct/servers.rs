//! How another server is let in by an acceptor of routes or gateways, or refused: it comes into no account, and is no user of one.

use super::{Conduct, Login, Phase};
use crate::connection_failures::LoginFailure;
use crate::log::Event;
use crate::verdict::Verdict;
use crate::verifier::Check;
use dialtone_broker::deliver::Turn;
use dialtone_config::Secret;
use dialtone_identity::authenticator::{Credentials, Outcome, Shown};
use dialtone_wire::{CloseReason, ProtocolError};

impl Conduct {
    /// Another server says that it is this one, and asks to be let in.
    pub(crate) fn admit_server(&mut self, user: &str, password: &str, turn: &mut Turn) -> Login {
        let (user, password) = (user.to_owned(), Secret::new(password));
        self.present(Shown::new(Credentials { user, password, ..Credentials::default() }, ""));
        self.judge_server(turn)
    }

    /// Whether the other server, which was let in, is let in by what is in force.
    pub(crate) fn review_server(&mut self, turn: &mut Turn) -> Login {
        match self.proof.let_in.take() {
            None => Login::Nothing,
            Some(shown) => {
                self.proof.presented = Some(shown);
                self.judge_server(turn)
            }
        }
    }

    /// Goes on where a check on another thread has come to an end.
    pub(crate) fn take_server_verdicts(&mut self, turn: &mut Turn) -> Login {
        let mut login = Login::Nothing;
        while let Some(verdict) = self.session.take_verdict() {
            let pending = self.proof.presented.as_mut().filter(|_| self.phase.is_checking());
            login = match (verdict, pending) {
                (Verdict::Checked(checked), Some(shown)) => {
                    shown.learn(checked);
                    self.judge_server(turn)
                }
                (Verdict::Overloaded, Some(_)) => {
                    self.node.connections.failures.count_failed_login(LoginFailure::Overloaded);
                    self.log(
                        Event::LimitReached,
                        format_args!("too many logins wait, most of them from its address"),
                    );
                    Login::Refused(ProtocolError::ConnectionThrottled, CloseReason::MaxConnectionsExceeded)
                }
                _ => continue,
            };
        }
        login
    }

    fn judge_server(&mut self, turn: &mut Turn) -> Login {
        if self.is_outdated() {
            self.renew();
        }
        let Some(shown) = self.proof.presented.take() else { return Login::Nothing };
        let profile = self.session.profile();
        match self.own_policy().servers.admit(&shown, profile.certificate()) {
            Outcome::Granted(_) => {
                if self.phase.is_checking() {
                    // What else it has to say before it is in has its time from here on.
                    let until = turn.now() + self.own_policy().auth_timeout;
                    self.phase =
                        if self.proof.was_open { Phase::Open } else { Phase::AwaitingLogin { until } };
                }
                self.proof.let_in = Some(shown);
                Login::In
            }
            Outcome::Slow(check, _) => {
                self.proof.presented = Some(shown);
                self.check_elsewhere(Check::Password(check), turn.now())
            }
            // Nobody else is asked about servers.
            Outcome::Refused(_) | Outcome::Ask(_) | Outcome::AccountNeeded(_) => {
                self.node.connections.failures.count_failed_login(LoginFailure::Credentials);
                let text = format_args!("authentication error - User {:?}", shown.credentials.user);
                self.log(Event::AuthenticationFailed, text);
                Login::Refused(ProtocolError::Authorization, CloseReason::AuthenticationViolation)
            }
        }
    }
}
