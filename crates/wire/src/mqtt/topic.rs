//! The rules of topic names and topic filters. MQTT 3.1.1 and 5.0 §4.7.

/// The wildcard of one level.
pub const ONE_LEVEL: char = '+';
/// The wildcard of all levels from here on, and of the one above.
pub const ALL_LEVELS: char = '#';
/// What the filter of a shared subscription begins with. MQTT 5.0 §4.8.2.
pub const SHARE_PREFIX: &str = "$share/";

/// Whether it can be published to: not empty, no wildcards. [MQTT-4.7.3-1], [MQTT-3.3.2-2]
pub fn is_name(topic: &str) -> bool {
    !topic.is_empty() && !has_wildcard_character(topic)
}

/// Whether a character stands in it that is a wildcard in filters.
pub fn has_wildcard_character(topic: &str) -> bool {
    topic.bytes().any(|byte| byte == ONE_LEVEL as u8 || byte == ALL_LEVELS as u8)
}

/// Whether it can be subscribed to: not empty; a wildcard stands alone in its level, and `#` in the last one.
/// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1]
pub fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    if filter.is_empty() {
        return false;
    }
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        let is_good = match level {
            "+" => true,
            "#" => is_last,
            _ => !has_wildcard_character(level),
        };
        if !is_good {
            return false;
        }
    }
    true
}

/// A shared subscription: who shares it, and what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared<'a> {
    /// The name of the group: not empty, without `/`, `+` and `#`. [MQTT-4.8.2-1]
    pub group: &'a str,
    /// The filter behind it.
    pub filter: &'a str,
}

/// Reads a filter of a shared subscription; `None` if it is an ordinary one.
///
/// # Errors
/// It begins like one and has no group or no filter. [MQTT-4.8.2-2]
pub fn shared(filter: &str) -> Result<Option<Shared<'_>>, InvalidShare> {
    let Some(rest) = filter.strip_prefix(SHARE_PREFIX) else {
        return if filter == "$share" { Err(InvalidShare) } else { Ok(None) };
    };
    match rest.split_once('/') {
        Some((group, filter)) if is_name(group) && is_filter(filter) => Ok(Some(Shared { group, filter })),
        _ => Err(InvalidShare),
    }
}

/// The filter of a shared subscription without a group or a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shared subscription without a group or a filter")]
pub struct InvalidShare;

/// Whether a filter asks for a topic, level by level: what the MQTT specification says, without regard to speed. The model of tests.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with([ONE_LEVEL, ALL_LEVELS]) {
        return false;
    }
    let (mut levels, mut names) = (filter.split('/'), topic.split('/'));
    loop {
        match (levels.next(), names.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(name)) if level == name => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}
