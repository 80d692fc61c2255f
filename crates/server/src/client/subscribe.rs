//! SUB and UNSUB.

use super::Client;
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_broker::permission::{self, Subscribe};
use dialtone_broker::subscription::Subscription;
use dialtone_subject::is_valid_filter;
use dialtone_wire::{ProtocolError, quoted};

impl Client {
    pub(super) fn subscribe(&mut self, filter: &[u8], queue: Option<&[u8]>, sid: &[u8], turn: &mut Turn) {
        self.conduct.session.peer.touch(turn.now());
        // Rights come first, then the limits, then the subject itself: the official order.
        let wanted = Subscribe { filter, queue, sid };
        let Ok(allowed) = permission::subscribe(self.conduct.place.permissions.as_deref(), wanted) else {
            return self.subscribe_denied(filter, queue, sid, turn);
        };
        let tokens_max = self.conduct.policy.options.limits.subject_tokens_max;
        if tokens_max > 0 && filter.split(|&b| b == b'.').count() > tokens_max {
            let filter = quoted(filter);
            let text = format!("Permissions Violation for Subscription to {filter}, too many tokens");
            return self.send_error(&text, turn);
        }
        if self.peer().subscriptions().len() >= self.subscriptions_max {
            return self.send_error(ProtocolError::SubscriptionsExceeded.text(), turn);
        }
        if !is_valid_filter(filter) && self.peer().subscriptions().find(sid).is_none() {
            return self.send_error(ProtocolError::InvalidSubject.text(), turn);
        }
        let Some(account) = self.conduct.place.account.clone() else { return };
        let wanted = allowed.get();
        let subscription = Subscription::new(self.peer().clone(), wanted.filter, wanted.queue, wanted.sid);
        // A sid that is taken keeps its subscription, without an error.
        turn.subscribe(&account, &subscription);
        self.send_ok(turn);
    }

    pub(super) fn unsubscribe(&mut self, sid: &[u8], max: Option<u64>, turn: &mut Turn) {
        self.conduct.session.peer.touch(turn.now());
        let found = self.peer().subscriptions().find(sid).cloned();
        if let Some(subscription) = found {
            let over = max.is_none_or(|max| subscription.set_max(max));
            if over {
                turn.unsubscribe(&subscription);
                self.trace_gone(sid);
            }
        }
        self.send_ok(turn);
    }

    #[cold]
    fn subscribe_denied(&mut self, filter: &[u8], queue: Option<&[u8]>, sid: &[u8], turn: &mut Turn) {
        let filter = quoted(filter);
        let sid = String::from_utf8_lossy(sid);
        let (text, logged) = match queue.map(quoted) {
            None => (
                format!("Permissions Violation for Subscription to {filter}"),
                format!("Subscription Violation - Subject {filter}, SID {sid}"),
            ),
            Some(queue) => (
                format!("Permissions Violation for Subscription to {filter} using queue {queue}"),
                format!("Subscription Violation - Subject {filter}, Queue: {queue}, SID {sid}"),
            ),
        };
        self.log(Event::PermissionDenied, format_args!("{logged}"));
        self.send_error(&text, turn);
    }
}
