//! Which of the connections between two servers is for what.

use crate::id::Account;

/// Which connection an account's interest goes by: official servers hash its name by FNV-1a, 32 bits.
///
/// `size` is the sender's own `pool_size`, and what comes is taken from whatever connection it came by: servers whose sizes differ have as
/// many connections as the greater one says.
pub fn index_of(account: &[u8], size: u32) -> u32 {
    let hash = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    account.iter().fold(0x811c_9dc5, hash).checked_rem(size).unwrap_or(0)
}

/// What a connection that joined is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// For all accounts: one of the two servers knows no pools.
    Single,
    /// For the accounts of this index ([`index_of`]).
    Pool {
        /// Less than `size`.
        index: u32,
        /// How many connections the two servers have for the pool: the greater of their sizes.
        size: u32,
    },
    /// For one account, whose name its lines leave out.
    Dedicated(Account),
}

impl Place {
    /// How such a connection is dialled.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Single | Self::Pool { .. } => Lane::Pool,
            Self::Dedicated(account) => Lane::Dedicated(account.clone()),
        }
    }
}

/// What a connection is dialled for. Those of a pool are dialled one after the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The next free place of the pool.
    Pool,
    /// An account with a connection of its own.
    Dedicated(Account),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_the_index_that_official_servers_give_them() {
        // Measured with a pool of 3.
        assert_eq!(["$G", "EXP", "IMP"].map(|account| index_of(account.as_bytes(), 3)), [2, 1, 2]);
        assert_eq!([0, 1].map(|size| index_of(b"EXP", size)), [0, 0]);
    }
}
