//! From text to values.

use super::word::classify;
use super::{CONFIG_BYTES_MAX, Entry, Files, INCLUDES_MAX, Kind, Map, NESTING_MAX, Value};
use crate::error::{ConfigError, Location};
use std::sync::Arc;

/// A configuration as values.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The top level.
    pub map: Map,
}

/// Parses the text of the file called `name`; `files` gives what it includes and the environment.
///
/// Errors: the first place that cannot be understood.
pub fn parse(name: &str, text: &str, files: &mut dyn Files) -> Result<Document, ConfigError> {
    let mut context = Context { files, bytes: 0, scopes: vec![Map::default()] };
    let mut parser = Parser::new(name, text, 0, &mut context)?;
    parser.top()?;
    Ok(Document { map: context.scopes.pop().unwrap_or_default() })
}

/// What all files of one configuration share.
struct Context<'f> {
    files: &'f mut dyn Files,
    bytes: usize,
    /// The maps that are open, the outermost first: where variables are looked up.
    scopes: Vec<Map>,
}

struct Parser<'t, 'c, 'f> {
    file: Arc<str>,
    text: &'t str,
    at: usize,
    line: u32,
    line_start: usize,
    includes: usize,
    nesting: usize,
    context: &'c mut Context<'f>,
}

impl<'t, 'c, 'f> Parser<'t, 'c, 'f> {
    fn new(
        name: &str,
        text: &'t str,
        includes: usize,
        context: &'c mut Context<'f>,
    ) -> Result<Self, ConfigError> {
        context.bytes = context.bytes.saturating_add(text.len());
        let parser =
            Self { file: name.into(), text, at: 0, line: 1, line_start: 0, includes, nesting: 0, context };
        if parser.context.bytes > CONFIG_BYTES_MAX {
            return Err(parser.error(format!("configuration is larger than {CONFIG_BYTES_MAX} bytes")));
        }
        Ok(parser)
    }

    fn location(&self) -> Location {
        let before = self.text.get(self.line_start..self.at).unwrap_or_default();
        Location { file: self.file.clone(), line: self.line, column: before.chars().count() as u32 + 1 }
    }

    fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.location(), problem)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
            self.line_start = self.at;
        }
        Some(c)
    }

    /// Passes over white space and comments, and over `extra` characters.
    fn skip(&mut self, extra: &[char]) {
        while let Some(c) = self.peek() {
            if c == '#' || self.rest().starts_with("//") {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
            } else if c.is_whitespace() || extra.contains(&c) {
                self.next();
            } else {
                break;
            }
        }
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|c| c.is_whitespace() && c != '\n') {
            self.next();
        }
    }

    /// A whole file: keys and values, or one map around them.
    fn top(&mut self) -> Result<(), ConfigError> {
        self.skip(&[]);
        if self.peek() == Some('{') {
            self.next();
            self.entries(Some('}'))?;
            self.skip(&[]);
        } else {
            self.entries(None)?;
        }
        match self.peek() {
            None => Ok(()),
            Some(c) => Err(self.error(format!("unexpected {c:?}"))),
        }
    }

    /// Keys and values up to `end`, set in the innermost scope.
    fn entries(&mut self, end: Option<char>) -> Result<(), ConfigError> {
        loop {
            self.skip(&[',', ';']);
            match self.peek() {
                None if end.is_none() => return Ok(()),
                None => return Err(self.error("unexpected end of file: a `}` is missing")),
                Some(c) if Some(c) == end => {
                    self.next();
                    return Ok(());
                }
                Some(_) => self.entry()?,
            }
        }
    }

    fn entry(&mut self) -> Result<(), ConfigError> {
        let at = self.location();
        let quoted = matches!(self.peek(), Some('"' | '\''));
        let key = self.key()?;
        self.skip_blanks();
        if !quoted && key.eq_ignore_ascii_case("include") && !matches!(self.peek(), Some(':' | '=')) {
            return self.include();
        }
        if matches!(self.peek(), Some(':' | '=')) {
            self.next();
        }
        self.skip(&[]);
        let value = self.value()?;
        if let Some(scope) = self.context.scopes.last_mut() {
            scope.set(Entry { key, at, value, variable: false });
        }
        Ok(())
    }

    fn key(&mut self) -> Result<String, ConfigError> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            Some(c @ ('}' | ']' | '{' | '[' | '(' | ')' | ':' | '=')) => {
                Err(self.error(format!("expected a key, found {c:?}")))
            }
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|c| !c.is_whitespace() && !matches!(c, ':' | '=' | '{' | '}')) {
                    self.next();
                }
                Ok(self.text.get(start..self.at).unwrap_or_default().to_owned())
            }
        }
    }

    fn include(&mut self) -> Result<(), ConfigError> {
        let at = self.location();
        let path = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => self.word(),
        };
        if path.is_empty() {
            return Err(ConfigError::new(&at, "include needs the name of a file"));
        }
        if self.includes >= INCLUDES_MAX {
            return Err(ConfigError::new(&at, format!("more than {INCLUDES_MAX} files include each other"))
                .help("does a file include itself?"));
        }
        let (name, text) = self.context.files.read(&self.file, &path).map_err(|e| {
            ConfigError::new(&at, format!("cannot read the included file {path:?}: {e}"))
                .help("the path is relative to the file that includes it")
        })?;
        Parser::new(&name, &text, self.includes + 1, self.context)?.top()
    }

    fn value(&mut self) -> Result<Value, ConfigError> {
        let at = self.location();
        let kind = match self.peek() {
            None => return Err(self.error("unexpected end of file: a value is missing")),
            Some('{') => self.map()?,
            Some('[') => self.array()?,
            Some('(') => Kind::String(self.block()?),
            Some(quote @ ('"' | '\'')) => Kind::String(self.quoted(quote)?),
            Some(c @ ('}' | ']' | ',' | ';' | ':' | '=' | ')')) => {
                return Err(self.error(format!("expected a value, found {c:?}")));
            }
            Some('$') => return self.variable(&at),
            Some(_) => {
                let word = self.word();
                classify(&word).map_err(|problem| ConfigError::new(&at, format!("{problem}: {word}")))?
            }
        };
        Ok(Value { at, kind })
    }

    /// A bare word: up to white space or what ends a value.
    fn word(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|c| !c.is_whitespace() && !matches!(c, ',' | ';' | ']' | '}')) {
            self.next();
        }
        self.text.get(start..self.at).unwrap_or_default().to_owned()
    }

    fn deeper(&mut self) -> Result<(), ConfigError> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error(format!("more than {NESTING_MAX} maps and arrays within each other")));
        }
        Ok(())
    }

    fn map(&mut self) -> Result<Kind, ConfigError> {
        self.deeper()?;
        self.next();
        self.context.scopes.push(Map::default());
        self.entries(Some('}'))?;
        self.nesting -= 1;
        Ok(Kind::Map(self.context.scopes.pop().unwrap_or_default()))
    }

    fn array(&mut self) -> Result<Kind, ConfigError> {
        self.deeper()?;
        self.next();
        let mut values = Vec::new();
        loop {
            self.skip(&[',']);
            match self.peek() {
                None => return Err(self.error("unexpected end of file: a `]` is missing")),
                Some(']') => {
                    self.next();
                    self.nesting -= 1;
                    return Ok(Kind::Array(values));
                }
                Some(_) => values.push(self.value()?),
            }
        }
    }

    /// `(`, lines, and a line with `)` alone.
    fn block(&mut self) -> Result<String, ConfigError> {
        let at = self.location();
        self.next();
        let body = self.rest();
        let mut length = 0;
        for line in body.split_inclusive('\n') {
            if length > 0 && line.trim() == ")" {
                let text = body.get(..length).unwrap_or_default().to_owned();
                let end = self.at + length + line.find(')').unwrap_or(0) + 1;
                while self.at < end {
                    self.next();
                }
                return Ok(text);
            }
            // A block on one line ends on it.
            if length == 0
                && let Some(end) = line.find(')')
            {
                let text = line.get(..end).unwrap_or_default().to_owned();
                self.at += end + 1;
                return Ok(text);
            }
            length += line.len();
        }
        Err(ConfigError::new(&at, "block string is not closed")
            .help("it ends with a line that holds only `)`"))
    }

    fn quoted(&mut self, quote: char) -> Result<String, ConfigError> {
        let at = self.location();
        self.next();
        let mut text = String::new();
        loop {
            let escape_at = self.location();
            match self.next() {
                None => {
                    let problem = format!("string is not closed: a {quote} is missing");
                    return Err(ConfigError::new(&at, problem));
                }
                Some(c) if c == quote => return Ok(text),
                Some('\\') if quote == '"' => {
                    let c = self.escape().ok_or_else(|| {
                        ConfigError::new(&escape_at, "unknown escape in a string").help(
                            r#"known are \n \r \t \" \\ and \xNN; single quotes take everything as it is"#,
                        )
                    })?;
                    text.push(c);
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '"' => '"',
            '\\' => '\\',
            'x' => {
                let high = self.next()?.to_digit(16)?;
                let low = self.next()?.to_digit(16)?;
                char::from_u32(high * 16 + low)?
            }
            _ => return None,
        })
    }

    /// `$NAME`: a key set before, in this map or one around it, else a variable of the environment.
    fn variable(&mut self, at: &Location) -> Result<Value, ConfigError> {
        let word = self.word();
        if is_bcrypt(&word) {
            return Ok(Value { at: at.clone(), kind: Kind::String(word) });
        }
        let name = word.trim_start_matches('$');
        for scope in self.context.scopes.iter_mut().rev() {
            if let Some(entry) = scope.entries.iter_mut().find(|e| e.key == name) {
                entry.variable = true;
                return Ok(Value { at: at.clone(), kind: entry.value.kind.clone() });
            }
        }
        let Some(text) = self.context.files.variable(name) else {
            return Err(ConfigError::new(at, format!("variable reference for '{name}' can not be found"))
                .help("set it in this file before its use, or in the environment"));
        };
        if is_bcrypt(&text) {
            return Ok(Value { at: at.clone(), kind: Kind::String(text) });
        }
        if self.includes >= INCLUDES_MAX {
            return Err(ConfigError::new(at, format!("variable '{name}' refers to itself")));
        }
        let file = format!("${name}");
        let mut inner = Parser::new(&file, &text, self.includes + 1, self.context)?;
        inner.skip(&[]);
        let value = match inner.peek() {
            None => Value { at: at.clone(), kind: Kind::String(String::new()) },
            Some(_) => inner.value()?,
        };
        Ok(Value { at: at.clone(), kind: value.kind })
    }
}

/// Hashes of bcrypt begin with a `$` that means no variable.
fn is_bcrypt(word: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| word.starts_with(prefix))
}
