//! What is wrong with a configuration: where, what, and what to do.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A place in a configuration file. Lines and columns count from 1; line 0 is no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl Default for Location {
    fn default() -> Self {
        Self { file: "".into(), line: 0, column: 0 }
    }
}

impl Location {
    /// A place in no text, such as a whole file or a flag: it prints as its name alone.
    pub fn nowhere(name: &str) -> Self {
        Self { file: name.into(), line: 0, column: 0 }
    }
}

/// Where an option stands. That is no part of what it says: options are the same wherever they stand, or a reload would
/// find another configuration in a file in which a line was inserted.
#[derive(Clone, Debug, Default)]
pub struct Position(Location);

impl PartialEq for Position {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Position {}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self(location)
    }
}

impl Deref for Position {
    type Target = Location;

    fn deref(&self) -> &Location {
        &self.0
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// What a tool that only reads a configuration can leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing: without it, what the rest means is not known.
    #[default]
    Invalid,
    /// A key that is known and not supported.
    NotSupported,
    /// An import that does not hold.
    Import,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}{}", if help.is_empty() { String::new() } else { format!("\n  {help}") })]
pub struct ConfigError {
    /// Where.
    pub at: Location,
    /// What.
    pub problem: String,
    /// What to do about it; may be empty.
    pub help: String,
    /// Whether and how one can go on without it.
    pub kind: ErrorKind,
}

impl ConfigError {
    /// A problem without advice.
    pub fn new(at: &Location, problem: impl Into<String>) -> Self {
        Self { at: at.clone(), problem: problem.into(), help: String::new(), kind: ErrorKind::Invalid }
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Says how one can go on without it.
    pub(crate) fn kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }
}

/// All that is wrong, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", joined(.0))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// Errors of one configuration that are told; of more, the number.
const ERRORS_SHOWN_MAX: usize = 100;

fn joined(errors: &[ConfigError]) -> String {
    let mut lines: Vec<String> = errors.iter().take(ERRORS_SHOWN_MAX).map(ToString::to_string).collect();
    if let Some(more) = errors.len().checked_sub(ERRORS_SHOWN_MAX).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_errors_are_told() {
        let error = ConfigError::new(&Location::nowhere("x"), "wrong");
        let told = ConfigErrors(vec![error; 103]).to_string();
        assert_eq!(told.lines().count(), 101);
        assert!(told.ends_with("x: wrong\nand 3 more"));
    }
}
