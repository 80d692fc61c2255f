//! SUBSCRIBE and UNSUBSCRIBE: a filter of MQTT as one or two subscriptions of the broker.

use super::effects::Effects;
use super::publish::is_own;
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_broker::permission::{self, Subscribe};
use dialtone_broker::subscription::{MqttOptions, Subscription};
use dialtone_subject::is_valid_filter;
use dialtone_wire::mqtt::subject::map_filter;
use dialtone_wire::mqtt::{Reason, SubscribeOptions, SubscriptionId};
use dialtone_wire::quoted;

/// What stands behind the name of the subscription for the level above `#`. The official name.
const PARENT_SUFFIX: &[u8] = b" fwc";
/// What stands between the queue group of a shared subscription and its filter, in its name.
const GROUP_END: &[u8] = b" ";

/// A subscription of the broker: what it asks for, and its name.
struct Part {
    filter: Vec<u8>,
    sid: Vec<u8>,
}

/// The one or two subscriptions that a filter is.
fn parts(filter: &str, group: Option<&str>) -> Result<Vec<Part>, Reason> {
    let mut subject = Vec::new();
    let mapped = map_filter(&mut subject, filter).map_err(|_| Reason::TopicFilterInvalid)?;
    let before = group.map_or(Vec::new(), |group| [group.as_bytes(), GROUP_END].concat());
    let whole = Part { filter: mapped.filter.to_vec(), sid: [&*before, mapped.filter].concat() };
    let parent = mapped
        .parent
        .map(|parent| Part { filter: parent.to_vec(), sid: [&*before, parent, PARENT_SUFFIX].concat() });
    Ok(std::iter::once(whole).chain(parent).collect())
}

impl Effects {
    /// Subscribes to a filter, or subscribes anew.
    pub(super) fn subscribe(
        &mut self,
        filter: &str,
        group: Option<&str>,
        options: SubscribeOptions,
        id: Option<SubscriptionId>,
        turn: &mut Turn,
    ) -> Result<(), Reason> {
        let parts = parts(filter, group)?;
        let queue = group.map(str::as_bytes);
        for part in &parts {
            self.check(part, queue)?;
        }
        let Some(account) = self.conduct.place.account.clone() else { return Err(Reason::NotAuthorized) };
        let options = MqttOptions {
            has_stream: false,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            id: id.map_or(0, SubscriptionId::get),
            packet_bytes_max: self.packet_bytes_max,
        };
        let peer = self.conduct.peer();
        for Part { filter, sid } in &parts {
            let found = peer.subscriptions().find(sid).cloned();
            if let Some(subscription) = found {
                subscription.set_mqtt_options(options);
                continue;
            }
            let subscription = Subscription::new(peer.clone(), filter, queue, sid);
            subscription.set_mqtt_options(options);
            turn.subscribe(&account, &subscription);
        }
        Ok(())
    }

    fn check(&self, part: &Part, queue: Option<&[u8]>) -> Result<(), Reason> {
        let Part { filter, sid } = part;
        let conduct = &self.conduct;
        let wanted = Subscribe { filter, queue, sid };
        if is_own(filter) || permission::subscribe(conduct.place.permissions.as_deref(), wanted).is_err() {
            let filter = quoted(filter);
            conduct.log(Event::PermissionDenied, format_args!("Subscription Violation - Subject {filter}"));
            return Err(Reason::NotAuthorized);
        }
        let tokens_max = conduct.policy.options.limits.subject_tokens_max;
        let is_long = tokens_max > 0 && filter.split(|&b| b == b'.').count() > tokens_max;
        if !is_valid_filter(filter) || is_long {
            return Err(Reason::TopicFilterInvalid);
        }
        if conduct.peer().subscriptions().len() >= self.subscriptions_max {
            return Err(Reason::QuotaExceeded);
        }
        Ok(())
    }

    /// Subscribes no longer.
    pub(super) fn unsubscribe(&mut self, filter: &str, group: Option<&str>, turn: &mut Turn) {
        let Ok(parts) = parts(filter, group) else { return };
        for part in parts {
            let found = self.conduct.peer().subscriptions().find(&part.sid).cloned();
            if let Some(subscription) = found {
                turn.unsubscribe(&subscription);
            }
        }
    }
}
