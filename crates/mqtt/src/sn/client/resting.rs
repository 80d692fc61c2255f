//! Going to sleep, waking for what waits, and leaving. MQTT-SN 1.2 §6.11, §6.12, §6.14

use super::{Client, Phase, Verdict};
use crate::sn::action::Context;
use dialtone_wire::mqtt_sn::Message;

impl Client {
    /// DISCONNECT: with seconds it sleeps, without it leaves.
    pub(super) fn disconnect(&mut self, seconds: Option<u16>, context: &mut Context<'_>) {
        self.say_disconnected(context);
        match seconds {
            Some(for_seconds) => self.fall_asleep(for_seconds),
            None => {
                self.leave_server(context);
                let again = context.options.retry_interval * (context.options.retries_max + 1);
                self.phase = Phase::Left(context.now + again);
            }
        }
    }

    pub(super) fn fall_asleep(&mut self, for_seconds: u16) {
        self.phase = Phase::Asleep { for_seconds };
        self.outbound.pause();
    }

    /// PINGREQ. A client that sleeps asks by it for what waits, and sleeps on when it has that.
    pub(super) fn ping(&mut self, client_id: &str, context: &mut Context<'_>) -> Verdict {
        if !client_id.is_empty() && *client_id != *self.who.client_id {
            // Somebody else is at this address now.
            self.say_disconnected(context);
            return Verdict::Stays;
        }
        match self.phase {
            Phase::Asleep { for_seconds } => {
                // More may come meanwhile, as there is room for it; but not for ever.
                let left = self.outbound.queue.len().max(context.options.queue_messages_max);
                self.phase = Phase::Awake { for_seconds, left };
                self.pump(context);
            }
            // It did not hear that it has all: what is under way comes again, and then PINGRESP.
            Phase::Awake { .. } => return self.resend_now(context),
            _ => {
                context.send(&self.address, Message::PingResp);
            }
        }
        Verdict::Stays
    }

    /// A client that is awake has all that waited.
    pub(super) fn doze(&mut self, context: &mut Context<'_>) {
        if let Phase::Awake { for_seconds, .. } = self.phase {
            context.send(&self.address, Message::PingResp);
            self.fall_asleep(for_seconds);
        }
    }
}
