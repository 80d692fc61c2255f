//! Configuration: the language, the table of keys, the typed options, and what a reload may change.
//!
//! `text -> values with positions -> options -> plan(old, new)`. Begin with [`load`]; [`keys`] is the table that says
//! of each key whether it is known, honoured and reloadable. [`flags`] is the command line.
//!
//! Invariants: no I/O (files come by [`Files`], the environment by a function), no clock; options are
//! plain data and never change once made.
#![forbid(unsafe_code)]

mod accounts;
mod check;
pub mod docs;
pub mod error;
pub mod flags;
pub mod keys;
pub mod language;
mod nkey;
pub mod ocsp;
pub mod operator;
pub mod options;
pub mod plan;
mod rates;
mod read;
mod reader;
pub mod secret;
pub mod sharing;
mod tls;
mod warnings;
mod websocket;

pub use error::{ConfigError, ConfigErrors, ErrorKind, Location, Position};

pub use language::{Env, Files, parse_size};
pub use options::Options;
pub use read::{Partial, load, load_partial, load_partial_text, load_text};
pub use reader::parse_duration;
pub use secret::Secret;
