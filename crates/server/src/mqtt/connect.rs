//! CONNECT: who a client is, what is agreed with it, and whose client identifier it takes over.

use super::effects::Effects;
use super::farewell::refusal;
use super::subscribe::Wanted;
use super::{MqttConnection, PUBLISH_HEAD_BYTES_MAX, State};
use crate::client_ids::Claimed;
use crate::conduct::Login;
use crate::log::Event;
use data_encoding::HEXLOWER;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::format::Format;
use dialtone_config::Secret;
use dialtone_identity::authenticator::{Credentials, Shown};
use dialtone_mqtt::record::Sent;
use dialtone_mqtt::{Agreed, Connection as Engine, Options, OwnWill, Session, agree};
use dialtone_wire::mqtt::subject::put_subject;
use dialtone_wire::mqtt::{
    ConnAck, Connect, DecodeError, Limits, Packet, Parsed, Properties, PropertiesBuf, Property, Reason,
    Version, encode, parse,
};
use dialtone_wire::{CloseReason, ProtocolError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Characters in a client identifier that subjects cannot have.
const NOT_IN_CLIENT_ID: [char; 7] = ['.', '*', '>', ' ', '\t', '\r', '\n'];

/// Bytes of a CONNACK that refuses, where the client has no maximum of its own.
const CONNACK_BYTES_MAX: usize = 1024;

/// A CONNECT that is being checked.
pub(super) struct Asked {
    /// As it came. It is bounded.
    packet: Box<[u8]>,
    pub(super) agreed: Agreed,
    client_id: Arc<str>,
    /// Whether a session of before goes on.
    pub(super) is_present: bool,
    /// How often its record was written by somebody else while it began.
    pub(super) overtaken: u8,
    /// What the connection before had in flight.
    pub(super) sent: Vec<Sent>,
}

impl MqttConnection {
    /// The first packet, which is a CONNECT.
    pub(super) fn connect(&mut self, packet: &Packet<'_>, bytes: &[u8], turn: &mut Turn) {
        let Packet::Connect(connect) = packet else { return };
        self.effects.version = connect.version;
        let agreed = agree(connect, &self.options());
        let is_id = !connect.client_id.contains(NOT_IN_CLIENT_ID);
        let agreed = match agreed {
            Ok(agreed) if is_id => agreed,
            Ok(_) => {
                return self.refuse(Reason::ClientIdentifierNotValid, CloseReason::ProtocolViolation, turn);
            }
            Err(reason) => return self.refuse(reason, CloseReason::ProtocolViolation, turn),
        };
        if connect.will.is_some_and(|will| put_subject(&mut Vec::new(), will.topic).is_err()) {
            return self.refuse(Reason::TopicNameInvalid, CloseReason::ProtocolViolation, turn);
        }
        self.effects.packet_bytes_max = u32::try_from(agreed.packet_bytes_max).unwrap_or(0);
        let client_id: Arc<str> = match agreed.needs_client_id {
            true => HEXLOWER.encode(&crate::random::random::<[u8; 11]>()).into(),
            false => connect.client_id.into(),
        };
        let conduct = &mut self.effects.conduct;
        conduct.session.set_mqtt_client(&client_id);
        let asked = Asked {
            packet: bytes.into(),
            agreed,
            client_id,
            is_present: false,
            overtaken: 0,
            sent: Vec::new(),
        };
        let asked = Box::new(asked);
        if agreed.is_challenged {
            return self.challenge_stranger(connect, asked, turn);
        }
        conduct.present(Shown::new(credentials(connect), ""));
        conduct.begin_check(turn.now());
        self.state = State::Asking(asked);
        let claim = self.login_claim();
        let login = self.effects.conduct.authenticate(&claim, turn);
        self.carry_out(login, turn);
    }

    /// What the server grants.
    fn options(&self) -> Options {
        let policy = &self.effects.conduct.policy;
        let defaults = Options::default();
        let Some(own) = &policy.options.mqtt else { return defaults };
        let payload = policy.options.limits.payload_bytes_max;
        let packet_bytes_max = u32::try_from(payload.saturating_add(PUBLISH_HEAD_BYTES_MAX));
        Options {
            ack_pending_max: own.streams.ack_pending_max,
            packet_bytes_max: packet_bytes_max.unwrap_or(u32::MAX),
            reject_qos2_publish: own.reject_qos2_publish,
            downgrade_qos2_subscribe: own.downgrade_qos2_subscribe,
            ..defaults
        }
    }

    /// Answers of checks that took long have come. True if the client may go on.
    pub(super) fn take_verdicts(&mut self, turn: &mut Turn) -> bool {
        let was_checking = self.effects.conduct.phase.is_checking();
        let claim = self.login_claim();
        let login = self.effects.conduct.take_verdicts(&claim, turn);
        self.carry_out(login, turn);
        self.take_place(turn.now());
        was_checking && self.effects.conduct.is_let_in()
    }

    /// Takes note of how far its login is.
    pub(super) fn carry_out(&mut self, login: Login, turn: &mut Turn) {
        if matches!(self.state, State::In(_)) {
            return self.carry_out_again(login, turn);
        }
        match login {
            Login::Nothing | Login::Waiting => {}
            Login::In => self.let_in(turn),
            Login::Refused(error, reason) => self.refuse_login(error, reason, turn),
        }
    }

    /// It is not let in.
    pub(super) fn refuse_login(&mut self, error: ProtocolError, reason: CloseReason, turn: &mut Turn) {
        match refusal(&error, self.effects.version) {
            Some(said) => {
                self.effects.why = Some(error.text().into());
                self.refuse(said, reason, turn);
            }
            None => self.peer().close(reason),
        }
    }

    /// Answers CONNECT by this and closes; where the version has no code for it, it closes alone.
    pub(super) fn refuse(&mut self, said: Reason, reason: CloseReason, turn: &mut Turn) {
        let effects = &mut self.effects;
        effects.conduct.node.connections.client_ids.figures.refused.fetch_add(1, Ordering::Relaxed);
        let mut more = PropertiesBuf::default();
        if let Some(why) = effects.why.take().filter(|_| effects.version == Version::V5) {
            // What is too long is left out.
            let _ = more.push(Property::ReasonString(&why));
        }
        let with = |properties| Packet::ConnAck(ConnAck { session_present: false, reason: said, properties });
        // Before it has said how large packets may be, short ones only. [MQTT-3.2.2-19]
        let max =
            if effects.packet_bytes_max == 0 { CONNACK_BYTES_MAX } else { effects.packet_bytes_max as usize };
        let (out, version) = (&mut effects.out, effects.version);
        let _ = encode::packet(out, &with(more.properties()), version, max)
            .or_else(|_| encode::packet(out, &with(Properties::NONE), version, usize::MAX));
        effects.send_out(turn);
        self.state = State::Over;
        self.peer().close(reason);
    }

    /// The first bytes are no CONNECT. Only some reasons are told, as officially.
    pub(super) fn refuse_connect(&mut self, problem: DecodeError, turn: &mut Turn) {
        match problem {
            DecodeError::ProtocolLevel(_) | DecodeError::ClientId => {
                self.refuse(problem.reason(), CloseReason::ProtocolViolation, turn);
            }
            _ => self.peer().close(CloseReason::ProtocolViolation),
        }
    }

    /// It is who it says: it gets its client identifier, and its session is read.
    fn let_in(&mut self, turn: &mut Turn) {
        let State::Asking(asked) = std::mem::replace(&mut self.state, State::Over) else { return };
        let effects = &mut self.effects;
        effects.conduct.hold_pings();
        effects.take_limits(turn.now());
        effects.client_id = asked.client_id.clone();
        let claimed = self.claim(&asked.client_id, turn);
        match claimed {
            Claimed::Free | Claimed::Behind => {}
            Claimed::Refused => return self.peer().close(CloseReason::DuplicateClientId),
            Claimed::OfAnother => return self.refuse_identifier(turn),
        }
        self.effects.conduct.describe(&dialtone_wire::Connect::NOTHING);
        self.state = State::Behind(asked);
        if matches!(claimed, Claimed::Free) {
            self.follow(turn);
        }
    }

    /// It has its client identifier: its session is read.
    fn follow(&mut self, turn: &mut Turn) {
        let State::Behind(asked) = std::mem::replace(&mut self.state, State::Over) else { return };
        self.state = State::Opening(asked);
        self.read_session(turn);
    }

    /// Goes on if the connection ahead of it has left.
    pub(super) fn look_ahead(&mut self, turn: &mut Turn) {
        if matches!(self.state, State::Behind(_)) && self.effects.has_client_id() {
            self.follow(turn);
        }
    }

    /// Its session is read: CONNACK, and what goes on.
    pub(super) fn open(
        &mut self,
        asked: &Asked,
        session: Session,
        (resumed, sent): (&[Wanted], &[Sent]),
        turn: &mut Turn,
    ) {
        let Asked { packet, agreed, is_present, .. } = asked;
        let Ok(Parsed::Packet(Packet::Connect(connect), _)) =
            parse(packet, &Limits { version: None, ..self.limits })
        else {
            return;
        };
        let options = self.options();
        let effects = &mut self.effects;
        effects.conduct.peer().set_format(Format::Mqtt(agreed.version));
        let will =
            connect.will.as_ref().filter(|will| effects.may_publish(will.topic, turn)).map(OwnWill::of);
        self.limits.version = Some(agreed.version);
        self.limits.packet_bytes_max = options.packet_bytes_max as usize;
        let properties = agreed.properties(&connect, &effects.client_id, &options);
        let engine = Engine::new(turn.now(), *agreed, options, Some(session), will);
        self.state = State::In(Box::new(engine));
        let is_present = *is_present;
        self.with_engine(turn, |engine, effects, turn| {
            let mut out = std::mem::take(&mut effects.out);
            let done = engine.welcome(is_present, properties.properties(), &mut out, &mut |command| {
                effects.carry_out(command, turn);
            });
            effects.out = out;
            effects.send_out(turn);
            // Behind CONNACK: from here on messages come.
            turn.enqueue_staged();
            for wanted in resumed {
                effects.resume_subscription(wanted, turn);
            }
            effects.await_again(sent, engine, turn);
            done
        });
    }

    /// Claims a client identifier.
    fn claim(&self, client_id: &Arc<str>, turn: &Turn) -> Claimed {
        let conduct = &self.effects.conduct;
        let Some(account) = &conduct.place.account else { return Claimed::Refused };
        let ids = &conduct.node.connections.client_ids;
        let claimed = ids.claim(account.id, client_id, &conduct.session, turn.now());
        if matches!(claimed, Claimed::Refused) {
            let text = format_args!("client identifier {client_id:?} was taken over just now");
            conduct.log(Event::LimitReached, text);
        }
        claimed
    }

    /// Another user of the account has this client identifier: with it, its messages would go to a stranger. (CVE-2026-33215)
    pub(super) fn refuse_identifier(&mut self, turn: &mut Turn) {
        let text = format_args!("client identifier {:?} is another user's", self.effects.client_id);
        self.conduct().log(Event::AuthenticationFailed, text);
        self.effects.why = Some("the client identifier is another user's".into());
        self.refuse(Reason::NotAuthorized, CloseReason::AuthenticationViolation, turn);
    }
}

impl Effects {
    /// Whether it has its client identifier.
    pub(super) fn has_client_id(&self) -> bool {
        let conduct = &self.conduct;
        let ids = &conduct.node.connections.client_ids;
        let has = |account: &Arc<Account>| ids.is_held_by(account.id, &self.client_id, &conduct.session);
        conduct.place.account.as_ref().is_some_and(has)
    }

    /// The connection is over: somebody else may have its client identifier.
    pub(super) fn release(&self) {
        if let Some(account) = &self.conduct.place.account
            && !self.client_id.is_empty()
        {
            let ids = &self.conduct.node.connections.client_ids;
            ids.release(account.id, &self.client_id, &self.conduct.session);
        }
    }
}

/// What shows who the client is: as officially, the password may be a token or a JWT as well.
fn credentials(connect: &Connect<'_>) -> Credentials {
    let password = String::from_utf8_lossy(connect.password.unwrap_or_default()).into_owned();
    Credentials {
        user: connect.username.unwrap_or_default().into(),
        token: Secret::new(password.clone()),
        jwt: password.clone().into(),
        password: Secret::new(password),
        ..Credentials::default()
    }
}
