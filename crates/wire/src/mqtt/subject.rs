//! Topics as subjects, and back, as the official server maps them (scenarios `mqtt-topic-to-subject`, `mqtt-subject-to-topic`).
//!
//! Level by level: `/` between levels is `.`, an empty level is `/`, and `.` inside a level is `//`. So a topic comes back as it was.
//! The other way not every subject is a topic: what a topic cannot hold has no MQTT subscriber.

use super::topic::{ALL_LEVELS, ONE_LEVEL, is_filter, is_name};

/// What cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnmappedTopic {
    /// A character that no subject can have.
    #[error("invalid character in topic")]
    Character,
    /// Not a topic name, or not a filter.
    #[error("malformed topic")]
    Malformed,
}

/// Appends the subject of a topic that is published to.
///
/// # Errors
/// The topic is none, or has white space that ends a subject.
pub fn put_subject(out: &mut Vec<u8>, topic: &str) -> Result<(), UnmappedTopic> {
    if !is_name(topic) {
        return Err(UnmappedTopic::Malformed);
    }
    put_levels(out, topic)
}

/// The filters of NATS that a filter of MQTT is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedFilter<'a> {
    /// The filter, level by level.
    pub filter: &'a [u8],
    /// The level above `#`, which `#` matches, too, but `>` does not. [MQTT-4.7.1-2]
    pub parent: Option<&'a [u8]>,
    /// Whether topics that begin with `$` do not match. [MQTT-4.7.2-1]
    pub no_dollar: bool,
}

/// Maps a filter; the subjects are appended to `out`.
///
/// # Errors
/// The filter is not well formed, or has white space that ends a subject.
pub fn map_filter<'a>(out: &'a mut Vec<u8>, filter: &str) -> Result<MappedFilter<'a>, UnmappedTopic> {
    if !is_filter(filter) {
        return Err(UnmappedTopic::Malformed);
    }
    let begin = out.len();
    put_levels(out, filter)?;
    let subject = out.get(begin..).unwrap_or_default();
    // An empty level alone is no topic, so that above `/#` has none.
    let parent = subject.strip_suffix(b".>").filter(|parent| filter.ends_with("/#") && *parent != b"/");
    Ok(MappedFilter { filter: subject, parent, no_dollar: filter.starts_with([ONE_LEVEL, ALL_LEVELS]) })
}

fn put_levels(out: &mut Vec<u8>, topic: &str) -> Result<(), UnmappedTopic> {
    let begin = out.len();
    for level in topic.as_bytes().split(|byte| *byte == b'/') {
        if out.len() > begin {
            out.push(b'.');
        }
        match level {
            b"" => out.push(b'/'),
            b"+" => out.push(b'*'),
            b"#" => out.push(b'>'),
            _ => level.iter().for_each(|byte| match byte {
                b'.' => out.extend_from_slice(b"//"),
                _ => out.push(*byte),
            }),
        }
    }
    let is_bad = |byte: &u8| matches!(byte, 0 | b' ' | b'\t' | b'\n' | b'\r' | 0x0C | 0x7F);
    if out.iter().skip(begin).any(is_bad) {
        out.truncate(begin);
        return Err(UnmappedTopic::Character);
    }
    Ok(())
}

/// Appends the filter that a filter of NATS was mapped from, as far as that can be told: a topic may have `*` and `>`, too.
///
/// # Errors
/// As [`put_topic`].
pub fn put_filter(out: &mut String, filter: &[u8]) -> Result<(), UnmappedTopic> {
    let mut topic = String::new();
    put_topic(&mut topic, filter)?;
    for (at, level) in topic.split('/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        match level {
            "*" => out.push(ONE_LEVEL),
            ">" => out.push(ALL_LEVELS),
            _ => out.push_str(level),
        }
    }
    Ok(())
}

/// Appends the topic of a subject.
///
/// A `/` that stands for nothing is left out, as the official server does.
///
/// # Errors
/// No topic can hold it: it is not UTF-8, has a `+`, a `#` or a U+0000, or nothing is left of it. Nothing was appended then.
pub fn put_topic(out: &mut String, subject: &[u8]) -> Result<(), UnmappedTopic> {
    let subject = std::str::from_utf8(subject).map_err(|_| UnmappedTopic::Character)?;
    let begin = out.len();
    for (at, token) in subject.split('.').enumerate() {
        if at > 0 {
            out.push('/');
        }
        let mut rest = token;
        while let Some(slash) = rest.find('/') {
            let (plain, from) = rest.split_at(slash);
            out.push_str(plain);
            rest = match from.strip_prefix("//") {
                Some(rest) => {
                    out.push('.');
                    rest
                }
                None => from.get(1..).unwrap_or_default(),
            };
        }
        out.push_str(rest);
    }
    let topic = out.get(begin..).unwrap_or_default();
    if !is_name(topic) || topic.contains('\0') {
        out.truncate(begin);
        return Err(UnmappedTopic::Character);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::topic;
    use super::*;
    use proptest::prelude::*;

    fn subject(topic: &str) -> Result<String, UnmappedTopic> {
        let mut out = b"x".to_vec();
        put_subject(&mut out, topic)?;
        Ok(String::from_utf8(out.split_off(1)).unwrap())
    }

    fn topic_of(subject: &[u8]) -> Result<String, UnmappedTopic> {
        let mut out = "x".to_string();
        let result = put_topic(&mut out, subject);
        assert!(result.is_ok() || out == "x");
        result.map(|()| out.split_off(1))
    }

    /// Seen at the official server.
    #[test]
    fn topics_are_the_subjects_of_the_official_server() {
        for (topic, expected) in [
            ("t", "t"),
            ("t/a/b", "t.a.b"),
            ("t/", "t./"),
            ("t//b", "t./.b"),
            ("t///b", "t././.b"),
            ("t//", "t././"),
            ("/a", "/.a"),
            ("//a", "/./.a"),
            ("/", "/./"),
            ("//", "/././"),
            ("x.y", "x//y"),
            ("t/.", "t.//"),
            ("x..", "x////"),
            ("t/a./b", "t.a//.b"),
            ("t/.a", "t.//a"),
            ("t./a", "t//.a"),
            ("t/*/>", "t.*.>"),
            ("t/a*b/c>", "t.a*b.c>"),
        ] {
            assert_eq!(subject(topic).as_deref(), Ok(expected), "{topic}");
            assert_eq!(topic_of(expected.as_bytes()).as_deref(), Ok(topic), "{expected}");
        }
        for topic in ["a b", "a\tb", "a\nb", "a\rb", "a\u{c}b", "a\u{7f}", "\0"] {
            assert_eq!(subject(topic), Err(UnmappedTopic::Character), "{topic:?}");
        }
        for topic in ["", "a/+", "#"] {
            assert_eq!(subject(topic), Err(UnmappedTopic::Malformed), "{topic:?}");
        }
    }

    /// Seen at the official server, but for the last ones: it sends topics that MQTT does not allow.
    #[test]
    fn subjects_are_the_topics_of_the_official_server() {
        for (subject, expected) in [
            ("t.a.b", "t/a/b"),
            ("t.//", "t/."),
            ("a/b", "ab"),
            ("a/", "a"),
            ("/a", "a"),
            ("a///b", "a.b"),
            ("a////b", "a..b"),
            ("///.b", "./b"),
            ("t.é", "t/é"),
        ] {
            assert_eq!(topic_of(subject.as_bytes()).as_deref(), Ok(expected), "{subject}");
        }
        for subject in [&b"/"[..], b"t.a+b", b"t.+", b"t.a#b", b"t.\xFF", b"t.\0"] {
            assert_eq!(topic_of(subject), Err(UnmappedTopic::Character), "{}", subject.escape_ascii());
        }
    }

    #[test]
    fn a_filter_is_one_subscription_or_two() {
        for (filter, expected, parent, no_dollar) in [
            ("a/b", "a.b", None, false),
            ("a/+/b", "a.*.b", None, false),
            ("#", ">", None, true),
            ("+", "*", None, true),
            ("x/#", "x.>", Some("x"), false),
            ("+/#", "*.>", Some("*"), true),
            ("p/+/#", "p.*.>", Some("p.*"), false),
            ("/#", "/.>", None, false),
            ("a//#", "a./.>", Some("a./"), false),
            ("a/>", "a.>", None, false),
            ("$SYS/#", "$SYS.>", Some("$SYS"), false),
        ] {
            let mut out = b"before".to_vec();
            let (filter_bytes, parent) = (expected.as_bytes(), parent.map(str::as_bytes));
            let expected = MappedFilter { filter: filter_bytes, parent, no_dollar };
            assert_eq!(map_filter(&mut out, filter), Ok(expected), "{filter}");
        }
        for filter in ["", "a#", "a/#/b", "+a"] {
            assert_eq!(map_filter(&mut Vec::new(), filter), Err(UnmappedTopic::Malformed));
        }
        assert_eq!(map_filter(&mut Vec::new(), "a b"), Err(UnmappedTopic::Character));
    }

    /// What NATS says of two subjects, token by token.
    fn nats_matches(filter: &[u8], subject: &[u8]) -> bool {
        let (mut filter, mut subject) =
            (filter.split(|byte| *byte == b'.'), subject.split(|byte| *byte == b'.'));
        loop {
            match (filter.next(), subject.next()) {
                (Some(b">"), Some(_)) | (None, None) => return true,
                (Some(b"*"), Some(_)) => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }

    proptest! {
        #[test]
        fn a_topic_comes_back(topic in "[a./é$]{1,8}") {
            prop_assert_eq!(topic_of(subject(&topic).unwrap().as_bytes()), Ok(topic));
        }

        #[test]
        fn a_filter_comes_back(filter in "([+a./$]{1,4}/)?[+a/.$]{1,4}|(a|[+]|/){0,3}#") {
            let mut out = Vec::new();
            let Ok(mapped) = map_filter(&mut out, &filter) else { return Ok(()) };
            let mut back = String::new();
            prop_assert_eq!(put_filter(&mut back, mapped.filter), Ok(()));
            prop_assert_eq!(back, filter);
        }

        #[test]
        fn different_topics_are_different_subjects(one in "[a./]{1,5}", other in "[a./]{1,5}") {
            prop_assert_eq!(subject(&one) == subject(&other), one == other);
        }

        /// NATS finds by the mapped filters what MQTT says that the filter matches.
        #[test]
        fn mapped_filters_match_mapped_topics(filter in "[+#a/.$]{1,6}|a/#|[+]/#|(a|[+]|/){0,3}#", topic in "[$a./]{1,6}") {
            let mut out = Vec::new();
            let Ok(mapped) = map_filter(&mut out, &filter) else {
                prop_assert!(!topic::is_filter(&filter));
                return Ok(());
            };
            let subject = subject(&topic).unwrap();
            let found = [Some(mapped.filter), mapped.parent]
                .into_iter()
                .flatten()
                .any(|filter| nats_matches(filter, subject.as_bytes()));
            let found = found && !(mapped.no_dollar && topic.starts_with('$'));
            prop_assert_eq!(found, topic::matches(&filter, &topic), "{} {}", filter, topic);
        }

        #[test]
        fn any_subject_is_a_topic_or_none(subject in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(topic) = topic_of(&subject) {
                prop_assert!(topic::is_name(&topic));
            }
        }
    }
}
