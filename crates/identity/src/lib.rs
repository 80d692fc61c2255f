//! Who someone is and what they may do: keys, passwords, permissions, and the one function that lets in.
//!
//! Begin with [`authenticator::Authenticator`]: every kind of connection presents what it has and gets a
//! [`authenticator::Grant`] or a refusal. [`permission`] says what someone may publish and subscribe to, [`nkey`],
//! [`password`] and [`certificate`] are the ways to be known.
//!
//! [`callout`] asks a service who someone is. [`jwt`] is identity without a list of users: tokens, and the chain of trust from operators to users; [`operator`] is
//! who is believed by the configuration. [`creds`] are the files that users keep theirs in, and [`xkey`] seals what
//! authorization services are asked.
//!
//! Invariants: no sockets, no clock; secrets are compared in constant time and never printed.
#![forbid(unsafe_code)]

pub mod authenticator;
pub mod base64;
pub mod callout;
pub mod certificate;
pub mod creds;
pub mod distinguished_name;
mod grant;
pub mod jwt;
pub mod nkey;
pub mod operator;
pub mod password;
pub mod permission;
pub mod xkey;
