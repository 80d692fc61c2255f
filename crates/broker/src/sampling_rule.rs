//! Which messages of an account are traced though their headers name no destination.

use dialtone_subject::Literal;

/// Which messages an account traces whose headers name no subject for the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplingRule {
    /// Where its traces go.
    pub destination: Literal,
    /// Of how many of a hundred messages.
    pub percent: u8,
}
