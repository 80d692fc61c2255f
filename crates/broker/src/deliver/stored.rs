//! Messages of streams, of this server or of others. They come by the subject that a consumer's client subscribed to, and are delivered under the one that they were
//! stored under, which stands behind the subject of their acknowledgement: `$JS.ACK.STREAM.CONSUMER.1.1.1.0.0@SUBJECT`. Who passes them on
//! leaves both together.

use super::observe::Silent;
use super::{Delivery, Origin, Turn};
use crate::account::Account;
use crate::route::{Route, Target};
use dialtone_wire::message::Message;
use std::sync::Arc;

const PREFIX: &[u8] = b"$JS.ACK.";
/// Dots in the subject of an acknowledgement. Names before them may have an `@`.
const DOTS: usize = 8;

/// The subject of the acknowledgement, and the one that the message was stored under.
#[inline(always)]
pub(super) fn parts<'a>(message: &Message<'a>) -> Option<(&'a [u8], &'a [u8])> {
    split(message.reply.filter(|reply| reply.starts_with(PREFIX))?)
}

#[cold]
fn split(reply: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut dots = 0;
    let at = reply.iter().position(|&byte| {
        dots += usize::from(byte == b'.');
        byte == b'@' && dots >= DOTS
    })?;
    let (acknowledgement, rest) = reply.split_at_checked(at)?;
    let subject = rest.get(1..).filter(|subject| !subject.is_empty())?;
    Some((acknowledgement, subject))
}

impl Turn {
    /// Delivers a message of a stream: here as it was stored, to relays as it came.
    pub(super) fn deliver_stored(
        &mut self,
        account: &Arc<Account>,
        route: &Route,
        origin: &Origin<'_>,
        message: &Message<'_>,
        (acknowledgement, subject): (&[u8], &[u8]),
    ) -> usize {
        let renamed = |target: &Target| Target::new(subject, target.subscription.clone());
        let stored = Message { reply: Some(acknowledgement), ..*message };
        if let ([only], [], false) = (&*route.plain, &*route.queues, route.has_relays()) {
            let Some(only) = renamed(only) else { return 0 };
            let delivery = Delivery::new(&stored, origin, route);
            return self.deliver_to(&[only], &[], &delivery, &mut Silent);
        }
        let plain: Vec<Target> = route.plain.iter().filter_map(renamed).collect();
        let mut queues: Vec<Vec<Target>> =
            route.queues.iter().map(|group| group.iter().filter_map(renamed).collect()).collect();
        queues.retain(|group: &Vec<Target>| !group.is_empty());
        self.pass_reply(message.reply);
        let delivery = Delivery::new(&stored, origin, route);
        let delivered = self.deliver_beyond(account, route, (&plain, &queues), &delivery, &mut Silent);
        self.pass_reply(None);
        delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_stands_behind_the_acknowledgement() {
        let split = |reply: &str| {
            let found = split(reply.as_bytes())?;
            Some([found.0, found.1].map(|part| String::from_utf8_lossy(part).into_owned()))
        };
        let both = |one: &str, other: &str| Some([one.to_owned(), other.to_owned()]);
        let ack = "$JS.ACK.S.C.1.2.3.1795954146163176088.0";
        assert_eq!(split(&format!("{ack}@orders.1")), both(ack, "orders.1"));
        assert_eq!(split(&format!("{ack}@a@b")), both(ack, "a@b"));
        let later = "$JS.ACK._.xNZj6HOx.S.C.1.2.3.1795954146163176088.0.r";
        assert_eq!(split(&format!("{later}@orders")), both(later, "orders"));
        let named = "$JS.ACK.S@T.C@D.1.2.3.4.0";
        assert_eq!(split(&format!("{named}@orders")), both(named, "orders"));
        for none in [ack, named, &format!("{ack}@"), "$JS.ACK.S@x", ""] {
            assert_eq!(split(none), None, "{none}");
        }
    }
}
