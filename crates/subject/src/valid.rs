//! Subjects that were looked at: only what can stand in a line of the protocol becomes one of these types.

use crate::set::{is_valid_filter, is_valid_literal};
use std::fmt;
use std::ops::Deref;

/// This cannot be subscribed to, or published to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid subject")]
pub struct InvalidSubject(pub String);

macro_rules! validated {
    ($(#[doc = $doc:literal])* $name:ident, $is_valid:path) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Looks at it.
            ///
            /// # Errors
            ///
            /// It has an empty token, white space, or a wildcard where none may be.
            pub fn parse(subject: &str) -> Result<Self, InvalidSubject> {
                if $is_valid(subject.as_bytes()) {
                    Ok(Self(subject.into()))
                } else {
                    Err(InvalidSubject(subject.into()))
                }
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

validated! {
    /// What can be subscribed to, wildcards or not.
    Filter, is_valid_filter
}

validated! {
    /// What can be published to.
    Literal, is_valid_literal
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// None of these types holds what would end a subject in a line of the protocol.
        #[test]
        fn a_validated_subject_is_one_word(text in "[a.*> \t\r\n\u{c}]{0,6}|.{0,6}") {
            let words = |subject: &str| subject.split(|c: char| c.is_ascii_whitespace()).count();
            let filter = Filter::parse(&text);
            let literal = Literal::parse(&text);
            for subject in filter.iter().map(|f| &**f).chain(literal.iter().map(|l| &**l)) {
                prop_assert_eq!((subject, words(subject)), (text.as_str(), 1));
                prop_assert!(subject.split('.').all(|token| !token.is_empty()));
            }
            prop_assert!(filter.is_ok() || literal.is_err(), "what can be published to can be subscribed to");
            prop_assert!(literal.is_err() || text.split('.').all(|token| token != "*" && token != ">"));
        }
    }
}
