//! The arguments of a command of `dialtone identity`: its options, in groups that commands share, and what was given for them.

pub mod options;
pub mod values;

use anyhow::{Context as _, Result};

/// An option.
pub struct Opt {
    pub(super) name: &'static str,
    /// What its value is called; empty for a switch, which takes none.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
}

/// A command that is asked for, with what it is given.
#[derive(Default)]
pub struct Call {
    pub(super) arguments: Vec<String>,
    pub(super) options: Vec<(&'static str, String)>,
}

impl Call {
    /// The argument at this place.
    pub fn argument(&self, at: usize) -> Option<&str> {
        self.arguments.get(at).map(String::as_str)
    }

    /// An argument that there must be.
    pub fn required(&self, at: usize, what: &str) -> Result<&str> {
        self.argument(at).with_context(|| format!("{what} is missing"))
    }

    /// All arguments.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The last value given for an option.
    pub fn value(&self, name: &str) -> Option<&str> {
        debug_assert!(options::is_known(name), "{name} is in no table");
        self.options.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All values given for an option, in order; commas separate values, too.
    pub fn list(&self, name: &str) -> Vec<String> {
        debug_assert!(options::is_known(name), "{name} is in no table");
        let values = self.options.iter().filter(|(known, _)| *known == name);
        let parts = values.flat_map(|(_, value)| value.split(',')).map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Whether a switch is given.
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A value, read by `parse`. Errors name the option.
    pub fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        self.value(name).map(|value| parse(value).with_context(|| format!("{name} {value}"))).transpose()
    }
}
