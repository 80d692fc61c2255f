//! Values, each with the place where it stands.

use std::collections::BTreeMap;

use crate::error::Location;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Where it begins; for a `$VARIABLE`, where it is used.
    pub at: Location,
    /// What it is.
    pub kind: Kind,
    /// It stands elsewhere: here is a `$VARIABLE`.
    pub by_variable: bool,
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
    /// A whole number written with the bare unit `m`, a million, which where a duration is asked for means minutes.
    Millions(i64),
    /// A number with a point.
    Float(f64),
    /// `true`, `yes`, `on`, `false`, `no`, `off`, in any case.
    Bool(bool),
    /// An ISO 8601 date in Zulu form, as written.
    Date(String),
}

impl Kind {
    /// What it is called in an error.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Map(_) => "a map",
            Self::Array(_) => "an array",
            Self::String(_) => "a string",
            Self::Integer(_) | Self::Millions(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Date(_) => "a date",
        }
    }
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// What this value and all within it count against [`super::VALUE_BYTES_MAX`].
    pub(super) fn weight(&self) -> usize {
        const NODE: usize = 64;
        NODE + match &self.kind {
            Kind::String(text) | Kind::Date(text) => text.len(),
            Kind::Array(items) => items.iter().map(Value::weight).sum(),
            Kind::Map(map) => map.iter().map(|e| NODE + e.key.len() + e.value.weight()).sum(),
            _ => 0,
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

/// Entries that are searched one by one; a map with more has an index. Large configurations are many small maps.
const FEW: usize = 8;

/// Keys and values in the order of the file. A key that comes twice has its last value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: Vec<Entry>,
    /// Places by key, if there are more than [`FEW`].
    index: Option<BTreeMap<String, usize>>,
}

impl Map {
    /// No keys.
    pub const EMPTY: Map = Map { entries: Vec::new(), index: None };

    /// Sets a key. One that is set already keeps that it was used as a variable.
    pub fn set(&mut self, mut entry: Entry) {
        if let Some(old) = self.entry_mut(&entry.key) {
            entry.variable |= old.variable;
            *old = entry;
            return;
        }
        match &mut self.index {
            Some(index) => {
                index.insert(entry.key.clone(), self.entries.len());
            }
            None => self.entries.reserve_exact(1),
        }
        self.entries.push(entry);
        if self.index.is_none() && self.entries.len() > FEW {
            let places = self.entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at));
            self.index = Some(places.collect());
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|entry| entry.key == key),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.place(key).and_then(|at| self.entries.get(at)).map(|e| &e.value)
    }

    /// The entries, in the order of the file.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entries by name.
    pub fn sorted(&self) -> impl Iterator<Item = &Entry> {
        let mut all: Vec<&Entry> = self.entries.iter().collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all.into_iter()
    }

    pub(super) fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.place(key).and_then(|at| self.entries.get_mut(at))
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.entries.into_iter()
    }

    /// The entry of a key, out of a map that is not used any more.
    pub(super) fn take(self, key: &str) -> Option<Entry> {
        self.entries.into_iter().find(|entry| entry.key == key)
    }
}
