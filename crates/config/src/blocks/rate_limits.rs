//! Rate limits: how much may be published a second.

use super::block;
use super::keys::Status::Reloads;
use super::reader::{self, Block, Notes, noted};
use super::rule::Rule::Within;
use crate::error::ConfigError;
use crate::language::{Kind, Value};
use dialtone_subject::set::is_valid_filter;

/// Rules of one account or user.
const RULES_MAX: usize = 32;
/// Subjects of one rule.
const SUBJECTS_MAX: usize = 64;
/// A burst is at least this part of what comes in a second: time is looked at in milliseconds, and what is not taken when
/// the bucket is full is lost.
const BURSTS_A_SECOND_MAX: u64 = 100;
/// The highest rate and the largest burst.
const UNITS_MAX: i64 = u32::MAX as i64;

/// How much may be published a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// What happens to what is more.
    pub action: RateAction,
    /// Subjects that it is for; empty: all.
    pub subjects: Vec<String>,
    /// Messages.
    pub msgs: Option<Rate>,
    /// Bytes of headers and payloads.
    pub bytes: Option<Rate>,
}

/// What happens to messages that come too fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateAction {
    /// They wait, and all that the connection sends behind them.
    #[default]
    Delay,
    /// They are not taken, and the client is told.
    Refuse,
}

/// A rate and how much may come at once, both from 1 to 4294967295.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units a second.
    pub per_second: u64,
    /// Units at once.
    pub burst: u64,
}

block! {
    /// The keys of a rate limit.
    pub struct RateKeys in "rate_limit" {
        /// Empty: all.
        subjects: Vec<String> = Vec::new(),
            subjects | "subject": "Subjects that it is for, as clients write them. Default: all.", read (filters), Within(Reloads);
        msgs: Option<u64> = None,
            msgs_per_sec: "Messages a second.", read (|v| units(v, "msgs_per_sec").map(Some)), Within(Reloads);
        msgs_burst: Option<u64> = None,
            msgs_burst: "Messages at once. Default: those of a second.",
            read (|v| units(v, "msgs_burst").map(Some)), Within(Reloads);
        bytes: Option<u64> = None,
            bytes_per_sec: "Bytes of headers and payloads a second.",
            read (|v| units(v, "bytes_per_sec").map(Some)), Within(Reloads);
        bytes_burst: Option<u64> = None,
            bytes_burst: "Bytes at once. Default: those of a second.",
            read (|v| units(v, "bytes_burst").map(Some)), Within(Reloads);
        action: RateAction = RateAction::Delay,
            action: "What happens to messages that are more: `delay` or `refuse`. Default `delay`.", read (action), Within(Reloads);
    }
}

/// `{ msgs_per_sec: …, … }`, or a list of those.
pub(crate) fn rate_limits(value: &Value, notes: &mut Notes) -> Vec<RateLimit> {
    let rules = match &value.kind {
        Kind::Array(values) => reader::each(values, |value| rate_limit(value, notes)),
        _ => rate_limit(value, notes).into_iter().collect(),
    };
    if rules.len() > RULES_MAX {
        let problem = format!("{} rate limits are too many: {RULES_MAX} are allowed", rules.len());
        notes.errors.push(ConfigError::new(&value.at, problem));
    }
    rules
}

fn rate_limit(value: &Value, notes: &mut Notes) -> Option<RateLimit> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let before = notes.errors.len();
    let block = Block::new("rate_limit", map, &mut notes.errors);
    let mut keys = RateKeys::default();
    keys.read(&block, notes);
    let msgs = rate(&block, ("msgs_per_sec", keys.msgs), ("msgs_burst", keys.msgs_burst), notes);
    let bytes = rate(&block, ("bytes_per_sec", keys.bytes), ("bytes_burst", keys.bytes_burst), notes);
    if msgs.is_none() && bytes.is_none() && notes.errors.len() == before {
        let problem = "a rate limit needs `msgs_per_sec` or `bytes_per_sec`";
        notes.errors.push(ConfigError::new(&value.at, problem));
    }
    let RateKeys { action, subjects, .. } = keys;
    (notes.errors.len() == before).then_some(RateLimit { action, subjects, msgs, bytes })
}

fn action(value: &Value) -> Result<RateAction, ConfigError> {
    match reader::text(value)?.as_str() {
        "delay" => Ok(RateAction::Delay),
        "refuse" => Ok(RateAction::Refuse),
        other => Err(ConfigError::new(&value.at, format!("action {other:?} is unknown"))
            .help("known are `delay` and `refuse`")),
    }
}

/// What a rate and its burst make together, each with its key.
fn rate(
    block: &Block<'_>,
    (key, per_second): (&str, Option<u64>),
    (burst_key, burst): (&str, Option<u64>),
    notes: &mut Notes,
) -> Option<Rate> {
    if let (None, Some(value)) = (block.get(key), block.get(burst_key)) {
        notes.errors.push(ConfigError::new(&value.at, format!("`{burst_key}` needs `{key}`")));
    }
    if let (Some(per_second), Some(units), Some(value)) = (per_second, burst, block.get(burst_key))
        && units.saturating_mul(BURSTS_A_SECOND_MAX) < per_second
    {
        let least = per_second.div_ceil(BURSTS_A_SECOND_MAX);
        let problem = format!("{units} is too small a {burst_key} for {key} {per_second}");
        notes.errors.push(ConfigError::new(&value.at, problem).help(format!("it is at least {least}")));
    }
    per_second.map(|per_second| Rate { per_second, burst: burst.unwrap_or(per_second) })
}

fn units(value: &Value, key: &str) -> Result<u64, ConfigError> {
    match reader::integer(value)? {
        n @ 1..=UNITS_MAX => Ok(n as u64),
        n => Err(ConfigError::new(&value.at, format!("{n} is no {key}"))
            .help(format!("it is from 1 to {UNITS_MAX}; without a limit, take the key out"))),
    }
}

fn filters(value: &Value) -> Result<Vec<String>, ConfigError> {
    let subjects = reader::texts(value)?;
    if let Some(bad) = subjects.iter().find(|subject| !is_valid_filter(subject.as_bytes())) {
        return Err(ConfigError::new(&value.at, format!("subject {bad:?} is not a valid subject")));
    }
    match subjects.len() {
        0 => Err(ConfigError::new(&value.at, "the list is empty")),
        count if count > SUBJECTS_MAX => Err(ConfigError::new(
            &value.at,
            format!("{count} subjects are too many for a rate limit: {SUBJECTS_MAX} are allowed"),
        )),
        _ => Ok(subjects),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(rules: &str) -> Result<Vec<RateLimit>, String> {
        let text = format!("accounts {{ A {{\nrate_limits: {rules}\n}} }}");
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let options = crate::load_text(&text, "t.conf", &mut files, &|_| None).map_err(|e| e.to_string())?;
        Ok(options
            .access
            .accounts
            .into_iter()
            .next()
            .map(|account| account.rate_limits)
            .unwrap_or_default()
            .unwrap_or_default())
    }

    #[track_caller]
    fn check(rules: &str, expected: &[RateLimit]) {
        assert_eq!(read(rules).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn refuse(rules: &str, expected: &str) {
        assert_eq!(read(rules).expect_err(rules), expected);
    }

    #[test]
    fn rules_stand_alone_or_in_a_list() {
        let rate = |per_second, burst| Some(Rate { per_second, burst });
        let action = RateAction::Delay;
        let all = RateLimit { action, subjects: vec![], msgs: rate(1000, 1000), bytes: None };
        check("{ msgs_per_sec: 1k }", std::slice::from_ref(&all));
        let some = RateLimit {
            action: RateAction::Refuse,
            subjects: vec!["a.>".into(), "b".into()],
            msgs: rate(5, 7),
            bytes: rate(1 << 20, 1 << 21),
        };
        check(
            "[ { msgs_per_sec: 1000 }, { subjects: [a.>, b], msgs_per_sec: 5, msgs_burst: 7, bytes_per_sec: 1mb, bytes_burst: 2mb, action: refuse } ]",
            &[all, some],
        );
        check("[]", &[]);
    }

    #[test]
    fn what_can_not_be_meant_is_told_with_its_place() {
        refuse("{}", "t.conf:2:14: a rate limit needs `msgs_per_sec` or `bytes_per_sec`");
        refuse("7", "t.conf:2:14: expected a map, found an integer");
        refuse("{ msgs_burst: 7, bytes_per_sec: 1 }", "t.conf:2:28: `msgs_burst` needs `msgs_per_sec`");
        refuse(
            "{ msgs_per_sec: 0 }",
            "t.conf:2:30: 0 is no msgs_per_sec\n  it is from 1 to 4294967295; without a limit, take the key out",
        );
        refuse(
            "{ msgs_per_sec: 1001, msgs_burst: 10 }",
            "t.conf:2:48: 10 is too small a msgs_burst for msgs_per_sec 1001\n  it is at least 11",
        );
        refuse(
            "{ msgs_per_sec: 1, action: drop }",
            "t.conf:2:41: action \"drop\" is unknown\n  known are `delay` and `refuse`",
        );
        refuse(
            "{ msgs_per_sec: 1, subjects: 'a..b' }",
            "t.conf:2:43: subject \"a..b\" is not a valid subject",
        );
        refuse("{ msgs_per_sec: 1, subjects: [] }", "t.conf:2:43: the list is empty");
        refuse(
            "{ msg_per_sec: 1 }",
            "t.conf:2:16: unknown field \"msg_per_sec\"\n  did you mean `msgs_per_sec`?",
        );
        let many = |count: usize, one: &str| format!("[{}]", vec![one; count].join(", "));
        refuse(&many(33, "{ msgs_per_sec: 1 }"), "t.conf:2:14: 33 rate limits are too many: 32 are allowed");
        refuse(
            &format!("{{ msgs_per_sec: 1, subjects: {} }}", many(65, "a")),
            "t.conf:2:43: 65 subjects are too many for a rate limit: 64 are allowed",
        );
    }
}
