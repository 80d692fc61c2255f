//! What came from outside must neither begin a line of its own, nor steer a terminal, nor show in another order than it is
//! read in. One rule for lines of text, for JSON and for quoted bytes.

use std::fmt::Write as _;

/// Control characters (of ASCII, with DEL, and the second set up to U+009F), separators of lines and paragraphs, and the
/// invisible characters that change in which direction others are shown (UAX #9).
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The end of a line of text, from `start` on, without unsafe characters. A tab harms nobody.
pub(super) fn text(line: &mut String, start: usize) {
    let is_unsafe = |c| is_unsafe(c) && c != '\t';
    let Some(tail) = line.get(start..).filter(|tail| tail.contains(is_unsafe)) else { return };
    let mut clean = String::with_capacity(tail.len() + 8);
    for c in tail.chars() {
        if is_unsafe(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    line.truncate(start);
    line.push_str(&clean);
}

/// JSON that says the same without unsafe characters. They stand in strings only, and each has four digits.
pub(super) fn json(json: String) -> String {
    if !json.contains(is_unsafe) {
        return json;
    }
    let mut clean = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if is_unsafe(c) {
            // Writing to a String has no way to fail.
            let _ = write!(clean, "\\u{:04x}", u32::from(c));
        } else {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::redact;
    use proptest::prelude::*;

    /// As listed in UAX #9 and in the standards of control characters.
    fn unsafe_ones() -> impl Iterator<Item = char> {
        let ranges =
            [0..=0x1f, 0x7f..=0x9f, 0x61c..=0x61c, 0x200e..=0x200f, 0x2028..=0x202e, 0x2066..=0x2069];
        ranges.into_iter().flatten().filter_map(char::from_u32)
    }

    #[test]
    fn none_of_them_comes_through() {
        for c in unsafe_ones() {
            assert!(is_unsafe(c), "{c:?}");
            let mut line = format!("a{c}b");
            text(&mut line, 0);
            assert_eq!(line.contains(c), c == '\t', "{c:?}: {line}");
            let outside = serde_json::json!({ "k": format!("a{c}b") });
            let line = json(outside.to_string());
            assert!(!line.contains(c), "{line}");
            let back: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(back, outside);
            assert!(!redact::quoted(format!("{c}").as_bytes(), 0).contains(c), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn the_rest_stays_as_it_is(tail in "\\PC*") {
            prop_assume!(!tail.contains(is_unsafe));
            let mut line = tail.clone();
            text(&mut line, 0);
            prop_assert_eq!(&line, &tail);
            prop_assert_eq!(json(tail.clone()), tail);
        }
    }
}
