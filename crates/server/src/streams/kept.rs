//! Configurations of consumers as they are kept: what many have in common is there once, and what one has for itself takes the bytes of its text.
//!
//! There may be a million consumers of clients that are away. Beside memory that is so in the log and in checkpoints: what is common is written as
//! JSON, in which phrases that nearly all have are one byte each.

use super::state::Unreadable;
use dialtone_jetstream::config::ConsumerConfig;
use dialtone_jetstream::consumer::varint::{Reader, write};
use dialtone_jetstream::json::{self, Strictness};
use parking_lot::Mutex;
use std::sync::Arc;

/// What is known to be common to many, at most: beyond, some have the same for themselves.
const COMMON_MAX: usize = 64;
/// Bytes of one of them as it is written: what is larger, each has for itself, so that none stays when its consumers are gone.
const COMMON_BYTES_MAX: usize = 4096;

/// Phrases by the control character that stands for each: JSON has none of them. Stores have what is written with them, so none ever changes.
const PHRASES: [&str; 27] = [
    r#"{"deliver_policy":"all","ack_policy":"explicit","ack_wait":"#,
    r#"{"deliver_policy":"new","ack_policy":"explicit","ack_wait":"#,
    r#"{"deliver_policy":"last_per_subject","ack_policy":"none","ack_wait":"#,
    r#"{"deliver_policy":""#,
    r#"","ack_policy":""#,
    r#"","ack_wait":"#,
    r#","max_deliver":-1"#,
    r#","max_deliver":"#,
    r#","backoff":["#,
    r#","filter_subjects":[""#,
    r#","replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0"#,
    r#","replay_policy":"instant""#,
    r#","max_waiting":512"#,
    r#","max_waiting":"#,
    r#","max_ack_pending":1000"#,
    r#","max_ack_pending":"#,
    r#","flow_control":true"#,
    r#","idle_heartbeat":"#,
    r#","inactive_threshold":"#,
    r#","num_replicas":0"#,
    r#","num_replicas":1"#,
    r#","mem_storage":true"#,
    r#","metadata":{"_nats.req.level":"0"}}"#,
    r#","metadata":{"#,
    r#""_nats.req.level":"0""#,
    r#""_nats.ver":""#,
    "000000000",
];

/// What they begin with.
const BEGINS: &[u8] = b"{\",0";

/// What is common to many.
#[derive(Debug, PartialEq)]
struct Common {
    /// Without what each has for itself.
    config: ConsumerConfig,
    /// The same as it is written.
    packed: Box<[u8]>,
}

/// The latest ones, by which others are found to be the same.
static COMMON: Mutex<Vec<Arc<Common>>> = Mutex::new(Vec::new());

fn common(is_it: impl Fn(&Common) -> bool, make: impl FnOnce() -> Option<Common>) -> Option<Arc<Common>> {
    let mut all = COMMON.lock();
    if let Some(found) = all.iter().rev().find(|common| is_it(common)) {
        return Some(found.clone());
    }
    let made = Arc::new(make()?);
    if made.packed.len() > COMMON_BYTES_MAX {
        return Some(made);
    }
    if all.len() >= COMMON_MAX {
        all.remove(0);
    }
    all.push(made.clone());
    Some(made)
}

/// A consumer's configuration.
#[derive(Clone, Debug)]
pub(crate) struct KeptConfig {
    common: Arc<Common>,
    /// A byte of flags, a number, and the texts that they do not tell.
    own: Box<[u8]>,
}

/// The texts that each has for itself, in their order.
fn texts(config: &mut ConsumerConfig) -> [&mut String; 5] {
    let ConsumerConfig { durable_name, name, filter_subject, deliver_subject, deliver_group, .. } = config;
    [durable_name, name, filter_subject, deliver_subject, deliver_group]
}

/// Of the first texts, which are the consumer's name; a flag each.
const NAMES: usize = 2;

impl KeptConfig {
    /// That of a consumer of this name.
    pub(crate) fn of(mut config: ConsumerConfig, name: &str) -> Self {
        let mut own = vec![0];
        write(&mut own, std::mem::take(&mut config.opt_start_seq));
        for (at, text) in texts(&mut config).into_iter().enumerate() {
            let text = std::mem::take(text);
            if at < NAMES && text == name {
                own[0] |= 1 << at;
            } else {
                write(&mut own, text.len() as u64);
                own.extend_from_slice(text.as_bytes());
            }
        }
        let make = || Some(Common { config: config.clone(), packed: pack(&json::to_vec(&config)).into() });
        let common = common(|common| common.config == config, make);
        Self { common: common.expect("it is made where it is not known"), own: own.into() }
    }

    /// What many have in common: names, filters, and where it delivers are not in it, nor the sequence that it begins at.
    pub(crate) fn common(&self) -> &ConsumerConfig {
        &self.common.config
    }

    /// All of it, of the consumer of this name.
    pub(crate) fn whole(&self, name: &str) -> ConsumerConfig {
        let mut config = self.common.config.clone();
        // It was made so, or read whole.
        let _ = fill(&mut config, &self.own, name);
        config
    }

    /// Appends it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        write(out, self.own.len() as u64);
        out.extend_from_slice(&self.own);
        out.extend_from_slice(&self.common.packed);
    }

    /// Reads what [`Self::encode`] wrote, of the consumer of this name.
    pub(super) fn decode(reader: &mut Reader<'_>, name: &str) -> Result<Self, Unreadable> {
        let own_bytes = reader.varint().and_then(|bytes| usize::try_from(bytes).ok());
        let own = own_bytes.and_then(|bytes| reader.take(bytes)).ok_or(Unreadable)?;
        let packed = reader.take(reader.left()).unwrap_or_default();
        let make = || Some(Common { config: read(&unpack(packed)?)?, packed: packed.into() });
        let common = common(|common| *common.packed == *packed, make).ok_or(Unreadable)?;
        let mut config = common.config.clone();
        fill(&mut config, own, name).ok_or(Unreadable)?;
        Ok(Self { common, own: own.into() })
    }
}

/// Puts what is its own where it belongs.
fn fill(config: &mut ConsumerConfig, own: &[u8], name: &str) -> Option<()> {
    let mut reader = Reader::new(own);
    let flags = reader.byte()?;
    config.opt_start_seq = reader.varint()?;
    for (at, text) in texts(config).into_iter().enumerate() {
        if at < NAMES && flags & (1 << at) != 0 {
            name.clone_into(text);
        } else {
            let bytes = usize::try_from(reader.varint()?).ok()?;
            std::str::from_utf8(reader.take(bytes)?).ok()?.clone_into(text);
        }
    }
    reader.is_done().then_some(())
}

/// A configuration of JSON.
pub(super) fn read(text: &[u8]) -> Option<ConsumerConfig> {
    let mut config = ConsumerConfig::default();
    let text = Some(text).filter(|text| text.starts_with(b"{"))?;
    json::from_slice(text, ConsumerConfig::GO, Strictness::Lax, &mut config).ok()?;
    Some(config)
}

/// JSON with phrases as single bytes.
fn pack(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        if !BEGINS.contains(&first) {
            out.push(first);
            text = rest;
            continue;
        }
        let fitting = PHRASES.iter().zip(1_u8..).filter(|(phrase, _)| text.starts_with(phrase.as_bytes()));
        match fitting.max_by_key(|(phrase, _)| phrase.len()) {
            Some((phrase, code)) => {
                out.push(code);
                text = &text[phrase.len()..];
            }
            None => {
                out.push(first);
                text = rest;
            }
        }
    }
    out
}

/// The other way round. `None`: a byte is of a later version.
fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for &byte in packed {
        match byte {
            0..b' ' => out.extend_from_slice(PHRASES.get(usize::from(byte).checked_sub(1)?)?.as_bytes()),
            _ => out.push(byte),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_jetstream::config::{AckPolicy, DeliverPolicy};
    use dialtone_jetstream::time::Nanos;

    fn config(number: u64) -> ConsumerConfig {
        ConsumerConfig {
            durable_name: format!("c{number}"),
            filter_subject: format!("s.{number}"),
            deliver_subject: format!("d.{number}"),
            opt_start_seq: number,
            deliver_policy: DeliverPolicy::New,
            ack_policy: AckPolicy::Explicit,
            ack_wait: Nanos(30_000_000_000),
            max_ack_pending: 100,
            ..ConsumerConfig::default()
        }
    }

    #[test]
    fn what_is_the_same_is_kept_once_and_written_in_few_bytes() {
        let kept: Vec<_> = [1, 2].map(|number| KeptConfig::of(config(number), &format!("c{number}"))).into();
        assert!(Arc::ptr_eq(&kept[0].common, &kept[1].common));
        for (kept, number) in kept.iter().zip(1..) {
            let name = format!("c{number}");
            assert_eq!(kept.whole(&name), config(number));
            let mut bytes = Vec::new();
            kept.encode(&mut bytes);
            assert!(bytes.len() < 40, "{} bytes: {bytes:?}", bytes.len());
            let back = KeptConfig::decode(&mut Reader::new(&bytes), &name).expect("it is read");
            assert!(Arc::ptr_eq(&back.common, &kept.common), "it is found to be the same");
            assert_eq!(back.whole(&name), config(number));
            for cut in 0..bytes.len() {
                assert!(KeptConfig::decode(&mut Reader::new(&bytes[..cut]), &name).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn anything_comes_back() {
        let mut odd = config(0);
        odd.name = "another".into();
        odd.deliver_subject.clear();
        odd.deliver_group = "g".into();
        odd.description = "\u{1}\u{1f} 000000000 \"ack_wait\": \u{e9}".into();
        odd.metadata.insert("_nats.req.level", "0");
        odd.metadata.insert("a", "\n");
        let kept = KeptConfig::of(odd.clone(), "c0");
        let mut bytes = Vec::new();
        kept.encode(&mut bytes);
        let back = KeptConfig::decode(&mut Reader::new(&bytes), "c0").expect("it is read");
        assert_eq!(back.whole("c0"), odd);
        assert_eq!(unpack(b"\x1f"), None, "of a later version");
        assert_eq!(unpack(b"\0"), None);
    }

    #[test]
    fn phrases_stay_what_they_are() {
        assert!(PHRASES.iter().all(|phrase| phrase.starts_with(|first| BEGINS.contains(&(first as u8)))));
        let text: String = PHRASES.concat();
        let sum = text.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        assert_eq!((PHRASES.len(), text.len(), sum), (27, 689, 1608232770), "stores are written with them");
    }
}
