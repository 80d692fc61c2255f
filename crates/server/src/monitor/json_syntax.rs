//! Why a text is no JSON, in the official server's words: tools show them as they are.

/// Nested values that are looked into.
const DEPTH_MAX: usize = 128;

/// What is wrong with `text`; `None` if it is JSON.
pub(crate) fn problem(text: &[u8]) -> Option<String> {
    let mut reader = Reader { text, at: 0 };
    reader.document().err()
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), String> {
        self.value(0)?;
        match self.peek_token() {
            None => Ok(()),
            Some(_) => Err(self.wrong("after top-level value")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err("exceeded max depth".into());
        }
        match self.peek_token() {
            None => Err(ended()),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.wrong("looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.at += 1;
        if self.peek_token() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            match self.peek_token() {
                None => return Err(ended()),
                Some(b'"') => self.string()?,
                Some(_) => return Err(self.wrong("looking for beginning of object key string")),
            }
            self.expect_token(b':', "after object key")?;
            self.value(depth + 1)?;
            match self.peek_token() {
                None => return Err(ended()),
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                Some(_) => return Err(self.wrong("after object key:value pair")),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), String> {
        self.at += 1;
        if self.peek_token() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            match self.peek_token() {
                None => return Err(ended()),
                Some(b',') => self.at += 1,
                Some(b']') => break,
                Some(_) => return Err(self.wrong("after array element")),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                None => return Err(ended()),
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(0..0x20) => return Err(self.wrong("in string literal")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.peek() {
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_ascii_hexdigit() {
                        return Err(self.wrong("in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.wrong("in string escape code")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        // A zero stands alone; what follows it does not belong to the number.
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self, place: &str) -> Result<(), String> {
        if !self.peek().is_ascii_digit() {
            return Err(self.wrong(place));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes() {
            if self.peek() != expected {
                return Err(self.wrong(&format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn expect_token(&mut self, token: u8, place: &str) -> Result<(), String> {
        match self.peek_token() {
            None => Err(ended()),
            Some(found) if found == token => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.wrong(place)),
        }
    }

    /// The next byte that is no white space.
    fn peek_token(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// The next byte; the end counts as a space.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(b' ')
    }

    fn wrong(&self, place: &str) -> String {
        let byte = self.peek();
        let shown = match byte {
            b'\'' => "\\'".to_owned(),
            b'"' => "\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b'\n' => "\\n".to_owned(),
            b'\r' => "\\r".to_owned(),
            b'\t' => "\\t".to_owned(),
            0..0x20 | 0x7f => format!("\\x{byte:02x}"),
            _ => char::from(byte).to_string(),
        };
        format!("invalid character '{shown}' {place}")
    }
}

fn ended() -> String {
    "unexpected end of JSON input".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the official server answers them: scenario system-request-errors.
    #[test]
    fn the_official_words() {
        for (text, expected) in [
            ("{bad", "invalid character 'b' looking for beginning of object key string"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a"}"#, "invalid character '}' after object key"),
            (r#"{"a":}"#, "invalid character '}' looking for beginning of value"),
            ("[1", "unexpected end of JSON input"),
            (r#"{"a":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
            ("\"abc", "unexpected end of JSON input"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"a":01}"#, "invalid character '1' after object key:value pair"),
            ("nul", "invalid character ' ' in literal null (expecting 'l')"),
            (r#"{"a":"\x"}"#, "invalid character 'x' in string escape code"),
            (r#"{"a":1e}"#, "invalid character '}' in exponent of numeric literal"),
            ("-", "invalid character ' ' in numeric literal"),
            ("  ", "unexpected end of JSON input"),
            ("{\"a\":\u{1}}", "invalid character '\\x01' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{}x", "invalid character 'x' after top-level value"),
        ] {
            assert_eq!(problem(text.as_bytes()).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(problem("[".repeat(100_000).as_bytes()).as_deref(), Some("exceeded max depth"));
    }

    proptest::proptest! {
        #[test]
        fn it_finds_problems_where_serde_does(text in r#"([{}\[\],:"\\ truefalsn0-9.eE+-]|u00e9){0,12}"#) {
            let known = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            proptest::prop_assert_eq!(problem(text.as_bytes()).is_none(), known, "{}", text);
        }
    }
}
