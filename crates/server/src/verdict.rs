//! What comes back to a connection from a check that took long.

use dialtone_identity::authenticator::{Checked, Refusal};
use dialtone_identity::callout::CalloutGrant;

/// What came of a check: evidence, by which the policy in force when it arrives decides.
#[derive(Debug)]
pub enum Verdict {
    /// Whether a password is the one.
    Checked(Checked),
    /// What an authorization service said, or why it does not count.
    Answered(Result<Box<CalloutGrant>, Refusal>),
    /// The account's token is at hand, or not to be had.
    LookAgain,
    /// Nobody looked: too many wait, and most of them from where this one came from.
    Overloaded,
}
