//! CONNECT and INFO: how a client gets in.

use super::{Client, Phase};
use crate::registry::Introduction;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Place;
use dialtone_wire::{CloseReason, Connect, ProtocolError};

impl Client {
    pub(super) fn connect(&mut self, json: &[u8], turn: &mut Turn) {
        let Ok(connect) = Connect::parse(json) else {
            return self.peer().close(CloseReason::ProtocolViolation);
        };
        if self.manner.introduced {
            // A second CONNECT changes the manner, not who the client is.
            self.adopt(&connect);
            return self.say_ok(turn);
        }
        if self.place.account.is_none() {
            self.enter(Place { account: Some(self.shared.global.clone()), permissions: None });
        }
        self.phase = Phase::Open;
        if !(0..=1).contains(&connect.protocol) {
            return self.refuse(ProtocolError::InvalidProtocol, CloseReason::BadClientProtocolVersion, turn);
        }
        if connect.no_responders && !(connect.headers && self.settings.headers) {
            return self.refuse(
                ProtocolError::NoRespondersNeedsHeaders,
                CloseReason::NoRespondersRequiresHeaders,
                turn,
            );
        }
        self.adopt(&connect);
        self.manner.introduced = true;
        let account = self.place.account.as_ref().map(|a| a.name.to_string()).unwrap_or_default();
        let introduction = Introduction {
            name: connect.name,
            lang: connect.lang,
            version: connect.version,
            user: connect.user,
            account,
        };
        // Set once: a second CONNECT does not get here.
        let _ = self.session.introduction.set(introduction);
        self.say_ok(turn);
    }

    fn adopt(&mut self, connect: &Connect) {
        self.manner.verbose = connect.verbose;
        self.manner.pedantic = connect.pedantic;
        self.manner.echo = connect.echo;
        self.manner.asynchronous_info = connect.protocol >= 1;
        let headers = connect.headers && self.settings.headers;
        self.manner.no_responders = connect.no_responders && headers;
        self.limits.headers = headers;
        self.session.peer.set_understands_headers(headers);
    }

    /// Sends INFO: the first, or the one that answers CONNECT.
    pub(super) fn send_info(&self, turn: &mut Turn, answers_connect: bool) {
        let mut info = (*self.shared.info()).clone();
        info.client_id = self.peer().id.0;
        info.client_ip = self.session.remote.map(|r| r.ip().to_string()).unwrap_or_default();
        if answers_connect {
            info.connect_info = true;
            info.remote_account = self.place.account.as_ref().map(|a| a.name.to_string()).unwrap_or_default();
        }
        let mut bytes = Vec::with_capacity(512);
        info.encode(&mut bytes);
        turn.send(self.peer(), &bytes);
    }
}
