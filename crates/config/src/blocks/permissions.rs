//! What a user may do, and what servers exchange: subjects that are allowed and denied.

use super::block;
use super::keys::Status::Reloads;
use super::reader::{self, Block, Errors, Notes, noted};
use super::rule::Rule::Within;
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use dialtone_subject::set::is_valid_filter;
use std::time::Duration;

/// Answers that `allow_responses: true` allows to one request, and for how long. The official figures.
const RESPONSES_DEFAULT: Responses = Responses { max_msgs: Some(1), expires: Some(Duration::from_secs(120)) };

block! {
    /// What a user may do.
    pub struct Permissions in "permissions" {
        publish: Rules = Rules::default(),
            publish | "pub" | "import": "Subjects it may publish to.", block (|v, notes| rules(v, false, notes)), Within(Reloads);
        /// Some with a queue group behind a blank.
        subscribe: Rules = Rules::default(),
            subscribe | "sub" | "export": "Subjects it may subscribe to.", block (|v, notes| rules(v, true, notes)), Within(Reloads);
        /// Answers to requests.
        responses: Option<Responses> = None,
            publish_allow_responses | "allow_responses": "It may answer what it is asked.", block (responses), Within(Reloads);
    }
}

block! {
    /// The keys of rules, which a subject or a list of subjects may stand for.
    pub struct RuleKeys in "rules" {
        allow: () = (), allow: "These only.", by_hand (), Within(Reloads);
        deny: () = (), deny: "None of these.", by_hand (), Within(Reloads);
    }
}

block! {
    /// How many answers, and for how long.
    #[derive(Copy, Eq)]
    pub struct Responses in "responses" {
        /// `None`: any number.
        max_msgs: Option<u64> = RESPONSES_DEFAULT.max_msgs,
            max | "max_msgs" | "max_messages" | "max_responses": "Answers to one request. Default 1.", read (max_msgs), Within(Reloads);
        /// `None`: for ever.
        expires: Option<Duration> = RESPONSES_DEFAULT.expires,
            expires | "expiration" | "ttl": "How long answers may take. Default 2m.", read (expires), Within(Reloads);
    }
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

/// `{ publish: …, subscribe: …, allow_responses: … }`
pub(crate) fn permissions(value: &Value, notes: &mut Notes) -> Option<Permissions> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let mut out = Permissions::default();
    out.read(&Block::new("permissions", map, &mut notes.errors), notes);
    // Who may only answer may publish nothing else.
    if out.responses.is_some() && out.publish.allow.is_none() {
        out.publish.allow = Some(Vec::new());
    }
    Some(out)
}

/// One subject, a list, or `{ allow: …, deny: … }`.
fn rules(value: &Value, queues: bool, notes: &mut Notes) -> Rules {
    let errors = &mut notes.errors;
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

fn responses(value: &Value, notes: &mut Notes) -> Option<Responses> {
    match &value.kind {
        Kind::Bool(false) => None,
        Kind::Bool(true) => Some(RESPONSES_DEFAULT),
        Kind::Map(map) => {
            let mut out = RESPONSES_DEFAULT;
            out.read(&Block::new("responses", map, &mut notes.errors), notes);
            Some(out)
        }
        _ => {
            let problem = "expected a boolean or a map for allow_responses";
            notes.errors.push(ConfigError::new(&value.at, problem));
            None
        }
    }
}

/// 0 means the default, less than that any number.
fn max_msgs(value: &Value) -> Result<Option<u64>, ConfigError> {
    Ok(match reader::integer(value)? {
        0 => RESPONSES_DEFAULT.max_msgs,
        n => u64::try_from(n).ok(),
    })
}

/// 0 means the default, less than that any time.
fn expires(value: &Value) -> Result<Option<Duration>, ConfigError> {
    match &value.kind {
        Kind::String(text)
            if text.strip_prefix('-').is_some_and(|span| reader::parse_duration(span).is_some()) =>
        {
            Ok(None)
        }
        _ => reader::duration_text(value)
            .map(|span| if span.is_zero() { RESPONSES_DEFAULT.expires } else { Some(span) }),
    }
}
