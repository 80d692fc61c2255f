//! The subscriptions of a session.

use dialtone_wire::mqtt::topic::{Shared, is_filter, shared};
use dialtone_wire::mqtt::{Reason, SubscribeOptions, SubscriptionId};

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The filter as the client names it, shared subscriptions with their prefix.
    pub filter: Box<str>,
    /// How.
    pub options: SubscribeOptions,
    /// The client's number for it.
    pub id: Option<SubscriptionId>,
}

/// A filter that is well formed, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The filter, without the prefix of shared subscriptions.
    pub filter: &'a str,
    /// The queue group of a shared subscription.
    pub group: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// Takes a filter apart. Shared subscriptions are MQTT 5's alone; before, the prefix is a level like others.
    ///
    /// # Errors
    /// It is not well formed.
    pub fn parse(filter: &'a str, knows_shared: bool) -> Result<Self, Reason> {
        let parts = if knows_shared { shared(filter) } else { Ok(None) };
        match parts {
            Ok(Some(Shared { group, filter })) => Ok(Self { filter, group: Some(group) }),
            Ok(None) if is_filter(filter) => Ok(Self { filter, group: None }),
            _ => Err(Reason::TopicFilterInvalid),
        }
    }
}

/// Those of a session. Filters are different. [MQTT-3.8.4-3]
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriptions(Vec<Subscribed>);

impl Subscriptions {
    pub(crate) fn find(&self, filter: &str) -> Option<&Subscribed> {
        self.0.iter().find(|subscribed| &*subscribed.filter == filter)
    }

    /// Adds one, or replaces the one with that filter.
    pub(crate) fn insert(&mut self, new: Subscribed) {
        match self.0.iter_mut().find(|subscribed| subscribed.filter == new.filter) {
            Some(subscribed) => *subscribed = new,
            None => {
                // Most sessions have one or two.
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(self.0.len().max(1));
                }
                self.0.push(new);
            }
        }
    }

    pub(crate) fn remove(&mut self, filter: &str) -> Option<Subscribed> {
        let at = self.0.iter().position(|subscribed| &*subscribed.filter == filter)?;
        Some(self.0.swap_remove(at))
    }

    pub(crate) fn all(&self) -> &[Subscribed] {
        &self.0
    }
}
