//! The JSON of INFO and CONNECT, read as leniently as the official server does.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Why INFO or CONNECT of another server cannot be understood. The document stays out of the text, since it may hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// No JSON object.
    #[error("not a JSON object: line {line}, column {column}")]
    Syntax {
        /// Line of the problem.
        line: usize,
        /// Column of the problem.
        column: usize,
    },
    /// A field is of another type than it has to be.
    #[error("a field has a wrong type")]
    Type,
}

/// Reads an object: names count in any case, `null` is as good as absent, of two fields with one name the last counts, what is no UTF-8
/// is replaced, and unknown fields are ignored.
///
/// # Errors
/// [`JsonError`].
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, JsonError> {
    let text = String::from_utf8_lossy(json);
    let fields: Map<String, Value> =
        serde_json::from_str(&text).map_err(|e| JsonError::Syntax { line: e.line(), column: e.column() })?;
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    let fields: Map<String, Value> = fields.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    serde_json::from_value(Value::Object(fields)).map_err(|_| JsonError::Type)
}

/// Appends `VERB {…}`, and what ends the line.
pub(crate) fn write(out: &mut Vec<u8>, verb: &str, value: &impl serde::Serialize, end: &str) {
    out.extend_from_slice(verb.as_bytes());
    out.push(b' ');
    // Serialising plain fields into a Vec has no way to fail.
    let _ = serde_json::to_writer(&mut *out, value);
    out.extend_from_slice(end.as_bytes());
}

/// For fields that are left out when they say nothing.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
