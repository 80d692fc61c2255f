//! The consumers of a stream by name, as whoever asks them finds them: one subscription stands for all, and the names say where it leads.
//!
//! Known without the lock of the stream, since routes are worked out while somebody has it. There may be very many consumers that nobody asks.

use super::hosted::Tap;
use dialtone_broker::subscription::Subscription;
use dialtone_jetstream::config::{AckPolicy, ConsumerConfig};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;

/// What a consumer can be told.
#[derive(Clone, Copy)]
struct Asked {
    id: u64,
    is_acknowledged: bool,
    has_flow_control: bool,
}

/// The names, and the subscriptions that stand for them.
#[derive(Default)]
pub(super) struct Names {
    all: RwLock<HashMap<Arc<str>, Asked, foldhash::fast::RandomState>>,
    /// By what they are subscribed with: there are few.
    pub(super) taps: Mutex<Vec<(Box<str>, Arc<Subscription>)>>,
}

impl Names {
    /// A consumer can be asked from now on, or as its configuration says now.
    pub(super) fn add(&self, name: &Arc<str>, id: u64, config: &ConsumerConfig) {
        let is_acknowledged = config.ack_policy != AckPolicy::None;
        let asked = Asked { id, is_acknowledged, has_flow_control: config.flow_control };
        self.all.write().insert(name.clone(), asked);
    }

    /// It is gone.
    pub(super) fn remove(&self, name: &str) {
        self.all.write().remove(name);
    }

    /// The consumer that a message to a subscription is for. `None`: there is none, or it takes no such message.
    pub(super) fn find(&self, tap: Tap, subject: &[u8]) -> Option<u64> {
        let (Tap::Pull(at) | Tap::Ack(at) | Tap::FlowControl(at)) = tap else { return None };
        let name = subject.split(|byte| *byte == b'.').nth(usize::try_from(at).ok()?)?;
        let asked = *self.all.read().get(std::str::from_utf8(name).ok()?)?;
        let takes = match tap {
            Tap::Ack(_) => asked.is_acknowledged,
            Tap::FlowControl(_) => asked.has_flow_control,
            _ => true,
        };
        takes.then_some(asked.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_leads_to_the_consumer_that_it_names_if_that_takes_it() {
        let names = Names::default();
        let config =
            |ack_policy, flow_control| ConsumerConfig { ack_policy, flow_control, ..Default::default() };
        names.add(&"c".into(), 1, &config(AckPolicy::Explicit, false));
        names.add(&"d".into(), 2, &config(AckPolicy::None, true));
        for (tap, subject, found) in [
            (Tap::Pull(6), "$JS.API.CONSUMER.MSG.NEXT.S.c", Some(1)),
            (Tap::Pull(7), "$JS.hub.API.CONSUMER.MSG.NEXT.S.d", Some(2)),
            (Tap::Pull(6), "$JS.API.CONSUMER.MSG.NEXT.S.e", None),
            (Tap::Ack(3), "$JS.ACK.S.c.1.2.3.4.5", Some(1)),
            (Tap::Ack(3), "$JS.ACK.S.d.1.2.3.4.5", None),
            (Tap::Ack(5), "$JS.ACK._.account.S.c.1.2.3.4.5.x", Some(1)),
            (Tap::FlowControl(3), "$JS.FC.S.d.x", Some(2)),
            (Tap::FlowControl(3), "$JS.FC.S.c.x", None),
            (Tap::Ack(3), "$JS", None),
            (Tap::Store, "c", None),
        ] {
            assert_eq!(names.find(tap, subject.as_bytes()), found, "{subject}");
        }
        names.remove("c");
        assert_eq!(names.find(Tap::Pull(6), b"$JS.API.CONSUMER.MSG.NEXT.S.c"), None);
    }
}
