//! TLS of all connections of one kind that this server dials: the usual one, and those of remotes that have a block of their own.

use super::{TlsDialing, TlsError};
use dialtone_config::options::Tls;
use std::sync::OnceLock;

/// A reload replaces it.
#[derive(Default)]
pub(crate) struct Dialings {
    usual: Option<TlsDialing>,
    own: Vec<TlsDialing>,
    by_system: OnceLock<Result<TlsDialing, String>>,
}

impl Dialings {
    /// Reads certificates and keys.
    pub(crate) fn load<'a>(
        usual: Option<&Tls>,
        own: impl Iterator<Item = &'a Tls>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            usual: usual.map(TlsDialing::load).transpose()?,
            own: own.map(TlsDialing::load).collect::<Result<_, _>>()?,
            by_system: OnceLock::new(),
        })
    }

    /// That of remotes without a block of their own.
    pub(crate) fn usual(&self) -> Option<&TlsDialing> {
        self.usual.as_ref()
    }

    /// That of a remote with this block.
    ///
    /// # Errors
    /// A reload has changed it.
    pub(crate) fn of(&self, block: &Tls) -> Result<&TlsDialing, String> {
        let found = self.own.iter().find(|dialing| dialing.is_of(block));
        found.ok_or_else(|| "its TLS has changed meanwhile".into())
    }

    /// That of a remote for which nothing is configured: the authorities of the system are trusted. Blocks while they are read, which is once.
    ///
    /// # Errors
    /// The system has none.
    pub(crate) fn by_system(&self) -> Result<&TlsDialing, String> {
        let load = || TlsDialing::load(&Tls::default()).map_err(|why| why.to_string());
        self.by_system.get_or_init(load).as_ref().map_err(Clone::clone)
    }

    /// Whether a file has been written since it was read.
    pub(crate) fn is_outdated(&self) -> bool {
        self.usual.iter().chain(&self.own).any(TlsDialing::is_outdated)
    }
}
