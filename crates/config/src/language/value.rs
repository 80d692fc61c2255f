//! Values, each with the place where it stands.

use crate::error::Location;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Where it begins.
    pub at: Location,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `{ … }`
    Map(Map),
    /// `[ … ]`
    Array(Vec<Value>),
    /// Text: quoted, in a block, or a bare word that is nothing else.
    String(String),
    /// A whole number, its unit multiplied in.
    Integer(i64),
    /// A number with a point.
    Float(f64),
    /// `true`, `yes`, `on`, `false`, `no`, `off`.
    Bool(bool),
    /// An ISO date.
    Date(String),
}

impl Kind {
    /// What it is called in an error.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Map(_) => "a map",
            Self::Array(_) => "an array",
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Date(_) => "a date",
        }
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as it was written.
    pub key: String,
    /// Where the key stands.
    pub at: Location,
    /// Its value.
    pub value: Value,
    /// It was used as a variable, so it need not be a known key.
    pub variable: bool,
}

/// Keys and values in the order of the file. A key that comes twice has its last value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Map {
    /// Sets a key.
    pub fn set(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|e| e.key == entry.key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|e| e.key == key).map(|e| &e.value)
    }
}
