//! The errors of the JetStream API: one table of codes, HTTP-like codes and texts.

mod table;

pub use table::*;

use crate::json::document;
use std::borrow::Cow;
use std::fmt::Display;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The number of the error, from 10002.
    pub err_code: u16,
    /// What HTTP would say.
    pub code: u16,
    /// The text, with `{placeholders}`.
    pub description: &'static str,
}

document! {
    /// An error as responses have it: `{"code":404,"err_code":10059,"description":"stream not found"}`.
    #[derive(Eq, thiserror::Error)]
    #[error("{description} ({err_code})")]
    pub struct ApiError = "ApiError" {
        /// What HTTP would say.
        pub code: u16, "code" always "int";
        /// The number of the error.
        pub err_code: u16, "err_code" omitempty "uint16";
        /// The text.
        pub description: Cow<'static, str>, "description" omitempty "string";
    }
}

impl Code {
    /// The error, whose text has no placeholder.
    pub fn error(self) -> ApiError {
        debug_assert!(!self.description.contains('{'), "{self:?} has a placeholder");
        ApiError { code: self.code, err_code: self.err_code, description: self.description.into() }
    }

    /// The error with its only placeholder filled.
    pub fn with(self, value: impl Display) -> ApiError {
        self.filled(&[&value])
    }

    /// The error with its placeholders filled in their order.
    pub fn filled(self, values: &[&dyn Display]) -> ApiError {
        let mut description = String::with_capacity(self.description.len() + 32);
        let mut rest = self.description;
        let mut values = values.iter();
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((_, behind)) = behind.split_once('}') else { break };
            description.push_str(before);
            let value = values.next();
            debug_assert!(value.is_some(), "{self:?} has more placeholders");
            if let Some(value) = value {
                description.push_str(&value.to_string());
            }
            rest = behind;
        }
        debug_assert!(values.next().is_none(), "{self:?} has fewer placeholders");
        description.push_str(rest);
        ApiError { code: self.code, err_code: self.err_code, description: description.into() }
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        code.error()
    }
}

impl PartialEq<Code> for ApiError {
    fn eq(&self, code: &Code) -> bool {
        self.err_code == code.err_code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_all_codes_once_and_in_order() {
        assert_eq!(ALL.len(), 226);
        assert!(ALL.windows(2).all(|pair| pair[0].1.err_code < pair[1].1.err_code));
        let first_and_last = (ALL[0].1.err_code, ALL[225].1.err_code);
        assert_eq!(first_and_last, (10002, 10227));
    }

    #[test]
    fn placeholders_are_filled_in_order() {
        let error = STREAM_EXTERNAL_API_OVERLAP.filled(&[&"a.b", &"$JS.API"]);
        assert_eq!(error.description, "stream external api prefix a.b must not overlap with $JS.API");
        assert_eq!(
            crate::json::to_string(&STREAM_NOT_FOUND.error()),
            r#"{"code":404,"err_code":10059,"description":"stream not found"}"#
        );
        assert_eq!(INVALID_JSON.with("x"), INVALID_JSON);
        assert_ne!(INVALID_JSON.with("x"), BAD_REQUEST);
    }

    /// So many values as a text has placeholders fill it, whatever it is.
    #[test]
    fn every_text_can_be_filled() {
        for (name, code) in ALL {
            let holes = code.description.matches('{').count();
            let values: Vec<&dyn Display> = (0..holes).map(|_| &"x" as &dyn Display).collect();
            assert!(!code.filled(&values).description.contains(['{', '}']), "{name}");
        }
    }
}
