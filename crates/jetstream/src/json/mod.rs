//! Reading and writing JSON as Go's `encoding/json` does: names of any case, null, unknown fields, strict mode, and its errors.
//!
//! [`parse`] makes a tree of [`Node`]s of a request, [`Reader`] fills a document from it, and [`to_vec`] writes one. Documents are declared by
//! [`document!`], which knows the official order and omission of their fields.

mod document;
mod parse;
mod read;
pub(crate) mod refusal;
mod write;

pub use document::document;
pub(crate) use document::names;
pub(crate) use parse::quoted as quoted_byte;
pub use parse::{DEPTH_MAX, Kind, Node, SyntaxError, parse};
pub use read::{Abort, Document, Field, Reader, Strictness, from_slice};
pub use write::{Empty, to_string, to_vec};
