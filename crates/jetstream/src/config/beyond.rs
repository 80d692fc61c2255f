//! Settings that official servers do not know: metadata under keys that begin with `dialtone.`. Every client can set them, and an official server
//! keeps them as they are.

use super::check_subjects::is_valid;
use super::{AckPolicy, ConsumerConfig, Metadata, StreamConfig};
use crate::error::{self, ApiError};
use dialtone_subject::set;

/// How the keys of our own settings begin. What is not known under it is refused, so that nothing is written and ignored.
pub const PREFIX: &str = "dialtone.";
/// Consumers: the tokens of a subject by which messages are kept in order, such as `2` or `2,4`.
pub const ORDER_BY: &str = "dialtone.order_by";
/// Consumers: the subject to which messages go that are given up.
pub const DEAD_LETTER: &str = "dialtone.dead_letter";
/// Keys that consumers may have.
const CONSUMER: &[&str] = &[ORDER_BY, DEAD_LETTER];
/// Streams: whether messages may be stored later, by the header `Nats-Delay`: `true` or `false`.
pub const DELAY: &str = "dialtone.delay";
/// Keys that streams may have.
const STREAM: &[&str] = &[DELAY];

/// Tokens that a key may have.
const KEY_TOKENS_MAX: usize = 8;
/// Where the last of them may stand.
const KEY_TOKEN_MAX: u8 = 64;

/// Which tokens of a subject are its key, counted from 1, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTokens(Box<[u8]>);

impl KeyTokens {
    /// Reads `2` or `2,4`.
    ///
    /// # Errors
    /// What it has to be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut tokens = Vec::new();
        for number in text.split(',') {
            let token = number.trim().parse().ok().filter(|token| (1..=KEY_TOKEN_MAX).contains(token));
            let token = token.ok_or("has to be numbers of tokens from 1 to 64, such as 2 or 2,4")?;
            if tokens.last().is_some_and(|last| *last >= token) {
                return Err("has to name its tokens in ascending order");
            }
            tokens.push(token);
        }
        match tokens.len() <= KEY_TOKENS_MAX {
            true => Ok(Self(tokens.into())),
            false => Err("may name 8 tokens at most"),
        }
    }

    /// The key of a subject. One that has not all the tokens is a key of its own.
    pub fn of(&self, subject: &[u8]) -> Box<[u8]> {
        let mut key = Vec::with_capacity(subject.len());
        let mut wanted = self.0.iter().copied().peekable();
        for (at, token) in subject.split(|byte| *byte == b'.').enumerate() {
            if wanted.next_if(|wanted| usize::from(*wanted) == at + 1).is_some() {
                key.extend_from_slice(token);
                key.push(b'.');
            }
        }
        // No token has a space, so that it is like no other key.
        if wanted.peek().is_some() { [b" ", subject].concat().into() } else { key.into() }
    }
}

/// By which tokens a consumer keeps messages in order, if it does. Of a configuration that was checked.
pub fn order_by(config: &ConsumerConfig) -> Option<KeyTokens> {
    config.metadata.get(ORDER_BY).and_then(|text| KeyTokens::parse(text).ok())
}

/// Where messages of a consumer go that are given up. Of a configuration that was checked.
pub fn dead_letter(config: &ConsumerConfig) -> Option<&str> {
    config.metadata.get(DEAD_LETTER)
}

/// Checks our own settings of a consumer of `stream`; `old` is what it was, if it is there already.
///
/// # Errors
/// What is wrong, by name.
pub(super) fn check_consumer(
    config: &ConsumerConfig,
    old: Option<&ConsumerConfig>,
    stream: &StreamConfig,
) -> Result<(), ApiError> {
    let refuse = |text: String| Err(error::CONSUMER_CREATE.with(text));
    if let Some(key) = unknown(&config.metadata, CONSUMER) {
        return refuse(format!("{key} is no setting of a consumer"));
    }
    if let Some(text) = config.metadata.get(ORDER_BY) {
        if let Err(why) = KeyTokens::parse(text) {
            return refuse(format!("{ORDER_BY} {why}"));
        }
        if config.ack_policy != AckPolicy::Explicit {
            return refuse(format!("{ORDER_BY} needs explicit acknowledgements"));
        }
        if config.max_ack_pending <= 0 {
            return refuse(format!("{ORDER_BY} needs a limit of max_ack_pending"));
        }
    }
    if let Some(subject) = config.metadata.get(DEAD_LETTER) {
        let is_literal = is_valid(subject) && set::is_literal(subject.as_bytes());
        if !is_literal || subject.starts_with('$') {
            return refuse(format!("{DEAD_LETTER} has to be a subject without wildcards"));
        }
        if stream.subjects.iter().any(|own| set::matches(own.as_bytes(), subject.as_bytes())) {
            return refuse(format!("{DEAD_LETTER} is a subject of the stream itself"));
        }
        if config.ack_policy != AckPolicy::Explicit {
            return refuse(format!("{DEAD_LETTER} needs explicit acknowledgements"));
        }
    }
    if old.is_some_and(|old| old.metadata.get(ORDER_BY) != config.metadata.get(ORDER_BY)) {
        return refuse(format!("{ORDER_BY} can not be updated"));
    }
    Ok(())
}

/// Whether messages of a stream may be stored later. Of a configuration that was checked.
pub fn allows_delay(config: &StreamConfig) -> bool {
    config.metadata.get(DELAY).is_some_and(|text| text == "true")
}

/// Checks our own settings of a stream.
///
/// # Errors
/// What is wrong, by name.
pub(super) fn check_stream(config: &StreamConfig) -> Result<(), ApiError> {
    let refuse = |text: String| Err(error::STREAM_INVALID_CONFIG.with(text));
    if let Some(key) = unknown(&config.metadata, STREAM) {
        return refuse(format!("{key} is no setting of a stream"));
    }
    match config.metadata.get(DELAY) {
        None | Some("false") => Ok(()),
        Some("true") if config.mirror.is_some() => refuse(format!("{DELAY} does not go with a mirror")),
        Some("true") => Ok(()),
        Some(_) => refuse(format!("{DELAY} has to be true or false")),
    }
}

fn unknown<'a>(metadata: &'a Metadata, known: &[&str]) -> Option<&'a str> {
    let mut ours = metadata.iter().map(|(key, _)| key).filter(|key| key.starts_with(PREFIX));
    ours.find(|key| !known.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_tokens_of_subjects() {
        let key = |tokens: &str, subject: &str| {
            String::from_utf8_lossy(&KeyTokens::parse(tokens).expect("tokens").of(subject.as_bytes()))
                .into_owned()
        };
        assert_eq!(key("2", "jobs.ann.new"), "ann.");
        assert_eq!(key("2", "jobs.ann.old"), "ann.");
        assert_eq!(key("1,3", "jobs.ann.new"), "jobs.new.");
        assert_eq!(key("3", "jobs.ann"), " jobs.ann");
        assert_eq!(key("1,3", "jobs.ann"), " jobs.ann");
        for wrong in ["", "0", "65", "x", "2,", "2,2", "3,2", "1,2,3,4,5,6,7,8,9", "-1"] {
            assert!(KeyTokens::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        let config = |key: &str, value: &str| ConsumerConfig {
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 1000,
            metadata: Metadata::from_iter([(key.to_owned(), value.to_owned())]),
            ..ConsumerConfig::default()
        };
        let refused = |config: &ConsumerConfig, old: Option<&ConsumerConfig>| {
            let stream = StreamConfig { subjects: vec!["jobs.>".into()], ..StreamConfig::default() };
            check_consumer(config, old, &stream).map_err(|error| error.description)
        };
        let ordered = config(ORDER_BY, "2");
        assert_eq!(refused(&config("other", "x"), None), Ok(()));
        assert_eq!(refused(&ordered, None), Ok(()));
        assert_eq!(refused(&ordered, Some(&ordered)), Ok(()));
        let unknown = config("dialtone.what", "x");
        assert_eq!(refused(&unknown, None), Err("dialtone.what is no setting of a consumer".into()));
        let unordered = config("other", "x");
        let kept = Err("dialtone.order_by can not be updated".into());
        assert_eq!(refused(&unordered, Some(&ordered)), kept);
        assert_eq!(refused(&ordered, Some(&unordered)), kept);
        let none = ConsumerConfig { ack_policy: AckPolicy::None, ..ordered.clone() };
        assert_eq!(refused(&none, None), Err("dialtone.order_by needs explicit acknowledgements".into()));
        let unlimited = ConsumerConfig { max_ack_pending: -1, ..ordered.clone() };
        assert_eq!(
            refused(&unlimited, None),
            Err("dialtone.order_by needs a limit of max_ack_pending".into())
        );
        assert!(refused(&config(ORDER_BY, "two"), None).is_err());
        let dead = config(DEAD_LETTER, "dead.jobs");
        assert_eq!((refused(&dead, None), refused(&dead, Some(&unordered))), (Ok(()), Ok(())));
        let none = ConsumerConfig { ack_policy: AckPolicy::All, ..dead };
        assert_eq!(refused(&none, None), Err("dialtone.dead_letter needs explicit acknowledgements".into()));
        for (subject, why) in [
            ("", "has to be a subject without wildcards"),
            ("dead.*", "has to be a subject without wildcards"),
            ("a b", "has to be a subject without wildcards"),
            ("$JS.API.STREAM.DELETE.X", "has to be a subject without wildcards"),
            ("jobs.dead", "is a subject of the stream itself"),
        ] {
            assert_eq!(
                refused(&config(DEAD_LETTER, subject), None),
                Err(format!("{DEAD_LETTER} {why}").into())
            );
        }
        let refused = |key: &str, value: &str| {
            let metadata = [(key.to_owned(), value.to_owned())].into_iter().collect();
            check_stream(&StreamConfig { metadata, ..StreamConfig::default() })
                .map_err(|error| error.description)
        };
        assert_eq!((refused(DELAY, "true"), refused(DELAY, "false")), (Ok(()), Ok(())));
        assert_eq!(refused(DELAY, "yes"), Err("dialtone.delay has to be true or false".into()));
        let stream = refused(ORDER_BY, "2");
        assert_eq!(stream, Err("dialtone.order_by is no setting of a stream".into()));
    }
}
