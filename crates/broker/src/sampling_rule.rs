//! Which messages of an account are traced though their headers name no destination.

use dialtone_subject::Literal;

/// What an account has traced whose headers do not say where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplingRule {
    /// Where its traces go.
    pub destination: Literal,
    /// Of how many of a hundred messages.
    pub percent: u8,
}
