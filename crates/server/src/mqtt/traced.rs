//! A PUBLISH of MQTT 5 whose user properties may ask for a trace. Official servers have no MQTT 5, and nothing else of MQTT could ask.

use super::effects::Effects;
use crate::conduct::Tracing;
use dialtone_broker::deliver::Turn;
use dialtone_broker::trace;
use dialtone_mqtt::Published;
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::Reason;

impl Effects {
    /// Whether the headers of the message in the scratch may ask for a trace.
    #[cold]
    pub(super) fn may_ask_for_trace(&self, header_bytes: usize) -> bool {
        self.scratch.framed.get(..header_bytes).is_some_and(trace::may_ask)
    }

    /// Delivers the message in the scratch, and a trace of it if its headers, or its account with them, ask for one. `None`: it was only to be
    /// traced, and is not kept either.
    #[cold]
    pub(super) fn deliver_traced(
        &mut self,
        header_bytes: usize,
        published: &Published<'_>,
        is_counted: bool,
        turn: &mut Turn,
    ) -> Option<Reason> {
        let (account, scratch) = (self.conduct.place.account.clone()?, &self.scratch);
        let (subject, framed) = (&*scratch.subject, &*scratch.framed);
        let message = Message { subject, reply: None, header_bytes, framed };
        let header_bytes = match self.conduct.begin_trace(&account, &message, turn) {
            Tracing::Nothing => header_bytes,
            Tracing::Disabled(body) => {
                let (framed, header_bytes) = body.into_parts();
                self.scratch.framed = framed;
                header_bytes
            }
            Tracing::Dropped => return None,
            Tracing::Denied(destination) => return Some(self.publish_denied(&destination)),
            Tracing::Begun(ingress) => {
                let reason = self.deliver_mapped(header_bytes, published, is_counted, turn);
                let is_only = turn.trace_mut().is_some_and(|trace| trace.only);
                self.conduct.end_trace(ingress, turn);
                return (!is_only || reason.is_error()).then_some(reason);
            }
        };
        Some(self.deliver_mapped(header_bytes, published, is_counted, turn))
    }
}
