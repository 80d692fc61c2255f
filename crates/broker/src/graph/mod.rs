//! Accounts, peers, subscriptions and what accounts share. They hold each other, so they are one room: an account has its
//! interest, which is the subscriptions of peers; a peer is in an account; what is shared binds accounts to each other.

pub mod account;
pub mod assumed;
pub mod gateways;
pub mod inlet;
pub mod lookout;
pub mod peer;
pub mod relay;
pub mod returns;
pub mod sharing;
pub mod subscription;
