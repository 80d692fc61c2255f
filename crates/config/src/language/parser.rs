//! The configuration language: text to values with places. `include` and `$VARIABLE` are carried out here.
//!
//! The language is lenient: a key ends at a blank, `:` or `=`; a value at the end of the line, `,`, `;` or its bracket. What decides where
//! the official server's lexer is surprising: its binary (`[1,2]`, `10-a` and `1.5s` are errors or oddities there and read as meant here).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, Env, FILE_BYTES_MAX, FILES_MAX, Files, Map, NESTING_MAX, VALUE_BYTES_MAX};
use crate::error::{ConfigError, Location};

/// Reads a configuration file and all it includes.
///
/// Source: the configuration language of nats-server 2.15.
///
/// # Errors
///
/// The first problem, with its place.
pub fn parse_file(path: &Path, files: &mut dyn Files, env: Env<'_>) -> Result<Map, ConfigError> {
    let name = path.display().to_string();
    let mut context = ParseContext::new(files, env);
    let text = context.read(path, &Location::nowhere(&name), "")?;
    document(&text, &name, path.parent().unwrap_or(Path::new("")), &mut context, 0)
}

/// Reads a configuration from text; `name` stands for the file in places, and includes are relative to the current directory.
pub fn parse_text(text: &str, name: &str, files: &mut dyn Files, env: Env<'_>) -> Result<Map, ConfigError> {
    let mut context = ParseContext::new(files, env);
    document(text, name, Path::new(""), &mut context, 0)
}

/// What lies outside the text, and the bounds shared by all files of one configuration.
pub(super) struct ParseContext<'w> {
    files: &'w mut dyn Files,
    pub(super) env: Env<'w>,
    bytes_left: usize,
    files_left: usize,
    /// Environment variables being resolved, outermost first.
    pub(super) resolving: Vec<String>,
}

impl<'w> ParseContext<'w> {
    fn new(files: &'w mut dyn Files, env: Env<'w>) -> Self {
        Self { files, env, bytes_left: VALUE_BYTES_MAX, files_left: FILES_MAX, resolving: Vec::new() }
    }

    fn read(&mut self, path: &Path, at: &Location, context: &str) -> Result<String, ConfigError> {
        // The file on the command line is its own place: its name stands there.
        let name = if at.line == 0 { "the file".into() } else { path.display().to_string() };
        let bytes = self.files.read(path).map_err(|e| {
            let cause = match e.kind() {
                io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => e.to_string(),
            };
            let open = if at.line == 0 { "cannot open it".to_owned() } else { format!("open {name}") };
            ConfigError::new(at, format!("{context}{open}: {cause}"))
        })?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ConfigError::new(at, format!("{name} is larger than {FILE_BYTES_MAX} bytes")));
        }
        self.count_text(bytes.len(), at)?;
        String::from_utf8(bytes).map_err(|_| ConfigError::new(at, format!("{name} is not UTF-8 text")))
    }

    /// Counts one more text of so many bytes: a file, or a variable of the environment.
    pub(super) fn count_text(&mut self, bytes: usize, at: &Location) -> Result<(), ConfigError> {
        self.files_left = self.files_left.checked_sub(1).ok_or_else(|| {
            ConfigError::new(at, format!("more than {FILES_MAX} files and environment variables are read"))
        })?;
        self.spend(bytes, at)
    }

    pub(super) fn spend(&mut self, bytes: usize, at: &Location) -> Result<(), ConfigError> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| {
            ConfigError::new(at, format!("the configuration takes more than {VALUE_BYTES_MAX} bytes"))
        })?;
        Ok(())
    }
}

pub(super) fn document(
    text: &str,
    name: &str,
    dir: &Path,
    context: &mut ParseContext<'_>,
    depth: usize,
) -> Result<Map, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser {
        text,
        position: 0,
        line: 1,
        column: 1,
        file: Arc::from(name),
        dir: dir.to_owned(),
        scopes: vec![Map::default()],
        context,
        depth,
    };
    parser.top()?;
    Ok(parser.scopes.pop().unwrap_or_default())
}

pub(super) struct Parser<'s, 'w> {
    text: &'s str,
    position: usize,
    line: u32,
    column: u32,
    file: Arc<str>,
    pub(super) dir: PathBuf,
    /// The maps around the current place, outermost first; never empty.
    pub(super) scopes: Vec<Map>,
    pub(super) context: &'s mut ParseContext<'w>,
    pub(super) depth: usize,
}

/// Where a key stands: at the top level a value must begin on its key's line once there was a separator.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Top,
    Map,
}

pub(super) fn is_newline(c: char) -> bool {
    c == '\n' || c == '\r'
}

pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() && !is_newline(c)
}

/// Whether the value of this key must not be repeated in a message.
pub(super) fn is_secret_key(key: &str) -> bool {
    ["pass", "password", "token"].iter().any(|secret| key.eq_ignore_ascii_case(secret))
}

impl Parser<'_, '_> {
    // --- characters ---

    pub(super) fn rest(&self) -> &str {
        self.text.get(self.position..).unwrap_or("")
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    pub(super) fn skip(&mut self, which: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&which) {
            self.next();
        }
    }

    pub(super) fn here(&self) -> Location {
        Location { file: self.file.clone(), line: self.line, column: self.column }
    }

    pub(super) fn error<T>(&self, problem: impl Into<String>) -> Result<T, ConfigError> {
        Err(ConfigError::new(&self.here(), problem))
    }

    /// Skips white space (new lines too), comments, and what else `also` names.
    pub(super) fn skip_between(&mut self, also: &[char]) {
        loop {
            self.skip(|c| c.is_whitespace() || also.contains(&c));
            if !self.at_comment() {
                return;
            }
            self.skip(|c| !is_newline(c));
        }
    }

    pub(super) fn at_comment(&self) -> bool {
        self.rest().starts_with('#') || self.rest().starts_with("//")
    }

    pub(super) fn enter(&mut self, at: &Location) -> Result<(), ConfigError> {
        if self.depth >= NESTING_MAX {
            return Err(ConfigError::new(at, format!("values are nested deeper than {NESTING_MAX} levels")));
        }
        self.depth += 1;
        Ok(())
    }

    // --- keys ---

    /// A whole file. Braces around all of it (JSON) or parts of it mean nothing at this level.
    pub(super) fn top(&mut self) -> Result<(), ConfigError> {
        let mut open: Vec<Location> = Vec::new();
        loop {
            self.skip_between(&[',', ';']);
            match self.peek() {
                None => match open.pop() {
                    Some(at) => return Err(ConfigError::new(&at, "this `{` is never closed")),
                    None => return Ok(()),
                },
                Some('{') => {
                    if open.len() >= NESTING_MAX {
                        return self.error(format!("values are nested deeper than {NESTING_MAX} levels"));
                    }
                    open.push(self.here());
                    self.next();
                }
                Some('}') => {
                    if open.pop().is_none() {
                        return self.error("this `}` closes nothing");
                    }
                    self.next();
                }
                Some(_) => self.pair(Place::Top)?,
            }
        }
    }

    /// A key and its value, or an `include`, and the end of it.
    pub(super) fn pair(&mut self, place: Place) -> Result<(), ConfigError> {
        let at = self.here();
        let (key, quoted) = self.key()?;
        if !quoted && key.eq_ignore_ascii_case("include") && self.peek().is_some_and(char::is_whitespace) {
            self.include(&at)?;
            return self.end_of_value(&at);
        }
        self.skip(char::is_whitespace);
        let separated = matches!(self.peek(), Some(':' | '='));
        if separated {
            self.next();
        }
        match place {
            Place::Top => self.skip(is_blank),
            Place::Map => self.skip(char::is_whitespace),
        }
        let begins = self.peek().filter(|c| !is_newline(*c) && !matches!(c, ',' | ';' | '}' | ']'));
        if begins.is_none() {
            return Err(ConfigError::new(&at, format!("key `{key}` has no value")));
        }
        let value = self.value(&key)?;
        self.context.spend(64 + key.len(), &at)?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.set(Entry { key, at: at.clone(), value, variable: false });
        }
        self.end_of_value(&at)
    }

    /// What may follow a value: the end of the line or of the file, a comment, `,`, `;`, or the end of what is around it.
    pub(super) fn end_of_value(&mut self, key: &Location) -> Result<(), ConfigError> {
        self.skip(is_blank);
        match self.peek() {
            None => Ok(()),
            Some(c) if is_newline(c) || matches!(c, ',' | ';' | '}') || self.at_comment() => Ok(()),
            Some(c) => Err(ConfigError::new(
                &self.here(),
                format!(
                    "expected the end of the value that began in line {}, but found `{}`",
                    key.line,
                    c.escape_debug()
                ),
            )
            .help("quote a value that contains blanks, or end it with a new line or a comma")),
        }
    }

    pub(super) fn key(&mut self) -> Result<(String, bool), ConfigError> {
        let at = self.here();
        match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.next();
                let mut key = String::new();
                loop {
                    match self.next() {
                        None => return Err(ConfigError::new(&at, "this quoted key never ends")),
                        Some(c) if c == quote => return Ok((key, true)),
                        Some(c) => key.push(c),
                    }
                }
            }
            Some(c) if matches!(c, ':' | '=' | ',' | ';' | '[' | ']' | '{' | '}' | '(' | ')') => {
                self.error(format!("expected a key, but found `{c}`"))
            }
            _ => {
                let mut key = String::new();
                while let Some(c) = self.peek().filter(|c| !c.is_whitespace() && !matches!(c, ':' | '=')) {
                    key.push(c);
                    self.next();
                }
                if let Some(name) = key.strip_suffix('{') {
                    return Err(ConfigError::new(&at, format!("`{key}` is read as one key"))
                        .help(format!("write `{name} {{`")));
                }
                Ok((key, false))
            }
        }
    }

    pub(super) fn include(&mut self, at: &Location) -> Result<(), ConfigError> {
        self.skip(is_blank);
        let path = match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.next();
                let mut path = String::new();
                loop {
                    match self.next() {
                        None => return Err(ConfigError::new(at, "the quoted file name never ends")),
                        Some(c) if c == quote => break path,
                        Some(c) => path.push(c),
                    }
                }
            }
            _ => {
                let mut path = String::new();
                while let Some(c) =
                    self.peek().filter(|c| !c.is_whitespace() && !matches!(c, ';' | '}' | '\''))
                {
                    path.push(c);
                    self.next();
                }
                path
            }
        };
        if path.is_empty() {
            return Err(ConfigError::new(at, "include needs a file name"));
        }
        // A leading slash means the including file's directory too, as with the official server.
        let file = self.dir.join(path.trim_start_matches('/'));
        self.enter(at)?;
        let text = self.context.read(&file, at, &format!("error parsing include file '{path}', "))?;
        let dir = file.parent().unwrap_or(Path::new("")).to_owned();
        let map = document(&text, &file.display().to_string(), &dir, self.context, self.depth)?;
        self.depth -= 1;
        if let Some(scope) = self.scopes.last_mut() {
            map.into_entries().for_each(|entry| scope.set(entry));
        }
        Ok(())
    }
}
