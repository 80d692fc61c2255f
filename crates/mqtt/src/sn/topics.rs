//! The numbers of topics that a client has, for as long as it is connected. MQTT-SN 1.2 §6.5, §6.10.

use super::options::Predefined;
use dialtone_wire::mqtt_sn::Topic;
use std::collections::HashMap;

/// A topic with its number.
#[derive(Debug)]
struct Entry {
    id: u16,
    /// Whether the client has been told of it.
    is_known: bool,
}

/// The topics of a client.
#[derive(Debug, Default)]
pub(super) struct Topics {
    by_name: HashMap<Box<str>, Entry>,
    by_id: HashMap<u16, Box<str>>,
    /// Names that the client knows by a predefined number: it has subscribed to them by it.
    predefined: HashMap<Box<str>, u16>,
    last: u16,
}

/// How a topic is named to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// It knows it.
    Known(Topic),
    /// It has to be told of the number first.
    Unknown(u16),
    /// There are as many numbers as there may be.
    Full,
}

impl Topics {
    /// The number of a topic; `None`: there are as many as there may be. Numbers 0 and 65535 are reserved.
    pub(super) fn assign(&mut self, name: &str, max: usize) -> Option<u16> {
        if let Some(entry) = self.by_name.get(name) {
            return Some(entry.id);
        }
        if self.by_name.len() >= max.min(usize::from(u16::MAX) - 1) {
            return None;
        }
        loop {
            self.last = if self.last >= u16::MAX - 1 { 1 } else { self.last + 1 };
            if !self.by_id.contains_key(&self.last) {
                break;
            }
        }
        self.by_name.insert(name.into(), Entry { id: self.last, is_known: false });
        self.by_id.insert(self.last, name.into());
        Some(self.last)
    }

    /// The client has been told of a topic, or does not know it after all.
    pub(super) fn set_known(&mut self, id: u16, is_known: bool) {
        if let Some(entry) = self.by_id.get(&id).and_then(|name| self.by_name.get_mut(name)) {
            entry.is_known = is_known;
        }
    }

    /// The client may know none of its topics any more; their numbers stay.
    pub(super) fn forget_what_is_known(&mut self) {
        self.by_name.values_mut().for_each(|entry| entry.is_known = false);
    }

    /// The client knows a topic by this number.
    pub(super) fn set_predefined(&mut self, name: &str, id: u16) {
        self.predefined.insert(name.into(), id);
    }

    /// How to name a topic to the client.
    pub(super) fn name(&mut self, name: &str, max: usize) -> Named {
        match self.by_name.get(name) {
            Some(entry) if entry.is_known => return Named::Known(Topic::Registered(entry.id)),
            Some(entry) => return Named::Unknown(entry.id),
            None => {}
        }
        if let Some(id) = self.predefined.get(name) {
            return Named::Known(Topic::Predefined(*id));
        }
        if let Ok(short) = name.as_bytes().try_into() {
            return Named::Known(Topic::Short(short));
        }
        self.assign(name, max).map_or(Named::Full, Named::Unknown)
    }

    /// The topic that a client names.
    pub(super) fn resolve<'a>(&'a self, topic: &'a Topic, predefined: &'a Predefined) -> Option<&'a str> {
        match topic {
            Topic::Registered(id) => self.by_id.get(id).map(|name| &**name),
            Topic::Predefined(id) => predefined.topic(*id),
            Topic::Short(name) => std::str::from_utf8(name).ok(),
        }
    }
}
