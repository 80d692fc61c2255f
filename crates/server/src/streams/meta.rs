//! What is kept of a stream and of a consumer beside their state: when they were made, and their configurations.

use super::state::Unreadable;
use dialtone_jetstream::config::{ConsumerConfig, StreamConfig};
use dialtone_jetstream::consumer::Start;
use dialtone_jetstream::json::{self, Strictness};
use std::sync::Arc;

/// What is kept of a stream beside its state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StreamMeta {
    /// Nanoseconds since 1970.
    pub(crate) created: i64,
    /// Its configuration, which checks of other streams look at, too.
    pub(crate) config: Arc<StreamConfig>,
}

/// What is kept of a consumer beside its state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ConsumerMeta {
    /// Its number in the stream.
    pub(crate) id: u64,
    /// Nanoseconds since 1970.
    pub(crate) created: i64,
    /// Where it began.
    pub(crate) start: Start,
    /// What it is called.
    pub(crate) name: Arc<str>,
    /// Its configuration.
    pub(crate) config: ConsumerConfig,
}

impl StreamMeta {
    /// As bytes: the time, then JSON.
    pub(super) fn encode(&self) -> Vec<u8> {
        [&self.created.to_le_bytes()[..], &json::to_vec(&*self.config)].concat()
    }

    /// Reads it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut rest = bytes;
        let created = number(&mut rest)? as i64;
        let mut config = StreamConfig::default();
        json::from_slice(rest, StreamConfig::GO, Strictness::Lax, &mut config).map_err(|_| Unreadable)?;
        Ok(Self { created, config: Arc::new(config) })
    }
}

impl ConsumerMeta {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As bytes: numbers, then JSON.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let first = &self.start.first;
        let numbers =
            [self.id, self.created as u64, self.start.next, self.name.len() as u64, first.len() as u64];
        for number in numbers.iter().chain(first) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(&json::to_vec(&self.config));
        out
    }

    /// Reads it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut rest = bytes;
        let (id, created, next) = (number(&mut rest)?, number(&mut rest)? as i64, number(&mut rest)?);
        let (name_bytes, count) = (number(&mut rest)?, number(&mut rest)?);
        if count > (rest.len() / 8) as u64 {
            return Err(Unreadable);
        }
        let first = (0..count).map(|_| number(&mut rest)).collect::<Result<_, _>>()?;
        let name_bytes = usize::try_from(name_bytes).map_err(|_| Unreadable)?;
        let (name, rest) = rest.split_at_checked(name_bytes).ok_or(Unreadable)?;
        let name = std::str::from_utf8(name).map_err(|_| Unreadable)?.into();
        let mut config = ConsumerConfig::default();
        json::from_slice(rest, ConsumerConfig::GO, Strictness::Lax, &mut config).map_err(|_| Unreadable)?;
        Ok(Self { id, created, start: Start { next, first }, name, config })
    }
}

/// Reads a number.
pub(super) fn number(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    let (number, behind) = rest.split_first_chunk::<8>().ok_or(Unreadable)?;
    *rest = behind;
    Ok(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        let config = StreamConfig {
            name: "S".into(),
            max_msgs: 5,
            subjects: vec!["a.>".into()],
            ..StreamConfig::default()
        };
        let stream = StreamMeta { created: 5, config: Arc::new(config) };
        let bytes = stream.encode();
        assert_eq!(StreamMeta::decode(&bytes), Ok(stream));
        let config = ConsumerConfig { durable_name: "C".into(), max_deliver: 3, ..ConsumerConfig::default() };
        let start = Start { next: 7, first: vec![1, 5] };
        let consumer = ConsumerMeta { id: 2, created: -1, start, name: "C".into(), config };
        let bytes = consumer.encode();
        assert_eq!(ConsumerMeta::decode(&bytes), Ok(consumer));
        for cut in 0..bytes.len() - 1 {
            let read = ConsumerMeta::decode(&bytes[..cut]);
            assert!(read.is_err() || read.is_ok_and(|read| read.config.durable_name.is_empty()), "{cut}");
        }
    }
}
