//! What a user may do, and what servers exchange: subjects that are allowed and denied.

use super::reader::{self, Block, Errors, noted};
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use dialtone_subject::set::is_valid_filter;
use std::time::Duration;

/// Answers that `allow_responses: true` allows to one request, and for how long. The official figures.
const RESPONSES_DEFAULT: Responses = Responses { max_msgs: Some(1), expires: Some(Duration::from_secs(120)) };

/// What a user may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permissions {
    /// Subjects to publish to.
    pub publish: Rules,
    /// Subjects to subscribe to, some with a queue group behind a blank.
    pub subscribe: Rules,
    /// Answers to requests.
    pub responses: Option<Responses>,
}

/// Subjects that are allowed and denied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Only these; `None`: all.
    pub allow: Option<Vec<String>>,
    /// None of these.
    pub deny: Vec<String>,
    /// Where each of those that are allowed stands; empty where they come from no file.
    pub allow_at: Vec<Position>,
    /// Where each of those that are denied stands; empty where they come from no file.
    pub deny_at: Vec<Position>,
}

/// How many answers, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responses {
    /// Answers to one request; `None`: any number.
    pub max_msgs: Option<u64>,
    /// How long; `None`: for ever.
    pub expires: Option<Duration>,
}

/// `{ publish: …, subscribe: …, allow_responses: … }`
pub(crate) fn permissions(value: &Value, errors: &mut Errors) -> Option<Permissions> {
    let map = noted(reader::map(value), errors)?;
    let block = Block::new("permissions", map, errors);
    let mut out = Permissions::default();
    if let Some(value) = block.get("publish") {
        out.publish = rules(value, false, errors);
    }
    if let Some(value) = block.get("subscribe") {
        out.subscribe = rules(value, true, errors);
    }
    if let Some(value) = block.get("allow_responses") {
        out.responses = responses(value, errors);
        // Who may only answer may publish nothing else.
        if out.responses.is_some() && out.publish.allow.is_none() {
            out.publish.allow = Some(Vec::new());
        }
    }
    Some(out)
}

/// One subject, a list, or `{ allow: …, deny: … }`.
fn rules(value: &Value, queues: bool, errors: &mut Errors) -> Rules {
    let Kind::Map(map) = &value.kind else {
        let allow = some(subjects(value, queues, errors));
        return Rules { allow, allow_at: reader::places(value), ..Rules::default() };
    };
    let block = Block::new("rules", map, errors);
    let allow = block.get("allow").and_then(|v| some(subjects(v, queues, errors)));
    let deny = block.get("deny").map(|v| subjects(v, queues, errors)).unwrap_or_default();
    let places = |key: &str| block.get(key).map(reader::places).unwrap_or_default();
    Rules { allow, deny, allow_at: places("allow"), deny_at: places("deny") }
}

/// An empty list is no list: it allows everything, as in the official server.
fn some(list: Vec<String>) -> Option<Vec<String>> {
    Some(list).filter(|list| !list.is_empty())
}

pub(crate) fn subjects(value: &Value, queues: bool, errors: &mut Errors) -> Vec<String> {
    let subjects = noted(reader::texts(value), errors).unwrap_or_default();
    for subject in &subjects {
        let mut words = subject.split_whitespace();
        let valid = words.next().is_some_and(|subject| is_valid_filter(subject.as_bytes()))
            && words.next().is_none_or(|queue| queues && is_valid_filter(queue.as_bytes()))
            && words.next().is_none();
        if !valid {
            errors.push(ConfigError::new(&value.at, format!("subject {subject:?} is not a valid subject")));
        }
    }
    subjects
}

fn responses(value: &Value, errors: &mut Errors) -> Option<Responses> {
    match &value.kind {
        Kind::Bool(false) => None,
        Kind::Bool(true) => Some(RESPONSES_DEFAULT),
        Kind::Map(map) => {
            let block = Block::new("responses", map, errors);
            let mut out = RESPONSES_DEFAULT;
            block.set("max", &mut out.max_msgs, errors, |v| {
                // 0 means the default, less than that any number.
                Ok(match reader::integer(v)? {
                    0 => RESPONSES_DEFAULT.max_msgs,
                    n => u64::try_from(n).ok(),
                })
            });
            block.set("expires", &mut out.expires, errors, |v| match &v.kind {
                // Less than nothing: any time.
                Kind::String(text)
                    if text.strip_prefix('-').is_some_and(|span| reader::parse_duration(span).is_some()) =>
                {
                    Ok(None)
                }
                _ => reader::duration_text(v)
                    .map(|d| if d.is_zero() { RESPONSES_DEFAULT.expires } else { Some(d) }),
            });
            Some(out)
        }
        _ => {
            errors.push(ConfigError::new(&value.at, "expected a boolean or a map for allow_responses"));
            None
        }
    }
}
