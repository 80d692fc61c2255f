//! OCSP: the check of clients' certificates, and what is kept for it.

use std::path::PathBuf;
use std::time::Duration;

/// How clients' certificates are checked. The defaults are the official ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspPeer {
    /// How long one responder may take.
    pub ca_timeout: Duration,
    /// How far a responder's clock may differ from this one.
    pub clock_skew: Duration,
    /// Certificates that are not good are let in, with a warning.
    pub warn_only: bool,
    /// A certificate that the responder does not know is good.
    pub unknown_is_good: bool,
    /// So is one whose responders do not answer, unless it is known to be revoked.
    pub allow_when_ca_unreachable: bool,
    /// How long an answer counts that does not say it.
    pub ttl_when_next_update_unset: Duration,
}

impl Default for OcspPeer {
    fn default() -> Self {
        Self {
            ca_timeout: Duration::from_secs(2),
            clock_skew: Duration::from_secs(30),
            warn_only: false,
            unknown_is_good: false,
            allow_when_ca_unreachable: false,
            ttl_when_next_update_unset: Duration::from_secs(3600),
        }
    }
}

/// Where responders' answers about clients' certificates are kept. The defaults are the official ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspCache {
    /// The folder.
    pub local_store: PathBuf,
    /// Answers that a certificate is revoked are kept when their time is over.
    pub preserve_revoked: bool,
    /// How often the file is written, if there is something new.
    pub save_interval: Duration,
}

impl Default for OcspCache {
    fn default() -> Self {
        Self {
            local_store: PathBuf::from("_rc_"),
            preserve_revoked: false,
            save_interval: Duration::from_secs(300),
        }
    }
}
