//! Clients that show who they are by AUTH: before they are let in, and again later. Who may come in is decided as for every other login.

use super::connect::Asked;
use super::{MqttConnection, State};
use crate::conduct::{Claim, Login};
use crate::random;
use data_encoding::BASE64URL_NOPAD;
use dialtone_broker::deliver::Turn;
use dialtone_identity::authenticator::{Credentials, Shown};
use dialtone_mqtt::Ended;
use dialtone_mqtt::challenge::{Challenge, Step, shown};
use dialtone_wire::CloseReason;
use dialtone_wire::mqtt::{Auth, Connect, Packet, Reason, Version};

/// What a client of MQTT says of itself beside its credentials.
static NOTHING: dialtone_wire::Connect = dialtone_wire::Connect::NOTHING;
/// What the JWT of a user begins with; all else that is shown is an NKey.
const JWT_PREFIX: &str = "eyJ";

/// What shows who the client is.
fn credentials(challenge: &Challenge, signature: &[u8]) -> Credentials {
    let shown = &*challenge.shown;
    let (jwt, nkey) = if shown.starts_with(JWT_PREFIX) { (shown, "") } else { ("", shown) };
    let signature = BASE64URL_NOPAD.encode(signature);
    Credentials { jwt: jwt.into(), nkey: nkey.into(), signature, ..Credentials::default() }
}

impl MqttConnection {
    /// A CONNECT that names the method: the client has to sign. It has as long for that as for its CONNECT.
    pub(super) fn challenge_stranger(&mut self, connect: &Connect<'_>, asked: Box<Asked>, turn: &mut Turn) {
        let said = shown(connect.properties).and_then(|shown| self.challenge(shown, &asked));
        if let Err(reason) = said {
            return self.refuse(reason, CloseReason::AuthenticationViolation, turn);
        }
        self.effects.send_out(turn);
        self.limits.version = Some(Version::V5);
        self.state = State::Challenged(asked);
    }

    fn challenge(&mut self, shown: Box<str>, asked: &Asked) -> Result<(), Reason> {
        let challenge = Challenge { shown, nonce: random::nonce().into() };
        self.challenges.challenge(challenge, asked.agreed.packet_bytes_max, &mut self.effects.out)
    }

    /// A packet of a client that has to sign: AUTH, and nothing else before it is let in. [MQTT-3.1.2-30]
    pub(super) fn answer_challenge(&mut self, packet: &Packet<'_>, turn: &mut Turn) {
        let State::Challenged(asked) = std::mem::replace(&mut self.state, State::Over) else { return };
        let Packet::Auth(auth) = packet else {
            return self.peer().close(match packet {
                Packet::Disconnect(_) => CloseReason::ClientClosed,
                _ => CloseReason::ProtocolViolation,
            });
        };
        match self.challenges.receive(auth, false) {
            Ok(Step::Signed(challenge, signature)) => {
                self.state = State::Asking(asked);
                self.check_signature(&challenge, &signature, turn);
            }
            Ok(Step::Again(_)) => self.refuse(Reason::ProtocolError, CloseReason::ProtocolViolation, turn),
            Err(reason) => self.refuse(reason, CloseReason::ProtocolViolation, turn),
        }
    }

    /// AUTH of a client that is in: it shows again who it is, which may be with a newer JWT.
    pub(super) fn authenticate_again(&mut self, auth: &Auth<'_>, turn: &mut Turn) {
        let State::In(engine) = &mut self.state else { return };
        engine.hear(turn.now());
        let agreed = *engine.agreed();
        let step = match agreed.is_challenged {
            true => self.challenges.receive(auth, true),
            // [MQTT-4.12.0-7]
            false => Err(Reason::ProtocolError),
        };
        let done = step.and_then(|step| match step {
            Step::Again(shown) => {
                let challenge = Challenge { shown, nonce: random::nonce().into() };
                self.challenges.challenge(challenge, agreed.packet_bytes_max, &mut self.effects.out)
            }
            Step::Signed(challenge, signature) => {
                self.check_signature(&challenge, &signature, turn);
                Ok(())
            }
        });
        self.effects.send_out(turn);
        if let Err(reason) = done {
            self.end(Ended::Refused(reason), turn);
        }
    }

    fn check_signature(&mut self, challenge: &Challenge, signature: &[u8], turn: &mut Turn) {
        let conduct = &mut self.effects.conduct;
        conduct.present(Shown::new(credentials(challenge, signature), &challenge.nonce));
        conduct.begin_check(turn.now());
        let claim = self.login_claim();
        let login = self.effects.conduct.authenticate(&claim, turn);
        self.carry_out(login, turn);
    }

    /// A client that was in has shown that it still is who it was.
    fn let_in_again(&mut self, turn: &mut Turn) {
        let State::In(engine) = &self.state else { return };
        let effects = &mut self.effects;
        effects.conduct.set_expiry(turn.now());
        effects.conduct.hold_pings();
        effects.take_limits(turn.now());
        let done = self.challenges.succeed(engine.agreed().packet_bytes_max, &mut effects.out);
        effects.send_out(turn);
        if let Err(reason) = done {
            self.end(Ended::Refused(reason), turn);
        }
    }

    /// What a login is: the first of a connection, or another one.
    pub(super) fn login_claim(&self) -> Claim<'static> {
        let is_repeated = matches!(self.state, State::In(_));
        Claim { said: Some(&NOTHING), is_repeated }
    }

    /// How far the login of a client is that was in. [MQTT-4.12.1-2]
    pub(super) fn carry_out_again(&mut self, login: Login, turn: &mut Turn) {
        match login {
            Login::Nothing | Login::Waiting => {}
            Login::In => self.let_in_again(turn),
            Login::Refused(..) => self.end(Ended::Refused(Reason::NotAuthorized), turn),
        }
    }
}
