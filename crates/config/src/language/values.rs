//! The values of the language: brackets, quotes, blocks, bare words, and variables.

use super::parser::{Parser, Place, document, is_blank, is_newline, is_secret_key};
use super::{Kind, Map, Value};
use crate::error::{ConfigError, Location};

impl Parser<'_, '_> {
    /// The value of `key`, which begins here.
    pub(super) fn value(&mut self, key: &str) -> Result<Value, ConfigError> {
        let at = self.here();
        let kind = match self.peek() {
            Some('[') => {
                self.enter(&at)?;
                let items = self.array(&at, key)?;
                self.depth -= 1;
                Kind::Array(items)
            }
            Some('{') => {
                self.enter(&at)?;
                let map = self.map(&at)?;
                self.depth -= 1;
                Kind::Map(map)
            }
            Some('\'') => Kind::String(self.single_quoted(&at)?),
            Some('"') => Kind::String(self.double_quoted(&at)?),
            Some('(') => Kind::String(self.block(&at)?),
            _ => return self.bare(at, key),
        };
        let text = if let Kind::String(text) = &kind { text.len() } else { 0 };
        self.context.spend(64 + text, &at)?;
        Ok(Value { at, kind, by_variable: false })
    }

    /// Values between brackets; a comma or a new line separates them.
    fn array(&mut self, at: &Location, key: &str) -> Result<Vec<Value>, ConfigError> {
        self.next();
        let mut items = Vec::new();
        loop {
            self.skip_between(&[]);
            match self.peek() {
                None => return Err(ConfigError::new(at, "this `[` is never closed")),
                Some(']') => {
                    self.next();
                    return Ok(items);
                }
                Some(c @ (',' | '}' | ';')) => {
                    return self.error(format!("expected an array value, but found `{c}`"));
                }
                Some(_) => items.push(self.value(key)?),
            }
            self.skip(is_blank);
            match self.peek() {
                Some(',') => {
                    self.next();
                }
                Some(c) if is_newline(c) || c == ']' || self.at_comment() => {}
                None => {}
                Some(c) => {
                    return self.error(format!(
                        "Expected an array value terminator \",\" or an array terminator \"]\", but got '{}' instead.",
                        c.escape_debug()
                    ));
                }
            }
        }
    }

    /// Keys and values between braces.
    fn map(&mut self, at: &Location) -> Result<Map, ConfigError> {
        self.next();
        self.scopes.push(Map::default());
        loop {
            self.skip_between(&[',', ';']);
            match self.peek() {
                None => return Err(ConfigError::new(at, "this `{` is never closed")),
                Some('}') => {
                    self.next();
                    return Ok(self.scopes.pop().unwrap_or_default());
                }
                Some(_) => self.pair(Place::Map)?,
            }
        }
    }

    fn single_quoted(&mut self, at: &Location) -> Result<String, ConfigError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(ConfigError::new(at, "this quoted string never ends")),
                Some('\'') => return Ok(text),
                Some(c) => text.push(c),
            }
        }
    }

    fn double_quoted(&mut self, at: &Location) -> Result<String, ConfigError> {
        self.next();
        let mut text = Vec::new();
        loop {
            match self.next() {
                None => return Err(ConfigError::new(at, "this quoted string never ends")),
                Some('"') => return utf8(text, at),
                Some('\\') => text.push(self.escape()?),
                Some(c) => push(&mut text, c),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<u8, ConfigError> {
        let at = self.here();
        match self.next() {
            Some('t') => Ok(b'\t'),
            Some('n') => Ok(b'\n'),
            Some('r') => Ok(b'\r'),
            Some('"') => Ok(b'"'),
            Some('\\') => Ok(b'\\'),
            Some('x') => {
                let mut digit = || self.next().and_then(|c| c.to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
                    _ => Err(ConfigError::new(&at, "expected two hexadecimal digits after `\\x`")),
                }
            }
            _ => Err(ConfigError::new(&at, "invalid escape character after `\\`").help(
                "these are allowed: \\xXX \\t \\n \\r \\\" \\\\; single quotes take a backslash as it is",
            )),
        }
    }

    /// Everything between `(` and a `)` alone on its line.
    fn block(&mut self, at: &Location) -> Result<String, ConfigError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => {
                    return Err(
                        ConfigError::new(at, "this block never ends").help("put its `)` alone on a line")
                    );
                }
                Some(')') if text.ends_with('\n') && self.peek().is_none_or(is_newline) => return Ok(text),
                Some(c) => text.push(c),
            }
        }
    }

    /// A value without quotes: a number, boolean, date, variable, or a word.
    fn bare(&mut self, at: Location, key: &str) -> Result<Value, ConfigError> {
        let mut text = Vec::new();
        let mut plain = true;
        while let Some(c) = self.peek().filter(|c| !c.is_whitespace() && !matches!(c, ',' | ';' | ']' | '}'))
        {
            self.next();
            match c {
                '\\' => {
                    plain = false;
                    text.push(self.escape()?);
                }
                '\'' => {
                    plain = false;
                    break;
                }
                _ => push(&mut text, c),
            }
        }
        let text = utf8(text, &at)?;
        if plain && let Some(name) = text.strip_prefix('$').filter(|name| !is_bcrypt(name)) {
            return self.variable(at, name, key);
        }
        self.context.spend(64 + text.len(), &at)?;
        let kind = if plain { classify(text, &at)? } else { Kind::String(text) };
        Ok(Value { at, kind, by_variable: false })
    }

    /// The value of the nearest enclosing key of this name, else of the environment variable, read as a value.
    fn variable(&mut self, at: Location, name: &str, key: &str) -> Result<Value, ConfigError> {
        let shown = if is_secret_key(key) { "…" } else { name };
        for scope in self.scopes.iter_mut().rev() {
            if let Some(entry) = scope.entry_mut(name) {
                entry.variable = true;
                self.context.spend(entry.value.weight(), &at)?;
                return Ok(Value { at, kind: entry.value.kind.clone(), by_variable: true });
            }
        }
        if self.context.resolving.iter().any(|outer| outer == name) {
            return Err(ConfigError::new(&at, format!("variable reference cycle for '{shown}'")));
        }
        let Some(text) = (self.context.env)(name) else {
            return Err(ConfigError::new(&at, format!("variable reference for '{shown}' can not be found"))
                .help("no enclosing key above and no environment variable has this name; quote a value that begins with `$`"));
        };
        self.context.count_text(text.len(), &at)?;
        // Blanks alone are no value, and read as officially.
        if text.trim().is_empty() {
            let text = String::new();
            return Ok(Value { at, kind: Kind::String(text), by_variable: true });
        }
        self.enter(&at)?;
        self.context.resolving.push(name.to_owned());
        let document =
            document(&format!("{ENV_KEY}={text}"), &format!("${shown}"), &self.dir, self.context, self.depth);
        self.context.resolving.pop();
        self.depth -= 1;
        match document.map(|map| map.take(ENV_KEY)) {
            Ok(Some(entry)) => Ok(Value { at, kind: entry.value.kind, by_variable: true }),
            Ok(None) => {
                Err(ConfigError::new(&at, format!("the environment variable '{shown}' has no value")))
            }
            Err(e) => {
                // A variable in a variable has its own advice.
                let help =
                    if e.problem.starts_with("variable reference") { e.help } else { QUOTE_VARIABLE.into() };
                let problem = format!("variable reference for '{shown}' could not be parsed: {}", e.problem);
                Err(ConfigError::new(&at, problem).help(help))
            }
        }
    }
}

/// How a variable's value is text whatever it looks like. Quotes around the `$VARIABLE` would make that the text.
pub(crate) const QUOTE_VARIABLE: &str =
    "text has quotes where the variable is set; in a shell: NAME='\"value\"'";

/// The key under which an environment variable's text is read.
const ENV_KEY: &str = "pk";

fn push(text: &mut Vec<u8>, c: char) {
    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn utf8(text: Vec<u8>, at: &Location) -> Result<String, ConfigError> {
    String::from_utf8(text).map_err(|_| ConfigError::new(at, "the escapes of this string make no UTF-8 text"))
}

/// Whether this, behind a `$`, is a bcrypt hash and so no variable.
fn is_bcrypt(name: &str) -> bool {
    ["2a$", "2b$", "2x$", "2y$"].iter().any(|prefix| name.starts_with(prefix))
}

/// What a bare word is.
fn classify(text: String, at: &Location) -> Result<Kind, ConfigError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => return Ok(Kind::Bool(true)),
        "false" | "no" | "off" => return Ok(Kind::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix('-').unwrap_or(&text);
    if unsigned.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(ConfigError::new(at, "Floats must start with a digit"));
    }
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok(Kind::String(text));
    }
    let (number, suffix) = text.split_at(text.len() - unsigned.len() + digits);
    if let Some(fraction) = suffix.strip_prefix('.') {
        let is_float = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
        return Ok(match text.parse() {
            Ok(float) if is_float => Kind::Float(float),
            _ => Kind::String(text),
        });
    }
    let Some(unit) = unit(suffix) else {
        return Ok(if is_date(&text) { Kind::Date(text) } else { Kind::String(text) });
    };
    let number: Option<i64> = number.parse().ok();
    let product = number
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| ConfigError::new(at, "this integer is out of range"))?;
    Ok(if suffix.eq_ignore_ascii_case("m") { Kind::Millions(product) } else { Kind::Integer(product) })
}

/// A whole number that is not negative, with the suffix of a size if it has one: `10k` is 10,000, `1kb` is 1,024.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at_checked(digits)?;
    number.parse::<u64>().ok()?.checked_mul(u64::try_from(unit(suffix)?).ok()?)
}

/// What an integer's suffix multiplies by: `k` is 1000, `kb`, `ki` and `kib` are 1024, and so on to `e`. None: no such suffix.
fn unit(suffix: &str) -> Option<i64> {
    let suffix = suffix.to_ascii_lowercase();
    let mut letters = suffix.chars();
    let Some(letter) = letters.next() else { return Some(1) };
    let power = "kmgtpe".find(letter)? as u32 + 1;
    match letters.as_str() {
        "" => Some(1000_i64.pow(power)),
        "b" | "i" | "ib" => Some(1024_i64.pow(power)),
        _ => None,
    }
}

/// `2016-05-05T18:53:41Z`
fn is_date(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(c, form)| if *form == b'0' { c.is_ascii_digit() } else { c == *form })
}
