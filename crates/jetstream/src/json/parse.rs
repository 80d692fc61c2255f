//! The tree of a JSON text, and the syntax errors of Go's scanner.

use std::borrow::Cow;

/// How deep arrays and objects may be nested. No document of the API needs ten.
pub const DEPTH_MAX: usize = 128;

/// One value, with the bytes that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'a> {
    /// The value as it stands in the text.
    pub raw: &'a [u8],
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is written, which Go reads by the type of its field.
    Number(&'a str),
    /// A string without its escapes. What is no UTF-8 has become U+FFFD, as in Go.
    Text(Cow<'a, str>),
    /// `[…]`
    Array(Vec<Node<'a>>),
    /// `{…}`, in order; a name may stand there twice.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// What is wrong with the syntax, in the words of Go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// The text ends within a value.
    #[error("unexpected end of JSON input")]
    End,
    /// A byte that cannot stand where it does.
    #[error("invalid character {character} {context}")]
    Character {
        /// As Go quotes it.
        character: String,
        /// Where it stands.
        context: &'static str,
        /// How many bytes were read, with this one.
        offset: usize,
    },
    /// More than [`DEPTH_MAX`] arrays and objects in each other.
    #[error("exceeded max depth")]
    Depth {
        /// How many bytes were read.
        offset: usize,
    },
}

impl SyntaxError {
    /// How many bytes were read when it was found; none when the text ended.
    pub fn offset(&self) -> Option<usize> {
        match self {
            Self::End => None,
            Self::Character { offset, .. } | Self::Depth { offset } => Some(*offset),
        }
    }
}

/// Reads one value from the front of `text` and returns how long it was, white space before it included.
///
/// # Errors
/// The first byte that is wrong.
pub fn parse(text: &[u8]) -> Result<(Node<'_>, usize), SyntaxError> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.value(0)?;
    Ok((node, parser.at))
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn wrong(&self, context: &'static str) -> SyntaxError {
        match self.text.get(self.at) {
            None => SyntaxError::End,
            Some(byte) => SyntaxError::Character { character: quoted(*byte), context, offset: self.at + 1 },
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, SyntaxError> {
        let first = self.skip_space().ok_or(SyntaxError::End)?;
        let start = self.at;
        if matches!(first, b'{' | b'[') && depth >= DEPTH_MAX {
            return Err(SyntaxError::Depth { offset: self.at + 1 });
        }
        let kind = match first {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => Kind::Text(self.text()?),
            b't' => self.literal("true", Kind::Bool(true))?,
            b'f' => self.literal("false", Kind::Bool(false))?,
            b'n' => self.literal("null", Kind::Null)?,
            b'-' | b'0'..=b'9' => Kind::Number(self.number()?),
            _ => return Err(self.wrong("looking for beginning of value")),
        };
        Ok(Node { raw: &self.text[start..self.at], kind })
    }

    fn object(&mut self, depth: usize) -> Result<Kind<'a>, SyntaxError> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.skip_space() == Some(b'}') {
            self.at += 1;
            return Ok(Kind::Object(fields));
        }
        loop {
            if self.skip_space() != Some(b'"') {
                return Err(self.wrong("looking for beginning of object key string"));
            }
            let name = self.text()?;
            if self.skip_space() != Some(b':') {
                return Err(self.wrong("after object key"));
            }
            self.at += 1;
            fields.push((name, self.value(depth + 1)?));
            match self.skip_space() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.wrong("after object key:value pair")),
            }
        }
        self.at += 1;
        Ok(Kind::Object(fields))
    }

    fn array(&mut self, depth: usize) -> Result<Kind<'a>, SyntaxError> {
        self.at += 1;
        let mut values = Vec::new();
        if self.skip_space() == Some(b']') {
            self.at += 1;
            return Ok(Kind::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            match self.skip_space() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.wrong("after array element")),
            }
        }
        self.at += 1;
        Ok(Kind::Array(values))
    }

    fn literal(&mut self, word: &'static str, kind: Kind<'a>) -> Result<Kind<'a>, SyntaxError> {
        for expected in word.bytes() {
            if self.text.get(self.at) != Some(&expected) {
                return Err(self.wrong(expecting(word, expected)));
            }
            self.at += 1;
        }
        Ok(kind)
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &'static str) -> Result<(), SyntaxError> {
        if !self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            return Err(self.wrong(context));
        }
        self.digits();
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.at;
        if self.text[self.at] == b'-' {
            self.at += 1;
        }
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.some_digits("in numeric literal")?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default())
    }

    /// A string; the parser stands at its first quote.
    fn text(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.text.get(self.at) {
                None => return Err(SyntaxError::End),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(byte) if *byte < 0x20 => return Err(self.wrong("in string literal")),
                Some(_) => self.at += 1,
            }
        }
        let inner = &self.text[start..self.at];
        self.at += 1;
        Ok(unescaped(inner))
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        match self.text.get(self.at) {
            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.wrong("in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.wrong("in string escape code")),
        }
        Ok(())
    }
}

fn expecting(word: &str, letter: u8) -> &'static str {
    match (word, letter) {
        ("true", b'r') => "in literal true (expecting 'r')",
        ("true", b'u') => "in literal true (expecting 'u')",
        ("true", _) => "in literal true (expecting 'e')",
        ("false", b'a') => "in literal false (expecting 'a')",
        ("false", b'l') => "in literal false (expecting 'l')",
        ("false", b's') => "in literal false (expecting 's')",
        ("false", _) => "in literal false (expecting 'e')",
        ("null", b'u') => "in literal null (expecting 'u')",
        _ => "in literal null (expecting 'l')",
    }
}

/// A byte in single quotes, as Go's scanner names it.
pub(crate) fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        7 => r"'\a'".to_owned(),
        8 => r"'\b'".to_owned(),
        9 => r"'\t'".to_owned(),
        10 => r"'\n'".to_owned(),
        11 => r"'\v'".to_owned(),
        12 => r"'\f'".to_owned(),
        13 => r"'\r'".to_owned(),
        0x20..=0x7e => format!("'{}'", char::from(byte)),
        0..=0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

/// The text of a string whose escapes were found to be right.
fn unescaped(inner: &[u8]) -> Cow<'_, str> {
    if !inner.contains(&b'\\') {
        return String::from_utf8_lossy(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.push_str(&String::from_utf8_lossy(&rest[..at]));
        let letter = rest.get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        out.push(match letter {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (character, used) = utf16(rest);
                rest = rest.get(used..).unwrap_or_default();
                character
            }
            other => char::from(other),
        });
    }
    out.push_str(&String::from_utf8_lossy(rest));
    Cow::Owned(out)
}

fn unit(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits.get(..4)?).ok()?, 16).ok()
}

/// The character of the escape whose digits `rest` begins with, and how many bytes it takes. Half a pair is U+FFFD.
fn utf16(rest: &[u8]) -> (char, usize) {
    let Some(first) = unit(rest) else { return (char::REPLACEMENT_CHARACTER, rest.len()) };
    if let Some(character) = char::from_u32(first) {
        return (character, 4);
    }
    let second = rest.get(4..).and_then(|behind| unit(behind.strip_prefix(b"\\u")?));
    match (first, second) {
        (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10)
        }
        _ => (char::REPLACEMENT_CHARACTER, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn error(text: &str) -> String {
        parse(text.as_bytes()).expect_err("is no JSON").to_string()
    }

    #[test]
    fn errors_are_those_of_go() {
        assert_eq!(error(""), "unexpected end of JSON input");
        assert_eq!(error("{"), "unexpected end of JSON input");
        assert_eq!(error("x"), "invalid character 'x' looking for beginning of value");
        assert_eq!(error("{x"), "invalid character 'x' looking for beginning of object key string");
        assert_eq!(error("{\"a\" 1"), "invalid character '1' after object key");
        assert_eq!(error("{\"a\":1 2"), "invalid character '2' after object key:value pair");
        assert_eq!(error("[1 2"), "invalid character '2' after array element");
        assert_eq!(error("trie"), "invalid character 'i' in literal true (expecting 'u')");
        assert_eq!(error("-x"), "invalid character 'x' in numeric literal");
        assert_eq!(error("1.x"), "invalid character 'x' after decimal point in numeric literal");
        assert_eq!(error("\"\\x\""), "invalid character 'x' in string escape code");
        assert_eq!(error("\"\n\""), r"invalid character '\n' in string literal");
        assert_eq!(error(&"[".repeat(DEPTH_MAX + 1)), "exceeded max depth");
    }

    #[test]
    fn strings_lose_their_escapes() {
        let text = |json: &str| match parse(json.as_bytes()).expect("JSON").0.kind {
            Kind::Text(text) => text.into_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(r#""a\n\u0041\/\"""#), "a\nA/\"");
        assert_eq!(text(r#""\ud83d\ude00 \ud83d x""#), "\u{1f600} \u{fffd} x");
    }

    proptest::proptest! {
        #[test]
        fn what_serde_reads_is_read_alike(text in "[\\[\\]{}:,\"a1.e0 \\\\ntrufals-]{0,12}") {
            let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
            let ours = parse(text.as_bytes());
            if let Ok((_, used)) = ours {
                let all = text[used..].bytes().all(|b| b == b' ');
                // serde_json refuses numbers that no float can hold.
                if all { proptest::prop_assert!(theirs.is_ok() || text.contains('e'), "{text}"); }
            } else {
                proptest::prop_assert!(theirs.is_err(), "{text}");
            }
        }
    }
}
