//! Distinguished names as text, for users that are known by the subject of their certificate.
//! Source: RFC 2253, RFC 4514.

/// Parts of a name; a longer one is no name.
const PARTS_MAX: usize = 64;

/// A name taken apart. Equality ([`DistinguishedName::is`]) is that of the whole name: no part may be missing,
/// surplus, or differ by a byte of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    /// `(type in capitals, value)`, as often as it occurs, in the order of the text.
    parts: Vec<(String, String)>,
}

impl DistinguishedName {
    /// Reads `CN=bob, O=acme`. White space around types and values is not part of them, unless it is escaped.
    ///
    /// `None`: not such a name, or one with several attributes in a part (`CN=bob+UID=7`), which the official server
    /// knows only literally, too.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        for part in split(text, ',') {
            let (name, value) = part.split_once('=')?;
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
                return None;
            }
            if parts.len() == PARTS_MAX || split(value, '+').nth(1).is_some() {
                return None;
            }
            parts.push((name.to_ascii_uppercase(), unescape(value)?));
        }
        (!parts.is_empty()).then_some(Self { parts })
    }

    /// Whether both have the same parts in the same order, read from either end.
    pub fn is(&self, other: &Self) -> bool {
        self.parts == other.parts || self.parts.iter().eq(other.parts.iter().rev())
    }

    /// Whether both have the same parts, each as often, in whatever order.
    pub fn is_permutation_of(&self, other: &Self) -> bool {
        let sorted = |name: &Self| {
            let mut parts = name.parts.clone();
            parts.sort_unstable();
            parts
        };
        self.parts.len() == other.parts.len() && sorted(self) == sorted(other)
    }
}

/// The text between separators that are not escaped.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let splits = c == separator && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    })
}

/// The value that is meant, without white space around it. `None`: it ends in the middle of an escape, or is empty.
fn unescape(value: &str) -> Option<String> {
    let mut out = Vec::new();
    // Bytes up to here were meant, even if they are white space.
    let mut kept = 0;
    let mut chars = value.trim_start().chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            if c != ' ' {
                kept = out.len();
            }
            continue;
        }
        let c = chars.next()?;
        match (c.to_digit(16), chars.peek().and_then(|next| next.to_digit(16))) {
            (Some(high), Some(low)) => {
                chars.next();
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        kept = out.len();
    }
    out.truncate(kept);
    String::from_utf8(out).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).expect(text)
    }

    #[test]
    fn spellings_of_one_name() {
        let bob = name("CN=bob,O=acme\\, inc,C=US");
        for same in ["cn=bob, o=acme\\2C inc , C = US", "C=US,O=acme\\, inc,CN=bob"] {
            assert!(bob.is(&name(same)), "{same}");
        }
        assert!(!bob.is(&name("O=acme\\, inc,CN=bob,C=US")));
        assert!(bob.is_permutation_of(&name("O=acme\\, inc,CN=bob,C=US")));
    }

    /// CVE-2026-33248: a name that only resembles another is another.
    #[test]
    fn resembling_names_are_others() {
        let bob = name("CN=bob,OU=eng,O=acme");
        for other in [
            "CN=bob,OU=eng",
            "CN=bob,OU=eng,O=acme,O=acme",
            "CN=bob,CN=bob,OU=eng,O=acme",
            "CN=bob,CN=bob,O=acme",
            "CN=Bob,OU=eng,O=acme",
            "CN=bob,OU=eng\\,O\\=acme",
            "CN=bob\\ ,OU=eng,O=acme",
        ] {
            let other = name(other);
            assert!(!bob.is(&other) && !bob.is_permutation_of(&other) && !other.is_permutation_of(&bob));
        }
    }

    #[test]
    fn what_is_no_name() {
        for text in
            ["", "bob", "CN", "=bob", "CN=", "CN=bob,", ",CN=bob", "CN=bob\\", "CN=bob+UID=7", "C N=b"]
        {
            assert_eq!(DistinguishedName::parse(text), None, "{text}");
        }
        assert_eq!(DistinguishedName::parse(&"CN=b,".repeat(PARTS_MAX + 1)), None);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(text in "[a-zA-Z=,+\\\\ .0-9é\"]{0,40}") {
            if let Some(name) = DistinguishedName::parse(&text) {
                prop_assert!(name.is(&name) && name.is_permutation_of(&name));
            }
        }
    }
}
