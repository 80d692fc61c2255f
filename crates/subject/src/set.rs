//! Filters as sets of subjects: what is one, what is in one, which lies in which.
//!
//! A subject is tokens between dots. In a filter the token `*` stands for any one token and `>`, at the end, for one
//! or more. `*` and `>` within a longer token mean nothing.

/// Tokens that a filter may have. With the default control line none has more than 2048.
pub const TOKENS_MAX: usize = 4096;

/// The tokens of a subject or filter.
#[inline]
pub fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    subject.split(|&b| b == b'.')
}

/// Whether this can stand between two dots.
pub(crate) fn is_token(token: &[u8]) -> bool {
    !token.is_empty() && !token.iter().any(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0C))
}

/// Whether this can be subscribed to: no empty token, no white space, `>` only at the end.
pub fn is_valid_filter(filter: &[u8]) -> bool {
    let mut ended = false;
    let mut count = 0;
    for token in tokens(filter) {
        count += 1;
        if ended || !is_token(token) || count > TOKENS_MAX {
            return false;
        }
        ended = token == b">";
    }
    true
}

/// Whether no token is a wildcard.
#[inline]
pub fn is_literal(filter: &[u8]) -> bool {
    // Wildcards are rare in what is published: look at tokens only where the byte occurs.
    !filter.iter().any(|b| matches!(b, b'*' | b'>')) || tokens(filter).all(|t| t != b"*" && t != b">")
}

/// Whether this can be published to by a pedantic client: a valid filter without wildcards.
#[inline]
pub fn is_valid_literal(subject: &[u8]) -> bool {
    is_valid_filter(subject) && is_literal(subject)
}

/// Whether `filter` matches `subject`, whose own `*` and `>` are taken literally. Nothing matches an empty token.
pub fn matches(filter: &[u8], subject: &[u8]) -> bool {
    let mut subject = tokens(subject);
    for token in tokens(filter) {
        match (token, subject.next()) {
            (_, None | Some(b"")) => return false,
            (b">", Some(_)) => return subject.all(|token| !token.is_empty()),
            (b"*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

/// Whether every subject that `inner` matches is matched by `outer`.
pub fn contains(outer: &[u8], inner: &[u8]) -> bool {
    let mut inner = tokens(inner);
    for token in tokens(outer) {
        match (token, inner.next()) {
            (_, None) => return false,
            (b">", Some(_)) => return true,
            (_, Some(b">")) => return false,
            (b"*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    inner.next().is_none()
}

/// Whether some subject is matched by both.
pub fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_are_checked() {
        for good in ["a", "a.b", "*", ">", "a.*.c", "a.>", "a*", ">a", "a.*b", "\u{e4}.b"] {
            assert!(is_valid_filter(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a.\t", "a.\r\n"] {
            assert!(!is_valid_filter(bad.as_bytes()), "{bad}");
        }
        assert!(is_literal(b"a*.>b") && !is_literal(b"a.*") && !is_literal(b">"));
        assert!(!is_valid_filter(&b"a.".repeat(TOKENS_MAX + 1)));
    }

    #[test]
    fn nothing_matches_an_empty_token() {
        for subject in ["", "a..b", "a.", ".a", "a.b..", "."] {
            for filter in [">", "*", "a.>", "a.*", "*.*", "*.*.*", "a.*.b", "a..b"] {
                assert!(!matches(filter.as_bytes(), subject.as_bytes()), "{filter} {subject}");
            }
        }
    }

    /// Few tokens and few letters, so that random filters and subjects meet.
    fn filter() -> impl Strategy<Value = String> {
        let token = prop_oneof![Just("a"), Just("b"), Just("*")];
        (proptest::collection::vec(token, 1..4), any::<bool>()).prop_map(|(tokens, tail)| {
            let text = tokens.join(".");
            if tail { text + ".>" } else { text }
        })
    }

    /// All subjects of up to four tokens over three letters, the third in no filter.
    fn universe() -> Vec<String> {
        let mut all: Vec<String> = vec![];
        let mut last = vec![String::new()];
        for _ in 0..4 {
            last = last.iter().flat_map(|s| ["a", "b", "c"].map(|t| format!("{s}{t}."))).collect();
            all.extend(last.iter().map(|s| s.trim_end_matches('.').to_owned()));
        }
        all
    }

    proptest! {
        #[test]
        fn sets_are_what_their_members_say(a in filter(), b in filter()) {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let members = |f: &[u8]| -> Vec<bool> {
                universe().iter().map(|s| crate::naive::matches(f, s.as_bytes())).collect()
            };
            let (in_a, in_b) = (members(a), members(b));
            for (subject, is_in) in universe().iter().zip(&in_a) {
                prop_assert_eq!(matches(a, subject.as_bytes()), *is_in);
            }
            prop_assert_eq!(contains(a, b), in_b.iter().zip(&in_a).all(|(b, a)| !b || *a));
            prop_assert_eq!(overlap(a, b), in_b.iter().zip(&in_a).any(|(b, a)| *b && *a));
        }
    }
}
