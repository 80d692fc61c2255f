//! The configuration language: maps, arrays, numbers with units, variables, includes.
//! Source: <https://docs.nats.io/running-a-nats-service/configuration>, and the official server's answers to `-t`.

mod digest;
mod parser;
#[cfg(test)]
mod tests;
mod value;
mod values;

use std::io;
use std::path::Path;

pub use digest::digest;
pub use parser::{parse_file, parse_text};
pub use value::{Entry, Kind, Map, Value};
pub(crate) use values::QUOTE_VARIABLE;
pub use values::parse_size;

/// Bytes of one configuration file; a larger one is refused.
pub const FILE_BYTES_MAX: usize = 64 << 20;
/// Files and environment variables read for one configuration, counted each time; more are refused.
pub const FILES_MAX: usize = 100_000;
/// Maps, arrays, includes and variables within each other; deeper nesting is refused.
pub const NESTING_MAX: usize = 64;
/// About the bytes all values of one configuration take, copies made by variables included; more are refused.
pub const VALUE_BYTES_MAX: usize = 256 << 20;

/// Where configuration files are read from: the file system, or a test's table.
pub trait Files {
    /// The whole file.
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>>;
}

impl<F: FnMut(&Path) -> io::Result<Vec<u8>>> Files for F {
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self(path)
    }
}

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
