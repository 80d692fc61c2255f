//! Where tokens of accounts come from that are not at hand.

use crate::shared::Shared;

/// Where tokens come from.
#[derive(Debug, Default)]
pub enum Resolver {
    /// From the configuration alone.
    #[default]
    Memory,
}

impl Resolver {
    /// The token of the account with this key, as it is kept there; nobody has looked whether it can be believed.
    pub fn fetch(&self, shared: &Shared, key: &str) -> Option<String> {
        match self {
            Self::Memory => {
                let policy = shared.policy();
                let mut all = policy.options.operator_mode.preload.iter();
                all.find(|preload| preload.account == key).map(|preload| preload.jwt.clone())
            }
        }
    }
}
