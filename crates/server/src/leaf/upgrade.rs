//! How a connection to a hub becomes one by WebSocket: this end asks for it, and the protocol begins in frames behind the answer.

use super::{Dialed, LeafConnection, Side};
use crate::framing::WebSocketFraming;
use crate::hubs::Hub;
use crate::log::Event;
use crate::protocol::Progress;
use dialtone_broker::deliver::Turn;
use dialtone_mesh::RouteUrl;
use dialtone_wire::CloseReason;
use dialtone_wire::http::AnswerReader;
use dialtone_wire::websocket::{Answer, Masking, Request, Stream};
use std::fmt::Display;

/// An upgrade that the hub has to grant.
pub(super) struct Upgrade {
    request: Request,
    is_asked: bool,
    reader: AnswerReader,
}

impl Upgrade {
    /// What a hub is asked for, if it is reached by WebSocket.
    pub(super) fn of(hub: &Hub, url: &RouteUrl) -> Option<Self> {
        let websocket = url.websocket.as_ref()?;
        let own = &hub.own.link;
        let request = Request::leaf_node(&url.address(), &websocket.path, crate::random::random())
            .offer_deflate(own.websocket_compression)
            .ask_no_masking(own.websocket_no_masking);
        Some(Self { request, is_asked: false, reader: AnswerReader::default() })
    }
}

impl LeafConnection {
    /// Asks for the upgrade, if there is to be one and it may be asked for.
    pub(super) fn ask_upgrade(&mut self) {
        if self.conduct.is_securing() {
            return;
        }
        let Side::Dialed(Dialed { upgrade: Some(upgrade), .. }) = &mut self.side else { return };
        let is_asked = std::mem::replace(&mut upgrade.is_asked, true);
        if !is_asked && !self.link.write_first(&upgrade.request.encode()) {
            self.not_upgraded(&"the hub takes no request");
        }
    }

    /// Takes the hub's answer, while that is waited for.
    pub(super) fn take_answer(&mut self, input: &[u8], turn: &mut Turn) -> Option<Progress> {
        let Side::Dialed(Dialed { upgrade: Some(upgrade), .. }) = &mut self.side else { return None };
        let answer = match upgrade.reader.head(input) {
            Ok(None) => return Some(Progress::default()),
            Ok(Some(head)) => upgrade.request.answered(head).map(|answer| (answer, head.len())),
            Err(why) => Err(why.into()),
        };
        Some(match answer {
            Ok((answer, used)) => {
                self.upgraded(answer, turn);
                Progress { used, begins_framing: true, ..Progress::default() }
            }
            Err(why) => {
                self.not_upgraded(&why);
                Progress { used: input.len(), ..Progress::default() }
            }
        })
    }

    fn upgraded(&mut self, answer: Answer, turn: &Turn) {
        let masking = if answer.masks { Masking::Keys(crate::random::random) } else { Masking::Off };
        // What is inflated is taken a piece at a time. A hub that has much to send may put all of that in one message.
        let bytes_max = self.conduct.policy.options.limits.pending_bytes_max;
        let stream = Stream::new(answer.agreed, masking, bytes_max);
        self.is_deflated = answer.agreed.deflate;
        if !self.link.begin_framing_behind(Box::new(WebSocketFraming(stream)), self.peer().pending_bytes()) {
            self.peer().close(CloseReason::WriteError);
        }
        if let Side::Dialed(dialed) = &mut self.side {
            dialed.upgrade = None;
            dialed.until = Some(turn.now() + dialed.hub.own.link.first_info_timeout);
        }
    }

    /// Whether the upgrade has still to be granted.
    pub(super) fn is_upgrading(&self) -> bool {
        matches!(&self.side, Side::Dialed(Dialed { upgrade: Some(_), .. }))
    }

    /// There is no upgrade.
    pub(super) fn not_upgraded(&self, why: &dyn Display) {
        self.log(Event::LeafFailed, format_args!("Error soliciting websocket connection: {why}"));
        self.peer().close(CloseReason::ReadError);
    }
}
