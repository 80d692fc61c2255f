//! The configuration language: maps, arrays, numbers with units, variables, includes.
//! Source: <https://docs.nats.io/running-a-nats-service/configuration>, and the official server's answers to `-t`.

mod parser;
#[cfg(test)]
mod tests;
mod value;
mod word;

pub use parser::{Document, parse};
pub use value::{Entry, Kind, Map, Value};

/// Bytes of all files of one configuration together.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Maps and arrays within each other.
pub const NESTING_MAX: usize = 64;
/// Files that include each other.
pub const INCLUDES_MAX: usize = 16;

/// Where included files and variables come from.
pub trait Files {
    /// The text of the file at `path`, which is relative to the file `from`.
    fn read(&mut self, from: &str, path: &str) -> std::io::Result<(String, String)>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}
