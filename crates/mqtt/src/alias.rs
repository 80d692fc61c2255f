//! Topic aliases: numbers in place of topics, for as long as a connection lasts. MQTT 5.0 §3.3.2.3.4.

use dialtone_wire::mqtt::Reason;
use std::num::NonZeroU16;

/// The aliases of one direction, by number from 1 on.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    max: u16,
    topics: Vec<Option<Box<str>>>,
}

impl Aliases {
    pub(crate) fn new(max: u16) -> Self {
        Self { max, topics: Vec::new() }
    }

    /// The topic of a PUBLISH with this alias. A topic that is named is what the alias means from here on.
    /// [MQTT-3.3.2-7], [MQTT-3.3.2-8], [MQTT-3.3.2-9]
    pub(crate) fn resolve<'a>(&'a mut self, alias: NonZeroU16, topic: &'a str) -> Result<&'a str, Reason> {
        if alias.get() > self.max {
            return Err(Reason::TopicAliasInvalid);
        }
        let at = usize::from(alias.get() - 1);
        if topic.is_empty() {
            return self.topics.get(at).and_then(Option::as_deref).ok_or(Reason::ProtocolError);
        }
        if self.topics.len() <= at {
            self.topics.resize(at + 1, None);
        }
        if let Some(entry) = self.topics.get_mut(at) {
            *entry = Some(topic.into());
        }
        Ok(topic)
    }

    /// The alias to send for a topic, and whether the other end knows it: the first topics get one, and keep it.
    pub(crate) fn assign(&mut self, topic: &str) -> Option<(NonZeroU16, Known)> {
        let is = |entry: &Option<Box<str>>| entry.as_deref() == Some(topic);
        let number = |at: usize| NonZeroU16::new(u16::try_from(at + 1).ok()?);
        if let Some(at) = self.topics.iter().position(is) {
            return Some((number(at)?, Known::Yes));
        }
        let alias = number(self.topics.len()).filter(|alias| alias.get() <= self.max)?;
        self.topics.push(Some(topic.into()));
        Some((alias, Known::No))
    }

    /// What was assigned last was not sent.
    pub(crate) fn forget_last(&mut self) {
        self.topics.pop();
    }
}

/// Whether an alias was sent with its topic before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Yes,
    No,
}
