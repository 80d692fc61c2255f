//! Writing JSON as Go does: compact, with `<`, `>`, `&` and the line separators of Unicode escaped.

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Whether Go's `omitempty` leaves a value out.
pub trait Empty {
    /// Zero, the empty string, false, nothing in it.
    fn is_empty(&self) -> bool;
}

macro_rules! zero_is_empty {
    ($($type:ty),*) => {$( impl Empty for $type { fn is_empty(&self) -> bool { *self == <$type>::default() } } )*};
}
zero_is_empty!(i64, u64, i32, u32, u16, bool);

impl Empty for String {
    fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl Empty for std::borrow::Cow<'_, str> {
    fn is_empty(&self) -> bool {
        str::is_empty(self)
    }
}

impl<T> Empty for Vec<T> {
    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

impl<T> Empty for Option<T> {
    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

impl<K, V> Empty for BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
}

struct Go;

impl Formatter for Go {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let character = rest[at..].chars().next().unwrap_or_default();
            write!(writer, "\\u{:04x}", u32::from(character))?;
            rest = &rest[at + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// A document as the API sends it.
pub fn to_vec<T: Serialize + ?Sized>(document: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let result = document.serialize(&mut Serializer::with_formatter(&mut out, Go));
    debug_assert!(result.is_ok(), "documents have keys that are strings, and memory takes all: {result:?}");
    out
}

/// [`to_vec`] as text.
pub fn to_string<T: Serialize + ?Sized>(document: &T) -> String {
    String::from_utf8(to_vec(document)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dangerous_in_html_is_escaped() {
        assert_eq!(to_string("a.> <&\u{2028}\u{1f}ü\""), r#""a.\u003e \u003c\u0026\u2028\u001fü\"""#);
    }
}
