//! What is kept of a stream and of a consumer beside their state: when they were made, and their configurations.

use super::kept::{self, KeptConfig};
use super::state::Unreadable;
use dialtone_jetstream::config::{ConsumerConfig, StreamConfig};
use dialtone_jetstream::consumer::Start;
use dialtone_jetstream::consumer::varint::{Reader, unzigzag, write, zigzag};
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
#[derive(Clone, Debug)]
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
    pub(crate) kept: KeptConfig,
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

    /// Its configuration.
    pub(crate) fn config(&self) -> ConsumerConfig {
        self.kept.whole(&self.name)
    }

    /// What it has in common with many, which is there without being made.
    pub(crate) fn common(&self) -> &ConsumerConfig {
        self.kept.common()
    }

    /// As bytes: numbers, the name, then the configuration.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let first = &self.start.first;
        let numbers = [self.id, zigzag(self.created), self.start.next, first.len() as u64];
        for number in numbers.iter().chain(first) {
            write(&mut out, *number);
        }
        write(&mut out, self.name.len() as u64);
        out.extend_from_slice(self.name.as_bytes());
        self.kept.encode(&mut out);
        out
    }

    /// Reads it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(bytes);
        let mut number = || reader.varint().ok_or(Unreadable);
        let (id, created, next, count) = (number()?, unzigzag(number()?), number()?, number()?);
        if count > bytes.len() as u64 {
            return Err(Unreadable);
        }
        let first = (0..count).map(|_| number()).collect::<Result<_, _>>()?;
        let name_bytes = usize::try_from(number()?).map_err(|_| Unreadable)?;
        let name =
            reader.take(name_bytes).and_then(|name| std::str::from_utf8(name).ok()).ok_or(Unreadable)?;
        let kept = KeptConfig::decode(&mut reader, name)?;
        Ok(Self { id, created, start: Start { next, first }, name: name.into(), kept })
    }

    /// Reads what older servers wrote: numbers of eight bytes, the name, then JSON.
    pub(super) fn decode_old(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut rest = bytes;
        let (id, created, next) = (number(&mut rest)?, number(&mut rest)? as i64, number(&mut rest)?);
        let (name_bytes, count) = (number(&mut rest)?, number(&mut rest)?);
        if count > (rest.len() / 8) as u64 {
            return Err(Unreadable);
        }
        let first = (0..count).map(|_| number(&mut rest)).collect::<Result<_, _>>()?;
        let name_bytes = usize::try_from(name_bytes).map_err(|_| Unreadable)?;
        let (name, rest) = rest.split_at_checked(name_bytes).ok_or(Unreadable)?;
        let name = std::str::from_utf8(name).map_err(|_| Unreadable)?;
        let kept = KeptConfig::of(kept::read(rest).ok_or(Unreadable)?, name);
        Ok(Self { id, created, start: Start { next, first }, name: name.into(), kept })
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
        let kept = KeptConfig::of(config.clone(), "C");
        let consumer = ConsumerMeta { id: 2, created: -1, start: start.clone(), name: "C".into(), kept };
        let is_it = |read: &ConsumerMeta| {
            (read.id, read.created, &*read.name) == (2, -1, "C")
                && (&read.start, read.config()) == (&start, config.clone())
        };
        let bytes = consumer.encode();
        assert!(ConsumerMeta::decode(&bytes).is_ok_and(|read| is_it(&read)));
        for cut in 0..bytes.len() {
            assert!(ConsumerMeta::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        let old = b"\x02\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x07\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\
            \x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0C{\"durable_name\":\"C\",\"deliver_policy\":\"all\",\"ack_policy\":\"none\",\
            \"max_deliver\":3,\"replay_policy\":\"instant\",\"num_replicas\":0}";
        assert!(ConsumerMeta::decode_old(old).is_ok_and(|read| is_it(&read)), "as older servers wrote it");
        for cut in 0..old.len() {
            assert!(ConsumerMeta::decode_old(&old[..cut]).is_err(), "{cut}");
        }
    }
}
