//! Configuration: the language, the table of keys, the typed options, and what a reload may change.
//!
//! `text -> values with positions -> options -> plan(old, new)`. Begin with [`load`]; [`keys`] is the table that says
//! of each key whether it is known, honoured and reloadable. [`flags`] is the command line.
//!
//! Invariants: no I/O (files come by [`Files`], the environment by a function), no clock; options are
//! plain data and never change once made.
#![forbid(unsafe_code)]

pub mod blocks;
mod check;
pub mod docs;
pub mod error;
pub mod flags;
pub mod language;
mod nkey;
pub mod operator;
pub mod options;
pub mod plan;
mod read;
pub mod secret;
pub mod sharing;
mod warnings;

pub use error::{ConfigError, ConfigErrors, ErrorKind, Location, Position};

pub use blocks::reader::parse_duration;
pub use blocks::{keys, ocsp};
pub use language::{Env, Files, parse_size};
pub use options::Options;
pub use read::{Partial, load, load_partial, load_partial_text, load_text};
pub use secret::Secret;
